"""A few processes that run the SQL of visitors, each killed if a statement exceeds its time limit.

SQLite can stop a statement between two steps, but a single step may be a call of ``instr`` on long
texts that runs for a minute. So a statement with SQL or patterns from a visitor does not run in the
server. It waits for one of the processes, never for a thread that the pages need. If the visitor
disconnects, the statement is killed at once.

A process replies in JSON, because it ran untrusted SQL, and JSON can be wrong but not harmful. It
gets none of the server's environment variables, which may contain tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import select
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from weakref import finalize

from etl.child_process import child_command, import_path
from etl.errors import BusyError
from etl.warehouse.paths import uri_of
from etl.warehouse.visitor_sql.child import decode, encode

VALUE_BYTES = 100_000
ANSWER_BYTES = 16 << 20
# The largest file for sorting and grouping; a statement may use about eight of them.
FILE_BYTES = 128 << 20

# With escapes, a reply may be six times as long.
_REPLY_BYTES = 6 * ANSWER_BYTES

# How long after its time limit a statement that did not stop is killed.
MARGIN_SECONDS = 1.0
_START_SECONDS = 30.0

# The most statements that wait for a process; further ones are refused.
MAX_WAITING = 30

# The environment variables that Python and SQLite need; any other may contain a secret.
_VARIABLES = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "SQLITE_TMPDIR", "TMPDIR")


# A process can be killed; a step of SQLite cannot (DECISIONS 91).
@dataclass(frozen=True)
class Statement:
    """A statement, its time limit, and how many rows to return (None: all)."""

    sql: str
    parameters: Sequence[object] | Mapping[str, object]
    milliseconds: float
    max_rows: int | None = None


@dataclass(frozen=True)
class StatementRows:
    """The rows of a statement; ``truncated``: it has more."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool


class VisitorProcesses:
    """The processes of one warehouse, started on demand and replaced when they end."""

    def __init__(
        self,
        db: Path,
        *,
        count: int | None = None,
        margin_seconds: float = MARGIN_SECONDS,
        file_bytes: int = FILE_BYTES,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._count = count or min(4, max(2, os.cpu_count() or 1))
        self._most = self._count + max_waiting
        self._asked = 0
        self._processes = [_Process(db, margin_seconds, file_bytes) for _ in range(self._count)]
        # Last in, first out: the process used last is already running.
        self._free: queue.LifoQueue[_Process] = queue.LifoQueue()
        for process in self._processes:
            self._free.put(process)
        # These threads only wait.
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="visitor-sql")
        self._finalizer = finalize(self, _end_all, self._processes)

    async def run(self, statement: Statement) -> StatementRows:
        """Return the rows of a statement; kill it if this is cancelled.

        Raises TimeoutError if it exceeds its limit, BusyError if too many are waiting, and
        sqlite3.OperationalError for every error in it.
        """
        if self._asked >= self._most:
            raise BusyError("Too many statements are running; try again in a moment")
        turn = _ProcessTurn()
        self._asked += 1
        try:
            loop = asyncio.get_running_loop()
            reply = await loop.run_in_executor(self._threads, self._run, statement, turn)
        except asyncio.CancelledError:
            turn.end_early()
            raise
        finally:
            self._asked -= 1
        if "error" not in reply:
            return StatementRows(**reply)
        if reply["is_late"]:
            raise TimeoutError(reply["error"])
        raise sqlite3.OperationalError(reply["error"])

    def _run(self, statement: Statement, turn: _ProcessTurn) -> dict[str, Any]:
        process = self._free.get()
        process.is_unwanted = False
        try:
            with turn.at(process):
                return process.run(statement)
        finally:
            self._free.put(process)

    def running(self) -> list[int]:
        """Return the ids of the running processes."""
        return [process.pid for process in self._processes if process.pid is not None]

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.kill()
        self._threads.shutdown(cancel_futures=True)
        self._finalizer()


def _end_all(processes: list[_Process]) -> None:
    for process in processes:
        process.end()


class _ProcessTurn:
    """The time that one statement has a process: it may be killed then, but not later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._is_over = False

    @contextmanager
    def at(self, process: _Process) -> Iterator[None]:
        with self._lock:
            if self._is_over:
                raise TimeoutError("the request was cancelled")
            self._process = process
        try:
            yield
        finally:
            with self._lock:
                self._process = None

    def end_early(self) -> None:
        with self._lock:
            self._is_over = True
            if self._process is not None:
                self._process.kill()


class _Process:
    """One child process, used by one thread at a time; killed by any."""

    def __init__(self, db: Path, margin_seconds: float, file_bytes: int) -> None:
        self._settings = {
            "uri": uri_of(db, "mode=ro"),
            "value_bytes": VALUE_BYTES,
            "answer_bytes": ANSWER_BYTES,
            "file_bytes": file_bytes,
        }
        self._margin = margin_seconds
        # True if it was killed while starting.
        self.is_unwanted = False
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        child = self._child
        return child.pid if child and child.poll() is None else None

    def run(self, statement: Statement) -> dict[str, Any]:
        """Return the reply of the process; start it first if it is not running."""
        child = self._child
        fault = "the process for visitors' SQL did not start"
        try:
            if child is None or child.poll() is not None:
                child = self._start()
            if self.is_unwanted:
                raise EOFError
            fault = "the statement ended the process that ran it"
            limit = statement.milliseconds / 1000 + self._margin
            return _exchange(child, encode(asdict(statement)), limit)
        except TimeoutError:
            self.end()
            return {"error": "the time limit was exceeded", "is_late": True}
        except (OSError, EOFError, ValueError):
            status = self.end()
            return {"error": f"{fault} (status {status})", "is_late": False}

    def kill(self) -> None:
        """Kill the process, whatever it is doing; a thread that waits for its reply gets none."""
        self.is_unwanted = True
        child = self._child
        if child is not None:
            child.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        self.end()
        known = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        self._child = child = subprocess.Popen(
            child_command("etl.warehouse.visitor_sql.child"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=known | {"PYTHONPATH": import_path()},
            # The terminal's Ctrl-C is for the server; this process ends with its stdin.
            start_new_session=True,
        )
        _exchange(child, encode(self._settings), _START_SECONDS)
        return child

    def end(self) -> int | None:
        """End the process and return its status; None if it is not running."""
        child, self._child = self._child, None
        if child is None:
            return None
        child.kill()
        status = child.wait()
        for stream in (child.stdin, child.stdout):
            # Unsent data is no longer needed.
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        return status


def _exchange(child: subprocess.Popen[bytes], line: str, seconds: float) -> dict[str, Any]:
    """Send a line and return the reply. Raises TimeoutError; EOFError if the process has ended."""
    deadline = time.monotonic() + seconds
    assert child.stdin and child.stdout  # noqa: S101
    child.stdin.write(line.encode() + b"\n")
    child.stdin.flush()
    handle = child.stdout.fileno()
    ready = select.poll()
    ready.register(handle, select.POLLIN)
    parts: list[bytes] = []
    size = 0
    while not (parts and parts[-1].endswith(b"\n")):
        left = deadline - time.monotonic()
        if left <= 0 or not ready.poll(left * 1000):
            raise TimeoutError
        parts.append(os.read(handle, 1 << 20))
        size += len(parts[-1])
        if not parts[-1] or size > _REPLY_BYTES:
            raise EOFError
    reply: dict[str, Any] = decode(b"".join(parts))
    return reply
