"""What reading the Price List changed, and what it did not use, as tables for a terminal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from etl.normalise.price_list import Key, Problem
from etl.show.numbers import count, rate, some_of
from etl.show.terminal import plain
from etl.warehouse.price_list import Held
from etl.warehouse.price_sync import NEW, Change, SyncedPrices

# So many rows of a table are shown; all of them on request.
_SHOWN_CHANGES, _SHOWN_KINDS = 200, 20
_SHOWN_PRICES = 3

_KEY_COLUMNS = ("Model", "Region", "Scope", "Tier", "Kind", "Above")

# USE1-NovaPro-input-tokens, USE1-MP:USE1_InputTokenCount-Units: the region is in its own column.
_PREFIX = re.compile(r"[A-Z]{2,4}[0-9]?-(?:MP:[A-Z0-9]+_)?")


def print_sync(
    synced: SyncedPrices, problems: Sequence[Problem], console: Console, *, details: bool
) -> None:
    """Print changes, then what is held back or not clear, then what is not used, and why."""
    shown = None if details else _SHOWN_CHANGES
    if synced.changes:
        _print_changes(synced.changes, console, shown)
    if synced.held:
        _print_held("Held back: --accept makes these changes", synced.held, console, shown)
    if synced.stopped:
        _print_held("Not clear: the price in force stays", synced.stopped, console, shown)
    excluded = [problem for problem in problems if problem.is_excluded]
    unclear = [problem for problem in problems if not problem.is_excluded]
    if excluded:
        _print_excluded(excluded, console)
    if unclear:
        _print_unclear(unclear, console, details=details)


def _print_changes(changes: Sequence[Change], console: Console, shown: int | None) -> None:
    """Print what has a price already before what is new."""
    table = _table("Changes, in USD per million", ("Change", *_KEY_COLUMNS, "From", "To", "Since"))
    for one in sorted(changes, key=lambda one: (one.what == NEW, one.key, one.region, one.day))[
        :shown
    ]:
        cells = (one.what, *_key_cells(one.key, one.region))
        _add(table, *cells, rate(one.before), rate(one.after), one.day)
    _print(table, console, len(changes), "more change")


def _print_held(title: str, held: Sequence[Held], console: Console, shown: int | None) -> None:
    table = _table(title, (*_KEY_COLUMNS, "In force", "Listed", "Since", "Why"))
    for one in sorted(held, key=lambda one: (one.key, one.region))[:shown]:
        cells = _key_cells(one.key, one.region)
        _add(table, *cells, rate(one.before), rate(one.after), one.day, one.reason)
    _print(table, console, len(held), "more price")


def _print_excluded(problems: Iterable[Problem], console: Console) -> None:
    table = _table("Left out on purpose", ("Prices", "Why"))
    for reason, number in Counter(problem.reason for problem in problems).most_common():
        _add(table, f"{number:,}", reason)
    _print(table, console, table.row_count, "")


def _print_unclear(problems: Iterable[Problem], console: Console, *, details: bool) -> None:
    """Print the prices that are not used; those that differ only in region are one row."""
    groups: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        usage = problem.usage_type if details else _PREFIX.sub("", problem.usage_type)
        groups.setdefault((problem.reason, problem.name, usage), []).append(problem)
    table = _table("Not used: nothing is guessed", ("Usage type", "Name", "Regions", "USD", "Why"))
    for (reason, name, usage), found in sorted(groups.items())[: None if details else _SHOWN_KINDS]:
        regions = sorted({problem.region for problem in found})
        where = ", ".join(regions) if len(regions) < 3 else f"{len(regions)} regions"
        _add(table, usage, name, where, _prices(found), reason)
    _print(table, console, len(groups), "more kind")


def _prices(problems: Iterable[Problem]) -> str:
    """Return the different prices, the first few of many."""
    return some_of(list(dict.fromkeys(problem.price for problem in problems)), _SHOWN_PRICES)


def _key_cells(key: Key, region: str) -> tuple[str, ...]:
    above = f"{key.min_input_tokens:,}" if key.min_input_tokens else ""
    return key.model_id, region, key.scope, key.service_tier, key.token_kind, above


def _table(title: str, columns: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for column in columns:
        is_number = column in ("Above", "From", "To", "In force", "Listed", "Prices")
        table.add_column(column, justify="right" if is_number else "left")
    return table


def _add(table: Table, *cells: str) -> None:
    table.add_row(*(plain(cell) for cell in cells))


def _print(table: Table, console: Console, number: int, noun: str) -> None:
    """Print a table, and how many rows it leaves out."""
    console.print(table)
    if number > table.row_count:
        console.print(f"and {count(number - table.row_count, noun)}: add --details")
    console.print()
