"""Upgrade a warehouse of an earlier version: estimate the effort, back it up, migrate.

All migrations are one transaction. SQLite keeps the old content until it commits, so an upgrade
that ends early (Ctrl-C, a kill, a full disk) leaves the warehouse as it was, and the next command
starts it again. A backup of the old file allows a return to the old version.
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

# Pages of the file to copy at a time; Ctrl-C takes effect in between.
_PAGES = 2_000


class PendingMigration(NamedTuple):
    """A pending migration, and the seconds (on a slow machine) and bytes that it may take."""

    migration: str
    seconds: float
    needed: int


class UpgradePlan(NamedTuple):
    """What an upgrade would do. ``version``: the last migration applied, None if there is none.

    ``size``: the bytes of the file and its log.
    """

    path: Path
    version: str | None
    steps: tuple[PendingMigration, ...]
    calls: int
    free: int
    size: int

    @property
    def seconds(self) -> float:
        """The seconds that all steps may take."""
        return sum(step.seconds for step in self.steps)

    @property
    def needed(self) -> int:
        """The bytes that all steps may take."""
        return sum(step.needed for step in self.steps)

    @property
    def title(self) -> str:
        """The upgrade in a few words."""
        if not self.steps:
            return "updating the views"
        space = f", which needs up to {self.needed / 1e6:,.0f} MB of disk" if self.needed else ""
        return f"upgrading the warehouse to {self.steps[-1].migration}{space}"


def plan_upgrade(db: Database) -> UpgradePlan:
    """Return the pending steps, and what they take in a warehouse of this size. Changes nothing."""
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
    # A test requires every effort to be declared; an upgrade does not fail without one.
    effort = EFFORTS.get(migration, NO_EFFORT)
    millions = _rows(db, effort) / _MILLION
    return PendingMigration(
        migration, effort.seconds * millions, int(effort.megabytes * _MILLION * millions)
    )


def require_room(plan: UpgradePlan, *, backup_in: Path | None = None) -> None:
    """Raise WarehouseError if the disk lacks the space, including that for a backup in a folder."""
    rooms = {plan.path.parent: plan.needed}
    if backup_in is not None:
        if not backup_in.is_dir():
            raise WarehouseError(f"{backup_in} is not a folder: name another file with --backup")
        # The same disk may have to hold both.
        is_same = backup_in.stat().st_dev == plan.path.parent.stat().st_dev
        rooms[backup_in] = plan.size + (plan.needed if is_same else 0)
    for folder, needed in rooms.items():
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise WarehouseError(
                f"upgrading {plan.path.name} needs up to {needed:,} bytes in {folder}, but only"
                f" {free:,} are free: free some space and run the same command again; nothing was"
                " changed"
            )


def apply_migrations(db: Database, note: Callable[[str], None]) -> None:
    """Apply pending migrations in the caller's transaction; ``note`` gets each name first."""
    pending = [migration.name for migration in migrations.pending(db)]
    for number, name in enumerate(pending, 1):
        note(f"{name} ({number} of {len(pending)})")
        following = pending[number : number + 1]
        migrations.apply(db, stop_before=following or None)


def backup_path(plan: UpgradePlan) -> Path:
    """Return the default path of a backup, next to the file."""
    version = (plan.version or "m000").partition("_")[0]
    return plan.path.with_name(f"{plan.path.name}.{version}.backup")


def back_up(db: Database, target: Path, note: Callable[[int, int], None]) -> None:
    """Copy the open warehouse into a new file that only its owner may read.

    ``note`` gets the number of pages done and of all pages. The copy appears under its name once it
    is complete. Raises WarehouseError if the file exists, sqlite3.Error and OSError.
    """
    if target.exists():
        raise WarehouseError(f"{target} already exists: name another file with --backup")
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with closing(sqlite3.connect(part)) as copy:
            db.conn.backup(
                copy, pages=_PAGES, progress=lambda _, left, total: note(total - left, total)
            )
            # A single file, without a log next to it.
            copy.execute("pragma journal_mode = delete")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _rows(db: Database, effort: Effort) -> int:
    if effort == NO_EFFORT:
        return 0
    if effort.per == "events":
        return _calls(db)
    # A table that a pending migration will create is still empty.
    if effort.per not in db.table_names():
        return 0
    (rows,) = db.conn.execute(f"select count(*) from {effort.per}").fetchone()
    return int(rows)


def _calls(db: Database) -> int:
    """Return about how many calls there are; counting them exactly would take a while."""
    if "usage_daily" not in db.table_names():
        return 0
    (calls,) = db.conn.execute(
        "select coalesce(sum(calls + failed_calls), 0) from usage_daily"
    ).fetchone()
    return int(calls)
