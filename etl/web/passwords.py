"""Check whether a password is right.

A check takes the same time for every name, even one that does not exist: as many rounds of hashing
as the most expensive hash needs. Checks run in their own threads, a few at once, so that visitors
who only read do not wait for them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

# Checks that run at once; the others wait in a queue.
# datasette-auth-passwords takes no time for unknown names (DECISIONS 125).
AT_ONCE = 2
MAX_WAITING = 20

_SALT = b"for nobody"


class TooManyChecksError(Exception):
    """So many checks are waiting that another would take too long."""


class Passwords:
    """The hashes of all users, as ``datasette hash-password`` prints them."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = dict(hashes)
        self._rounds = max(map(_rounds_of, hashes.values()), default=0)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")
        self._under_way = 0

    def __repr__(self) -> str:
        return "Passwords(...)"

    async def check(self, user: str, password: str) -> bool:
        """Return whether this is the user's password. Raises TooManyChecksError."""
        if self._under_way >= AT_ONCE + MAX_WAITING:
            raise TooManyChecksError
        self._under_way += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._check, user, password)
        finally:
            self._under_way -= 1

    def _check(self, user: str, password: str) -> bool:
        # An optional extra: without it there are no passwords (visitors.plugin_settings).
        from datasette_auth_passwords.utils import verify_password

        known = self._hashes.get(user)
        is_right = known is not None and verify_password(password, known)
        rest = self._rounds - (_rounds_of(known) if known else 0)
        if rest > 0:
            hashlib.pbkdf2_hmac("sha256", password.encode("utf-8", "replace"), _SALT, rest)
        return is_right


def _rounds_of(password_hash: str) -> int:
    return int(password_hash.split("$")[1])
