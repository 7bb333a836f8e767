"""Explanations and surveys, for people and programs.

All of it may contain text that callers wrote: people get it through ``etl.show.terminal.plain``,
programs as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from etl.inspect.explain import Explanation
from etl.inspect.fixes import Section
from etl.inspect.lines import Line
from etl.inspect.statistics import Survey
from etl.show.escaping import json_text
from etl.show.numbers import UNKNOWN, number
from etl.show.terminal import plain


def explanations_to_json(explanations: Iterable[Explanation], notes: Sequence[str]) -> str:
    """Return explanations as one JSON object."""
    answer = {
        "events": [
            {
                "event_id": one.event_id,
                "found_in": one.where or None,
                "unwrapped_from": list(one.peeled),
                "event": one.event,
                "understood": _dicts(one.understood),
                "not_understood": _dicts(one.not_understood),
                "warehouse": _dicts(one.warehouse),
            }
            for one in explanations
        ],
        "notes": list(notes),
    }
    # A name may contain half a surrogate pair, which only JSON escapes can write.
    return json_text(answer)


def _dicts(lines: Iterable[Line]) -> list[dict[str, Any]]:
    return [{**line._asdict(), "field": line.field.strip()} for line in lines]


def print_explanation(explanation: Explanation, console: Console) -> None:
    """Print an event, and below it how it was understood."""
    console.print()
    console.print(plain(f"Event {explanation.event_id or '(no id)'}", "bold"))
    if explanation.where:
        console.print(plain(f"Found in {explanation.where}"))
    if explanation.peeled:
        console.print(plain(f"Unwrapped from {', then '.join(explanation.peeled)}"))
    if explanation.event is not None:
        console.print()
        for line in json_text(explanation.event).splitlines():
            console.print(plain(line), soft_wrap=True)
    parts = (
        ("How each field was understood", explanation.understood),
        ("Not understood", explanation.not_understood),
        ("In the warehouse", explanation.warehouse),
    )
    for title, lines in parts:
        if lines:
            console.print()
            console.print(plain(title, "bold"))
            console.print(_lines(lines))


def _lines(lines: Iterable[Line]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for line in lines:
        table.add_row(plain(f" {line.field}"), plain(_value(line.value)), plain(line.how, "dim"))
    return table


def _value(value: str | int | float | None) -> str:
    if isinstance(value, int):
        return number(value)
    if isinstance(value, float):
        return f"{value:.12f}".rstrip("0").rstrip(".")
    return UNKNOWN if value is None else value


def survey_to_json(found: Survey, sections: Iterable[Section], notes: Sequence[str]) -> str:
    """Return a survey as one JSON object: the rows of each section, and its fix."""
    answer: dict[str, Any] = {
        "calls": found.total.calls,
        "failed_calls": found.total.failed,
        "calls_with_tokens": found.total.with_tokens,
        "service_events": found.service_events,
        "calls_not_told_apart": found.ungrouped,
    }
    for section in sections:
        names = [column.replace(" ", "_") or "how" for column in section.columns]
        answer[section.key] = {
            "rows": [dict(zip(names, row, strict=True)) for row in section.rows],
            "rows_left_out": section.left_out,
            "fix": section.fix or None,
        }
    return json_text(answer | {"notes": list(notes)})


def print_survey(found: Survey, sections: Iterable[Section], console: Console) -> None:
    """Print a survey, section by section."""
    if not found.has_events:
        console.print(
            "These are the warehouse's calls; to see events too, name files or add --latest N."
        )
    for section in sections:
        console.print()
        console.print(plain(section.title, "bold"))
        console.print(_table(section))
        if section.left_out:
            console.print(f" ... and {section.left_out:,} more, with fewer calls each")
        for line in section.fix.splitlines():
            # Text to be pasted must not be wrapped.
            console.print(plain(f" {line}" if line else ""), soft_wrap=True)
    if found.ungrouped:
        console.print(f"\n{found.ungrouped:,} more calls, from more callers than are listed")


def _table(section: Section) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for index, column in enumerate(section.columns):
        is_number = any(isinstance(row[index], int) for row in section.rows)
        table.add_column(f" {column}" if index == 0 else column,
                         justify="right" if is_number else "left", overflow="fold")  # fmt: skip
    for row in section.rows:
        cells = [number(cell) if isinstance(cell, int) else plain(cell or UNKNOWN) for cell in row]
        cells[0] = Text(" ").append_text(plain(row[0] or UNKNOWN))
        table.add_row(*cells)
    return table
