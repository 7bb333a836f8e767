"""The ledger of live metrics: what was published to CloudWatch, and what has an unknown outcome.

Grain: target (account and region) x application or team x model x metric x 5-minute period.
``published`` is what CloudWatch is known to have; ``in_flight`` was sent, but no response has
confirmed it. It is written before the request and cleared after the response, each in one
transaction, so a process that dies in between leaves an open question, never a wrong amount.
Amounts are whole numbers: tokens, calls, pico-dollars.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlite_utils import Database

from etl.warehouse.database import transaction


class CustomMetric(NamedTuple):
    """One custom metric, in the warehouse's names.

    ``name``: of what ``dimension`` says, an application or a team. The column that it is stored in
    is ``application``, whatever it is.
    """

    name: str
    model_id: str
    metric: str
    dimension: str = "application"


class Put(NamedTuple):
    """An amount to add to the Sum of a period."""

    series: CustomMetric
    period_start: str
    amount: int


class InFlight(NamedTuple):
    """An amount with an unknown outcome, on top of the published one."""

    series: CustomMetric
    period_start: str
    published: int
    amount: int
    sent_at: str


@dataclass(frozen=True)
class Target:
    """Where metrics are published. Periods from ``published_from`` to ``published_to`` are done.

    ``agreed_metrics``: the number of custom metrics whose cost was accepted. ``levels_at``: when
    the costs of the day were last published.
    """

    key: int
    account_id: str
    region: str
    published_from: str | None
    published_to: str | None
    agreed_metrics: int
    levels_at: str | None = None


def find_target(db: Database, account_id: str, region: str) -> Target:
    """Return a target; key 0 if it is not stored. Writes nothing."""
    row = db.execute(
        "select target_key, account_id, region, published_from, published_to, agreed_metrics,"
        " levels_at from monitor_targets where account_id = ? and region = ?",
        [account_id, region],
    ).fetchone()
    return Target(*row) if row else Target(0, account_id, region, None, None, 0)


def ensure_target(db: Database, target: Target) -> Target:
    """Store a target, unless it is already stored; return it."""
    with transaction(db):
        db.conn.execute(
            "insert or ignore into monitor_targets (account_id, region) values (?, ?)",
            [target.account_id, target.region],
        )
    return find_target(db, target.account_id, target.region)


def save_agreement(db: Database, target: Target, metrics: int, now: str) -> None:
    """Record for how many metrics the user has accepted the cost."""
    with transaction(db):
        db.conn.execute(
            "update monitor_targets set agreed_metrics = ?, agreed_at = ? where target_key = ?",
            [metrics, now, target.key],
        )


def save_levels_at(db: Database, target: Target, now: str) -> None:
    """Record when the costs of the day were published."""
    with transaction(db):
        db.conn.execute(
            "update monitor_targets set levels_at = ? where target_key = ?", [now, target.key]
        )


def begin(db: Database, target: Target, since: str) -> None:
    """Record that all periods from ``since`` on are in progress and no longer count as done.

    So the next run makes up for a failed one, however far back that went.
    """
    with transaction(db):
        db.conn.execute(
            "update monitor_targets set"
            " published_from = min(coalesce(published_from, :since), :since),"
            " published_to = min(coalesce(published_to, :since), :since)"
            " where target_key = :key",
            {"since": since, "key": target.key},
        )


def finish(db: Database, target: Target, since: str, until: str) -> None:
    """Record that periods are done, unless earlier ones are not."""
    with transaction(db):
        db.conn.execute(
            "update monitor_targets set published_to = ?"
            " where target_key = ? and published_to >= ?",
            [until, target.key, since],
        )


def known_series(db: Database, target: Target) -> set[CustomMetric]:
    """Return the series published in the last two weeks: those that are paid for."""
    rows = db.execute(
        "select application, model_id, metric, dimension from monitor_series"
        " where target_key = ? and exists"
        " (select 1 from monitor_points where series_key = monitor_series.series_key)",
        [target.key],
    )
    return {CustomMetric(*row) for row in rows}


def dearest_names(db: Database, target: Target, dimension: str, most: int) -> list[str]:
    """Return the published applications, or teams, the most expensive first."""
    rows = db.execute(
        "select application from monitor_series join monitor_points using (series_key)"
        " where target_key = ? and dimension = ? group by application"
        " order by sum(iif(metric = 'CostUSD', published, 0)) desc, application limit ?",
        [target.key, dimension, most],
    )
    return [name for (name,) in rows]


def published_amounts(
    db: Database, target: Target, since: str, until: str
) -> dict[tuple[CustomMetric, str], int]:
    """Return the published amounts of the periods from ``since`` to before ``until``."""
    rows = db.execute(
        "select application, model_id, metric, dimension, period_start, published"
        " from monitor_series join monitor_points using (series_key)"
        " where target_key = ? and period_start >= ? and period_start < ?",
        [target.key, since, until],
    )
    return {(CustomMetric(*row[:4]), row[4]): row[5] for row in rows}


def in_flight(db: Database, target: Target) -> list[InFlight]:
    """Return the amounts with an unknown outcome."""
    rows = db.execute(
        "select application, model_id, metric, dimension, period_start, published, in_flight,"
        " sent_at"
        # A cross join, so that SQLite finds the few points in flight first, by their index.
        " from monitor_points cross join monitor_series using (series_key)"
        " where target_key = ? and in_flight is not null"
        " order by period_start, application, model_id, metric",
        [target.key],
    )
    return [InFlight(CustomMetric(*row[:4]), *row[4:]) for row in rows]


def mark_in_flight(db: Database, target: Target, puts: Sequence[Put], now: str) -> None:
    """Record amounts before they are sent."""
    with transaction(db):
        keys = _series_keys(db, target, [put.series for put in puts])
        db.conn.executemany(
            "insert into monitor_points (series_key, period_start, in_flight, sent_at)"
            " values (?, ?, ?, ?) on conflict do update"
            " set in_flight = excluded.in_flight, sent_at = excluded.sent_at",
            [(keys[put.series], put.period_start, put.amount, now) for put in puts],
        )


def confirm(db: Database, target: Target, puts: Iterable[Put]) -> None:
    """Record that amounts were published."""
    _end(db, target, puts, "published = published + in_flight")


def cancel(db: Database, target: Target, puts: Iterable[Put]) -> None:
    """Record that amounts were not published."""
    _end(db, target, puts, "published = published")


def save_amounts(db: Database, target: Target, amounts: Iterable[Put]) -> None:
    """Record the amounts that CloudWatch itself shows, in place of those in the ledger."""
    amounts = list(amounts)
    with transaction(db):
        keys = _series_keys(db, target, [put.series for put in amounts])
        db.conn.executemany(
            "insert into monitor_points (series_key, period_start, published) values (?, ?, ?)"
            " on conflict do update"
            " set published = excluded.published, in_flight = null, sent_at = null",
            [(keys[put.series], put.period_start, put.amount) for put in amounts],
        )


def forget_before(db: Database, target: Target, period_start: str) -> None:
    """Drop points too old to publish again. A series is known as long as it has a point."""
    with transaction(db):
        db.conn.execute(
            "delete from monitor_points where period_start < ? and series_key in"
            " (select series_key from monitor_series where target_key = ?)",
            [period_start, target.key],
        )


def limits(db: Database, target: Target) -> dict[str, str]:
    """Return the applications with a daily limit, and the limit in dollars, as text."""
    rows = db.execute(
        "select application, daily_limit_usd from monitor_limits where target_key = ?"
        " order by application",
        [target.key],
    )
    return dict(rows.fetchall())


def save_limit(db: Database, target: Target, application: str, daily_limit_usd: str) -> None:
    """Store the daily limit of an application."""
    with transaction(db):
        db.conn.execute(
            "insert or replace into monitor_limits values (?, ?, ?)",
            [target.key, application, daily_limit_usd],
        )


def drop_limits(db: Database, target: Target) -> None:
    """Delete all daily limits of a target."""
    with transaction(db):
        db.conn.execute("delete from monitor_limits where target_key = ?", [target.key])


def has_application(db: Database, application: str) -> bool:
    """Return whether an application has any usage."""
    row = db.execute(
        "select 1 from daily_costs_by_application where application = ? limit 1", [application]
    ).fetchone()
    return row is not None


def dropped_before(db: Database) -> str | None:
    """Return the time before which ``vacuum`` dropped calls; None if it never did."""
    row = db.execute("select max(dropped_before) from dropped_calls").fetchone()
    return row[0] if row else None


def _end(db: Database, target: Target, puts: Iterable[Put], outcome: str) -> None:
    puts = list(puts)
    with transaction(db):
        keys = _series_keys(db, target, [put.series for put in puts])
        rows = [(keys[put.series], put.period_start) for put in puts]
        db.conn.executemany(
            f"update monitor_points set {outcome}, in_flight = null, sent_at = null"
            " where series_key = ? and period_start = ? and in_flight is not null",
            rows,
        )
        # Points for which nothing was ever published.
        db.conn.executemany(
            "delete from monitor_points where series_key = ? and period_start = ?"
            " and published = 0 and in_flight is null",
            rows,
        )


def _series_keys(
    db: Database, target: Target, series: Iterable[CustomMetric]
) -> dict[CustomMetric, int]:
    wanted = set(series)
    db.conn.executemany(
        "insert or ignore into monitor_series"
        " (target_key, application, model_id, metric, dimension) values (?, ?, ?, ?, ?)",
        [(target.key, *one) for one in wanted],
    )
    rows = db.conn.execute(
        "select series_key, application, model_id, metric, dimension from monitor_series"
        " where target_key = ?",
        [target.key],
    )
    return {CustomMetric(*row[1:]): row[0] for row in rows}
