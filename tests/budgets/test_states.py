"""What of a budget is spent in its period, and what its state is."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from etl.normalise.team_shares import TeamShare
from etl.sql_files import sql_text
from etl.warehouse.write.team_shares import apply_team_shares
from tests.budgets.support import DOLLAR, Spending, budget
from tests.rounds import rounds
from tests.support import ACCOUNT, HAIKU, SONNET, call, load, write_log, write_metrics


def day_after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


# The period, a moment in it, its first and its last day.
PERIODS = [
    ("month", "2026-11-30T23:59:59", "2026-11-01", "2026-11-30"),
    ("month", "2026-12-01T00:00:00", "2026-12-01", "2026-12-31"),
    ("month", "2028-02-29T12:00:00", "2028-02-01", "2028-02-29"),
    ("month", "2027-02-28T12:00:00", "2027-02-01", "2027-02-28"),
    ("day", "2028-02-29T00:00:00", "2028-02-29", "2028-02-29"),
    ("week", "2027-01-01T12:00:00", "2026-12-28", "2027-01-03"),
    ("week", "2026-12-28T00:00:00", "2026-12-28", "2027-01-03"),
    ("week", "2027-01-03T23:59:59", "2026-12-28", "2027-01-03"),
    ("week", "2027-01-04T00:00:00", "2027-01-04", "2027-01-10"),
    ("week", "2028-03-01T12:00:00", "2028-02-28", "2028-03-05"),
    ("7d", "2028-03-01T12:00:00", "2028-02-24", "2028-03-01"),
    ("30d", "2027-01-01T00:00:00", "2026-12-03", "2027-01-01"),
    ("1d", "2026-11-02T12:00:00", "2026-11-02", "2026-11-02"),
]


def test_a_period_has_its_days_and_no_others(spending: Spending) -> None:
    # The first and last days of all periods, and the days around them, each with an amount of its own.
    edges = {edge for _, _, first, last in PERIODS for edge in (first, last)}
    days = sorted({near(edge) for edge in edges for near in (day_before, str, day_after)})
    micro = {day: random.randrange(1, 10**6) for day in days}
    for day, amount in micro.items():
        spending.spend(f"{day}T00:00:00Z", amount / 10**6)
    for per, now, first, last in PERIODS:
        spending.budgets(budget(per=per))
        state = spending.state(now)
        assert (state["period_start"], state["period_end"]) == (first, last), (per, now)
        expected = sum(amount for day, amount in micro.items() if first <= day <= last)
        assert round(state["cost_usd"] * 10**6) == expected, (per, now)


def test_the_amount_itself_is_not_exceeded_and_a_millionth_of_a_token_more_is(
    spending: Spending,
) -> None:
    spending.spend("2026-11-02", 10)
    spending.budgets(budget(10))
    state = spending.state("2026-11-03")
    assert (state["state"], state["reached_percent"], state["used_percent"]) == (
        "warning",
        100,
        100,
    )
    spending.load(call(99, eventTime="2026-11-03T01:00:00Z", tokens=(1, 0)))  # $0.00000025
    assert spending.state("2026-11-03")["state"] == "exceeded"


def test_money_is_exact_beyond_what_64_bits_of_pico_dollars_hold(spending: Spending) -> None:
    for day in ("2026-11-02", "2026-11-03", "2026-11-04"):
        spending.spend(day)
    spending.db.execute(
        "update priced_daily_by_model set cost_picodollars = 9 * 1000000000000000000"
    )
    spending.budgets(budget(27_000_000))
    assert spending.state("2026-11-10")["state"] == "warning"
    spending.db.execute(
        "update priced_daily_by_model set cost_picodollars = cost_picodollars + 1 where day < '2026-11-03'"
    )
    assert spending.state("2026-11-10")["state"] == "exceeded"


def names(states: list[dict[str, Any]]) -> dict[str | None, float | None]:
    return {state["name"]: state["cost_usd"] for state in states if state["is_current"]}


def test_each_name_has_the_amount_for_itself_and_listed_ones_even_without_usage(
    spending: Spending,
) -> None:
    spending.spend("2026-11-02", 1, user="alice", app="Search")
    spending.spend("2026-11-02", 2, user="bob", app="Search")
    spending.spend("2026-11-02", 4, user="alice", app="Chat")
    spending.budgets(budget(each="user"))
    assert names(spending.states("2026-11-03")) == {"alice": 5, "bob": 2}
    spending.budgets(budget(each="user", application="Search"))
    assert names(spending.states("2026-11-03")) == {"alice": 1, "bob": 2}
    spending.budgets(budget(each="application", application=("Chat", "New")))
    states = spending.states("2026-11-10")
    assert names(states) == {"Chat": 4, "New": 0}
    assert [state["whom"] for state in states] == ["application Chat", "application New"]
    spending.budgets(budget(user="alice", application=("Chat", "Search")))
    assert names(spending.states("2026-11-03")) == {None: 5}
    # Nothing of December: the budget is there all the same, and says so.
    spending.budgets(budget(each="user"))
    assert names(spending.states("2026-12-20")) == {None: 0}


def test_a_team_pays_its_share_of_a_shared_application(spending: Spending) -> None:
    spending.spend("2026-11-02", 10, app="Gateway")
    apply_team_shares(spending.db, [TeamShare(application="Gateway", shares={"Red": 7, "Blue": 3})])
    spending.budgets(budget(each="team"))
    assert names(spending.states("2026-11-03")) == {"Red": 7, "Blue": 3}
    spending.budgets(budget(team="Red"))
    assert names(spending.states("2026-11-03")) == {None: 7}


def visible(spending: Spending, **visitor: Any) -> list[str]:
    """Return the budgets that a restricted visitor sees."""
    asked = {"applications": None, "teams": None, "user": None, **visitor}
    parameters = {
        f"_visitor_{kind}": json.dumps(names) if isinstance(names, list) else names
        for kind, names in asked.items()
    }
    rows = spending.db.query(sql_text("pages/budgets"), {"now": "2026-11-10", **parameters})
    return [row["budget"] + (f" {row['name']}" if row["name"] else "") for row in rows]


def test_a_restricted_visitor_sees_what_is_wholly_of_both_applications_and_teams(
    spending: Spending,
) -> None:
    spending.spend("2026-11-02", 1, app="Search")
    keys: dict[str, dict[str, Any]] = {
        "all": {}, "app": {"application": "Search"}, "apps": {"application": ("Search", "Chat")},
        "team": {"team": "Red"}, "both": {"application": "Search", "team": "Red"},
        "each app": {"each": "application", "application": ("Search", "Chat")},
        "each team": {"each": "team", "team": ("Red", "Blue")},
    }  # fmt: skip
    spending.budgets(*(budget(name=name, **some) for name, some in keys.items()))
    search, red = ["Search"], ["Red"]
    assert visible(spending, applications=search) == ["app", "both", "each app Search"]
    assert visible(spending, teams=red) == ["team", "both", "each team Red"]
    assert visible(spending, applications=search, teams=red) == ["both"]
    assert visible(spending, applications=[], teams=[]) == []
    # Of a shared application, a team's part tells what the others use of it.
    apply_team_shares(spending.db, [TeamShare(application="Chat", shares={"Red": 7, "Blue": 3})])
    assert visible(spending, teams=red) == []
    assert visible(spending, applications=search) == ["app", "each app Search"]


def reason_of(spending: Spending, at: str, **options: Any) -> tuple[str, str]:
    state = spending.state(at, **options)
    return state["state"], state["reason"] or ""


def test_a_stale_or_unread_warehouse_cannot_be_judged(spending: Spending) -> None:
    spending.spend("2026-11-02", 1)
    spending.budgets(budget(10))
    assert reason_of(spending, "2026-11-10") == ("ok", "")
    spending.synced("2026-11-08T12:00:00Z")
    state, why = reason_of(spending, "2026-11-09T12:00:00", synced=False)
    assert (state, why) == ("ok", "")
    state, why = reason_of(spending, "2026-11-09T12:00:01", synced=False)
    assert state == "cannot be judged"
    assert why == "the last sync is too old, it was at 2026-11-08T12:00:00Z"
    state, why = reason_of(spending, "2026-12-01T00:05:00", synced=False)
    assert why == "nothing was synced in this period, but at 2026-11-08T12:00:00Z"
    assert spending.state("2026-12-01T00:05:00", synced=False)["cost_usd"] is None


def test_a_period_that_has_only_begun_is_no_alarm(spending: Spending) -> None:
    spending.spend("2026-11-30", 1)
    spending.budgets(budget(10), budget(10, "day", name="D"))

    def states(at: str, **options: bool) -> list[tuple[str, str | None, float | None]]:
        found = [row for row in spending.states(at, **options) if row["is_current"]]
        return [(row["state"], row["reason"], row["cost_usd"]) for row in found]

    # Files come a day later; what the new period costs is unknown, not 0.
    assert states("2026-12-01", synced=False) == [("ok", None, None)] * 2
    assert {state for state, _, _ in states("2026-12-02", synced=False)} == {"cannot be judged"}
    # The next sync comes within hours.
    spending.synced("2026-11-30T23:30:00Z")
    assert states("2026-12-01T05:59", synced=False) == [("ok", None, None)] * 2
    assert (
        states("2026-12-01T06:00", synced=False)
        == [
            (
                "cannot be judged",
                "nothing was synced in this period, but at 2026-11-30T23:30:00Z",
                None,
            )
        ]
        * 2
    )


def test_what_is_known_to_be_spent_counts_however_old_it_is(spending: Spending) -> None:
    spending.spend("2026-11-02", 11)
    spending.budgets(budget(10))
    spending.synced("2026-11-03T00:00:00Z")
    assert spending.state("2026-11-20", synced=False)["state"] == "exceeded"


def test_files_alone_are_judged_by_the_last_day_loaded(spending: Spending) -> None:
    spending.budgets(budget(10))
    assert reason_of(spending, "2026-11-20", synced=False)[1] == "nothing is loaded"
    spending.spend("2026-11-02", 1)
    assert reason_of(spending, "2026-11-03", synced=False) == ("ok", "")
    found = reason_of(spending, "2026-11-20", synced=False)
    assert found == ("cannot be judged", "nothing is loaded after 2026-11-02")
    # Nor is it fresh because of a call whose clock was wrong.
    spending.spend("2099-01-01", 1)
    assert reason_of(spending, "2026-11-20", synced=False) == found
    found = reason_of(spending, "2026-12-20", synced=False)
    assert found[1] == "nothing of this period is loaded, the last day is 2026-11-02"


def test_missing_events_failing_sources_and_a_late_beginning_are_said(spending: Spending) -> None:
    spending.spend("2026-11-02", 1)
    spending.budgets(budget(10))
    spending.synced("2026-11-09T11:00:00Z", since="2026-11-04T00:00:00Z")
    found = reason_of(spending, "2026-11-09", synced=False)
    assert found == ("cannot be judged", "days before 2026-11-04 were not read")
    spending.synced("2026-11-09T11:00:00Z")
    stream = f"cloudtrail/{ACCOUNT}/us-east-1"
    gap = {"stream": stream, "gap_start": "2026-11-05T10:00:00Z", "gap_end": "2026-11-06T09:00:00Z"}
    spending.insert("sync_gaps", {**gap, "reason": "x"})
    found = reason_of(spending, "2026-11-09", synced=False)
    assert found[1] == "events are missing: 2026-11-05 to 2026-11-06"
    # Another month, and another region, do not miss them.
    assert reason_of(spending, "2026-12-09") == ("ok", "")
    spending.budgets(budget(10, region="eu-west-1"))
    other = {"stream": "other", "region": "eu-west-1"}
    spending.synced("2026-11-09T11:00:00Z", **other)
    assert reason_of(spending, "2026-11-09", synced=False) == ("ok", "")
    spending.synced("2026-11-08T11:00:00Z", error="denied", **other)
    spending.synced("2026-11-09T11:00:00Z", stream="third", region="eu-west-1")
    found = reason_of(spending, "2026-11-09", synced=False)
    assert found[1] == "1 source could not be read for more than a day"


def test_usage_of_unknown_cost_is_said_above_what_the_budget_allows(spending: Spending) -> None:
    for number in range(99):
        spending.load(call(500 + number, eventTime="2026-11-02T10:00:00Z", tokens=(1000, 1)))
    unpriced = {"requestParameters": {"modelId": "no.such-model"}}
    spending.load(call(900, eventTime="2026-11-02T10:00:00Z", tokens=(1, 1), **unpriced))
    spending.budgets(budget(10))
    state = spending.state("2026-11-10")
    assert (state["state"], state["is_lower_bound"]) == ("ok", 1)
    spending.budgets(budget(10, unknown_percent=0))
    found = reason_of(spending, "2026-11-10")
    assert found == ("cannot be judged", "1 call without a price; 2 tokens without a price")
    spending.load(
        call(901, eventTime="2026-11-02T10:00:00Z", requestParameters={"modelId": SONNET})
    )
    assert "1 call without token data" in reason_of(spending, "2026-11-10")[1]


def test_calls_that_may_still_get_tokens_do_not_count_yet(spending: Spending) -> None:
    spending.spend("2026-11-09", 1)
    spending.load(
        call(900, eventTime="2026-11-09T10:00:00Z", requestParameters={"modelId": SONNET})
    )
    spending.budgets(budget(10))
    assert reason_of(spending, "2026-11-10") == ("ok", "")
    assert reason_of(spending, "2026-11-11")[1] == "1 call without token data"
    # But a cost of which nothing is known is not nothing.
    spending.budgets(budget(10, model=SONNET))
    state = spending.state("2026-11-10")
    assert (state["cost_usd"], state["state"]) == (None, "cannot be judged")


def test_estimates_count_at_their_upper_end_where_the_budget_says_so(spending: Spending) -> None:
    for number, user in enumerate(("alice", "bob")):
        spending.load(call(700 + number, user=user, eventTime="2026-11-02T10:15:00Z"))
    metrics = write_metrics(
        spending.folder / "m.csv",
        [(HAIKU, "InputTokenCount", DOLLAR, "2026-11-02T10:00:00Z", 3600),
         (HAIKU, "OutputTokenCount", 0, "2026-11-02T10:00:00Z", 3600),
         (HAIKU, "Invocations", 2, "2026-11-02T10:00:00Z", 3600)],
    )  # fmt: skip
    load(spending.db, metrics)
    spending.budgets(
        budget(0.9, name="E", user="alice"), budget(0.9, name="U", user="alice", estimates="upper")
    )
    expected, upper = spending.states("2026-11-10")
    assert (expected["state"], expected["cost_usd"]) == ("warning", 0.5)
    assert upper["cost_usd"] == 0.5
    assert upper["state"] == "cannot be judged"
    assert upper["reason"] == "how far off the estimates may be is not known"
    # Once it is known, it counts, whatever else has no price.
    spending.db.execute(
        "update priced_daily_by_user set unbounded_estimates = 0, cost_high_picodollars = 950000000000"
    )
    unpriced = {"requestParameters": {"modelId": "no.such-model"}, "user": "alice"}
    load(spending.db, write_log(spending.folder / "u.json", [call(800, tokens=(1, 0), **unpriced)]))
    expected, upper = spending.states("2026-11-10")
    assert (expected["counted_usd"], expected["is_lower_bound"]) == (0.5, 1)
    assert (upper["state"], upper["counted_usd"], upper["cost_usd"]) == ("exceeded", 0.95, 0.5)


CHOICES: dict[str, tuple[str, ...]] = {
    "user": ("alice", "bob", "carol"),
    "application": ("Search", "Chat", "Ops"),
    "region": ("us-east-1", "eu-west-1"),
    "model": (HAIKU, "cohere.command-r-v1:0"),
    "account": (ACCOUNT, "444455556666"),
}
COLUMNS = {"user": "user_name", "model": "model_id", "account": "account_id"}


def test_any_budget_is_what_its_conditions_select_of_the_daily_costs(spending: Spending) -> None:
    draw = random.Random(random.getrandbits(32))
    for _ in range(60):
        picked = {key: draw.choice(values) for key, values in CHOICES.items()}
        spending.spend(
            f"2026-{draw.choice(('10-31', '11-01', '11-15', '11-28', '11-30'))}",
            # Fractions of a micro-dollar, too.
            draw.randrange(1, DOLLAR) / DOLLAR,
            user=picked["user"], app=picked["application"], awsRegion=picked["region"],
            recipientAccountId=picked["account"], requestParameters={"modelId": picked["model"]},
        )  # fmt: skip
    rows = list(spending.db.query("select * from daily_costs_by_user_and_application"))
    for _ in range(rounds(40, 400)):
        conditions = {
            key: tuple(draw.sample(values, draw.randrange(1, len(values) + 1)))
            for key, values in CHOICES.items()
            if draw.random() < 0.4
        }
        each = draw.choice((None, None, "user", "application"))
        per, first = draw.choice(
            (("month", "2026-11-01"), ("30d", "2026-11-01"), ("day", "2026-11-30"))
        )
        spending.budgets(budget(10, per, each=each, **conditions))
        expected: dict[str | None, int] = {}
        if each in conditions:
            expected = dict.fromkeys(conditions[str(each)], 0)
        for row in rows:
            values = {key: row[COLUMNS.get(key, key)] for key in CHOICES}
            if row["day"] >= first and all(values[key] in some for key, some in conditions.items()):
                name = values[each] if each else None
                expected[name] = expected.get(name, 0) + (row["cost_picodollars"] or 0)
        found = names(spending.states("2026-11-30T23:00:00"))
        assert {name: Decimal(repr(cost)) for name, cost in found.items()} == {
            name: (Decimal(cost) / 10**12).quantize(Decimal("1e-9")).normalize()
            for name, cost in (expected or {None: 0}).items()
        }, (conditions, each, per)
