"""The ledger: what was sent, call by call, in a file that only grows.

A line is a JSON object, on the disk before the program goes on. Each attempt of a call has two: one
with status ``sent`` before it is made, and one that says what came of it. So a run that was killed
tells which call it was killed in: whether AWS had that one nobody knows, and it is never repeated.

No line holds a word of a prompt or of an answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from etl.errors import DataError

# throttled: AWS did not take it up then, for that reason or because it was unavailable. failed: it
# was refused, or never left. broken: the answer began and did not end. unknown: none came, none
# that could be read, or an error of AWS's own, which does not say what was done.
CallStatus = Literal["sent", "ok", "throttled", "failed", "broken", "unknown"]

KINDS = (
    *("input_tokens", "output_tokens", "cache_read_tokens"),
    *("cache_write_5m_tokens", "cache_write_1h_tokens"),
)

# How each line begins, also one that was cut off.
_BEGINNING = b'{"run_id":'
_FOREIGN = "it is not a ledger of the lab; name another with --ledger"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a call. ``planned``: how many calls its run was to make.

    ``user_name`` and ``application`` are what the warehouse has to show. ``usage``: the tokens by
    ``KINDS``, None where the answer told none.
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
        """Write a line, and wait until the disk has it. Raises DataError."""
        line = msgspec.json.encode(entry) + b"\n"
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise DataError(
                f"{self._path}: {error.strerror}; nothing more is sent. Make room, or name another"
                " ledger with --ledger"
            ) from None


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Open a ledger to write at its end; begin one if there is none.

    Raises DataError, also for a file that is something else: nothing is added to that.
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
    """End a line that was cut off with the program that wrote it."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")


def read_ledger(path: Path) -> list[Entry]:
    """Return the last line of each attempt, in the order of the attempts.

    A line that was cut off is left out: what it was to say is then unknown. Raises DataError.
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
            f"{path}: there is no such ledger; `bedrock-usage lab traffic` writes one, and --ledger"
            " names another"
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
