"""What forecasts are made of, and the table that keeps them.

A forecast follows from the costs of covered days alone, never from the clock: the month is that of
the day after the last covered day that is over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import date, timedelta
from typing import NamedTuple

from sqlite_utils import Database

from etl.sql_files import sql_text
from etl.warehouse.turns import transaction

# The days that a forecast may look back.
HISTORY_DAYS = 200


class Series(NamedTuple):
    """What is forecast: ``dimension`` is all, team or application."""

    dimension: str
    name: str


class Costs(NamedTuple):
    """The covered days that are over, oldest first, and what each series cost on days with use."""

    covered: list[date]
    by_series: Mapping[Series, Mapping[date, float]]


class StoredForecast(NamedTuple):
    """A row of ``forecasts``, with its columns."""

    dimension: str
    name: str
    month: str
    through_day: str
    history_days: int
    rest_days: int
    finished_usd: float
    rest_usd: float | None
    rest_low_usd: float | None
    rest_high_usd: float | None
    rest_by_day: str | None
    reason: str | None


def read_costs(db: Database) -> Costs:
    """Return the costs of the latest covered days, and of the days after them."""
    days = covered_days(db)
    if not days:
        return Costs([], {})
    since = (days[-1] - timedelta(days=HISTORY_DAYS)).isoformat()
    costs: defaultdict[Series, dict[date, float]] = defaultdict(dict)
    rows = db.conn.execute(sql_text("reports/costs_to_forecast"), {"since": since})
    for dimension, name, day, cost, _ in rows:
        costs[Series(dimension, name)][date.fromisoformat(day)] = cost
    return Costs(days, costs)


def covered_days(db: Database) -> list[date]:
    """Return the latest days that are over and of which all usage is loaded, oldest first."""
    (last,) = db.conn.execute("select max(day) from int_covered_days").fetchone()
    if last is None:
        return []
    since = (date.fromisoformat(last) - timedelta(days=HISTORY_DAYS)).isoformat()
    rows = db.conn.execute(
        "select day from int_covered_days where is_covered and day >= ? order by day", [since]
    )
    return [date.fromisoformat(day) for (day,) in rows.fetchall()]


def store_forecasts(db: Database, forecasts: Collection[StoredForecast]) -> bool:
    """Replace the forecasts; return whether any differs. If none does, nothing is written."""
    columns = ", ".join(StoredForecast._fields)
    stored = db.conn.execute(f"select {columns} from forecasts").fetchall()
    if {*stored} == {*forecasts}:
        return False
    marks = ", ".join("?" * len(StoredForecast._fields))
    with transaction(db):
        db.conn.execute("delete from forecasts")
        db.conn.executemany(f"insert into forecasts ({columns}) values ({marks})", forecasts)
    return True
