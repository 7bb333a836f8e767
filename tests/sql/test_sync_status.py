"""The view ``sync_status``: expected rows for given bookmarks, independent of the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlite_utils import Database

from etl.warehouse.bookmarks import Gap, StreamId, StreamState, Window, save_error, save_state
from tests.support import ACCOUNT

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
READ = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVENTS = StreamId("cloudtrail", ACCOUNT, "us-east-1")
WANTED = READ - 90 * DAY

DONE = StreamState(
    EVENTS,
    covered_from=WANTED,
    watermark=READ - HOUR,
    read_at=READ,
    history_from=WANTED,
    reread_at=READ,
)


def status(db: Database) -> dict[str, Any]:
    (row,) = db.query("select * from sync_status")
    return row


def test_a_stream_that_is_complete(db: Database) -> None:
    save_state(db, DONE, late_events=2)
    assert status(db) == {
        "stream": f"cloudtrail/{ACCOUNT}/us-east-1",
        "source": "cloudtrail",
        "account_id": ACCOUNT,
        "region": "us-east-1",
        "covered_from": "2026-08-22T12:00:00Z",
        "watermark": "2026-11-20T11:00:00Z",
        "read_at": "2026-11-20T12:00:00Z",
        "history_from": "2026-08-22T12:00:00Z",
        "is_history_complete": 1,
        "history_left_days": 0.0,
        "open_windows": None,
        "late_events": 2,
        "gap_count": 0,
        "error_at": None,
        "error": None,
    }


def test_what_is_left_of_the_history_counts_from_the_oldest_event_read(db: Database) -> None:
    half_read = Window(READ - 15 * DAY, READ - 8 * DAY, READ - 12 * DAY)
    save_state(db, replace(DONE, covered_from=READ - 8 * DAY).with_window("history", half_read))
    row = status(db)
    assert (row["is_history_complete"], row["history_left_days"]) == (0, 78.0)
    assert row["open_windows"] == "history"
    assert row["covered_from"] == "2026-11-12T12:00:00Z"


def test_a_second_that_is_left_is_not_complete(db: Database) -> None:
    save_state(db, replace(DONE, covered_from=WANTED + SECOND))
    assert status(db)["is_history_complete"] == 0


@pytest.mark.parametrize(("short", "complete"), [(timedelta(), 1), (HOUR, 0)])
def test_what_aws_no_longer_keeps_is_a_gap_and_not_history_left(
    db: Database, short: timedelta, complete: int
) -> None:
    lost = Gap(WANTED, WANTED + 2 * DAY - SECOND, "older than the 90 days")
    other = Gap(READ - 60 * DAY, READ - 50 * DAY, "older than the 90 days")
    save_state(db, replace(DONE, covered_from=WANTED + 2 * DAY + short, gaps=(lost, other)))
    row = status(db)
    assert (row["is_history_complete"], row["gap_count"]) == (complete, 2)


def test_a_stream_that_always_failed_has_no_figures(db: Database) -> None:
    save_error(db, EVENTS, "AccessDenied on cloudtrail:LookupEvents", READ)
    row = status(db)
    unknown = ("watermark", "read_at", "history_from", "is_history_complete", "history_left_days")
    assert [row[name] for name in unknown] == [None] * 5
    assert (row["error_at"], row["error"]) == (
        "2026-11-20T12:00:00Z",
        "AccessDenied on cloudtrail:LookupEvents",
    )


def test_totals_half_read_do_not_claim_a_history(db: Database) -> None:
    totals = StreamId("cloudwatch", ACCOUNT, "us-east-1")
    save_state(db, StreamState(totals, covered_from=WANTED, history_from=WANTED))
    row = status(db)
    assert (row["is_history_complete"], row["history_left_days"]) == (None, None)


def test_the_catalogue_has_no_history(db: Database) -> None:
    catalogue = StreamId("catalogue", ACCOUNT, "us-east-1")
    save_state(db, StreamState(catalogue, covered_from=READ, watermark=READ, read_at=READ))
    row = status(db)
    assert (row["is_history_complete"], row["history_left_days"]) == (None, None)


def test_windows_and_gaps_belong_to_one_stream(db: Database) -> None:
    other = StreamId("cloudtrail", ACCOUNT, "us-west-2")
    window = Window(READ - DAY, READ, READ - HOUR)
    save_state(db, DONE)
    save_state(
        db,
        replace(DONE, stream=other, gaps=(Gap(READ, READ, "x"),))
        .with_window("new", window)
        .with_window("reread", window),
    )
    rows = list(db.query("select region, open_windows, gap_count from sync_status order by 1"))
    assert [tuple(row.values()) for row in rows] == [
        ("us-east-1", None, 0),
        ("us-west-2", "new, reread", 1),
    ]
