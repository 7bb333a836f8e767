"""The history of a model's prices, and usage without a price, for people and programs.

``table`` shows dollars per million tokens (or units), ``json`` and ``csv`` whole micro-dollars, as
the price file does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import click
from rich.console import Console
from rich.text import Text

from etl.show.escaping import json_text, show_csv
from etl.show.numbers import Row, count, number, rate, unusual
from etl.show.spreadsheet import csv_text
from etl.show.tables import bare_table, table_of
from etl.show.terminal import open_console, plain

NO_GAPS = "Everything that is loaded has a price."

_USE = ("model_id", "region", "scope", "service_tier", "token_kind", "min_input_tokens")


def print_history(model: str, rows: Sequence[Row], format_: str) -> None:
    """Print the rates of a model to stdout."""
    if format_ == "json":
        click.echo(json_text({"model": model, "rows": rows}))
    elif format_ == "csv":
        show_csv(csv_text(rows))
    else:
        _print_uses(rows, open_console())


def _print_uses(rows: Sequence[Row], console: Console) -> None:
    """Print one block for each model id, and in it the rates of each use together."""
    for model_id, own in groupby(rows, key=lambda row: row["model_id"]):
        console.print()
        console.print(plain(f"Prices of {model_id}, USD per million tokens (or units)", "bold"))
        table = bare_table()
        for heading in ("Region", "Scope", "Tier", "Kind", "Row", "From", "To"):
            table.add_column(heading, no_wrap=heading in ("Row", "From", "To"), overflow="fold")
        for heading in ("USD", "Before"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("State", no_wrap=True)
        table.add_column("Source", overflow="fold", min_width=16)
        for _, same in groupby(own, key=lambda row: tuple(row[name] for name in _USE)):
            for index, row in enumerate(same):
                use = _use(row) if index == 0 else ("", "", "", "")
                table.add_row(*map(plain, (*use, *_rate(row))), style=_style(row))
        console.print(table)


def _use(row: Row) -> tuple[str, ...]:
    above = f" above {row['min_input_tokens']:,}" if row["min_input_tokens"] else ""
    return row["region"], row["scope"], row["service_tier"], row["token_kind"] + above


def _rate(row: Row) -> tuple[str, ...]:
    state = row["state"]
    if state == "corrected":
        state += f" {row['corrected_on']}"
    if row["rate_class"] != "list":
        state += f", {row['rate_class']}"
    source = f"{row['origin']}: {row['source']} (checked {row['checked_on']})"
    return (
        str(row["price_id"]),
        row["effective_from"],
        row["effective_to"] or "",
        rate(row["usd_per_mtok"]),
        rate(row["replaced_usd_per_mtok"]),
        state,
        source,
    )


def _style(row: Row) -> str | None:
    return None if row["state"] == "in force" else "dim"


def print_gaps(rows: Sequence[Row], format_: str, guardrails: str = "") -> None:
    """Print the usage without a price to stdout; explain on stderr if there is none.

    ``guardrails``: what to say of those without a price, which have no rows here.
    """
    if format_ == "json":
        click.echo(json_text({"report": "gaps", "rows": rows}))
    elif format_ == "csv":
        show_csv(csv_text(rows))
    elif rows:
        _print_gap_table(rows, open_console())
    if guardrails:
        click.echo(f"{guardrails} (view guardrail_usage).", err=True)
    elif not rows:
        click.echo(NO_GAPS, err=True)


_GAP_CELLS: Mapping[str, Callable[[Row], str]] = {
    "Model": lambda row: row["model_id"],
    "Region": lambda row: row["region"],
    "Kind": lambda row: ", ".join([row["token_kind"] or "not counted", *unusual(row)]),
    "Days (UTC)": lambda row: " to ".join(sorted({row["first_day"], row["last_day"]})),
    "Calls": lambda row: number(row["calls"]),
    "Tokens": lambda row: number(row["tokens"]),
    "Missing": lambda row: row["missing"],
    "Nearest price": lambda row: _near(row),
}


def _near(row: Row) -> str:
    if row["near_price_id"] is None:
        return "none"
    return f"${row['near_usd_per_mtok']:,.6g}: {row['near_price']} (row {row['near_price_id']})"


def _print_gap_table(rows: Sequence[Row], console: Console) -> None:
    console.print(Text("\nUsage without a price, and the nearest price", style="bold"))
    console.print(table_of(_GAP_CELLS, rows, ("Calls", "Tokens")))
    console.print(f"{count(len(rows), 'gap')}. The nearest price is shown, and prices nothing.")
    for line in _what_to_do(rows):
        # Text to be pasted must not be wrapped.
        console.print(plain(line), soft_wrap=True)


def _what_to_do(rows: Sequence[Row]) -> list[str]:
    """Return the commands that price the gaps, and the rows of the file that they need."""
    commands = list(dict.fromkeys(row["command"] for row in rows if row["command"]))
    wanted = [row["import_row"] for row in rows if row["import_row"]]
    lines = [f"To price them: {' and '.join(commands)}"] if commands else []
    if wanted:
        lines.append("FILE begins with the columns that `bedrock-usage prices list` prints, then:")
        lines += wanted
    return lines
