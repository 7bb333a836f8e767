"""Decide whether to calibrate, and say what came of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from sqlite_utils import Database

from etl.warehouse.calibrations import drop_calibrations, is_due


class Outcome(NamedTuple):
    """How many windows were fitted, and of how many series; how many of these use weights.

    ``changed``: series of windows with another outcome than before. ``left``: windows.
    """

    windows: int = 0
    series: int = 0
    used: int = 0
    changed: int = 0
    left: int = 0


def share_by_calls(db: Database) -> bool:
    """Drop all weights; return whether there were any."""
    return drop_calibrations(db)


def calibrate_if_due(db: Database, *, now: datetime, is_late: Callable[[], bool]) -> Outcome:
    """Calibrate if totals have settled or changed, as far as the time allows."""
    return calibrate_now(db, now=now, is_late=is_late) if is_due(db, now) else Outcome()


def calibrate_now(db: Database, *, now: datetime, is_late: Callable[[], bool]) -> Outcome:
    """Calibrate what changed, as far as the time allows."""
    # Most commands need no numpy, and most runs of sync do not calibrate.
    from etl.calibrate.run import calibrate_all

    return calibrate_all(db, now=now, is_late=is_late)
