"""What a cost may be at least and at most, for each user, application and team."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlite_utils import Database

from etl.calibrate.outcome import share_by_calls
from etl.calibrate.run import calibrate_all
from etl.normalise.rules import ApplicationRule
from etl.normalise.team_shares import TeamShare
from etl.sql_files import sql_text
from etl.warehouse.read.reports import Filters, usage, usage_by_team
from etl.warehouse.turns import transaction
from etl.warehouse.write.attribution import apply_config
from etl.warehouse.write.minutes import note_uncalibrated
from etl.warehouse.write.rollup import all_hours
from etl.warehouse.write.team_shares import apply_team_shares
from tests.checks import failed_checks
from tests.cli.running import run
from tests.fleets import Call, write_fleet
from tests.support import HAIKU, call, import_any_price, load, rows, write_log, write_metrics
from tests.web.pages import open_pages

START = datetime(2026, 11, 5, tzinfo=UTC)
USERS, DAYS = 10, 4
# For an input token of Haiku.
DOLLARS = 0.25e-6

OTHER = "anthropic.claude-3-5-sonnet-20240620-v1:0"

BOUNDS = "select user_name, cost_low_usd, cost_usd, cost_high_usd from user_costs order by 1"


def fleet() -> list[Call]:
    """Return calls of users whose calls differ in size.

    ``known`` is a user whose calls report their tokens. ``alone`` calls at night only.
    """
    chance, calls = random.Random(7), list[Call]()
    means = {f"u{number:02}": chance.lognormvariate(7, 1) for number in range(USERS)}
    often = {user: chance.uniform(0.3, 3) for user in means}
    for hour in range(DAYS * 24):
        at = START + timedelta(hours=hour)
        if at.hour == 3:
            calls.append(Call(at, "alone", 777))
            continue
        for user, mean in means.items():
            for _ in range(round(chance.expovariate(1 / often[user]))):
                minute = timedelta(minutes=chance.randrange(60))
                used = round(mean * chance.lognormvariate(-0.18, 0.6))
                calls.append(Call(at + minute, user, used))
        minute = timedelta(minutes=chance.randrange(60))
        calls.append(Call(at + minute, "known", 50, is_known=True))
    return calls


def bounds(db: Database) -> dict[str, tuple[float, float, float | None]]:
    return {user: (low, cost, high) for user, low, cost, high in rows(db, BOUNDS)}


def total(db: Database) -> dict[str, float]:
    (row,) = usage(db, Filters())
    return {name: row[name] for name in ("cost_low_usd", "cost_usd", "cost_high_usd")}


def test_what_was_used_is_within_the_bounds(db: Database, truth: dict[str, int]) -> None:
    calibrate_all(db)
    found = bounds(db)
    # What reports its tokens, and what nobody else can have used, has no width.
    for user in ("known", "alone"):
        (low, cost, high) = found.pop(user)
        assert low == cost == high == pytest.approx(truth[user] * DOLLARS)
    within = [low <= truth[user] * DOLLARS <= high for user, (low, _, high) in found.items()]
    assert len(within) == USERS and sum(within) >= 0.8 * USERS
    # Neither so wide that they say nothing, nor everybody's the same.
    parts = [(high - low) / cost for low, cost, high in found.values()]
    assert 0.01 < min(parts) < 0.08 < max(parts) < 0.4
    assert failed_checks(db) == {}


def test_days_names_and_teams_add_up(db: Database, truth: dict[str, int]) -> None:
    apply_config(db, [ApplicationRule(application="Gateway", user="u0[0-2]")], {})
    calibrate_all(db)
    apply_team_shares(db, [TeamShare(application="Gateway", shares={"X": 3, "Y": 4})])
    sums = ", ".join(f"sum(cost_{end}picodollars)" for end in ("low_", "", "high_"))
    by_user, by_both = (
        rows(db, f"select {sums} from daily_costs_by_{view}")
        for view in ("user", "user_and_application")
    )
    assert by_user == by_both
    ((low, cost, high),) = by_user
    assert 0 < low < cost < high
    of_users = "select sum(cost_low_usd), sum(cost_high_usd) from user_costs"
    assert rows(db, of_users) == [
        (pytest.approx(low / 1e12, abs=1e-7), pytest.approx(high / 1e12, abs=1e-7))
    ]
    # What one application has too much, the other lacks: both are off by what the smaller is.
    of_applications = rows(
        db,
        "select application, cost_usd - cost_low_usd, cost_high_usd - cost_usd"
        " from application_costs",
    )
    applications = {name: ends for name, *ends in of_applications}
    (below, above), of_others = applications.pop("Gateway"), applications.pop("Unknown")
    assert of_others == [pytest.approx(above, abs=1e-8), pytest.approx(below, abs=1e-8)]
    assert 0 < below + above < 0.6 * (high - low) / 1e12
    teams = dict(rows(db, "select team, cost_high_usd - cost_low_usd from team_costs"))
    assert teams["X"] / 3 == pytest.approx(teams["Y"] / 4, abs=1e-8)
    assert teams["X"] + teams["Y"] == pytest.approx(below + above, abs=1e-7)
    assert failed_checks(db) == {}
    assert_nothing_is_held_against_another_rate_key(db)
    # Over all callers, the total is CloudWatch's, whatever is asked.
    alike = dict.fromkeys(("cost_low_usd", "cost_usd", "cost_high_usd"), pytest.approx(cost / 1e12))
    assert total(db) == alike
    for by in ((), ("day",), ("model_id",), ("region",)):
        for row in usage(db, Filters(), by=by):
            assert row["cost_low_usd"] == row["cost_usd"] == row["cost_high_usd"]
    assert usage_by_team(db, Filters())[0].items() >= total(db).items()
    by_user = usage(db, Filters(), by=["user_name"])
    assert {row["user_name"]: row["cost_high_usd"] for row in by_user} == {
        user: high for user, (_, _, high) in bounds(db).items()
    }


def assert_nothing_is_held_against_another_rate_key(db: Database) -> None:
    """Two tiers share CloudWatch's total: what one has too much, the other may lack."""
    db.execute("begin")
    db.execute(
        "insert into rate_keys (model_key, region_key, service_tier, min_input_tokens, variant)"
        " select model_key, region_key, 'priority', 0, '' from rate_keys"
        " where rate_key in (select rate_key from daily_widths)"
    )
    db.execute(
        "insert into daily_widths (day, account_key, rate_key, user_key, application_key,"
        " token_source_key, input_below) select min(day), account_key,"
        " (select max(rate_key) from rate_keys), user_key, application_key, 0, 1 from daily_widths"
    )
    off = {
        row["cost_low_picodollars"]
        for row in db.query(sql_text("checks/bounds_by_name_are_current"))
    }
    assert len(off) > 1
    db.execute("rollback")


