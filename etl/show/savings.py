"""What caching saved, and what the same usage would have cost otherwise, for people and programs.

``table`` shows the largest amounts, ``json`` has every row, ``csv`` every row in one form: caching
is compared with the same tokens as plain input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console

from etl.show.comparisons import ABOUT_CACHE, COMPARISONS, best_of_each
from etl.show.escaping import json_text, show_csv
from etl.show.numbers import UNKNOWN, Row, dollars, tokens, unusual
from etl.show.spreadsheet import csv_text
from etl.show.tables import bare_table
from etl.show.terminal import open_console, plain

NOTHING = "No calls match. See what is loaded with `bedrock-usage report days`."

# As many rows are in a table for people, and other models of each model.
_ROWS = 15
_OTHERS = 3

_CSV = (
    "comparison", "application", "region", "model_id", "inference_scope", "service_tier",
    "target", "cost_usd", "what_if_cost_usd", "difference_usd", "missing_prices",
)  # fmt: skip


def print_savings(found: Mapping[str, Sequence[Row]], format_: str) -> None:
    """Print to stdout; explain on stderr if there is nothing to print.

    ``found``: the rows of ``caching`` and of each of ``COMPARISONS``.
    """
    if format_ == "json":
        click.echo(json_text({"report": "savings", **found}))
    elif format_ == "csv":
        show_csv(_csv(found))
    elif found["caching"]:
        _print_tables(found, open_console())
    if not found["caching"]:
        click.echo(NOTHING, err=True)


def _csv(found: Mapping[str, Sequence[Row]]) -> str:
    rows = [_as_comparison(row) for row in found["caching"]]
    rows += [{**row, "comparison": kind} for kind in COMPARISONS for row in found[kind]]
    return csv_text(rows, _CSV)


def _as_comparison(row: Row) -> dict[str, Any]:
    """Compare the tokens of the cache with the same as input."""

    def both(*columns: str) -> float | None:
        known = [row[column] for column in columns if row[column] is not None]
        return round(sum(known), 12) if known else None

    return {
        **row,
        "comparison": "caching",
        "target": "no cache",
        "cost_usd": both("cache_read_usd", "cache_write_usd"),
        "what_if_cost_usd": both("cache_read_as_input_usd", "cache_write_as_input_usd"),
        "difference_usd": row["saved_usd"],
    }


def _print_tables(found: Mapping[str, Sequence[Row]], console: Console) -> None:
    cells: dict[str, Callable[[Row], str]] = {
        "Application": lambda row: row["application"],
        "Model": lambda row: row["model_id"],
        "Saved": lambda row: _saved(row),
        "Read": lambda row: tokens(row["cache_read_tokens"]),
        "Written": lambda row: tokens(row["cache_write_tokens"]),
        "Not read": lambda row: tokens(row["unread_write_tokens"]),
        "At most": lambda row: _usd(row["savable_usd"]),
    }
    _print("Prompt caching", ABOUT_CACHE, cells, found["caching"], console, text=2)
    for kind, comparison in COMPARISONS.items():
        rows = found[kind]
        shown = best_of_each(rows, _OTHERS) if kind == "models" else rows
        cells = {
            "Model": _model,
            **({} if kind == "models" else {"Region": lambda row: row["region"]}),
            comparison.target: lambda row: row["target"],
            "Cost": lambda row: _usd(row["cost_usd"]),
            "Would be": lambda row: _usd(row["what_if_cost_usd"]),
            "Difference": lambda row: _missing(row) or _usd(row["difference_usd"]),
        }
        _print(comparison.title, comparison.caveat, cells, shown, console, text=len(cells) - 3)


def _print(
    title: str,
    caveat: str,
    cells: Mapping[str, Callable[[Row], str]],
    rows: Sequence[Row],
    console: Console,
    *,
    text: int,
) -> None:
    """Print a table whose first columns, ``text`` of them, are words."""
    console.print()
    console.print(plain(title, "bold"))
    if not rows:
        console.print(plain("Nothing to compare: no other price is known."))
        return
    table = bare_table()
    for index, heading in enumerate(cells):
        if index < text:
            table.add_column(heading, overflow="fold", min_width=min(9, len(heading)))
        else:
            table.add_column(heading, justify="right", overflow="fold")
    for row in rows[:_ROWS]:
        table.add_row(*(plain(cell(row)) for cell in cells.values()))
    console.print(table)
    more = f" The largest {_ROWS} of {len(rows):,}." if len(rows) > _ROWS else ""
    console.print(plain(caveat + more))


def _usd(amount: float | None) -> str:
    return UNKNOWN if amount is None else dollars(amount, 2)


def _saved(row: Row) -> str:
    return _missing(row) or _usd(row["saved_usd"])


def _missing(row: Row) -> str:
    kinds = row["missing_prices"]
    return f"no price: {kinds.replace('_', ' ')}" if kinds else ""


def _model(row: Row) -> str:
    """Return the model, and what is unusual about its use."""
    words = unusual(row)
    return f"{row['model_id']} ({', '.join(words)})" if words else str(row["model_id"])
