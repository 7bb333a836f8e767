"""Decode files in several processes at once, and return the rows in the order of the files.

Most of the work of a load is decompressing and decoding, and Python does that on one core per
process. The child processes hold nothing but the current file; this process keeps the database.

A child that dies over a file is replaced, and the file is tried once more. If a second child dies
over it, the file is given up. Files with many rows, or with a very large record, are read when it
is their turn, by one process at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import marshal
import os
import queue
import signal
import subprocess
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from etl.child_process import child_command, import_path
from etl.errors import BedrockUsageError, DecodeError, RejectError
from etl.load.decoder.content import Decoded, Decoder, Keys
from etl.load.decoder.process import (
    END,
    GONE,
    LARGE,
    NEXT,
    PIECE,
    ROWS,
    SMALL,
    dump,
    receive,
    restore,
    send,
)
from etl.normalise.packed import next_range
from etl.sources.prefetch import prefetch
from etl.sources.stores import Pieces

Tag = TypeVar("Tag")

# A file: its bytes, or a function that returns them in pieces.
Data = bytes | Pieces

# More would only wait for the single writing process.
_MAX_WORKERS = 4

_MODULE = "etl.load.decoder.process"

# Enough for the processes while a batch is written. A large file counts for many.
_FILES_AHEAD = 40
_BYTES_AHEAD = 32 << 20

# How many processes may die over a file before it is given up (DECISIONS 120).
_TRIES = 2

# File contents are allocated and freed again and again. By default, glibc returns that memory to
# the system each time and gets it back page by page, which takes as long as unzipping. Other C
# libraries ignore these variables.
_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}

# Processes take a moment to start: not worth it for less than this.
FEW_BYTES = 1 << 20


class _DeadError(Exception):
    """A decoding process has ended."""


class _Worker:
    """One child process, used by one thread at a time."""

    def __init__(self, keys: Keys) -> None:
        with _without_stops():
            self._process = subprocess.Popen(
                child_command(_MODULE),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_KEEP_MEMORY | os.environ | {"PYTHONPATH": import_path()},
            )
        settings = (*dataclasses.astuple(keys), next_range())
        assert self._process.stdin and self._process.stdout  # noqa: S101
        self._jobs, self._results = self._process.stdin, self._process.stdout
        send(self._jobs, marshal.dumps(settings))

    def ask(self, data: bytes) -> bytes | None:
        """Return a small file's rows, as the process sends them; None if they are too many at once.

        Raises _DeadError.
        """
        self._send(SMALL + data)
        answer = self._receive()
        return answer[1:] if answer[:1] == ROWS else None

    def stream(self, pieces: Iterator[bytes]) -> Iterator[Decoded]:
        """Yield a file's rows, chunk by chunk. Raises _DeadError."""
        self._send(LARGE)
        while True:
            answer = self._receive()
            if answer[:1] == NEXT:
                self._send(_next(pieces))
                continue
            chunk = restore(answer[1:])
            yield chunk
            if chunk.is_last:
                return

    def _send(self, message: bytes) -> None:
        try:
            send(self._jobs, message)
        except OSError:
            raise _DeadError from None

    def _receive(self) -> bytes:
        try:
            message = receive(self._results)
        except (OSError, EOFError):
            message = None
        if message is None:
            raise _DeadError
        return message

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._results.close()
        with contextlib.suppress(OSError):  # unsent data is no longer needed
            self._jobs.close()


