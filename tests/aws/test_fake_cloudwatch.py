"""The fake's ListMetrics and GetMetricData, as an unmodified boto3 sees them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws import ACCOUNT, NOW, REGION, FakeAws, FakeClock

SPACE = "AWS/Bedrock"
MODEL = {"ModelId": "anthropic.claude-3"}
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
Clients = Callable[..., Any]


def query(
    name: str = "InputTokenCount",
    dimensions: dict[str, str] = MODEL,
    period: int = 3600,
    id_: str = "q0",
    **fields: Any,
) -> dict[str, Any]:
    metric = {
        "Namespace": SPACE,
        "MetricName": name,
        "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions.items()],
    }
    return {"Id": id_, "MetricStat": {"Metric": metric, "Period": period, "Stat": "Sum"}, **fields}


def points(watch: Any, *queries: dict[str, Any], **params: Any) -> list[tuple[Any, float]]:
    """Return the points of the single answer to the queries."""
    params = {"StartTime": NOW - 3 * HOUR, "EndTime": NOW} | params
    answer = watch.get_metric_data(MetricDataQueries=list(queries) or [query()], **params)
    (result,) = answer["MetricDataResults"]
    assert result["StatusCode"] == "Complete"
    return list(zip(result["Timestamps"], result["Values"], strict=True))


@pytest.fixture
def watch(client: Clients) -> Any:
    return client("cloudwatch")


def test_minutes_are_summed_into_aligned_periods(aws: FakeAws, watch: Any) -> None:
    minutes = {NOW - HOUR: 1, NOW - MINUTE: 2, NOW - 3 * HOUR: 4, NOW: 8}
    aws.place().metric(SPACE, "InputTokenCount", MODEL, minutes)
    assert points(watch) == [(NOW - HOUR, 3), (NOW - 3 * HOUR, 4)]
    ascending = points(watch, ScanBy="TimestampAscending")
    assert ascending == [(NOW - 3 * HOUR, 4), (NOW - HOUR, 3)]
    assert points(watch, query(period=60), StartTime=NOW - HOUR) == [
        (NOW - MINUTE, 2),
        (NOW - HOUR, 1),
    ]


def test_only_the_points_of_the_range_are_summed(aws: FakeAws, watch: Any) -> None:
    minutes = {NOW - HOUR: 1, NOW - 30 * MINUTE: 2, NOW - MINUTE: 4}
    aws.place().metric(SPACE, "InputTokenCount", MODEL, minutes)
    ragged = {"StartTime": NOW - 45 * MINUTE, "EndTime": NOW - MINUTE}
    assert points(watch, **ragged) == [(NOW - HOUR, 2)]


def test_a_point_may_change(aws: FakeAws, watch: Any) -> None:
    for value in (1, 5):
        aws.place().metric(SPACE, "InputTokenCount", MODEL, {NOW - HOUR: value})
    assert points(watch) == [(NOW - HOUR, 5)]


def test_a_series_nobody_wrote_is_complete_and_empty(watch: Any) -> None:
    assert points(watch) == []


@pytest.mark.parametrize(
    ("period", "days"), [(60, 15), (120, 15), (300, 63), (600, 63), (3600, 455), (86400, 455)]
)
def test_old_points_are_kept_for_long_periods_only(
    aws: FakeAws, watch: Any, period: int, days: int
) -> None:
    noon = NOW.replace(hour=0) + timedelta(days=1) if period == 86400 else NOW
    kept, gone = noon - timedelta(days=days), noon - timedelta(days=days, seconds=period)
    aws.place().metric(SPACE, "InputTokenCount", MODEL, {kept: 1, gone: 2})
    long_ago = NOW - timedelta(days=500)
    found = points(watch, query(period=period), StartTime=long_ago)
    assert found == [(kept, 1)]


def test_a_dense_series_has_a_point_every_5_minutes(aws: FakeAws, watch: Any) -> None:
    start = NOW - 2 * HOUR + 10 * MINUTE
    aws.place().dense_metric(SPACE, "InputTokenCount", MODEL, 2, start, NOW)
    assert points(watch) == [(NOW - HOUR, 24), (NOW - 2 * HOUR, 20)]
    fine = points(watch, query(period=60), StartTime=NOW - 10 * MINUTE)
    assert fine == [(NOW - 5 * MINUTE, 2), (NOW - 10 * MINUTE, 2)]


def test_a_dense_series_may_be_a_function(aws: FakeAws, watch: Any) -> None:
    aws.place().dense_metric(
        SPACE, "InputTokenCount", MODEL, lambda second: second % 3600 / 300, NOW - HOUR, NOW
    )
    assert points(watch) == [(NOW - HOUR, sum(range(12)))]


@pytest.mark.parametrize("order", ["TimestampAscending", "TimestampDescending"])
@pytest.mark.parametrize("most", [1, 4, 5, 7, 1000])
def test_pages_go_on_inside_a_series(aws: FakeAws, watch: Any, order: str, most: int) -> None:
    hours = {NOW - n * HOUR: n for n in range(1, 6)}
    names = ("A", "B", "Empty", "C")
    for name in set(names) - {"Empty"}:
        aws.place().metric(SPACE, name, MODEL, hours)
    pages = watch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[query(name, id_=name.lower()) for name in names],
        StartTime=NOW - 10 * HOUR,
        EndTime=NOW,
        ScanBy=order,
        MaxDatapoints=most,
    )
    found: dict[str, list[Any]] = {}
    for page in pages:
        results = page["MetricDataResults"]
        assert sum(len(result["Values"]) for result in results) <= most
        for result in results:
            found.setdefault(result["Id"], []).extend(
                zip(result["Timestamps"], result["Values"], strict=True)
            )
        assert [r["StatusCode"] for r in results[:-1]] == ["Complete"] * len(results[:-1])
    expected = sorted(hours.items(), reverse=order == "TimestampDescending")
    assert found == {"a": expected, "b": expected, "empty": [], "c": expected}


def test_the_series_a_page_cuts_is_partial(aws: FakeAws, watch: Any) -> None:
    aws.place().dense_metric(SPACE, "InputTokenCount", MODEL, 1, NOW - HOUR, NOW)
    params = {
        "MetricDataQueries": [query(period=300)],
        "StartTime": NOW - HOUR,
        "EndTime": NOW,
        "MaxDatapoints": 7,
    }
    first = watch.get_metric_data(**params)
    second = watch.get_metric_data(**params, NextToken=first["NextToken"])
    states = [page["MetricDataResults"][0]["StatusCode"] for page in (first, second)]
    assert states == ["PartialData", "Complete"]
    assert "NextToken" not in second
    with pytest.raises(ClientError) as caught:
        watch.get_metric_data(**params | {"MaxDatapoints": 8}, NextToken=first["NextToken"])
    assert caught.value.response["Error"]["Code"] == "InvalidNextToken"


def test_a_label_may_ask_for_properties(aws: FakeAws, watch: Any) -> None:
    names = ("AccountId", "Region", "MetricName", "Period", "Dim.ModelId", "Dim.Model")
    label = "|".join(f"${{PROP('{name}')}}" for name in names)
    answer = watch.get_metric_data(
        MetricDataQueries=[query(Label=label), query(id_="q1")], StartTime=NOW - HOUR, EndTime=NOW
    )
    labels = [result["Label"] for result in answer["MetricDataResults"]]
    known = [ACCOUNT, REGION, "InputTokenCount", "3600", MODEL["ModelId"]]
    assert labels == ["|".join([*known, "${PROP('Dim.Model')}"]), "InputTokenCount"]


@pytest.mark.parametrize(
    ("queries", "params"),
    [
        ([query(id_=f"q{n}") for n in range(501)], {}),
        ([query(), query()], {}),
        ([query(id_="Q")], {}),
        ([query(period=90)], {}),
        ([query()], {"MaxDatapoints": 100_801}),
        ([query()], {"StartTime": NOW, "EndTime": NOW}),
    ],
    ids=["501 queries", "same id", "capital", "period", "too many points", "no time"],
)
def test_what_aws_refuses_is_refused(
    watch: Any, queries: list[dict[str, Any]], params: dict[str, Any]
) -> None:
    params = {"StartTime": NOW - HOUR, "EndTime": NOW} | params
    with pytest.raises(ClientError) as caught:
        watch.get_metric_data(MetricDataQueries=queries, **params)
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_metrics_are_listed_by_500(aws: FakeAws, watch: Any) -> None:
    for number in range(501):
        aws.place().metric(SPACE, "Invocations", {"ModelId": f"m{number}"}, {NOW: 1})
    pages = list(watch.get_paginator("list_metrics").paginate(Namespace=SPACE))
    assert [len(page["Metrics"]) for page in pages] == [500, 1]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["A", "B", "C"]),
        ({"Namespace": SPACE}, ["A", "B"]),
        ({"MetricName": "B"}, ["B"]),
        ({"Dimensions": [{"Name": "ModelId"}]}, ["A", "B"]),
        ({"Dimensions": [{"Name": "ModelId", "Value": "m2"}]}, ["B"]),
        ({"RecentlyActive": "PT3H"}, ["B", "C"]),
    ],
)
def test_metrics_are_selected(
    aws: FakeAws, watch: Any, asked: dict[str, Any], found: list[str]
) -> None:
    place = aws.place()
    place.metric(SPACE, "A", {"ModelId": "m1"}, {NOW - 4 * HOUR: 1})
    place.metric(SPACE, "B", {"ModelId": "m2", "ServiceTier": "x"}, {NOW: 1})
    place.metric("AWS/BedrockMantle", "C", {"Project": "p"}, {NOW: 1})
    listed = watch.list_metrics(**asked)["Metrics"]
    assert [metric["MetricName"] for metric in listed] == found


def test_a_hidden_series_is_not_listed_but_has_its_data(aws: FakeAws, watch: Any) -> None:
    aws.place().metric(SPACE, "InputTokenCount", MODEL, {NOW - HOUR: 1})
    aws.place().hide(SPACE, MODEL)
    assert watch.list_metrics()["Metrics"] == []
    assert points(watch) == [(NOW - HOUR, 1)]
    aws.place().hidden_metrics.clear()
    assert watch.list_metrics()["Metrics"][0]["Dimensions"] == [
        {"Name": "ModelId", "Value": MODEL["ModelId"]}
    ]


def test_points_age_with_the_clock(aws: FakeAws, watch: Any, clock: FakeClock) -> None:
    aws.place().metric(SPACE, "InputTokenCount", MODEL, {NOW - HOUR: 1})
    asked = query(period=60)
    assert points(watch, asked) == [(NOW - HOUR, 1)]
    clock.advance(timedelta(days=15))
    assert points(watch, asked) == []


OWN = "Custom/Own"


def datum(value: float = 1.0, **fields: Any) -> dict[str, Any]:
    dimensions = [{"Name": "Application", "Value": "A"}]
    return {"MetricName": "M", "Dimensions": dimensions, "Timestamp": NOW - HOUR, "Value": value} | fields  # fmt: skip


def own_points(watch: Any) -> list[tuple[Any, float]]:
    asked = query("M", {"Application": "A"}, 300)
    asked["MetricStat"]["Metric"]["Namespace"] = OWN
    return points(watch, asked)


def test_what_is_put_for_one_time_adds_up_also_below_zero(watch: Any) -> None:
    watch.put_metric_data(Namespace=OWN, MetricData=[datum(5), datum(2)])
    watch.put_metric_data(Namespace=OWN, MetricData=[datum(-10)])
    assert own_points(watch) == [(NOW - HOUR, -3)]


def test_a_large_request_comes_compressed_and_is_understood(aws: FakeAws, watch: Any) -> None:
    watch.put_metric_data(Namespace=OWN, MetricData=[datum()] * 1000)
    assert own_points(watch) == [(NOW - HOUR, 1000)]


def test_what_was_put_shows_as_late_as_a_test_wants(
    aws: FakeAws, watch: Any, clock: FakeClock
) -> None:
    aws.place().metrics.lag = 10 * MINUTE
    watch.put_metric_data(Namespace=OWN, MetricData=[datum()])
    assert own_points(watch) == []
    clock.advance(10 * MINUTE)
    assert own_points(watch) == [(NOW - HOUR, 1)]


@pytest.mark.parametrize(
    ("data", "namespace"),
    [
        ([datum()] * 1001, OWN),
        ([datum()], "AWS/Bedrock"),
        ([datum(Timestamp=NOW - timedelta(days=15))], OWN),
        ([datum(Timestamp=NOW + 3 * HOUR)], OWN),
        ([datum(Dimensions=[{"Name": "Application", "Value": "\u00e4"}])], OWN),
        ([datum(Dimensions=[{"Name": "Application", "Value": ":a"}])], OWN),
        ([datum(Dimensions=[{"Name": "Application", "Value": " "}])], OWN),
        ([datum(Dimensions=[{"Name": "Application", "Value": "a\nb"}])], OWN),
        ([datum(2.0**361)], OWN),
        ([datum(Dimensions=[{"Name": "Application", "Value": "x" * 1024}])] * 999, OWN),
    ],
    ids=["many", "space", "old", "future", "ascii", "colon", "blank", "control", "huge", "large"],
)
def test_what_cloudwatch_does_not_take(
    watch: Any, data: list[dict[str, Any]], namespace: str
) -> None:
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        watch.put_metric_data(Namespace=namespace, MetricData=data)
    assert own_points(watch) == []
