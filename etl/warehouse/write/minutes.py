"""Keep calls by the minute: who called when, for the estimate, also after calls are dropped.

A change of calls only notes its hours, so that loading does not wait for what few commands read.
``renew_minutes`` computes them again, and every reader calls it first.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlite_utils import Database

from etl.sql_files import sql_text

_TABLES = ("call_minutes", "known_minutes")


def note_changed_hours(db: Database, hours: Iterable[str]) -> None:
    """Record hours (``YYYY-MM-DDTHH``) of changed calls or totals, in the caller's transaction."""
    names = [(f"{hour}:00:00Z",) for hour in hours]
    db.conn.executemany("insert or ignore into stale_minutes values (?)", names)
    note_uncalibrated(db, (name for (name,) in names))


def note_changed_series(db: Database, changes: str) -> None:
    """Record whose shares ``drop_changed_shares`` drops, in the caller's transaction.

    ``changes``: a relation with the hour, account_key and rate_key of changed calls or totals.
    """
    if db.execute("select 1 from hour_shares limit 1").fetchone() is None:
        return
    db.execute(
        "create temp table if not exists changed_shares (hour text, account_key integer,"
        " rate_key integer, primary key (hour, account_key, rate_key)) without rowid"
    )
    db.execute(
        "insert or ignore into changed_shares"
        f" select distinct hour, account_key, rate_key from {changes}"
    )


def forget_changed_shares(db: Database) -> None:
    """Forget what was recorded: in the end, nothing has changed."""
    if db.execute("select 1 from temp.sqlite_schema where name = 'changed_shares'").fetchone():
        db.execute("delete from changed_shares")


def drop_changed_shares(db: Database) -> set[str]:
    """Drop the shares of changed hours and series, until the next calibration.

    Also those of the hours after them that share tokens of calls of these hours, which may be
    somebody else's now; returns the latter (``YYYY-MM-DDTHH``).
    """
    if db.execute("select 1 from temp.sqlite_schema where name = 'changed_shares'").fetchone():
        changed = {h[:13] for (h,) in db.execute("select distinct hour from changed_shares")}
        dropped = {h[:13] for (h,) in db.execute(_DROP_SHARES)}
        db.execute("delete from changed_shares")
        return dropped - changed
    return set()


_DROP_SHARES = """
with rates as materialized (select * from int_rate_series),
changed as (
    select distinct hour, account_key, region_key, endpoint, cloudwatch_model_id
    from changed_shares join rates using (account_key, rate_key)
),
same_series as materialized (
    select hour, account_key, rate_key from changed
    join rates using (account_key, region_key, endpoint, cloudwatch_model_id)
),
after as (
    select distinct strftime('%Y-%m-%dT%H:00:00Z', hour, '+1 hour') as hour,
        account_key, region_key, endpoint, cloudwatch_model_id
    from same_series join rates using (account_key, rate_key)
    where exists (
        select 1 from hour_shares as late
        where late.hour = strftime('%Y-%m-%dT%H:00:00Z', same_series.hour, '+1 hour')
        and (late.account_key, late.rate_key) = (same_series.account_key, same_series.rate_key)
        and late.calls = 0
    )
)
delete from hour_shares where (hour, account_key, rate_key) in (
    select * from same_series
    union
    select hour, account_key, rate_key from after
    join rates using (account_key, region_key, endpoint, cloudwatch_model_id)
)
returning hour
"""


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
