"""A run: many places at once, one writer, reported failures, a clean stop."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path

import pytest

from etl.clock import Clock
from etl.errors import (
    AccessError,
    LockedError,
    RetriableError,
    SourceError,
    StoppedError,
    WarehouseError,
)
from etl.load.run import load_files
from etl.sync.run import SyncOptions, sync_places
from etl.sync.writer import Writer
from etl.warehouse.database import open_warehouse
from etl.warehouse.lock import sync_lock
from etl.warehouse.write.batch import Batch, Loader, Written
from tests.aws import ACCOUNT, REGION, Fault
from tests.support import call, rows
from tests.sync.support import HOUR, NOW, World, utc

REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1")


def test_many_regions_are_read_at_once(world: World) -> None:
    """Each has its own limiter, and none waits for another's."""
    for index, region in enumerate(REGIONS):
        for number in range(60):
            moment = utc(NOW - 2 * HOUR - timedelta(minutes=number))
            record = call(1000 * index + number, eventTime=moment, awsRegion=region)
            world.aws.place(ACCOUNT, region).deliver(record)
    outcome = world.sync(*REGIONS, since=NOW - 20 * HOUR)
    assert (outcome.problems, outcome.written.calls_new) == ([], 240)
    assert world.rows("select region, count(*) from calls group by 1") == [
        (r, 60) for r in sorted(REGIONS)
    ]


def test_a_round_is_noted_with_what_it_came_to(world: World) -> None:
    world.deliver(1, 2 * HOUR, tokens=(1, 2))
    world.sync()
    world.aws.faults.append(Fault("denied", operation="LookupEvents", times=None))
    world.sync()
    found = world.rows(
        "select outcome, calls_new, calls_with_tokens, message from sync_runs order by run_id"
    )
    assert found[0] == ("done", 1, 1, None)
    assert found[1][:3] == ("incomplete", 0, 0)
    assert "AccessDenied on cloudtrail:LookupEvents" in found[1][3]


@pytest.mark.parametrize(
    ("lost", "may_pass"), [(AccessError("denied"), False), (RetriableError("away"), True)]
)
def test_a_run_without_some_places_is_not_done(
    world: World, lost: SourceError, may_pass: bool
) -> None:
    world.deliver(1, 2 * HOUR)
    options = SyncOptions(sources=("cloudtrail",), since=NOW - 20 * HOUR)
    with open_warehouse(world.path) as db:
        outcome = sync_places(db, world.places(), world.clock, options, lost=[lost])
    assert (outcome.is_complete, outcome.may_pass) == (False, may_pass)
    assert world.rows("select outcome, message, calls_new from sync_runs") == [
        ("incomplete", str(lost), 1)
    ]


def test_a_failed_write_leaves_no_thread_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("full")

    monkeypatch.setattr(Loader, "write_all", full)
    with open_warehouse(world.path) as db:
        writer = Writer(db)
        answers, written = Future[int](), Future[Written]()
        writer._queue.put((lambda db: 1, answers))
        writer._queue.put((Batch(), written))
        with pytest.raises(sqlite3.OperationalError):
            writer.serve(1.0)
        for future in (answers, written):
            with pytest.raises(sqlite3.OperationalError):
                future.result(1)


def test_a_database_that_fails_ends_the_run_with_its_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver(1, 2 * HOUR)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Loader, "write_all", full)
        with pytest.raises(WarehouseError, match="full"):
            world.sync()
    world.sync()
    assert len(world.event_ids()) == 1


def handed_in(writer: Writer) -> Future[Written]:
    """Submit a batch from a separate thread. It must not block if the batch is never taken."""
    result: Future[Written] = Future()

    def work() -> None:
        try:
            result.set_result(writer.write(Batch()))
        except StoppedError as error:
            result.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return result


def test_whoever_comes_when_the_writer_has_closed_is_turned_away(world: World) -> None:
    """A thread that is late, after a stop or a failed database, must not wait forever."""
    with open_warehouse(world.path) as db:
        writer = Writer(db)
        waiting = handed_in(writer)
        while writer._queue.empty():
            time.sleep(0.001)
        writer.close()
        with pytest.raises(StoppedError):
            waiting.result(5)
        with pytest.raises(StoppedError):
            writer.read(lambda db: 1)


def test_what_arrives_together_shares_a_transaction(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[int] = []
    write_all = Loader.write_all

    def counted(loader: Loader, batches: list[Batch]) -> list[Written]:
        together.append(len(batches))
        return write_all(loader, batches)

    monkeypatch.setattr(Loader, "write_all", counted)
    with open_warehouse(world.path) as db:
        writer = Writer(db)
        results = [handed_in(writer) for _ in range(5)]
        while writer._queue.qsize() < 5:
            time.sleep(0.001)
        writer.serve(1.0)
        assert [result.result(5).calls_new for result in results] == [0] * 5
    assert together == [5]


def test_a_defect_in_a_thread_is_reported_and_not_swallowed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("etl.sync.cloudtrail.windows.begin", broken)
    (problem,) = world.sync().problems
    assert "ZeroDivisionError" in problem.message
    assert "a defect" not in problem.message
    assert "Please report it" in problem.message


@pytest.mark.parametrize("kind", ["hang", "slow"])
def test_a_stop_is_obeyed_within_seconds_whatever_aws_does(
    world: World, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In real time: the pending request is abandoned, what is committed is kept."""
    monkeypatch.setattr("etl.sync.run._GRACE_SECONDS", 0.5)
    clock = Clock()
    world.aws.reset(clock)
    now = clock.now()
    for number in range(120):
        record = call(number, eventTime=utc(now - 3 * HOUR - number * timedelta(minutes=1)))
        world.aws.place(ACCOUNT, REGION).deliver(record)
    world.aws.faults.append(Fault(kind, operation="LookupEvents", skip=1, times=None, seconds=60.0))
    world.clock = clock  # type: ignore[assignment]
    places = world.places()
    threading.Timer(1.0, clock.stop.set).start()
    started = time.monotonic()
    with open_warehouse(world.path) as db:
        options = SyncOptions(sources=("cloudtrail",), since=now - 20 * HOUR)
        outcome = sync_places(db, places, clock, options)
        assert outcome.is_stopped
        assert rows(db, "select outcome from sync_runs") == [("stopped",)]
        assert rows(db, "select count(*) from events") == [(50,)]
    assert time.monotonic() - started < 8


def test_only_one_sync_at_a_time(world: World) -> None:
    with sync_lock(world.path):
        world.sync()
        with pytest.raises(LockedError, match=r"process \d+ on \S+"), sync_lock(world.path):
            pass
    with sync_lock(world.path):
        pass


def test_the_lock_is_nothing_to_load(world: World) -> None:
    world.sync()
    with sync_lock(world.path):
        pass
    assert world.path.with_name("warehouse.db.lock").exists()
    with open_warehouse(world.path) as db:
        assert load_files(db, [world.path.parent]).rejected == 0


def test_a_lock_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(WarehouseError, match="folder must exist"),
        sync_lock(tmp_path / "no" / "w.db"),
    ):
        pass
