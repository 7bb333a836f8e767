"""The one thread that touches the database, and how the others reach it.

SQLite has one writer at a time. The threads that read AWS hand in what they have and wait for the
commit; what several of them hand in meanwhile goes into one transaction, so that a slow commit is
shared instead of being queued for. A stop never cuts a transaction: it is the writer's own thread
that is told to stop, and it finishes what it has in hand.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlite_utils import Database

from etl.errors import StoppedError
from etl.warehouse.write.batch import Batch, Loader, Written

Result = TypeVar("Result")

# How much may share a transaction: enough for every thread, few enough to be over in a moment.
_SHARED = 64

_Question = Callable[[Database], Any]


class Writer:
    """Made in the thread that opened the database; ``serve`` runs there, the rest anywhere."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._loader = Loader(db)
        self._queue: queue.SimpleQueue[tuple[Batch | _Question, Future[Any]]] = queue.SimpleQueue()
        self._is_closed = threading.Event()

    def write(self, batch: Batch) -> Written:
        """Commit a batch with its state; return when that is done."""
        return self._ask(batch)  # type: ignore[no-any-return]

    def read(self, question: Callable[[Database], Result]) -> Result:
        """Run a function over the database, outside of any transaction."""
        return self._ask(question)  # type: ignore[no-any-return]

    def _ask(self, work: Batch | _Question) -> Any:
        future: Future[Any] = Future()
        self._queue.put((work, future))
        if self._is_closed.is_set():
            self._turn_away()
        return future.result()

    def wake(self) -> None:
        """Let ``serve`` return, if it waits."""
        self._queue.put((lambda db: None, Future()))

    def close(self) -> None:
        """Take no more work; whoever waits, or comes later, gets a StoppedError."""
        self._is_closed.set()
        self._turn_away()

    def _turn_away(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                _, future = self._queue.get_nowait()
                future.set_exception(StoppedError("the writer has stopped"))

    def serve(self, seconds: float) -> None:
        """Do what was handed in; wait at most ``seconds`` for it."""
        try:
            waiting = [self._queue.get(timeout=seconds)]
        except queue.Empty:
            return
        while len(waiting) < _SHARED and not self._queue.empty():
            waiting.append(self._queue.get())
        try:
            self._do(waiting)
        except BaseException as error:
            # A disk that is full concerns everybody: those who wait are told, and so is the caller.
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            raise

    def _do(self, waiting: list[tuple[Batch | _Question, Future[Any]]]) -> None:
        batches = [(work, future) for work, future in waiting if isinstance(work, Batch)]
        if batches:
            written = self._loader.write_all([batch for batch, _ in batches])
            for (_, future), one in zip(batches, written, strict=True):
                future.set_result(one)
        for work, future in waiting:
            if not isinstance(work, Batch):
                future.set_result(work(self._db))
