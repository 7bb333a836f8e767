"""Put what the warehouse knows of a series in a window of days into buckets.

Only hours count whose totals do not change any more, from the first to the last one with a total of
the kind: beyond, it may not be loaded. An hour between them with calls but without such a total has
none of it, if CloudWatch counted its calls. Buckets are as fine as most hours of a window, and
memory, allow; the hours that are not as fine are then left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlite_utils import Database

from etl.estimate.calibrate import Observed, coarser
from etl.estimate.groups import joined
from etl.estimate.lag import Array
from etl.warehouse.calibrations import (
    MinuteCalls,
    Series,
    Times,
    fine_totals,
    hour_totals,
    known_minutes,
    known_usage,
    minute_calls,
)

WINDOW = timedelta(days=14)
SIZES = (60, 300, 3600)

# The most buckets x columns, which bounds memory: a table takes 8 bytes each, about ten times.
_MOST_CELLS = 4_000_000

_HOUR = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 hours are UTC without saying so

Caller = tuple[int, int]
Column = tuple[int, int, int]
Values = Mapping[int, int]

_BY_MINUTE = msgspec.json.Decoder(dict[int, int])


@dataclass(frozen=True)
class Detail:
    """What sharing needs beyond a fit, in the finest buckets.

    ``hours``: the names of the hours, None for those left out. ``columns``: rate key and caller;
    ``owner``: the number of each column's caller. ``calls``: calls without a count (bucket x
    column). ``present``: all successful calls (bucket x caller, also others after those of the
    window). ``is_counted``: buckets of which CloudWatch counted the calls. ``is_edge``: of each
    hour, whether the one before it, and the one after it, may have calls that are not here.
    ``sizes``: as ``calls``, with each call counted by its input tokens, 1 on average; None unless
    most calls tell theirs.
    """

    hours: list[str | None]
    columns: list[Column]
    owner: NDArray[np.int64]
    calls: Array
    present: Array
    is_counted: NDArray[np.bool_]
    is_edge: NDArray[np.bool_]
    sizes: Array | None


@dataclass(frozen=True)
class WindowData:
    """A window of a series: its callers in order, the same time in buckets of several sizes.

    ``candidates``: the finest first. ``by_input``: the same in another unit, with sizes instead of
    calls, if they are known. ``known``: calls with known tokens per caller, and their tokens.
    """

    callers: list[Caller]
    candidates: list[Observed]
    by_input: list[Observed]
    known: tuple[Array, Array]
    detail: Detail


@dataclass
class _Hour:
    """The totals of an hour by kind, and by kind and period."""

    totals: dict[str, int] = field(default_factory=dict)
    is_provisional: bool = False
    fine: dict[tuple[str, int], Values] = field(default_factory=dict)

    def is_settled(self, kind: str) -> bool:
        return not self.is_provisional and (kind in self.totals or "calls" in self.totals)

    def has(self, size: int) -> bool:
        """Return whether the hour is known in periods of a size, and they add up to its totals."""
        if size == SIZES[-1]:
            return True
        return all(
            sum(self.fine.get((name, size), {}).values()) == total
            for name, total in self.totals.items()
        )

    def values(self, kind: str, size: int) -> Values:
        if size == SIZES[-1]:
            return {0: self.totals.get(kind, 0)}
        return self.fine.get((kind, size), {})


class _Minutes:
    """Values by hour, minute and column, to be added up into buckets."""

    def __init__(self) -> None:
        self._hours: list[int] = []
        self._columns: list[int] = []
        self._lengths: list[int] = []
        self._minutes: list[int] = []
        self._values: list[int] = []

    def add(self, hour: int, column: int, values: Values) -> None:
        self._hours.append(hour)
        self._columns.append(column)
        self._lengths.append(len(values))
        self._minutes.extend(values.keys())
        self._values.extend(values.values())

    def table(self, hours: int, columns: int, size: int) -> Array:
        """Return the sums: a row for each bucket of all hours, and so many columns."""
        hour = np.repeat(np.array(self._hours, dtype=np.int64), self._lengths)
        column = np.repeat(np.array(self._columns, dtype=np.int64), self._lengths)
        bucket = (hour * 60 + np.array(self._minutes, dtype=np.int64)) * 60 // size
        count = hours * 3600 // size
        place = bucket * columns + column
        sums = np.bincount(place, np.array(self._values, dtype=float), count * columns)
        return sums.reshape(count, columns).astype(float)

    def sums(self, hours: int, size: int) -> Array:
        """Return the same as one column."""
        return self.table(hours, 1, size)[:, 0]


def window_of(hour: str) -> Times:
    """Return the window that an hour belongs to."""
    start = _moment(hour) - (_moment(hour) - _EPOCH) % WINDOW
    return Times(_text(start), _text(start + WINDOW))


def observe(db: Database, series: Series, times: Times) -> WindowData | None:
    """Return a window of a series; None if no settled hour has calls that lack the kind."""
    kind = series.token_kind
    totals, all_calls = _totals(db, series, times), list(minute_calls(db, series, times))
    known = [name for name, hour in totals.items() if kind in hour.totals] or [""]
    hours = {
        name: hour
        for name, hour in totals.items()
        if hour.is_settled(kind) and min(known) <= name <= max(known)
    }
    calls = [one for one in all_calls if one.hour in hours]
    callers = sorted({one.caller for one in calls if one.is_lacking})
    if not callers:
        return None
    finest = _finest(hours.values(), len({(one.rate_key, one.caller) for one in calls}))
    used = {name: hour for name, hour in hours.items() if hour.has(finest)}
    seen = [one for one in calls if one.hour in used]
    left_out = {*totals, *(one.hour for one in all_calls)} - used.keys()
    edges = _is_edge(used, left_out | {_text(_moment(times.start) - _HOUR), times.end})
    detail = _detail(used, seen, callers, edges, finest)
    observed = _observed(db, series, times, used, detail, finest)
    sizes = [size for size in SIZES if size >= finest]
    candidates, by_input = [coarser(observed, size) for size in sizes], list[Observed]()
    if detail.sizes is not None:
        weighed = replace(observed, calls=joined(detail.sizes, detail.owner))
        by_input = [coarser(weighed, size) for size in sizes]
    reported = _reported(db, series, times, hours, callers)
    return WindowData(callers, candidates, by_input, reported, detail)


def _totals(db: Database, series: Series, times: Times) -> dict[str, _Hour]:
    hours: dict[str, _Hour] = defaultdict(_Hour)
    for total in hour_totals(db, series, times):
        hours[total.hour].totals[total.kind] = total.value
        hours[total.hour].is_provisional |= total.is_provisional
    for fine in fine_totals(db, series, times):
        if fine.hour in hours:
            # The same usage may be there under two names; the larger is the whole.
            key, known = (fine.kind, fine.seconds), hours[fine.hour].fine
            values = _BY_MINUTE.decode(fine.values)
            known[key] = max(known.get(key, {}), values, key=_total)
    return hours


def _total(values: Values) -> int:
    return sum(values.values())


def _finest(hours: Collection[_Hour], columns: int) -> int:
    most = _MOST_CELLS // max(columns, 1)
    return next(
        size
        for size in SIZES
        if size == SIZES[-1] or (WINDOW.total_seconds() / size <= most and _is_mostly(hours, size))
    )


def _is_mostly(hours: Iterable[_Hour], size: int) -> bool:
    found = [hour.has(size) for hour in hours]
    return 2 * sum(found) >= len(found)


def _detail(
    hours: Mapping[str, _Hour],
    calls: Iterable[MinuteCalls],
    callers: list[Caller],
    is_edge: NDArray[np.bool_],
    size: int,
) -> Detail:
    at = _places(hours)
    numbers = {caller: number for number, caller in enumerate(callers)}
    columns: dict[Column, int] = {}
    lacking, present, told, told_input = (_Minutes() for _ in range(4))
    for one in calls:
        minutes = _BY_MINUTE.decode(one.minutes)
        present.add(at[one.hour], numbers.setdefault(one.caller, len(numbers)), minutes)
        if one.is_lacking:
            column = columns.setdefault((one.rate_key, *one.caller), len(columns))
            lacking.add(at[one.hour], column, minutes)
            if one.input is not None:
                told.add(at[one.hour], column, minutes)
                told_input.add(at[one.hour], column, _BY_MINUTE.decode(one.input))
    names: list[str | None] = [None] * (max(at.values()) + 1)
    for name, place in at.items():
        names[place] = name
    is_counted = [name is not None and "calls" in hours[name].totals for name in names]
    count, width = len(names), len(columns)
    without = lacking.table(count, width, size)
    return Detail(
        hours=names,
        columns=list(columns),
        owner=np.array([numbers[user, app] for _, user, app in columns]),
        calls=without,
        present=present.table(count, len(numbers), size),
        is_counted=np.repeat(np.array(is_counted), 3600 // size),
        is_edge=is_edge,
        sizes=_sizes(without, told.table(count, width, size), told_input.table(count, width, size)),
    )


def _sizes(calls: Array, told: Array, tokens: Array) -> Array | None:
    """Return calls by their input; those that do not tell it have their caller's mean."""
    if 2 * told.sum() < calls.sum() or tokens.sum() == 0:
        return None
    mean = tokens.sum() / told.sum()
    known = told.sum(axis=0)
    each = np.where(known > 0, tokens.sum(axis=0) / np.maximum(known, 1), mean)
    sizes: Array = (tokens + (calls - told) * each) / mean
    return sizes


