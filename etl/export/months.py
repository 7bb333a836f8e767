"""Months of the bill: in UTC, from their first day to their last."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta
from typing import NamedTuple


class Month(NamedTuple):
    """A month, such as 2026-10."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read ``YYYY-MM``."""
        year, number = map(int, text.split("-"))
        return cls(year, number)

    @classmethod
    def before(cls, today: date) -> Month:
        """Return the last month that is over."""
        last = today.replace(day=1) - timedelta(days=1)
        return cls(last.year, last.month)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    @property
    def days(self) -> list[str]:
        """Its days, in order."""
        return [f"{self}-{day:02}" for day in range(1, monthrange(*self)[1] + 1)]

    @property
    def ends(self) -> dict[str, str]:
        """The parameters of the statements about a month."""
        return {"first_day": self.days[0], "last_day": self.days[-1]}
