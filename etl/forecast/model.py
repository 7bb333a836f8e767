"""What some days to come may cost, given what days before them cost.

Weeks are counted back from the last known day. A week's *level* is what an average day of it costs;
a weekday's *factor* is the median of its share of that, over the weeks. What a day is expected to
cost is the level times its weekday's factor, where the level is the median of the latest weeks,
carried on by a trend that is damped: what grew so far goes on growing, but ever less. Medians, and
a limit to what a single day adds to its week, keep a spike from being expected again.

How far off that may be is found by doing the same on earlier days and comparing with what came.
Few such comparisons tell little, so the band is no narrower than they and a usual error together.

A day is its ordinal (``date.toordinal``), a cost any unit. A day without use costs 0; a day of
which the cost is not known is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

# Two of each weekday.
ENOUGH_DAYS = 14

_WEEK = 7
# Weeks that tell the factors of weekdays and the trend, and those that tell the level.
_WEEKS = 12
_LEVEL_WEEKS = 3
_TREND_WEEKS = 4
# A week with fewer known days tells nothing.
_DAYS_OF_WEEK = 4
# A day adds at most so many times what its weekday usually costs.
_SPIKE = 3.0
# What is left of the trend after each week.
_DAMPING = 0.6
# Nine in ten of normally distributed values are within so many standard deviations.
_BAND = 1.645
# The usual error of a sum over so many days or more, and how many comparisons it is worth.
_USUAL_ERROR = 0.2
_USUAL_DAYS = 14
_USUAL_WEIGHT = 2.0
# Comparisons, the latest first.
_COMPARISONS = 12
# So many of them share a day.
_OVERLAPPING = 3


class Forecast(NamedTuple):
    """The sum over the days asked for, and the ends of the band that it is in nine times of ten.

    ``by_day``: what each of the days is expected to cost, in their order.
    """

    middle: float
    low: float
    high: float
    by_day: tuple[float, ...]


def forecast(costs: Mapping[int, float], rest: Sequence[int]) -> Forecast | None:
    """Return what the days ``rest`` may cost together. None: too few days are known.

    ``costs`` begins with the first use. ``rest`` may contain days between those that are known.
    """
    if len(costs) < ENOUGH_DAYS:
        return None
    if not rest:
        return Forecast(0.0, 0.0, 0.0, ())
    last = max(costs)
    by_day = _expected(costs, last, rest)
    middle = sum(by_day)
    off = _usual_error(costs, last, len(rest))
    low, high = middle * math.exp(-_BAND * off), middle * math.exp(_BAND * off)
    return Forecast(middle, low, high, tuple(by_day))


class _Level(NamedTuple):
    """What a week's days cost on average, ``weeks`` before the latest one."""

    weeks: int
    cost: float


def _expected(costs: Mapping[int, float], last: int, rest: Sequence[int]) -> list[float]:
    """Return what each day of ``rest`` is expected to cost, as known at the end of ``last``."""
    factors = _factors(costs, last)
    levels = _levels(costs, last, factors)
    if not levels:
        return [0.0] * len(rest)
    trend = _trend(levels)
    latest = levels[:_LEVEL_WEEKS]
    level = max(0.0, median(one.cost + trend * one.weeks for one in latest))
    # From the middle of the latest week.
    weeks = ((day - last + 3) / _WEEK for day in rest)
    return [
        factors[day % _WEEK] * max(0.0, level + trend * _damped(after))
        for day, after in zip(rest, weeks, strict=True)
    ]


def _damped(weeks: float) -> float:
    """Return for how many weeks a trend that is damped has to count."""
    if weeks <= 0:
        return weeks
    return (1 - math.pow(_DAMPING, weeks)) / -math.log(_DAMPING)


