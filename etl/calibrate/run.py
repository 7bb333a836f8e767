"""Calibrate one series after the other, within a time limit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sqlite_utils import Database

from etl.calibrate.observed import WindowData, windows
from etl.calibrate.outcome import Outcome
from etl.estimate.calibrate import calibrate
from etl.warehouse.calibrations import (
    Weight,
    Window,
    drop_calibrations,
    note_done,
    prepare,
    save_windows,
    series_to_share,
)


def calibrate_all(db: Database, *, is_late: Callable[[], bool] = lambda: False) -> Outcome:
    """Fit every series that calls lack, and share again what changes.

    ``is_late``: asked before each series; what is left keeps its earlier weights.
    """
    prepare(db)
    found = series_to_share(db)
    used = changed = done = 0
    for series in found:
        if is_late():
            break
        fitted = [fit_window(data) for data in windows(db, series)]
        changed += save_windows(db, series, fitted)
        used += any(window.is_used for window in fitted)
        done += 1
    if done == len(found):
        drop_calibrations(db, found)
        note_done(db)
    return Outcome(done, used, changed, len(found) - done)


def fit_window(data: WindowData) -> Window:
    """Return the weights of one window."""
    found = calibrate(data.candidates, data.known)
    errors = np.sqrt(np.diag(found.fit.covariance))[found.group]
    weights = tuple(
        Weight(*caller, max(round(1000 * float(weight)), 1), round(float(error), 4), int(group))
        for caller, weight, error, group in zip(
            data.callers, found.weights, errors, found.group, strict=True
        )
    )
    return Window(
        start=data.start,
        bucket_seconds=found.size,
        buckets=len(found.equations.tokens),
        average_weight=max(round(1000 * found.fit.average), 1),
        held_out_gain=round(found.evidence.gain, 4) if found.evidence else 0.0,
        is_used=found.is_calibrated,
        weights=weights if found.is_calibrated else (),
    )
