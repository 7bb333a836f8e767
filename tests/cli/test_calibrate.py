"""``calibrate``: what it says, and what the configuration switches off."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlite_utils import Database

from etl.calibrate.observed import window_of
from etl.warehouse.calibrations import Series, Weight, Window, save_window
from tests.cli.running import run
from tests.support import HAIKU, call, load, rows, write_log, write_metrics

CALLS_ALONE = '[estimate]\nallocation = "calls"\n'


@pytest.fixture
def weighted(db: Database, tmp_path: Path) -> Database:
    """A warehouse with one call each of two users, the second one's nine times as large."""
    calls = [call(number, user=user) for number, user in enumerate("AB")]
    metrics = [(HAIKU, "InputTokenCount", 1_000)]
    load(db, write_log(tmp_path / "l.json", calls), write_metrics(tmp_path / "m.csv", metrics))
    ((*place, users, applications),) = rows(
        db,
        "select account_key, region_key, endpoint, cloudwatch_model_id, json_group_array(user_key),"
        " min(application_key) from (select * from metric_hourly join usage_hourly"
        " using (hour, account_key) join users using (user_key) order by user_name)",
    )
    first, second = map(int, users.strip("[]").split(","))
    weights = (
        Weight(first, applications, 100, 0.1, 0, 2),
        Weight(second, applications, 900, 0.1, 1, 2),
    )
    window = Window("calls", 60, 9, 500, 0.5, True, weights)
    times = window_of("2026-11-02T00:00:00Z")
    assert save_window(db, times, {Series(*place, "input"): window}) == 1
    return db


def shares(db: Database) -> list[tuple[str, int]]:
    return rows(db, "select user_name, input_tokens from usage_cost order by 1")


def test_calls_alone_drops_the_weights(weighted: Database, tmp_path: Path) -> None:
    assert shares(weighted) == [("A", 100), ("B", 900)]
    config = tmp_path / "c.toml"
    config.write_text(CALLS_ALONE)
    words = ("calibrate", "--config", config, "--db", tmp_path / "warehouse.db")
    assert run(*words) == (0, "", "Shared by calls\n")
    assert shares(weighted) == [("A", 500), ("B", 500)]
    assert run(*words) == (0, "", "Shared by calls, as before\n")


def test_weights_without_evidence_go(weighted: Database, tmp_path: Path) -> None:
    code, _, message = run("calibrate", "--db", tmp_path / "warehouse.db")
    assert (code, message) == (0, "Calibrated 0 of 1 series\n")
    assert shares(weighted) == [("A", 500), ("B", 500)]


def test_another_allocation_is_refused(tmp_path: Path, db: Database) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[estimate]\nallocation = "guessed"\n')
    code, _, message = run("calibrate", "--config", config, "--db", tmp_path / "warehouse.db")
    assert code != 0 and "'guessed' is not one of calibrated, calls" in message
