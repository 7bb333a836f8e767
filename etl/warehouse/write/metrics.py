"""Write CloudWatch totals, and keep ``metric_hourly`` equal to the view ``int_metric_hours``."""

from __future__ import annotations

import json
from collections import defaultdict

from sqlite_utils import Database

from etl.normalise.cloudtrail import BEDROCK, MANTLE
from etl.normalise.cloudwatch import MANTLE_METRICS, METRICS
from etl.normalise.rows import MetricValue
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.minutes import note_changed_series, note_uncalibrated


class MetricWriter:
    """Writes totals inside the caller's transaction."""

    def __init__(self, db: Database, names: Names) -> None:
        self._db = db
        self._names = names
        db.execute(
            "create temp table if not exists changed_totals (hour text, series_key integer,"
            " primary key (hour, series_key)) without rowid"
        )

    def write(self, metrics: list[MetricValue]) -> tuple[int, set[str]]:
        """Write totals; return how many are new or changed, and in which hours."""
        changed = [(self._series(m), m) for m in metrics]
        changed = [(series, m) for series, m in changed if self._write(series, m)]
        pairs = {(f"{m.period_start[:13]}:00:00Z", series) for series, m in changed}
        self._renew_hours(pairs)
        return len(changed), {hour[:13] for hour, _ in pairs}

    def write_minutes(self, metrics: list[MetricValue]) -> None:
        """Write totals of 60 seconds, by the hour; other minutes of the hour stay as they are."""
        hours: dict[tuple[int, str], dict[str, int]] = defaultdict(dict)
        for one in metrics:
            hour, minute = f"{one.period_start[:13]}:00:00Z", str(int(one.period_start[14:16]))
            hours[self._series(one), hour][minute] = one.value
        changed = {key[1] for key, values in hours.items() if self._write_hour(key, values)}
        note_uncalibrated(self._db, changed)

    def _write_hour(self, key: tuple[int, str], minutes: dict[str, int]) -> bool:
        cursor = self._db.conn.execute(
            "insert into metric_minutes values (?, ?, ?)"
            " on conflict do update set minutes = json_patch(minutes, excluded.minutes)"
            " where minutes <> json_patch(minutes, excluded.minutes)",
            [*key, json.dumps(minutes, separators=(",", ":"))],
        )
        return cursor.rowcount > 0

    def _series(self, metric: MetricValue) -> int:
        names = self._names
        source = MANTLE if metric.metric in MANTLE_METRICS else BEDROCK
        return names.series(
            names.account(metric.account_id),
            names.region(metric.region),
            names.model(metric.model_id, source),
            metric.metric,
            METRICS[metric.metric],
        )

    def _write(self, series_key: int, metric: MetricValue) -> bool:
        # CloudWatch revises its sums: the latest value read wins.
        cursor = self._db.conn.execute(
            "insert into metric_totals values (?, ?, ?, ?, ?)"
            " on conflict do update"
            " set value = excluded.value, is_provisional = excluded.is_provisional"
            " where (value, is_provisional) <> (excluded.value, excluded.is_provisional)",
            [
                series_key,
                metric.period_start,
                metric.period_seconds,
                metric.value,
                metric.is_provisional,
            ],
        )
        return cursor.rowcount > 0

    def _renew_hours(self, pairs: set[tuple[str, int]]) -> None:
        """For each changed hour, count once the series that measure the same usage."""
        conn = self._db.conn
        conn.execute("delete from changed_totals")
        conn.executemany("insert into changed_totals values (?, ?)", sorted(pairs))
        conn.execute(_RENEW_HOURS)
        note_changed_series(self._db, _CHANGED_SERIES)


_CHANGED_SERIES = (
    "changed_totals join metric_series using (series_key) join models using (model_key)"
    " join int_rate_series using (account_key, region_key, endpoint, cloudwatch_model_id)"
)

# The three steps of int_metric_hours, only for the changed hours and the series that measure the
# same usage as a changed one: the view would read every total.
_RENEW_HOURS = """
with touched as (
    select distinct hour, account_key, region_key, endpoint, cloudwatch_model_id, metric_kind
    from changed_totals cross join metric_series using (series_key) join models using (model_key)
),
same_use as (
    select hour, other.series_key, account_key, region_key, endpoint, cloudwatch_model_id,
        model_tail, metric_kind, model_key
    from touched
    join models using (endpoint, cloudwatch_model_id)
    join metric_series as other using (account_key, region_key, model_key, metric_kind)
),
period_sums as (
    select same_use.*, period_seconds, sum(value) as value, max(is_provisional) as is_provisional
    from same_use
    cross join metric_totals on metric_totals.series_key = same_use.series_key
        and period_start between hour and substr(hour, 1, 13) || ':59:59Z'
    group by hour, same_use.series_key, period_seconds
),
counted_once as (
    select *, max(value) as hour_value, max(is_provisional) as hour_is_provisional,
        min(model_key) as least_model_key
    from period_sums
    group by hour, account_key, region_key, endpoint, cloudwatch_model_id, metric_kind, model_tail
)
insert or replace into metric_hourly (hour, account_key, region_key, endpoint,
    cloudwatch_model_id, metric_kind, model_key, value, is_provisional)
select hour, account_key, region_key, endpoint, cloudwatch_model_id, metric_kind,
    min(least_model_key), sum(hour_value), max(hour_is_provisional)
from counted_once
group by hour, account_key, region_key, endpoint, cloudwatch_model_id, metric_kind
"""
