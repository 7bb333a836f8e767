"""Custom metrics in CloudWatch: publish them, and read their Sum back.

PutMetricData is not idempotent: a value that is sent twice counts twice. So it is retried only if
AWS refused the request or never received it. After any other failure the outcome is unknown, and
``UnknownOutcomeError`` is raised. The Sum can then be read back, though not at once: the delay
depends on the age of the time stamp (API_PutMetricData, checked 2026-11-26).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from etl.clock import Clock
from etl.config import Config
from etl.errors import RetriableError, SourceError
from etl.monitor.plan import KINDS, NAMESPACE, PERIOD, dimensions, parse_time, to_datum
from etl.sources.accounts import check_regions, home_region, open_own_account
from etl.sources.aws import DENIED, Place
from etl.sources.cloudwatch import MAX_QUERIES, fetch_queries
from etl.times import utc_text
from etl.warehouse.published_metrics import CustomMetric, Put

# The age of a time stamp when it was sent, and after how long its value must be visible. AWS states
# 2 and "at least 48" hours for the older ones.
_SHOWN_AFTER = (
    (timedelta(hours=3), timedelta(minutes=15)),
    (timedelta(hours=24), timedelta(hours=3)),
    (timedelta.max, timedelta(hours=72)),
)


class UnknownOutcomeError(RetriableError):
    """A request was sent, and it is unknown whether it was carried out."""


def explain_put(error: SourceError) -> str:
    """Return an error's message; for a refusal, also the policy that would allow it."""
    if error.code in DENIED:
        return f"{error}; `bedrock-usage policy --monitor` prints the policy"
    return str(error)


def open_place(
    config: Config, clock: Clock, *, profile: str | None = None, region: str | None = None
) -> Place:
    """Return the credentials' own account and the region of the CloudWatch to use."""
    own = open_own_account(profile or config.accounts.profile, clock)
    region = region or config.monitor.region or home_region(own.session)
    check_regions(own, [region])
    return Place(own, region, clock)


def put_amounts(place: Place, puts: Sequence[Put]) -> None:
    """Add amounts to periods, in one request.

    Raises UnknownOutcomeError if they may have been added, another SourceError if they were not.
    """
    data = [to_datum(put.series, parse_time(put.period_start), put.amount) for put in puts]
    try:
        _put(place, data, is_repeatable=False)
    except RetriableError as error:
        if error.is_undone:
            raise
        raise UnknownOutcomeError(str(error)) from None


def put_levels(place: Place, levels: Mapping[CustomMetric, int], now: datetime) -> None:
    """Publish levels, not amounts; sending them twice does no harm."""
    data = [to_datum(series, now, amount) for series, amount in levels.items()]
    _put(place, data, is_repeatable=True)


def _put(place: Place, data: list[dict[str, Any]], *, is_repeatable: bool) -> None:
    # The answer has no body; its arrival is the only information.
    place.call(
        "cloudwatch",
        "PutMetricData",
        {"Namespace": NAMESPACE, "MetricData": data},
        requires="ResponseMetadata",
        is_repeatable=is_repeatable,
    )


def read_amounts(
    place: Place, series: Iterable[CustomMetric], since: datetime, until: datetime
) -> dict[tuple[CustomMetric, str], int]:
    """Return the Sum of each series and period for which CloudWatch shows a value."""
    wanted, shown = sorted(set(series)), {}
    for first in range(0, len(wanted), MAX_QUERIES):
        some = wanted[first : first + MAX_QUERIES]
        queries = [_query(index, one) for index, one in enumerate(some)]
        for answer in fetch_queries(place, queries, since, until):
            for result in answer["MetricDataResults"]:
                one = some[int(result["Id"][1:])]
                for time, value in zip(result["Timestamps"], result["Values"], strict=True):
                    amount = round(value * KINDS[one.metric].scale)
                    shown[one, utc_text(parse_time(time))] = amount
    return shown


def _query(index: int, series: CustomMetric) -> dict[str, Any]:
    metric = {
        "Namespace": NAMESPACE,
        "MetricName": series.metric,
        "Dimensions": dimensions(series),
    }
    stat = {"Metric": metric, "Period": int(PERIOD.total_seconds()), "Stat": "Sum"}
    return {"Id": f"q{index}", "MetricStat": stat, "ReturnData": True}


def shows_after(period_start: datetime, sent_at: datetime) -> datetime:
    """Return the time after which a missing value was not published."""
    age = sent_at - period_start
    return sent_at + next(wait for limit, wait in _SHOWN_AFTER if age < limit)
