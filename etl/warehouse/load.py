"""Write batches of rows, each in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import NamedTuple

from sqlite_utils import Database

from etl.normalise.cloudtrail import BEDROCK, MANTLE
from etl.normalise.cloudwatch import MANTLE_METRICS
from etl.normalise.rows import Event, InferenceProfile, MetricValue, ServiceTokens
from etl.warehouse.calls import CallCounts, CallWriter
from etl.warehouse.names import Names


class Reject(NamedTuple):
    """One piece of input that could not be read; the reason holds none of its text."""

    file: str
    position: str
    reason: str


@dataclass
class Batch:
    """Rows to be written together. ``files``: files read from their start, whose old rejects go."""

    events: list[Event] = field(default_factory=list)
    service_tokens: list[ServiceTokens] = field(default_factory=list)
    metrics: list[MetricValue] = field(default_factory=list)
    profiles: list[InferenceProfile] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(getattr(self, part.name)) for part in fields(self))


@dataclass
class Written(CallCounts):
    """What became of a batch; a metric value or profile that was there already counts nothing."""

    metric_values: int = 0
    profiles: int = 0

    def add(self, other: CallCounts) -> None:
        """Add another batch's counts to these."""
        for part in fields(other):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))


class Loader:
    """Writes batches to one open warehouse."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._names = Names(db)
        self._calls = CallWriter(db, self._names)

    def write(self, batch: Batch) -> Written:
        """Commit a batch and its rollup, or nothing of it."""
        try:
            # Immediate: two writers wait for each other instead of failing half way.
            self._db.conn.execute("begin immediate")
            written = self._write(batch)
            self._db.conn.execute("commit")
        except BaseException:
            if self._db.conn.in_transaction:
                self._db.conn.execute("rollback")
            self._names.forget()
            raise
        return written

    def _write(self, batch: Batch) -> Written:
        written = Written(
            profiles=sum(self._write_profile(profile) for profile in batch.profiles),
            metric_values=sum(self._write_metric(metric) for metric in batch.metrics),
        )
        if batch.events or batch.service_tokens:
            written.add(self._calls.write(batch.events, batch.service_tokens))
        # A file read again from its start may have been mended since.
        conn = self._db.conn
        conn.executemany("delete from rejects where file = ?", [(file,) for file in batch.files])
        conn.executemany("insert or ignore into rejects values (?, ?, ?)", batch.rejects)
        return written

    def _write_metric(self, metric: MetricValue) -> int:
        # CloudWatch revises its sums: the value read last stands.
        return self._db.conn.execute(
            "insert into metric_totals (series_key, period_start, period_seconds, value)"
            " values (?, ?, ?, ?)"
            " on conflict do update set value = excluded.value where value <> excluded.value",
            [self._series(metric), metric.period_start, metric.period_seconds, metric.value],
        ).rowcount

    def _series(self, metric: MetricValue) -> int:
        names = self._names
        source = MANTLE if metric.metric in MANTLE_METRICS else BEDROCK
        return names.series(
            names.account(metric.account_id),
            names.region(metric.region),
            names.model(metric.model_id, source),
            metric.metric,
        )

    def _write_profile(self, profile: InferenceProfile) -> int:
        model_key = self._names.model(profile.model_id) if profile.model_id else None
        return self._db.conn.execute(
            "insert into inference_profiles values (?, ?, ?, ?, ?, ?, ?, ?)"
            " on conflict do update set profile_name = excluded.profile_name,"
            " model_key = excluded.model_key, inference_scope = excluded.inference_scope,"
            " application = excluded.application, tags = excluded.tags"
            " where (profile_name, model_key, inference_scope, application, tags)"
            " is not (excluded.profile_name, excluded.model_key, excluded.inference_scope,"
            " excluded.application, excluded.tags)",
            [
                profile.profile_arn,
                profile.profile_id,
                profile.profile_name,
                profile.profile_type,
                model_key,
                profile.inference_scope,
                profile.application,
                profile.tags,
            ],
        ).rowcount
