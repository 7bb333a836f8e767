"""Forecast the current period of a budget, of whatever usage it counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

from sqlite_utils import Database

from etl.forecast.model import forecast
from etl.warehouse.forecasts import HISTORY_DAYS, covered_days
from etl.warehouse.read.budgets import budget_days


def budget_forecast(db: Database) -> Callable[[Mapping[str, Any]], int | None]:
    """Return what tells the cost of a state's period at its end, in micro-dollars.

    None: too few days are known. What is spent already is the least. Costs are read when they are
    first needed, once for all budgets.
    """
    read: list[tuple[list[date], Mapping[tuple[str, str], Mapping[date, float]]]] = []

    def tell(state: Mapping[str, Any]) -> int | None:
        if not read:
            read.append(_read(db))
        covered, by_budget = read[0]
        costs = by_budget.get((state["budget"], state["name"] or ""), {})
        first, last = (date.fromisoformat(state[f"period_{end}"]) for end in ("start", "end"))
        expected = _at_the_end(covered, costs, first, last)
        if expected is None:
            return None
        return max(state["counted_microdollars"] or 0, round(expected * 10**6))

    return tell


def _read(db: Database) -> tuple[list[date], Mapping[tuple[str, str], Mapping[date, float]]]:
    covered = covered_days(db)
    if not covered:
        return [], {}
    since = covered[-1] - timedelta(days=HISTORY_DAYS)
    return covered, budget_days(db, since, covered[-1])


def _at_the_end(
    covered: list[date], costs: Mapping[date, float], first: date, last: date
) -> float | None:
    """Return what the days from ``first`` to ``last`` cost, those to come as forecast."""
    if not costs:
        return None
    # Days without use cost nothing, from the first use on.
    known = {day: costs.get(day, 0.0) for day in covered if day >= min(costs)}
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    rest = [day.toordinal() for day in days if day not in known]
    found = forecast({day.toordinal(): cost for day, cost in known.items()}, rest)
    if found is None:
        return None
    return found.middle + sum(known.get(day, 0.0) for day in days)
