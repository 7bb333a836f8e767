"""The lab's tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from etl.lab.expected import Expected, at_most, total
from etl.lab.forms import SeenForm
from etl.lab.proof import DIFFERS, MATCHES, NOT_FOUND, ComparedCall, is_proved, summary
from etl.lab.roles import Role
from etl.show.escaping import json_text
from etl.show.numbers import UNKNOWN as NO_FIGURE
from etl.show.numbers import count, number
from etl.show.tables import bare_table
from etl.show.terminal import plain

_MARKS = {MATCHES: "✓", DIFFERS: "✗", NOT_FOUND: "✗"}
_STYLES = {MATCHES: "green", DIFFERS: "bold red", NOT_FOUND: "bold red"}
_UNPRICED = "unpriced"


def _table(*headings: str, right: Iterable[str] = ()) -> Table:
    table = bare_table()
    numbers = set(right)
    for heading in headings:
        table.add_column(
            heading, justify="right" if heading in numbers else "left", overflow="fold"
        )
    return table


def print_roles(roles: Iterable[Role], console: Console) -> None:
    """Print each role, its state, and what it lacks."""
    table = _table("Role", "State", "ARN")
    for role in roles:
        lacks = f": {', '.join(role.lacks)}" if role.lacks else ""
        extra = f"; others' policies: {', '.join(role.extra)}" if role.extra else ""
        table.add_row(plain(role.name), plain(f"{role.state}{lacks}{extra}"), plain(role.arn or ""))
    console.print(table)


def roles_to_json(roles: Iterable[Role]) -> str:
    """Return the roles as a JSON list."""
    return json_text([asdict(role) for role in roles])


def print_plan(parts: Sequence[Expected], console: Console) -> None:
    """Print what will be sent, and what it costs at most."""
    numbers = ("Calls", "Input", "Output", "Cost")
    table = _table("Scenario", "By", "Model", "Region", "Operation", *numbers, right=numbers)
    for part in parts:
        one = part.scenario
        table.add_row(
            plain(one.name),
            plain(one.role or one.user_agent or ""),
            plain(one.model),
            plain(one.region),
            one.operation,
            number(part.calls),
            number(part.input_tokens),
            number(part.output_tokens),
            _UNPRICED if part.cost_usd is None else at_most(part.cost_usd),
        )
    console.print(table)
    cost, unpriced = total(parts)
    calls = sum(part.calls for part in parts)
    more = f", plus {count(unpriced, 'call')} without a known price" if unpriced else ""
    console.print(
        f"{count(calls, 'call')}, at most about {at_most(cost)}{more}"
        " (list prices; every answer at its maximum length)."
    )


def print_checked(
    checked: Sequence[ComparedCall], forms: Iterable[SeenForm], console: Console
) -> None:
    """Print each call with a mark; below what differs, what could not be compared, what is seen."""
    names = ("Application", "User", "Region", "Operation", "Request")
    table = _table("", "Call", *names, "Tokens", right=("Tokens",))
    for one in checked:
        entry = one.entry
        usage = entry.usage
        tokens = f"{sum(usage.values()):,}" if usage else NO_FIGURE
        mark = _MARKS.get(one.status, NO_FIGURE)
        table.add_row(
            plain(mark, _STYLES.get(one.status, "")),
            plain(f"{entry.call}" + (f" ({entry.attempt})" if entry.attempt > 1 else "")),
            plain(entry.application),
            plain(entry.user_name),
            plain(entry.region),
            plain(entry.operation),
            plain(entry.request_id or entry.status),
            tokens,
        )
    console.print(table)
    for one in checked:
        _print_details(one, console)
    for form in forms:
        console.print(plain(form.words))
        if form.line:
            console.print(plain(f"  to add to sql/seeds/input_forms.csv: {form.line}"))
    console.print(f"Run {checked[0].entry.run_id}: {summary(checked)}: {_verdict(checked)}.")


def _verdict(checked: Sequence[ComparedCall]) -> str:
    """Say what is proved: calls that were refused, unknown or never sent do not count."""
    if not is_proved(checked):
        return "not proved"
    planned = checked[0].entry.planned
    matching = len({one.entry.call for one in checked if one.status == MATCHES})
    return "proved" + (f" for {matching} of {planned} planned calls" if matching < planned else "")


def _print_details(one: ComparedCall, console: Console) -> None:
    name = f"{one.entry.scenario}, call {one.entry.call}"
    if one.status == NOT_FOUND:
        console.print(plain(f"✗ {name}: not in the warehouse", "bold red"))
    for field, expected, found in one.differences:
        shown = [NO_FIGURE if value is None else value for value in (expected, found)]
        text = f"✗ {name}: {field} is {shown[1]}, the ledger says {shown[0]}"
        console.print(plain(text, "bold red"))
    for note in one.notes:
        console.print(plain(f"{NO_FIGURE} {name}: {note}", "dim"))
