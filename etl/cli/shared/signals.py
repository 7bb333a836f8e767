"""What happens on a stop: SIGTERM, as a system sends it, or Ctrl-C.

A stopped command always prints the same sentence and exits with 1, because its work is unfinished;
a command that never ends by itself, a server or a repeating sync, exits with 0 (``endless``). A
command that writes step by step finishes the current step (``stops``); all others end at once.
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
    """SIGTERM. It ends anything that Ctrl-C would end."""


def _terminate(*_: object) -> None:
    raise Terminated


@contextmanager
def stops(clock: Clock) -> Iterator[None]:
    """Let SIGTERM and SIGINT request a stop; the current transaction is finished."""

    def ask(number: int, _: object) -> None:
        if clock.stop.is_set():
            # The second request: the next signal ends it at once.
            signal.signal(number, signal.SIG_DFL)
        clock.stop.set()

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        # Long work before the first step, such as an upgrade, ends at once.
        with stoppable(clock.stop.is_set):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def reported_stops() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: report the stop and exit with 1."""
    # Only the main thread may handle signals; elsewhere the caller handles them.
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
    """Treat a stop as the normal end of a command that never ends by itself: exit with 0."""
    try:
        yield
    except (KeyboardInterrupt, StoppedError):
        _leave(0)


def _leave(status: int) -> None:
    click.echo(STOPPED, err=True)
    sys.exit(status)
