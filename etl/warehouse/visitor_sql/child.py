"""A process that runs visitors' SQL: reads statements from stdin, writes rows to stdout, as JSON.

Started by ``etl.warehouse.visitor_sql.processes`` as ``python -m etl.warehouse.visitor_sql.child``.
It ends when stdin does, even in the middle of a statement, so it never outlives the server. Within
the server, a statement could neither be stopped during a function call nor be kept from using all
memory or disk. Here the system limits memory and disk, and the server kills the process if a
statement takes too long.

One line each way. First the settings, answered by an empty object. Then requests with ``sql``,
``parameters``, ``milliseconds`` and ``max_rows`` (null: all), answered by ``columns``, ``rows`` and
``truncated``, or by ``error`` (``is_late``: it timed out). Bytes are ``{"bytes": base64}``.
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

from etl.warehouse.visitor_sql.authorizer import allow_only_reading
from etl.warehouse.visitor_sql.limits import limit_memory

# About eight more than are open at the start; the size of each file is limited too.
_OPEN_FILES = 16

# For SQLite, and for the whole process, which includes what SQLite does not count.
_HEAP_BYTES = 192 << 20
_ADDRESS_BYTES = 1 << 30

# Steps of SQLite between two looks at the clock; nothing else in this process waits for them.
_STEPS = 10_000


def encode(value: object) -> str:
    """Turn plain values and bytes into one line."""
    return json.dumps(value, default=_encode_bytes, separators=(",", ":"))


def _encode_bytes(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} is not a value of SQLite")


def decode(line: bytes | str) -> Any:
    """Decode a line of ``encode``."""
    return json.loads(line, object_hook=_decode_bytes)


def _decode_bytes(value: dict[str, Any]) -> object:
    return base64.b64decode(value["bytes"]) if value.keys() == {"bytes"} else value


def main() -> None:
    """Run one statement after another."""
    # The pages have priority if there are few cores.
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
    # Decodes text as Datasette does.
    connection.text_factory = lambda text: str(text, "utf-8", "replace")
    connection.execute(f"pragma hard_heap_limit = {_HEAP_BYTES}")
    limit_memory(connection, value_bytes=value_bytes, answer_bytes=answer_bytes)
    allow_only_reading(connection)
    return connection


def _limit_process(file_bytes: int) -> None:
    """Limit memory, open files and the size of a file; never above the existing limits."""
    for kind, limit in (
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_AS, _ADDRESS_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        # macOS has no limit on address space.
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
        # Closed at once: an unfinished cursor keeps the write-ahead log from shrinking.
        with contextlib.closing(connection.execute(job["sql"], job["parameters"])) as cursor:
            rows = _fetch(cursor, job["max_rows"])
            columns = [column[0] for column in cursor.description or ()]
    except Exception as error:
        # Any error belongs to the statement: the process must stay alive for the next one.
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
        return "the statement needs too much memory; request less data"
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return f"{error}: it may sort or group too much; request less data"
    return str(error)


if __name__ == "__main__":
    main()
