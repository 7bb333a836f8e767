"""The last sync, as the warehouse shows it to others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlite_utils import Database

from etl.warehouse.bookmarks import finish_run, start_run
from etl.warehouse.sync_runs import last_sync

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def moment(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


def do_round(
    db: Database, start: int, end: int | None, *, pid: int = 7, host: str = "here", new: int = 1
) -> None:
    run_id = start_run(db, moment(start), pid=pid, host=host)
    if end is not None:
        finish_run(
            db, run_id, moment(end), "done", [], calls_new=new, calls_with_tokens=1,
            late_events=1, metric_values=1, rejected=1,
        )  # fmt: skip


def test_a_warehouse_without_a_sync(db: Database) -> None:
    assert last_sync(db) is None


def test_rounds_that_follow_at_once_are_one_sync(db: Database) -> None:
    do_round(db, 0, 10)
    do_round(db, 10, 20, new=5)
    do_round(db, 21, 30, new=0)
    run = last_sync(db)
    assert run is not None
    assert (run.started_at, run.finished_at) == ("2026-11-20T12:00:00Z", "2026-11-20T12:00:30Z")
    assert (run.calls_new, run.calls_with_tokens, run.late_events) == (6, 3, 3)
    assert (run.metric_values, run.rejected) == (3, 3)


def test_what_a_sync_did_before_its_open_round_counts(db: Database) -> None:
    do_round(db, 0, 10)
    do_round(db, 10, None)
    run = last_sync(db)
    assert run is not None
    assert (run.finished_at, run.outcome, run.calls_new) == (None, None, 1)


def test_a_sync_that_repeats_itself_counts_each_time_for_itself(db: Database) -> None:
    do_round(db, 0, 10)
    do_round(db, 60, 70, new=2)
    run = last_sync(db)
    assert run is not None
    assert (run.started_at, run.calls_new) == ("2026-11-20T12:01:00Z", 2)


def test_other_processes_are_other_syncs(db: Database) -> None:
    for before in ({"pid": 8}, {"host": "there"}):
        do_round(db, 0, 10, **before)  # type: ignore[arg-type]
        do_round(db, 10, 20, new=3)
        run = last_sync(db)
        assert run is not None
        assert run.calls_new == 3


def test_a_round_that_was_killed_belongs_to_no_other(db: Database) -> None:
    do_round(db, 0, None)
    do_round(db, 1, 10, new=3)
    run = last_sync(db)
    assert run is not None
    assert (run.started_at, run.calls_new) == ("2026-11-20T12:00:01Z", 3)
