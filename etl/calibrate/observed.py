"""Put what the warehouse knows of a series into buckets, window by window.

Only hours count whose totals do not change any more. An hour with calls but without a total of the
kind has none of it, if CloudWatch counted its calls. Buckets are as fine as most hours of a window
allow; the hours that are not as fine are then left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from sqlite_utils import Database

from etl.estimate.calibrate import Observed
from etl.warehouse.calibrations import (
    Series,
    fine_totals,
    hour_totals,
    known_minutes,
    known_usage,
    minute_calls,
)

WINDOW = timedelta(days=14)
SIZES = (60, 300, 3600)

_HOUR = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 hours are UTC without saying so

Caller = tuple[int, int]
Values = dict[int, int]


@dataclass
class _Hour:
    """One hour: totals by kind and period, and calls by minute."""

    totals: dict[str, int] = field(default_factory=dict)
    is_provisional: bool = False
    fine: dict[tuple[str, int], Values] = field(default_factory=dict)
    lacking: dict[Caller, Values] = field(default_factory=dict)
    events: Values = field(default_factory=dict)
    known: Values = field(default_factory=dict)
    reported: dict[Caller, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class WindowData:
    """A window: its first hour, its callers in order, the same time in buckets of several sizes.

    ``known``: calls with known tokens per caller, and their tokens.
    """

    start: str
    callers: list[Caller]
    candidates: list[Observed]
    known: tuple[np.ndarray, np.ndarray]


def windows(db: Database, series: Series) -> Iterator[WindowData]:
    """Yield the windows of a series in which calls lack its kind, in order."""
    by_window: dict[str, dict[datetime, _Hour]] = defaultdict(dict)
    for hour, data in _hours(db, series).items():
        moment = datetime.fromisoformat(hour.removesuffix("Z"))
        start = moment - (moment - _EPOCH) % WINDOW
        by_window[f"{start.isoformat()}Z"][moment] = data
    for first, hours_of in sorted(by_window.items()):
        window = _window(first, hours_of, series.token_kind)
        if window is not None:
            yield window


def _hours(db: Database, series: Series) -> dict[str, _Hour]:
    hours: dict[str, _Hour] = defaultdict(_Hour)
    for total in hour_totals(db, series):
        hours[total.hour].totals[total.kind] = total.value
        hours[total.hour].is_provisional |= total.is_provisional
    for fine in fine_totals(db, series):
        values = hours[fine.hour].fine.setdefault((fine.kind, fine.seconds), {})
        if sum(fine.values.values()) > sum(values.values()):
            hours[fine.hour].fine[fine.kind, fine.seconds] = fine.values
    for calls in minute_calls(db, series):
        hour = hours[calls.hour]
        _add(hour.events, calls.minutes)
        if calls.is_lacking:
            _add(hour.lacking.setdefault(calls.caller, {}), calls.minutes)
    for name, minutes in known_minutes(db, series):
        _add(hours[name].known, minutes)
    for name, caller, count, tokens in known_usage(db, series):
        hours[name].reported[caller] = count, tokens
    return hours


def _add(sums: Values, more: Mapping[int, int]) -> None:
    for minute, value in more.items():
        sums[minute] = sums.get(minute, 0) + value


def _window(start: str, hours: dict[datetime, _Hour], kind: str) -> WindowData | None:
    settled = {at: hour for at, hour in hours.items() if _is_settled(hour, kind)}
    callers = sorted({caller for hour in settled.values() for caller in hour.lacking})
    if not callers:
        return None
    finest = next(size for size in SIZES if _is_mostly(settled.values(), kind, size))
    used = {at: hour for at, hour in settled.items() if _has(hour, kind, finest)}
    sizes = [size for size in SIZES if size >= finest]
    reported = np.zeros((2, len(callers)))
    for index, caller in enumerate(callers):
        for hour in settled.values():
            reported[:, index] += hour.reported.get(caller, (0, 0))
    candidates = [_observed(used, callers, kind, finest, size) for size in sizes]
    return WindowData(start, callers, candidates, (reported[0], reported[1]))


def _is_settled(hour: _Hour, kind: str) -> bool:
    return not hour.is_provisional and (kind in hour.totals or "calls" in hour.totals)


def _has(hour: _Hour, kind: str, size: int) -> bool:
    """Return whether an hour is known in periods of a size, and they add up to its totals."""
    if size == SIZES[-1]:
        return True
    totals = hour.totals.items()
    return all(sum(hour.fine.get((name, size), {}).values()) == total for name, total in totals)


def _is_mostly(hours: Iterable[_Hour], kind: str, size: int) -> bool:
    found = [_has(hour, kind, size) for hour in hours]
    return 2 * sum(found) >= len(found)


def _observed(
    hours: Mapping[datetime, _Hour], callers: list[Caller], kind: str, finest: int, size: int
) -> Observed:
    first, last = min(hours), max(hours)
    per_hour, count = 3600 // size, (last - first) // _HOUR + 1
    calls = np.zeros((count * per_hour, len(callers)))
    events, invocations, tokens, known = np.zeros((4, count * per_hour))
    number = {caller: index for index, caller in enumerate(callers)}
    for at, hour in hours.items():
        row = (at - first) // _HOUR * per_hour
        for caller, minutes in hour.lacking.items():
            _put(calls[:, number[caller]], row, minutes, size)
        _put(events, row, hour.events, size)
        _put(known, row, hour.known, size)
        _put(tokens, row, _fine(hour, kind, finest), size)
        counted = _fine(hour, "calls", finest) if "calls" in hour.totals else hour.events
        _put(invocations, row, counted, size)
    begin = int((first - _EPOCH).total_seconds())
    starts = begin + np.arange(count * per_hour) * size
    return Observed(size, starts, calls, events, invocations, tokens, known)


def _fine(hour: _Hour, kind: str, finest: int) -> Values:
    if finest == SIZES[-1]:
        return {0: hour.totals.get(kind, 0)}
    return hour.fine.get((kind, finest), {})


def _put(column: np.ndarray, row: int, minutes: Mapping[int, int], size: int) -> None:
    for minute, value in minutes.items():
        column[row + minute * 60 // size] += value
