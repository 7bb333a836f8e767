"""The open sessions.

Datasette's cookie is signed and contains only the visitor's name, so a copy of it would outlive
every logout. Ours also names a session (``login``), and only an open session counts. The open ones
are in a file next to the warehouse, which a restart reads. If the file is lost or cannot be
written, all visitors must log in again: a forgotten session is never open.
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

# Per user name, which several people may share; one more session ends the oldest.
# A list of open sessions cannot grow (DECISIONS 124).
MAX_SESSIONS = 100

LOG = logging.getLogger("bedrock_usage.serve")

# By user: the hash of each session's name, and when it ends, in seconds since 1970.
_Open = dict[str, dict[str, float]]


class Sessions:
    """The open sessions, for all threads. Nothing in the file can be used to log in."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._open: _Open = {}
        self._seen: tuple[int, ...] | None = None

    def begin(self, user: str) -> str:
        """Open a session and return its name."""
        name = secrets.token_urlsafe(24)
        with self._lock:
            self._reload()
            mine = self._open.setdefault(user, {})
            mine[_hash(name)] = self._clock() + LIFETIME_SECONDS
            for oldest in sorted(mine, key=mine.__getitem__)[:-MAX_SESSIONS]:
                del mine[oldest]
            self._write()
        return name

    def end(self, user: str, name: str) -> None:
        """End a session permanently."""
        with self._lock:
            self._reload()
            if self._open.get(user, {}).pop(_hash(name), None):
                self._write()

    def is_open(self, user: str, name: str) -> bool:
        """Return whether a session has begun and has not ended."""
        with self._lock:
            self._reload()
            return self._open.get(user, {}).get(_hash(name), 0.0) > self._clock()

    def _reload(self) -> None:
        """Read the file if another process, or an earlier one, has written it."""
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
            LOG.warning("%s: %s; all visitors must log in again", self._path, type(error).__name__)

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
            # The file is out of date now: an ended session must not be read from it.
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
    """Write a file that only this user may read, atomically."""
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