@contextlib.contextmanager
def _without_stops() -> Iterator[None]:
    """Start processes that ignore stop signals: one sent to the whole group is for their parent.

    They also ignore them by themselves, but only a moment after they have started.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# Plain children on pipes, not a pool (DECISIONS 37).
class Workers:
    """A few processes, started on demand. A context manager that ends them on exit."""

    def __init__(self, keys: Keys, count: int | None = None) -> None:
        self._keys = keys
        # The writing process has a core of its own.
        self._count = count or min(max((os.cpu_count() or 1) - 1, 1), _MAX_WORKERS)
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

    def decode(self, files: Iterable[tuple[Tag, Data]]) -> Iterator[tuple[Tag, Decoded]]:
        """Yield each file's rows, in the order of the files; a large file in several parts.

        A few small files are decoded in this process. Raises DecodeError if no process can read
        anything.
        """
        files = iter(files)
        small, size = [], 0
        for tag, source in files:
            small.append((tag, source))
            size += _cost(source)
            if size >= FEW_BYTES:
                yield from self._decode_elsewhere(_chain(small, files))
                return
        for tag, source in small:
            for chunk in self._own.chunks(_pieces_of(source)):
                yield tag, chunk

    def _decode_elsewhere(self, files: Iterable[tuple[Tag, Data]]) -> Iterator[tuple[Tag, Decoded]]:
        """Keep the processes busy while the caller writes: files are queued, and so are rows."""
        self.start()
        answers = prefetch(
            lambda file: self._ask(file[1]),
            files,
            threads=self._count,
            ahead=_FILES_AHEAD,
            cost=lambda file: len(file[1]) if isinstance(file[1], bytes) else 0,
            weight=lambda message: len(message or b""),
            budget=_BYTES_AHEAD,
        )
        with contextlib.closing(answers):
            for (tag, source), message in answers:
                for chunk in self._chunks(source, message):
                    yield tag, chunk

    def _chunks(self, source: Data, message: bytes | BedrockUsageError | None) -> Iterator[Decoded]:
        """Yield a file's rows, given what a process returned for it."""
        if isinstance(message, BedrockUsageError):
            raise message
        if message is not None:
            yield restore(message)
        else:
            # Too much at once: now it is this file's turn, chunk by chunk, and no other's like it.
            yield from self._stream(source)

    def start(self) -> None:
        """Start the processes that are not running. Call it early if there is much to read."""
        while len(self._all) < self._count:
            self._free.put(self._new())

    def _new(self) -> _Worker:
        worker = _Worker(self._keys)
        self._all.append(worker)
        return worker

    def _replace(self, worker: _Worker) -> _Worker:
        worker.close()
        with contextlib.suppress(ValueError):  # all of them are being closed
            self._all.remove(worker)
        return self._new()

    def _ask(self, source: Data) -> bytes | None:
        """Return a small file's rows. It has a second try, because it may not be at fault."""
        if not isinstance(source, bytes):
            return None
        worker = self._free.get()
        try:
            for _ in range(_TRIES):
                try:
                    return worker.ask(source)
                except _DeadError:
                    worker = self._replace(worker)
            return dump(_fatal(worker))
        finally:
            self._free.put(worker)

    def _stream(self, source: Data) -> Iterator[Decoded]:
        worker = self._free.get()
        is_done = False
        try:
            for _ in range(_TRIES):
                try:
                    yield from worker.stream(iter(_pieces_of(source)))
                except _DeadError:
                    worker = self._replace(worker)
                else:
                    is_done = True
                    return
            yield _fatal(worker)
            is_done = True
        finally:
            if is_done:
                self._free.put(worker)
            else:
                # The consumer stopped in the middle of a file.
                worker.close()
                with contextlib.suppress(ValueError):
                    self._all.remove(worker)


def _fatal(worker: _Worker) -> Decoded:
    """Return the reject for a file that no process survived. ``worker`` is a new one.

    Raises DecodeError if that cannot read anything either, so that no file is blamed wrongly.
    """
    try:
        worker.ask(b"{}")
    except _DeadError:
        raise DecodeError(
            "the processes that read files were killed, possibly because memory ran out; what was"
            " committed is kept: run it again"
        ) from None
    reason = (
        f"the process reading it died {_TRIES} times, possibly because memory ran out; the file is"
        " skipped until it changes, or until `load --reread`"
    )
    return Decoded(rejects=[("file", reason)], rejected=1, is_refused=True)


def _next(pieces: Iterator[bytes]) -> bytes:
    """Return the message with the next piece, or the one that says there is none."""
    try:
        piece = next(pieces, b"")
    except RejectError as error:
        return GONE + str(error).encode()
    return PIECE + piece if piece else END


def _pieces_of(source: Data) -> Iterable[bytes]:
    return (source,) if isinstance(source, bytes) else source()


def _cost(source: Data) -> int:
    return len(source) if isinstance(source, bytes) else FEW_BYTES


def _chain(
    first: list[tuple[Tag, Data]], rest: Iterator[tuple[Tag, Data]]
) -> Iterator[tuple[Tag, Data]]:
    while first:
        yield first.pop(0)
    yield from rest
