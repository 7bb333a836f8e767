"""Work on the warehouse that may take minutes: it reports progress, and it can be stopped.

While a statement runs, SQLite does nothing but call a function now and then. That function reports
to the observer what is being done and for how long, and ends the statement if a stop was requested.
The observer decides what to show, and after how long: most work is finished before there is
anything worth showing.
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

# Seldom enough that reporting costs nothing.
_REPORT_SECONDS = 0.25


class WorkProgress(NamedTuple):
    """What is being done, the current step, seconds so far and expected in all (None: unknown)."""

    what: str
    detail: str
    seconds: float
    expected_seconds: float | None


WorkObserver = Callable[[WorkProgress], None]
_Look = Callable[[], int | None]

_observer: ContextVar[WorkObserver | None] = ContextVar("observer", default=None)
_is_stopped: ContextVar[Callable[[], bool]] = ContextVar("is_stopped", default=lambda: False)
_can_stop: ContextVar[bool] = ContextVar("can_stop", default=False)
# The function of the innermost work, which SQLite calls now and then.
_look: ContextVar[_Look] = ContextVar("look", default=lambda: None)


@contextmanager
def observed(observer: WorkObserver) -> Iterator[None]:
    """Report all long work inside to the observer."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


@contextmanager
def stoppable(is_stopped: Callable[[], bool]) -> Iterator[None]:
    """Let ``is_stopped`` stop the long work inside, if it can be stopped."""
    token = _is_stopped.set(is_stopped)
    try:
        yield
    finally:
        _is_stopped.reset(token)


def make_interruptible(db: Database) -> None:
    """Let Ctrl-C end a statement that takes minutes: Python sees it only when SQLite calls back."""
    db.conn.set_progress_handler(_look.get(), _INSTRUCTIONS)


@contextmanager
def long_work(
    db: Database, what: str, *, expected_seconds: float | None = None, can_stop: bool = False
) -> Iterator[Callable[[str], None]]:
    """Report the work inside while SQLite does it; yield a function that sets the current step.

    ``can_stop``: the changes inside, nested work included, may be rolled back on request. Raises
    StoppedError in that case.
    """
    work = _LongWork(what, expected_seconds, _observer.get())
    can_stop = can_stop or _can_stop.get()
    is_stopped = _is_stopped.get() if can_stop else lambda: False

    def look() -> int:
        work.report()
        return is_stopped()

    tokens = _can_stop.set(can_stop), _look.set(look)
    make_interruptible(db)
    try:
        yield work.note
    except sqlite3.OperationalError:
        if is_stopped():
            raise StoppedError(
                f"stopped while {what}: the next command starts it from the beginning"
            ) from None
        raise
    finally:
        _can_stop.reset(tokens[0])
        _look.reset(tokens[1])
        make_interruptible(db)


class _LongWork:
    """One piece of long work, and when it was last reported."""

    def __init__(self, what: str, expected: float | None, observer: WorkObserver | None) -> None:
        self._what, self._expected, self._observer = what, expected, observer
        self._began = self._reported = time.monotonic()
        self._detail = ""

    def note(self, detail: str) -> None:
        """Set the current step."""
        self._detail = detail
        self.report()

    def report(self) -> None:
        """Report to the observer, unless that was done a moment ago."""
        now = time.monotonic()
        if self._observer and now - self._reported >= _REPORT_SECONDS:
            self._reported = now
            self._observer(
                WorkProgress(self._what, self._detail, now - self._began, self._expected)
            )
