"""Calls of the last hours, for a sync in real time, and the words of one that reads them only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.support import call

SMALL = ("--region", "us-east-1", "--since", "2d")


def record(number: int, *, hours_ago: float = 3, **fields: object) -> dict[str, object]:
    moment = datetime.now(UTC) - timedelta(hours=hours_ago)
    return call(number, eventTime=moment.strftime("%Y-%m-%dT%H:%M:%SZ"), **fields)
