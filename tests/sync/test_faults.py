"""Whatever AWS or the network does, nothing is lost, claimed too early, or counted twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.errors import RetriableError
from etl.load.run import load_files
from etl.sources.aws import MAX_ATTEMPTS
from etl.sql_files import sql_names
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.batch import Batch, Loader, Written
from tests.aws import Fault
from tests.checks import failed_checks
from tests.rounds import crossed, rounds, some
from tests.support import OF_THE_READING, answer_of, call, service_event, uuid_of, write_log
from tests.sync.support import DAY, HOUR, MINUTE, NOW, World, utc

PASSING = ["500", "503", "throttle", "reset", "reset-in-body", "truncated", "cut", "garbage"]


def fill(world: World, count: int = 160) -> list[str]:
    """Deliver calls over two months, some seconds with several; return their ids."""
    for number in range(count):
        world.deliver(number, timedelta(hours=9 * (number // 3)) + 2 * HOUR)
    return sorted(uuid_of(number) for number in range(count))


@pytest.mark.parametrize(("skip", "kind"), some(crossed([0, 1, 3], PASSING), 4))
def test_what_passes_is_tried_again(world: World, kind: str, skip: int) -> None:
    truth = fill(world)
    world.aws.faults.append(Fault(kind, operation="LookupEvents", skip=skip, times=2))
    outcome = world.sync()
    assert (outcome.problems, world.event_ids()) == ([], truth)
    assert world.aws.count("LookupEvents", outcome="ok") == world.lookups() - 2
    assert world.aws.throttled == 0


@pytest.mark.parametrize("kind", some(PASSING, 2))
def test_a_lasting_failure_ends_the_stream_and_the_next_run_continues(
    world: World, kind: str
) -> None:
    truth = fill(world)
    world.aws.faults.append(Fault(kind, operation="LookupEvents", skip=5, times=None))
    outcome = world.sync()
    (problem,) = outcome.problems
    assert problem.is_passing
    assert "cloudtrail:LookupEvents in us-east-1 (account 111122223333)" in problem.message
    assert world.lookups() == 5 + MAX_ATTEMPTS
    assert world.state()["error"] == problem.message
    first = set(world.event_ids())
    assert 0 < len(first) < len(truth)
    asked = world.lookups()
    world.aws.faults.clear()
    world.sync()
    assert world.event_ids() == truth
    assert world.state()["error"] is None
    # What was read is not requested again, except the last hour and the current page.
    alone = 1 + 14 + 4
    assert world.lookups() - asked <= alone


def test_it_waits_longer_each_time(world: World) -> None:
    """Retrying at once does not help a service that is down."""
    world.aws.faults.append(Fault("503", operation="LookupEvents", times=None))
    world.sync()
    pauses = [seconds for seconds in world.clock.sleeps if seconds > 0]
    for attempt, least in enumerate((0.25, 0.5, 1, 2, 4, 8, 10)):
        assert any(least <= pause <= 2 * least for pause in pauses), attempt
    assert sum(pauses) > 25


def test_a_truncated_answer_is_no_empty_page(world: World) -> None:
    """botocore turns it into a response without events, and a paginator would end."""
    truth = fill(world)
    world.aws.faults.append(Fault("truncated", operation="LookupEvents", times=None))
    outcome = world.sync()
    assert "incomplete response" in outcome.problems[0].message
    assert world.state()["watermark"] is None
    assert world.event_ids() == []
    world.aws.faults.clear()
    world.sync()
    assert world.event_ids() == truth


@pytest.mark.parametrize("times", [1, 3, None])
def test_a_token_that_expires_costs_one_more_request(world: World, times: int | None) -> None:
    for number in range(260):
        world.deliver(number, 2 * HOUR + number * 4 * MINUTE)
    world.aws.faults.append(Fault("expired-token", operation="LookupEvents", times=times))
    outcome = world.sync()
    assert outcome.problems == []
    assert len(world.event_ids()) == 260


def test_tokens_that_always_expire_within_one_second_are_reported(world: World) -> None:
    for number in range(120):
        world.deliver(number, 2 * HOUR)
    world.aws.faults.append(Fault("expired-token", operation="LookupEvents", times=None))
    outcome = world.sync()
    assert "repeatedly" in outcome.problems[0].message
    world.aws.faults.clear()
    world.sync()
    assert len(world.event_ids()) == 120


@pytest.mark.parametrize("kind", ["empty-page", "duplicates"])
def test_empty_pages_and_duplicates_change_nothing(world: World, kind: str) -> None:
    truth = fill(world)
    world.aws.faults.append(Fault(kind, operation="LookupEvents", times=4))
    assert world.sync().problems == []
    assert world.event_ids() == truth


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("denied", "add cloudtrail:LookupEvents to the policy"),
        ("expired-credentials", "sign in again"),
        ("invalid-credentials", "Enable the region"),
    ],
)
def test_what_the_user_must_fix_is_reported_at_once(world: World, kind: str, words: str) -> None:
    world.aws.faults.append(Fault(kind, operation="LookupEvents", times=None))
    (problem,) = world.sync().problems
    assert words in problem.message
    assert not problem.is_passing
    assert world.lookups() == 1


def test_a_slow_answer_is_waited_for(world: World) -> None:
    truth = fill(world, 9)
    world.aws.faults.append(Fault("slow", operation="LookupEvents", seconds=0.2))
    assert world.sync().problems == []
    assert world.event_ids() == truth


def test_pages_out_of_order_move_no_bookmark(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """If an event comes after an older one, a page says nothing about what follows it."""
    from etl.sources.cloudtrail import EventPage, LookedUp

    moments = [NOW - hours * HOUR for hours in (2, 9, 3, 20)]

    def pages(*_: object) -> object:
        for number, moment in enumerate(moments):
            record = call(number, eventTime=utc(moment))
            yield EventPage([LookedUp(record["eventID"], record)], moment, moment, is_last=False)
        raise RetriableError("lost")

    monkeypatch.setattr("etl.sync.cloudtrail.lookup_events", pages)
    world.sync()
    # The second page set it; the third, out of order, must not be trusted, nor what follows it.
    assert world.rows("select fetched_down_to from sync_windows") == [(utc(moments[1]),)]
    assert len(world.event_ids()) == 4


class Killed(BaseException):
    """A power cut, before or after a commit."""


AGE, DELAY = st.integers(0, 59), st.integers(0, 59)  # minutes
STEP = st.one_of(
    st.tuples(st.just("call"), AGE, DELAY),
    st.tuples(st.just("call"), AGE, st.integers(61, 600)),
    st.tuples(st.just("call"), AGE, st.integers(1440, 7 * 1440)),
    st.tuples(st.just("tokens"), AGE, DELAY),
    st.tuples(st.just("again"), st.integers(0, 40), st.just(0)),
    st.tuples(st.just("sync"), st.integers(0, 6), st.integers(0, 11)),
    st.tuples(st.just("wait"), st.integers(1, 3000), st.just(0)),
    st.tuples(st.just("pause"), st.integers(1, 12), st.just(0)),
    st.tuples(st.just("refuse"), st.integers(-300, 300), st.just(0)),
    st.tuples(st.just("kill"), st.integers(0, 6), st.integers(0, 1)),
)
BEFORE = st.lists(st.tuples(st.integers(0, 5000), DELAY), max_size=120)
FAULTS = [*PASSING, "denied", "expired-token", "empty-page", "duplicates"]


class History:
    """What happened so far, and what the warehouse must hold at the end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.records: list[dict[str, object]] = []
        self.services: set[str] = set()
        self.late: set[str] = set()
        self.watermark = ""

    def step(self, kind: str, one: int, two: int) -> None:
        getattr(self, kind)(one, two)

    def call(self, minutes_ago: int, minutes_late: int) -> None:
        number = len(self.records)
        moment = self.world.clock.now() - minutes_ago * MINUTE
        tokens = (number, 1) if number % 3 else None
        self._deliver(call(number, eventTime=utc(moment), tokens=tokens), moment, minutes_late)

    def tokens(self, minutes_ago: int, minutes_late: int) -> None:
        moment = self.world.clock.now() - minutes_ago * MINUTE
        number = len(self.records)
        self._deliver(call(number, eventTime=utc(moment)), moment, 0)
        counts = {"inputTokens": number, "outputTokens": 2}
        event = service_event(number + 1, number, counts, eventTime=utc(moment))
        self.services.add(str(event["eventID"]))
        self._deliver(event, moment, minutes_late)

    def again(self, index: int, _: int) -> None:
        if self.records:
            record = self.records[index % len(self.records)]
            self.world.place.deliver(record, self.world.clock.now())

    def wait(self, minutes: int, _: int) -> None:
        self.world.clock.advance(minutes * MINUTE)

    def pause(self, days: int, _: int) -> None:
        self.world.clock.advance(days * DAY)

    def refuse(self, skew: int, _: int) -> None:
        """From now on AWS refuses what is too old, by a clock of its own."""
        self.world.aws.refuses_old, self.world.aws.skew = True, skew

    def sync(self, skip: int, fault: int) -> None:
        self.world.aws.faults[:] = [
            Fault(FAULTS[fault], operation="LookupEvents", skip=skip, times=9)
        ]
        self._sync()
        self.world.aws.faults.clear()

    def kill(self, commits: int, after: int) -> None:
        """Sync until the power goes, at some commit: just before it, or just after."""
        write_all = Loader.write_all

        def killed(loader: Loader, batches: list[Batch]) -> list[Written]:
            nonlocal commits
            commits -= 1
            if commits < 0 and not after:
                raise Killed
            written = write_all(loader, batches)
            if commits < 0:
                raise Killed
            return written

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Loader, "write_all", killed)
            try:
                self._sync()
            except Killed:
                self._look()

    def _deliver(self, record: dict[str, object], moment: datetime, minutes_late: int) -> None:
        """Never into the past: what was read before it was there is not the reader's fault."""
        self.records.append(record)
        if minutes_late > 60:
            self.late.add(str(record["eventID"]))
        self.world.place.deliver(
            record, max(moment + minutes_late * MINUTE, self.world.clock.now())
        )

    def _sync(self) -> None:
        self.world.sync(since=NOW - 4 * DAY)
        self._look()

    def _look(self) -> None:
        """The watermark never falls, and everything delivered in time up to it is stored."""
        watermark = self.world.state().get("watermark") or ""
        assert watermark >= self.watermark
        self.watermark = watermark


