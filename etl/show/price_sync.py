"""What reading the Price List changed, and what it did not use, as tables for a terminal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from etl.normalise.price_list import Key, Problem
from etl.show.numbers import UNKNOWN, count
from etl.show.terminal import plain
from etl.warehouse.price_list import Held
from etl.warehouse.price_sync import Change, SyncedPrices

# More is listed on request.
_SHOWN = 20

_KEY_COLUMNS = ("Model", "Region", "Scope", "Tier", "Kind", "Above")

# USE1-NovaPro-input-tokens, USE1-MP:USE1_InputTokenCount-Units: the region is in its own column.
_PREFIX = re.compile(r"[A-Z]{2,4}[0-9]?-(?:MP:[A-Z0-9]+_)?")


def print_sync(
    synced: SyncedPrices, problems: Sequence[Problem], console: Console, *, details: bool
) -> None:
    """Print changes, then what is held back or not clear, then what is not used, and why."""
    if synced.changes:
        _print_changes(synced.changes, console)
    if synced.held:
        _print_held("Held back: --accept makes these changes", synced.held, console)
    if synced.stopped:
        _print_held("Not clear: the price in force stays", synced.stopped, console)
    excluded = [problem for problem in problems if problem.is_excluded]
    unclear = [problem for problem in problems if not problem.is_excluded]
    if excluded:
        _print_excluded(excluded, console)
    if unclear:
        _print_unclear(unclear, console, details=details)


def _print_changes(changes: Iterable[Change], console: Console) -> None:
    table = _table("Changes, in USD per million", ("Change", *_KEY_COLUMNS, "From", "To", "Since"))
    for one in sorted(changes, key=lambda one: (one.key, one.region, one.day)):
        cells = (one.what, *_key_cells(one.key, one.region))
        _add(table, *cells, usd(one.before), usd(one.after), one.day)
    _print(table, console)


def _print_held(title: str, held: Iterable[Held], console: Console) -> None:
    table = _table(title, (*_KEY_COLUMNS, "In force", "Listed", "Since", "Why"))
    for one in sorted(held, key=lambda one: (one.key, one.region)):
        cells = _key_cells(one.key, one.region)
        _add(table, *cells, usd(one.before), usd(one.after), one.day, one.reason)
    _print(table, console)


def _print_excluded(problems: Iterable[Problem], console: Console) -> None:
    table = _table("Left out on purpose", ("Prices", "Why"))
    for reason, number in Counter(problem.reason for problem in problems).most_common():
        _add(table, f"{number:,}", reason)
    _print(table, console)


def _print_unclear(problems: Iterable[Problem], console: Console, *, details: bool) -> None:
    """Print the prices that are not used; those that differ only in region are one row."""
    groups: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        usage = problem.usage_type if details else _PREFIX.sub("", problem.usage_type)
        groups.setdefault((problem.reason, problem.name, usage), []).append(problem)
    title = "Not used: nothing is guessed"
    table = _table(title, ("Usage type", "Name", "Regions", "USD", "Why"))
    shown = sorted(groups.items()) if details else sorted(groups.items())[:_SHOWN]
    for (reason, name, usage), found in shown:
        regions = sorted({problem.region for problem in found})
        where = ", ".join(regions) if len(regions) < 3 else f"{len(regions)} regions"
        _add(table, usage, name, where, found[0].price, reason)
    _print(table, console)
    if len(groups) > len(shown):
        console.print(f"and {count(len(groups) - len(shown), 'more kind')}: add --details")


def usd(rate: int | None) -> str:
    """Return a rate in dollars per million, exactly."""
    if rate is None:
        return UNKNOWN
    text = f"{Decimal(rate) / 10**6:f}"
    whole, _, part = text.partition(".")
    return f"{int(whole):,}.{part.rstrip('0'):0<2}"


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


def _print(table: Table, console: Console) -> None:
    console.print(table)
    console.print()
