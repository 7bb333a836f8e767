"""The rows of an export, with the type of each column, whatever format they are written in.

Decimal numbers are whole numbers of 10^-12, the pico-dollars that the warehouse counts in, until
they are written as text: no amount is ever a float.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

Row = tuple[Any, ...]

# The decimals of a number, and the digits that a table may have.
SCALE, PRECISION = 12, 30


class Kind(Enum):
    """What the values of a column are; None is unknown in each."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"


class Column(NamedTuple):
    """A column. ``is_summed``: its sum means something, and stands in the manifest.

    ``is_upper_end``: where one value is unknown, so is the sum; others are a lower bound then.
    """

    name: str
    kind: Kind
    is_summed: bool = False
    is_upper_end: bool = False


class Table(NamedTuple):
    """Columns, and rows with a value of its kind for each of them, to be read once.

    ``more``: what the manifest says of the rows besides, once they were read.
    """

    columns: Sequence[Column]
    rows: Iterable[Row]
    more: Callable[[], Mapping[str, Any]] = dict


_UNITS = ("_tokens", "_count", "_units", "_seconds", "calls")


def column_of(name: str) -> Column:
    """Return the column that the house's names mean: units, ``is_``, or else text."""
    if name.endswith("_usd"):
        is_upper_end = name == "cost_high_usd"
        return Column(name, Kind.DECIMAL, is_summed=True, is_upper_end=is_upper_end)
    if name.startswith("is_"):
        return Column(name, Kind.BOOLEAN)
    if name in ("min_input_tokens", "usd_per_mtok"):
        return Column(name, Kind.INTEGER)
    is_count = name.endswith(_UNITS) or name == "calls_without_tokens"
    return Column(name, Kind.INTEGER if is_count else Kind.TEXT, is_summed=is_count)


def typed(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows from SQL with the values that the columns have here."""
    exact = [at for at, column in enumerate(columns) if column.kind is Kind.DECIMAL]
    flags = [at for at, column in enumerate(columns) if column.kind is Kind.BOOLEAN]
    for row in rows:
        values = list(row)
        for at in exact:
            values[at] = whole(values[at])
        for at in flags:
            values[at] = None if values[at] is None else bool(values[at])
        yield tuple(values)


def whole(amount: str | int | None) -> int | None:
    """Return the pico-dollars that ``money.exact`` wrote in SQL."""
    if not isinstance(amount, str):
        return amount
    millions, rest = amount.split()
    return int(millions) * 10**6 + int(rest)


def decimal_text(value: int) -> str:
    """Return a number of 10^-12 exactly, without zeros at the end: 1500000000000 is 1.5."""
    units, rest = divmod(abs(value), 10**SCALE)
    decimals = f"{rest:0{SCALE}}".rstrip("0")
    return f"{'-' if value < 0 else ''}{units}{'.' if decimals else ''}{decimals}"
