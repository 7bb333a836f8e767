"""Bring a warehouse of an earlier version to today's shape: what it takes, a copy before, the work.

All migrations are one transaction. SQLite keeps what was there until the last of them is committed,
so that whatever ends it (Ctrl-C, a kill, a full disk) leaves the warehouse as it was, and the next
command begins again. A copy of the old file is for whoever wants to go back to the old version.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from sqlite_utils import Database

from etl.errors import WarehouseError
from etl.warehouse.schema import EFFORTS, Effort, migrations

_MILLION = 1_000_000

# Of the file, copied at a time; between two of them Ctrl-C is noticed.
_PAGES = 2_000


class UpgradePlan(NamedTuple):
    """What an upgrade would do. ``version``: the last migration that was applied, None before one.

    ``seconds`` is for a slow machine; ``needed``: bytes that it may take; ``size``: of the file.
    """

    path: Path
    version: str | None
    migrations: tuple[str, ...]
    calls: int
    seconds: float
    needed: int
    free: int
    size: int


def plan_upgrade(db: Database) -> UpgradePlan:
    """Say what is to be done, and what it takes in a warehouse of this size. Nothing is changed."""
    pending = tuple(migration.name for migration in migrations.pending(db))
    applied = [migration.name for migration in migrations.applied(db)]
    calls = _calls(db)
    # What nobody has declared is a test's business; an upgrade does not fail for it.
    efforts = [EFFORTS[name] for name in pending if name in EFFORTS]
    seconds = bytes_needed = 0.0
    for effort in efforts:
        millions = (calls if effort.per == "events" else _rows(db, effort)) / _MILLION
        seconds += effort.seconds * millions
        bytes_needed += effort.megabytes * _MILLION * millions
    path = Path(db.conn.execute("pragma database_list").fetchone()[2])
    log = Path(f"{path}-wal")
    return UpgradePlan(
        path=path,
        version=applied[-1] if applied else None,
        migrations=pending,
        calls=calls,
        seconds=seconds,
        needed=int(bytes_needed),
        free=shutil.disk_usage(path.parent).free,
        size=sum(file.stat().st_size for file in (path, log) if file.exists()),
    )


def require_room(plan: UpgradePlan, *, backup_in: Path | None = None) -> None:
    """Raise WarehouseError if the disk has not the room, also for a copy into a folder."""
    rooms = {plan.path.parent: plan.needed}
    if backup_in is not None:
        if not backup_in.is_dir():
            raise WarehouseError(f"{backup_in} is not a folder: name another file after --backup")
        # The same disk may have to hold both.
        is_same = backup_in.stat().st_dev == plan.path.parent.stat().st_dev
        rooms[backup_in] = plan.size + (plan.needed if is_same else 0)
    for folder, needed in rooms.items():
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise WarehouseError(
                f"upgrading {plan.path.name} takes up to {needed:,} bytes of room in {folder}, and"
                f" {free:,} are free: make room and run the same command again; nothing was changed"
            )


def apply_migrations(db: Database, note: Callable[[str], None]) -> None:
    """Apply what is pending, in the caller's transaction; ``note`` is told each name first."""
    pending = [migration.name for migration in migrations.pending(db)]
    for number, name in enumerate(pending, 1):
        note(f"{name} ({number} of {len(pending)})")
        following = pending[number : number + 1]
        migrations.apply(db, stop_before=following or None)


def backup_path(plan: UpgradePlan) -> Path:
    """Return where a copy of the old file goes unless somebody says: beside it."""
    version = (plan.version or "m000").partition("_")[0]
    return plan.path.with_name(f"{plan.path.name}.{version}.backup")


def back_up(db: Database, target: Path, note: Callable[[int, int], None]) -> None:
    """Copy the open warehouse into a new file that only its owner may read.

    ``note`` is told the pages that are done and all. The copy appears under its name once it is
    whole. Raises WarehouseError if there is a file already, sqlite3.Error and OSError.
    """
    if target.exists():
        raise WarehouseError(f"{target} is there already: name another file after --backup")
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with closing(sqlite3.connect(part)) as copy:
            db.conn.backup(
                copy, pages=_PAGES, progress=lambda _, left, total: note(total - left, total)
            )
            # A file of its own, without a log beside it.
            copy.execute("pragma journal_mode = delete")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _rows(db: Database, effort: Effort) -> int:
    # A table that an earlier migration has yet to make is empty, or as small as what fills it.
    if effort.per not in db.table_names() or not (effort.seconds or effort.megabytes):
        return 0
    (rows,) = db.conn.execute(f"select count(*) from {effort.per}").fetchone()
    return int(rows)


def _calls(db: Database) -> int:
    """Return about how many calls there are; to count them one by one takes a while itself."""
    if "usage_daily" not in db.table_names():
        return 0
    (calls,) = db.conn.execute(
        "select coalesce(sum(calls + failed_calls), 0) from usage_daily"
    ).fetchone()
    return int(calls)
