"""How Datasette's pages show numbers: as our own pages do. CSV and JSON have them as they are."""

from __future__ import annotations

import re
from functools import cache

from etl.show.numbers import rate

# Whole numbers that count something, by the ends of their columns' names.
_COUNTS = re.compile(r"(?:^|_)(?:tokens|calls|units|count|events|rows|bytes|seconds)$")
_LARGEST_PLAIN = 9999


def shown(table: str | None, column: str, value: object) -> str | None:
    """Return how a cell is shown; None for as Datasette shows it."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        if column == "usd_per_mtok" and table == "prices":
            # In the table prices, and nowhere else: see its column.
            return f"${rate(value)} ({value} micro-dollars)"
        return f"{value:,}" if abs(value) > _LARGEST_PLAIN and _counts(column) else None
    if isinstance(value, float) and _is_money(column):
        return dollars(value)
    return None


def dollars(value: float) -> str:
    """Return an amount with two decimals at least, and as many as it has up to nine."""
    whole, _, rest = f"{abs(value):,.9f}".partition(".")
    return f"{'-' if value < 0 else ''}${whole}.{rest.rstrip('0'):0<2}"


@cache
def _counts(column: str) -> bool:
    return _COUNTS.search(column) is not None


@cache
def _is_money(column: str) -> bool:
    return column.endswith(("_usd", "_usd_per_mtok")) or column == "usd_per_mtok"
