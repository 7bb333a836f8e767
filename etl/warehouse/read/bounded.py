"""Read a warehouse for someone else: read-only, within limits of time and memory.

For the tools of agents, which may ask for anything at any time. The statements are ours, so they
run in a thread of the server and can be interrupted between two steps of SQLite.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from etl.errors import DataError, StoppedError, WarehouseError
from etl.warehouse.database import explain_sqlite, primary_code
from etl.warehouse.paths import connect_readonly
from etl.warehouse.visitor_sql.authorizer import allow_only_reading
from etl.warehouse.visitor_sql.limits import limit_memory

_VALUE_BYTES = 1 << 20
_ANSWER_BYTES = 16 << 20

# Steps of SQLite between two looks at the clock: a millisecond or so.
_STEPS = 100_000


class _Reader(Database):
    """A database whose queries need no savepoint, which is not allowed here: none can write."""

    def query(self, sql: str, params: Any = None) -> Generator[dict[str, Any], None, None]:
        """Yield the rows of a statement as dicts."""
        cursor = self.conn.execute(sql, params or {})
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield dict(zip(names, row, strict=True))


@contextmanager
def open_bounded(path: Path, *, seconds: float) -> Iterator[Database]:
    """Open a warehouse that is up to date, for at most ``seconds`` of statements.

    Raises DataError if they take longer or return too much, StoppedError if another thread
    interrupts them, and WarehouseError for every other SQLite error.
    """
    deadline = time.monotonic() + seconds
    try:
        with closing(connect_readonly(path)) as connection:
            db = _Reader(connection)
            limit_memory(connection, value_bytes=_VALUE_BYTES, answer_bytes=_ANSWER_BYTES)
            allow_only_reading(connection)
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
            yield db
    except sqlite3.Error as error:
        raise _explained(path, error, seconds, is_late=time.monotonic() > deadline) from None


def _explained(path: Path, error: sqlite3.Error, seconds: float, *, is_late: bool) -> Exception:
    code = primary_code(error)
    if code == sqlite3.SQLITE_INTERRUPT and is_late:
        return DataError(f"this takes longer than {seconds:g} s; choose fewer days or names")
    if code == sqlite3.SQLITE_INTERRUPT:
        return StoppedError("interrupted")
    # Errors of the limits have no code of SQLite.
    if code in (0, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_NOMEM):
        return DataError(f"{error}; choose fewer days or names")
    return WarehouseError(f"{path}: {explain_sqlite(error)}")
