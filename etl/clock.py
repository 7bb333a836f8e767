"""Time, and the wish to stop, for everything that waits.

All waiting goes through one ``Clock``, so that a stop is noticed within a moment and tests need not
wait at all.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

from etl.errors import StoppedError


class Clock:
    """The real time. ``stop`` is set once, from a signal or another thread, and never cleared."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def now(self) -> datetime:
        """Return the current time in UTC, in whole seconds."""
        return datetime.now(UTC).replace(microsecond=0)

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; raise StoppedError at once when a stop is asked for."""
        if self.stop.wait(max(0.0, seconds)):
            raise StoppedError("stopped")

    def check(self) -> None:
        """Raise StoppedError if a stop was asked for."""
        if self.stop.is_set():
            raise StoppedError("stopped")
