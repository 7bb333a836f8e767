"""Drop old calls, and make the file smaller.

This drops the rows of single calls: ``events`` and everything that refers to them. The rollups
stay, so every usage report shows the same figures as before; ``calls`` has only the newer calls.
Who called in which minute stays too, for estimates.

- **One day at a time, each in its own transaction**, which also records the progress in
  ``dropped_calls``. However a run ends, what it dropped is recorded: one row a run, with a
  ``dropped_before`` that advances by days. It claims no more than was dropped: days after the last
  one with calls may still be loaded.
- **Wrong sums are not made permanent.** Only the calls could correct them, so nothing is dropped
  if the rollup differs from the sums of the calls.
- **Unused names** (sessions, for example, which may be as many as calls) are dropped too. The
  schema shows what refers to a name.
- **Compacting** is SQLite's VACUUM: it makes a copy next to the file and writes it back through the
  log, so others can keep reading. It needs twice the space of the data that is kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from sqlite_utils import Database

from etl.errors import WarehouseError
from etl.times import day_start, parse_utc, utc_text
from etl.warehouse import paths
from etl.warehouse.long_work import make_interruptible
from etl.warehouse.turns import in_turn, path_of, transaction
from etl.warehouse.upkeep.check import differing_rows
from etl.warehouse.write.minutes import renew_minutes
from etl.warehouse.write.watch import watch_before_dropping

_NAME_TABLES = {
    "sessions": "session_key",
    "user_agents": "user_agent_key",
    "principals": "principal_key",
    "request_metadata": "request_metadata_key",
    "guardrail_uses": "guardrail_use_key",
    "source_addresses": "source_address_key",
}

_LONGEST_SESSION = timedelta(days=2)


# Events that are no calls, by their time.
_OTHER_EVENTS = ("control_events", "unknown_operations", "skipped_operations")


class CallRange(NamedTuple):
    """The number of calls, and the times of the first and the last; None if there are none."""

    total: int = 0
    first: str | None = None
    last: str | None = None


class VacuumPlan(NamedTuple):
    """What a vacuum would do. Sizes in bytes.

    ``before``: calls older than this are dropped (None: none); ``size`` includes the log;
    ``unused``: free pages in the file; ``needed``: the space that compacting takes at most.
    """

    before: str | None
    calls: CallRange
    calls_kept: int
    size: int
    unused: int
    needed: int
    free: int


def cutoff(now: datetime, keep: timedelta) -> str:
    """Return the start of the UTC day ``keep`` ago: calls older than that may be dropped."""
    return day_start((now.astimezone(UTC) - keep).date())


def plan_vacuum(db: Database, before: str | None) -> VacuumPlan:
    """Return what would be dropped; changes nothing."""
    make_interruptible(db)
    old = _calls_before(db, before) if before is not None else CallRange()
    (total,) = db.conn.execute("select count(*) from events").fetchone()
    return VacuumPlan(
        before=before,
        calls=old,
        calls_kept=total - old.total,
        size=size_of(db),
        unused=_pragma(db, "page_size") * _pragma(db, "freelist_count"),
        needed=_room_needed(db),
        free=shutil.disk_usage(_folder(db)).free,
    )


def drop_calls(
    db: Database,
    before: str,
    *,
    dropped_at: str,
    on_day: Callable[[str], None] = lambda day: None,
) -> CallRange:
    """Drop every call before a moment, the start of a UTC day; return what was dropped.

    ``on_day`` gets each day that is done. Raises WarehouseError, and drops nothing, if the rollup
    differs from the sums of the calls. ``drop_unused_names`` then drops unused names.
    """
    make_interruptible(db)
    dropped = CallRange()
    claimed: str | None = None
    if _first_before(db, before):
        _refuse_wrong_sums(db)
    tables = tables_of_calls(db)
    with _without_foreign_keys(db):
        while (first := _first_before(db, before)) is not None:
            end = _next_day(first)
            with transaction(db):
                renew_minutes(db, end)
                watch_before_dropping(db, end)
                dropped = _add(dropped, _drop_until(db, end, tables))
                _note(db, dropped_at, claimed, end, dropped)
            claimed = end
            on_day(first[:10])
        with transaction(db):
            for table in (*_OTHER_EVENTS, "pending_tokens"):
                db.conn.execute(f"delete from {table} where event_time < ?", [before])
    return dropped


def tables_of_calls(db: Database) -> list[str]:
    """Return ``events`` and the tables that share its key."""
    return ["events", *dict.fromkeys(table for table, _ in _references(db, "events"))]


def drop_unused_names(db: Database) -> int:
    """Drop unused sessions, user agents, principals and metadata; return how many."""
    dropped = 0
    with _without_foreign_keys(db):
        with transaction(db):
            # What CloudTrail told of sessions without calls.
            db.conn.execute(
                "delete from session_users where session_key not in"
                " (select session_key from events where session_key is not null)"
            )
            # Credentials whose calls may still arrive stay: no session lasts two days.
            db.conn.execute(
                "delete from credentials where credential_key not in"
                " (select credential_key from events where credential_key is not null"
                " union select parent_key from credentials where parent_key is not null)"
                " and coalesce(told_at, '') < ?",
                [_oldest_session(db)],
            )
        for table, key in _NAME_TABLES.items():
            used = " union ".join(
                f"select {column} from {source} where {column} is not null"
                for source, column in _references(db, table)
            )
            with transaction(db):
                dropped += db.conn.execute(
                    f"delete from {table} where {key} not in ({used})"
                ).rowcount
    return dropped


def _oldest_session(db: Database) -> str:
    """Return when the oldest session may have begun of which calls may still arrive."""
    (last,) = db.conn.execute("select max(event_time) from events").fetchone()
    return utc_text(parse_utc(last) - _LONGEST_SESSION) if last else ""


def compact(db: Database) -> bool:
    """Shrink the file to the size of its content; return whether that is done.

    False: another process still reads the old content, and the file shrinks once it finishes.
    Raises WarehouseError if the disk lacks the space, and sqlite3.Error.
    """
    make_interruptible(db)
    _checkpoint(db)
    require_room(db)
    with _temporary_files_in(db, _folder(db)):
        in_turn(db, "vacuum")
    return _checkpoint(db)


def require_room(db: Database) -> None:
    """Raise WarehouseError if the disk lacks the space to compact."""
    folder = _folder(db)
    needed, free = _room_needed(db), shutil.disk_usage(folder).free
    if free < needed:
        raise WarehouseError(
            f"compacting needs {needed:,} bytes in {folder}, but only {free:,} are free: free some"
            " space and run `bedrock-usage vacuum` again"
        )


def size_of(db: Database) -> int:
    """Return the size of the file and of its log, in bytes."""
    return paths.size_of(path_of(db))


def _calls_before(db: Database, moment: str) -> CallRange:
    row = db.conn.execute(
        "select count(*), min(event_time), max(event_time) from events where event_time < ?"
        # Those were counted as dropped when they first were.
        " and (event_time, event_id) not in (select event_time, event_id from fetched_calls)",
        [moment],
    ).fetchone()
    return CallRange(*row)


def _first_before(db: Database, before: str) -> str | None:
    (first,) = db.conn.execute("select min(event_time) from events").fetchone()
    return first if first is not None and first < before else None


def _refuse_wrong_sums(db: Database) -> None:
    wrong = differing_rows(db, "rollup_matches_events")
    if wrong:
        raise WarehouseError(
            f"nothing was dropped: {wrong:,} sums differ from their calls, and without the calls"
            " they could not be repaired. Run `bedrock-usage check --rebuild` first"
        )


def _references(db: Database, table: str) -> list[tuple[str, str]]:
    """Return (table, column) of every reference to this table."""
    return db.conn.execute(
        'select tables.name, keys."from" from sqlite_master as tables'
        " join pragma_foreign_key_list(tables.name) as keys"
        " where tables.type = 'table' and keys.\"table\" = ?",
        [table],
    ).fetchall()


def _drop_until(db: Database, end: str, tables: Iterable[str]) -> CallRange:
    """Drop the calls before a moment from ``events`` and the tables that share its key."""
    dropped = _calls_before(db, end)
    for table in tables:
        db.conn.execute(f"delete from {table} where event_time < ?", [end])
    return dropped


def _add(one: CallRange, other: CallRange) -> CallRange:
    return CallRange(one.total + other.total, one.first or other.first, other.last)


def _note(
    db: Database, dropped_at: str, claimed: str | None, before: str, calls: CallRange
) -> None:
    """Record the progress of this run, replacing its record of the day before."""
    db.conn.execute(
        "delete from dropped_calls where dropped_at = ? and dropped_before = ?",
        [dropped_at, claimed],
    )
    db.conn.execute(
        "insert into dropped_calls values (?, ?, ?, ?, ?)", [dropped_at, before, *calls]
    )


def _next_day(moment: str) -> str:
    return day_start(parse_utc(moment).date() + timedelta(days=1))


def _pragma(db: Database, name: str) -> int:
    return int(db.conn.execute(f"pragma {name}").fetchone()[0])


def _folder(db: Database) -> Path:
    return path_of(db).parent


def _room_needed(db: Database) -> int:
    """Return the bytes that compacting takes: the copy, and the log to write it back."""
    pages = _pragma(db, "page_count") - _pragma(db, "freelist_count")
    return 2 * pages * _pragma(db, "page_size")


def _checkpoint(db: Database) -> bool:
    """Write the log into the file and empty it; return whether no other process prevented that."""
    (is_busy, _, _) = db.conn.execute("pragma wal_checkpoint(truncate)").fetchone()
    return not is_busy


@contextmanager
def _without_foreign_keys(db: Database) -> Iterator[None]:
    # Otherwise SQLite would search all calls for references to each dropped name.
    before = _pragma(db, "foreign_keys")
    db.conn.execute("pragma foreign_keys = off")
    try:
        yield
    finally:
        db.conn.execute(f"pragma foreign_keys = {before}")


@contextmanager
def _temporary_files_in(db: Database, folder: Path) -> Iterator[None]:
    """Let SQLite write its copy to the same disk, not to memory."""
    quoted = str(folder).replace("'", "''")
    db.conn.execute("pragma temp_store = file")
    # A SQLite built without this setting uses the system's temporary folder.
    db.conn.execute(f"pragma temp_store_directory = '{quoted}'")
    try:
        yield
    finally:
        db.conn.execute("pragma temp_store_directory = ''")
        db.conn.execute("pragma temp_store = memory")
