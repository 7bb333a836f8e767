"""What changed between two weeks: one cause at a time, then all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.normalise.team_shares import TeamShare
from etl.sql_files import sql_text
from etl.warehouse.price_file import parse_prices
from etl.warehouse.prices import store_overrides
from etl.warehouse.read.reports import Filters, movers
from etl.warehouse.write.team_shares import apply_team_shares
from tests.cases import cases
from tests.cli.running import run
from tests.support import HAIKU, SONNET, call, load, write_log, write_metrics

MILLION = 1_000_000
# Haiku costs 0.25 dollars a million input tokens, and 1.25 output; Sonnet 4.5 in this way 3.30.
BEFORE, AFTER, TODAY = "2026-11-03", "2026-11-10", "2026-11-15"
CAUSES = ("volume", "size", "mix", "price")
DOUBLE = "\n".join(
    [
        "model_id,region,scope,service_tier,token_kind,min_input_tokens,usd_per_mtok,effective_from,"
        "effective_to,source,checked_on",
        *(
            f"{HAIKU},*,regional,standard,{kind},0,{rate},2026-11-08,,contract,2026-11-01"
            for kind, rate in (("input", 500_000), ("output", 2_500_000))
        ),
    ]
)


def week(
    db: Database, folder: Path, day: str, *tokens: tuple[int, int], app: str = "Chat", **fields: Any
) -> None:
    """Load a call for each pair of input and output tokens, and one later, so the day is over."""
    (number,) = db.execute("select 100 * count(*) from events").fetchone()
    some = {"eventTime": f"{day}T10:00:00Z", "userAgent": f"{app}/1.0"} | fields
    calls = [call(number + n, tokens=one, **some) for n, one in enumerate(tokens, 1)]
    calls.append(call(99, eventTime=f"{TODAY}T10:00:00Z"))
    load(db, write_log(folder / f"{number}.json", calls))


def moved(db: Database, dimension: str = "application", name: str = "Chat") -> dict[str, Any]:
    (row,) = db.query("select * from movers where dimension = ? and name = ?", [dimension, name])
    return row


def causes(row: dict[str, Any]) -> tuple[float, ...]:
    assert sum(row[f"{name}_picodollars"] for name in CAUSES) == row["difference_picodollars"]
    return tuple(row[f"{name}_usd"] for name in CAUSES)


@pytest.mark.parametrize(
    ("before", "after", "is_doubled", "expected", "mainly"),
    [
        ([(MILLION, 0)], [(MILLION, 0)] * 3, False, (0.5, 0, 0, 0), "more calls"),
        ([(MILLION, 0)], [(4 * MILLION, 0)], False, (0, 0.75, 0, 0), "more tokens a call"),
        ([(MILLION, 0)], [(0, MILLION)], False, (0, 0, 1, 0), "a dearer mix"),
        ([(MILLION, MILLION)], [(MILLION, MILLION)], True, (0, 0, 0, 1.5), "higher prices"),
        ([(MILLION, 0)] * 2, [(4 * MILLION, MILLION), (MILLION, 0), (0, 0)], True,
         (0.25, 0.75, 1, 2.5), "higher prices"),
        # Fewer and smaller calls.
        ([(3 * MILLION, 0)] * 4, [(MILLION, 0)], False, (-2.25, -0.5, 0, 0), "fewer calls"),
        ([(5 * MILLION, 0)], [(MILLION, 0)], False, (0, -1, 0, 0), "fewer tokens a call"),
        ([(MILLION, 0)], [(MILLION, 0)], False, (0, 0, 0, 0), None),
        ([], [(MILLION, 0)], True, (0.5, 0, 0, 0), "no calls before"),
        ([(MILLION, 0)], [], True, (-0.25, 0, 0, 0), "no calls after"),
    ],
)  # fmt: skip
def test_each_cause(
    db: Database,
    tmp_path: Path,
    before: list[tuple[int, int]],
    after: list[tuple[int, int]],
    is_doubled: bool,
    expected: tuple[float, ...],
    mainly: str | None,
) -> None:
    week(db, tmp_path, BEFORE, *before)
    week(db, tmp_path, AFTER, *after)
    if is_doubled:
        store_overrides(db, list(parse_prices(DOUBLE)))
    row = moved(db)
    assert causes(row) == expected
    assert row["mainly"] == mainly
    assert (row["since"], row["until"]) == ("2026-11-08", "2026-11-14")
    assert (row["against_since"], row["against_until"]) == ("2026-11-01", "2026-11-07")
    assert row["change"] == ("new" if not before else "gone" if not after else "changed")
    assert (row["calls_before"], row["calls_after"]) == (len(before), len(after))
    assert not row["is_lower_bound"]


def test_another_model_is_mix_for_the_user_and_all_of_it_for_the_model(
    db: Database, tmp_path: Path
) -> None:
    week(db, tmp_path, BEFORE, (MILLION, 0))
    week(db, tmp_path, AFTER, (MILLION, 0), requestParameters={"modelId": SONNET})
    assert causes(moved(db, "user", "alice")) == (0, 0, 3.05, 0)
    assert causes(moved(db, "model", SONNET.removeprefix("us."))) == (3.3, 0, 0, 0)
    assert causes(moved(db, "model", HAIKU)) == (-0.25, 0, 0, 0)


def test_a_price_that_changes_within_a_period_counts_as_its_average(
    db: Database, tmp_path: Path
) -> None:
    week(db, tmp_path, BEFORE, (MILLION, 0))
    week(db, tmp_path, "2026-11-07", (MILLION, 0))
    week(db, tmp_path, AFTER, (MILLION, 0), (MILLION, 0))
    store_overrides(db, list(parse_prices(DOUBLE.replace("2026-11-08", "2026-11-05"))))
    row = moved(db)
    assert (row["cost_before_usd"], row["cost_after_usd"]) == (0.75, 1)
    assert causes(row) == (0, 0, 0, 0.25)


def test_what_has_no_price_or_no_tokens_is_said_and_is_no_cause(
    db: Database, tmp_path: Path
) -> None:
    week(db, tmp_path, BEFORE, (MILLION, 0))
    week(db, tmp_path, AFTER, (MILLION, 0))
    week(db, tmp_path, AFTER, (7, 5), requestParameters={"modelId": "acme.unheard-of-v1"})
    week(db, tmp_path, AFTER, *[None] * 3)  # type: ignore[arg-type]
    row = moved(db)
    assert causes(row) == (0, 0, 0, 0)
    assert (row["calls_without_cost"], row["unpriced_tokens"], row["is_lower_bound"]) == (4, 12, 1)
    assert (row["calls_before"], row["calls_after"]) == (1, 1)


def test_estimates_take_part(db: Database, tmp_path: Path) -> None:
    week(db, tmp_path, BEFORE, (MILLION, 0))
    week(db, tmp_path, AFTER, *[None] * 2)  # type: ignore[arg-type]
    totals = [(HAIKU, "InputTokenCount", 4 * MILLION, f"{AFTER}T10:00:00Z", 3600)]
    load(db, write_metrics(tmp_path / "totals.csv", totals))
    row = moved(db)
    assert causes(row) == (0.25, 0.5, 0, 0)
    assert row["is_estimated"] == 1
    # Tokens without a call of their own are all volume.
    totals = [(SONNET, "InputTokenCount", MILLION, f"{AFTER}T10:00:00Z", 3600)]
    load(db, write_metrics(tmp_path / "more.csv", totals))
    assert causes(moved(db, name="(unattributed)")) == (3.3, 0, 0, 0)


def test_a_shared_application_is_split_and_adds_up(db: Database, tmp_path: Path) -> None:
    week(db, tmp_path, BEFORE, (MILLION, 0))
    week(db, tmp_path, AFTER, (MILLION + 1, 0), (MILLION, 7))
    before = moved(db)
    apply_team_shares(db, [TeamShare(application="Chat", shares={"Red": 2, "Blue": 1})])
    rows = list(db.query("select * from movers where dimension = 'team' order by name"))
    assert [row["name"] for row in rows] == ["(no team)", "Blue", "Red"][1:]
    for name in ("cost_before", "cost_after", "difference"):
        assert sum(row[f"{name}_picodollars"] for row in rows) == before[f"{name}_picodollars"]
    assert [sum(row[f"calls_{when}"] for row in rows) for when in ("before", "after")] == [1, 2]
    for row in rows:
        causes(row)
    costs = dict(db.execute("select team, cost_usd from team_costs").fetchall())
    for row in rows:
        whole = row["cost_before_usd"] + row["cost_after_usd"]
        assert abs(whole - costs[row["name"]]) < 1e-5


@cases(
    ("given", "expected"),
    [
        ({}, {"Chat", "Search"}),
        ({"applications": ["Chat"]}, {"Chat"}),
        ({"users": ["bob"]}, {"Search"}),
        ({"models": [SONNET.removeprefix("us.")]}, {"Search"}),
        ({"regions": ["eu-west-1"]}, set()),
        ({"since": "2026-11-13"}, set()),
        ({"since": "2026-11-03", "until": "2026-11-03", "against": "2026-11-10"}, {"Chat", "Search"}),
        ({"since": "2026-11-12", "until": "2026-11-01"}, set()),
        # Which days are over is everybody's, so a visitor's page says which it shows.
        ({"_visitor_applications": ["Chat"], "until": "2026-11-14"}, {"Chat"}),
        ({"_visitor_applications": ["Chat"]}, set()),
        ({"_visitor_teams": ["Red"], "until": "2026-11-14"}, set()),
        ({"_visitor_applications": ["Search"], "until": "2026-11-14", "applications": ["Chat"]}, set()),
    ],
)  # fmt: skip
def test_filters_and_visitors(
    db: Database, tmp_path: Path, given: dict[str, Any], expected: set[str]
) -> None:
    for day in (BEFORE, AFTER):
        week(db, tmp_path, day, (MILLION, 0))
        week(db, tmp_path, day, (MILLION, 0), app="Search", requestParameters={"modelId": SONNET},
             userIdentity={"type": "IAMUser", "userName": "bob", "arn": "arn:aws:iam::111122223333:user/bob"})  # fmt: skip
    names = (
        "since",
        "until",
        "against",
        "against_until",
        "by",
        "regions",
        "models",
        "users",
        "applications",
        "teams",
    )
    blank = dict.fromkeys(names, "") | {"_visitor_applications": None, "_visitor_teams": None}
    parameters = blank | {
        name: json.dumps(value) if isinstance(value, list) else value
        for name, value in given.items()
    }
    rows = list(db.query(sql_text("pages/movers"), parameters))
    assert {row["name"] for row in rows if row["dimension"] == "application"} == expected
    if not expected:
        assert rows == []
    users = {"Chat": "alice", "Search": "bob"}
    assert {row["name"] for row in rows if row["dimension"] == "user"} == {
        users[name] for name in expected
    }


def test_the_view_and_the_report_agree(db: Database, tmp_path: Path) -> None:
    week(db, tmp_path, BEFORE, (MILLION, 0))
    week(db, tmp_path, AFTER, (MILLION, 5), (3 * MILLION, 0))
    view = {(row["dimension"], row["name"]): row for row in db.query("select * from movers")}
    report = {(row["dimension"], row["name"]): row for row in movers(db, Filters())}
    assert report == view
    assert {dimension for dimension, _ in view} == {"application", "user", "team", "model"}
    assert {row["dimension"] for row in movers(db, Filters(), by="team")} == {"team"}


def test_the_report_for_people_and_for_programs(db: Database, tmp_path: Path) -> None:
    week(db, tmp_path, BEFORE, (MILLION, 0), (0, 0))
    week(db, tmp_path, AFTER, (5 * MILLION, 0))
    week(db, tmp_path, AFTER, (MILLION, 0), app="New")
    path = Path(db.execute("pragma database_list").fetchone()[2])
    status, table, _ = run("report", "movers", "--by", "application", "--db", path)
    assert status == 0
    assert "What changed: 2026-11-08 to 2026-11-14, against 2026-11-01 to 2026-11-07, UTC" in table
    lines = [line.split() for line in table.splitlines()]
    assert ["Chat", "$0.25", "$1.25", "+$1.00", "-$0.12", "+$1.12", "$0.00", "$0.00"] in lines
    assert [
        "New",
        "(new)",
        "$0.00",
        "$0.25",
        "+$0.25",
        "+$0.25",
        "$0.00",
        "$0.00",
        "$0.00",
    ] in lines
    assert ["Total", "$0.25", "$1.50", "+$1.25", "+$0.12", "+$1.12", "$0.00", "$0.00"] in lines
    status, text, _ = run("report", "movers", "--format", "json", "--db", path)
    assert {row["name"] for row in json.loads(text)["rows"]} >= {"Chat", "New", "alice"}
    status, text, _ = run("report", "movers", "--format", "csv", "--by", "user", "--db", path)
    assert len(text.splitlines()) == 2
    asked = ("--since", "2026-11-10", "--until", "2026-11-10", "--against", BEFORE)
    status, table, _ = run("report", "movers", *asked, "--db", path)
    assert "2026-11-10 to 2026-11-10, against 2026-11-03 to 2026-11-03" in table
    status, table, said = run("report", "movers", "--since", TODAY, "--db", path)
    assert (status, table, said) == (
        0, "", "nothing to compare: no day of this period is loaded and over; name its last day (until) to"
        " compare it all the same\n",
    )  # fmt: skip


@cases(
    ("words", "said"),
    [
        (("movers", "--by", "region"), "--by region: with movers it is one of application"),
        (("movers", "--list"), "movers has no --breakdown, --list and --billed"),
        (("users", "--against", "2026-11-01"), "--against works only with movers"),
        (("users", "--by", "metadata:x"), "--by replaces KIND"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(words: tuple[str, ...], said: str) -> None:
    status, _, error = run("report", *words)
    assert status == 2
    assert said in " ".join(error.split())
