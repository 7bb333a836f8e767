"""The ledger: what was sent, call by call, in a file that only grows.

A line is a JSON object, and it is on the disk before the program goes on. Each attempt of a call
has two: one with status ``sent`` before it is made, and one with the result. So the ledger of a
killed run shows the call that was interrupted. Whether AWS received it is unknown, so it is never
repeated.

No line contains any text of a prompt or an answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from etl.errors import DataError

# throttled: AWS did not accept the call then, or was unavailable. failed: it was refused, or never
# sent. broken: the answer began but did not end. unknown: no answer, an unreadable one, or an
# internal error of AWS, which does not say what was done.
CallStatus = Literal["sent", "ok", "throttled", "failed", "broken", "unknown"]

CACHED = ("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
KINDS = ("input_tokens", "output_tokens", *CACHED)

# How each line begins, even one that was cut off.
_BEGINNING = b'{"run_id":'
_FOREIGN = "this is not a ledger of the lab; name another with --ledger"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a call. ``planned``: how many calls its run was to make.

    ``user_name`` and ``application`` are what the warehouse must show. ``usage``: the tokens by
    ``KINDS``, None if the answer gave none.
    """

    run_id: str
    call: int
    attempt: int
    planned: int
    scenario: str
    application: str
    user_name: str
    account_id: str
    region: str
    model_id: str
    operation: str
    time: str
    status: CallStatus
    request_id: str | None = None
    error_code: str | None = None
    usage: dict[str, int] | None = None

    @property
    def is_stream(self) -> bool:
        """Whether the answer came piece by piece."""
        return self.operation.endswith("Stream")


class Ledger:
    """An open ledger."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def write(self, entry: Entry) -> None:
        """Write a line and wait until it is on the disk. Raises DataError."""
        line = msgspec.json.encode(entry) + b"\n"
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise DataError(
                f"{self._path}: {error.strerror}; the run stops. Free disk space, or name another"
                " ledger with --ledger"
            ) from None


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Open a ledger to append to it; create it if there is none.

    Raises DataError, also for a file that is not a ledger; nothing is added to it.
    """
    if path.is_file():
        read_ledger(path)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; name another ledger with --ledger") from None
    try:
        _end_line(descriptor)
        yield Ledger(path, descriptor)
    finally:
        os.close(descriptor)


def _end_line(descriptor: int) -> None:
    """End a line that was cut off when its writer was killed."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")


def read_ledger(path: Path) -> list[Entry]:
    """Return the last line of each attempt, in the order of the attempts.

    A line that was cut off is skipped: the result of its call is then unknown. Raises DataError.
    """
    attempts: dict[tuple[str, int, int], Entry] = {}
    for number, line in enumerate(_lines(path), 1):
        try:
            entry = msgspec.json.decode(line, type=Entry)
        except msgspec.ValidationError as error:
            raise DataError(f"{path}, line {number}: {error}; {_FOREIGN}") from None
        except msgspec.DecodeError:
            if line[: len(_BEGINNING)] != _BEGINNING[: len(line)]:
                raise DataError(f"{path}, line {number}: {_FOREIGN}") from None
            continue
        attempts[entry.run_id, entry.call, entry.attempt] = entry
    return list(attempts.values())


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        raise DataError(
            f"{path}: there is no such ledger; create one with `bedrock-usage lab traffic`, or name"
            " another with --ledger"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; name another with --ledger") from None


def run_of(entries: Iterable[Entry], run_id: str | None) -> list[Entry]:
    """Return the attempts of a run, by default the last one. Raises DataError."""
    runs = list(dict.fromkeys(entry.run_id for entry in entries))
    if not runs:
        raise DataError("the ledger is empty; `bedrock-usage lab traffic` writes to it")
    wanted = run_id or runs[-1]
    if wanted not in runs:
        raise DataError(f"the ledger has no run {wanted!r}; it has {', '.join(runs)}")
    return [entry for entry in entries if entry.run_id == wanted]
