"""The sessions that are open.

Datasette's cookie is signed and says who somebody is: a copy of it would outlive every logout. Ours
names a session as well (``login``), and only a session that is open counts. The open ones stand in
a file beside the warehouse, which a restart reads again. Where it is lost, or cannot be written,
everybody logs in once more: what is forgotten is never open.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

LIFETIME_SECONDS = 7 * 24 * 3600

# Of one user, who may share the name with others; the oldest ends when there is another.
MAX_SESSIONS = 100

LOG = logging.getLogger("bedrock_usage.serve")

# Of each user: the hash of each session's name, and when it ends, in seconds since 1970.
_Open = dict[str, dict[str, float]]


class Sessions:
    """The open sessions, for all threads. The file holds nothing that lets anybody in."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._open: _Open = {}
        self._seen: tuple[int, ...] | None = None

    def begin(self, user: str) -> str:
        """Open a session, and return its name."""
        name = secrets.token_urlsafe(24)
        with self._lock:
            self._look()
            mine = self._open.setdefault(user, {})
            mine[_hash(name)] = self._clock() + LIFETIME_SECONDS
            for oldest in sorted(mine, key=mine.__getitem__)[:-MAX_SESSIONS]:
                del mine[oldest]
            self._write()
        return name

    def end(self, user: str, name: str) -> None:
        """End a session, for good."""
        with self._lock:
            self._look()
            if self._open.get(user, {}).pop(_hash(name), None):
                self._write()

    def is_open(self, user: str, name: str) -> bool:
        """Tell whether a session has begun and not ended."""
        with self._lock:
            self._look()
            return self._open.get(user, {}).get(_hash(name), 0.0) > self._clock()

    def _look(self) -> None:
        """Read the file, if another process, or the one before, has written it."""
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen != self._seen:
                self._open, self._seen = {}, seen
                self._open = _parse(self._path.read_bytes())
        except FileNotFoundError:
            if self._seen is not None:
                self._open, self._seen = {}, None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            LOG.warning("%s: %s; everybody logs in once more", self._path, type(error).__name__)

    def _write(self) -> None:
        now = self._clock()
        kept = {
            user: {name: until for name, until in mine.items() if until > now}
            for user, mine in self._open.items()
        }
        self._open = {user: mine for user, mine in kept.items() if mine}
        try:
            self._seen = _replace(self._path, json.dumps(self._open).encode())
        except OSError as error:
            # What it says is out of date now: a session that has ended must not be read from it.
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
                self._seen = None
            LOG.warning("%s: %s; a restart ends all sessions", self._path, error.strerror)


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()


def _parse(text: bytes) -> _Open:
    found = json.loads(text)
    return {
        str(user): {str(name): float(until) for name, until in mine.items()}
        for user, mine in dict(found).items()
    }


def _replace(path: Path, text: bytes) -> tuple[int, ...]:
    """Write a file that only this user may read, all of it or nothing."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            found = os.fstat(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return found.st_mtime_ns, found.st_size, found.st_ino
