"""Pace requests, because AWS throttles some operations far below what a client can send.

Per account and region, LookupEvents allows two requests a second (CloudTrail user guide, "Quotas",
checked 2026-11-25) and FilterLogEvents five (AWS re:Post, "How do I determine throttling in my
CloudWatch logs?", checked 2026-11-25), whoever makes them. So the process has one limiter for each,
and every request and every retry goes through it.
"""

from __future__ import annotations

import threading

from etl.clock import Clock

# A little under two a second: a request that the network delays by 80 ms must not arrive within a
# second of the second request after it.
LOOKUP_SECONDS = 0.54

# A little under five a second.
LOGS_SECONDS = 0.22

_limiters: dict[tuple[str, str, str], Limiter] = {}
_registry = threading.Lock()


class Limiter:
    """Starts one request at a time, at least ``seconds`` apart."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._last = float("-inf")

    def wait(self, clock: Clock) -> None:
        """Return when a request may start. Raises StoppedError on a stop request."""
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
