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
from etl.warehouse.paths import size_of
from etl.warehouse.schema import EFFORTS, NO_EFFORT, Effort, migrations
from etl.warehouse.turns import path_of

_MILLION = 1_000_000

# Of the file, copied at a time; between two of them Ctrl-C is noticed.
_PAGES = 2_000


class PendingMigration(NamedTuple):
    """A migration that is pending, what it may take on a slow machine, and how many bytes."""

    migration: str
    seconds: float
    needed: int


class UpgradePlan(NamedTuple):
    """What an upgrade would do. ``version``: the last migration that was applied, None before one.

    ``size``: bytes of the file and its log.
    """

    path: Path
    version: str | None
    steps: tuple[PendingMigration, ...]
    calls: int
    free: int
    size: int

    @property
    def seconds(self) -> float:
        """What all of it may take."""
        return sum(step.seconds for step in self.steps)

    @property
    def needed(self) -> int:
        """The bytes that all of it may take."""
        return sum(step.needed for step in self.steps)

    @property
    def title(self) -> str:
        """What is done, in a few words."""
        if not self.steps:
            return "renewing the warehouse's views"
        room = f", which takes up to {self.needed / 1e6:,.0f} MB of disk" if self.needed else ""
        return f"upgrading the warehouse to {self.steps[-1].migration}{room}"


def plan_upgrade(db: Database) -> UpgradePlan:
    """Say what is to be done, and what it takes in a warehouse of this size. Nothing is changed."""
    applied = [migration.name for migration in migrations.applied(db)]
    path = path_of(db)
    return UpgradePlan(
        path=path,
        version=applied[-1] if applied else None,
        steps=tuple(_step(db, migration.name) for migration in migrations.pending(db)),
        calls=_calls(db),
        free=shutil.disk_usage(path.parent).free,
        size=size_of(path),
    )


def _step(db: Database, migration: str) -> PendingMigration:
    # What nobody has declared is a test's business; an upgrade does not fail for it.
    effort = EFFORTS.get(migration, NO_EFFORT)
    millions = _rows(db, effort) / _MILLION
    return PendingMigration(
        migration, effort.seconds * millions, int(effort.megabytes * _MILLION * millions)
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
    if effort == NO_EFFORT:
        return 0
    if effort.per == "events":
        return _calls(db)
    # A table that an earlier migration has yet to make has nothing in it.
    if effort.per not in db.table_names():
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
