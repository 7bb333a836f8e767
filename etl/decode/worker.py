"""A process that reads files for another one: jobs come on stdin, rows go out on stdout.

Started by ``etl.decode.workers`` as ``python -m etl.decode.worker``. It ends when stdin does, so
that it never outlives the process that started it, even one that was killed.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import pickle
import signal
import struct
import sys
from typing import IO

from etl.decode.content import Decoded, Decoder, Keys

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
    """Serve one job after the other. The first message says how, the others are files' bytes."""
    # The one that writes is what everything waits for: it goes first where cores are few.
    os.nice(5)
    # Both may reach the whole group; the process that started this one decides what they mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    jobs, results = sys.stdin.buffer, sys.stdout.buffer
    settings = receive(jobs)
    if settings is None:
        return
    application_tag, metadata, first = marshal.loads(settings)  # noqa: S302
    decoder = Decoder(Keys(application_tag, metadata), first=first)
    with contextlib.suppress(BrokenPipeError, EOFError):
        while (job := receive(jobs)) is not None:
            send(results, dump(decoder.decode(job)))


if __name__ == "__main__":
    main()
