"""Each bucket's tokens go to those who called then; hours and totals stay CloudWatch's."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.calibrate import run as run_calibration
from etl.calibrate.outcome import share_by_calls
from etl.calibrate.run import calibrate_all
from etl.inspect.explain import stored_only
from etl.normalise.rules import UserRule
from etl.times import utc_text
from etl.warehouse.write.attribution import apply_config
from tests.checks import failed_checks
from tests.cli.running import run
from tests.fleets import Call, totals_by_minute, used_by_user, write_fleet
from tests.support import HAIKU, call, load, rows, uuid_of, write_log, write_metrics

START = datetime(2026, 11, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def shares(db: Database, where: str = "true") -> list[tuple[Any, ...]]:
    return rows(
        db,
        "select user_name, allocation_method, sum(calls), sum(input_tokens) from usage_cost"
        f" where data_source like 'CloudWatch%' and {where} group by 1, 2 order by 1, 2",
    )


def at(hour: int, minute: int, second: int = 0) -> datetime:
    return START + timedelta(hours=hour, minutes=minute, seconds=second)


def test_who_calls_alone_gets_what_was_counted_then(db: Database, tmp_path: Path) -> None:
    calls = [Call(at(1, 5), "A", 700), Call(at(1, 40), "B", 40), Call(at(1, 40, 9), "B", 50)]
    load(db, *write_fleet(tmp_path, calls))
    assert shares(db) == [("A", "calls", 1, 263), ("B", "calls", 2, 527)]
    calibrate_all(db)
    assert shares(db) == [("A", "single caller", 1, 700), ("B", "single caller", 2, 90)]
    assert rows(db, "select is_used from calibrations") == [(0,)]
    assert failed_checks(db) == {}
    # Whatever CloudWatch says then, and whoever else called: by calls again, until the next time.
    load(db, *write_fleet(tmp_path / "late", [Call(at(1, 5, 30), "B", 0)], [], first=9))
    assert shares(db) == [("A", "calls", 1, 197), ("B", "calls", 3, 593)]
    assert failed_checks(db) == {}
    calibrate_all(db)
    assert shares(db) == [("A", "calls", 1, 350), ("B", "calls", 3, 440)]
    assert share_by_calls(db)
    assert shares(db) == [("A", "calls", 1, 197), ("B", "calls", 3, 593)]
    assert failed_checks(db) == {}


@pytest.mark.parametrize(
    "others",
    (
        # Somebody else within the reach of the lag, whose calls all have tokens.
        {"log": [call(9, user="C", eventTime=utc_text(at(1, 4)), tokens=(9, 9))], "counted": 1},
        # CloudWatch counted another call.
        {"log": [], "counted": 2},
    ),
)
def test_nobody_is_alone_if_others_may_have_called(
    db: Database, tmp_path: Path, others: dict[str, Any]
) -> None:
    """Two users, so that their shares could be told apart."""
    calls = [Call(at(1, 5), "A", 700), Call(at(1, 40), "B", 90)]
    metrics = totals_by_minute(calls)
    metrics[2] = (HAIKU, "Invocations", others["counted"], utc_text(at(1, 5)), 60)
    load(db, *write_fleet(tmp_path, calls, metrics))
    load(db, write_log(tmp_path / "others.json", others["log"]))
    calibrate_all(db)
    (first, second) = shares(db, "user_name in ('A', 'B')")
    assert (first[1], second[1]) == ("calls", "single caller")
    assert failed_checks(db) == {}


@pytest.mark.parametrize(
    ("edge", "is_settled", "is_sure"),
    [
        (datetime(2026, 11, 19, tzinfo=UTC), True, False),  # where windows meet
        (at(125, 0), False, False),
        (at(125, 0), True, False),  # A's call is there to be seen
        (at(133, 0), True, True),  # nobody called in the hour before
    ],
)
def test_nobody_is_alone_next_to_hours_that_are_left_out(
    db: Database, tmp_path: Path, edge: datetime, is_settled: bool, is_sure: bool
) -> None:
    seconds = timedelta(seconds=5 if is_sure else 50)
    calls = [Call(edge + seconds, "B", 7), Call(edge + 30 * MINUTE, "C", 9)]
    if not is_sure:
        # Counted in B's minute, and B's call in the next one.
        calls[:0] = [
            Call(edge - 40 * MINUTE, "A", 5),
            Call(edge - timedelta(seconds=5), "A", 70_000),
        ]
    load(db, *write_fleet(tmp_path, calls, totals_by_minute(calls, timedelta(seconds=20))))
    if not is_settled:
        before = utc_text(edge - timedelta(hours=1))
        db.execute("update metric_hourly set is_provisional = 1 where hour = ?", [before])
    calibrate_all(db)
    sure = rows(db, "select distinct user_name from hour_shares join users using (user_key)"
                " where alone > 0 and hour = ?", [utc_text(edge)])  # fmt: skip
    assert sorted(sure) == [("B",), ("C",)] if is_sure else ("B",) not in sure
    assert failed_checks(db) == {}


def test_what_a_single_caller_reports_is_not_counted_twice(db: Database, tmp_path: Path) -> None:
    calls = [Call(at(1, 5), "A", 1_000), Call(at(1, 40), "B", 90)]
    metrics = totals_by_minute([*calls, Call(at(1, 5), "A", 0)])
    load(db, *write_fleet(tmp_path, calls, metrics))
    known = call(9, user="A", eventTime=utc_text(at(1, 5, 30)), tokens=(300, 1))
    load(db, write_log(tmp_path / "known.json", [known]))
    calibrate_all(db)
    assert shares(db) == [("A", "single caller", 1, 700), ("B", "single caller", 1, 90)]


def test_without_evidence_an_hour_is_shared_by_calls_as_a_whole(
    db: Database, tmp_path: Path
) -> None:
    """Nobody calls alone, or CloudWatch counted no calls."""
    calls = [
        Call(at(1, 5), "A", 50),
        Call(at(1, 5), "B", 50),
        Call(at(1, 6), "A", 300),
        Call(at(1, 6), "B", 600),
        Call(at(1, 6), "B", 100),
    ]
    load(db, *write_fleet(tmp_path, calls))
    alone = [Call(at(9, 5), "A", 300), Call(at(9, 30), "B", 900)]
    load(db, *write_fleet(tmp_path / "2", alone, totals_by_minute(alone)[:2], first=9))
    calibrate_all(db)
    assert shares(db, f"hour = '{utc_text(at(1, 0))}'") == [
        ("A", "calls", 2, 440),
        ("B", "calls", 3, 660),
    ]
    assert shares(db, f"hour = '{utc_text(at(9, 0))}'") == [
        ("A", "calls", 1, 600),
        ("B", "calls", 1, 600),
    ]


def test_a_kind_that_is_not_loaded_is_no_evidence_of_none(db: Database, tmp_path: Path) -> None:
    calls = [Call(at(hour, 20 * n), "AB"[n], 9) for hour in range(12) for n in range(2)]
    metrics = totals_by_minute(calls)
    # Nobody's tokens were counted in the hour between.
    loaded = [one for one in metrics if one[1] == "Invocations" or one[3][11:13] in ("05", "07")]
    load(db, *write_fleet(tmp_path, calls, loaded))
    calibrate_all(db)
    assert rows(db, "select buckets, average_weight from calibrations") == [(6, 6_000)]


def test_hours_that_are_not_settled_are_shared_by_calls(db: Database, tmp_path: Path) -> None:
    calls = [Call(at(1, 5), "A", 700), Call(at(1, 40), "B", 90)]
    load(db, *write_fleet(tmp_path, calls))
    db.execute("update metric_hourly set is_provisional = 1")
    calibrate_all(db)
    assert {method for _, method, *_ in shares(db)} == {"calls"}


def test_the_hour_of_8_and_2_calls_stays(db: Database, tmp_path: Path) -> None:
    calls = [Call(at(1, minute), "A" if minute < 8 else "B", 0) for minute in range(10)]
    total = (HAIKU, "InputTokenCount", 10_000, utc_text(at(1, 0)), 3600)
    load(db, *write_fleet(tmp_path, calls, [total]))
    calibrate_all(db)
    assert shares(db) == [("A", "calls", 8, 8_000), ("B", "calls", 2, 2_000)]


@pytest.fixture
def late_fleet(db: Database, tmp_path: Path) -> list[Call]:
    """Two users next to each other, three days long, counted 20 seconds later."""
    chance, calls = random.Random(4), list[Call]()
    for minute in range(3 * 1440):
        for user, mean, often in (("A", 100, 0.05), ("B", 4_000, 0.015)):
            if chance.random() < often or minute % 120 == 59:
                tokens = round(mean * chance.uniform(0.7, 1.3))
                calls.append(Call(at(0, minute, chance.randrange(60)), user, tokens))
    calls.sort()
    load(db, *write_fleet(tmp_path, calls, totals_by_minute(calls, timedelta(seconds=20))))
    return calls


def test_tokens_stay_in_the_hour_in_which_they_were_counted(
    db: Database, late_fleet: list[Call]
) -> None:
    by_calls = dict(row[::3] for row in shares(db))
    calibrate_all(db)
    truth = used_by_user(late_fleet)
    found: dict[str, int] = defaultdict(int)
    methods = set()
    for user, method, _, tokens in shares(db):
        found[user] += tokens
        methods.add(method)
    off = {name: sum(abs(one[user] - truth[user]) for user in truth) / sum(truth.values())
           for name, one in (("calls", by_calls), ("ours", found))}  # fmt: skip
    assert off["ours"] < 0.03 < 0.5 < off["calls"]
    assert methods == {"calibrated", "single caller"}
    assert rows(db, "select count(*) from hour_shares where alone between 1 and due - 1") > [(20,)]
    # What arrives in an hour after the calls do is a row that counts none of them.
    late = rows(db, "select count(*) from hour_shares where calls = 0")[0][0]
    assert late > 5
    none = "calls = 0 and data_source like 'CloudWatch%'"
    assert rows(db, f"select count(*) from usage_cost where {none}") == [(late,)]
    assert rows(db, "select count(*) from unattributed_usage") == [(0,)]
    assert rows(db, "select sum(calls) from usage_cost") == [(len(late_fleet),)]
    hourly = (
        "select hour, sum(value) - (select sum(estimated_input_tokens) from usage_hourly"
        " where usage_hourly.hour = metric_hourly.hour) as off from metric_hourly"
        " where metric_kind = 'input' group by hour having off is not 0"
    )
    assert rows(db, hourly) == []
    assert failed_checks(db) == {}


def test_inspect_shows_what_made_an_estimate(
    db: Database, late_fleet: list[Call], tmp_path: Path
) -> None:
    """The weight and its evidence; nothing of it before there is a calibration."""
    log = write_log(
        tmp_path / "first.json", [call(1, user="A", eventTime=utc_text(late_fleet[0][0]))]
    )

    def shown() -> str:
        return " ".join(run("inspect", log, "--db", tmp_path / "warehouse.db")[1].split())

    assert "input estimate calls CloudWatch's total of the hour, the same for each call" in shown()
    calibrate_all(db)
    db.execute("update hour_shares set method = 2")
    assert re.search(
        r"input estimate calibrated \d+ tokens a call for this caller, ±\d+%; from 14 days from"
        r" 2026-11-05, by 60 s; in hours that were left out, such sizes save \d+% of the error",
        shown(),
    )
    # The same where nothing but the warehouse has the call.
    alone = stored_only(uuid_of(1), utc_text(late_fleet[0].at), db).warehouse[-1]
    assert (alone.field, alone.value) == ("input estimate", "calibrated") and alone.how in shown()
    assert "estimates_are_current" in failed_checks(db)
    db.execute("update hour_shares set method = 1")
    assert "input estimate single caller no one else called while" in shown()


def test_late_tokens_go_to_nobody_whose_calls_are_renamed_meanwhile(
    db: Database, late_fleet: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = run_calibration.fit_window

    def while_rules_change(*args: Any) -> Any:
        found = fit(*args)
        apply_config(db, [UserRule(user="Bob", principal_arn="*B")], {})
        return found

    monkeypatch.setattr(run_calibration, "fit_window", while_rules_change)
    calibrate_all(db)
    assert failed_checks(db) == {}
    # Nobody's until the next time.
    assert {name for name, *_ in shares(db)} == {"A", "Bob", "(unattributed)"}
    monkeypatch.undo()
    calibrate_all(db)
    assert {name for name, *_ in shares(db)} == {"A", "Bob"}
    assert rows(db, "select count(*) from hour_shares where calls = 0")[0][0] > 5
    assert failed_checks(db) == {}


def test_a_rebuild_says_what_follows(db: Database, late_fleet: list[Call], tmp_path: Path) -> None:
    rebuild = "check", "--rebuild", "--db", tmp_path / "warehouse.db"
    assert "calibrate" not in run(*rebuild)[2]
    calibrate_all(db)
    assert "until the next `bedrock-usage calibrate`; sync runs it" in run(*rebuild)[2]


def test_a_corrected_total_is_shared_whole(
    db: Database, late_fleet: list[Call], tmp_path: Path
) -> None:
    calibrate_all(db)
    ((hour,),) = rows(db, "select min(hour) from hour_shares where calls = 0")
    before = rows(db, "select * from hour_shares where hour <> ?", [hour])
    more = (HAIKU, "InputTokenCount", 99_999_999, hour, 3600)
    load(db, write_metrics(tmp_path / "more.csv", [more]))
    # The hour's own shares are gone at once, those of others stay.
    assert rows(db, "select * from hour_shares") == before
    assert sum(row[3] for row in shares(db, f"hour = '{hour}'")) == 99_999_999
    assert failed_checks(db) == {}


def test_tokens_that_arrive_late_follow_their_calls_to_another_name(
    db: Database, late_fleet: list[Call]
) -> None:
    calibrate_all(db)
    apply_config(db, [UserRule(user="Bob", principal_arn="*B")], {})
    # Until the next calibration, an hour without any calls of its own has nobody to ask.
    assert {user for user, *_ in shares(db)} == {"A", "Bob", "(unattributed)"}
    assert failed_checks(db) == {}
    calibrate_all(db)
    assert {user for user, *_ in shares(db)} == {"A", "Bob"}
    assert {method for _, method, *_ in shares(db)} == {"calibrated", "single caller"}
    assert failed_checks(db) == {}


OF_A = "user_key = (select user_key from users where user_name = 'A')"
# What goes wrong, and the checks that at least find it.
PLANTED = {
    "update hour_shares set due = due * 2 where calls = 0": {"estimates_are_current"},
    f"delete from usage_hourly where {OF_A} and hour in (select hour from hour_shares where calls = 0)":
        {"hour_shares_match_calls", "rollup_matches_events"},
    f"delete from usage_daily where {OF_A}": {"days_match_hours", "days_add_up"},
    f"delete from call_minutes where {OF_A}": {"call_minutes_match_events"},
    f"delete from events where {OF_A}": {"rollup_matches_events", "call_minutes_match_events"},
    "update metric_totals set value = 2 * value"
    " where period_start = (select max(period_start) from metric_totals)":
        {"metric_hours_are_current"},
    "update metric_hourly set value = 2 * value where hour = (select max(hour) from metric_hourly)":
        {"metric_hours_are_current", "totals_reconcile", "estimates_are_current"},
}  # fmt: skip


def test_a_users_calls_dropped_and_a_bucket_doubled_show(
    db: Database, late_fleet: list[Call]
) -> None:
    calibrate_all(db)
    for planted, found in PLANTED.items():
        db.execute("begin")
        db.execute(planted)
        assert found <= failed_checks(db).keys(), planted
        db.execute("rollback")
    assert failed_checks(db) == {}
    by_day = "select distinct difference_tokens from reconciliation"
    assert rows(db, by_day) == [(0,)]
    for planted in (
        "delete from priced_daily_by_application",
        "update metric_hourly set value = 2 * value",
    ):
        db.execute("begin")
        db.execute(planted)
        assert (0,) not in rows(db, by_day)
        db.execute("rollback")


def test_cached_tokens_follow_the_input_that_calls_tell(db: Database, tmp_path: Path) -> None:
    """Both users' calls are as large; what differs is the part that comes from the cache."""
    chance, ratio, events, cached = random.Random(3), {"A": 2, "B": 9}, [], list[Call]()
    for minute in range(60 * 60):
        for user in "AB":
            if chance.random() < 0.04:
                tokens = round(chance.lognormvariate(6, 1))
                told = {"eventTime": utc_text(at(0, minute)), "tokens": (tokens, 1)}
                events.append(call(len(events), user=user, **told))
                read = round(tokens * ratio[user] * chance.uniform(0.9, 1.1))
                cached.append(Call(at(0, minute), user, read))
    metrics = totals_by_minute(cached, metric="CacheReadInputTokenCount")
    load(db, write_log(tmp_path / "l.json", events), write_metrics(tmp_path / "m.csv", metrics))
    truth = used_by_user(cached)
    calibrate_all(db)
    assert rows(db, "select token_kind, unit, is_used from calibrations") == [
        ("cache_read", "input tokens", 1)
    ]
    found = dict(rows(db, "select user_name, sum(cache_read_tokens) from usage_cost group by 1"))
    assert sum(found.values()) == sum(truth.values())
    assert abs(found["A"] - truth["A"]) < 0.01 * sum(truth.values())
    assert failed_checks(db) == {}
