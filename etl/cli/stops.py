"""SIGTERM and Ctrl-C ask for a stop; the transaction in hand is finished."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from etl.clock import Clock
from etl.warehouse.long_work import stoppable


@contextmanager
def stops(clock: Clock) -> Iterator[None]:
    """Let SIGTERM and SIGINT ask for a stop; the transaction in hand is finished."""

    def ask(number: int, _: object) -> None:
        if clock.stop.is_set():
            signal.signal(number, signal.SIG_DFL)  # asked twice: the next one ends it at once
        clock.stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        # What may take minutes before there is anything in hand, as an upgrade does, ends at once.
        with stoppable(clock.stop.is_set):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
