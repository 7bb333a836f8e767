"""Calibrate the windows whose data changed, one after the other, within a time limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

import numpy as np
from sqlite_utils import Database

from etl.calibrate.bounds import ends
from etl.calibrate.observed import WindowData, observe, read_calls, window_of
from etl.calibrate.outcome import Outcome
from etl.calibrate.shares import hour_shares, methods
from etl.estimate.calibrate import Calibration, calibrate, is_better
from etl.estimate.lag import Array
from etl.warehouse.calibrations import (
    BY_CALL,
    BY_INPUT,
    HourShare,
    Series,
    Times,
    Weight,
    Window,
    billed_calls,
    note_done,
    prepare,
    save_window,
    series_to_fit,
)


def calibrate_all(
    db: Database, *, now: datetime | None = None, is_late: Callable[[], bool] = lambda: False
) -> Outcome:
    """Fit what changed, the newest window first, and share again what follows from it.

    ``is_late``: asked between series; those left keep their earlier weights until next time, which
    goes on with them.
    """
    windows = sorted({window_of(hour) for hour in prepare(db)}, reverse=True)
    series: set[Series] = set()
    used: set[Series] = set()
    changed = done = 0
    for times in windows:
        if is_late():
            break
        due, kept = series_to_fit(db, times)
        found, left = fit_window(db, times, due, is_late)
        changed += save_window(db, times, found, left, kept)
        series |= set(found)
        used |= {one for one, window in found.items() if window.is_used}
        if left:
            break
        done += 1
    if done == len(windows):
        note_done(db, now)
    return Outcome(done, len(series), len(used), changed, len(windows) - done)


def fit_window(
    db: Database, times: Times, due: Sequence[Series], is_late: Callable[[], bool]
) -> tuple[dict[Series, Window], list[Series]]:
    """Return the weights of series in a window, at least of one, and the series left."""
    found = dict[Series, Window]()
    calls, model, billed = None, None, billed_calls(db, times)
    for number, series in enumerate(due):
        if found and is_late():
            return found, [*due[number:]]
        if calls is None or model != series[:4]:
            calls, model = read_calls(db, series, times), series[:4]
        data = observe(db, series, times, calls, billed.get(series, {}))
        if data is not None:
            found[series] = _fit(data)
    return found, []


def _fit(data: WindowData) -> Window:
    found, unit = _best(data)
    is_used = found.is_calibrated or unit == BY_INPUT
    shares = hour_shares(data, found, is_used=is_used, unit=unit)
    return Window(
        unit=unit,
        bucket_seconds=found.size,
        buckets=len(found.equations.tokens),
        average_weight=max(round(1000 * found.fit.average), 1),
        held_out_gain=round(found.evidence.gain, 4) if found.evidence else 0.0,
        is_used=is_used,
        weights=tuple(_weights(data, found, unit, shares)) if is_used else (),
        shares=shares,
    )


def _weights(
    data: WindowData, found: Calibration, unit: str, shares: Iterable[HourShare]
) -> Iterator[Weight]:
    errors = np.sqrt(np.diag(found.fit.covariance))[found.group]
    per_call = found.weights * _units_per_call(data, unit)
    low, high = ends(data, found, shares)
    columns = (per_call, errors, found.group, methods(found, is_used=True), low, high)
    for (user, application), weight, error, group, method, least, most in zip(
        data.callers, *(column.tolist() for column in columns), strict=True
    ):
        mean = max(round(1000 * weight), 1)
        rest = (round(error, 4), group, method, least, most)
        yield Weight(user, application, mean, *rest)


def _best(data: WindowData) -> tuple[Calibration, str]:
    """Fit tokens per call and, where they are known, tokens per input token; return the better."""
    by_call = calibrate(data.candidates, data.known)
    if data.by_input:
        # Without the calls whose cached tokens are known: their input is not told by itself.
        by_input = calibrate(data.by_input)
        if is_better(by_input, by_call):
            return by_input, BY_INPUT
    return by_call, BY_CALL


def _units_per_call(data: WindowData, unit: str) -> Array:
    if unit == BY_CALL:
        return np.ones(len(data.callers))
    sizes, calls = (one[0].calls.sum(axis=0) for one in (data.by_input, data.candidates))
    per_call: Array = sizes / np.maximum(calls, 1)
    return per_call
