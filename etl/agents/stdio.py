"""A session over stdin and stdout, one message a line: for a program on this machine.

The SDK's own transport reads stdin in a thread that nothing can stop, and drops the answers that
are still being made when stdin ends. Here a thread that dies with the program reads, and the
answers to all that was asked are written before the session ends.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import types
from mcp.shared.message import SessionMessage

from etl.agents.desk import Desk
from etl.agents.messages import is_for_server, not_understood, parse_message, refusal, to_bytes
from etl.agents.server import build_server
from etl.errors import StoppedError
from etl.warehouse.read.reports import Filters
from etl.warehouse.visitor_sql.processes import VisitorProcesses

# Far longer than any request; the rest of a longer line is another line.
_MAX_LINE = 1 << 20

# For the SDK to begin with a request.
_BEGIN_SECONDS = 0.05

_Line = bytes | None


def serve_stdio(db: Path, stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Answer until stdin ends. Whoever may start this has the file, so may see all of it.

    Raises StoppedError on SIGTERM and SIGINT.
    """
    with closing(VisitorProcesses(db)) as processes, closing(Desk(db, processes)) as desk:
        try:
            asyncio.run(_serve(desk, stdin, stdout))
        except asyncio.CancelledError:
            raise StoppedError("stopped by a signal") from None


async def _serve(desk: Desk, stdin: BinaryIO, stdout: BinaryIO) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101
    for number in (signal.SIGTERM, signal.SIGINT):
        # An exception in the middle of a task would be lost in a group of exceptions.
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    server = build_server(desk, Filters())
    to_server, from_client = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    to_client, from_server = anyio.create_memory_object_stream[SessionMessage](0)
    session = _Session(stdout)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.read, _lines_of(stdin), to_server)
        tasks.start_soon(session.write, from_server)
        await server.run(from_client, to_client, server.create_initialization_options())


def _lines_of(stdin: BinaryIO) -> asyncio.Queue[_Line]:
    """Return a queue of the lines of a stream, None at its end."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[_Line]()

    def put(line: _Line) -> None:
        # The loop is closed once the program ends.
        if not loop.is_closed():
            loop.call_soon_threadsafe(lines.put_nowait, line)

    def read() -> None:
        for line in _each_line(stdin):
            put(line)
        put(None)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    return lines


def _each_line(stdin: BinaryIO) -> Iterator[bytes]:
    while line := stdin.readline(_MAX_LINE):
        yield line


class _Session:
    """The messages of one session, and the requests that have no answer yet."""

    def __init__(self, stdout: BinaryIO) -> None:
        self._stdout = stdout
        self._open: set[types.RequestId] = set()
        self._is_done = asyncio.Event()

    async def read(
        self,
        lines: asyncio.Queue[_Line],
        to_server: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        """Pass on each message, and end once all requests have their answers."""
        async with to_server:
            while (line := await lines.get()) is not None:
                if line.strip():
                    await self._pass_on(line, to_server)
            while self._open:
                self._is_done.clear()
                await self._is_done.wait()

    async def _pass_on(
        self, line: bytes, to_server: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        try:
            message = parse_message(line)
        except ValueError:
            self._write(not_understood())
            return
        refused = refusal(message)
        if refused is not None:
            self._write(refused)
        if refused is not None or not is_for_server(message):
            return
        cancelled = _cancelled(message)
        if isinstance(message.root, types.JSONRPCRequest):
            self._open.add(message.root.id)
        elif cancelled in self._open:
            # The SDK cannot cancel what it has not begun, and may answer what it cancels.
            await asyncio.sleep(_BEGIN_SECONDS)
            self._answered(cancelled)
        await to_server.send(SessionMessage(message))

    async def write(self, from_server: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Write each message of the server."""
        async with from_server:
            async for message in from_server:
                self._write(message.message)
                root = message.message.root
                if isinstance(root, types.JSONRPCResponse | types.JSONRPCError):
                    self._answered(root.id)

    def _answered(self, request: Any) -> None:
        self._open.discard(request)
        if not self._open:
            self._is_done.set()

    def _write(self, message: types.JSONRPCMessage) -> None:
        self._stdout.write(to_bytes(message) + b"\n")
        self._stdout.flush()


def _cancelled(message: types.JSONRPCMessage) -> types.RequestId | None:
    """Return the request that a notification cancels, if it does."""
    root = message.root
    if isinstance(root, types.JSONRPCNotification) and root.method == "notifications/cancelled":
        found = (root.params or {}).get("requestId")
        return found if isinstance(found, (str, int)) else None
    return None
