"""Forecasts of budgets: of any usage, any period of the calendar, and never below what is spent."""

from __future__ import annotations

from typing import Any

from etl.forecast.budgets import budget_forecast
from etl.warehouse.write.budgets import record_budgets
from tests.budgets.support import Spending, budget, moment

FORECAST: dict[str, Any] = {"forecast_thresholds": (100,)}


def steady(spending: Spending, *, until: int, dollars: float = 1) -> None:
    """Spend the same each day from 1 October to a day of November, half of it by each user."""
    for day in [f"2026-10-{day:02}" for day in range(1, 32)] + [
        f"2026-11-{day:02}" for day in range(1, until + 1)
    ]:
        for user in ("alice", "bob"):
            spending.spend(day, dollars / 2, user=user)


def forecasts(spending: Spending, at: str) -> dict[tuple[str, str | None], float | None]:
    states = spending.states(at)
    record_budgets(spending.db, moment(at), budget_forecast(spending.db))
    states = spending.states(at)
    return {
        (one["budget"], one["name"]): one["forecast_usd"] for one in states if one["is_current"]
    }


def test_any_budget_of_the_calendar_has_a_forecast(spending: Spending) -> None:
    steady(spending, until=9)
    spending.budgets(
        budget(25, name="month", **FORECAST),
        budget(100, "week", name="week", **FORECAST),
        budget(100, name="each", each="user", **FORECAST),
        budget(100, name="region", user="alice", region="us-east-1", **FORECAST),
        budget(100, name="none"),
    )
    found = forecasts(spending, "2026-11-10")
    assert {key: value and round(value, 2) for key, value in found.items()} == {
        ("month", None): 30, ("week", None): 7, ("each", "alice"): 15, ("each", "bob"): 15,
        ("region", None): 15, ("none", None): None,
    }  # fmt: skip
    state = spending.states("2026-11-10")[0]
    assert (state["state"], state["forecast_percent"], state["forecast_reached_percent"]) == (
        "warning",
        120,
        100,
    )


def test_too_few_days_tell_nothing_and_what_is_spent_is_the_least(spending: Spending) -> None:
    spending.budgets(budget(100, **FORECAST))
    assert forecasts(spending, "2026-11-15") == {("B", None): None}
    for day in range(1, 10):
        spending.spend(f"2026-11-{day:02}", 1)
    assert forecasts(spending, "2026-11-10") == {("B", None): None}
    spending.spend("2026-11-10", 1000)
    for day in range(10, 20):
        spending.spend(f"2026-11-{day:02}", 1)
    found = forecasts(spending, "2026-11-19")[("B", None)]
    assert found is not None
    assert 1019 <= found < 1100
    # Of today, which is not over, all that is known is what is spent.
    spending.spend("2026-11-20", 5000)
    assert forecasts(spending, "2026-11-20") == {("B", None): 6019}


def test_days_before_the_first_use_tell_nothing(spending: Spending) -> None:
    steady(spending, until=15)
    for day in range(1, 16):
        spending.spend(f"2026-11-{day:02}", 1, user="carol")
    spending.budgets(budget(100, each="user", **FORECAST))
    found = forecasts(spending, "2026-11-16")
    assert {name: value and round(value, 2) for (_, name), value in found.items()} == {
        "alice": 15, "bob": 15, "carol": 30,
    }  # fmt: skip
