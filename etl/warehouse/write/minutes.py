"""Keep calls by the minute: who called when, for the estimate, also after calls are dropped.

A change of calls only notes its hours, so that loading does not wait for what few commands read.
``renew_minutes`` computes them again, and every reader calls it first.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlite_utils import Database

from etl.sql_files import sql_text

_TABLES = ("call_minutes", "known_minutes")


def note_changed_hours(db: Database, hours: Iterable[str]) -> None:
    """Record hours (``YYYY-MM-DDTHH``) whose calls or totals changed, in the caller's transaction.

    They lose the shares that a calibration found, until the next one.
    """
    names = [(f"{hour}:00:00Z",) for hour in hours]
    db.conn.executemany("delete from hour_shares where hour = ?", names)
    db.conn.executemany("insert or ignore into stale_minutes values (?)", names)
    note_uncalibrated(db, (name for (name,) in names))


def hours_with_late_tokens(db: Database, hours: Iterable[str]) -> set[str]:
    """Return the hours (``YYYY-MM-DDTHH``) that share tokens of calls of these hours before them.

    Those calls may be somebody else's now.
    """
    if db.execute("select 1 from hour_shares limit 1").fetchone() is None:
        return set()
    found = set()
    for hour in hours:
        after = datetime.fromisoformat(f"{hour}:00:00") + timedelta(hours=1)
        late = [f"{after:%Y-%m-%dT%H}:00:00Z"]
        if db.execute("select 1 from hour_shares where hour = ? and calls = 0", late).fetchone():
            found.add(late[0][:13])
    return found


def note_uncalibrated(db: Database, hours: Iterable[str]) -> None:
    """Record hours that a calibration has to look at again, in the caller's transaction."""
    db.conn.executemany(
        "insert or replace into uncalibrated_hours values (?, 0)",
        [(hour,) for hour in hours],
    )


def renew_minutes(db: Database, before: str = "9") -> None:
    """Compute the minutes of the stale hours before a moment, in the caller's transaction.

    Hours with dropped calls keep theirs.
    """
    (kept_from,) = db.execute(
        "select coalesce(max(dropped_before), '') from dropped_calls"
    ).fetchone()
    db.execute("delete from stale_minutes where hour < ?", [kept_from])
    days = db.execute(
        "select min(hour), max(hour) from stale_minutes where hour < ?"
        " group by substr(hour, 1, 10)",
        [before],
    ).fetchall()
    for first, last in days:
        _renew(db, {"first": first, "last": f"{last[:13]}:99"})
    db.execute("delete from stale_minutes where hour < ?", [before])


def _renew(db: Database, times: dict[str, str]) -> None:
    for table in _TABLES:
        db.execute(f"delete from {table} where hour >= :first and hour < :last", times)
        db.execute(f"insert into {table} {sql_text(f'load/{table}')}", times)
