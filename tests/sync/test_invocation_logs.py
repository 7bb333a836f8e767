"""Invocation logs from CloudWatch Logs: complete, counted once, resumable, and no prompt in them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.errors import AccessError
from etl.load.decoder.content import Keys
from etl.sources.aws import MAX_ATTEMPTS
from etl.warehouse.write.batch import Batch, Loader, Written
from tests.aws import ACCOUNT, REGION, Fault
from tests.aws.logs import GROUP, event_id
from tests.rounds import crossed, long, rounds, some
from tests.support import call, logged, uuid_of
from tests.sync.support import DAY, HOUR, MINUTE, NOW, World, utc

STREAM = f"log_group/{ACCOUNT}/{REGION}"
SECOND = timedelta(seconds=1)
PASSING = ["500", "503", "throttle", "reset", "reset-in-body", "truncated", "cut", "garbage"]


@pytest.fixture
def world(new_world: Callable[[], World]) -> World:
    """A world whose one place has a log group."""
    world = new_world()
    world.place.log_group()
    return world


def log(world: World, number: int, ago: timedelta, *, late: timedelta | None = None, **f: Any) -> None:  # fmt: skip
    """Log a call made ``ago`` before now; with ``late``, visible so long after it was made."""
    moment = world.clock.now() - ago
    record = logged(number, timestamp=utc(moment), **f)
    world.place.log_invocation(record, None if late is None else moment + late)


def sync(world: World, *regions: str, **options: Any) -> Any:
    chosen = {"sources": ("invocation_logs",), "log_group": GROUP} | options
    return world.sync(*regions, **chosen)


def requests(*numbers: int) -> list[str]:
    return sorted(uuid_of(1_000_000 + number) for number in numbers)


def stored(world: World) -> list[str]:
    return [one for (one,) in world.rows("select request_id from calls order by 1")]


def asked(world: World) -> list[dict[str, Any]]:
    return [r.params for r in world.aws.requests if r.operation == "FilterLogEvents"]


def test_the_first_run_reads_ninety_days(world: World) -> None:
    ages = [MINUTE, HOUR, DAY + HOUR, 30 * DAY, 89 * DAY]
    for number, age in enumerate([*ages, 91 * DAY]):
        log(world, number, age, tokens=(number, 1), cache=(2, 3))
    outcome = sync(world)
    assert (outcome.written.calls_new, outcome.rejected, outcome.problems) == (5, 0, [])
    assert stored(world) == requests(*range(5))
    assert (
        world.rows(
            "select data_source, output_tokens, cache_read_tokens, cache_write_5m_tokens from calls"
        )
        == [("Actual Tokens from invocation log", 1, 2, 3)] * 5
    )
    state = world.state(STREAM)
    assert (state["source"], state["account_id"], state["region"]) == ("log_group", ACCOUNT, REGION)
    assert (state["covered_from"], state["watermark"], state["read_at"]) == (
        utc(NOW - 90 * DAY), utc(NOW - HOUR), utc(NOW),
    )  # fmt: skip
    assert world.rows("select * from sync_windows") == []
    assert world.rows("select * from sync_gaps") == []


def test_a_sync_with_nothing_new_asks_once_and_changes_nothing(world: World) -> None:
    for number in range(40):
        log(world, number, number * 20 * HOUR + 2 * HOUR)
    sync(world)
    before, count = world.rows("select * from calls"), len(asked(world))
    outcome = sync(world)
    assert len(asked(world)) == count + 1
    assert outcome.written.calls_new == 0
    assert world.rows("select * from calls") == before


def test_a_later_run_reads_from_the_watermark_on(world: World) -> None:
    sync(world)
    count = len(asked(world))
    world.clock.advance(2 * HOUR)
    log(world, 1, 90 * MINUTE)
    now = world.clock.now()
    sync(world)
    assert stored(world) == requests(1)
    (question,) = asked(world)[count:]
    assert question["startTime"] == int((NOW - HOUR + SECOND).timestamp() * 1000)
    assert question["endTime"] == int(now.timestamp() * 1000) + 999
    assert question["logGroupName"] == GROUP
    assert question["logStreamNamePrefix"] == "aws/bedrock/modelinvocations"


def test_fractions_of_a_second_fall_between_no_windows(world: World) -> None:
    boundaries = [NOW - HOUR, NOW - DAY, NOW - 8 * DAY]
    moments = [b + n * timedelta(milliseconds=250) for b in boundaries for n in range(-8, 8)]
    for number, moment in enumerate(moments):
        record = logged(number, timestamp=moment.isoformat())
        world.place.log_invocation(record)
    sync(world)
    world.clock.advance(3 * DAY)
    sync(world)
    assert stored(world) == requests(*range(len(moments)))


def test_since_limits_the_first_run_and_may_reach_further_back_later(world: World) -> None:
    for number, days in enumerate((1, 5, 20, 200)):
        log(world, number, days * DAY + HOUR)
    sync(world, since=NOW - 7 * DAY)
    assert stored(world) == requests(0, 1)
    sync(world, since=NOW - 2 * DAY)
    sync(world)
    assert stored(world) == requests(0, 1)
    sync(world, since=NOW - 300 * DAY)
    assert stored(world) == requests(0, 1, 2, 3)
    assert world.state(STREAM)["covered_from"] == utc(NOW - 300 * DAY)


@long
def test_nothing_is_asked_of_the_time_before_bedrock(world: World) -> None:
    sync(world, since=NOW - 3000 * DAY)
    assert world.state(STREAM)["covered_from"] == "2023-09-01T00:00:00Z"
    assert min(params["startTime"] for params in asked(world)) == 1693526400000
    assert world.rows("select * from sync_gaps") == []


def test_a_group_that_keeps_less_gives_what_it_has(world: World) -> None:
    world.place.log_group().kept = 7 * DAY
    for number in range(20):
        log(world, number, number * DAY + HOUR)
    assert sync(world).problems == []
    assert stored(world) == requests(*range(7))


def test_another_group_is_read_from_its_beginning(world: World) -> None:
    world.place.log_group("/other")
    for number, days in enumerate((1, 20, 60)):
        log(world, number, days * DAY + HOUR)
    sync(world, log_group="/other")
    assert stored(world) == []
    world.clock.advance(2 * HOUR)
    log(world, 3, HOUR)
    sync(world)
    assert stored(world) == requests(0, 1, 2, 3)
    count = len(asked(world))
    sync(world)
    assert len(asked(world)) == count + 1
    # It was never in the other region, whatever was read of the first group there.
    world.aws.place(ACCOUNT, "eu-west-1").log_group("/other")
    sync(world, "eu-west-1", log_group="/other")
    assert sync(world, REGION, "eu-west-1").problems == []


def test_what_stays_within_the_settle_time_is_found(world: World) -> None:
    sync(world)
    log(world, 1, 20 * MINUTE, late=59 * MINUTE)
    for _ in range(3):
        sync(world)
        world.clock.advance(30 * MINUTE)
    assert stored(world) == requests(1)


def test_what_comes_later_than_that_is_found_within_a_day_and_counted(world: World) -> None:
    sync(world)
    log(world, 1, timedelta(), late=5 * HOUR)
    for _ in range(8):
        world.clock.advance(HOUR)
        sync(world)
    assert stored(world) == []
    world.clock.advance(17 * HOUR)
    outcome = sync(world)
    assert stored(world) == requests(1)
    assert (outcome.written.late_events, world.state(STREAM)["late_events"]) == (1, 1)
    world.clock.advance(DAY)
    sync(world)
    assert world.state(STREAM)["late_events"] == 1


def test_a_call_that_cloudtrail_also_reports_is_one_call(world: World) -> None:
    world.deliver(1, 2 * HOUR)
    log(world, 1, 2 * HOUR + SECOND, tokens=(7, 8))
    sync(world, sources=("cloudtrail", "invocation_logs"))
    world.clock.advance(26 * HOUR)
    sync(world, sources=("cloudtrail", "invocation_logs"))
    assert world.rows("select event_id, input_tokens, output_tokens from calls") == [
        (uuid_of(1), 7, 8)
    ]


def test_the_key_of_the_metadata_is_an_option(world: World) -> None:
    log(world, 1, 2 * HOUR, requestMetadata={"team": "Search", "application": "Other"})
    sync(world, keys=Keys(metadata="team"))
    assert world.rows("select application from calls") == [("Search",)]


@pytest.mark.parametrize(
    "options", [{"log_group": None}, {"sources": ("cloudtrail",)}, {"sources": ("trail",)}]
)
def test_without_a_group_or_when_not_chosen_nothing_is_asked(
    world: World, options: dict[str, Any]
) -> None:
    log(world, 1, 2 * HOUR)
    assert sync(world, **options).problems == []
    assert asked(world) == []


def test_requests_keep_under_five_a_second(world: World) -> None:
    world.place.logs.page_events = 2
    for number in range(60):
        log(world, number, 2 * HOUR + number * MINUTE)
    sync(world)
    seconds = [r.at for r in world.aws.requests if r.operation == "FilterLogEvents"]
    assert len(seconds) > 40
    assert max(map(seconds.count, seconds)) <= 5


def test_messages_may_be_wrapped_or_events_of_a_trail(world: World) -> None:
    moment = NOW - 2 * HOUR
    event = call(1, eventTime=utc(moment))
    record = logged(2, timestamp=utc(moment))
    texts = (
        json.dumps(record),
        f"{utc(moment)} {json.dumps(record)}",
        json.dumps({"detail": event}),
    )
    for text in texts:
        world.place.log_invocation(text, moment)
    both = {"Records": [event, {"body": json.dumps(logged(3, timestamp=utc(moment)))}]}
    world.place.log_invocation(json.dumps(both), moment)
    outcome = sync(world)
    assert (outcome.rejected, stored(world)) == (0, requests(1, 2, 3))


def test_what_is_no_record_is_rejected_by_the_id_of_its_event(world: World) -> None:
    world.place.log_invocation("Permissions are correctly set for Amazon Bedrock logs.", NOW - DAY)
    log(world, 1, 2 * HOUR)
    log(world, 2, 2 * HOUR, requestId=None)
    world.place.log_invocation("{not json", NOW - 2 * HOUR)
    log(world, 3, 2 * HOUR, tokens=(-5, 1))
    outcome = sync(world)
    assert (outcome.rejected, stored(world)) == (3, requests(1, 3))
    no_count = "input.inputTokenCount is not a whole number of tokens; the call is kept without it"
    assert world.rows("select file, position, substr(reason, 1, 80) from rejects order by 2") == [
        (STREAM, event_id(3), "no requestId: it cannot be matched with the calls that CloudTrail reports"),
        (STREAM, event_id(4), "not JSON (at character 1)"),
        (STREAM, event_id(5), no_count[:80]),
    ]  # fmt: skip
    sync(world)
    assert len(world.rows("select * from rejects")) == 3


def test_a_reject_disappears_when_its_event_can_be_read(world: World) -> None:
    world.place.log_invocation("{not json", NOW - 20 * MINUTE)
    assert sync(world).rejected == 1
    world.place.logs.groups.clear()
    log(world, 1, 20 * MINUTE)  # takes the id of the first
    assert sync(world).rejected == 0
    assert stored(world) == requests(1)
    assert world.rows("select * from rejects") == []


def test_nothing_of_a_prompt_is_stored(world: World) -> None:
    secret = "the-secret-of-the-prompt"
    body = {"messages": [{"role": "user", "content": secret}], "usage": {"inputTokens": secret}}
    record = logged(1, timestamp=utc(NOW - 2 * HOUR), tokens=None)
    record["input"]["inputBodyJson"] = record["output"]["outputBodyJson"] = body
    world.place.log_invocation(record)
    world.place.log_invocation(record | {"requestId": None})
    world.place.log_invocation(f'{{"input": "{secret}', NOW - 2 * HOUR)
    outcome = sync(world)
    assert (outcome.written.calls_new, outcome.rejected) == (1, 3)
    for file in Path(world.path).parent.glob("warehouse.db*"):
        assert secret.encode() not in file.read_bytes()
    assert all(secret not in repr(progress) for progress in world.seen)


def test_a_denied_group_says_what_to_do_and_the_others_continue(world: World) -> None:
    log(world, 1, 2 * HOUR)
    world.deliver(2, 2 * HOUR)
    world.aws.faults.append(Fault("denied", operation="FilterLogEvents", times=None))
    outcome = sync(world, sources=("cloudtrail", "invocation_logs"))
    (problem,) = outcome.problems
    assert (str(problem.stream), problem.is_passing) == (STREAM, False)
    assert problem.message == (
        f"AccessDenied on logs:FilterLogEvents in {REGION} (account {ACCOUNT}): add"
        " logs:FilterLogEvents to the policy of the role or user that runs this"
        " (`bedrock-usage policy` prints it); see docs/permissions.md"
    )
    assert world.state(STREAM)["error"] == problem.message
    assert stored(world) == requests(2)
    assert len(asked(world)) == 1
    world.aws.faults.clear()
    assert sync(world).problems == []
    assert world.state(STREAM)["error"] is None
    assert stored(world) == requests(1, 2)


def test_a_group_that_does_not_exist_anywhere_says_what_to_do_once(world: World) -> None:
    world.place.logs.groups.clear()
    outcome = sync(world, REGION, "eu-west-1")
    (problem,) = outcome.problems
    assert "logs:FilterLogEvents in " in problem.message
    assert f"there is no log group {GROUP}; enable" in problem.message
    assert "log_group under [sources.invocation_logs]" in problem.message
    assert not outcome.is_complete


def test_a_region_without_the_group_is_no_failure_where_another_has_it(world: World) -> None:
    log(world, 1, 2 * HOUR)
    outcome = sync(world, REGION, "eu-west-1")
    assert (outcome.problems, outcome.is_complete) == ([], True)
    assert stored(world) == requests(1)


def test_a_group_that_was_there_and_is_gone_is_a_failure(world: World) -> None:
    log(world, 1, 2 * HOUR)
    world.aws.place(ACCOUNT, "eu-west-1").log_group()
    assert sync(world, REGION, "eu-west-1").problems == []
    world.place.logs.groups.clear()
    (problem,) = sync(world, REGION, "eu-west-1").problems
    assert str(problem.stream) == STREAM
    assert world.state(STREAM)["error"] == problem.message


def fill(world: World, count: int = 160) -> list[str]:
    """Log calls over two months, some seconds with several; return their request ids."""
    world.place.logs.page_events = 7
    for number in range(count):
        log(world, number, timedelta(hours=9 * (number // 3)) + 2 * HOUR)
    return requests(*range(count))


@pytest.mark.parametrize(("skip", "kind"), some(crossed([0, 1, 3], PASSING), 2))
def test_what_passes_is_tried_again(world: World, kind: str, skip: int) -> None:
    truth = fill(world)
    world.aws.faults.append(Fault(kind, operation="FilterLogEvents", skip=skip, times=2))
    outcome = sync(world)
    assert (outcome.problems, stored(world)) == ([], truth)


@pytest.mark.parametrize(
    ("kind", "skip"), some(crossed([*PASSING, "denied", "expired-credentials"], [2, 9]), 2)
)
def test_a_lasting_failure_ends_the_stream_and_the_next_run_continues(
    world: World, kind: str, skip: int
) -> None:
    truth = fill(world)
    world.aws.faults.append(Fault(kind, operation="FilterLogEvents", skip=skip, times=None))
    outcome = sync(world)
    (problem,) = outcome.problems
    assert problem.is_passing == (kind in PASSING)
    assert len(asked(world)) == skip + (MAX_ATTEMPTS if kind in PASSING else 1)
    first = set(stored(world))
    assert 0 < len(first) < len(truth)
    world.aws.faults.clear()
    outcome = sync(world)
    assert (outcome.problems, stored(world)) == ([], truth)


@pytest.mark.parametrize("times", [1, 3])
def test_a_token_that_expires_costs_one_more_request(world: World, times: int) -> None:
    truth = fill(world)
    world.aws.faults.append(Fault("expired-token", operation="FilterLogEvents", times=times))
    outcome = sync(world)
    assert (outcome.problems, stored(world)) == ([], truth)


def test_tokens_that_always_expire_within_one_second_are_reported(world: World) -> None:
    world.place.logs.page_events = 2
    for number in range(9):
        log(world, number, 2 * HOUR)
    world.aws.faults.append(Fault("expired-token", operation="FilterLogEvents", times=None))
    (problem,) = sync(world).problems
    assert problem.is_passing
    assert "repeatedly" in problem.message


@pytest.mark.parametrize("kind", ["empty-page", "duplicates"])
def test_empty_pages_and_duplicates_change_nothing(world: World, kind: str) -> None:
    truth = fill(world)
    for skip in (0, 1, 2, 5):
        world.aws.faults.append(Fault(kind, operation="FilterLogEvents", skip=skip, times=2))
    outcome = sync(world)
    assert (outcome.problems, stored(world)) == ([], truth)
    assert outcome.written.calls_new == len(truth)


def test_pages_out_of_order_move_no_bookmark(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from etl.sync import invocation_logs

    sync(world)
    world.clock.advance(10 * HOUR)
    world.place.logs.page_events = 10
    for number in range(40):
        log(world, number, 9 * HOUR - number * 10 * MINUTE)
    pages = invocation_logs.filter_events

    def shuffled(*arguments: Any) -> Any:
        first, second, third, _ = pages(*arguments)
        yield from (second, first, third)
        raise AccessError("enough")

    monkeypatch.setattr(invocation_logs, "filter_events", shuffled)
    now = world.clock.now()
    assert [problem.message for problem in sync(world).problems] == ["enough"]
    assert stored(world) == requests(*range(30))
    # The second page was not known to be out of order; the third may not be complete before it.
    assert world.state(STREAM)["watermark"] == utc(now - 9 * HOUR + 190 * MINUTE - SECOND)


def test_a_second_that_is_cut_between_pages_is_read_again(world: World) -> None:
    sync(world)
    world.clock.advance(10 * HOUR)
    world.place.logs.page_events = 10
    for number in range(40):
        log(world, number, 5 * HOUR)
    world.aws.faults.append(Fault("denied", operation="FilterLogEvents", skip=2, times=None))
    sync(world)
    assert stored(world) == requests(*range(20))
    world.aws.faults.clear()
    sync(world)
    assert stored(world) == requests(*range(40))


def test_what_has_not_settled_is_stored_and_not_claimed(world: World) -> None:
    sync(world)
    world.clock.advance(10 * HOUR)
    world.place.logs.page_events = 10
    now = world.clock.now()
    for number in range(40):
        log(world, number, 50 * MINUTE - number * MINUTE)
    world.aws.faults.append(Fault("denied", operation="FilterLogEvents", skip=2, times=None))
    sync(world)
    assert stored(world) == requests(*range(20))
    assert world.state(STREAM)["watermark"] == utc(now - HOUR)


def test_the_newest_is_there_while_the_history_is_being_read(world: World) -> None:
    truth = fill(world)
    world.aws.faults.append(Fault("denied", operation="FilterLogEvents", skip=3, times=None))
    sync(world)
    assert requests(0)[0] in stored(world)
    assert world.state(STREAM)["watermark"] == utc(NOW - HOUR)
    assert len(stored(world)) < len(truth)


@long
def test_a_long_history_is_read_round_by_round_with_what_is_new_first(world: World) -> None:
    truth = fill(world, 300)
    sync(world, round_seconds=2.0)
    phases = [progress.phase for progress in world.seen if progress.phase != "done"]
    first, last = phases.index("history"), len(phases) - phases[::-1].index("history")
    assert "new" in phases[first:last]
    assert stored(world) == truth
    shares = [progress.share for progress in world.seen]
    assert all(0 <= share <= 1 for share in shares)


def test_an_open_history_window_continues_where_it_was(world: World) -> None:
    world.place.logs.page_events = 10
    for number in range(100):
        log(world, number, 3 * DAY + number * HOUR)
    world.aws.faults.append(Fault("denied", operation="FilterLogEvents", skip=4, times=None))
    sync(world)
    # Oldest first: what is open of the window begins where the third page of it ended.
    assert world.rows("select kind, window_start, window_end, fetched_down_to from sync_windows") == [
        ("history", utc(NOW - 3 * DAY - 70 * HOUR), utc(NOW - DAY - SECOND), utc(NOW - DAY - SECOND))
    ]  # fmt: skip
    assert world.state(STREAM)["covered_from"] == utc(NOW - DAY)
    assert stored(world) == requests(*range(70, 100))
    world.aws.faults.clear()
    count = len(asked(world))
    sync(world)
    windows = [p for p in asked(world)[count:] if "nextToken" not in p]
    assert windows[1]["startTime"] == int((NOW - 3 * DAY - 70 * HOUR).timestamp() * 1000)
    # What was read of the window before it was interrupted is claimed too.
    assert windows[2]["endTime"] == int((NOW - 8 * DAY).timestamp() * 1000) - 1
    assert stored(world) == requests(*range(100))
    assert world.state(STREAM)["covered_from"] == utc(NOW - 90 * DAY)


def test_a_history_window_in_hand_claims_nothing_that_is_wanted_since(world: World) -> None:
    """It begins where history was to end when it was cut; by now that is further back."""
    world.place.logs.page_events = 10
    for number in range(100):
        log(world, number, DAY + HOUR + number * HOUR)
    world.aws.faults.append(Fault("denied", operation="FilterLogEvents", skip=4, times=None))
    sync(world, since=NOW - 3 * DAY)
    assert [kind for (kind,) in world.rows("select kind from sync_windows")] == ["history"]
    world.aws.faults.clear()
    sync(world, since=NOW - 30 * DAY)
    assert stored(world) == requests(*range(100))


def test_an_interrupted_reread_continues(world: World) -> None:
    world.place.logs.page_events = 10
    for number in range(100):
        log(world, number, 2 * HOUR + number * 20 * MINUTE)
    sync(world)
    world.clock.advance(25 * HOUR)
    log(world, 500, 3 * HOUR + 25 * HOUR)  # was not there when its time was read
    # Two new windows, two pages of the reread.
    world.aws.faults.append(Fault("denied", operation="FilterLogEvents", skip=4, times=None))
    sync(world)
    assert [kind for (kind,) in world.rows("select kind from sync_windows")] == ["reread"]
    world.aws.faults.clear()
    outcome = sync(world)
    assert stored(world) == requests(*range(100), 500)
    assert outcome.written.late_events == 1
    assert world.rows("select kind from sync_windows") == []


class Killed(BaseException):
    """A power cut, before or after a commit."""


@settings(max_examples=rounds(2, 200))
@given(
    st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 3)), min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.integers(1, 3000)), max_size=5),
)
def test_any_history_of_kills_ends_in_the_truth(
    new_world: Callable[[], World],
    before: list[tuple[int, int]],
    kills: list[tuple[int, bool, int]],
) -> None:
    world = new_world()
    world.place.logs.page_events = 4
    for number, (minutes, seconds) in enumerate(before):
        log(world, number, minutes * MINUTE + seconds * SECOND)
    number, watermark = len(before), ""
    write_all = Loader.write_all
    for commits, is_after, wait in kills:
        left = [commits]

        def killed(
            loader: Loader, batches: list[Batch], *, left: list[int] = left, after: bool = is_after
        ) -> list[Written]:
            left[0] -= 1
            if left[0] < 0 and not after:
                raise Killed
            written = write_all(loader, batches)
            if left[0] < 0:
                raise Killed
            return written

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Loader, "write_all", killed)
            with contextlib.suppress(Killed):
                sync(world, since=NOW - 5 * DAY)
        state = world.state(STREAM).get("watermark") or ""
        assert state >= watermark
        watermark = state
        world.clock.advance(wait * MINUTE)
        log(world, number, timedelta())
        number += 1
    sync(world, since=NOW - 7 * DAY)
    assert stored(world) == requests(*range(number))
    assert world.failed_checks() == {}
