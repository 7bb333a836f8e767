"""What AWS no longer keeps, what comes days late, and what is revised between runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.cli.status import build_status
from etl.show.status import to_json
from etl.sync import cloudtrail, windows
from etl.sync.cloudwatch import REFUSED, hour_of
from etl.times import parse_utc
from etl.warehouse.database import open_warehouse
from tests.rounds import rounds
from tests.support import HAIKU, uuid_of
from tests.sync.support import DAY, EVENTS, HOUR, MINUTE, NOW, World, utc

SECOND = timedelta(seconds=1)
IS_COMPLETE = "select is_history_complete from sync_status"


def gaps(world: World) -> list[tuple[str, str, str]]:
    return world.rows("select gap_start, gap_end, reason from sync_gaps order by 1")


def notes(world: World) -> list[str]:
    return [progress.message for progress in world.seen if progress.phase == "note"]


@pytest.mark.parametrize("skew", [-290, 290])
def test_a_clock_that_is_off_by_minutes_ends_the_history_as_it_should(
    world: World, skew: int
) -> None:
    world.aws.refuses_old, world.aws.skew = True, skew
    world.deliver(1, 89 * DAY)
    assert world.sync().problems == []
    assert world.event_ids() == [uuid_of(1)]
    assert (gaps(world), world.rows(IS_COMPLETE), notes(world)) == ([], [(1,)], [])


@pytest.mark.parametrize(("skew", "lost"), [(-290, 0), (290, 17)])
def test_a_pause_longer_than_aws_retention_leaves_a_gap_and_continues(
    world: World, skew: int, lost: int
) -> None:
    world.aws.refuses_old, world.aws.skew = True, skew
    world.sync(since=NOW - DAY)
    world.aws.loses = lost * DAY
    world.clock.advance(100 * DAY)
    world.deliver(1, (89 - lost) * DAY)
    now = world.clock.now()
    assert world.sync().problems == []
    assert world.event_ids() == [uuid_of(1)]
    begin, end = utc(NOW - HOUR + SECOND), gaps(world)[-1][1]
    # One after the other, from what was read last to what is kept.
    assert gaps(world)[0][0] == begin
    assert timedelta() <= parse_utc(end) - (now - (90 - lost) * DAY) <= 2 * HOUR + 10 * MINUTE
    assert world.state()["watermark"] == utc(now - HOUR)
    assert bool(notes(world)) == bool(lost)
    asked = world.lookups()
    world.sync()
    assert world.lookups() == asked + 1


@settings(max_examples=rounds(3, 200))
@given(st.integers(1, 88 * 24), st.integers(-290, 290))
def test_wherever_history_is_refused_the_rest_is_read_and_the_edge_is_reported(
    new_world: Callable[[], World], lost: int, skew: int
) -> None:
    world = new_world()
    world.aws.refuses_old, world.aws.skew, world.aws.loses = True, skew, lost * HOUR
    kept = 90 * DAY - lost * HOUR
    world.deliver(1, kept - 2 * HOUR - 6 * MINUTE)
    assert world.sync().problems == []
    assert world.event_ids() == [uuid_of(1)]
    assert {reason for *_, reason in gaps(world)} <= {windows.REFUSED}
    assert gaps(world) or lost == 1
    assert world.rows(IS_COMPLETE) == [(1,)]
    # It is not requested again.
    asked = world.lookups()
    world.sync()
    assert (world.lookups(), world.rows(IS_COMPLETE)) == (asked + 1, [(1,)])


def test_a_refusal_of_what_is_new_is_a_failure_and_no_edge(world: World) -> None:
    world.aws.loses, world.aws.refuses_old = 91 * DAY, True
    (problem,) = world.sync().problems
    assert "InvalidTimeRangeException" in problem.message
    assert gaps(world) == []


@pytest.mark.parametrize("late", [30 * HOUR, 7 * DAY - HOUR])
@pytest.mark.parametrize("every", [DAY, 10 * DAY])
def test_what_comes_up_to_a_week_late_is_found_and_recorded(
    world: World, late: timedelta, every: timedelta
) -> None:
    world.sync(since=NOW - DAY)
    world.clock.advance(DAY)
    world.deliver(1, timedelta(), late=late)
    made = world.clock.now()
    while world.clock.now() < made + 15 * DAY:
        world.sync()
        world.clock.advance(every)
    world.sync()
    assert world.event_ids() == [uuid_of(1)]
    if every < late:
        found = world.rows("select late_events, late_from from sync_rereads where late_events")
        assert found == [(1, utc(made))]
        assert world.state()["late_events"] == 1


def test_what_was_to_be_read_again_and_is_too_old_by_now_is_said(world: World) -> None:
    world.aws.refuses_old = True
    world.sync(since=NOW - 5 * DAY)
    world.deliver(1, 20 * HOUR, late=21 * HOUR)
    world.clock.advance(100 * DAY)
    assert world.sync().problems == []
    assert world.event_ids() == []
    with open_warehouse(world.path) as db:
        (reread,) = build_status(db, world.clock.now(), None).rereads
    assert reread["unread_from"] <= utc(NOW - 20 * HOUR) <= reread["unread_to"]


def test_reading_again_ends_where_its_requests_are_used_up_and_status_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(400):
        world.deliver(number, 30 * MINUTE + number * 7 * MINUTE)
    world.sync(since=NOW - 2 * DAY)
    pause = 25 * HOUR
    # Three requests in that time.
    share = 2.9 * cloudtrail.LOOKUP_SECONDS / pause.total_seconds()
    monkeypatch.setattr(cloudtrail, "REREAD_SHARE", share)
    world.clock.advance(pause)
    asked = world.lookups()
    assert world.sync().problems == []
    assert world.lookups() == asked + 2 + 3
    assert world.rows("select requests, is_done from sync_rereads") == [(3, 1)]
    with open_warehouse(world.path) as db:
        status = build_status(db, world.clock.now(), None)
    (reread,) = status.rereads
    assert (reread["stream"], reread["unread_from"]) == (EVENTS, utc(NOW - DAY))
    assert reread["unread_to"] > utc(NOW - 18 * HOUR)
    assert "unread_to" in to_json(status)
    # It is over, until a day later.
    world.sync()
    assert world.lookups() == asked + 2 + 3 + 1


def put(world: World, values: dict[object, float], name: str = "InputTokenCount") -> None:
    world.place.metric("AWS/Bedrock", name, {"ModelId": HAIKU}, values)  # type: ignore[arg-type]


def totals(world: World) -> dict[str, int]:
    return dict(world.rows("select hour, value from metric_hourly"))


@pytest.mark.parametrize("pause", [3 * DAY, 40 * DAY])
@pytest.mark.parametrize("age", [4 * HOUR, 23 * HOUR])
def test_what_is_revised_during_a_pause_is_read_again_after_it(
    world: World, pause: timedelta, age: timedelta
) -> None:
    hour = hour_of(NOW) - age
    put(world, {hour: 10})
    world.sync(sources=("cloudwatch",))
    put(world, {hour: 99})
    world.clock.advance(pause)
    world.sync(sources=("cloudwatch",))
    assert totals(world) == {utc(hour): 99}


def test_a_metric_that_is_listed_later_than_its_model_has_its_history_read(world: World) -> None:
    hours = [hour_of(NOW) - days * DAY for days in (1, 20, 70)]
    put(world, dict.fromkeys(hours, 1))
    world.sync(sources=("cloudwatch",))
    put(world, dict.fromkeys(hours, 5), "CacheReadInputTokenCount")
    world.sync(sources=("cloudwatch",))
    found = "select hour, value from metric_hourly where metric_kind = 'cache_read' order by 1"
    assert world.rows(found) == [(utc(hour), 5) for hour in sorted(hours)]
    asked = world.aws.count("GetMetricData")
    world.sync(sources=("cloudwatch",))
    assert world.aws.count("GetMetricData") == asked + 1


@pytest.mark.parametrize(("lost", "since"), [(0, 90), (10, 450), (50, 450)])
def test_totals_that_cloudwatch_refuses_are_a_gap_or_coarser(
    world: World, lost: int, since: int
) -> None:
    world.aws.refuses_old, world.aws.skew = True, 290
    world.aws.loses = lost * DAY
    hours = [hour_of(NOW) - days * DAY for days in (80, 30, 2)]
    put(world, dict.fromkeys(hours, 7))
    options = {"sources": ("cloudwatch",), "since": NOW - since * DAY}
    assert world.sync(**options).problems == []
    assert totals(world) == {utc(hour): 7 for hour in hours}
    assert [reason for *_, reason in gaps(world)] == [REFUSED] * (since > 455 - lost)
    asked = world.aws.count("GetMetricData")
    assert world.sync(**options).problems == []
    assert world.aws.count("GetMetricData") == asked + 1
