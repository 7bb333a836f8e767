"""Times as the warehouse, AWS's events and this program's JSON write them: UTC, whole seconds."""

from __future__ import annotations

from datetime import UTC, date, datetime

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
