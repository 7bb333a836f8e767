"""How near models are to their limits, and whose calls were refused, for people and programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import click
from rich.console import Console

from etl.show.comparisons import ABOUT_QUOTAS
from etl.show.escaping import json_text, show_csv
from etl.show.numbers import UNKNOWN, Row, number, tokens
from etl.show.spreadsheet import csv_text
from etl.show.tables import table_of
from etl.show.terminal import open_console, plain

NO_QUOTAS = (
    "No quotas of models that are used here. `bedrock-usage sync --source quotas` reads them, and"
    " needs servicequotas:ListServiceQuotas and servicequotas:ListAWSDefaultServiceQuotas"
    " (docs/permissions.md)."
)

_ROWS = 25

_QUOTAS: Mapping[str, Callable[[Row], str]] = {
    "Model": lambda row: row["model_id"],
    "Region": lambda row: row["region"],
    "Account": lambda row: row["account_id"],
    "Limit of": lambda row: _limit_of(row),
    "Limit": lambda row: tokens(row["limit_value"]),
    "Highest": lambda row: _highest(row),
    "Share": lambda row: UNKNOWN if row["share_pct"] is None else f"{row['share_pct']:.1f} %",
    "Throttled": lambda row: number(row["throttled_calls"]),
}
_THROTTLED: Mapping[str, Callable[[Row], str]] = {
    "Application": lambda row: row["application"],
    "Model": lambda row: row["model_id"],
    "Region": lambda row: row["region"],
    "Throttled": lambda row: number(row["throttled_calls"]),
    "Days": lambda row: number(row["days"]),
    "Last": lambda row: row["last_day"],
}
_NUMBERS = ("Limit", "Highest", "Share", "Throttled", "Days")


def print_quotas(quotas: Sequence[Row], throttled: Sequence[Row], format_: str) -> None:
    """Print to stdout; explain on stderr if no quota is known. CSV has the quotas alone."""
    if format_ == "json":
        click.echo(json_text({"report": "quotas", "rows": quotas, "throttled": throttled}))
    elif format_ == "csv":
        show_csv(csv_text(quotas))
    else:
        console = open_console()
        if quotas:
            _print("Quotas", _QUOTAS, quotas, console)
            console.print(plain(ABOUT_QUOTAS))
        if throttled:
            _print("Calls that were refused because there were too many", _THROTTLED, throttled,
                   console)  # fmt: skip
    if not quotas:
        click.echo(NO_QUOTAS, err=True)


def _print(
    title: str, cells: Mapping[str, Callable[[Row], str]], rows: Sequence[Row], console: Console
) -> None:
    console.print()
    console.print(plain(title, "bold"))
    console.print(table_of(cells, rows[:_ROWS], _NUMBERS))
    if len(rows) > _ROWS:
        console.print(plain(f"The first {_ROWS} of {len(rows):,}."))


def _limit_of(row: Row) -> str:
    default = ", default" if row["is_default"] else ""
    return f"{row['quota_kind']} per {row['period']}, {row['route']}{default}"


def _highest(row: Row) -> str:
    if row["highest"] is None:
        return UNKNOWN
    return ("≥ " if row["is_lower_bound"] else "") + tokens(row["highest"])
