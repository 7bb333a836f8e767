"""Read one place's totals from CloudWatch: which models, which hours, in few calls.

CloudWatch revises young sums. So each run reads the current hour and the three before it again, and
once a day the last two days; values are replaced. What is that young is marked as provisional.

Periods of 300 seconds are read as far back as CloudWatch keeps them, unless so many series would
take more than ``MAX_CALLS`` calls: then the older part is read by the hour, which is all that an
estimate needs. 600 series of 90 days have 11 million points of 300 seconds, which is 113 calls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from etl.errors import RejectError
from etl.normalise.cloudwatch import METRICS_OF, parse_results
from etl.normalise.rows import MetricValue
from etl.sources.cloudwatch import (
    DETAIL_RETENTION,
    RETENTION,
    Series,
    calls_needed,
    fetch_totals,
    list_series,
)
from etl.sync.job import Job
from etl.sync.windows import REREAD_EVERY, REREAD_WINDOW
from etl.warehouse.bookmarks import (
    SeriesState,
    StreamState,
    load_series,
    models_called,
    utc,
)
from etl.warehouse.load import Batch, Reject

SOURCE = "cloudwatch"

YOUNG = timedelta(hours=3)

# ListMetrics hides what was idle for two weeks; a day less, because its list is late as well.
HIDDEN_AFTER = timedelta(days=13)

MAX_CALLS = 20

HOUR, DETAIL = timedelta(hours=1), timedelta(seconds=300)

# Each endpoint reports to a namespace of its own.
NAMESPACES = {"runtime": "AWS/Bedrock", "mantle": "AWS/BedrockMantle"}

Model = tuple[str, str]  # namespace, model id as CloudWatch names it


class Stretch(NamedTuple):
    """Whole periods to read: ``start`` to before ``end``."""

    start: datetime
    end: datetime
    period: timedelta


def sync_totals(job: Job, *, since: datetime | None) -> None:
    """Bring the totals of a place up to now."""
    as_of = job.place.clock.now()
    state = _begin(job.state(), as_of, since)
    known = {(s.namespace, s.model_id): s for s in job.ask(lambda db: load_series(db, job.stream))}
    called = job.ask(lambda db: list(models_called(db, job.place.region)))
    wanted = wanted_models(known, list_series(job.place), called, as_of)
    is_reread = as_of - (state.reread_at or as_of) >= REREAD_EVERY
    groups = group_by_start(wanted, known, state, as_of, is_reread=is_reread)
    values, stale_rejects = 0, [str(job.stream)]
    for done, (start, models) in enumerate(sorted(groups.items())):
        series = [Series(*model, metric) for model in models for metric in sorted(wanted[model])]
        for batch in _batches(job, series, start, as_of):
            values += len(batch.metrics)
            batch.files, stale_rejects = stale_rejects, []
            job.write(batch)
            left = len(groups) - done
            job.tell("totals", done=done, left=left, read=values, share=done / len(groups))
        read = tuple(_read_series(m, known.get(m), start, as_of) for m in models)
        job.write(Batch(state=replace(state, series=read)))
    reread_at = as_of if is_reread else state.reread_at
    job.write(
        Batch(
            state=replace(
                state,
                covered_from=state.history_from,
                watermark=as_of,
                read_at=as_of,
                reread_at=reread_at,
            )
        )
    )


def _begin(state: StreamState, as_of: datetime, since: datetime | None) -> StreamState:
    oldest = hour_of(as_of - RETENTION) + HOUR
    wanted = hour_of(max(since or state.history_from or as_of - timedelta(days=90), oldest))
    # What is wanted further back than before is read for every model again.
    history_from = min(wanted, state.history_from or wanted)
    return replace(state, history_from=history_from, reread_at=state.reread_at or as_of)


def wanted_models(
    known: Mapping[Model, SeriesState],
    listed: Iterable[Series],
    called: Iterable[tuple[str, str]],
    as_of: datetime,
) -> dict[Model, frozenset[str]]:
    """Return the models to read and their metrics.

    Those that CloudWatch lists, with the metrics it lists. Of those that it hides because they were
    idle for two weeks, the ones that may have unread totals from before: what calls name and nobody
    has read yet, and what was last read before those weeks.
    """
    metrics: dict[Model, set[str]] = defaultdict(set)
    for series in listed:
        metrics[series.namespace, series.model_id].add(series.metric)
    hidden = {(NAMESPACES[endpoint], model_id) for endpoint, model_id in called} - known.keys()
    hidden |= {model for model, state in known.items() if as_of - state.watermark >= HIDDEN_AFTER}
    for model in hidden - metrics.keys():
        metrics[model] |= METRICS_OF[model[0]]
    return {model: frozenset(names) for model, names in metrics.items()}


def group_by_start(
    wanted: Iterable[Model],
    known: Mapping[Model, SeriesState],
    state: StreamState,
    as_of: datetime,
    *,
    is_reread: bool,
) -> dict[datetime, list[Model]]:
    """Return the hour that each model is read from, and the models of each such hour."""
    groups: dict[datetime, list[Model]] = defaultdict(list)
    for model in sorted(wanted):
        series = known.get(model)
        history_from = state.history_from or hour_of(as_of)
        if series is None or series.covered_from > history_from:
            groups[history_from].append(model)
            continue
        # From the hours that were provisional at the last reading, so that none is left half read.
        start = hour_of(series.watermark) - YOUNG
        if is_reread:
            start = min(start, hour_of(as_of) - REREAD_WINDOW)
        groups[max(start, history_from)].append(model)
    return groups


def _read_series(
    model: Model, known: SeriesState | None, start: datetime, as_of: datetime
) -> SeriesState:
    return SeriesState(*model, min(start, known.covered_from) if known else start, as_of)


def stretches(start: datetime, as_of: datetime, series: int) -> list[Stretch]:
    """Return what to read, by period: by the hour first, then in periods of 300 seconds."""
    end = _ceil(as_of, DETAIL)
    kept_from = hour_of(as_of - DETAIL_RETENTION) + HOUR
    detail_from = max(start, kept_from)
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


def _batches(job: Job, series: list[Series], start: datetime, as_of: datetime) -> Iterator[Batch]:
    young = utc(hour_of(as_of) - YOUNG)
    for stretch in stretches(start, as_of, len(series)):
        seconds = int(stretch.period.total_seconds())
        for answer in fetch_totals(job.place, series, stretch.start, stretch.end, seconds):
            batch = Batch()
            for value in parse_results(answer, provisional_from=young):
                if isinstance(value, MetricValue):
                    batch.metrics.append(value)
                elif isinstance(value, RejectError):
                    batch.rejects.append(Reject(str(job.stream), "GetMetricData", str(value)))
            yield batch


def hour_of(moment: datetime) -> datetime:
    """Return the start of a moment's hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def _ceil(moment: datetime, period: timedelta) -> datetime:
    return moment + (hour_of(moment) - moment) % period
