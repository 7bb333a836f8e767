"""A process that decodes files for another one: jobs come on stdin, rows go to stdout.

A job is one message. It may be a small file's bytes: the reply is its rows, or a notice that they
are too many and should come in chunks. Or it announces a large file. Then this process requests the
file piece by piece (``NEXT``) and sends chunk after chunk, so neither side ever holds the file.

``etl.load.decoder.pool`` starts it as ``python -m etl.load.decoder.process``. It ends when stdin
does, so it never outlives the process that started it, even if that was killed.
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

# First byte of a job, or of a piece of a large file.
SMALL, LARGE, PIECE, END, GONE = b"s", b"l", b"p", b"e", b"g"

# First byte of a reply.
NEXT, ROWS, TOO_MUCH = b"n", b"r", b"m"

# Several times what the largest record takes. Beyond it a record is refused for lack of memory.
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
    """Serialize decoded rows.

    marshal is several times faster than pickle, but supports only plain values.
    """
    rows = pickle.dumps(decoded.rows, pickle.HIGHEST_PROTOCOL)
    plain = {name: value for name, value in vars(decoded).items() if name != "rows"}
    return marshal.dumps((plain, rows))


def restore(message: bytes) -> Decoded:
    """Undo ``dump``. The bytes come from our own process, of the same Python."""
    plain, rows = marshal.loads(message)  # noqa: S302
    decoded = Decoded(**plain)
    decoded.rows = pickle.loads(rows)  # noqa: S301
    return decoded


def main() -> None:
    """Serve one job after the other. The first message has the settings, the others are files."""
    # Everything waits for the writing process, so it gets priority where cores are few.
    os.nice(5)
    # Both may be sent to the whole group. The parent process decides what they mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    jobs, results = sys.stdin.buffer, sys.stdout.buffer
    _limit_memory()
    settings = receive(jobs)
    if settings is None:
        return
    *keys, first = marshal.loads(settings)  # noqa: S302
    decoder = Decoder(Keys(*keys), first=first)
    with contextlib.suppress(BrokenPipeError, EOFError):
        while (job := receive(jobs)) is not None:
            if job[:1] == SMALL:
                decoded = decoder.decode_small(job[1:])
                send(results, ROWS + dump(decoded) if decoded else TOO_MUCH)
                continue
            for chunk in decoder.chunks(_pieces(jobs, results)):
                send(results, ROWS + dump(chunk))


def _pieces(jobs: IO[bytes], results: IO[bytes]) -> Iterator[bytes]:
    """Request a file piece by piece. Raises RejectError if the rest is no longer available."""
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
    """Make this process fail before the machine runs out of memory, where that is possible."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = MEMORY_BYTES if hard < 0 else min(MEMORY_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


if __name__ == "__main__":
    main()
