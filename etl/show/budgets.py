"""Budgets for people and programs: their states, and what happened to them.

``table`` shows the current periods, and those that ended lately if they are exceeded: what was
spent in their last hours may only be known now. JSON and CSV have all that ``budget_status`` has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table

from etl.show.escaping import json_text, show_csv
from etl.show.numbers import UNKNOWN, Row, count, dollars, period
from etl.show.spreadsheet import csv_text
from etl.show.tables import empty_table
from etl.show.terminal import open_console, plain
from etl.warehouse.read.budgets import (
    ACTUAL,
    CANNOT_BE_JUDGED,
    EXCEEDED,
    FORECAST,
    NOT_JUDGED,
    OK,
    WARNING,
)

# From the worst to the best.
STATES = (EXCEEDED, CANNOT_BE_JUDGED, WARNING, OK)

_STYLES = {EXCEEDED: "bold red", CANNOT_BE_JUDGED: "bold yellow", WARNING: "yellow", OK: "green"}

_HEADINGS = ("Budget", "For", "Period", "State", "Used", "Cost", "Amount", "Forecast", "Why")
_NUMBERS = ("Used", "Cost", "Amount", "Forecast")

# What a program needs; the others serve views and pages.
_LEFT_OUT = (
    "amount_microdollars",
    "counted_microdollars",
    "forecast_microdollars",
    "only_user",
    "is_read",
)


def print_budgets(states: Sequence[Row], format_: str) -> None:
    """Print states to stdout."""
    if format_ == "table":
        shown = [one for one in states if one["is_current"] or one["state"] == EXCEEDED]
        console = open_console()
        console.print(_table(shown))
        return
    rows = for_programs(states)
    if format_ == "json":
        click.echo(json_text({"report": "budgets", "budgets": rows}))
        return
    show_csv(csv_text(rows))


def for_programs(states: Sequence[Row]) -> list[dict[str, Any]]:
    """Return states without what serves views and pages only."""
    return [{k: v for k, v in one.items() if k not in _LEFT_OUT} for one in states]


def _table(states: Sequence[Row]) -> Table:
    table = empty_table(_HEADINGS, _NUMBERS)
    for one in states:
        state = one["state"] + ("" if one["is_current"] else ", ended")
        table.add_row(
            *(plain(cell) for cell in (one["budget"], one["whom"], days_of(one))),
            plain(state, _STYLES[one["state"]]),
            *(plain(cell) for cell in (used(one), cost(one), dollars(one["amount_usd"], 2))),
            *(plain(cell) for cell in (forecast(one), why(one))),
        )
    return table


def days_of(state: Row) -> str:
    """Return the days of the period that a state is of."""
    return period(state["period_start"], state["period_end"])


def used(state: Row) -> str:
    """Return which part of the amount is spent."""
    return UNKNOWN if state["used_percent"] is None else f"{state['used_percent']:,.1f} %"


def cost(state: Row) -> str:
    """Return what counts, marked if it is a lower bound."""
    if state["counted_usd"] is None:
        return UNKNOWN
    return ("≥ " if state["is_lower_bound"] else "") + dollars(state["counted_usd"], 2)


def forecast(state: Row) -> str:
    """Return what is expected at the end of the period; unknown without one."""
    return UNKNOWN if state["forecast_usd"] is None else dollars(state["forecast_usd"], 2)


def why(state: Row) -> str:
    """Return why the state is what it is; blank for ok."""
    parts = []
    if state["state"] == WARNING and state["reached_percent"] is not None:
        parts.append(f"{state['reached_percent']} % reached")
    if state["state"] == WARNING and state["forecast_reached_percent"] is not None:
        parts.append(f"going to reach {state['forecast_reached_percent']} %")
    return "; ".join([*parts, *([state["reason"]] if state["reason"] else [])])


def not_judged(states: Sequence[Row]) -> list[str]:
    """Say which current budgets cannot be judged, and why, a line each; none if all can."""
    some = [one for one in states if one["is_current"] and one["state"] == CANNOT_BE_JUDGED]
    if not some:
        return []
    verb = "cannot be judged"
    return [f"{count(len(some), 'budget')} {verb}:"] + [
        f"  {whose(one)}, {days_of(one)}: {one['reason']}" for one in some
    ]


def without_usage(names: Sequence[Row]) -> list[str]:
    """Say which names of budgets nothing has, a line each; none if all are known."""
    return [
        f"Budget            {one['budget']}: nothing loaded is of {one['kind']} {one['name']};"
        " names must be exactly as reports show them"
        for one in names
    ]


def whose(row: Row) -> str:
    """Return a budget's name, and whose it is if each has one."""
    return f"{row['budget']} ({row['name']})" if row["name"] else str(row["budget"])


def is_exceeded(row: Row) -> bool:
    """Return whether a crossing is of a cost above the amount."""
    spent = row["cost_microdollars"]
    return row["kind"] == ACTUAL and spent is not None and spent > row["amount_microdollars"]


def most_of_each(rows: Sequence[Row]) -> list[Row]:
    """Return of each budget, name, period and kind only the highest threshold, the worst first."""
    most: dict[tuple[object, ...], Row] = {}
    for row in rows:
        key = (row["budget"], row["name"], row["period_start"], row["kind"])
        if key not in most or most[key]["threshold"] < row["threshold"]:
            most[key] = row
    return sorted(most.values(), key=lambda row: (not is_exceeded(row), -row["threshold"]))


def what_happened(row: Row) -> str:
    """Return what a crossing means."""
    if row["kind"] == NOT_JUDGED:
        return f"cannot be judged: {row['reason']}"
    if row["kind"] == FORECAST:
        return f"going to reach {row['threshold']} %"
    return "exceeded" if is_exceeded(row) else f"{row['threshold']} % reached"


def microdollars(value: int | None) -> str:
    """Return an amount in micro-dollars as dollars."""
    return UNKNOWN if value is None else dollars(value / 10**6, 2)


def crossing_line(row: Row) -> str:
    """Return a crossing in a line: Search (a month), 2026-11: exceeded, $12.00 of $10.00."""
    days = period(row["period_start"], row["period_end"])
    spent, amount = (microdollars(row[f"{name}_microdollars"]) for name in ("cost", "amount"))
    return f"{whose(row)}, {days}: {what_happened(row)}, {spent} of {amount}"
