"""CloudWatch's metrics of one account and region.

**Grain.** A series is a namespace, a name and a set of dimensions. Its points are at whole minutes
(``metric``), or every 300 s by a rule (``dense_metric``), which needs no memory for years of data.

**GetMetricData** sums points into periods that begin at multiples of the period. The range includes
``StartTime`` and excludes ``EndTime``: a period cut by either is smaller, which exposes a reader that
requests ragged ranges. Periods without a point are left out, never zero. Points older than 15 days
are available only for periods of whole 5 minutes, older than 63 days only for whole hours, older
than 455 days not at all. Only ``Sum`` of one metric is supported: math and other statistics are
violations.

**Pages** have at most ``MaxDatapoints`` points over all series, in the order of the queries. A token
is a query and the time of its last point; the series that it cuts has ``PartialData``, and is listed
again on the next page. A series that a page does not reach is not listed on it.

**PutMetricData** adds a value to its minute, and applies AWS's limits. New values are visible
``Metrics.lag`` later; AWS takes minutes to days.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from tests.aws.calls import AwsError, Call, Handler, Violation
from tests.aws.paging import make_token, page, position

MOST_QUERIES = 500
MOST_POINTS = 100_800
LISTED = 500
MOST_PUT = 1000
MOST_BYTES = 1_000_000
STEP = 300
Value = float | Callable[[int], float]
_KEPT = ((3600, timedelta(days=455)), (300, timedelta(days=63)), (60, timedelta(days=15)))
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
_DIMENSION = re.compile(r"[!-9;-~ ][ -~]{0,1023}")
_PROPERTY = re.compile(r"\$\{PROP\('([\w.]+)'\)\}")


class SeriesKey(NamedTuple):
    """The identity of a series."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


