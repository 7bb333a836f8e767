"""Time, and requests to stop, for everything that waits.

All waiting uses one ``Clock``: a stop is noticed at once, and tests do not wait.
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
        """Return seconds that never decrease."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; raise StoppedError at once when a stop is requested."""
        if self.stop.wait(max(0.0, seconds)):
            raise StoppedError("stopped")

    def check(self) -> None:
        """Raise StoppedError if a stop was requested."""
        if self.stop.is_set():
            raise StoppedError("stopped")
