"""How far ``sync`` has read each stream.

A *stream* is one source in one account and region. Its state says what has been read completely. It
is saved in the transaction that writes the rows it claims, so it never claims more than is stored.
Only one process at a time owns the states (``etl.warehouse.lock``), with one thread per stream.

The covered time is one interval without a gap, ``covered_from`` to ``watermark``, both ends
included. It grows at both ends: by a *new* window after the watermark, and by a *history* window
before ``covered_from``. A window that is being read is stored separately, with its open part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlite_utils import Database

from etl.errors import WarehouseError
from etl.normalise.model_ids import NOT_STATED, parse_model_id
from etl.normalise.rows import ProvisionedThroughput
from etl.times import parse_utc, utc_text
from etl.warehouse.pseudonyms import forgotten_in


class StreamId(NamedTuple):
    """A source in an account and region."""

    source: str
    account_id: str
    region: str

    def __str__(self) -> str:
        return "/".join(self)


class Window(NamedTuple):
    """An interval being read, from its end: ``start`` to ``fetched_down_to`` is still open."""

    start: datetime
    end: datetime
    fetched_down_to: datetime


class Gap(NamedTuple):
    """An interval that can no longer be read, both ends included."""

    start: datetime
    end: datetime
    reason: str


class Reread(NamedTuple):
    """A covered interval that is read again, from its end; see ``sync_rereads``."""

    started_at: datetime
    start: datetime
    end: datetime
    reached: datetime
    requests: int = 0
    is_done: bool = False


class SeriesState(NamedTuple):
    """One metric of a model, with all hours from ``covered_from`` to ``watermark`` read."""

    namespace: str
    model_id: str
    metric: str
    covered_from: datetime
    watermark: datetime


@dataclass(frozen=True)
class StreamState:
    """What a stream has read; see the table ``sync_state``. Times are UTC, whole seconds.

    ``log_group``: the log group that was read, as a region may have several. ``windows``: by kind
    (new, history, reread). ``gaps`` and ``series`` are those to add or update. ``reread``: the
    counted reread in progress, or the latest one.
    """

    stream: StreamId
    covered_from: datetime | None = None
    watermark: datetime | None = None
    read_at: datetime | None = None
    history_from: datetime | None = None
    reread_at: datetime | None = None
    relisted_at: datetime | None = None
    minutes_at: datetime | None = None
    log_group: str | None = None
    windows: dict[str, Window] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    series: tuple[SeriesState, ...] = ()
    reread: Reread | None = None

    def with_window(self, kind: str, window: Window | None) -> StreamState:
        """Return the state with this window of the kind; None removes it."""
        others = {k: w for k, w in self.windows.items() if k != kind}
        return replace(self, windows=others | ({kind: window} if window else {}))


# How long the results of rereads are kept.
_REREADS_KEPT = timedelta(days=180)

# CloudWatch names these by their ARN, or by the last part of it.
_OPAQUE_ARN = re.compile(r"^arn:.*:(?:application-inference-profile|provisioned-model)/")

_TIMES = (
    *("covered_from", "watermark", "read_at", "history_from", "reread_at", "relisted_at"),
    "minutes_at",
)


def load_state(db: Database, stream: StreamId) -> StreamState:
    """Return a stream's state; an empty one if it was never read."""
    row = db.execute(
        f"select log_group, {', '.join(_TIMES)} from sync_state where stream = ?", [str(stream)]
    ).fetchone()
    if row is None:
        return StreamState(stream)
    windows = db.execute(
        "select kind, window_start, window_end, fetched_down_to from sync_windows where stream = ?",
        [str(stream)],
    )
    log_group, *times = row
    covered_from, watermark, read_at, history_from, reread_at, relisted_at, minutes_at = (
        parse_utc(text) if text else None for text in times
    )
    reread = db.execute(
        "select started_at, window_start, window_end, reached, requests from sync_rereads"
        " where stream = ? and not is_done order by started_at desc limit 1",
        [str(stream)],
    ).fetchone()
    return StreamState(
        stream,
        covered_from=covered_from,
        watermark=watermark,
        read_at=read_at,
        history_from=history_from,
        reread_at=reread_at,
        relisted_at=relisted_at,
        minutes_at=minutes_at,
        log_group=log_group,
        windows={kind: Window(*map(parse_utc, rest)) for kind, *rest in windows},
        reread=_reread(*reread) if reread else None,
    )


def _reread(started_at: str, start: str, end: str, reached: str, requests: int) -> Reread:
    return Reread(
        parse_utc(started_at), parse_utc(start), parse_utc(end), parse_utc(reached), requests
    )


