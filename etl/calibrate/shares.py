"""Share each bucket's tokens by calls times weights, and add the shares up by the hour.

An hour's shares only say the proportion in which CloudWatch's total of that hour is shared. Tokens
that belong to calls of the hour before are in the hour in which CloudWatch counts them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from etl.calibrate.observed import SIZES, Detail, WindowData
from etl.estimate import intervals, lag
from etl.estimate.calibrate import Calibration, Observed, coarser, summed
from etl.estimate.lag import Array
from etl.estimate.share import parts
from etl.warehouse.calibrations import BY_INPUT, CALIBRATED, CALLS, SINGLE, HourShare

# Shares are stored in thousandths of a token.
_PER_TOKEN = 1000


def hour_shares(
    data: WindowData, found: Calibration, *, is_used: bool, unit: str
) -> list[HourShare]:
    """Return the shares of the hours of a window; none of hours that are shared by calls alone.

    With weights (``is_used``), of all hours that are known in shorter periods, or in which sizes of
    calls are known; without, of those in which some bucket has a single caller.
    """
    finest = data.candidates[0]
    size = found.size if is_used else finest.size
    observed, step = coarser(finest, size), size // finest.size
    calls = summed(data.detail.calls, step)
    sizes = data.detail.sizes if unit == BY_INPUT else None
    counted = calls if sizes is None else summed(sizes, step)
    kernel, owner = _kernel(observed), data.detail.owner
    single = _single(data.detail, observed, lag.reach(kernel), step)
    due = lag.shifted(counted, kernel) * found.weights[owner]
    # What a kernel moves further than it reaches is nothing where somebody calls alone.
    due[(single >= 0)[:, None] & (single[:, None] != owner)] = 0
    left = np.maximum(observed.tokens - lag.shifted(observed.known, kernel), 0)
    shares = parts(due, left)
    whole, sure = (
        np.rint(summed(one, SIZES[-1] // size) * _PER_TOKEN).astype(np.int64)
        for one in (shares, shares * (single >= 0)[:, None])
    )
    is_shared = whole.max(axis=1) >= _PER_TOKEN
    if not is_used or (size == SIZES[-1] and sizes is None):
        is_shared &= sure.any(axis=1)
    usual = methods(found, is_used=is_used)[owner]
    lacking = summed(calls, SIZES[-1] // size).astype(np.int64)
    return list(_rows(data.detail, is_shared, lacking, whole, sure, usual))


def _single(detail: Detail, observed: Observed, reach: int, step: int) -> NDArray[np.int64]:
    """Return each bucket's only caller, or -1; also where calls that are not here may reach."""
    single = intervals.single_callers(
        summed(detail.present, step), observed.invocations, reach, detail.is_counted[::step]
    )
    by_hour = single.reshape(len(detail.hours), -1)
    by_hour[detail.is_edge[:, 0], :reach] = -1
    by_hour[detail.is_edge[:, 1], -reach:] = -1
    return by_hour.ravel()


def _kernel(observed: Observed) -> Array:
    """Return the lag's kernel; of hours, only that of an hour's last calls is another one's."""
    if observed.size == SIZES[-1]:
        return np.ones(1)
    return lag.kernel(observed.events, observed.invocations, lag.taps(observed.size))


def methods(found: Calibration, *, is_used: bool) -> NDArray[np.int64]:
    """Return how each caller's share comes about, where it is not the only caller."""
    members = np.bincount(found.group)[found.group]
    return np.where(is_used & (members == 1), CALIBRATED, CALLS)


def _rows(
    detail: Detail,
    is_shared: NDArray[np.bool_],
    calls: NDArray[np.int64],
    whole: NDArray[np.int64],
    sure: NDArray[np.int64],
    usual: NDArray[np.int64],
) -> Iterator[HourShare]:
    hour, column = np.nonzero(is_shared[:, None] & ((calls > 0) | (whole > 0)))
    due = whole[hour, column]
    alone = np.minimum(sure[hour, column], due)
    method = np.where((due > 0) & (alone == due), SINGLE, usual[column])
    rows = (hour, column, calls[hour, column], due, alone, method)
    for at, who, *values in zip(*(one.tolist() for one in rows), strict=True):
        name = detail.hours[at]
        if name is not None:
            yield HourShare(name, *detail.columns[who], *values)
