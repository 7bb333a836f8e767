"""Answers that are kept for as long as nothing changes in the warehouse.

Many people open the same page each morning, and between two syncs it says the same to all of them.
SQLite tells a connection when another one has committed (``pragma data_version``, a look at shared
memory); an answer belongs to what that said before the statement ran, so one that came too late is
newer than it claims and never older.

https://www.sqlite.org/pragma.html#pragma_data_version
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import finalize

from etl.warehouse.paths import connect_readonly
from etl.warehouse.visitors.limits import fetch_within

# Of all answers together: some tens of megabytes.
MAX_ROWS = 50_000
_MAX_ANSWERS = 5_000

_Key = tuple[str, tuple[tuple[str, object], ...]]


class Answers:
    """The answers of one warehouse, for all threads; the ones not asked for longest go first."""

    def __init__(self, db: Path, *, max_rows: int = MAX_ROWS) -> None:
        self._db, self._max_rows = db, max_rows
        self._lock = threading.Lock()
        self._watch: sqlite3.Connection | None = None
        self._version: int | None = None
        self._kept: OrderedDict[_Key, list[Any]] = OrderedDict()
        self._rows = 0

    def fetch(
        self,
        connection: sqlite3.Connection,
        sql: str,
        parameters: Mapping[str, object],
        *,
        seconds: float,
    ) -> list[Any]:
        """Return the rows of a statement, as ``fetch_within``; they are not to be changed."""
        key = (sql, tuple(sorted(parameters.items())))
        with self._lock:
            version = self._look()
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        rows = fetch_within(connection, sql, parameters, seconds=seconds)
        with self._lock:
            if version is not None and version == self._version:
                self._keep(key, rows)
        return rows

    def forget(self) -> None:
        """Keep none of them."""
        with self._lock:
            self._forget()

    def _look(self) -> int | None:
        """Return the version of the data, and forget what belongs to another; None: not known."""
        try:
            version: int | None = self._connection().execute("pragma data_version").fetchone()[0]
        except sqlite3.OperationalError:
            # Somebody has the file to himself for a moment: nothing is known, so nothing is kept.
            version = None
        if version is None or version != self._version:
            self._forget()
        self._version = version
        return version

    def _forget(self) -> None:
        self._kept.clear()
        self._rows = 0

    def _connection(self) -> sqlite3.Connection:
        if self._watch is None:
            self._watch = connect_readonly(self._db, timeout=0)
            finalize(self, self._watch.close)
        return self._watch

    def _keep(self, key: _Key, rows: list[Any]) -> None:
        self._rows += len(rows) - len(self._kept.pop(key, ()))
        self._kept[key] = rows
        while self._rows > self._max_rows or len(self._kept) > _MAX_ANSWERS:
            _, oldest = self._kept.popitem(last=False)
            self._rows -= len(oldest)
