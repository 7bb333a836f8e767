"""A process that reads files for another one: jobs come on stdin, rows go out on stdout.

A job is one message: a small file's bytes, answered by its rows, or by nothing if they are so many
that they should come in chunks; or the word that a large file follows. Then this process asks for
the file piece by piece (``NEXT``) and sends chunk after chunk, so neither side ever holds the file.

Started by ``etl.load.decoder.pool`` as ``python -m etl.load.decoder.process``. It ends when stdin
does, so that it never outlives the process that started it, even one that was killed.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import pickle
import signal
import struct
import sys
from collections.abc import Iterator
from typing import IO

from etl.errors import RejectError
from etl.load.decoder.content import Decoded, Decoder, Keys

# What a job, and a piece of a large file, begins with.
SMALL, LARGE, PIECE, END, GONE = b"s", b"l", b"p", b"e", b"g"

# What an answer begins with.
NEXT, ROWS, TOO_MUCH = b"n", b"r", b"m"

# Several times what the largest record takes. Beyond it a record is refused for want of memory.
MEMORY_BYTES = 400 << 20

_LENGTH = struct.Struct("<Q")


def send(stream: IO[bytes], message: bytes) -> None:
    """Write one message with its length."""
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """Read one message; None at the end of the stream. Raises EOFError in the middle of one."""
    head = stream.read(_LENGTH.size)
    if not head:
        return None
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    message = stream.read(length)
    if len(message) < length:
        raise EOFError
    return message


def dump(decoded: Decoded) -> bytes:
    """Turn what a file holds into bytes. marshal is several times faster than pickle, but knows
    only plain values."""
    rows = pickle.dumps(decoded.rows, pickle.HIGHEST_PROTOCOL)
    plain = {name: value for name, value in vars(decoded).items() if name != "rows"}
    return marshal.dumps((plain, rows))


def restore(message: bytes) -> Decoded:
    """Turn the bytes of ``dump`` back. They come from a process of our own, of the same Python."""
    plain, rows = marshal.loads(message)  # noqa: S302
    decoded = Decoded(**plain)
    decoded.rows = pickle.loads(rows)  # noqa: S301
    return decoded


def main() -> None:
    """Serve one job after the other. The first message says how, the others are files."""
    # The one that writes is what everything waits for: it goes first where cores are few.
    os.nice(5)
    # Both may reach the whole group; the process that started this one decides what they mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    jobs, results = sys.stdin.buffer, sys.stdout.buffer
    _limit_memory()
    settings = receive(jobs)
    if settings is None:
        return
    application_tag, metadata, first = marshal.loads(settings)  # noqa: S302
    decoder = Decoder(Keys(application_tag, metadata), first=first)
    with contextlib.suppress(BrokenPipeError, EOFError):
        while (job := receive(jobs)) is not None:
            if job[:1] == SMALL:
                decoded = decoder.decode_small(job[1:])
                send(results, ROWS + dump(decoded) if decoded else TOO_MUCH)
                continue
            for chunk in decoder.chunks(_pieces(jobs, results)):
                send(results, ROWS + dump(chunk))


def _pieces(jobs: IO[bytes], results: IO[bytes]) -> Iterator[bytes]:
    """Ask for a file piece by piece. Raises RejectError if the rest of it is not to be had."""
    while True:
        send(results, NEXT)
        message = receive(jobs)
        if message is None:
            raise EOFError
        if message[:1] == GONE:
            raise RejectError(message[1:].decode())
        if message[:1] == END:
            return
        yield message[1:]


def _limit_memory() -> None:
    """Let this process fail before the machine does, where the system can do that."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = MEMORY_BYTES if hard < 0 else min(MEMORY_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


if __name__ == "__main__":
    main()