@settings(max_examples=rounds(3, 500))
@given(BEFORE, st.lists(STEP, min_size=1, max_size=14))
def test_any_history_ends_in_the_truth(
    new_world: Callable[[], World], before: list[tuple[int, int]], steps: list[tuple[str, int, int]]
) -> None:
    world = new_world()
    history = History(world)
    for minutes_ago, minutes_late in before:
        history.call(minutes_ago, minutes_late)
    for step in steps:
        history.step(*step)
    world.clock.advance(2 * HOUR)
    history._sync()
    assert world.state()["watermark"] >= utc(world.clock.now() - HOUR - MINUTE)
    missing = (
        {str(r["eventID"]) for r in history.records} - set(world.event_ids()) - history.services
    )
    assert missing <= history.late
    # Long enough for what comes a week late, and for the next look for it.
    world.clock.advance(8 * DAY)
    history._sync()
    assert set(world.event_ids()) == {str(r["eventID"]) for r in history.records} - history.services
    assert world.state()["late_events"] >= len(missing)
    assert_same_as_load(world, history.records)


def assert_same_as_load(world: World, records: list[dict[str, object]]) -> None:
    """Whatever the way they came, the same events make the same views."""
    folder = Path(world.path).parent
    (folder / "logs").mkdir()
    log = write_log(folder / "logs" / "log.json", records)
    with (
        open_warehouse(folder / "loaded.db", create=True) as loaded,
        open_warehouse(world.path) as synced,
    ):
        load_files(loaded, [log])
        for view in sql_names("marts"):
            if view not in OF_THE_READING:
                assert answer_of(synced, view) == answer_of(loaded, view), view
        assert failed_checks(synced) == {}
