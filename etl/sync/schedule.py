"""Repeat a sync for ever: every so often, sooner after a failure that may pass, until stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from etl.clock import Clock
from etl.errors import SourceError, StoppedError, WarehouseError

# After a failure: half a minute, then twice as long each time, up to the usual pause.
FIRST_PAUSE = timedelta(seconds=30)


def repeat(
    run: Callable[[], bool], every: timedelta, clock: Clock, tell: Callable[[str], None]
) -> None:
    """Call ``run`` until a stop is asked for; runs start ``every`` apart, or follow each other.

    ``run`` returns whether all went well, or only what time will not mend did not. What it raises
    for a reason outside of the program (AWS, the disk) is told, and tried again.
    """
    failures = 0
    while not clock.stop.is_set():
        started = clock.monotonic()
        failures = 0 if _run(run, tell) else failures + 1
        pause = min(every, FIRST_PAUSE * 2 ** min(failures - 1, 20)) if failures else every
        try:
            clock.sleep(started + pause.total_seconds() - clock.monotonic())
        except StoppedError:
            return


def _run(run: Callable[[], bool], tell: Callable[[str], None]) -> bool:
    try:
        return run()
    except StoppedError:
        return True
    except (SourceError, WarehouseError) as error:
        tell(str(error))
        return False
