"""What happens when somebody asks for a stop: by SIGTERM, as a system does, or with Ctrl-C.

Wherever it strikes, the same sentence is said and the status is 1, because what was to be done is
not; but 0 for what would go on for ever, a server or a sync that repeats itself (``endless``). A
command that writes step by step finishes the one in hand (``stops``), all others end at once.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click

from etl.clock import Clock
from etl.errors import STOPPED, StoppedError
from etl.warehouse.long_work import stoppable

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Terminated(KeyboardInterrupt):
    """SIGTERM. It ends whatever Ctrl-C would end."""


def _terminate(*_: object) -> None:
    raise Terminated


@contextmanager
def stops(clock: Clock) -> Iterator[None]:
    """Let SIGTERM and SIGINT ask for a stop; the transaction in hand is finished."""

    def ask(number: int, _: object) -> None:
        if clock.stop.is_set():
            signal.signal(number, signal.SIG_DFL)  # asked twice: the next one ends it at once
        clock.stop.set()

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        # What may take minutes before there is anything in hand, as an upgrade does, ends at once.
        with stoppable(clock.stop.is_set):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def told_of_stops() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does; say that it was stopped, and exit with 1."""
    # Only the main thread may have signals; elsewhere somebody else has arranged for them.
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        if is_main:
            signal.signal(signal.SIGTERM, _terminate)
        yield
    except (KeyboardInterrupt, StoppedError):
        _leave(1)
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def endless() -> Iterator[None]:
    """Take a stop for the end of what would go on for ever: exit with 0."""
    try:
        yield
    except (KeyboardInterrupt, StoppedError):
        _leave(0)


def _leave(status: int) -> None:
    click.echo(STOPPED, err=True)
    sys.exit(status)
