"""Time for tests: virtual time that only moves when somebody sleeps.

``FakeClock`` stands in for ``etl.clock.Clock`` (same methods, same ``stop``), so that minutes of
polite waiting take no time, while the fake AWS that shares the clock still sees requests paced.
Time is a whole number of microseconds: twenty sleeps of 0.05 s are exactly one second, which a sum
of floats would not be, and a limiter's "one second later" has no rounding in it.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from etl.errors import StoppedError

# Where virtual time may begin: the day after the events that ``tests.support`` makes.
NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)


class Times(Protocol):
    """What the fake AWS needs of a clock."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...


class RealClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class FakeClock:
    """Virtual time from ``start`` on; ``sleeps`` has every wait asked for, in order."""

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
        """Let virtual time pass at once; raise StoppedError when a stop was asked for."""
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
