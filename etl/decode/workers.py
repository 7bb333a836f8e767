"""Read files in several processes at once, in the order in which they are given.

Decompressing and decoding is most of the work of a load, and Python does it on one core a process.
The processes are children that hold nothing but the file in hand; this one keeps the database.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import queue
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from etl.decode.content import Decoded, Decoder, Keys
from etl.decode.worker import receive, restore, send
from etl.errors import DecodeError
from etl.normalise.packed import next_range

Tag = TypeVar("Tag")

# More would wait for the one process that writes.
_MAX_WORKERS = 4

# Enough for the processes while a batch is written; a large file counts for many.
_FILES_AHEAD = 40
_BYTES_AHEAD = 32 << 20

# A file's content comes and goes. Unless told otherwise, glibc returns it to the system each time
# and gets it anew, page by page, which takes as long as unzipping; others know none of these.
_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}

# Processes take a moment to start: not worth it for less.
FEW_BYTES = 1 << 20


class _Worker:
    """One child process, used by one thread at a time."""

    def __init__(self, keys: Keys) -> None:
        package = Path(__file__).parents[2]
        path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
        with _without_stops():
            self._process = subprocess.Popen(
                # -P: a folder of the name etl where the program was started is not this package.
                [sys.executable, "-P", "-m", "etl.decode.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_KEEP_MEMORY | os.environ | {"PYTHONPATH": path},
            )
        settings = (keys.application_tag, keys.metadata, next_range())
        assert self._process.stdin and self._process.stdout  # noqa: S101
        self._jobs, self._results = self._process.stdin, self._process.stdout
        send(self._jobs, marshal.dumps(settings))

    def ask(self, data: bytes) -> bytes:
        """Return what a file holds, as the process sends it."""
        try:
            send(self._jobs, data)
            message = receive(self._results)
        except (OSError, EOFError):
            message = None
        if message is None:
            raise DecodeError(
                "a process that reads files was ended from outside"
                f" (status {self._process.wait()}), maybe for want of memory; what was committed"
                " stands: run it again"
            )
        return message

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._results.close()
        with contextlib.suppress(OSError):  # what was not sent is not wanted any more
            self._jobs.close()


@contextlib.contextmanager
def _without_stops() -> Iterator[None]:
    """Start processes that no stop ends: one that is meant for all of us is for who started them.

    They say so themselves, but a moment after they have begun.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Workers:
    """Some processes, started when they are needed. A context manager; ends them at the end."""

    def __init__(self, keys: Keys, count: int | None = None) -> None:
        self._keys = keys
        self._count = min(count or os.cpu_count() or 1, _MAX_WORKERS)
        self._all: list[_Worker] = []
        self._free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._own = Decoder(keys)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        while self._all:
            self._all.pop().close()

    def decode(self, files: Iterable[tuple[Tag, bytes]]) -> Iterator[tuple[Tag, Decoded]]:
        """Yield what each file holds, in their order. A few small files are read right here."""
        files = iter(files)
        small, size = [], 0
        for tag, data in files:
            small.append((tag, data))
            size += len(data)
            if size >= FEW_BYTES:
                yield from self._decode_elsewhere(_chain(small, files))
                return
        for tag, data in small:
            yield tag, self._own.decode(data)

    def _decode_elsewhere(
        self, files: Iterable[tuple[Tag, bytes]]
    ) -> Iterator[tuple[Tag, Decoded]]:
        """Keep the processes busy while the caller writes: with files in hand, and rows to come."""
        self.start()
        waiting: deque[tuple[Tag, int, Future[bytes]]] = deque()
        held = 0
        with ThreadPoolExecutor(self._count) as threads:
            try:
                for tag, data in files:
                    while waiting and (len(waiting) >= _FILES_AHEAD or held > _BYTES_AHEAD):
                        first, size, future = waiting.popleft()
                        held -= size
                        yield first, restore(future.result())
                    waiting.append((tag, len(data), threads.submit(self._ask, data)))
                    held += len(data)
                while waiting:
                    first, _, future = waiting.popleft()
                    yield first, restore(future.result())
            finally:
                for _, _, future in waiting:
                    future.cancel()

    def start(self) -> None:
        """Start the processes, if they are not: early, where there will be much to read."""
        while len(self._all) < self._count:
            worker = _Worker(self._keys)
            self._all.append(worker)
            self._free.put(worker)

    def _ask(self, data: bytes) -> bytes:
        worker = self._free.get()
        try:
            return worker.ask(data)
        finally:
            self._free.put(worker)


def _chain(
    first: list[tuple[Tag, bytes]], rest: Iterator[tuple[Tag, bytes]]
) -> Iterator[tuple[Tag, bytes]]:
    while first:
        yield first.pop(0)
    yield from rest