class _Dense(NamedTuple):
    """A point every 300 s from ``start`` to ``end``; a function gets the point's epoch second."""

    value: Value
    start: int
    end: int

    def total(self, start: int, end: int) -> float | None:
        """Return the sum of the points in a range of seconds, None without any."""
        first = -(-max(start, self.start) // STEP) * STEP
        last = min(end, self.end)
        if first >= last:
            return None
        if callable(self.value):
            return sum(self.value(second) for second in range(first, last, STEP))
        return self.value * -(-(last - first) // STEP)


class Series:
    """The points of one series."""

    def __init__(self) -> None:
        self._points: dict[int, float] = {}
        self._minutes: list[int] = []
        self._dense: list[_Dense] = []

    def put(self, points: Mapping[datetime, float]) -> None:
        """Add points, or replace the values of existing ones."""
        new = {int(time.timestamp()) // 60 * 60: float(value) for time, value in points.items()}
        self._points |= new
        self._minutes = sorted(self._points)

    def add(self, time: datetime, value: float) -> None:
        """Add to the point of a minute."""
        minute = int(time.timestamp()) // 60 * 60
        self.put({time: self._points.get(minute, 0.0) + value})

    def put_dense(self, value: Value, start: datetime, end: datetime) -> None:
        self._dense.append(_Dense(value, int(start.timestamp()), int(end.timestamp())))

    def sums(self, start: int, end: int, period: int) -> dict[int, float]:
        """Return the sums of the points in a range by the start of their period, unsorted."""
        sums: dict[int, float] = {}
        for minute in self._minutes[slice(*(bisect_left(self._minutes, t) for t in (start, end)))]:
            begin = minute // period * period
            sums[begin] = sums.get(begin, 0.0) + self._points[minute]
        for dense in self._dense:
            first, last = max(start, dense.start), min(end, dense.end)
            for begin in range(first // period * period, last, period):
                total = dense.total(max(begin, first), min(begin + period, last))
                if total is not None:
                    sums[begin] = sums.get(begin, 0.0) + total
        return sums


class Metrics:
    """All series of one account and region, in order of appearance."""

    def __init__(self) -> None:
        self.hidden: set[tuple[str, frozenset[tuple[str, str]]]] = set()
        self._series: dict[SeriesKey, Series] = {}
        self._late: list[tuple[datetime, SeriesKey, int, float]] = []
        self.lag = timedelta()
        self.lock = threading.RLock()

    def series(self, namespace: str, name: str, dimensions: Mapping[str, str]) -> Series:
        key = SeriesKey(namespace, name, frozenset(dimensions.items()))
        with self.lock:
            return self._series.setdefault(key, Series())

    def add(self, key: SeriesKey, minute: int, value: float, now: datetime) -> None:
        """Accept a published value; it is visible ``lag`` later."""
        with self.lock:
            self._late.append((now + self.lag, key, minute, value))
            self.show(now)

    def show(self, now: datetime) -> None:
        """Make published values visible when their time has come."""
        due = [one for one in self._late if one[0] <= now]
        self._late = [one for one in self._late if one[0] > now]
        for _, key, minute, value in due:
            self._series.setdefault(key, Series()).add(datetime.fromtimestamp(minute, UTC), value)

    def find(self, key: SeriesKey) -> Series | None:
        return self._series.get(key)

    def listed(self) -> list[SeriesKey]:
        with self.lock:
            return [k for k in self._series if (k.namespace, k.dimensions) not in self.hidden]


def list_metrics(call: Call) -> dict[str, Any]:
    """Answer with a page of the series that are not hidden."""
    keys = [key for key in call.place.metrics.listed() if _is_asked(call, key)]
    if call.params.get("RecentlyActive"):
        now = int(call.aws.clock.now().timestamp())
        series = call.place.metrics.find
        keys = [key for key in keys if series(key).sums(now - 3 * 3600, now + 1, 60)]
    listed, token = page(call, keys, LISTED)
    return {"Metrics": [_metric(key) for key in listed]} | ({"NextToken": token} if token else {})


def get_metric_data(call: Call) -> dict[str, Any]:
    """Answer with a page of data points."""
    queries = call.params["MetricDataQueries"]
    most = call.params.get("MaxDatapoints", MOST_POINTS)
    _check(call, queries, most)
    at = position(call) or [0, None]
    if call.twist == "empty-page":
        return {"MetricDataResults": [], "NextToken": make_token(call, at)}
    with call.place.metrics.lock:
        call.place.metrics.show(call.aws.clock.now())
        results, next_at = _fill_page(call, queries, at, most)
    token = {} if next_at is None else {"NextToken": make_token(call, next_at)}
    return {"MetricDataResults": results, "Messages": []} | token


def put_metric_data(call: Call) -> dict[str, Any]:
    """Add the values of custom metrics."""
    now = call.aws.clock.now()
    data = call.params["MetricData"]
    _check_put(call, data, now)
    for datum in data:
        minute = int(datum["Timestamp"].timestamp()) // 60 * 60
        key = _key({"Namespace": call.params["Namespace"], **datum})
        call.place.metrics.add(key, minute, datum["Value"], now)
    return {}


OPERATIONS: dict[str, Handler] = {
    "ListMetrics": list_metrics,
    "GetMetricData": get_metric_data,
    "PutMetricData": put_metric_data,
}


def _fill_page(
    call: Call, queries: list[dict[str, Any]], at: list[Any], room: int
) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """Return the results after ``at`` (query, last time sent), and where the next page begins."""
    first, sent = at
    results = []
    for number, query in enumerate(queries[first:], first):
        if query.get("ReturnData", True):
            points = list(islice(_points(call, query, sent), room + 1))
            complete = len(points) <= room
            results.append(_result(call, query, points[:room], complete))
            if not complete:
                return results, [number, points[room - 1][0]]
            room -= len(points)
        sent = None
        if room == 0 and number + 1 < len(queries):
            return results, [number + 1, None]
    return results, None


def _points(call: Call, query: dict[str, Any], sent: int | None) -> Iterator[tuple[int, float]]:
    """Yield the query's points in the requested order, after the time sent last."""
    stat = query["MetricStat"]
    place = call.aws.place(query.get("AccountId", call.account), call.region)
    series = place.metrics.find(_key(stat["Metric"]))
    if series is None:
        return
    period, backwards = stat["Period"], call.params.get("ScanBy") != "TimestampAscending"
    start = max(int(call.params["StartTime"].timestamp()), _oldest(call, period))
    end = int(call.params["EndTime"].timestamp())
    if sent is not None:
        start, end = (start, min(end, sent)) if backwards else (max(start, sent + period), end)
    yield from sorted(series.sums(start, end, period).items(), reverse=backwards)


def _oldest(call: Call, period: int) -> int:
    """Return the start of the oldest period still kept."""
    kept = next(age for whole, age in _KEPT if period % whole == 0)
    oldest = int((call.aws.now - kept + call.aws.loses).timestamp())
    return -(-oldest // period) * period


def _result(
    call: Call, query: dict[str, Any], points: list[tuple[int, float]], complete: bool
) -> dict[str, Any]:
    return {
        "Id": query["Id"],
        "Label": _label(call, query),
        "Timestamps": [time for time, _ in points],
        "Values": [value for _, value in points],
        "StatusCode": "Complete" if complete else "PartialData",
    }


def _label(call: Call, query: dict[str, Any]) -> str:
    """Return the label with its ``${PROP('...')}`` filled in."""
    stat = query["MetricStat"]
    metric = stat["Metric"]
    known = {
        "AccountId": query.get("AccountId", call.account),
        "Region": call.region,
        "MetricName": metric["MetricName"],
        "Namespace": metric["Namespace"],
        "Period": str(stat["Period"]),
        "Stat": stat["Stat"],
    } | {f"Dim.{d['Name']}": d["Value"] for d in metric.get("Dimensions", ())}
    label = query.get("Label") or metric["MetricName"]
    return _PROPERTY.sub(lambda match: known.get(match[1], match[0]), label)


def _key(metric: dict[str, Any]) -> SeriesKey:
    dimensions = frozenset((d["Name"], d["Value"]) for d in metric.get("Dimensions", ()))
    return SeriesKey(metric["Namespace"], metric["MetricName"], dimensions)


def _metric(key: SeriesKey) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in sorted(key.dimensions)]
    return {"Namespace": key.namespace, "MetricName": key.name, "Dimensions": dimensions}


def _is_asked(call: Call, key: SeriesKey) -> bool:
    params, dimensions = call.params, dict(key.dimensions)
    return (
        params.get("Namespace", key.namespace) == key.namespace
        and params.get("MetricName", key.name) == key.name
        and all(
            d["Name"] in dimensions
            and d.get("Value", dimensions[d["Name"]]) == dimensions[d["Name"]]
            for d in params.get("Dimensions", ())
        )
    )


def _check_put(call: Call, data: list[dict[str, Any]], now: datetime) -> None:
    values = [d["Value"] for datum in data for d in datum.get("Dimensions", ())]
    times = [datum["Timestamp"] for datum in data]
    for problem, text in (
        (call.params["Namespace"].startswith("AWS/"), "The namespace is AWS's own."),
        (len(call.http.plain_body) > MOST_BYTES, "The request is too large."),
        (len(data) > MOST_PUT, f"The collection must have at most {MOST_PUT} members."),
        (not all(map(_DIMENSION.fullmatch, values)), "A dimension's value is not allowed."),
        (not all(map(str.strip, values)), "A dimension's value is blank."),
        (min(times) < now - timedelta(days=14), "A time stamp is older than two weeks."),
        (max(times) > now + timedelta(hours=2), "A time stamp is in the future."),
        (not all(abs(d["Value"]) <= 2**360 for d in data), "A value is out of range."),
    ):
        if problem:
            raise AwsError("InvalidParameterValue", text)


def _check(call: Call, queries: list[dict[str, Any]], most: int) -> None:
    if any("MetricStat" not in q or q["MetricStat"]["Stat"] != "Sum" for q in queries):
        raise Violation("GetMetricData: only the Sum of one metric is answered here")
    ids = [query["Id"] for query in queries]
    periods = {query["MetricStat"]["Period"] for query in queries}
    for problem, text in (
        (len(queries) > MOST_QUERIES, f"The collection must have at most {MOST_QUERIES} queries."),
        (not 1 <= most <= MOST_POINTS, f"MaxDatapoints must be from 1 to {MOST_POINTS}."),
        (len(set(ids)) < len(ids), "The values for parameter id are not unique."),
        (not all(map(_ID.fullmatch, ids)), "An id must begin with a small letter."),
        (any(p < 60 or p % 60 for p in periods), "A period must be a multiple of 60."),
        (
            call.aws.refuses_old
            and any(int(call.params["StartTime"].timestamp()) < _oldest(call, p) for p in periods),
            "The start time is too long ago for this period.",
        ),
        (
            call.params["StartTime"] >= call.params["EndTime"],
            "The parameter StartTime must be less than the parameter EndTime.",
        ),
    ):
        if problem:
            raise AwsError("ValidationError", text)
