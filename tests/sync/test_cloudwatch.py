"""CloudWatch's totals: which series, which hours, in how few calls, and what may still change."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from etl.normalise.cloudwatch import METRICS_OF
from etl.sources.aws import Place
from etl.sync.cloudwatch import MAX_CALLS, Stretch, hour_of, stretches
from tests.aws import Fault
from tests.cases import cases
from tests.rounds import crossed, long, some
from tests.support import HAIKU, SONNET
from tests.sync.support import DAY, HOUR, MINUTE, NOW, World, utc

BEDROCK, MANTLE = "AWS/Bedrock", "AWS/BedrockMantle"
STREAM = "cloudwatch/111122223333/us-east-1"


@pytest.fixture(autouse=True)
def some_minutes_past(world: World) -> None:
    world.clock.advance(13 * MINUTE)


def sync(world: World, **options: object) -> Any:
    return world.sync(sources=("cloudwatch",), **options)


def put(
    world: World, values: dict[datetime, float], name: str = "InputTokenCount", model: str = HAIKU
) -> None:
    world.place.metric(BEDROCK, name, {"ModelId": model}, values)


def totals(world: World) -> list[tuple[object, ...]]:
    return world.rows("select period_start, period_seconds, value from metric_totals order by 1")


def hourly(world: World) -> dict[str, int]:
    return dict(world.rows("select hour, value from metric_hourly where metric_kind = 'input'"))


def test_every_metric_of_both_namespaces_is_read(world: World) -> None:
    hour = hour_of(NOW - 2 * DAY)
    for name in METRICS_OF[BEDROCK]:
        put(world, {hour: 7}, name)
    for name in METRICS_OF[MANTLE]:
        world.place.metric(MANTLE, name, {"Model": "openai.gpt-oss-120b"}, {hour: 8})
    world.sync(sources=("cloudwatch",))
    found = dict(
        world.rows("select metric, value from metric_totals join metric_series using (series_key)")
    )
    assert found == dict.fromkeys(METRICS_OF[BEDROCK], 7) | dict.fromkeys(METRICS_OF[MANTLE], 8)
    # Both names of a cache metric count once.
    assert world.rows("select sum(value) from metric_hourly where metric_kind = 'cache_read'") == [
        (7,)
    ]


def test_series_with_more_dimensions_repeat_the_same_tokens(world: World) -> None:
    hour = hour_of(NOW - DAY)
    put(world, {hour: 100})
    for dimensions in (
        {},
        {"ModelId": HAIKU, "ServiceTier": "default", "ResolvedServiceTier": "default"},
        {"ModelId": HAIKU, "ImageSize": "512", "BucketedStepSize": "30"},
    ):
        world.place.metric(BEDROCK, "InputTokenCount", dimensions, {hour: 100})
    world.place.metric(MANTLE, "TotalInputTokens", {"Project": "p", "Model": "m"}, {hour: 100})
    world.place.metric(
        BEDROCK, "InputTokenCount", {"ModelId": SONNET, "ServiceTier": "flex"}, {hour: 100}
    )
    sync(world)
    assert hourly(world) == {utc(hour): 100}
    # A model without a plain series costs nothing.
    (request,) = [r for r in world.aws.requests if r.operation == "GetMetricData"][:1]
    assert SONNET not in str(request.params)


def test_periods_are_as_fine_as_they_are_kept(world: World) -> None:
    old, kept, young = (hour_of(NOW - age) for age in (80 * DAY, 60 * DAY, 2 * DAY))
    put(
        world,
        {moment + minutes * MINUTE: 1 for moment in (old, kept, young) for minutes in (0, 5, 10)},
    )
    sync(world)
    assert totals(world) == [
        (utc(old), 3600, 3),
        *((utc(kept + minutes * MINUTE), 300, 1) for minutes in (0, 5, 10)),
        *((utc(young + minutes * MINUTE), 300, 1) for minutes in (0, 5, 10)),
    ]


def test_the_current_and_the_three_hours_before_are_read_again_and_replaced(world: World) -> None:
    hours = [hour_of(NOW) - n * HOUR for n in range(6)]
    put(world, dict.fromkeys(hours, 10))
    sync(world)
    put(world, dict.fromkeys(hours, 99))
    sync(world)
    assert hourly(world) == {utc(hour): 99 if n <= 3 else 10 for n, hour in enumerate(hours)}


def test_two_days_are_read_again_once_a_day(world: World) -> None:
    hour, older = hour_of(NOW) - 20 * HOUR, hour_of(NOW) - 30 * HOUR
    put(world, {hour: 10, older: 10})
    sync(world)
    put(world, {hour: 99, older: 99})
    world.clock.advance(23 * HOUR)
    sync(world)
    assert hourly(world) == {utc(hour): 10, utc(older): 10}
    world.clock.advance(2 * HOUR)
    sync(world)
    assert hourly(world) == {utc(hour): 99, utc(older): 10}


def test_young_hours_are_provisional_until_they_are_not(world: World) -> None:
    hours = [hour_of(NOW) - n * HOUR for n in range(6)]
    put(world, dict.fromkeys(hours, 10))
    sync(world)
    provisional = "select hour from metric_hourly where is_provisional order by 1 desc"
    assert world.rows(provisional) == [(utc(hour),) for hour in hours[:4]]
    # However long the pause: an hour that was partly read is read completely.
    put(world, {hours[0]: 500})
    world.clock.advance(7 * HOUR)
    sync(world)
    assert world.rows(provisional) == []
    assert hourly(world)[utc(hours[0])] == 500


def test_a_rerun_changes_nothing(world: World) -> None:
    put(world, {hour_of(NOW) - n * HOUR: n + 1 for n in range(200)})
    sync(world)
    before = world.rows("select * from metric_totals"), world.rows("select * from metric_hourly")
    outcome = world.sync(sources=("cloudwatch",))
    assert outcome.written.metric_values == 0
    assert (
        world.rows("select * from metric_totals"),
        world.rows("select * from metric_hourly"),
    ) == before


def test_a_value_that_is_no_count_is_rejected_until_it_is_one(world: World) -> None:
    hour = hour_of(NOW)
    put(world, {hour: 5, hour - HOUR: 0.5, hour - 2 * HOUR: 3})
    assert world.sync(sources=("cloudwatch",)).rejected == 1
    assert hourly(world) == {utc(hour): 5, utc(hour - 2 * HOUR): 3}
    assert world.rows("select file, position, reason from rejects") == [
        (STREAM, "GetMetricData", "MetricDataResults[0]: the value of InputTokenCount is not a whole"
         " number: fetch the statistic Sum")
    ]  # fmt: skip
    put(world, {hour - HOUR: 4})
    sync(world)
    assert hourly(world) == {utc(hour): 5, utc(hour - HOUR): 4, utc(hour - 2 * HOUR): 3}
    assert world.rows("select * from rejects") == []


def test_events_and_totals_together_hold_every_check(world: World) -> None:
    for number in range(90):
        tokens = (number, 1) if number % 2 else None
        world.deliver(number, number * HOUR, user=f"user-{number % 4}", tokens=tokens)
    put(world, {hour_of(NOW) - n * HOUR: 100 + n for n in range(200)})
    world.sync(sources=("cloudtrail", "cloudwatch", "catalogue"))
    assert world.failed_checks() == {}
    (attributed,) = world.rows("select sum(input_tokens) from usage_cost")[0]
    assert attributed == sum(100 + n for n in range(200))


def test_a_model_that_was_idle_for_two_weeks_is_found_by_its_calls(world: World) -> None:
    hour = hour_of(NOW - 40 * DAY)
    put(world, {hour: 1000}, model=SONNET)
    world.place.hide(BEDROCK, {"ModelId": SONNET})
    sync(world)
    assert hourly(world) == {}
    world.deliver(1, NOW - hour, requestParameters={"modelId": SONNET})
    world.sync()
    sync(world)
    assert hourly(world) == {utc(hour): 1000}
    assert world.rows("select user_name, estimated_input from (select user_name, sum(input_tokens) as"
                      " estimated_input from usage_cost group by user_name)") == [("alice", 1000)]  # fmt: skip
    asked = world.aws.count("GetMetricData")
    sync(world)
    assert world.aws.count("GetMetricData") == asked  # once is enough


def test_a_model_that_fell_silent_during_a_long_pause_is_read_once_more(world: World) -> None:
    put(world, {hour_of(NOW) - HOUR: 5})
    sync(world)
    put(world, {hour_of(NOW) + DAY: 6})
    world.clock.advance(20 * DAY)
    world.place.hide(BEDROCK, {"ModelId": HAIKU})
    sync(world)
    assert hourly(world) == {utc(hour_of(NOW) - HOUR): 5, utc(hour_of(NOW) + DAY): 6}
    asked = world.aws.count("GetMetricData")
    sync(world)
    assert world.aws.count("GetMetricData") == asked


def test_a_model_that_is_new_is_read_from_the_beginning(world: World) -> None:
    put(world, {hour_of(NOW) - 2 * HOUR: 5})
    sync(world)
    put(world, {hour_of(NOW - 70 * DAY): 6, hour_of(NOW) - HOUR: 7}, model=SONNET)
    sync(world)
    assert sorted(hourly(world).values()) == [5, 6, 7]


def test_since_limits_what_is_read_and_may_reach_further_back_later(world: World) -> None:
    put(world, {hour_of(NOW - days * DAY): days for days in (3, 20, 85, 200)})
    sync(world, since=NOW - 7 * DAY)
    assert sorted(hourly(world).values()) == [3]
    sync(world)
    assert sorted(hourly(world).values()) == [3]
    sync(world, since=NOW - 300 * DAY)
    assert sorted(hourly(world).values()) == [3, 20, 85, 200]


@pytest.mark.parametrize(
    ("kind", "operation"),
    some(
        crossed(
            ["500", "throttle", "reset", "truncated", "cut", "garbage"],
            ["ListMetrics", "GetMetricData"],
        ),
        4,
    ),
)
def test_faults_are_tried_again_and_never_taken_for_no_data(
    world: World, operation: str, kind: str
) -> None:
    put(world, {hour_of(NOW) - n * HOUR: 1 for n in range(100)})
    world.aws.faults.append(Fault(kind, operation=operation, times=2))
    assert world.sync(sources=("cloudwatch",)).problems == []
    assert len(hourly(world)) == 100


def test_a_failure_claims_nothing(world: World) -> None:
    put(world, {hour_of(NOW) - n * HOUR: 1 for n in range(100)})
    world.aws.faults.append(Fault("denied", operation="GetMetricData", times=None))
    (problem,) = world.sync(sources=("cloudwatch",)).problems
    assert "add cloudwatch:GetMetricData" in problem.message
    assert world.rows("select * from sync_series") == []
    assert world.state(STREAM)["watermark"] is None
    world.aws.faults.clear()
    sync(world)
    assert len(hourly(world)) == 100


@long
def test_partial_data_is_followed_to_its_end(world: World) -> None:
    """A few models by the minute have more points than a page holds."""
    start, models = hour_of(NOW - 62 * DAY), 6
    for model in range(models):
        world.place.dense_metric(
            BEDROCK, "InputTokenCount", {"ModelId": f"vendor.model-{model}"}, 1, start, NOW
        )
    sync(world)
    assert world.aws.count("GetMetricData") > 1
    expected = int((NOW - start) / timedelta(seconds=300))
    assert (
        world.rows("select count(*), sum(value) from metric_totals group by series_key")
        == [(expected, expected)] * models
    )


@pytest.mark.parametrize(
    ("status", "words", "is_passing"),
    [
        ("Forbidden", "AccessDenied on cloudwatch:GetMetricData", False),
        ("InternalError", "internal error in CloudWatch", True),
        ("PartialData", "partial data", True),
    ],
)
def test_a_result_that_is_not_whole_claims_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, status: str, words: str, is_passing: bool
) -> None:
    """CloudWatch may say so in a 200, result by result."""
    put(world, {hour_of(NOW) - HOUR: 5})
    call = Place.call

    def spoilt(
        place: Place, service: str, operation: str, *rest: Any, **named: Any
    ) -> dict[str, Any]:
        answer = call(place, service, operation, *rest, **named)
        for result in answer.get("MetricDataResults", ()):
            result["StatusCode"] = status
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Place, "call", spoilt)
        (problem,) = world.sync(sources=("cloudwatch",)).problems
    assert (words in problem.message, problem.is_passing) == (True, is_passing)
    assert world.state(STREAM)["watermark"] is None
    sync(world)
    assert hourly(world) == {utc(hour_of(NOW) - HOUR): 5}


@cases("series", [1, 10, 40, 100, 300, 500, 501, 600])
def test_ninety_days_take_at_most_so_many_calls(series: int) -> None:
    found = stretches(hour_of(NOW - 90 * DAY), NOW + timedelta(minutes=13), series)
    points = [(s.end - s.start) / s.period for s in found]
    pages = 0
    for many in points:
        for batch in [500] * (series // 500) + ([series % 500] if series % 500 else []):
            pages += -(-batch * int(many) // 100_800)
    assert pages <= MAX_CALLS
    assert found[0].start == hour_of(NOW - 90 * DAY)
    assert [s.end for s in found[:-1]] == [s.start for s in found[1:]]
    assert found[-1].period == timedelta(seconds=300)
    assert found[-1].start <= NOW - 2 * DAY


def test_few_series_are_read_as_finely_as_they_are_kept() -> None:
    start = hour_of(NOW - 90 * DAY)
    kept = hour_of(NOW - 63 * DAY) + 2 * HOUR  # an hour of margin
    assert stretches(start, NOW, 50) == [
        Stretch(start, kept, HOUR),
        Stretch(kept, NOW, timedelta(seconds=300)),
    ]


@long
def test_six_hundred_series_of_sparse_models_over_the_wire(world: World) -> None:
    for model in range(60):
        for name in sorted(METRICS_OF[BEDROCK])[:10]:
            put(
                world,
                {hour_of(NOW - days * DAY): 1 for days in range(0, 90, 3)},
                name,
                f"vendor.model-{model}",
            )
    sync(world)
    assert world.aws.count("GetMetricData") <= MAX_CALLS
    assert world.rows("select count(*) from metric_totals") == [(600 * 30,)]


def minutes(world: World) -> dict[str, Any]:
    found = world.rows("select hour, minutes from metric_minutes order by 1")
    return {hour: json.loads(text) for hour, text in found}


def minute_requests(world: World) -> list[tuple[Any, Any]]:
    return [
        (request.params["StartTime"], request.params["EndTime"])
        for request in world.aws.requests
        if request.operation == "GetMetricData" and "'Period': 60" in str(request.params)
    ]


def test_minutes_are_read_once_a_day_where_calls_lack_tokens(world: World) -> None:
    old, hour, young = hour_of(NOW) - 16 * DAY, hour_of(NOW) - 20 * HOUR, hour_of(NOW) - HOUR
    world.deliver(1, NOW + 13 * MINUTE - (hour + 7 * MINUTE))
    values = {hour + 7 * MINUTE: 40, hour + 8 * MINUTE: 2, young: 5, old: 9}
    put(world, values)
    # No call of this model lacks tokens.
    put(world, values, model=SONNET)
    world.sync(sources=("cloudtrail", "cloudwatch"))
    world.sync(sources=("cloudtrail", "cloudwatch"))
    assert minutes(world) == {utc(hour): {"7": 40, "8": 2}}
    (only,) = world.rows(
        "select distinct model_id from metric_minutes"
        " join metric_series using (series_key) join models using (model_key)"
    )
    assert only == (HAIKU,)
    assert len(minute_requests(world)) == 1
    # Revised, and the next hours with it.
    put(world, {hour + 8 * MINUTE: 3})
    world.clock.advance(DAY + HOUR)
    world.sync(sources=("cloudtrail", "cloudwatch"))
    assert minutes(world) == {utc(hour): {"7": 40, "8": 3}, utc(young): {"0": 5}}


def test_minutes_stay_within_their_calls(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr("etl.sync.cloudwatch.MAX_MINUTE_CALLS", 0)
    world.deliver(1, 2 * DAY)
    put(world, {hour_of(NOW) - 2 * DAY: 40})
    world.sync()
    sync(world)
    assert (len(minute_requests(world)), minutes(world), len(totals(world))) == (0, {}, 1)


def test_what_cloudwatch_refuses_by_the_minute_is_read_by_the_hour(world: World) -> None:
    world.deliver(1, 2 * DAY)
    put(world, {hour_of(NOW) - 2 * DAY: 40})
    world.aws.refuses_old, world.aws.loses = True, 5 * HOUR
    world.sync()
    assert sync(world).problems == []
    assert (sum(value for _, _, value in totals(world)), minutes(world)) == (40, {})
    assert len(minute_requests(world)) == 1
    sync(world)
    assert len(minute_requests(world)) == 1
    world.clock.advance(DAY)
    sync(world)
    assert len(minute_requests(world)) == 2


def test_minutes_that_are_too_young_are_asked_for_once_a_day(world: World) -> None:
    hour = hour_of(NOW) - HOUR
    world.deliver(1, NOW + 13 * MINUTE - (hour + 7 * MINUTE))
    put(world, {hour + 7 * MINUTE: 40})
    world.sync(sources=("cloudtrail", "cloudwatch"))
    for _ in range(3):
        world.clock.advance(10 * MINUTE)
        sync(world)
    assert len(minute_requests(world)) == 1
