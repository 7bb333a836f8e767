"""CloudWatch: which models have totals, and the totals.

ListMetrics lists only series with data in the last two weeks. A series with more dimensions than
the model repeats tokens of the plain series, so only the plain one is read.

Source: CloudWatch API reference, GetMetricData and ListMetrics; Bedrock user guide, "Monitoring"
(checked 2026-11-25).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from etl.errors import AccessError, RetriableError
from etl.sources.aws import Place

# The dimension that names the model. A series with only this dimension is read.
MODEL_DIMENSION = {"AWS/Bedrock": "ModelId", "AWS/BedrockMantle": "Model"}

MAX_QUERIES = 500
MAX_POINTS = 100_800

# How long CloudWatch keeps periods of 60 seconds, of 300 seconds, and of an hour.
MINUTE_RETENTION = timedelta(days=15)
DETAIL_RETENTION = timedelta(days=63)
RETENTION = timedelta(days=455)


class TotalsSeries(NamedTuple):
    """One series of totals."""

    namespace: str
    model_id: str
    metric: str


def list_series(place: Place, metrics_of: Mapping[str, Collection[str]]) -> set[TotalsSeries]:
    """Return every series that had data in the last two weeks.

    ``metrics_of``: the metrics to read, by namespace.
    """
    return {
        series
        for namespace in MODEL_DIMENSION
        for page in place.pages(
            "cloudwatch", "ListMetrics", {"Namespace": namespace}, requires="Metrics"
        )
        for metric in page["Metrics"]
        if (series := _series(metric, metrics_of)) is not None
    }


def _series(
    metric: Mapping[str, Any], metrics_of: Mapping[str, Collection[str]]
) -> TotalsSeries | None:
    namespace, name = metric.get("Namespace", ""), metric.get("MetricName", "")
    dimensions = metric.get("Dimensions") or []
    is_plain = [d.get("Name") for d in dimensions] == [MODEL_DIMENSION.get(namespace, "")]
    model_id = dimensions[0].get("Value") if is_plain else None
    if not model_id or name not in metrics_of[namespace]:
        return None
    return TotalsSeries(namespace, model_id, name)


def fetch_totals(
    place: Place,
    series: Sequence[TotalsSeries],
    start: datetime,
    end: datetime,
    period_seconds: int,
) -> Iterator[dict[str, Any]]:
    """Yield GetMetricData responses for the periods from ``start`` to before ``end``.

    Each carries its ``MetricDataQueries`` with ``AccountId`` and ``Region``, as ``parse_results``
    expects, and its times as text.
    """
    for first in range(0, len(series), MAX_QUERIES):
        queries = [
            _query(index, one, period_seconds)
            for index, one in enumerate(series[first : first + MAX_QUERIES])
        ]
        yield from fetch_queries(place, queries, start, end)


def _query(index: int, series: TotalsSeries, period_seconds: int) -> dict[str, Any]:
    dimension = {"Name": MODEL_DIMENSION[series.namespace], "Value": series.model_id}
    metric = {
        "Namespace": series.namespace,
        "MetricName": series.metric,
        "Dimensions": [dimension],
    }
    stat = {"Metric": metric, "Period": period_seconds, "Stat": "Sum"}
    return {"Id": f"q{index}", "MetricStat": stat, "ReturnData": True}


def fetch_queries(
    place: Place, queries: list[dict[str, Any]], start: datetime, end: datetime
) -> Iterator[dict[str, Any]]:
    """Yield the responses to at most ``MAX_QUERIES`` queries, as ``fetch_totals`` does."""
    named = [{**q, "AccountId": place.account_id, "Region": place.region} for q in queries]
    query = {
        "MetricDataQueries": queries,
        "StartTime": start,
        "EndTime": end,
        "ScanBy": "TimestampAscending",
    }
    answer: dict[str, Any] = {}
    for answer in place.pages("cloudwatch", "GetMetricData", query, requires="MetricDataResults"):
        results = [_with_text_times(result, place) for result in answer["MetricDataResults"]]
        yield {"MetricDataQueries": named, "MetricDataResults": results}
    if any(result.get("StatusCode") == "PartialData" for result in answer["MetricDataResults"]):
        raise RetriableError(
            f"cloudwatch:GetMetricData {place}: CloudWatch returned partial data and no token for"
            " the rest"
        )


def _with_text_times(result: Mapping[str, Any], place: Place) -> dict[str, Any]:
    status = result.get("StatusCode", "Complete")
    if status == "Forbidden":
        raise AccessError(
            f"AccessDenied on cloudwatch:GetMetricData {place}: add it to the role; see"
            " docs/permissions.md"
        )
    if status == "InternalError":
        raise RetriableError(f"cloudwatch:GetMetricData {place}: internal error in CloudWatch")
    times = [time.astimezone(UTC).isoformat() for time in result.get("Timestamps", [])]
    return {"Id": result.get("Id"), "Timestamps": times, "Values": result.get("Values", [])}


def calls_needed(series: int, points: int) -> int:
    """Return the most GetMetricData calls that so many series of so many points each can take."""
    batches = [MAX_QUERIES] * (series // MAX_QUERIES) + [series % MAX_QUERIES]
    return sum(max(1, -(-batch * points // MAX_POINTS)) for batch in batches if batch)
