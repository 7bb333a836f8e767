"""Attempts to log in, of which there may not be too many.

Counted by the name that is tried and by the address it is tried from: one address may not try many
names, and many addresses may not try one. Names that do not exist count alike, so that the answer
tells nothing.

The counts stand in a table of a fixed size, each name and address at a place that a hash with a
secret key gives it. So no number of other names takes much memory, or pushes one out that is
locked. That five failures of others fall into one's own place takes hundreds of thousands of tries
within minutes, and where they would, nobody can know.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import time
from collections.abc import Callable, Iterable

MAX_FAILURES = 5
WINDOW_SECONDS = 300.0

# Each takes some 300 bytes once it is used.
PLACES = 1 << 16


class Attempts:
    """The failures of the last minutes. One that is under way counts as a failure until it ends."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._failures: dict[int, list[float]] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def begin(self, keys: Iterable[str]) -> float:
        """Count an attempt and return 0, or return in how many seconds the next one is allowed."""
        places = [self._place(key) for key in keys]
        wait = max(map(self._wait, places))
        if wait <= 0:
            for place in places:
                self._failures.setdefault(place, []).append(self._clock())
        return max(wait, 0.0)

    def take_back(self, keys: Iterable[str]) -> None:
        """Forget the last attempt: it was no failure."""
        for place in map(self._place, keys):
            failures = self._failures.get(place, [])
            if len(failures) > 1:
                failures.pop()
            else:
                self._failures.pop(place, None)

    def _place(self, key: str) -> int:
        digest = hashlib.blake2b(key.encode("utf-8", "replace"), key=self._key, digest_size=8)
        return int.from_bytes(digest.digest()) % PLACES

    def _wait(self, place: int) -> float:
        start = self._clock() - WINDOW_SECONDS
        failures = [moment for moment in self._failures.get(place, ()) if moment > start]
        if failures:
            self._failures[place] = failures
        else:
            self._failures.pop(place, None)
        if len(failures) < MAX_FAILURES:
            return 0.0
        return failures[-MAX_FAILURES] - start


def keys_of(name: str, address: str) -> tuple[str, str]:
    """Return what an attempt is counted by."""
    return f"name {name[:100].casefold()}", f"address {network_of(address)}"


def network_of(address: str) -> str:
    """Return whose an address is: of IPv6 everybody has 2 ** 64 at least."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((int(found), 64), strict=False))
