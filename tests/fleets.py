"""Users whose calls tell no tokens, and what CloudWatch counted of them by the minute."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from etl.times import utc_text
from tests.support import HAIKU, call, write_log, write_metrics


class Call(NamedTuple):
    """A call, and the tokens that CloudWatch counts of it; ``is_known``: it reports them."""

    at: datetime
    user: str
    tokens: int
    is_known: bool = False


def totals_by_minute(
    calls: Iterable[Call], lag: timedelta = timedelta(), metric: str = "InputTokenCount"
) -> list[tuple[object, ...]]:
    """Return the totals of calls and their tokens by the minute, counted so much later."""
    totals: dict[datetime, list[int]] = defaultdict(lambda: [0, 0])
    for one in calls:
        minute = (one.at + lag).replace(second=0)
        totals[minute][0] += one.tokens
        totals[minute][1] += 1
    return [
        (HAIKU, name, values[index], utc_text(minute), 60)
        for index, name in enumerate((metric, "Invocations"))
        for minute, values in sorted(totals.items())
    ]


def write_fleet(
    folder: Path,
    calls: list[Call],
    metrics: Iterable[tuple[object, ...]] | None = None,
    *,
    first: int = 1,
) -> list[Path]:
    """Write calls, numbered from ``first``, and their totals, or those given."""
    folder.mkdir(exist_ok=True)
    events = [
        call(
            number,
            user=one.user,
            eventTime=utc_text(one.at),
            tokens=(one.tokens, 0) if one.is_known else None,
        )
        for number, one in enumerate(calls, first)
    ]
    counted = totals_by_minute(calls) if metrics is None else metrics
    return [
        write_log(folder / "fleet.json", events),
        write_metrics(folder / "fleet.csv", list(counted)),
    ]


def used_by_user(calls: Iterable[Call]) -> dict[str, int]:
    """Return the true tokens of each user."""
    used: dict[str, int] = defaultdict(int)
    for one in calls:
        used[one.user] += one.tokens
    return dict(used)
