"""The event stream: complete, counted once, resumable, honest about what is lost."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from etl.errors import WarehouseError
from etl.sources.cloudtrail import REACH
from etl.warehouse.bookmarks import StreamId, StreamState, save_state
from etl.warehouse.database import open_warehouse
from tests.aws import ACCOUNT, REGION, Fault
from tests.support import service_event, uuid_of
from tests.sync.support import DAY, EVENTS, HOUR, MINUTE, NOW, World, utc


def ids(*numbers: int) -> list[str]:
    return sorted(uuid_of(number) for number in numbers)


def test_the_first_run_reads_ninety_days(world: World) -> None:
    ages = [MINUTE, HOUR, DAY + HOUR, 30 * DAY, 89 * DAY]
    for number, age in enumerate(ages):
        world.deliver(number, age)
    outcome = world.sync()
    assert (outcome.written.calls_new, outcome.problems) == (5, [])
    assert world.event_ids() == ids(0, 1, 2, 3, 4)
    state = world.state()
    assert (state["covered_from"], state["watermark"], state["read_at"]) == (
        utc(NOW - REACH), utc(NOW - HOUR), utc(NOW),
    )  # fmt: skip
    assert world.rows("select * from sync_windows") == []


def test_a_sync_with_nothing_new_asks_once_and_changes_nothing(world: World) -> None:
    for number in range(70):
        world.deliver(number, number * 20 * HOUR + 2 * HOUR)
    world.sync()
    before, asked = world.rows("select * from calls"), world.lookups()
    outcome = world.sync()
    assert world.lookups() == asked + 1
    assert outcome.written.calls_new == 0
    assert world.rows("select * from calls") == before


def test_since_limits_the_first_run_and_may_reach_further_back_later(world: World) -> None:
    for number, days in enumerate((1, 5, 20)):
        world.deliver(number, days * DAY)
    world.sync(since=NOW - 7 * DAY)
    assert world.event_ids() == ids(0, 1)
    watermark = world.state()["watermark"]
    world.sync(since=NOW - 2 * DAY)
    world.sync()
    assert world.event_ids() == ids(0, 1)
    world.sync(since=NOW - 30 * DAY)
    assert world.event_ids() == ids(0, 1, 2)
    assert world.state()["covered_from"] == utc(NOW - 30 * DAY)
    assert world.state()["watermark"] >= watermark


def test_the_newest_is_there_while_the_history_is_being_read(world: World) -> None:
    for number in range(400):
        world.deliver(number, HOUR + number * 5 * HOUR)
    world.aws.faults.append(Fault("denied", operation="LookupEvents", skip=2, times=None))
    outcome = world.sync()
    assert [problem.stream.source for problem in outcome.problems] == ["cloudtrail"]
    assert uuid_of(0) in world.event_ids()
    assert len(world.event_ids()) < 400
    assert world.state()["watermark"] == utc(NOW - HOUR)
    world.aws.faults.clear()
    world.sync()
    assert len(world.event_ids()) == 400


def test_what_is_new_is_read_before_more_history(world: World) -> None:
    """A round has a fixed duration; the next begins with what is new."""
    for number in range(1500):
        world.deliver(number, DAY + HOUR + number * HOUR)
    world.sync(round_seconds=5.0)
    order = [progress.phase for progress in world.seen]
    first, last = order.index("history"), len(order) - order[::-1].index("history")
    assert "new" in order[first:last]
    assert len(world.event_ids()) == 1500
    assert len(world.rows("select * from sync_runs where outcome = 'done'")) > 2


@pytest.mark.parametrize("late", [10 * MINUTE, 59 * MINUTE])
def test_what_is_delivered_within_the_settle_time_is_found(world: World, late: timedelta) -> None:
    world.sync()
    world.deliver(1, 20 * MINUTE, late=late)
    world.sync()
    world.clock.advance(30 * MINUTE)
    world.sync()
    world.clock.advance(30 * MINUTE)
    world.sync()
    assert world.event_ids() == ids(1)


def test_what_comes_later_than_that_is_found_within_a_day_and_counted(world: World) -> None:
    world.sync()
    world.deliver(1, timedelta(), late=5 * HOUR)
    for _ in range(8):
        world.clock.advance(HOUR)
        world.sync()
    assert world.event_ids() == []
    world.clock.advance(17 * HOUR)
    outcome = world.sync()
    assert world.event_ids() == ids(1)
    assert (outcome.written.late_events, world.state()["late_events"]) == (1, 1)
    world.clock.advance(DAY)
    world.sync()
    assert world.state()["late_events"] == 1


def test_what_comes_late_before_a_long_pause_is_found_after_it(world: World) -> None:
    world.sync()
    world.clock.advance(20 * HOUR)
    world.deliver(1, 3 * HOUR, late=9 * HOUR)
    world.sync()
    world.clock.advance(10 * DAY)
    world.sync()
    assert world.event_ids() == ids(1)


def test_a_reread_that_was_cut_short_before_a_long_pause_leaves_nothing_out(world: World) -> None:
    """What was claimed after its window was cut has not been read again by it."""
    for number in range(200):
        world.deliver(1000 + number, 3 * HOUR + number * 5 * MINUTE)
    world.sync()
    world.clock.advance(25 * HOUR)
    world.deliver(1, timedelta(), late=20 * HOUR)  # after the window that is now read again
    # Two new windows, the first page of the reread, and no more.
    world.aws.faults.append(Fault("denied", operation="LookupEvents", skip=3, times=None))
    world.sync()
    assert [kind for (kind,) in world.rows("select kind from sync_windows")] == ["reread"]
    world.clock.advance(5 * HOUR)
    world.aws.faults[:] = [Fault("denied", operation="LookupEvents", skip=1, times=None)]
    world.sync()  # claims the time of the late event, and is cut again
    assert world.event_ids() == ids(*range(1000, 1200))
    world.aws.faults.clear()
    world.clock.advance(6 * DAY)
    world.sync()
    assert uuid_of(1) in world.event_ids()


def test_late_tokens_count_as_late(world: World) -> None:
    world.deliver(1, 3 * HOUR)
    world.sync()
    moment = NOW - 3 * HOUR
    world.place.deliver(
        service_event(2, 1, {"inputTokens": 7, "outputTokens": 8}, eventTime=utc(moment)),
        NOW + HOUR,
    )
    world.clock.advance(25 * HOUR)
    world.sync()
    assert world.rows("select input_tokens from calls") == [(7,)]
    assert world.state()["late_events"] == 1


def test_a_short_settle_time_is_an_option(world: World) -> None:
    world.sync(settle=5 * MINUTE)
    assert world.state()["watermark"] == utc(NOW - 5 * MINUTE)


def test_a_longer_settle_time_never_lowers_the_watermark(world: World) -> None:
    world.sync(settle=5 * MINUTE)
    world.clock.advance(MINUTE)
    world.sync(settle=3 * HOUR)
    assert world.state()["watermark"] >= utc(NOW - 5 * MINUTE)


def test_a_watermark_that_would_fall_is_refused(world: World) -> None:
    world.sync()
    stream = StreamId("cloudtrail", ACCOUNT, REGION)
    with (
        open_warehouse(world.path) as db,
        pytest.raises(WarehouseError, match="would move backwards"),
    ):
        save_state(db, StreamState(stream, covered_from=NOW, watermark=NOW - 2 * HOUR))
    assert world.state()["watermark"] == utc(NOW - HOUR)


def test_after_a_long_pause_the_days_are_read_one_by_one(world: World) -> None:
    world.sync()
    world.clock.advance(5 * DAY)
    for number in range(5):
        world.deliver(number, number * DAY + 2 * HOUR)
    world.aws.faults.append(Fault("denied", operation="LookupEvents", skip=2, times=None))
    world.sync()
    # Two days were read; the rest is not claimed.
    assert world.state()["watermark"] == utc(NOW - HOUR + 2 * DAY)
    world.aws.faults.clear()
    now = world.clock.now()
    world.sync()
    assert world.event_ids() == ids(0, 1, 2, 3, 4)
    assert world.state()["watermark"] == utc(now - HOUR)


def test_what_event_history_no_longer_has_becomes_a_gap(world: World) -> None:
    world.sync()
    world.clock.advance(100 * DAY)
    world.deliver(1, 89 * DAY)
    now = world.clock.now()
    world.sync()
    assert world.event_ids() == ids(1)
    lost_to = utc(now - REACH - timedelta(seconds=1))
    assert world.rows("select * from sync_gaps") == [
        (EVENTS, utc(NOW - HOUR + timedelta(seconds=1)), lost_to,
         "older than the 90 days that CloudTrail's event history keeps")
    ]  # fmt: skip
    assert world.state()["watermark"] == utc(now - HOUR)
    world.sync()
    assert len(world.rows("select * from sync_gaps")) == 1


def test_neighbouring_windows_share_a_second(world: World) -> None:
    """Some captures of events show fractions of a second: none may fall between two windows."""
    world.sync()
    asked = [r.params for r in world.aws.requests if r.operation == "LookupEvents"]
    newer, *older = asked
    for window in older:
        assert window["EndTime"] == newer["StartTime"]
        newer = window
    world.clock.advance(3 * DAY)
    world.aws.requests.clear()
    world.sync()
    asked = [r.params for r in world.aws.requests if r.operation == "LookupEvents"][:3]
    assert asked[1]["StartTime"] == asked[0]["EndTime"]
    assert asked[2]["StartTime"] == asked[1]["EndTime"]


def test_a_page_ends_at_a_whole_second_that_leaves_nothing_out() -> None:
    from etl.sources.cloudtrail import _page

    times = [NOW - timedelta(seconds=1.4), NOW - timedelta(seconds=2.6)]
    page = _page([{"EventId": "x", "EventTime": moment} for moment in times], is_last=False)
    assert page.oldest == NOW - timedelta(seconds=2)
    assert page.newest == times[0]


def test_nothing_older_than_ninety_days_is_ever_asked_for(world: World) -> None:
    """However long the run takes: AWS may refuse it."""
    for number in range(900):
        world.deliver(number, number * 2 * HOUR + HOUR)
    world.sync(since=NOW - 200 * DAY)
    asked = [r for r in world.aws.requests if r.operation == "LookupEvents"]
    assert len(asked) > 20
    first_pages = [r for r in asked if "NextToken" not in r.params]
    assert all(r.at - r.params["StartTime"] <= 90 * DAY for r in first_pages)


def test_the_rest_of_a_window_that_was_left_too_long_becomes_a_gap(world: World) -> None:
    world.sync()
    world.clock.advance(2 * DAY)
    moment = NOW - HOUR + DAY  # the end of the first day that is left to read
    for number in range(120):
        world.deliver(number, world.clock.now() - moment + number * 10 * MINUTE)
    world.aws.faults.append(Fault("denied", operation="LookupEvents", skip=1, times=None))
    world.sync()
    assert len(world.event_ids()) == 50
    world.aws.faults.clear()
    world.clock.advance(100 * DAY)
    world.sync()
    gaps = world.rows("select gap_start, gap_end from sync_gaps order by 1")
    assert gaps == [
        (utc(NOW - HOUR + timedelta(seconds=1)), utc(moment - 49 * 10 * MINUTE)),
        (utc(moment + timedelta(seconds=1)), gaps[1][1]),
    ]
    assert gaps[1][1] > utc(NOW + 11 * DAY)


def test_a_page_of_unsettled_events_leaves_no_window_in_hand(world: World) -> None:
    """They are read again anyway: a window would only cost one more request."""
    world.sync()
    for number in range(120):
        world.deliver(number, timedelta(seconds=20 * number))
    world.aws.faults.append(Fault("denied", operation="LookupEvents", skip=1, times=None))
    world.sync()
    assert len(world.event_ids()) == 50
    assert world.rows("select * from sync_windows") == []
    world.aws.faults.clear()
    asked = world.lookups()
    world.sync()
    assert len(world.event_ids()) == 120
    assert world.lookups() == asked + 3


def test_asking_for_more_than_there_is_becomes_a_gap(world: World) -> None:
    world.sync(since=NOW - 200 * DAY)
    assert world.rows("select gap_start, gap_end from sync_gaps") == [
        (utc(NOW - 200 * DAY), utc(NOW - REACH - timedelta(seconds=1)))
    ]
    assert world.state()["covered_from"] == utc(NOW - REACH)


def test_history_that_was_left_too_long_becomes_a_gap_and_what_was_read_stays(world: World) -> None:
    for number in range(300):
        world.deliver(number, number * 7 * HOUR + 2 * HOUR)
    world.aws.faults.append(Fault("denied", operation="LookupEvents", skip=3, times=None))
    world.sync()
    stored = world.event_ids()
    world.aws.faults.clear()
    world.clock.advance(85 * DAY)
    world.sync()
    gaps = world.rows("select gap_start, gap_end from sync_gaps order by 1")
    assert gaps[0][0] == utc(NOW - REACH)
    assert set(stored) <= set(world.event_ids())
    covered = world.state()["covered_from"]
    assert gaps[0][1] < covered
    # Everything from there on is stored.
    made = [n for n in range(300) if utc(NOW - n * 7 * HOUR - 2 * HOUR) >= covered]
    assert set(ids(*made)) <= set(world.event_ids())


def test_an_event_of_invalid_json_is_rejected_until_it_is_fixed(world: World) -> None:
    record = world.deliver(1, 2 * HOUR)
    world.deliver(2, 30 * MINUTE)
    broken = record | {"eventID": uuid_of(3), "eventTime": utc(NOW - 20 * MINUTE)}
    world.place.deliver(broken, text="{not json")
    no_time = record | {"eventID": uuid_of(4), "eventTime": utc(NOW - 20 * MINUTE)}
    world.place.deliver(no_time, text=json.dumps(no_time | {"eventTime": None}))
    outcome = world.sync()
    assert world.event_ids() == ids(1, 2)
    assert outcome.rejected == 2
    assert world.rows("select position, reason from rejects order by 1") == [
        (uuid_of(3), "CloudTrailEvent is not JSON"), (uuid_of(4), "no eventTime"),
    ]  # fmt: skip
    world.aws.reset(world.clock)
    world.place.deliver(broken)
    world.place.deliver(no_time)
    world.sync()
    assert world.event_ids() == ids(1, 2, 3, 4)
    assert world.rows("select * from rejects") == []


def test_the_checks_hold_after_a_sync(world: World) -> None:
    for number in range(120):
        world.deliver(number, number * HOUR, tokens=(number, 1) if number % 2 else None)
    world.sync()
    assert world.failed_checks() == {}