def test_by_calls_alone_the_upper_end_is_not_known(
    db: Database, truth: dict[str, int], tmp_path: Path
) -> None:
    before = bounds(db)
    assert before.pop("known")[2] is not None
    assert {(low, high) for low, _, high in before.values()} == {(0.0, None)}
    calibrate_all(db)
    # Some of it is enough, and what is certain stays so.
    low, cost, high = bounds(db)["u00"]
    other = {"requestParameters": {"modelId": OTHER}}
    calls = [call(99_999 + n, user=user, **other) for n, user in enumerate(("u00", "u01"))]
    metric = (OTHER, "InputTokenCount", 1_000)
    load(db, write_log(tmp_path / "o.json", calls), write_metrics(tmp_path / "o.csv", [metric]))
    assert bounds(db)["u00"] == (low, pytest.approx(cost + 500 * 3e-6), None)
    assert high is not None and list(failed_checks(db)) == []
    assert share_by_calls(db)
    by_calls = bounds(db)
    assert {user: by_calls[user] for user in before if user not in ("u00", "u01")} == {
        user: ends for user, ends in before.items() if user not in ("u00", "u01")
    }
    assert failed_checks(db) == {}


def test_who_calls_alone_is_certain_without_weights(db: Database, tmp_path: Path) -> None:
    calls = [
        Call(START + timedelta(minutes=minute), user, tokens)
        for user, minute, tokens in (("A", 5, 700), ("A", 40, 0), ("B", 40, 90), ("B", 50, 10))
    ]
    load(db, *write_fleet(tmp_path, calls))
    calibrate_all(db)
    assert rows(db, "select is_used from calibrations") == [(0,)]
    tokens = {
        user: (low / DOLLARS, cost / DOLLARS, high)
        for user, (low, cost, high) in bounds(db).items()
    }
    assert tokens == {
        "A": (pytest.approx(700), pytest.approx(745), None),
        "B": (pytest.approx(10), pytest.approx(55), None),
    }
    assert failed_checks(db) == {}


