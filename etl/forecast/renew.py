"""Forecast the running month of every series, and store it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from sqlite_utils import Database

from etl.forecast.model import ENOUGH_DAYS, forecast
from etl.warehouse.forecasts import Costs, StoredForecast, read_costs, store_forecasts

# Whatever was not used for so long is not forecast.
_UNUSED_DAYS = 31


def renew_forecasts(db: Database) -> bool:
    """Bring the stored forecasts up to date; return whether any changed.

    Call it after whatever changes costs or covers days.
    """
    return store_forecasts(db, list(forecasts(read_costs(db))))


def forecasts(costs: Costs) -> Iterator[StoredForecast]:
    """Yield the forecast of every series that was used lately; nothing if no day is covered."""
    if not costs.covered:
        return
    through = costs.covered[-1]
    month = _month_of(through + timedelta(days=1))
    for (dimension, name), by_day in sorted(costs.by_series.items()):
        if max(by_day) < through - timedelta(days=_UNUSED_DAYS):
            continue
        first = min(by_day)
        # Days without use cost nothing, from the first use on.
        known = {day: by_day.get(day, 0.0) for day in costs.covered if day >= first}
        is_older = first <= costs.covered[0]
        rest = [day for day in month if day not in known and (is_older or day > first)]
        yield StoredForecast(
            dimension,
            name,
            f"{month[0]:%Y-%m}",
            through.isoformat(),
            len(known),
            len(rest),
            round(sum(by_day.get(day, 0.0) for day in month if day in known), 9),
            *_rest(known, rest),
        )


def _rest(
    known: Mapping[date, float], rest: list[date]
) -> tuple[float | None, float | None, float | None, str | None, str | None]:
    found = forecast(
        {day.toordinal(): cost for day, cost in known.items()}, [day.toordinal() for day in rest]
    )
    if found is None:
        days = f"{len(known)} of {ENOUGH_DAYS} covered days"
        return None, None, None, None, f"not enough data: {days}"
    middle, low, high = (round(value, 6) for value in found[:3])
    by_day = {f"{day}": round(cost, 6) for day, cost in zip(rest, found.by_day, strict=True)}
    return middle, low, high, json.dumps(by_day), None


def _month_of(day: date) -> list[date]:
    first = day.replace(day=1)
    days = [first + timedelta(days=number) for number in range(31)]
    return [one for one in days if one.month == first.month]
