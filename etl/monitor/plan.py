"""What to publish to CloudWatch, and what it costs a month. Asks AWS nothing.

**A value** is the difference between the warehouse's figure for a period and what was published for
it before: the whole figure the first time, nothing if it is still right, a negative number if the
figure is smaller now. Zeros are not published, because a metric costs money as soon as it has a
value, and the Sum of no values is zero anyway. Unknown tokens or costs are not published either.

**Which periods.** A period is published once it has been over for ``settle``. The first run
publishes the last day. A later run covers everything since the last run, and again everything
younger than ``correct``. CloudWatch accepts no time stamp older than two weeks: older periods are
left out, and the output says so. The same is true of periods whose calls ``vacuum`` dropped.
Estimates are per hour, and are included when the whole hour is settled.

**Which metrics.** Only as many as the user agreed to pay for. Application names come from callers,
who could invent any number of them. Metrics beyond the agreement, or beyond ``max_metrics``, are
left out; those published before continue.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

from etl.config import Monitor, parse_duration
from etl.monitor import prices
from etl.monitor.encoding import to_dimension
from etl.times import utc_text
from etl.warehouse.published_metrics import CustomMetric, Put, Target

NAMESPACE = "Custom/BedrockUsage"
# Only the Sum of a period is meaningful (DECISIONS 79).
PERIOD = timedelta(minutes=5)
FIRST_RUN = timedelta(days=1)

# The metric of the alarms: a level, not an amount, so it is not in the ledger.
DAILY_COST = "DailyCostUSD"
ALL_MODELS = "(all models)"

# Time stamps may be two weeks old; a run itself takes time (PutMetricData, checked 2026-11-26).
OLDEST = timedelta(days=14) - timedelta(hours=1)

# A ledger that was unused for this long may be a restored copy, so CloudWatch is read first. Not
# sooner, because reading a metric costs $0.00001.
PAUSE = timedelta(hours=6)

MOST_METRICS_A_REQUEST = 1000
# A request may have one megabyte.
_MOST_BYTES = 900_000
_PERIODS_A_MONTH = 730 * 12


class MetricKind(NamedTuple):
    """Where a metric comes from: the query's column, the metric's unit, the column's scale."""

    column: str
    unit: str = "Count"
    scale: int = 1


KINDS: Mapping[str, MetricKind] = {
    "InputTokens": MetricKind("input_tokens"),
    "OutputTokens": MetricKind("output_tokens"),
    "CacheReadTokens": MetricKind("cache_read_tokens"),
    "CacheWriteTokens": MetricKind("cache_write_tokens"),
    "CostUSD": MetricKind("cost_picodollars", "None", 10**12),
    "Calls": MetricKind("calls"),
    "FailedCalls": MetricKind("failed_calls"),
    DAILY_COST: MetricKind("cost_picodollars", "None", 10**12),
}


@dataclass(frozen=True)
class Range:
    """The periods to look at, half open; hours before ``estimates_until`` have their estimates.

    ``missed_from``: the first of the periods before ``since`` that can no longer be published.
    """

    since: datetime
    until: datetime
    estimates_until: datetime
    missed_from: datetime | None = None

    def parameters(self, *, with_estimates: bool) -> dict[str, str]:
        """Return the parameters of ``sql/reports/monitor_periods.sql``."""
        estimates = utc_text(self.estimates_until) if with_estimates else ""
        since, until = utc_text(self.since), utc_text(self.until)
        return {"since": since, "until": until, "estimates_until": estimates}


class DailyCost(NamedTuple):
    """What an application with a daily limit has cost today, in pico-dollars."""

    application: str
    amount: int


@dataclass(frozen=True)
class PublishPlan:
    """Everything that a run would do."""

    target: Target
    range: Range
    puts: tuple[Put, ...]
    levels: tuple[DailyCost, ...]
    known: frozenset[CustomMetric]
    limited: tuple[str, ...] = ()
    corrections: int = 0
    undecided: int = 0
    calls_without_cost: int = 0
    unpriced_tokens: int = 0
    left_out: frozenset[CustomMetric] = field(default_factory=frozenset)

    @property
    def new(self) -> frozenset[CustomMetric]:
        """The series without any earlier values."""
        return frozenset(put.series for put in self.puts) - self.known

    @property
    def unread(self) -> frozenset[CustomMetric]:
        """The series with puts for which the ledger does not know what CloudWatch has.

        It knows nothing about new series, or about periods before its first one. After a pause the
        ledger itself may be older than the last values published.
        """
        first = self.target.published_from or ""
        last = self.target.published_to or ""
        if not last or self.range.until - parse_time(last) <= PAUSE:
            last = utc_text(self.range.until)
        return self.new | {put.series for put in self.puts if not first <= put.period_start < last}

    @property
    def metrics(self) -> int:
        """The number of custom metrics that cost money, including those of daily limits."""
        return len(self.known | self.new) + len(self.limited)

    @property
    def a_month(self) -> Decimal:
        """The price of a month in which every metric has values in every hour."""
        return price_a_month(self.metrics)

    # Cached, because it serialises every value to know its size.
    @cached_property
    def batches(self) -> list[tuple[Put, ...]]:
        """The puts, request by request."""
        return list(batches(self.puts))

    @property
    def requests(self) -> int:
        """The number of requests of the run."""
        return len(self.batches) + bool(self.levels)

    def is_agreed(self, accepted: Decimal) -> bool:
        """Whether the price was agreed to, by number of metrics or in dollars."""
        return self.metrics <= self.target.agreed_metrics or self.a_month <= accepted

    def without_new(self) -> PublishPlan:
        """Return the part for series that are paid for already."""
        kept = tuple(put for put in self.puts if put.series in self.known)
        return replace(self, puts=kept, left_out=self.left_out | self.new)


