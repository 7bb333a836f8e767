"""Repeat a sync for ever: every so often, sooner after a failure that may pass, until stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from etl.clock import Clock
from etl.errors import BedrockUsageError, ConfigError, SourceError, StoppedError, WarehouseError

# After a failure: half a minute, then twice as long each time, up to the usual pause.
FIRST_PAUSE = timedelta(seconds=30)

_OUTSIDE = (SourceError, WarehouseError)


def repeat(
    run: Callable[[], bool], every: timedelta, clock: Clock, tell: Callable[[str], None]
) -> None:
    """Call ``run`` until a stop is asked for; runs start ``every`` apart, or follow each other.

    ``run`` returns whether all went well, or only what time will not mend did not. What it raises
    for a reason outside of the program (AWS, the disk) is told, and tried again. So is a
    ConfigError, because the file may be edited meanwhile; but one of the first run is raised.
    """
    failures, is_first = 0, True
    while not clock.stop.is_set():
        started = clock.monotonic()
        survived = _OUTSIDE if is_first else (*_OUTSIDE, ConfigError)
        failures = 0 if _run(run, tell, survived) else failures + 1
        is_first = False
        pause = min(every, FIRST_PAUSE * 2 ** min(failures - 1, 20)) if failures else every
        try:
            clock.sleep(started + pause.total_seconds() - clock.monotonic())
        except StoppedError:
            return


def _run(
    run: Callable[[], bool],
    tell: Callable[[str], None],
    survived: tuple[type[BedrockUsageError], ...],
) -> bool:
    try:
        return run()
    except StoppedError:
        return True
    except survived as error:
        tell(str(error))
        return False
