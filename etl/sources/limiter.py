"""Pace requests, because AWS throttles some operations far below what a client can ask.

LookupEvents allows two requests a second per account and region (CloudTrail user guide, "Quotas",
checked 2026-11-25), FilterLogEvents five (AWS re:Post, "How do I determine throttling in my
CloudWatch logs?", checked 2026-11-25), whoever asks. So there is one limiter for each of those in
the process, and every request and every retry goes through it.
"""

from __future__ import annotations

import threading

from etl.clock import Clock

# A little under two a second: a request that the network holds up for 80 ms must not arrive
# within a second of the second one after it.
LOOKUP_SECONDS = 0.54

# A little under five a second.
LOGS_SECONDS = 0.22

_limiters: dict[tuple[str, str, str], Limiter] = {}
_registry = threading.Lock()


class Limiter:
    """Lets one request start at a time, and the next only ``seconds`` later."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._last = float("-inf")

    def wait(self, clock: Clock) -> None:
        """Return when a request may start; raise StoppedError when a stop is asked for."""
        with self._lock:
            remaining = self._last + self._seconds - clock.monotonic()
            if remaining > 0:
                clock.sleep(min(remaining, self._seconds))
            self._last = clock.monotonic()


def lookup_limiter(account_id: str, region: str) -> Limiter:
    """Return the process's limiter for LookupEvents in this account and region."""
    return _limiter("LookupEvents", account_id, region, LOOKUP_SECONDS)


def logs_limiter(account_id: str, region: str) -> Limiter:
    """Return the process's limiter for FilterLogEvents in this account and region."""
    return _limiter("FilterLogEvents", account_id, region, LOGS_SECONDS)


def _limiter(operation: str, account_id: str, region: str, seconds: float) -> Limiter:
    with _registry:
        return _limiters.setdefault((operation, account_id, region), Limiter(seconds))
