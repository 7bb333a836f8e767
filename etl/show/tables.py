"""Tables for a terminal, all in one form: a line below the headings, and no frame."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from rich.box import SIMPLE_HEAD
from rich.table import Table

from etl.show.terminal import plain

_Row = TypeVar("_Row")


def bare_table(**options: Any) -> Table:
    """Return a table without columns. ``options``: as rich has them."""
    return Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), **options)


def empty_table(headings: Iterable[str], numbers: Collection[str]) -> Table:
    """Return a table without rows. Columns of numbers are on the right and never broken."""
    table = bare_table()
    for heading in headings:
        is_number = heading in numbers
        table.add_column(
            heading,
            justify="right" if is_number else "left",
            no_wrap=is_number,
            overflow="fold",
        )
    return table


def table_of(
    cells: Mapping[str, Callable[[_Row], str]], rows: Iterable[_Row], numbers: Collection[str]
) -> Table:
    """Return a table of rows. ``cells``: how each column's text is made, by its heading."""
    table = empty_table(cells, numbers)
    for row in rows:
        table.add_row(*(plain(cell(row)) for cell in cells.values()))
    return table
