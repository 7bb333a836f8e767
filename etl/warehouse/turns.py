"""Those who write take turns, transaction by transaction, however long it takes.

SQLite lets one write at a time. A lock of its own, in the operating system, says who: it is gone
with the process that held it, and other programs know it too. Its own way of waiting ends after a
fixed time, does not listen to signals, looks so seldom that one who writes batch after batch lets
nobody in, and does not wait at all where a transaction began by reading. So whoever writes here
begins with ``begin``, before anything is read, and looks again every hundredth of a second.
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

_LOOK_SECONDS = 0.01
_SAY_AFTER_SECONDS = 5.0

_TAKEN = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL})

# Which byte of the file beside a warehouse the one who writes has locked:
# https://www.sqlite.org/walformat.html#wal_locks
_WRITE_LOCK = 120


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@dataclass(frozen=True)
class Patience:
    """How to wait: ``limit`` seconds at most (None: for as long as it takes).

    ``check`` raises what ends the waiting before; ``tell`` says that it takes long.
    """

    limit: float | None = None
    check: Callable[[], None] = lambda: None
    tell: Callable[[str], None] = _tell


class Warehouse(Database):
    """An open warehouse. Its transactions wait for their turn, those of sqlite-utils too."""

    def __init__(self, connection: sqlite3.Connection, patience: Patience) -> None:
        # Whoever installed a plugin of sqlite-utils did not mean the warehouse; looking takes time.
        super().__init__(connection, execute_plugins=False)
        self.patience = patience

    @contextmanager
    def atomic(self) -> Iterator[Database]:
        """Commit what is done inside, or nothing of it; inside of another, as a part of that."""
        if self.conn.in_transaction:
            with super().atomic():
                yield self
        else:
            with transaction(self):
                yield self


@contextmanager
def transaction(db: Database) -> Iterator[None]:
    """Commit what is done inside, or nothing of it. Waits for its turn first."""
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
    """Begin a transaction that may write, once nobody else does."""
    in_turn(db, "begin immediate")


def in_turn(db: Database, statement: str) -> None:
    """Run a statement that needs the warehouse for itself, once nobody else writes."""
    patience = db.patience if isinstance(db, Warehouse) else Patience()
    (usual,) = db.conn.execute("pragma busy_timeout").fetchone()
    db.conn.execute("pragma busy_timeout = 0")
    try:
        wait = _Wait(db, patience)
        while not _is_run(db, statement, is_last=wait.is_over):
            wait.once()
    finally:
        db.conn.execute(f"pragma busy_timeout = {usual}")


def _is_run(db: Database, statement: str, *, is_last: bool) -> bool:
    try:
        db.conn.execute(statement).fetchall()
    except sqlite3.OperationalError as error:
        # The low byte is the primary code.
        is_taken = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in _TAKEN
        if is_last or not is_taken:
            raise
        return False
    return True


class _Wait:
    """Waits a moment at a time; says for whom, once, when that takes long."""

    def __init__(self, db: Database, patience: Patience) -> None:
        self._db, self._patience = db, patience
        self._began = time.monotonic()
        self._is_told = False

    @property
    def is_over(self) -> bool:
        limit = self._patience.limit
        return limit is not None and time.monotonic() - self._began > limit

    def once(self) -> None:
        self._patience.check()
        waited = time.monotonic() - self._began
        if waited > _SAY_AFTER_SECONDS and not self._is_told:
            self._is_told = True
            since = datetime.fromtimestamp(time.time() - waited, UTC)
            self._patience.tell(
                f"Waiting since {since:%H:%M:%S} UTC for {_writer(self._db)} to finish writing to"
                " the warehouse (stop waiting with Ctrl-C)"
            )
        time.sleep(_LOOK_SECONDS)


def _writer(db: Database) -> str:
    """Return who writes, as far as the system tells."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        inode = Path(f"{path_of(db)}-shm").stat().st_ino
        # Never by opening that file: closing it would give up the locks that this process holds.
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            kind, _, access, pid, file, start, end = line.partition(":")[2].split()[:7]
            is_it = kind in ("POSIX", "OFDLCK") and access == "WRITE"
            covers = int(start) <= _WRITE_LOCK and (end == "EOF" or int(end) >= _WRITE_LOCK)
            if is_it and covers and int(file.rpartition(":")[2]) == inode and int(pid) > 0:
                return f"process {pid}"
    return "another process"


def path_of(db: Database) -> Path:
    """Return the file of an open warehouse."""
    # As bytes: the name need not be UTF-8.
    (name,) = db.conn.execute(
        "select cast(file as blob) from pragma_database_list where name = 'main'"
    ).fetchone()
    return Path(os.fsdecode(name))
