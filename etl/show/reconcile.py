"""The bill beside our figures, for people and programs.

``table`` sums up each month: whether it agrees, the reasons, and where they are largest. ``json``
has the days, the users and every difference too, ``csv`` the differences. Sums are of whole
pico-dollars, so the reasons add up to the difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from etl.show.escaping import json_text, show_csv
from etl.show.numbers import (
    UNKNOWN,
    Row,
    count,
    dollars,
    kind_of_use,
    number,
    of_month,
    percent,
)
from etl.show.spreadsheet import csv_text
from etl.show.tables import empty_table, table_of
from etl.show.terminal import open_console, plain
from etl.warehouse.price_file import OWN_COLUMNS
from etl.warehouse.read.bills import BillComparison

DISCOUNT = "discount"

_PLACE = (
    *("reason", "account_id", "region", "model_id", "token_kind", "inference_scope"),
    *("service_tier", "min_input_tokens", "user_name", "endpoint"),
)
_RATES = ("our_usd_per_million", "billed_usd_per_million")
_MOST_PLACES = 12

# In a month. AWS changes a price less often; usage at several prices has another mean every day.
_MOST_RATES = 4

# What a rate is of.
_USE = (
    *("model_id", "region", "inference_scope", "service_tier", "token_kind", "min_input_tokens"),
)


class Place(NamedTuple):
    """Where a reason is: the differences of several days, added up."""

    row: Row
    days: int
    tokens: int
    picodollars: int


def print_comparison(found: BillComparison, format_: str, today: date) -> None:
    """Print a comparison to stdout; ``today``: when the rates that the bill implies are seen."""
    if format_ == "json":
        click.echo(json_text(as_dict(found)))
    elif format_ == "csv":
        show_csv(csv_text(found.differences, found.columns))
    else:
        for month in found.months:
            _print_month(month, found, today, open_console())
        for row in found.left_out:
            account = f"account {row['account_id']} of payer {row['payer_account_id']}"
            why = "as some of it is not billed in USD"
            line = f"Not compared: {account} in {row['month']}, {why}"
            open_console().print(plain(line), soft_wrap=True)


def reasons(differences: Sequence[Row]) -> dict[str, int]:
    """Return the pico-dollars of each reason, the largest first."""
    amounts: defaultdict[str, int] = defaultdict(int)
    for row in differences:
        amounts[row["reason"]] += row["difference_picodollars"]
    return dict(sorted(amounts.items(), key=lambda one: (-abs(one[1]), one[0])))


def closed_difference(month: Row, found: BillComparison) -> int:
    """Return what is billed less ours on the days that are closed, in pico-dollars."""
    rows = of_month(month, found.differences)
    return sum(row["difference_picodollars"] for row in rows if not row["is_open"])


def as_dict(found: BillComparison) -> dict[str, Any]:
    """Return a comparison for programs, each month with its reasons in dollars."""
    months = [
        {
            **month,
            "reasons": {
                reason: amount / 10**12
                for reason, amount in reasons(of_month(month, found.differences)).items()
            },
        }
        for month in found.months
    ]
    rest = {
        "days": found.days,
        "users": found.users,
        "differences": found.differences,
        "not_compared": found.left_out,
    }
    return {"report": "reconcile", "months": months, **rest}


def _amount(picodollars: int) -> str:
    return dollars(picodollars / 10**12, 2)


def _print_month(month: Row, found: BillComparison, today: date, console: Console) -> None:
    differences = of_month(month, found.differences)
    console.print()
    title = f"{month['month']}, payer {month['payer_account_id']}: {month['state']}"
    console.print(plain(title, "bold"))
    for line in _totals(month, of_month(month, found.days)):
        console.print(plain(line))
    if not differences:
        return
    console.print(_reason_table(differences))
    found_places = places(differences)
    console.print(plain("Where it is most", "bold"))
    console.print(table_of(_CELLS, found_places[:_MOST_PLACES], ("Days", "Tokens", "USD")))
    if len(found_places) > _MOST_PLACES:
        more = len(found_places) - _MOST_PLACES
        console.print(plain(f"and {more:,} more: --format csv has every day of all", "dim"))
    for line in _rates_to_record(month, differences, of_month(month, found.rates), today):
        # Text to be pasted must not be wrapped.
        console.print(plain(line), soft_wrap=True)


def _totals(month: Row, days: Sequence[Row]) -> list[str]:
    part = percent(month["difference_usd"], month["billed_cost_usd"])
    counted = [row["cloudwatch_tokens"] for row in days if row["cloudwatch_tokens"] is not None]
    lines = [
        f"Billed {dollars(month['billed_cost_usd'], 2)}, ours {dollars(month['our_cost_usd'], 2)}:"
        f" difference {dollars(month['difference_usd'], 2)} ({part} of the bill)",
        f"Tokens: billed {number(month['billed_tokens'])}, ours {number(month['our_tokens'])},"
        f" CloudWatch's {number(sum(counted) if counted else None)}",
    ]
    if month["open_days"]:
        lines.append(f"{count(month['open_days'], 'day')} of the month may still change")
    return lines


def _reason_table(differences: Sequence[Row]) -> Table:
    amount_heading = "Billed less ours"
    table = empty_table(("Reason", amount_heading), (amount_heading,))
    amounts = reasons(differences)
    for reason, amount in amounts.items():
        table.add_row(plain(reason), plain(_amount(amount)))
    table.add_section()
    table.add_row(plain("Difference"), plain(_amount(sum(amounts.values()))))
    return table


def places(differences: Sequence[Row]) -> list[Place]:
    """Return where the reasons are, over all days, the largest amount first."""
    grouped: defaultdict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in differences:
        grouped[tuple(row[name] for name in _PLACE)].append(row)
    found = [
        Place(
            rows[0],
            len({row["day"] for row in rows}),
            sum(row["difference_tokens"] or 0 for row in rows),
            sum(row["difference_picodollars"] for row in rows),
        )
        for rows in grouped.values()
    ]
    return sorted(found, key=lambda place: (-abs(place.picodollars), str(place.row)))


def place_rows(found: BillComparison) -> list[dict[str, Any]]:
    """Return the places of each month for programs, in USD, the largest of a month first."""
    return [
        {
            "month": month["month"],
            "payer_account_id": month["payer_account_id"],
            **{name: place.row[name] for name in (*_PLACE, *_RATES)},
            "days": place.days,
            "difference_tokens": place.tokens,
            "difference_usd": place.picodollars / 10**12,
        }
        for month in found.months
        for place in places(of_month(month, found.differences))
    ]


_CELLS: Mapping[str, Callable[[Place], str]] = {
    "Reason": lambda place: place.row["reason"],
    "Account": lambda place: place.row["account_id"],
    "Region": lambda place: place.row["region"],
    "Model": lambda place: place.row["model_id"] or UNKNOWN,
    "Kind": lambda place: kind_of_use(place.row),
    "User": lambda place: place.row["user_name"] or "all",
    "Days": lambda place: number(place.days),
    "Tokens": lambda place: number(place.tokens or None),
    "Rates": lambda place: _rates(place.row),
    "USD": lambda place: _amount(place.picodollars),
}


def _rates(row: Row) -> str:
    """Return our rate in dollars per million, and the one that the bill implies."""
    ours, billed = row["our_usd_per_million"], row["billed_usd_per_million"]
    words = ["none" if ours is None and billed is not None else "" if ours is None else f"{ours:g}"]
    return " -> ".join(words + ([f"{billed:g}"] if billed is not None else []))


def _rates_to_record(
    month: Row, differences: Sequence[Row], rates: Sequence[Row], today: date
) -> list[str]:
    """Return the rows that record the rates of the bill, and the command that takes them."""
    discounted = {row["model_id"] for row in differences if row["reason"] == DISCOUNT}
    rest = (f"AWS bill {month['month']}", today.isoformat())
    lines, unclear = list[str](), list[str]()
    for use, grouped in groupby(rates, key=itemgetter(*_USE)):
        by_day = list(grouped)
        if any(row["lowest_rate"] != row["highest_rate"] for row in by_day):
            unclear.append(f"More than one rate on a day, not recorded: {', '.join(map(str, use))}")
            continue
        periods = list(_periods(by_day))
        if len(periods) > _MOST_RATES:
            unclear.append(
                "A rate that changes from day to day is of several prices, not recorded:"
                f" {', '.join(map(str, use))}"
            )
            continue
        is_list = {use[0], None} & discounted
        for rate, first, end in periods:
            row = (*use, rate, first, end, *rest, "list" if is_list else "")
            lines.append(",".join(map(str, row)))
    intro = "To record the rates that the bill implies: `bedrock-usage prices import FILE`, with"
    return [*([intro, ",".join(OWN_COLUMNS), *lines] if lines else []), *unclear]


def _periods(by_day: Sequence[Row]) -> Iterator[tuple[int, str, str]]:
    """Yield each rate that is not ours, its first day and the day of the next one, '' for none."""
    runs = groupby(by_day, key=itemgetter("highest_rate", "is_another"))
    changes = [(rate, is_another, next(days)["day"]) for (rate, is_another), days in runs]
    ends = [*(first for _, _, first in changes[1:]), ""]
    for (rate, is_another, first), end in zip(changes, ends, strict=True):
        if is_another:
            yield rate, first, end
