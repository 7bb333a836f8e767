"""Writers take turns, transaction by transaction, however long it takes.

SQLite allows one writer at a time. Its write lock is the operating system's: it disappears with the
process that held it, and other programs respect it too. SQLite's own way of waiting ends after a
fixed time, ignores signals, retries so seldom that a process writing batch after batch keeps others
out, and does not wait at all if a transaction began by reading. So all our writers call ``begin``
before reading anything, and it retries every hundredth of a second.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlite_utils import Database

# SQLite's busy timeout is not enough (DECISIONS 94).
_RETRY_SECONDS = 0.01
_REPORT_AFTER_SECONDS = 5.0

_BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL})

# The byte of the -shm file that a writer locks:
# https://www.sqlite.org/walformat.html#wal_locks
_WRITE_LOCK = 120


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@dataclass(frozen=True)
class Patience:
    """How to wait: ``limit`` seconds at most (None: for as long as it takes).

    ``check`` may raise to end the wait early; ``report`` gets the message that it takes long.
    """

    limit: float | None = None
    check: Callable[[], None] = lambda: None
    report: Callable[[str], None] = _report


class Warehouse(Database):
    """An open warehouse. All transactions wait their turn, including those of sqlite-utils."""

    def __init__(self, connection: sqlite3.Connection, patience: Patience) -> None:
        # Plugins of sqlite-utils are not meant for the warehouse, and finding them takes time.
        super().__init__(connection, execute_plugins=False)
        self.patience = patience

    @contextmanager
    def atomic(self) -> Iterator[Database]:
        """Commit all changes inside, or none; if nested, as part of the outer transaction."""
        if self.conn.in_transaction:
            with super().atomic():
                yield self
        else:
            with transaction(self):
                yield self


@contextmanager
def transaction(db: Database) -> Iterator[None]:
    """Commit all changes inside, or none. Waits its turn first."""
    begin(db)
    try:
        yield
        db.conn.execute("commit")
    except BaseException:
        # A full disk may have ended the transaction already.
        if db.conn.in_transaction:
            db.conn.execute("rollback")
        raise


def begin(db: Database) -> None:
    """Begin a transaction that may write, once no other process writes."""
    in_turn(db, "begin immediate")


def in_turn(db: Database, statement: str) -> None:
    """Run a statement that needs exclusive write access, once no other process writes."""
    patience = db.patience if isinstance(db, Warehouse) else Patience()
    (usual,) = db.conn.execute("pragma busy_timeout").fetchone()
    db.conn.execute("pragma busy_timeout = 0")
    try:
        wait = _Wait(db, patience)
        while not _try(db, statement, is_last=wait.is_over):
            wait.once()
    finally:
        db.conn.execute(f"pragma busy_timeout = {usual}")


def _try(db: Database, statement: str, *, is_last: bool) -> bool:
    """Run a statement; return False if another process is writing, or raise if ``is_last``."""
    try:
        db.conn.execute(statement).fetchall()
    except sqlite3.OperationalError as error:
        # The low byte is the primary code.
        is_busy = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in _BUSY_CODES
        if is_last or not is_busy:
            raise
        return False
    return True


class _Wait:
    """Waits a moment at a time; if that takes long, reports once for which process."""

    def __init__(self, db: Database, patience: Patience) -> None:
        self._db, self._patience = db, patience
        self._began = time.monotonic()
        self._is_reported = False

    @property
    def is_over(self) -> bool:
        limit = self._patience.limit
        return limit is not None and time.monotonic() - self._began > limit

    def once(self) -> None:
        self._patience.check()
        waited = time.monotonic() - self._began
        if waited > _REPORT_AFTER_SECONDS and not self._is_reported:
            self._is_reported = True
            since = datetime.fromtimestamp(time.time() - waited, UTC)
            self._patience.report(
                f"Waiting since {since:%H:%M:%S} UTC for {_writer(self._db)} to finish writing to"
                " the warehouse (Ctrl-C stops waiting)"
            )
        time.sleep(_RETRY_SECONDS)


def _writer(db: Database) -> str:
    """Return which process writes, if the system shows it."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        inode = Path(f"{path_of(db)}-shm").stat().st_ino
        # Never open that file: closing it would release the locks that this process holds.
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            kind, _, access, pid, file, start, end = line.partition(":")[2].split()[:7]
            is_write = kind in ("POSIX", "OFDLCK") and access == "WRITE"
            covers = int(start) <= _WRITE_LOCK and (end == "EOF" or int(end) >= _WRITE_LOCK)
            if is_write and covers and int(file.rpartition(":")[2]) == inode and int(pid) > 0:
                return f"process {pid}"
    return "another process"


def path_of(db: Database) -> Path:
    """Return the file of an open warehouse."""
    # As bytes: the name may not be UTF-8.
    (name,) = db.conn.execute(
        "select cast(file as blob) from pragma_database_list where name = 'main'"
    ).fetchone()
    return Path(os.fsdecode(name))
