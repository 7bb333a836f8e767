"""How far off the shares of a window may be, for each caller.

Two things are known: what was counted while nobody else called is certain, and a fit knows its own
error. So the interval is one of the rest, as a part of it; the same part serves for each hour of
the window, and the parts of hours and days add up to the window's interval.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from etl.calibrate.observed import WindowData
from etl.estimate import intervals
from etl.estimate.calibrate import Calibration
from etl.estimate.groups import joined
from etl.estimate.lag import Array
from etl.warehouse.calibrations import HourShare

# Ends are stored in millionths, up to this many times the share.
_WHOLE, _MOST = 1_000_000, 1_000

# A rest smaller than a token is nothing to take parts of.
_LEAST = 1.0


def ends(
    data: WindowData, found: Calibration, shares: Iterable[HourShare]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return both ends of what each caller has but for what is certain, in millionths of it.

    The members of a group have at least what is certain, and at most what the group may have.
    """
    group = found.group
    mine, off = _errors(found)
    alone = _alone(data, shares)
    certain = joined(alone, group)
    sure = intervals.Sure(certain, np.maximum(mine.sum() - (certain.sum() - certain), certain))
    low, high = intervals.interval(mine, off, sure)
    calls = data.candidates[0].calls.sum(axis=0)
    part = calls / np.maximum(joined(calls, group), 1e-300)[group]
    rest = mine[group] * part - alone
    others = certain[group] - alone
    at_least = np.where(np.bincount(group)[group] == 1, low[group], alone)
    bounds = np.array([at_least - alone, high[group] - others - alone])
    # Who always called alone: the part serves for other hours.
    factor = intervals.factors(np.maximum(mine, _LEAST), off)[group]
    usual = np.array([1 / factor, factor])
    parts = np.where(rest >= _LEAST, bounds / np.maximum(rest, _LEAST), usual)
    lower, upper = np.clip(parts[0], 0, 1), np.clip(parts[1], 1, _MOST)
    return _millionths(lower), _millionths(upper)


def _millionths(parts: Array) -> NDArray[np.int64]:
    return np.rint(parts * _WHOLE).astype(np.int64)


def _errors(found: Calibration) -> tuple[Array, Array]:
    """Return the share of each group, and its standard error.

    Equal weights that are used in place of the fitted ones are also off by the difference.
    """
    fitted, off = intervals.standard_errors(found.fit, found.equations)
    if found.is_calibrated:
        return fitted, off
    first = np.unique(found.group, return_index=True)[1]
    used = intervals.expected_shares(found.weights[first], found.equations)
    return used, np.hypot(off, used - fitted)


def _alone(data: WindowData, shares: Iterable[HourShare]) -> Array:
    """Return what each caller has for certain, in tokens."""
    numbers = {caller: number for number, caller in enumerate(data.callers)}
    alone = np.zeros(len(numbers))
    for share in shares:
        if share.alone:
            alone[numbers[share.user_key, share.application_key]] += share.alone / 1000
    return alone
