"""What changed between two periods and why, for people and programs.

``table`` shows what moved most, one table for each dimension; ``json`` and ``csv`` have every row,
exactly. The causes add up: volume + size + mix + price = change.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from etl.show.escaping import json_text, show_csv
from etl.show.numbers import ABOUT_CAUSES, CAUSES, HOW_TO_PRICE, MOVED, Row, count, dollars, tokens
from etl.show.spreadsheet import csv_text
from etl.show.tables import bare_table
from etl.show.terminal import open_console, plain

_AMOUNTS = {"cost_before": "Before", "cost_after": "After", "difference": "Change", **CAUSES}

# Of each dimension, in the tables.
_TOP = 10

# A last day that is named counts, whether it is over or not.
_NOTHING = (
    "nothing to compare: no day of this period is loaded and over; name its last day (until) to"
    " compare it all the same"
)


def summary(rows: Sequence[Row]) -> str:
    """Return in a sentence what is compared and by how much it differs, without names."""
    if not rows:
        return f"{_NOTHING[0].upper()}{_NOTHING[1:]}."
    own = [row for row in rows if row["dimension"] == rows[0]["dimension"]]
    total, decimals = _total(own)
    words = (f"{name} {_amount(name, total[name], decimals)}" for name in CAUSES)
    change = _amount("difference", total["difference"], decimals)
    return f"What changed, {_periods(own[0])}: {change} ({', '.join(words)})."


def _periods(row: Row) -> str:
    before = f"{row['against_since']} to {row['against_until']}"
    return f"{row['since']} to {row['until']}, against {before}, UTC"


def _total(rows: Sequence[Row]) -> tuple[dict[str, int], int]:
    """Return the sum of each amount in pico-dollars, and how many decimals suit them."""
    total = {name: sum(row[f"{name}_picodollars"] for row in rows) for name in _AMOUNTS}
    return total, 2 if max(total["cost_before"], total["cost_after"]) >= 10**12 else 6


def print_movers(rows: Sequence[Row], format_: str) -> None:
    """Print what changed to stdout; explain on stderr if there is nothing."""
    if format_ == "json":
        click.echo(json_text({"report": "movers", "rows": rows}))
    elif format_ == "csv":
        show_csv(csv_text(rows))
    elif rows:
        _print_tables(rows, open_console())
    if not rows:
        click.echo(_NOTHING, err=True)


def _print_tables(rows: Sequence[Row], console: Console) -> None:
    console.print(Text(f"\nWhat changed: {_periods(rows[0])}", style="bold"))
    for dimension, own in groupby(rows, key=lambda row: row["dimension"]):
        moved = list(own)
        table = _table(dimension, moved)
        needed = table.__rich_measure__(console, console.options.update(width=1000)).minimum
        console.print(table, width=max(console.width, needed), crop=False, no_wrap=True)
        if len(moved) > _TOP:
            console.print(f"and {len(moved) - _TOP:,} more")
    console.print(ABOUT_CAUSES)
    for line in notes(rows):
        console.print(plain(line))


def _table(dimension: str, rows: Sequence[Row]) -> Table:
    total, decimals = _total(rows)
    table = bare_table(show_footer=True, highlight=False)
    table.add_column(MOVED[dimension], footer="Total", overflow="fold", min_width=12)
    for name, heading in _AMOUNTS.items():
        footer = _amount(name, total[name], decimals)
        table.add_column(heading, footer=footer, justify="right", no_wrap=True)
    for row in rows[:_TOP]:
        amounts = [_amount(name, row[f"{name}_picodollars"], decimals) for name in _AMOUNTS]
        mark = "" if row["change"] == "changed" else f" ({row['change']})"
        table.add_row(plain(row["name"]).append(mark), *amounts)
    return table


def _amount(name: str, picodollars: int, decimals: int) -> str:
    """Return dollars; of a change, with its sign."""
    amount = picodollars / 10**12
    if name.startswith("cost"):
        return dollars(amount, decimals)
    # 0.0 rather than -0.0.
    amount = round(amount, decimals) or 0.0
    return f"{'+' if amount > 0 else ''}{dollars(amount, decimals)}"


def notes(rows: Sequence[Row]) -> list[str]:
    """Say what of the rows is estimated, and what is not in them."""
    # Each dimension has all of it.
    own = [row for row in rows if row["dimension"] == rows[0]["dimension"]]
    notes = []
    if any(row["is_estimated"] for row in own):
        notes.append("Part of it is estimated: CloudWatch's totals shared out among calls.")
    calls = sum(row["calls_without_cost"] for row in own)
    unpriced = sum(row["unpriced_tokens"] for row in own)
    things = [f"{count(calls, 'call')} without tokens or without a price"] if calls else []
    things += [f"{tokens(unpriced)} tokens without a price"] if unpriced else []
    if things:
        notes.append(f"Not in it: {' and '.join(things)}. {HOW_TO_PRICE}.")
    return notes
