"""Limits of memory for a connection that anybody's SQL runs on.

Time and the number of rows are limited elsewhere. Neither stops ``select zeroblob(100000000)``, or
some thousand rows of a megabyte each.
"""

from __future__ import annotations

import sqlite3
import weakref
from typing import Any

Row = tuple[Any, ...]


def limit_memory(connection: sqlite3.Connection, *, value_bytes: int, answer_bytes: int) -> None:
    """Let no value be larger than one limit, and no answer about as large as the other.

    What is too large fails as sqlite3.DataError or sqlite3.OperationalError, before it is all in
    memory. Rows become ``sqlite3.Row``.
    """
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, value_bytes)
    connection.row_factory = _Rows(answer_bytes)


class _Rows:
    """Makes the rows of one statement after the other, and adds up what they hold."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._cursor: weakref.ref[sqlite3.Cursor] | None = None
        self._size = 0

    def __call__(self, cursor: sqlite3.Cursor, values: Row) -> sqlite3.Row:
        if self._cursor is None or self._cursor() is not cursor:
            self._cursor, self._size = weakref.ref(cursor), 0
        self._size += sum(len(v) if isinstance(v, (str, bytes)) else 8 for v in values)
        if self._size > self._limit:
            raise sqlite3.OperationalError(
                f"the answer is larger than {self._limit >> 20} MB; ask for fewer rows or columns"
            )
        return sqlite3.Row(cursor, values)