def _factors(costs: Mapping[int, float], last: int) -> list[float]:
    """Return each weekday's factor; together they are seven."""
    shares: list[list[float]] = [[] for _ in range(_WEEK)]
    for weeks in range(_WEEKS):
        days = _week(costs, last, weeks)
        mean = sum(days.values()) / len(days) if len(days) >= _DAYS_OF_WEEK else 0.0
        if mean > 0:
            for day, cost in days.items():
                shares[day % _WEEK].append(cost / mean)
    factors = [median(found) if found else 1.0 for found in shares]
    whole = sum(factors)
    return [factor * _WEEK / whole for factor in factors] if whole > 0 else [1.0] * _WEEK


def _week(costs: Mapping[int, float], last: int, weeks: int) -> dict[int, float]:
    end = last - _WEEK * weeks
    return {day: costs[day] for day in range(end - _WEEK + 1, end + 1) if day in costs}


def _levels(costs: Mapping[int, float], last: int, factors: Sequence[float]) -> list[_Level]:
    """Return the levels of the weeks, the latest first, without what spikes add."""
    weeks = ((number, _week(costs, last, number)) for number in range(_WEEKS))
    return [
        _Level(number, _level(days, factors))
        for number, days in weeks
        if len(days) >= _DAYS_OF_WEEK
    ]


def _level(days: Mapping[int, float], factors: Sequence[float]) -> float:
    """Return what an average day of a week costs, without what spikes add."""
    usual = [(day, factors[day % _WEEK]) for day in days if factors[day % _WEEK] > 0]
    if not usual:
        return sum(days.values()) / len(days)
    most = _SPIKE * median(days[day] / factor for day, factor in usual)
    kept = sum(min(days[day], most * factor) if most > 0 else days[day] for day, factor in usual)
    return kept / sum(factor for _, factor in usual)


def _trend(levels: Sequence[_Level]) -> float:
    """Return by how much the level grows each week: the median over all pairs of weeks.

    Where the pairs do not agree on the direction, there is less of a trend or none.
    """
    if len(levels) < _TREND_WEEKS:
        return 0.0
    slopes = [
        (new.cost - old.cost) / (old.weeks - new.weeks)
        for at, new in enumerate(levels)
        for old in levels[at + 1 :]
    ]
    middle = median(slopes)
    agreeing = sum(slope * middle > 0 for slope in slopes) / len(slopes)
    return middle * max(0.0, 2 * agreeing - 1)


def _usual_error(costs: Mapping[int, float], last: int, days: int) -> float:
    """Return the standard deviation of the logarithm of a sum over so many days.

    Shorter sums are compared where there are not enough days; what they are off by grows with the
    root of the root: errors of days cancel out, those of the level do not.
    """
    first = min(costs)
    span = max(1, min(days, (last - first + 1 - ENOUGH_DAYS) // 2))
    squares = [_off(*pair) ** 2 for pair in _comparisons(costs, last, span)]
    usual = _USUAL_ERROR**2 * max(1.0, _USUAL_DAYS / days)
    # They overlap, and so tell less than as many that do not.
    weight = len(squares) / _OVERLAPPING
    found = (sum(squares) / _OVERLAPPING + _USUAL_WEIGHT * usual) / (weight + _USUAL_WEIGHT)
    return math.sqrt(found * math.sqrt(days / span))


def _comparisons(costs: Mapping[int, float], last: int, span: int) -> Iterator[tuple[float, float]]:
    """Yield what sums of ``span`` days were expected to be, and what they were."""
    earliest = min(costs) + ENOUGH_DAYS - 1
    step = -max(1, span // _OVERLAPPING)
    for origin in list(range(last - span, earliest - 1, step))[:_COMPARISONS]:
        known = [day for day in range(origin + 1, origin + span + 1) if day in costs]
        before = {day: cost for day, cost in costs.items() if day <= origin}
        if known and len(before) >= ENOUGH_DAYS:
            yield sum(_expected(before, origin, known)), sum(costs[day] for day in known)


def _off(expected: float, came: float) -> float:
    """Return the logarithm of the ratio, at most that of five."""
    least = max(expected, came) / 5
    if least <= 0:
        return 0.0
    return math.log(max(expected, least) / max(came, least))