def _places(hours: Iterable[str]) -> dict[str, int]:
    first = _moment(min(hours))
    return {name: (_moment(name) - first) // _HOUR for name in hours}


def _is_edge(hours: Iterable[str], left_out: set[str]) -> NDArray[np.bool_]:
    first, last = _moment(min(hours)), _moment(max(hours))
    count = (last - first) // _HOUR + 1
    is_out = np.array([_text(first + n * _HOUR) in left_out for n in range(-1, count + 1)])
    return np.stack([is_out[:-2], is_out[2:]], axis=1)


def _observed(
    db: Database,
    series: Series,
    times: Times,
    hours: Mapping[str, _Hour],
    detail: Detail,
    size: int,
) -> Observed:
    at, count = _places(hours), len(detail.hours)
    tokens, invocations, known = _Minutes(), _Minutes(), _Minutes()
    for name, hour in hours.items():
        tokens.add(at[name], 0, hour.values(series.token_kind, size))
        invocations.add(at[name], 0, hour.values("calls", size))
    for name, text in known_minutes(db, series, times):
        if name in at:
            known.add(at[name], 0, _BY_MINUTE.decode(text))
    events = detail.present.sum(axis=1)
    begin = int((_moment(min(hours)) - _EPOCH).total_seconds())
    return Observed(
        size=size,
        starts=begin + np.arange(count * 3600 // size) * size,
        calls=joined(detail.calls, detail.owner),
        events=events,
        invocations=np.where(detail.is_counted, invocations.sums(count, size), events),
        tokens=tokens.sums(count, size),
        known=known.sums(count, size),
    )


def _reported(
    db: Database, series: Series, times: Times, hours: Mapping[str, _Hour], callers: list[Caller]
) -> tuple[Array, Array]:
    sums: dict[Caller, NDArray[np.float64]] = defaultdict(lambda: np.zeros(2))
    for name, caller, calls, tokens in known_usage(db, series, times):
        if name in hours:
            sums[caller] += (calls, tokens)
    reported = np.array([sums[caller] for caller in callers])
    return reported[:, 0], reported[:, 1]


def _moment(hour: str) -> datetime:
    return datetime.fromisoformat(hour.removesuffix("Z"))


def _text(moment: datetime) -> str:
    return f"{moment.isoformat()}Z"
