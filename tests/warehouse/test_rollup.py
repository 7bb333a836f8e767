"""The rollups stay in step, and keeping them so costs no more as history grows."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlite_utils import Database

from etl.warehouse.rollup import rebuild_rollups
from tests.support import HAIKU, HOUR, SONNET, call, load, rows, write_log, write_metrics

ESTIMATES = (
    "select hour, sum(coalesce(estimated_input_tokens, 0)), sum(estimated_calls) from usage_hourly"
    " group by hour order by hour"
)


@pytest.mark.parametrize("view", ["int_estimates", "int_unattributed"])
def test_renewing_an_hour_reads_no_other(db: Database, view: str) -> None:
    plan = rows(
        db, f"explain query plan select * from {view} where hour between ? and ?", [HOUR, HOUR]
    )
    steps = [step for *_, step in plan]
    assert any("SEARCH totals USING PRIMARY KEY (hour>? AND hour<?)" in step for step in steps)
    assert not [step for step in steps if step.startswith("SCAN") and "usage" in step]
    assert not [step for step in steps if step.startswith("SCAN") and "hourly" in step]


@pytest.mark.parametrize("metrics_first", [True, False])
def test_calls_and_totals_in_either_order(
    db: Database, tmp_path: Path, metrics_first: bool
) -> None:
    log = write_log(tmp_path / "log.json", [call(1), call(2, user="bob")])
    metrics = write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 100)])
    for file in (metrics, log) if metrics_first else (log, metrics):
        load(db, file)
    assert rows(db, ESTIMATES) == [(HOUR, 100, 2)]


def test_a_late_call_takes_its_share_and_a_late_token_gives_it_back(
    db: Database, tmp_path: Path
) -> None:
    load(db, write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 100)]))
    assert rows(db, "select user_name, input_tokens from usage_cost") == [("(unattributed)", 100)]
    load(db, write_log(tmp_path / "1.json", [call(1)]))
    assert rows(db, "select user_name, input_tokens from usage_cost") == [("alice", 100)]
    load(db, write_log(tmp_path / "2.json", [call(2, user="bob")]))
    assert rows(db, "select user_name, input_tokens from usage_cost order by 1") == [
        ("alice", 50),
        ("bob", 50),
    ]
    load(db, write_log(tmp_path / "3.json", [call(3, user="carol", tokens=(40, 1))]))
    assert rows(db, "select user_name, input_tokens from usage_cost order by 1") == [
        ("alice", 30), ("bob", 30), ("carol", 40)
    ]  # fmt: skip


def test_a_series_seen_for_the_first_time_moves_earlier_hours_to_itself(
    db: Database, tmp_path: Path
) -> None:
    """The canonical id stood in for the profile until CloudWatch showed the profile itself."""
    plain, later = SONNET[3:], "2026-11-02T15:00:00Z"
    load(db, write_log(tmp_path / "log.json", [call(1, requestParameters={"modelId": SONNET})]),
         write_metrics(tmp_path / "m.csv", [(plain, "InputTokenCount", 100)]))  # fmt: skip
    assert rows(db, "select user_name, input_tokens from usage_cost") == [("alice", 100)]
    load(db, write_metrics(tmp_path / "m.csv", [(SONNET, "InputTokenCount", 7, later, 3600)]))
    assert rows(
        db, "select user_name, hour, data_source, input_tokens from usage_cost order by 1, 2"
    ) == [
        ("(unattributed)", HOUR, "CloudWatch (Estimated)", 100),
        ("(unattributed)", later, "CloudWatch (Estimated)", 7),
        ("alice", HOUR, "No token data", None),
    ]


def test_rebuilding_changes_nothing(db: Database, tmp_path: Path) -> None:
    calls = [
        call(1, tokens=(5, 6)),
        call(2),
        call(3, errorCode="x"),
        call(4, eventTime="2026-11-03T01:00:00Z"),
    ]
    load(db, write_log(tmp_path / "log.json", calls), write_metrics(tmp_path / "m.csv", [
        (HAIKU, "InputTokenCount", 100), (SONNET, "InputTokenCount", 3, "2026-10-01T00:00:00Z", 3600),
    ]))  # fmt: skip
    tables = ("usage_hourly", "usage_daily")
    before = [rows(db, f"select * from {table}") for table in tables]
    with db.atomic():
        rebuild_rollups(db)
    assert [rows(db, f"select * from {table}") for table in tables] == before
    assert all(before)
