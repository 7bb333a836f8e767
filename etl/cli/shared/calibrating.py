"""Calibrate after a sync, and report the result; ``calibrate`` and ``sync``."""

from __future__ import annotations

from collections.abc import Callable

from sqlite_utils import Database

from etl.calibrate.outcome import Outcome, calibrate_if_due, share_by_calls
from etl.clock import Clock
from etl.config import Config
from etl.warehouse.calibrations import is_waiting

# How long a sync may calibrate; what is left keeps its earlier weights until the next one.
_SYNC_SECONDS = 10.0


def calibrate_after_sync(
    db: Database, config: Config, clock: Clock, report: Callable[[str], None]
) -> None:
    """Calibrate when due, or drop the weights if the configuration shares by calls."""
    if config.estimate.allocation == "calls":
        if share_by_calls(db):
            report("Shared by calls")
        return
    end = clock.monotonic() + _SYNC_SECONDS
    outcome = calibrate_if_due(
        db,
        now=clock.now(),
        is_late=lambda: clock.stop.is_set() or clock.monotonic() >= end,
    )
    if outcome.changed or outcome.left:
        report(outcome_line(outcome))


def report_waiting(db: Database, report: Callable[[str], None]) -> None:
    """Say what follows after calls were counted or attributed again."""
    if is_waiting(db):
        report("Estimates are less precise until the next `bedrock-usage calibrate`; sync runs it")


def outcome_line(outcome: Outcome) -> str:
    """Return the result in a line."""
    if not outcome.windows and not outcome.left:
        return "Calibrated: nothing changed since the last time"
    text = f"Calibrated {outcome.used:,} of {outcome.series:,} series"
    if not outcome.changed:
        text += ", as before"
    if outcome.left:
        text += (
            f"; {outcome.left:,} spans of 14 days not reached in time: run"
            " `bedrock-usage calibrate --time-limit 1h`"
        )
    return text