def save_state(
    db: Database, state: StreamState, *, late_events: int = 0, late_from: str | None = None
) -> None:
    """Store a state in the caller's transaction; this clears the stream's last error.

    ``late_events``: how many late events the claimed rows contain; ``late_from``: the oldest time
    of those rows.

    Raises WarehouseError if the watermark would move backwards: a state never claims less than
    before.
    """
    name = str(state.stream)
    values = [getattr(state, column) for column in _TIMES]
    changed = db.conn.execute(
        f"insert into sync_state (stream, source, account_id, region, late_events,"
        f" log_group, {', '.join(_TIMES)}) values (?, ?, ?, ?, ?, ?{', ?' * len(_TIMES)})"
        " on conflict do update set late_events = late_events + excluded.late_events,"
        " error_at = null, error = null, log_group = excluded.log_group,"
        f" {', '.join(f'{c} = excluded.{c}' for c in _TIMES)}"
        " where watermark is null or excluded.watermark >= watermark",
        [
            name,
            *state.stream,
            late_events,
            state.log_group,
            *(utc_text(v) if v else None for v in values),
        ],
    ).rowcount
    if not changed:
        raise WarehouseError(
            f"the watermark of {name} would move backwards: this is a bug, please report it;"
            " nothing was changed"
        )
    db.conn.execute("delete from sync_windows where stream = ?", [name])
    db.conn.executemany(
        "insert into sync_windows values (?, ?, ?, ?, ?)",
        [(name, kind, *map(utc_text, window)) for kind, window in state.windows.items()],
    )
    db.conn.executemany(
        "insert into sync_gaps values (?, ?, ?, ?) on conflict do update set"
        " gap_end = max(gap_end, excluded.gap_end), reason = excluded.reason",
        [(name, utc_text(gap.start), utc_text(gap.end), gap.reason) for gap in state.gaps],
    )
    if state.reread:
        _save_reread(db, name, state.reread, late_events, late_from if late_events else None)
    db.conn.executemany(
        "insert or replace into sync_series values (?, ?, ?, ?, ?, ?)",
        [
            (
                name,
                s.namespace,
                s.model_id,
                s.metric,
                utc_text(s.covered_from),
                utc_text(s.watermark),
            )
            for s in state.series
        ],
    )


def _save_reread(
    db: Database, name: str, reread: Reread, late_events: int, late_from: str | None
) -> None:
    db.conn.execute(
        "insert into sync_rereads values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do update set"
        " reached = excluded.reached, requests = excluded.requests, is_done = excluded.is_done,"
        " late_events = late_events + excluded.late_events,"
        " late_from = min(coalesce(late_from, excluded.late_from),"
        " coalesce(excluded.late_from, late_from))",
        [name, *map(utc_text, reread[:4]), *reread[4:], late_events, late_from],
    )
    db.conn.execute(
        "delete from sync_rereads where stream = ? and started_at < ?",
        [name, utc_text(reread.started_at - _REREADS_KEPT)],
    )


def save_error(db: Database, stream: StreamId, error: str, now: datetime) -> None:
    """Record why a stream could not be read to its end; what it has covered stays."""
    with db.atomic():
        db.conn.execute(
            "insert into sync_state (stream, source, account_id, region, error_at, error)"
            " values (?, ?, ?, ?, ?, ?)"
            " on conflict do update set error_at = excluded.error_at, error = excluded.error",
            [str(stream), *stream, utc_text(now), forgotten_in(db).text(error)],
        )


def load_series(db: Database, stream: StreamId) -> list[SeriesState]:
    """Return the metric series that a stream has read."""
    rows = db.execute(
        "select namespace, model_id, metric, covered_from, watermark from sync_series"
        " where stream = ?",
        [str(stream)],
    )
    return [SeriesState(n, m, s, parse_utc(start), parse_utc(end)) for n, m, s, start, end in rows]


def series_lacking_tokens(
    db: Database, account_id: str, region: str, since: str
) -> Iterator[tuple[str, str, str, str | None]]:
    """Yield the series that calls without tokens need: those of the kinds they lack, and calls.

    As (endpoint, model id, metric, the last hour whose minutes are known). ``since``: an hour; only
    calls from then on count.
    """
    rows = db.execute(
        "select models.endpoint, models.model_id, metric, (select max(hour) from metric_minutes"
        " where metric_minutes.series_key = metric_series.series_key)"
        " from metric_series join models using (model_key)"
        " join accounts using (account_key) join regions using (region_key)"
        " join (select distinct account_key, region_key, endpoint, cloudwatch_model_id, token_kind"
        " from int_metric_known where unknown_calls > 0 and hour >= ?) as lacking"
        " using (account_key, region_key, endpoint, cloudwatch_model_id)"
        " where account_id = ? and region = ? and metric_kind in (token_kind, 'calls')"
        " group by metric_series.series_key",
        [since, account_id, region],
    )
    yield from rows.fetchall()


