"""Work on the warehouse that may take minutes: it tells how it goes, and it can be stopped.

SQLite answers to nobody while a statement runs, except that it calls a function now and then. That
function tells the observer what is being done and since when, and ends the statement where a stop
was asked for. What is shown, and after how long, is the observer's business: most work is over
before anything is worth saying.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from etl.errors import StoppedError

if TYPE_CHECKING:
    from sqlite_utils import Database

# About a millisecond of work.
_INSTRUCTIONS = 100_000

# Not so often that asking costs anything.
_TELL_SECONDS = 0.25


class WorkProgress(NamedTuple):
    """What is being done, how far it is, for how long so far and (None: unknown) in all."""

    what: str
    detail: str
    seconds: float
    expected_seconds: float | None


WorkObserver = Callable[[WorkProgress], None]
_Look = Callable[[], int | None]

_observer: ContextVar[WorkObserver | None] = ContextVar("observer", default=None)
_is_stopped: ContextVar[Callable[[], bool]] = ContextVar("is_stopped", default=lambda: False)
_can_stop: ContextVar[bool] = ContextVar("can_stop", default=False)
# What SQLite calls now and then: of the innermost work.
_look: ContextVar[_Look] = ContextVar("look", default=lambda: None)


@contextmanager
def observed(observer: WorkObserver) -> Iterator[None]:
    """Tell the observer of all long work that is done inside."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


@contextmanager
def stoppable(is_stopped: Callable[[], bool]) -> Iterator[None]:
    """Say who knows whether a stop was asked for, for the long work inside that can be stopped."""
    token = _is_stopped.set(is_stopped)
    try:
        yield
    finally:
        _is_stopped.reset(token)


def make_interruptible(db: Database) -> None:
    """Let Ctrl-C end a statement that takes minutes: Python looks for it between two of its own."""
    db.conn.set_progress_handler(_look.get(), _INSTRUCTIONS)


@contextmanager
def long_work(
    db: Database, what: str, *, expected_seconds: float | None = None, can_stop: bool = False
) -> Iterator[Callable[[str], None]]:
    """Tell of the work inside while SQLite does it; yields a function that takes the detail.

    ``can_stop``: what is changed inside may be rolled back where a stop was asked for, also by the
    work inside this. Raises StoppedError then.
    """
    work = _LongWork(what, expected_seconds, _observer.get())
    can_stop = can_stop or _can_stop.get()
    is_stopped = _is_stopped.get() if can_stop else lambda: False

    def look() -> int:
        work.tell()
        return is_stopped()

    tokens = _can_stop.set(can_stop), _look.set(look)
    make_interruptible(db)
    try:
        yield work.note
    except sqlite3.OperationalError:
        if is_stopped():
            raise StoppedError(f"stopped while {what}: the next command begins it anew") from None
        raise
    finally:
        _can_stop.reset(tokens[0])
        _look.reset(tokens[1])
        make_interruptible(db)


class _LongWork:
    """One piece of long work, and when it was told of last."""

    def __init__(self, what: str, expected: float | None, observer: WorkObserver | None) -> None:
        self._what, self._expected, self._observer = what, expected, observer
        self._began = self._told = time.monotonic()
        self._detail = ""

    def note(self, detail: str) -> None:
        """Say what of it is being done."""
        self._detail = detail
        self.tell()

    def tell(self) -> None:
        """Tell the observer, unless that was done just now."""
        now = time.monotonic()
        if self._observer and now - self._told >= _TELL_SECONDS:
            self._told = now
            self._observer(
                WorkProgress(self._what, self._detail, now - self._began, self._expected)
            )