def test_new_prices_and_calibrations_renew_them(
    db: Database, truth: dict[str, int], tmp_path: Path
) -> None:
    calibrate_all(db)
    before = bounds(db)
    rates = tmp_path / "rates.csv"
    rates.write_text(
        "model_id,region,scope,service_tier,token_kind,min_input_tokens,usd_per_mtok,effective_from,"
        f"effective_to,source,checked_on\n{HAIKU},*,regional,standard,input,0,500000,2026-01-01,,ours,"
        "2026-11-01\n"
    )
    assert import_any_price(db, rates) == 1
    twice = {
        user: tuple(map(pytest.approx, (2 * v for v in all_))) for user, all_ in before.items()
    }
    assert bounds(db) == twice
    with transaction(db):
        db.execute("update call_weights set low_millionths = 0, high_millionths = null")
    assert list(failed_checks(db)) == ["daily_widths_are_current"]
    with transaction(db):
        note_uncalibrated(db, [f"{hour}:00:00Z" for hour in all_hours(db)])
    assert calibrate_all(db).changed == 1
    assert bounds(db) == twice
    assert failed_checks(db) == {}


def test_a_lower_bound_has_no_upper_end(db: Database, tmp_path: Path) -> None:
    load(
        db,
        write_log(
            tmp_path / "l.json",
            [
                call(1, user="all", tokens=(100, 0)),
                call(2, user="some", tokens=(100, 0)),
                call(3, user="some"),
                call(4, user="none", requestParameters={"modelId": "acme.unheard-of"}),
                call(5, user="failed", errorCode="AccessDenied"),
            ],
        ),
    )
    assert bounds(db) == {
        "all": (0.000025, 0.000025, 0.000025),
        "some": (0.000025, 0.000025, None),
        "none": (None, None, None),
        "failed": (None, None, None),
    }


def test_of_callers_who_always_call_together_the_sum_is_bounded(
    db: Database, tmp_path: Path
) -> None:
    """Nothing tells two of three users apart: each may have anything of what both have."""
    chance, calls = random.Random(3), list[Call]()
    size = {"A": 100, "B": 900, "C": 5_000, "D": 300}
    for minute in range(0, 2 * 1440, 7):
        at = START + timedelta(minutes=minute)
        is_pair = chance.random() < 0.5
        users = ["A", "B"] if is_pair else ["C"]
        if chance.random() < 0.3:
            users.append("C" if is_pair else "D")
        calls += [Call(at, user, round(size[user] * chance.uniform(0.8, 1.2))) for user in users]
    load(db, *write_fleet(tmp_path, calls))
    calibrate_all(db)
    found = bounds(db)
    assert found["A"] == pytest.approx(found["B"], rel=1e-3)
    low, cost, high = found["A"]
    assert low == 0 and 2 * cost < high < 2.2 * cost
    assert failed_checks(db) == {}


def test_reports_and_pages_show_how_far_off_a_cost_may_be(
    db: Database, truth: dict[str, int], tmp_path: Path
) -> None:
    path = tmp_path / "warehouse.db"
    assert "±" not in run("report", "users", "--db", path)[1]
    calibrate_all(db)
    low, cost, high = bounds(db)["u00"]
    off = f"${max(high - cost, cost - low):.6f}"
    shown = {
        line.split()[0]: line.split()
        for line in run("report", "users", "--db", path)[1].splitlines()
        if line.split()
    }
    assert shown["User"][-5:] == ["Cost", "±", "Share", "Token", "data"]
    assert shown["u00"][5:7] == [f"${cost:.6f}", off]
    assert shown["known"][6] == shown["Total"][6] == "$0.000000"
    assert shown["±"][1:4] == ["is", "how", "far"]
    assert "±" not in run("report", "models", "--db", path)[1]
    (row,) = json.loads(
        run("report", "users", "--user", "u00", "--format", "json", "--db", path)[1]
    )["rows"]
    assert (row["cost_low_usd"], row["cost_high_usd"]) == (low, high)
    with open_pages(path) as pages:
        for address in ("/user?name=u00", "/cost?user=u00"):
            assert f"± {off}" in pages.open(address).text, address
        assert (
            f"between ${low:.6f} and ${high:.6f} in 9 of 10 cases"
            in pages.open("/cost?user=u00").text
        )
        assert (
            "±"
            not in pages.open("/").text
            + pages.open("/cost").text
            + pages.open("/cost?user=known").text
        )