def models_called(db: Database, region: str) -> Iterator[tuple[str, str]]:
    """Yield (endpoint, model id) for every name CloudWatch may use for a model called in a region.

    Includes all accounts: this does not read the table of calls, so its size does not matter.
    """
    rows = db.execute(
        "select distinct endpoint, model_id from rate_keys join models using (model_key)"
        " join regions using (region_key) where region = ?",
        [region],
    )
    for endpoint, model_id in rows.fetchall():
        names = parse_model_id(model_id)
        known_as = {names.cloudwatch_model_id, names.canonical_model_id}
        if _OPAQUE_ARN.search(model_id):
            known_as.add(model_id)
        yield from ((endpoint, name) for name in sorted(known_as - {NOT_STATED}))


def unknown_profiles(db: Database, account_id: str, region: str) -> list[str]:
    """Return the application profiles that occur in calls but not in the catalogue."""
    arn = f"arn:%:bedrock:{region}:{account_id}:application-inference-profile/%"
    rows = db.execute(
        "select model_id from models where model_id like ?"
        " and model_tail not in (select profile_id from inference_profiles)",
        [arn],
    )
    return [model_id for (model_id,) in rows]


def read_since(db: Database, source: str, account_id: str, moment: str) -> bool:
    """Return whether any region's stream of a source was read after a moment."""
    row = db.execute(
        "select 1 from sync_state where source = ? and account_id = ? and read_at > ? limit 1",
        [source, account_id, moment],
    ).fetchone()
    return row is not None


def principals_of(db: Database, account_id: str) -> list[str]:
    """Return the roles and users of an account that have made calls."""
    rows = db.execute(
        "select distinct principal_arn from principals where principal_arn like ? or"
        " principal_arn like ? order by 1",
        [f"arn:%:sts::{account_id}:assumed-role/%", f"arn:%:iam::{account_id}:user/%"],
    )
    return [arn for (arn,) in rows]


def last_peak_day(db: Database, account_id: str, region: str) -> str | None:
    """Return the last day of which highest minutes of quotas are kept."""
    (day,) = db.execute(
        "select max(day) from quota_peaks where account_id = ? and region = ?",
        [account_id, region],
    ).fetchone()
    return None if day is None else str(day)


def names_of_models(db: Database) -> list[tuple[str, str | None]]:
    """Return the id and the name of each model of the catalogue, and the ids of those called."""
    rows = db.execute(
        "select model_id, model_name from foundation_models"
        " union select canonical_model_id, null from models order by 1, 2"
    )
    return rows.fetchall()


def latest_throughputs(db: Database, account_id: str, region: str) -> list[ProvisionedThroughput]:
    """Return what each provisioned throughput of a place was when it was last seen."""
    columns = ", ".join(ProvisionedThroughput._fields)
    rows = db.execute(
        f"select {columns}, max(seen_from) from provisioned_throughputs"
        " where account_id = ? and region = ? group by provisioned_model_arn",
        [account_id, region],
    )
    return [ProvisionedThroughput(*row[:-1]) for row in rows]


def start_run(db: Database, now: datetime, *, pid: int, host: str) -> int:
    """Record the start of a round; return its id."""
    with db.atomic():
        cursor = db.conn.execute(
            "insert into sync_runs (started_at, pid, host) values (?, ?, ?)",
            [utc_text(now), pid, host],
        )
    return int(cursor.lastrowid or 0)


def finish_run(
    db: Database, run_id: int, now: datetime, outcome: str, problems: Iterable[str], **counts: int
) -> None:
    """Record how a round ended; ``counts`` are columns of ``sync_runs``."""
    columns = ", ".join(f"{name} = ?" for name in counts)
    message = forgotten_in(db).text("\n".join(problems)) or None
    with db.atomic():
        db.conn.execute(
            f"update sync_runs set finished_at = ?, outcome = ?, message = ?, {columns}"
            " where run_id = ?",
            [utc_text(now), outcome, message, *counts.values(), run_id],
        )
