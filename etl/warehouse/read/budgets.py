"""The states of budgets at a moment."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlite_utils import Database

from etl.normalise.application import UNKNOWN as APPLICATION_UNKNOWN
from etl.normalise.identity import NO_TEAM, UNATTRIBUTED, UNKNOWN
from etl.sql_files import sql_text
from etl.times import utc_text
from etl.warehouse.read.reports import Filters, run_report

# The topic of their messages.
BUDGETS = "budgets"

# What happens to a budget: a threshold is reached by its cost or forecast, or it has no state.
ACTUAL, FORECAST, NOT_JUDGED = "actual", "forecast", "not judged"

EXCEEDED, CANNOT_BE_JUDGED, WARNING, OK = "exceeded", "cannot be judged", "warning", "ok"


def budget_states(
    db: Database, now: datetime, filters: Filters | None = None
) -> list[dict[str, Any]]:
    """Return the rows of the view ``budget_status`` as of a moment, in the order of the file.

    ``filters``: what the reader may see of them; by default all.
    """
    parameters = {"now": utc_text(now), **(filters or Filters()).parameters()}
    return list(db.query(sql_text("pages/budgets"), parameters))


def unknown_names(db: Database) -> list[dict[str, str]]:
    """Return the names in budgets that nothing loaded has: ``budget``, ``kind`` and ``name``.

    Names of ours for what has none are always known.
    """
    ours = (APPLICATION_UNKNOWN, UNATTRIBUTED, NO_TEAM, UNKNOWN)
    return [row for row in run_report(db, "budget_names", {}) if row["name"] not in ours]


def budget_days(db: Database, since: date, until: date) -> dict[tuple[str, str], dict[date, float]]:
    """Return what the days of budgets with forecasts cost in dollars, by budget and name."""
    found: dict[tuple[str, str], dict[date, float]] = {}
    days = {"since": since.isoformat(), "until": until.isoformat()}
    for budget, name, day, cost in db.conn.execute(sql_text("reports/budget_days"), days):
        found.setdefault((budget, name), {})[date.fromisoformat(day)] = cost or 0.0
    return found


def crossings_of(db: Database, message_key: int) -> list[dict[str, Any]]:
    """Return what a message tells of budgets: rows of ``budget_crossings``."""
    sql = "select * from budget_crossings where message_key = ? order by crossing_key"
    return list(db.query(sql, [message_key]))
