"""Memory limits for a connection that runs visitors' SQL.

Time and the number of rows are limited elsewhere. Neither stops ``select zeroblob(100000000)``, or
a few thousand rows of a megabyte each.
"""

from __future__ import annotations

import sqlite3
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from etl.errors import DataError

RowTuple = tuple[Any, ...]

# Steps of SQLite between two looks at the clock: some milliseconds. A look runs Python, and
# statements that run at once wait for each other's: with many looks they wait longer than they run.
_STEPS = 1_000_000


def fetch_within(
    connection: sqlite3.Connection, sql: str, parameters: Mapping[str, object], *, seconds: float
) -> list[Any]:
    """Return the rows of a statement; raise DataError if it takes too long."""
    with stopping_after(connection, seconds):
        return connection.execute(sql, dict(parameters)).fetchall()


@contextmanager
def stopping_after(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """Stop what takes longer, with a DataError."""
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_INTERRUPT:
            raise
        raise DataError(f"The query takes longer than {seconds:g} s; choose fewer days") from None
    finally:
        connection.set_progress_handler(None, 0)


def limit_memory(connection: sqlite3.Connection, *, value_bytes: int, answer_bytes: int) -> None:
    """Limit the size of a value and, approximately, the size of a result.

    Larger ones fail as sqlite3.DataError or sqlite3.OperationalError before all of it is in memory.
    Rows become ``sqlite3.Row``.
    """
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, value_bytes)
    connection.row_factory = _Rows(answer_bytes)


class _Rows:
    """Creates the rows of one statement after another, and adds up their size."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._cursor: weakref.ref[sqlite3.Cursor] | None = None
        self._size = 0

    def __call__(self, cursor: sqlite3.Cursor, values: RowTuple) -> sqlite3.Row:
        if self._cursor is None or self._cursor() is not cursor:
            self._cursor, self._size = weakref.ref(cursor), 0
        self._size += sum(len(v) if isinstance(v, (str, bytes)) else 8 for v in values)
        if self._size > self._limit:
            raise sqlite3.OperationalError(
                f"the result is larger than {self._limit >> 20} MB; select fewer rows or columns"
            )
        return sqlite3.Row(cursor, values)
