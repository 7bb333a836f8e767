"""One sync, or vacuum, at a time on a database, over all processes of the machine.

The lock is the operating system's, on a file beside the database, so that a process that dies
leaves none behind. Who holds it is written in ``sync_runs``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from etl.errors import LockedError, WarehouseError
from etl.warehouse.database import open_warehouse
from etl.warehouse.paths import PRIVATE, is_there, real_path

# Whoever looks whether the lock is free takes it for a moment: a sync that begins just then waits
# for so long, and is not told that another one runs.
_PATIENCE_SECONDS = 0.5
_LOOK_SECONDS = 0.2


@contextmanager
def sync_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a warehouse, which need not be there yet.

    Raises LockedError in a moment if another process holds it, WarehouseError if what is there is
    no warehouse.
    """
    is_there(path)  # nothing is put beside what is no warehouse
    if not path.parent.is_dir():
        raise WarehouseError(f"{path}: the folder must exist and be writable")
    lock = FileLock(_lock_file(path), timeout=_PATIENCE_SECONDS)
    try:
        # Before the library would make it, for everybody to read.
        os.close(os.open(lock.lock_file, os.O_RDWR | os.O_CREAT, PRIVATE))
        lock.acquire()
    except Timeout:
        raise LockedError(
            f"{path} is being synchronised by {_holder(path)}; or it is being vacuumed,"
            " published or rebuilt. Wait for it, or stop it"
        ) from None
    except OSError as error:
        raise WarehouseError(
            f"{lock.lock_file}: {error.strerror};"
            " the folder must be writable, with room on the disk"
        ) from None
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of a warehouse. Nothing is left behind."""
    if not _lock_file(path).exists():
        return False
    # Longer than another one looks.
    lock = FileLock(_lock_file(path), timeout=_LOOK_SECONDS)
    try:
        lock.acquire(poll_interval=_LOOK_SECONDS / 10)
    except Timeout:
        return True
    except OSError:
        return False  # a file that nobody here may open: a sync says so in its own words
    lock.release()
    return False


def is_alive(pid: int, host: str) -> bool:
    """Return whether a process may still be there; of another machine nobody knows."""
    if host != socket.gethostname() or os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def _lock_file(path: Path) -> Path:
    return Path(f"{real_path(path)}.lock")


def _holder(path: Path) -> str:
    unknown = "another process"
    if not path.exists():
        return unknown
    with open_warehouse(path) as db:
        row = db.execute(
            "select pid, host, started_at from sync_runs order by run_id desc limit 1"
        ).fetchone()
    return "process {} on {}, which began its last run at {}".format(*row) if row else unknown
