"""Read one place's totals from CloudWatch: which models, which hours, in few calls.

CloudWatch revises recent sums. So each run reads the current hour and the three before it again,
and once a day the last two days. After a pause it goes further back: to a day before the last such
reread. Values are replaced. Recent values are marked as provisional.

Progress is stored per series: a metric that ListMetrics reports later than its model's others has
its history read like a new model's.

What CloudWatch refuses as too old is read by the hour instead, and where it refuses that too, it is
a gap. ``_MARGIN`` avoids most refusals: clocks differ, and a run takes time.

Periods of 300 seconds are read as far back as CloudWatch keeps them, unless so many series would
take more than ``MAX_CALLS`` calls. Then the older part is read by the hour, which is enough for an
estimate. 600 series of 90 days have 11 million points of 300 seconds, which is 113 calls.

Where calls lack tokens, their series are read once a day by the minute as well, as far back as
CloudWatch keeps minutes or ``MAX_MINUTE_CALLS`` calls reach, and up to the last hour that does not
change any more. CloudWatch charges by series and call, so that a day at a time is cheap.

Once a day the minutes of CloudWatch's estimate of the quota of tokens that models take are read
too, where ListMetrics has it, and each day's highest is kept (``quota_peaks``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from etl.errors import RejectError, TooOldError
from etl.normalise.cloudwatch import METRICS_OF, parse_results
from etl.normalise.quotas import PEAK_METRIC, PEAK_NAMESPACE, peaks_of
from etl.normalise.rows import MetricValue
from etl.sources.cloudwatch import (
    DETAIL_RETENTION,
    MINUTE_RETENTION,
    RETENTION,
    TotalsSeries,
    calls_needed,
    fetch_totals,
    list_series,
)
from etl.sync.job import Job
from etl.sync.options import SyncOptions
from etl.sync.windows import REREAD_EVERY, REREAD_WINDOW
from etl.times import parse_utc, utc_text
from etl.warehouse.bookmarks import (
    Gap,
    SeriesState,
    StreamState,
    last_peak_day,
    load_series,
    models_called,
    series_lacking_tokens,
)
from etl.warehouse.write.batch import Batch, Reject

YOUNG = timedelta(hours=3)

# ListMetrics hides series that were idle for two weeks. A day less, because its list lags too.
HIDDEN_AFTER = timedelta(days=13)

MAX_CALLS = 20
MAX_MINUTE_CALLS = 20

HOUR, DETAIL, MINUTE = timedelta(hours=1), timedelta(seconds=300), timedelta(minutes=1)

# The namespace of each endpoint.
NAMESPACES = {"runtime": "AWS/Bedrock", "mantle": "AWS/BedrockMantle"}

# How much less is requested than CloudWatch keeps.
_MARGIN = timedelta(hours=1)

_DAY = timedelta(days=1)

_LISTED = METRICS_OF | {PEAK_NAMESPACE: METRICS_OF[PEAK_NAMESPACE] | {PEAK_METRIC}}

REFUSED = "CloudWatch refuses to go back as far, though it keeps 455 days"


class Stretch(NamedTuple):
    """Whole periods to read: ``start`` to before ``end``."""

    start: datetime
    end: datetime
    period: timedelta


def sync_totals(job: Job, options: SyncOptions) -> None:
    """Bring the totals of a place up to date."""
    as_of = job.place.clock.now()
    stored = job.state()
    state = _begin(stored, as_of, options.since)
    states = job.ask(lambda db: load_series(db, job.stream))
    known = {TotalsSeries(s.namespace, s.model_id, s.metric): s for s in states}
    called = job.ask(lambda db: list(models_called(db, job.place.region)))
    listed = list_series(job.place, _LISTED)
    peaks = {one for one in listed if one.metric == PEAK_METRIC}
    wanted = wanted_series(known, listed - peaks, called, as_of)
    is_reread = as_of - (state.reread_at or as_of) >= REREAD_EVERY
    groups = group_by_start(wanted, known, state, as_of, is_reread=is_reread)
    values, stale_rejects = 0, [str(job.stream)]
    for done, (start, series) in enumerate(sorted(groups.items())):
        reading = _Reading(job, series, start, as_of)
        for batch in reading.batches():
            values += len(batch.metrics)
            batch.files, stale_rejects = stale_rejects, []
            job.write(batch)
            left = len(groups) - done
            job.report("whole", done=done, left=left, read=values, share=done / len(groups))
        read = tuple(_read_series(one, known.get(one), start, as_of) for one in series)
        job.write(Batch(state=replace(state, series=read, gaps=reading.gaps)))
    if is_reread or stored.reread_at is None:
        _sync_peaks(job, sorted(peaks), as_of)
    minutes_at = _sync_minutes(job, as_of, state.minutes_at)
    reread_at = as_of if is_reread else state.reread_at
    job.write(
        Batch(
            state=replace(
                state,
                covered_from=state.history_from,
                watermark=as_of,
                read_at=as_of,
                reread_at=reread_at,
                minutes_at=minutes_at,
            )
        )
    )


def _sync_peaks(job: Job, series: list[TotalsSeries], as_of: datetime) -> None:
    """Keep the highest minute of each day, from the last one kept on."""
    place = job.place
    last = job.ask(lambda db: last_peak_day(db, place.account_id, place.region))
    kept_from = hour_of(as_of - MINUTE_RETENTION + _MARGIN) + HOUR
    day = parse_utc(f"{last}T00:00:00Z") if last else kept_from
    # Whole days, but for the first: what is left of it may lack its highest minute.
    start = max(day - _DAY, kept_from)
    while series and start < as_of:
        end = min(start.replace(hour=0) + _DAY, as_of)
        try:
            answers = fetch_totals(place, series, start, end, 60)
            job.write(Batch(renewed={"quota_peaks": list(peaks_of(answers))}))
        except TooOldError as error:
            job.note(f"{error}: no highest minutes of {utc_text(start)[:10]}")
        start = end


def _sync_minutes(job: Job, as_of: datetime, asked_at: datetime | None) -> datetime | None:
    """Read by the minute what calls without tokens need, once a day whatever the answer.

    Returns when it was last asked for; None if nothing was ever needed.
    """
    if asked_at is not None and as_of - asked_at < REREAD_EVERY:
        return asked_at
    kept_from = hour_of(as_of - MINUTE_RETENTION + _MARGIN) + HOUR
    place, since = job.place, utc_text(kept_from)
    found = job.ask(
        lambda db: list(series_lacking_tokens(db, place.account_id, place.region, since))
    )
    known = {
        TotalsSeries(NAMESPACES[endpoint], model_id, metric): parse_utc(last) if last else None
        for endpoint, model_id, metric, last in found
    }
    for start, series in sorted(_minute_groups(known, kept_from).items()):
        end = hour_of(as_of) - YOUNG
        while start < end and calls_needed(len(series), (end - start) // MINUTE) > MAX_MINUTE_CALLS:
            start += _DAY
        if start < end:
            _read_minutes(job, series, start, end)
    return as_of if known else asked_at


def _minute_groups(
    known: Mapping[TotalsSeries, datetime | None], kept_from: datetime
) -> dict[datetime, list[TotalsSeries]]:
    groups: dict[datetime, list[TotalsSeries]] = defaultdict(list)
    for one, last in sorted(known.items()):
        # Whatever was still recent at the last reread may have changed since.
        groups[max(last - REREAD_WINDOW, kept_from) if last else kept_from].append(one)
    return groups


def _read_minutes(job: Job, series: list[TotalsSeries], start: datetime, end: datetime) -> None:
    try:
        for answer in fetch_totals(job.place, series, start, end, 60):
            values = parse_results(answer)
            job.write(Batch(minutes=[one for one in values if isinstance(one, MetricValue)]))
    except TooOldError as error:
        # The longer periods are there; the next day's minutes are read a day later.
        job.note(f"{error}: no totals by the minute this time")


def _begin(state: StreamState, as_of: datetime, since: datetime | None) -> StreamState:
    oldest = hour_of(as_of - RETENTION + _MARGIN) + HOUR
    wanted = hour_of(max(since or state.history_from or as_of - timedelta(days=90), oldest))
    # If history is wanted further back than before, it is read again for every series.
    history_from = min(wanted, state.history_from or wanted)
    return replace(state, history_from=history_from, reread_at=state.reread_at or as_of)


# Including models that ListMetrics hides (DECISIONS 25, 115).
def wanted_series(
    known: Mapping[TotalsSeries, SeriesState],
    listed: Iterable[TotalsSeries],
    called: Iterable[tuple[str, str]],
    as_of: datetime,
) -> set[TotalsSeries]:
    """Return the series to read.

    These are the series that CloudWatch lists, and two kinds that it hides because they were idle
    for two weeks but that may have unread totals from before: those of called models that were
    never read, and those last read before the two weeks.
    """
    wanted = set(listed)
    models = {(one.namespace, one.model_id) for one in known.keys() | wanted}
    for namespace, model_id in {(NAMESPACES[end], name) for end, name in called} - models:
        wanted |= {TotalsSeries(namespace, model_id, metric) for metric in METRICS_OF[namespace]}
    hidden = {one for one, state in known.items() if as_of - state.watermark >= HIDDEN_AFTER}
    return wanted | hidden


def group_by_start(
    wanted: Iterable[TotalsSeries],
    known: Mapping[TotalsSeries, SeriesState],
    state: StreamState,
    as_of: datetime,
    *,
    is_reread: bool,
) -> dict[datetime, list[TotalsSeries]]:
    """Return the hours to read from, and the series to read from each."""
    groups: dict[datetime, list[TotalsSeries]] = defaultdict(list)
    for one in sorted(wanted):
        series = known.get(one)
        history_from = state.history_from or hour_of(as_of)
        if series is None or series.covered_from > history_from:
            groups[history_from].append(one)
            continue
        # From the hours that were provisional at the last read, so that none stays incomplete.
        start = hour_of(series.watermark) - YOUNG
        if is_reread:
            # Whatever was still recent at the last reread may have changed since.
            last = hour_of(state.reread_at or as_of) - REREAD_EVERY
            start = min(start, hour_of(as_of) - REREAD_WINDOW, last)
        groups[max(start, history_from)].append(one)
    return groups


def _read_series(
    series: TotalsSeries, known: SeriesState | None, start: datetime, as_of: datetime
) -> SeriesState:
    return SeriesState(*series, min(start, known.covered_from) if known else start, as_of)


def detail_kept_from(as_of: datetime) -> datetime:
    """Return the hour from which periods of 300 seconds are requested."""
    return hour_of(as_of - DETAIL_RETENTION + _MARGIN) + HOUR


# Fine periods as far as they cost little (DECISIONS 24).
def stretches(
    start: datetime, as_of: datetime, series: int, kept_from: datetime | None = None
) -> list[Stretch]:
    """Return what to read, by period: by the hour first, then in periods of 300 seconds.

    ``kept_from``: the earliest start of the latter.
    """
    end = _ceil(as_of, DETAIL)
    detail_from = max(start, kept_from or detail_kept_from(as_of))
    latest = hour_of(as_of) - REREAD_WINDOW
    while detail_from < latest and _calls(start, detail_from, end, series) > MAX_CALLS:
        detail_from = min(detail_from + timedelta(days=1), latest)
    return [
        stretch
        for stretch in (Stretch(start, detail_from, HOUR), Stretch(detail_from, end, DETAIL))
        if stretch.start < stretch.end
    ]


def _calls(start: datetime, detail_from: datetime, end: datetime, series: int) -> int:
    hourly, detailed = (detail_from - start) // HOUR, (end - detail_from) // DETAIL
    return sum(calls_needed(series, points) for points in (hourly, detailed) if points)


class _Reading:
    """Reads some series from one hour on. ``gaps`` are what CloudWatch refused."""

    def __init__(
        self, job: Job, series: list[TotalsSeries], start: datetime, as_of: datetime
    ) -> None:
        self._job, self._series, self._start, self._as_of = job, series, start, as_of
        self._kept_from = detail_kept_from(as_of)
        self._step = _DAY
        self._refused = Stretch(start, start, HOUR)
        self.gaps: tuple[Gap, ...] = ()

    def batches(self) -> Iterator[Batch]:
        """Yield what is read. Where CloudWatch refuses a time, continue from a later one."""
        first_start = self._start
        while True:
            try:
                yield from self._batches()
                break
            except TooOldError as error:
                if not self._move_edge():
                    raise
                self._job.note(f"{error}: trying again from a later time")
        if self._start > first_start:
            self.gaps = (Gap(first_start, self._start - timedelta(seconds=1), REFUSED),)

    def _batches(self) -> Iterator[Batch]:
        series, young = self._series, utc_text(hour_of(self._as_of) - YOUNG)
        for stretch in stretches(self._start, self._as_of, len(series), self._kept_from):
            self._refused = stretch
            seconds = int(stretch.period.total_seconds())
            for answer in fetch_totals(
                self._job.place, series, stretch.start, stretch.end, seconds
            ):
                yield self._batch(answer, young)

    def _batch(self, answer: Mapping[str, Any], young: str) -> Batch:
        batch, stream = Batch(), str(self._job.stream)
        for value in parse_results(answer, provisional_from=young):
            if isinstance(value, MetricValue):
                batch.metrics.append(value)
            elif isinstance(value, RejectError):
                batch.rejects.append(Reject(stream, "GetMetricData", str(value)))
        return batch

    def _move_edge(self) -> bool:
        """Skip a day of what was refused, then two, then four. Return whether that makes sense."""
        # CloudWatch has anything more recent: it was refused for another reason.
        latest = hour_of(self._as_of) - REREAD_WINDOW
        if self._refused.start >= latest:
            return False
        edge = min(self._refused.start + self._step, latest)
        self._step *= 2
        if self._refused.period == DETAIL:
            self._kept_from = edge
        else:
            self._start = edge
        return True


def hour_of(moment: datetime) -> datetime:
    """Return the start of a moment's hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def _ceil(moment: datetime, period: timedelta) -> datetime:
    return moment + (hour_of(moment) - moment) % period
