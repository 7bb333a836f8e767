"""CloudWatch's totals are shared by tokens per call where they tell them, and conserved."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.calibrate import run
from etl.calibrate.outcome import Outcome, calibrate_if_due, share_by_calls
from etl.calibrate.run import calibrate_all
from etl.cli.shared.calibrating import calibrate_after_sync
from etl.clock import Clock
from etl.config import Config
from etl.times import utc_text
from etl.warehouse.turns import transaction
from etl.warehouse.upkeep.vacuum import drop_calls
from etl.warehouse.write.minutes import note_uncalibrated
from etl.warehouse.write.rollup import all_hours, rebuild_rollups
from tests.checks import failed_checks
from tests.fleets import Call, write_fleet
from tests.support import HAIKU, SONNET, call, load, rows, write_log, write_metrics

START = datetime(2026, 11, 2, tzinfo=UTC)
NOW = datetime(2026, 12, 25, tzinfo=UTC)
LATE = "2026-11-03T05:00:00Z"
SIZES = {"A": 100, "B": 900, "C": 5_000}
WEIGHTS = (
    "select window_start, call_weights.* from call_weights join calibrations using"
    " (calibration_key) order by 1, 3"
)


def fleet(hours: int = 60, start: datetime = START) -> list[Call]:
    """Return calls of users whose calls differ in size."""
    chance, calls = random.Random(1), list[Call]()
    for hour in range(hours):
        for user, mean in SIZES.items():
            for _ in range(chance.choice((0, 1, 2, 4))):
                at = start + timedelta(hours=hour, minutes=chance.randrange(60))
                calls.append(Call(at, user, round(mean * chance.uniform(0.5, 1.5))))
    return calls


def shares(db: Database) -> dict[str, int]:
    return dict(
        rows(db, "select user_name, sum(input_tokens) from usage_cost group by 1 order by 1")
    )


def off(found: dict[str, int], truth: dict[str, int]) -> float:
    return sum(abs(found[user] - truth[user]) for user in truth) / sum(truth.values())


def stored(db: Database) -> list[list[tuple[Any, ...]]]:
    return [
        rows(db, f"select * from {table}")
        for table in ("calibrations", "call_weights", "usage_hourly", "usage_daily")
    ]


def hourly_totals(db: Database) -> list[tuple[Any, ...]]:
    return rows(
        db,
        "select hour, sum(value), (select sum(estimated_input_tokens) from usage_hourly"
        " where usage_hourly.hour = metric_hourly.hour)"
        " from metric_hourly where metric_kind = 'input' group by hour order by hour",
    )


def test_sizes_of_calls_decide_and_every_hour_stays_cloudwatchs(
    db: Database, truth: dict[str, int]
) -> None:
    by_calls = shares(db)
    outcome = calibrate_all(db)
    assert outcome == Outcome(windows=1, series=1, used=1, changed=1, left=0)
    calibrated = shares(db)
    assert off(calibrated, truth) < 0.05 < 0.5 < off(by_calls, truth)
    assert sum(calibrated.values()) == sum(truth.values())
    assert all(total == shared for _, total, shared in hourly_totals(db))
    assert rows(db, "select count(*) from usage_hourly where estimated_input_tokens < 0") == [(0,)]
    assert failed_checks(db) == {}
    ((kind, size, gain),) = rows(
        db, "select token_kind, bucket_seconds, held_out_gain from calibrations"
    )
    assert (kind, size) == ("input", 60) and gain > 0.5
    means = dict(
        rows(db, "select user_name, weight / 1000 from call_weights join users using (user_key)")
    )
    assert all(abs(means[user] / mean - 1) < 0.25 for user, mean in SIZES.items())


def test_a_second_run_fits_nothing_and_a_full_one_changes_nothing(
    db: Database, truth: dict[str, int]
) -> None:
    calibrate_all(db)
    before = stored(db)
    assert calibrate_all(db) == Outcome()
    with transaction(db):
        note_uncalibrated(db, [f"{hour}:00:00Z" for hour in all_hours(db)])
    again = calibrate_all(db)
    assert (again.windows, again.changed, stored(db)) == (1, 0, before)


def test_only_windows_that_changed_are_fitted_again(
    db: Database, truth: dict[str, int], tmp_path: Path, monkeypatch: Any
) -> None:
    later = START + timedelta(days=40)
    load(db, *write_fleet(tmp_path / "later", fleet(start=later), first=10_000))
    assert calibrate_all(db).windows == 2
    before = rows(db, WEIGHTS)
    assert len(before) == 2 * len(SIZES)
    fitted = []
    monkeypatch.setattr(run, "fit_window", lambda *args: fitted.append(args) or ({}, []))
    assert calibrate_all(db).windows == 0
    monkeypatch.undo()
    late = call(99_999, user="A", eventTime=utc_text(later + timedelta(hours=3)))
    load(db, write_log(tmp_path / "late.json", [late]))
    assert rows(db, "select hour from uncalibrated_hours") == [
        (utc_text(later + timedelta(hours=3)),)
    ]
    assert calibrate_all(db).windows == 1
    after = rows(db, WEIGHTS)
    assert [row for row in after if row[0] < "2026-12"] == [
        row for row in before if row[0] < "2026-12"
    ]
    assert after != before


def test_what_changes_during_a_calibration_is_looked_at_again(
    db: Database, truth: dict[str, int], tmp_path: Path, monkeypatch: Any
) -> None:
    fit = run.fit_window

    def while_others_load(*args: Any) -> Any:
        load(db, write_log(tmp_path / "late.json", [call(9_001, user="A", eventTime=LATE)]))
        return fit(*args)

    monkeypatch.setattr(run, "fit_window", while_others_load)
    calibrate_all(db)
    assert rows(db, "select hour from uncalibrated_hours") == [(LATE,)]
    monkeypatch.undo()
    assert calibrate_all(db).windows == 1
    assert rows(db, "select hour from uncalibrated_hours") == []


def test_what_cloudwatch_and_vacuum_drop_changes_no_share(
    db: Database, truth: dict[str, int]
) -> None:
    drop_calls(db, "2026-11-04T00:00:00Z", dropped_at="2026-12-01T00:00:00Z")
    calibrate_all(db)
    before = stored(db)
    drop_calls(db, "2026-12-01T00:00:00Z", dropped_at="2026-12-01T00:00:00Z")
    with transaction(db):
        note_uncalibrated(db, [f"{hour}:00:00Z" for hour in all_hours(db)])
    assert calibrate_all(db).windows == 1
    assert (stored(db), list(failed_checks(db))) == (before, [])
    assert off(shares(db), truth) < 0.05


def test_switched_off_the_shares_are_those_of_before(db: Database, truth: dict[str, int]) -> None:
    before = stored(db)
    calibrate_all(db)
    assert stored(db) != before
    assert share_by_calls(db) and not share_by_calls(db)
    assert stored(db) == before
    assert failed_checks(db) == {}
    assert calibrate_if_due(db, now=NOW, is_late=lambda: False).used == 1


def test_what_comes_later_is_shared_by_the_weights_too(
    db: Database, truth: dict[str, int], tmp_path: Path
) -> None:
    calibrate_all(db)
    later = "2026-12-24T10:15:00Z"
    calls = [
        call(9_001, user="A", eventTime=later),
        call(9_002, user="C", eventTime=later),
        # Somebody new is taken for average.
        call(9_003, user="D", eventTime=later),
    ]
    load(
        db,
        write_log(tmp_path / "later.json", calls),
        write_metrics(
            tmp_path / "later.csv",
            [(HAIKU, "InputTokenCount", 1_001, "2026-12-24T10:00:00Z", 3600)],
        ),
    )
    found = dict(
        rows(
            db,
            "select user_name, input_tokens from usage_cost where hour like '2026-12-24%'",
        )
    )
    assert sum(found.values()) == 1_001
    assert found["A"] < 100 < found["D"] < found["C"]
    assert failed_checks(db) == {}
    with transaction(db):
        db.execute("update call_weights set weight = weight * 2 where weight > 1000000")
    assert list(failed_checks(db)) == ["estimates_are_current"]


def test_changed_weights_share_later_hours_again(
    db: Database, truth: dict[str, int], tmp_path: Path
) -> None:
    calibrate_all(db)
    # A window without settled hours has no weights of its own.
    later = "2026-11-24T10:15:00Z"
    calls = [call(9_001, user="A", eventTime=later), call(9_002, user="C", eventTime=later)]
    load(
        db,
        write_log(tmp_path / "later.json", calls),
        write_metrics(tmp_path / "later.csv", [(HAIKU, "InputTokenCount", 1_001, later, 3600)]),
    )
    db.execute("update metric_hourly set is_provisional = 1 where hour > '2026-11-24'")
    calibrate_all(db)
    before = shares(db)
    more = fleet(24, START + timedelta(days=4))
    load(db, *write_fleet(tmp_path / "more", more, first=20_000))
    assert calibrate_all(db).changed == 1
    assert (shares(db) != before, list(failed_checks(db))) == (True, [])


def test_a_corrected_total_and_a_late_call_are_shared_again(
    db: Database, truth: dict[str, int], tmp_path: Path
) -> None:
    calibrate_all(db)
    hour = rows(db, "select min(hour) from metric_hourly")[0][0]
    late = call(9_001, user="A", eventTime=hour)
    more = (HAIKU, "InputTokenCount", 999_999, hour, 3600)
    load(db, write_log(tmp_path / "l.json", [late]), write_metrics(tmp_path / "m.csv", [more]))
    assert hourly_totals(db)[0] == (hour, 999_999, 999_999)
    assert failed_checks(db) == {}
    calibrate_all(db)
    assert (hourly_totals(db)[0], list(failed_checks(db))) == ((hour, 999_999, 999_999), [])


def test_eight_and_two_calls_stay_eight_and_two(db: Database, tmp_path: Path) -> None:
    calls = [call(number, user="A" if number < 8 else "B") for number in range(10)]
    load(
        db,
        write_log(tmp_path / "log.json", calls),
        write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 10_000)]),
    )
    assert calibrate_all(db).used == 0
    assert shares(db) == {"A": 8_000, "B": 2_000}
    assert rows(db, "select is_used, average_weight from calibrations") == [(0, 1_000_000)]


def test_an_interrupted_calibration_leaves_nothing_half_used(
    db: Database, truth: dict[str, int], monkeypatch: Any
) -> None:
    before = stored(db)

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("etl.warehouse.calibrations.renew_shares", fail)
    with pytest.raises(KeyboardInterrupt):
        calibrate_all(db)
    assert stored(db) == before
    monkeypatch.undo()
    assert calibrate_all(db, is_late=lambda: True).left == 1
    assert stored(db) == before
    assert calibrate_all(db).used == 1


def test_many_callers_are_fitted_by_coarser_buckets(
    db: Database, truth: dict[str, int], monkeypatch: Any
) -> None:
    monkeypatch.setattr("etl.calibrate.observed._MOST_CELLS", 14 * 24 * 60 * len(SIZES) - 1)
    calibrate_all(db)
    assert rows(db, "select bucket_seconds from calibrations") == [(3600,)]
    assert (sum(shares(db).values()), list(failed_checks(db))) == (sum(truth.values()), [])


def load_another_model(db: Database, folder: Path) -> None:
    """Load calls of two kinds of another model, half an hour after each full one."""
    hours = [utc_text(START + timedelta(hours=number, minutes=30)) for number in range(30)]
    calls = [
        call(30_000 + n, user="AB"[n % 2], requestParameters={"modelId": SONNET}, eventTime=at)
        for n, at in enumerate(hours)
    ]
    names = ("InputTokenCount", "OutputTokenCount", "Invocations")
    metrics = [(SONNET, name, 1, at, 60) for name in names for at in hours]
    load(db, write_log(folder / "s.json", calls), write_metrics(folder / "s.csv", metrics))


def test_what_is_done_when_time_is_up_stays_done(
    db: Database, truth: dict[str, int], tmp_path: Path
) -> None:
    """A window has three series; those that are not reached keep what they had."""
    load_another_model(db, tmp_path)
    asked = iter([False, True])
    assert calibrate_all(db, is_late=lambda: next(asked)) == Outcome(0, 1, 1, 1, 1)
    assert rows(db, "select count(*) from calibrations") == [(1,)]
    assert failed_checks(db) == {}
    assert calibrate_all(db) == Outcome(1, 2, 0, 2, 0)
    assert rows(db, "select hour from uncalibrated_hours") == []
    with transaction(db):
        note_uncalibrated(db, [LATE])
    # All but the keys of what is fitted again.
    kept = (
        WEIGHTS.replace("call_weights.*", "user_key, weight, low_millionths"),
        *(
            f"select * from {table} order by 1, 2, 3, 4, 5, 6"
            for table in ("hour_shares", "usage_hourly", "usage_daily")
        ),
    )
    before, asked = [sorted(rows(db, one)) for one in kept], iter([False, True])
    assert calibrate_all(db, is_late=lambda: next(asked)).left == 1
    assert [sorted(rows(db, one)) for one in kept] == before
    assert failed_checks(db) == {}


def test_every_sync_goes_on_where_the_last_one_stopped(
    db: Database, truth: dict[str, int], tmp_path: Path, monkeypatch: Any
) -> None:
    """Each fit takes longer than a sync may calibrate."""
    load_another_model(db, tmp_path)
    clock, fitted, observe = Clock(), list[Any](), run.observe
    monkeypatch.setattr(clock, "monotonic", lambda: 61.0 * len(fitted))
    monkeypatch.setattr(clock, "now", lambda: NOW + timedelta(hours=len(fitted)))
    monkeypatch.setattr(
        run,
        "observe",
        lambda db, series, *rest: fitted.append(series) or observe(db, series, *rest),
    )

    def sync() -> int:
        calibrate_after_sync(db, Config(), clock, lambda line: None)
        assert failed_checks(db, ["hour_shares_match_calls", "estimates_are_current"]) == {}
        return rows(db, "select count(*) from uncalibrated_hours")[0][0]

    assert [sync() > 0 for _ in range(3)] == [True, True, False]
    assert len({*fitted}) == len(fitted) == 3
    # What changes meanwhile does not make it begin again.
    for number in range(6):
        with transaction(db):
            note_uncalibrated(db, [utc_text(START + timedelta(hours=number))])
        assert sync() == min(number + 1, 2)
    assert fitted[3:6] == fitted[:3] == fitted[6:]
    assert [sync(), sync(), sync()] == [1, 0, 0]
    assert len(fitted) == 11


def test_a_calibration_is_due_when_another_day_has_settled(
    db: Database, truth: dict[str, int], tmp_path: Path
) -> None:
    assert calibrate_if_due(db, now=NOW, is_late=lambda: True).left == 1
    assert calibrate_if_due(db, now=NOW, is_late=lambda: False).used == 1
    assert calibrate_if_due(db, now=NOW, is_late=lambda: False) == Outcome()
    more = (HAIKU, "InputTokenCount", 7, "2026-12-24T10:00:00Z", 3600)
    load(db, write_metrics(tmp_path / "m.csv", [more]))
    assert calibrate_if_due(db, now=NOW, is_late=lambda: False).windows == 1
    # A call of another model changes no share; a rebuild drops them all.
    hour, before = rows(db, "select min(hour), count(*) from hour_shares")[0]
    other = call(8_999, eventTime=hour, requestParameters={"modelId": SONNET})
    load(db, write_log(tmp_path / "other.json", [other]))
    assert rows(db, "select count(*) from hour_shares") == [(before,)]
    same = call(9_000, user="A", eventTime=hour)
    load(db, write_log(tmp_path / "same.json", [same]))
    assert rows(db, "select count(*) from hour_shares where hour = ?", [hour]) == [(0,)]
    left = rows(db, "select count(*) from hour_shares")[0][0]
    assert 0.8 * before < left < before
    assert failed_checks(db) == {}
    with transaction(db):
        rebuild_rollups(db)
    assert calibrate_if_due(db, now=NOW + timedelta(minutes=59), is_late=lambda: False).windows == 0
    assert calibrate_if_due(db, now=NOW + timedelta(hours=1), is_late=lambda: False).windows == 2
    assert rows(db, "select count(*) from hour_shares where hour <> ?", [hour]) >= [(left,)]
    assert failed_checks(db) == {}
