"""Repeat a sync at an interval until stopped, and sooner after a transient failure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from etl.clock import Clock
from etl.errors import BedrockUsageError, ConfigError, SourceError, StoppedError, WarehouseError

# After a failure: half a minute, then twice as long each time, up to the usual pause.
FIRST_PAUSE = timedelta(seconds=30)

_OUTSIDE = (SourceError, WarehouseError)


def repeat(
    run: Callable[[], bool], every: timedelta, clock: Clock, report: Callable[[str], None]
) -> None:
    """Call ``run`` until a stop request. Runs start ``every`` apart, or one after the other.

    ``run`` returns False if something failed that may succeed later. An error with a cause outside
    the program (AWS, the disk) is reported, and the run is tried again. So is a ConfigError,
    because the file may be edited meanwhile; but a ConfigError of the first run is raised.
    """
    failures, is_first = 0, True
    while not clock.stop.is_set():
        started = clock.monotonic()
        survived = _OUTSIDE if is_first else (*_OUTSIDE, ConfigError)
        failures = 0 if _run(run, report, survived) else failures + 1
        is_first = False
        pause = min(every, FIRST_PAUSE * 2 ** min(failures - 1, 20)) if failures else every
        try:
            clock.sleep(started + pause.total_seconds() - clock.monotonic())
        except StoppedError:
            return


def _run(
    run: Callable[[], bool],
    report: Callable[[str], None],
    survived: tuple[type[BedrockUsageError], ...],
) -> bool:
    try:
        return run()
    except StoppedError:
        return True
    except survived as error:
        report(str(error))
        return False
