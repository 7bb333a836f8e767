"""Allow one sync or vacuum at a time on a database, across all processes of the machine.

The lock is the operating system's, on a file next to the database, so a process that dies leaves
none behind. ``sync_runs`` records the holder.
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

# Testing the lock takes it for a moment. A sync that begins at that moment waits this long before
# it reports that another one is running (DECISIONS 54).
_PATIENCE_SECONDS = 0.5
_LOOK_SECONDS = 0.2


@contextmanager
def sync_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a warehouse, which need not exist yet.

    Raises LockedError after a moment if another process holds it, and WarehouseError if the file
    is not a warehouse.
    """
    is_there(path)  # raises before a lock file appears next to a file that is not a warehouse
    if not path.parent.is_dir():
        raise WarehouseError(f"{path}: the folder must exist and be writable")
    with _held(_lock_file(path)) as is_ours:
        if not is_ours:
            raise LockedError(
                f"{path} is being synced by {_holder(path)}, or it is being vacuumed, published or"
                " rebuilt. Wait for that to finish, or stop it"
            )
        yield


@contextmanager
def message_lock(path: Path) -> Iterator[None]:
    """Hold the right to send the messages of a warehouse: each is sent by one process.

    Raises LockedError after a moment if another process has it.
    """
    with _held(Path(f"{real_path(path)}.messages.lock")) as is_ours:
        if not is_ours:
            raise LockedError(f"{path}: another process is sending its messages")
        yield


@contextmanager
def _held(file: Path) -> Iterator[bool]:
    """Hold a lock, if no other process does; yield whether it is ours."""
    lock = FileLock(file, timeout=_PATIENCE_SECONDS)
    try:
        # Created here first: the library would make it readable for everyone.
        os.close(os.open(lock.lock_file, os.O_RDWR | os.O_CREAT, PRIVATE))
        lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as error:
        raise WarehouseError(
            f"{lock.lock_file}: {error.strerror};"
            " the folder must be writable, with free space on the disk"
        ) from None
    try:
        yield True
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of a warehouse. Leaves nothing behind."""
    if not _lock_file(path).exists():
        return False
    # Waits longer than another test holds the lock.
    lock = FileLock(_lock_file(path), timeout=_LOOK_SECONDS)
    try:
        lock.acquire(poll_interval=_LOOK_SECONDS / 10)
    except Timeout:
        return True
    except OSError:
        return False  # this user may not open the file: a sync reports that itself
    lock.release()
    return False


def is_alive(pid: int, host: str) -> bool:
    """Return whether a process may still be running; True for every process of another machine."""
    if host != socket.gethostname() or os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's process
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
    return "process {} on {} (last run started at {})".format(*row) if row else unknown
