"""Attempts to log in, of which there may not be too many.

Counted by the name that is tried and by the address it is tried from: one address may not try many
names, and many addresses may not try one. Names that do not exist count alike, so that the answer
tells nothing.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

MAX_FAILURES = 5
WINDOW_SECONDS = 300.0

# Each key takes a few hundred bytes; more at once is an attack, which shall not take the memory.
MAX_KEYS = 10_000


class Attempts:
    """The failures of the last minutes. One that is under way counts as a failure until it ends."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def begin(self, keys: Iterable[str]) -> float:
        """Count an attempt and return 0, or return in how many seconds the next one is allowed."""
        keys = tuple(keys)
        wait = max(map(self._wait, keys))
        if wait <= 0:
            for key in keys:
                self._failures.setdefault(key, []).append(self._clock())
                self._failures.move_to_end(key)
            while len(self._failures) > MAX_KEYS:
                self._failures.popitem(last=False)
        return max(wait, 0.0)

    def take_back(self, keys: Iterable[str]) -> None:
        """Forget the last attempt: it was no failure."""
        for key in keys:
            failures = self._failures.get(key, [])
            if len(failures) > 1:
                failures.pop()
            else:
                self._failures.pop(key, None)

    def _wait(self, key: str) -> float:
        start = self._clock() - WINDOW_SECONDS
        failures = [moment for moment in self._failures.get(key, ()) if moment > start]
        if failures:
            self._failures[key] = failures
        else:
            self._failures.pop(key, None)
        if len(failures) < MAX_FAILURES:
            return 0.0
        return failures[-MAX_FAILURES] - start
