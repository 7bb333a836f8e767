"""Time for tests: virtual time that moves only when something sleeps.

``FakeClock`` replaces ``etl.clock.Clock`` (same methods, same ``stop``). Minutes of waiting take no
time, while the fake AWS with the same clock still sees paced requests. Time is a whole number of
microseconds: twenty sleeps of 0.05 s are exactly one second, unlike a sum of floats, and a limiter's
"one second later" has no rounding error.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from etl.errors import StoppedError

# A start for virtual time: the day after the events of ``tests.support``.
NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)


class Times(Protocol):
    """What the fake AWS needs from a clock."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...


class RealClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class FakeClock:
    """Virtual time from ``start`` on; ``sleeps`` has every requested wait, in order."""

    def __init__(self, start: datetime) -> None:
        self.stop = threading.Event()
        self.sleeps: list[float] = []
        self._start = start.astimezone(UTC)
        self._passed = timedelta()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the current time in whole seconds, as ``etl.clock.Clock`` does."""
        return (self._start + self._passed).replace(microsecond=0)

    def monotonic(self) -> float:
        return self._passed.total_seconds()

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass at once; raise StoppedError after a stop request."""
        self.check()
        with self._lock:
            self.sleeps.append(seconds)
        self.advance(timedelta(seconds=max(0.0, seconds)))

    def check(self) -> None:
        if self.stop.is_set():
            raise StoppedError("stopped")

    def advance(self, by: timedelta) -> None:
        """Let time pass without a sleep, even after a stop."""
        with self._lock:
            self._passed += by
