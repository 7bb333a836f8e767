"""Budgets: an amount for a period of time, and whose cost counts.

A budget is for what meets all its conditions, or for everything. With ``each`` every application,
user or team has the amount for itself. The warehouse finds the state of each in SQL
(``sql/macros/budgets.sql``); names are exact, because a budget is an agreement with somebody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from etl.normalise.model_ids import parse_model_id

Names = str | tuple[str, ...] | None

CONDITIONS = ("user", "application", "team", "model", "region", "account")

Each = Literal["application", "user", "team"]
Estimates = Literal["expected", "upper"]

_CALENDAR = ("day", "week", "month")
_ROLLING = re.compile(r"([0-9]{1,3})d")
_MOST_DAYS = 366

_MOST_PERCENT = 1000
# More than AWS has ever billed anyone; sums of hundredths of micro-dollars stay exact far above it.
_MOST_USD = 10**9

_FORMS = {
    "region": (re.compile(r"[a-z]{2,6}(?:-[a-z]+)+-[0-9]{1,2}"), 'a region, like "us-east-1"'),
    "account": (re.compile(r"[0-9]{12}"), "an account id (12 digits)"),
}


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be spent in a period, in US dollars, and whose cost counts.

    ``per``: "day", "week" (from Monday) or "month", UTC, or the last days up to today, "30d".
    ``thresholds``: percentages of the amount that the cost reaches; ``forecast_thresholds``: that
    it is going to reach by the end of the period. ``estimates``: whether estimated costs count as
    expected or at their upper end. ``unknown_percent``: so much of its calls and tokens may have an
    unknown cost; with more, nobody can tell its state. Raises ValueError for what makes no sense.
    """

    name: str
    amount: int | float
    per: str
    user: Names = None
    application: Names = None
    team: Names = None
    model: Names = None
    region: Names = None
    account: Names = None
    each: Each | None = None
    thresholds: tuple[int, ...] = (50, 80, 100)
    forecast_thresholds: tuple[int, ...] = ()
    estimates: Estimates = "expected"
    unknown_percent: int = 1

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.name.isprintable() or len(self.name) > 100:
            raise ValueError("name: it must have 1 to 100 printable characters")
        self._check_amount()
        if self.per not in _CALENDAR and not 1 <= (self.days or 0) <= _MOST_DAYS:
            raise ValueError(
                f"per: {self.per!r} is none of {', '.join(_CALENDAR)}, nor the last days, such as"
                f' "30d" (at most {_MOST_DAYS})'
            )
        for condition in CONDITIONS:
            _check_names(condition, self.names(condition))
        if (self.team or self.each == "team") and (self.user or self.each == "user"):
            raise ValueError(
                "user and team cannot be combined: what a team pays of a shared application is"
                " nobody's in particular; leave one of them out"
            )
        for key in ("thresholds", "forecast_thresholds"):
            _check_thresholds(key, getattr(self, key))
        if not self.thresholds and not self.forecast_thresholds:
            raise ValueError("thresholds is empty, and so is forecast_thresholds; give one")
        if not 0 <= self.unknown_percent <= 100:
            raise ValueError(f"unknown_percent: {self.unknown_percent} is not between 0 and 100")
        if self.forecast_thresholds and self.days is not None:
            raise ValueError(
                "forecast_thresholds: a window of the last days has no end to forecast; use"
                ' per = "day", "week" or "month"'
            )

    def _check_amount(self) -> None:
        if not 0 < self.amount <= _MOST_USD:
            raise ValueError(f"amount: {self.amount} is not above 0 and at most {_MOST_USD:,}")
        exact = Decimal(repr(self.amount))
        if exact != exact.quantize(Decimal("0.000001")):
            raise ValueError(f"amount: {exact} has more than six decimals")

    def names(self, condition: str) -> tuple[str, ...] | None:
        """Return the names of a condition; None where it is not given."""
        given: Names = getattr(self, condition)
        names = (given,) if isinstance(given, str) else given
        if names is None or condition != "model":
            return names
        return tuple(dict.fromkeys(parse_model_id(one).canonical_model_id for one in names))

    @property
    def days(self) -> int | None:
        """The days of a rolling window; None for a period of the calendar."""
        found = _ROLLING.fullmatch(self.per)
        return int(found[1]) if found else None

    @property
    def amount_microdollars(self) -> int:
        """The amount in whole micro-dollars, exactly as it was written."""
        return int(Decimal(repr(self.amount)) * 10**6)


def check_budgets(budgets: Sequence[Budget]) -> None:
    """Raise ValueError if two budgets have the same name: what happened is recorded by name."""
    seen: set[str] = set()
    for number, budget in enumerate(budgets, 1):
        if budget.name in seen:
            raise ValueError(f"budgets #{number}.name: {budget.name!r} is the name of another one")
        seen.add(budget.name)


def _check_names(condition: str, names: Sequence[str] | None) -> None:
    if names is None:
        return
    if not names:
        raise ValueError(f"{condition} is empty; leave it out for all")
    form, what = _FORMS.get(condition, (None, ""))
    for number, name in enumerate(names):
        if not name.strip():
            raise ValueError(f"{condition}: a name is empty")
        if name in names[:number]:
            raise ValueError(f"{condition}: {name!r} is listed twice")
        if form is not None and not form.fullmatch(name):
            raise ValueError(f"{condition}: {name!r} is not {what}")


def _check_thresholds(key: str, thresholds: Sequence[int]) -> None:
    for number, percent in enumerate(thresholds):
        if not 1 <= percent <= _MOST_PERCENT:
            raise ValueError(f"{key}: {percent} is not between 1 and {_MOST_PERCENT} percent")
        if percent in thresholds[:number]:
            raise ValueError(f"{key}: {percent} is listed twice")
