"""Times as the warehouse, AWS's events and this program's JSON write them: UTC, whole seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta

UTC_TEXT = "%Y-%m-%dT%H:%M:%SZ"


def utc_text(moment: datetime) -> str:
    """Return an aware datetime as ``YYYY-MM-DDTHH:MM:SSZ``."""
    return moment.astimezone(UTC).strftime(UTC_TEXT)


def day_start(day: date) -> str:
    """Return the first moment of a UTC day."""
    return utc_text(datetime(day.year, day.month, day.day, tzinfo=UTC))


def parse_utc(text: str) -> datetime:
    """Read a time that ``utc_text`` wrote."""
    return datetime.fromisoformat(text)


def month_before(day: date) -> tuple[date, date]:
    """Return the first and the last day of the month before a day's."""
    last = day.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last


def _week_before(day: date) -> tuple[date, date]:
    monday = day - timedelta(days=day.weekday() + 7)
    return monday, monday + timedelta(days=6)


def _day_before(day: date) -> tuple[date, date]:
    return day - timedelta(days=1), day - timedelta(days=1)


# Ranges in words: from today, the first and the last day. Weeks begin on Monday.
WORDS: Mapping[str, Callable[[date], tuple[date, date]]] = {
    "yesterday": _day_before,
    "last-week": _week_before,
    "last-month": month_before,
}
