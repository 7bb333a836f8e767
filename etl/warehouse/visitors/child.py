"""A process that runs visitors' SQL: statements come on stdin, rows go out on stdout, as JSON.

Started by ``etl.warehouse.visitors.processes`` as ``python -m etl.warehouse.visitors.child``. It
ends when stdin does, in the middle of a statement too, so it never outlives the server. A statement
can neither be stopped within one call of a function nor be kept from using all memory or disk in
the server itself; here the system does both, and the server kills what takes too long.

One line each way. First the settings, which an empty object answers; then ``sql``, ``parameters``,
``milliseconds`` and ``max_rows`` (null: all), which ``columns``, ``rows`` and ``truncated`` answer,
or ``error`` (``is_late``: the time was over). Bytes are ``{"bytes": base64}``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import resource
import sqlite3
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

from etl.warehouse.visitors.authorizer import allow_only_reading
from etl.warehouse.visitors.limits import limit_memory

# Some eight more than there are; each that sorting and grouping need is limited in length.
_OPEN_FILES = 16

# Of SQLite, and of the whole process, for what SQLite does not count.
_HEAP_BYTES = 192 << 20
_ADDRESS_BYTES = 1 << 30

# Between two looks at the clock; there is nobody here who would have to wait for them.
_STEPS = 10_000


def encode(value: object) -> str:
    """Turn plain values and bytes into one line."""
    return json.dumps(value, default=_encode_bytes, separators=(",", ":"))


def _encode_bytes(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} is no value of SQLite")


def decode(line: bytes | str) -> Any:
    """Turn the line of ``encode`` back."""
    return json.loads(line, object_hook=_decode_bytes)


def _decode_bytes(value: dict[str, Any]) -> object:
    return base64.b64decode(value["bytes"]) if value.keys() == {"bytes"} else value


def main() -> None:
    """Run one statement after the other."""
    # The pages go first where cores are few.
    os.nice(10)
    settings = decode(sys.stdin.buffer.readline())
    connection = _connect(settings["uri"], settings["value_bytes"], settings["answer_bytes"])
    _limit_process(settings["file_bytes"])
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    _reply({})
    while True:
        _reply(_answer(connection, decode(jobs.get())))


def _connect(uri: str, value_bytes: int, answer_bytes: int) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    # As Datasette reads text.
    connection.text_factory = lambda text: str(text, "utf-8", "replace")
    connection.execute(f"pragma hard_heap_limit = {_HEAP_BYTES}")
    limit_memory(connection, value_bytes=value_bytes, answer_bytes=answer_bytes)
    allow_only_reading(connection)
    return connection


def _limit_process(file_bytes: int) -> None:
    """Limit memory, open files and what a file may grow to; never more than was allowed before."""
    for kind, limit in (
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_AS, _ADDRESS_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        # macOS has no limit of addresses.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (least, least))


def _read_jobs(jobs: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        jobs.put(line)
    os._exit(0)


def _reply(reply: object) -> None:
    try:
        sys.stdout.write(encode(reply) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(0)


def _answer(connection: sqlite3.Connection, job: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + job["milliseconds"] / 1000
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        # Closed at once: a cursor that is not at its end keeps the log of changes from shrinking.
        with contextlib.closing(connection.execute(job["sql"], job["parameters"])) as cursor:
            rows = _fetch(cursor, job["max_rows"])
            columns = [column[0] for column in cursor.description or ()]
    except Exception as error:
        # Whatever it is, it is the statement's: the next one has to find a process.
        is_late = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
        return {"error": _explain(error), "is_late": is_late}
    is_truncated = job["max_rows"] is not None and len(rows) > job["max_rows"]
    return {"columns": columns, "rows": rows[: job["max_rows"]], "truncated": is_truncated}


def _fetch(cursor: Iterable[sqlite3.Row], max_rows: int | None) -> list[tuple[Any, ...]]:
    rows = []
    for row in cursor:
        rows.append(tuple(row))
        if max_rows is not None and len(rows) > max_rows:
            break
    return rows


def _explain(error: Exception) -> str:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if isinstance(error, MemoryError):
        return "the statement needs too much memory; ask for less"
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return f"{error}: maybe it sorts or groups too much; ask for less"
    return str(error)


if __name__ == "__main__":
    main()
