"""One sync, or vacuum, at a time on a database, over all processes of the machine.

The lock is the operating system's, on a file beside the database, so that a process that dies
leaves none behind. Who holds it is written in ``sync_runs``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from etl.errors import LockedError, WarehouseError
from etl.warehouse.database import open_warehouse


@contextmanager
def sync_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a warehouse, which need not be there yet.

    Raises LockedError at once if another process holds it.
    """
    if not path.parent.is_dir():
        raise WarehouseError(f"{path}: the folder must exist and be writable")
    lock = FileLock(f"{path.resolve()}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise LockedError(
            f"{path} is being synchronised by {_holder(path)}; or it is being vacuumed."
            " Wait for it, or stop it"
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


def _holder(path: Path) -> str:
    unknown = "another process"
    if not path.exists():
        return unknown
    with open_warehouse(path) as db:
        row = db.execute(
            "select pid, host, started_at from sync_runs order by run_id desc limit 1"
        ).fetchone()
    return "process {} on {}, which began its last run at {}".format(*row) if row else unknown
