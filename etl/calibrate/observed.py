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
    Counted,
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


@dataclass(frozen=True)
class ModelCalls:
    """All successful calls of a model in a window, with a row for each of ``call_minutes``.

    ``hours``, ``columns``: the names, to which ``hour`` and ``column`` refer. ``unknown_kinds``: as
    stored; ``tells_input``: whether ``inputs`` are known. By row and minute: ``row``, ``minutes``,
    ``values``, ``inputs``.
    """

    hours: list[str]
    columns: list[Column]
    hour: NDArray[np.int64]
    column: NDArray[np.int64]
    unknown_kinds: NDArray[np.int64]
    tells_input: NDArray[np.bool_]
    row: NDArray[np.int64]
    minutes: NDArray[np.int64]
    values: Array
    inputs: Array


def read_calls(db: Database, series: Series, times: Times) -> ModelCalls:
    """Return the calls of a series' model, which its other kinds share."""
    hours, columns = dict[str, int](), dict[Column, int]()
    rows: list[tuple[int, int, int, bool, int]] = []
    minutes, values, inputs = list[int](), list[int](), list[int]()
    for hour, *column, kinds, text, told in minute_calls(db, series, times):
        calls = _BY_MINUTE.decode(text)
        minutes += calls.keys()
        values += calls.values()
        inputs += [0] * len(calls) if told is None else _BY_MINUTE.decode(told).values()
        at = hours.setdefault(hour, len(hours))
        number = columns.setdefault((column[0], column[1], column[2]), len(columns))
        rows.append((at, number, kinds, told is not None, len(calls)))
    table = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    return ModelCalls(
        hours=list(hours),
        columns=list(columns),
        hour=table[0],
        column=table[1],
        unknown_kinds=table[2],
        tells_input=table[3] > 0,
        row=np.repeat(np.arange(len(rows)), table[4]),
        minutes=np.array(minutes, dtype=np.int64),
        values=np.array(values, dtype=float),
        inputs=np.array(inputs, dtype=float),
    )


class _Calls:
    """The calls of the hours in question, to be added up into buckets.

    ``place``: of each row's hour, -1 where it is left out. ``lacks``: the rows in question that
    lack the kind.
    """

    def __init__(self, calls: ModelCalls, places: Mapping[str, int], series: Series) -> None:
        self.calls = calls
        places_of = np.array([places.get(name, -1) for name in calls.hours], dtype=np.int64)
        self.place = places_of[calls.hour]
        self.is_here = self.place >= 0
        self.lacks = self.is_here & (calls.unknown_kinds & series.kind_bit > 0)
        # The input of calls is of use for the other kinds of input alone.
        self.tells = self.lacks & calls.tells_input & series.is_cached

    def columns(self, rows: NDArray[np.bool_]) -> list[int]:
        """Return the numbers of the columns of some rows, in order."""
        numbers: list[int] = np.unique(self.calls.column[rows]).tolist()
        return numbers

    def table(
        self,
        rows: NDArray[np.bool_],
        shape: tuple[int, int],
        size: int,
        column: NDArray[np.int64],
        values: Array,
    ) -> Array:
        """Return sums of some rows: hours of buckets, and columns as ``column`` renumbers them."""
        calls, columns = self.calls, shape[1]
        chosen = rows[calls.row]
        row = calls.row[chosen]
        bucket = (self.place[row] * 60 + calls.minutes[chosen]) * 60 // size
        at, count = bucket * columns + column[calls.column[row]], shape[0] * 3600 // size
        sums = np.bincount(at, values[chosen], count * columns)
        return sums.reshape(count, columns).astype(float, copy=False)