def price_a_month(metrics: int) -> Decimal:
    """Return the monthly price of metrics, with one request per 1,000 of them and period."""
    requests = _PERIODS_A_MONTH * -(-metrics // MOST_METRICS_A_REQUEST)
    return prices.metrics_a_month(metrics) + prices.requests(requests)


def choose_range(
    target: Target,
    monitor: Monitor,
    now: datetime,
    *,
    since: datetime | None = None,
    dropped_before: str | None = None,
) -> Range:
    """Return the periods that a run covers."""
    until = _floor(now - parse_duration(monitor.settle), PERIOD)
    wanted = since or _usual_start(target, monitor, now, until)
    oldest = now - OLDEST
    if dropped_before:
        oldest = max(oldest, parse_time(dropped_before))
    hour = timedelta(hours=1)
    start = _floor(wanted, hour)
    missed = None
    if start < oldest:
        start, missed = _floor(oldest - timedelta(seconds=1), hour) + hour, wanted
    return Range(min(start, until), until, _floor(until, hour), missed)


def _usual_start(target: Target, monitor: Monitor, now: datetime, until: datetime) -> datetime:
    if target.published_from is None or target.published_to is None:
        return now - FIRST_RUN
    again = min(parse_time(target.published_to), until - parse_duration(monitor.correct))
    return max(again, parse_time(target.published_from))


def plan_puts(
    rows: Iterable[Mapping[str, Any]],
    published: Mapping[tuple[CustomMetric, str], int],
    undecided: set[tuple[CustomMetric, str]],
    monitor: Monitor,
) -> list[Put]:
    """Return the differences between rows of ``monitor_periods`` and the published amounts.

    Periods in ``undecided`` wait: their published amounts are unknown.
    """
    wanted = {
        (
            CustomMetric(row["application"], row["model_id"], metric, monitor.by),
            row["period_start"],
        ): amount
        for row in rows
        for metric in monitor.metrics
        if (amount := row[KINDS[metric].column])
    }
    puts = [
        Put(*key, wanted.get(key, 0) - published.get(key, 0))
        for key in {**wanted, **published}
        if key not in undecided and is_chosen(key[0], monitor)
    ]
    return sorted(
        (put for put in puts if put.amount), key=lambda put: (put.period_start, put.series)
    )


def is_chosen(series: CustomMetric, monitor: Monitor) -> bool:
    """Return whether the configuration includes a series."""
    if series.dimension != monitor.by or series.metric not in monitor.metrics:
        return False
    return not monitor.names or series.name in monitor.names


def to_datum(series: CustomMetric, time: datetime, amount: int) -> dict[str, Any]:
    """Return one value as PutMetricData expects it."""
    kind = KINDS[series.metric]
    return {
        "MetricName": series.metric,
        "Dimensions": dimensions(series),
        "Timestamp": time,
        "Value": amount / kind.scale,
        "Unit": kind.unit,
    }


def dimension_name(by: str) -> str:
    """Return CloudWatch's name of the dimension that an application's or a team's name is in."""
    return by.capitalize()


def dimensions(series: CustomMetric) -> list[dict[str, str]]:
    """Return a series' dimensions as CloudWatch expects them."""
    return [
        {"Name": dimension_name(series.dimension), "Value": to_dimension(series.name)},
        {"Name": "ModelId", "Value": to_dimension(series.model_id)},
    ]


def level_series(application: str) -> CustomMetric:
    """Return the series of an application's cost today."""
    return CustomMetric(application, ALL_MODELS, DAILY_COST)


def batches(puts: Sequence[Put]) -> Iterator[tuple[Put, ...]]:
    """Yield the puts of each request: 1,000 at most, and less than a megabyte."""
    batch: list[Put] = []
    size = 0
    for put in puts:
        datum = to_datum(put.series, parse_time(put.period_start), put.amount)
        length = len(json.dumps(datum, default=str))
        if batch and (len(batch) == MOST_METRICS_A_REQUEST or size + length > _MOST_BYTES):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(put)
        size += length
    if batch:
        yield tuple(batch)


def parse_time(text: str) -> datetime:
    """Parse a time or a day of the warehouse."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _floor(moment: datetime, step: timedelta) -> datetime:
    start = datetime(1970, 1, 1, tzinfo=UTC)
    return moment - (moment - start) % step
