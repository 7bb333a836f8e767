"""A cache of query results, valid until the warehouse changes.

Many people open the same page each morning, and between two syncs it shows the same to all of them.
``pragma data_version`` changes when another connection commits; reading it costs a look at shared
memory. A result is stored with the version read before the statement ran, so it may be newer than
its version, but never older.

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
from etl.warehouse.visitor_sql.limits import fetch_within

# Of all results together: some tens of megabytes.
MAX_ROWS = 50_000
_MAX_ANSWERS = 5_000

_Key = tuple[str, tuple[tuple[str, object], ...]]


class Answers:
    """The cached results of one warehouse, for all threads; drops the least recently used first."""

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
        """Return the rows of a statement, as ``fetch_within``; the caller must not change them."""
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
        """Empty the cache."""
        with self._lock:
            self._forget()

    def _look(self) -> int | None:
        """Return the version of the data, and drop results of another one; None: not known."""
        try:
            version: int | None = self._connection().execute("pragma data_version").fetchone()[0]
        except sqlite3.OperationalError:
            # Another process has exclusive access for a moment: the version is unknown, so nothing
            # is kept.
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