def _sums(hours: Iterable[tuple[int, Values]], count: int, size: int) -> Array:
    """Return values by hour and minute, added up into the buckets of so many hours."""
    sums = np.zeros((count, 60))
    for hour, values in hours:
        sums[hour, list(values.keys())] += list(values.values())
    buckets: Array = sums.reshape(count * 3600 // size, -1).sum(axis=1)
    return buckets


def window_of(hour: str) -> Times:
    """Return the window that an hour belongs to."""
    start = _moment(hour) - (_moment(hour) - _EPOCH) % WINDOW
    return Times(_text(start), _text(start + WINDOW))


def observe(
    db: Database,
    series: Series,
    times: Times,
    all_calls: ModelCalls,
    billed: Mapping[Caller, Counted],
) -> WindowData | None:
    """Return a window of a series; None if no settled hour has calls that lack the kind.

    ``all_calls``: those of its model; ``billed``: what the bill knows of those that lack the kind.
    """
    kind = series.token_kind
    totals = _totals(db, series, times)
    known = [name for name, hour in totals.items() if kind in hour.totals] or [""]
    hours = {
        name: hour
        for name, hour in totals.items()
        if hour.is_settled(kind) and min(known) <= name <= max(known)
    }
    calls = _Calls(all_calls, _places(hours), series)
    callers = sorted({all_calls.columns[n][1:] for n in calls.columns(calls.lacks)})
    if not callers:
        return None
    finest = _finest(hours.values(), len(calls.columns(calls.is_here)))
    used = {name: hour for name, hour in hours.items() if hour.has(finest)}
    left_out = {*totals, *all_calls.hours} - used.keys()
    edges = _is_edge(used, left_out | {_text(_moment(times.start) - _HOUR), times.end})
    detail = _detail(used, _Calls(all_calls, _places(used), series), callers, edges, finest)
    observed = _observed(db, series, times, used, detail, finest)
    sizes = [size for size in SIZES if size >= finest]
    candidates, by_input = [coarser(observed, size) for size in sizes], list[Observed]()
    if detail.sizes is not None:
        weighed = replace(observed, calls=joined(detail.sizes, detail.owner))
        by_input = [coarser(weighed, size) for size in sizes]
    known_calls = _known(db, series, times, hours, callers, billed)
    return WindowData(callers, candidates, by_input, known_calls, detail)


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
    calls: _Calls,
    callers: list[Caller],
    is_edge: NDArray[np.bool_],
    size: int,
) -> Detail:
    numbers = {caller: number for number, caller in enumerate(callers)}
    all_columns = calls.calls.columns
    for column in calls.columns(calls.is_here):
        numbers.setdefault(all_columns[column][1:], len(numbers))
    owner = np.array([numbers.get(column[1:], -1) for column in all_columns])
    columns = calls.columns(calls.lacks)
    column_of = np.full(len(all_columns), -1)
    column_of[columns] = np.arange(len(columns))
    at = _places(hours)
    names: list[str | None] = [None] * (max(at.values()) + 1)
    for name, place in at.items():
        names[place] = name
    is_counted = [name is not None and "calls" in hours[name].totals for name in names]
    values, inputs = calls.calls.values, calls.calls.inputs
    shape = len(names), len(columns)
    without = calls.table(calls.lacks, shape, size, column_of, values)
    told, told_input = (
        calls.table(calls.tells, shape, size, column_of, one) for one in (values, inputs)
    )
    return Detail(
        hours=names,
        columns=[all_columns[column] for column in columns],
        owner=owner[columns],
        calls=without,
        present=calls.table(calls.is_here, (len(names), len(numbers)), size, owner, values),
        is_counted=np.repeat(np.array(is_counted), 3600 // size),
        is_edge=is_edge,
        sizes=_sizes(without, told, told_input) if calls.tells.any() else None,
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
    first = min(map(_moment, hours), default=_EPOCH)
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
    tokens, invocations = (
        _sums(((at[name], hour.values(kind, size)) for name, hour in hours.items()), count, size)
        for kind in (series.token_kind, "calls")
    )
    known = (
        (at[name], _BY_MINUTE.decode(text))
        for name, text in known_minutes(db, series, times)
        if name in at
    )
    events = detail.present.sum(axis=1)
    begin = int((_moment(min(hours)) - _EPOCH).total_seconds())
    return Observed(
        size=size,
        starts=begin + np.arange(count * 3600 // size) * size,
        calls=joined(detail.calls, detail.owner),
        events=events,
        invocations=np.where(detail.is_counted, invocations, events),
        tokens=tokens,
        known=_sums(known, count, size),
    )


def _known(
    db: Database,
    series: Series,
    times: Times,
    hours: Mapping[str, _Hour],
    callers: list[Caller],
    billed: Mapping[Caller, Counted],
) -> tuple[Array, Array]:
    sums: dict[Caller, NDArray[np.float64]] = defaultdict(lambda: np.zeros(2))
    for caller, found in billed.items():
        sums[caller] += found
    for name, caller, calls, tokens in known_usage(db, series, times):
        if name in hours:
            sums[caller] += (calls, tokens)
    known = np.array([sums[caller] for caller in callers])
    return known[:, 0], known[:, 1]


def _moment(hour: str) -> datetime:
    return datetime.fromisoformat(hour.removesuffix("Z"))


def _text(moment: datetime) -> str:
    return f"{moment.isoformat()}Z"
