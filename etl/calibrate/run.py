"""Calibrate one series after the other, within a time limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sqlite_utils import Database

from etl.calibrate.observed import WindowData, windows
from etl.estimate.calibrate import calibrate
from etl.warehouse.calibrations import (
    Weight,
    Window,
    drop_calibrations,
    prepare,
    save_windows,
    series_to_share,
)


class Outcome(NamedTuple):
    """How many series were fitted, how many use weights or changed, and how many are left."""

    series: int = 0
    used: int = 0
    changed: int = 0
    left: int = 0


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
    return Outcome(done, used, changed, len(found) - done)


def share_by_calls(db: Database) -> bool:
    """Drop all weights; return whether there were any."""
    return drop_calibrations(db)


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
