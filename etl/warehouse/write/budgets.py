"""Store the budgets of the configuration, and record once what happens to them.

Views and pages judge the stored budgets, without the file. A crossing is recorded with the message
that is to tell of it, in one transaction: neither is ever there without the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.normalise.budgets import CONDITIONS, Budget
from etl.times import utc_text
from etl.warehouse.messages import add_message
from etl.warehouse.pseudonyms import forgotten_in
from etl.warehouse.read.budgets import (
    ACTUAL,
    BUDGETS,
    CANNOT_BE_JUDGED,
    FORECAST,
    NOT_JUDGED,
    budget_states,
)
from etl.warehouse.turns import transaction

_COLUMNS = (
    *("budget_number", "budget", "amount_microdollars", "per", "days", "each_of"),
    *(f"{condition}s" for condition in CONDITIONS),
    *("counts_upper_end", "unknown_percent", "thresholds", "forecast_thresholds"),
)

_MARKS = ", ".join("?" * len(_COLUMNS))

# What a period of a budget costs in the end, in micro-dollars; None where nobody can tell.
Forecast = Callable[[Mapping[str, Any]], int | None]


class Crossing(NamedTuple):
    """What happened to a budget: ``kind`` is ``ACTUAL``, ``FORECAST`` or ``NOT_JUDGED``.

    ``threshold``: percent of the amount, 0 for ``NOT_JUDGED``. ``name``: see ``budget_status``,
    blank for all together. ``cost_microdollars``: the cost, or the forecast, at that time.
    """

    budget: str
    name: str
    period_start: str
    period_end: str
    kind: str
    threshold: int
    amount_microdollars: int
    cost_microdollars: int | None
    reason: str | None


def apply_budgets(db: Database, budgets: Sequence[Budget]) -> bool:
    """Replace the stored budgets; return whether they differ. What is recorded stays."""
    known = forgotten_in(db).text
    rows = [_row(number, budget, known) for number, budget in enumerate(budgets, 1)]
    stored = db.conn.execute(f"select {', '.join(_COLUMNS)} from budgets order by budget_number")
    if rows == stored.fetchall():
        return False
    with db.atomic():
        judged = db.conn.execute("select judged_to, budget from budgets").fetchall()
        db.conn.execute("delete from budgets")
        db.conn.executemany(f"insert into budgets ({', '.join(_COLUMNS)}) values ({_MARKS})", rows)
        db.conn.executemany("update budgets set judged_to = ? where budget = ?", judged)
    return True


def _row(number: int, budget: Budget, known: Callable[[str], str]) -> tuple[object, ...]:
    names = [budget.names(condition) for condition in CONDITIONS]
    return (
        *(number, known(budget.name), budget.amount_microdollars, budget.per, budget.days),
        budget.each,
        *(None if some is None else _array(map(known, some)) for some in names),
        int(budget.estimates == "upper"),
        budget.unknown_percent,
        _array(sorted(budget.thresholds)),
        _array(sorted(budget.forecast_thresholds)),
    )


def _array(values: Any) -> str:
    return json.dumps(list(values), ensure_ascii=False)


def record_budgets(
    db: Database, now: datetime, forecast: Forecast, targets: Sequence[str] = ()
) -> list[Crossing]:
    """Record what is new of the budgets at a moment; return it.

    ``targets``: who is told, in one message, which is recorded in the same transaction. It also
    tells of what was recorded without a target, as by a run without the configuration.
    """
    if not db.execute("select 1 from budgets limit 1").fetchone():
        return []
    states = budget_states(db, now)
    if _store_forecasts(db, states, forecast):
        states = budget_states(db, now)
    found = [one for state in states for one in _crossings(state)]
    with transaction(db):
        new = [one for one in found if _is_new(db, one)]
        db.conn.executemany(
            "insert into budget_crossings (budget, name, period_start, period_end, kind, threshold,"
            " amount_microdollars, cost_microdollars, reason, seen_at)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(*one, utc_text(now)) for one in new],
        )
        _note_judged(db, states, now)
        if targets:
            _tell(db, now, targets)
    return new


def _note_judged(db: Database, states: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Keep that budgets were judged, of which usage is read up to now: nothing before was missed.

    The others are judged again from where they were.
    """
    unread = {one["budget"] for one in states if one["is_current"] and not one["is_read"]}
    read = {one["budget"] for one in states} - unread
    # The day is enough, and most runs then write nothing.
    day = now.date().isoformat()
    db.conn.executemany(
        "update budgets set judged_to = ? where budget = ? and judged_to is not ?",
        [(day, one, day) for one in read],
    )


def _tell(db: Database, now: datetime, targets: Sequence[str]) -> None:
    """Add a message that tells of what no message tells, and is not old."""
    untold = "message_key is null and max(period_end, seen_at) >= date(?, '-3 days')"
    at = utc_text(now)
    if db.conn.execute(f"select 1 from budget_crossings where {untold}", [at]).fetchone():
        message_key = add_message(db, BUDGETS, now, targets)
        db.conn.execute(
            f"update budget_crossings set message_key = ? where {untold}", [message_key, at]
        )


def _store_forecasts(db: Database, states: Sequence[Mapping[str, Any]], forecast: Forecast) -> bool:
    """Store the forecasts of the current periods instead of all others; return if they differ."""
    rows = sorted(
        (one["budget"], one["name"] or "", one["period_start"], forecast(one))
        for one in states
        if one["is_current"] and one["forecast_thresholds"] != "[]"
    )
    stored = "select * from budget_forecasts order by budget, name, period_start"
    if rows == db.conn.execute(stored).fetchall():
        return False
    with transaction(db):
        db.execute("delete from budget_forecasts")
        db.conn.executemany("insert into budget_forecasts values (?, ?, ?, ?)", rows)
    return True


def _crossings(state: Mapping[str, Any]) -> Iterator[Crossing]:
    """Yield what can be said of a state: each threshold that is reached, and why it is unknown."""
    place = (state["budget"], state["name"] or "", state["period_start"], state["period_end"])
    amount, cost = state["amount_microdollars"], state["counted_microdollars"]
    for threshold in json.loads(state["thresholds"]):
        if threshold <= (state["reached_percent"] or 0):
            yield Crossing(*place, ACTUAL, threshold, amount, cost, None)
    for threshold in json.loads(state["forecast_thresholds"]):
        if threshold <= (state["forecast_reached_percent"] or 0):
            expected = state["forecast_microdollars"]
            yield Crossing(*place, FORECAST, threshold, amount, expected, None)
    if state["state"] == CANNOT_BE_JUDGED and state["is_current"]:
        yield Crossing(*place, NOT_JUDGED, 0, amount, cost, state["reason"])


def _is_new(db: Database, one: Crossing) -> bool:
    """Return whether no period that this one overlaps has the same crossing.

    A rolling window is another period every day; it is the same spending until it has moved on by
    its whole length. A day is not told of because its month was, before ``per`` was changed.
    """
    row = db.conn.execute(
        "select 1 from budget_crossings where budget = ? and name = ? and kind = ?"
        " and threshold = ? and amount_microdollars = ?"
        " and period_start <= ? and period_end >= ?"
        " and (period_start = ? or julianday(period_end) - julianday(period_start)"
        " = julianday(?) - julianday(?))",
        [
            *(one.budget, one.name, one.kind, one.threshold, one.amount_microdollars),
            *(one.period_end, one.period_start, one.period_start, one.period_end, one.period_start),
        ],
    ).fetchone()
    return row is None
