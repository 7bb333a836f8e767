"""The one thread that touches the database, and how the others reach it.

SQLite allows one writer at a time. The threads that read AWS submit their work and wait for the
commit. Work that several of them submit meanwhile shares a transaction, so a slow commit is shared
instead of queued for. A stop never interrupts a transaction: the stop request goes to the writer's
own thread, which first finishes its current work.
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

# How many items may share a transaction: enough for every thread, few enough to finish quickly.
_SHARED = 64

_Question = Callable[[Database], Any]


# Writes that arrive together share a transaction (DECISIONS 27).
class Writer:
    """Created in the thread that opened the database. ``serve`` runs there, the rest anywhere."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._loader = Loader(db)
        self._queue: queue.SimpleQueue[tuple[Batch | _Question, Future[Any]]] = queue.SimpleQueue()
        self._is_closed = threading.Event()

    def write(self, batch: Batch) -> Written:
        """Commit a batch with its state. Return when that is done."""
        return self._ask(batch)  # type: ignore[no-any-return]

    def read(self, question: Callable[[Database], Result]) -> Result:
        """Run a function over the database, outside of any transaction."""
        return self._ask(question)  # type: ignore[no-any-return]

    def _ask(self, work: Batch | _Question) -> Any:
        future: Future[Any] = Future()
        self._queue.put((work, future))
        if self._is_closed.is_set():
            self._reject_pending()
        return future.result()

    def wake(self) -> None:
        """Make a waiting ``serve`` return."""
        self._queue.put((lambda db: None, Future()))

    def close(self) -> None:
        """Accept no more work. Pending and later calls raise a StoppedError."""
        self._is_closed.set()
        self._reject_pending()

    def _reject_pending(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                _, future = self._queue.get_nowait()
                future.set_exception(StoppedError("the writer has stopped"))

    def serve(self, seconds: float) -> None:
        """Do the submitted work. Wait for it at most ``seconds``."""
        try:
            waiting = [self._queue.get(timeout=seconds)]
        except queue.Empty:
            return
        while len(waiting) < _SHARED and not self._queue.empty():
            waiting.append(self._queue.get())
        try:
            self._do(waiting)
        except BaseException as error:
            # A full disk affects everyone: all waiting threads get the error, and so does the
            # caller.
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
