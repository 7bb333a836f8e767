"""A limit on attempts to log in.

Attempts are counted per name and per address: one address cannot try many names, and many addresses
cannot try one name. Names that do not exist are counted the same way, so the response does not
reveal whether a name exists.

The counts are in a table of fixed size. A hash with a secret key maps each name and each address to
a slot. So no number of other names uses much memory or evicts a locked name. For five failures of
others to fall into a given slot takes hundreds of thousands of attempts within minutes, and no
attacker can predict the slot.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import time
from collections.abc import Callable, Iterable

MAX_FAILURES = 5
WINDOW_SECONDS = 300.0

# A used slot takes about 300 bytes.
# A list could be filled, or would have no limit (DECISIONS 126).
SLOTS = 1 << 16


class LoginAttempts:
    """The failures of the last minutes. A pending attempt counts as a failure."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._failures: dict[int, list[float]] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def begin(self, keys: Iterable[str]) -> float:
        """Count an attempt and return 0, or return the seconds until the next one is allowed."""
        slots = [self._slot(key) for key in keys]
        wait = max(map(self._wait, slots))
        if wait <= 0:
            for slot in slots:
                self._failures.setdefault(slot, []).append(self._clock())
        return max(wait, 0.0)

    def take_back(self, keys: Iterable[str]) -> None:
        """Forget the last attempt: it was not a failure."""
        for slot in map(self._slot, keys):
            failures = self._failures.get(slot, [])
            if len(failures) > 1:
                failures.pop()
            else:
                self._failures.pop(slot, None)

    def _slot(self, key: str) -> int:
        digest = hashlib.blake2b(key.encode("utf-8", "replace"), key=self._key, digest_size=8)
        return int.from_bytes(digest.digest()) % SLOTS

    def _wait(self, slot: int) -> float:
        start = self._clock() - WINDOW_SECONDS
        failures = [moment for moment in self._failures.get(slot, ()) if moment > start]
        if failures:
            self._failures[slot] = failures
        else:
            self._failures.pop(slot, None)
        if len(failures) < MAX_FAILURES:
            return 0.0
        return failures[-MAX_FAILURES] - start


def attempt_keys(name: str, address: str) -> tuple[str, str]:
    """Return the keys that an attempt is counted by."""
    return f"name {name[:100].casefold()}", f"address {network_of(address)}"


def network_of(address: str) -> str:
    """Return the network of an address: an IPv6 client has at least 2 ** 64 addresses."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((int(found), 64), strict=False))
