"""The wire: HTTP/1.1 on 127.0.0.1 with keep-alive, one thread per connection.

It knows nothing about AWS. It can misbehave: reset a connection before or during an answer, or never
answer. Stopping closes every connection, idle or hanging, and joins every thread, so nothing is left
for the next test.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from uuid import uuid4

from tests.aws.calls import Answer, HttpRequest

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_JOIN_SECONDS = 10.0


class Wire(ThreadingHTTPServer):
    """A server that passes each request to ``respond``, and its own failures to ``report``."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        respond: Callable[[HttpRequest], Answer],
        *,
        date: Callable[[], datetime],
        report: Callable[[str], None],
    ) -> None:
        self.respond, self.date, self.report = respond, date, report
        self.stopped = threading.Event()
        self._connections: set[socket.socket] = set()
        self._serving: list[threading.Thread] = []
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        self._accepting = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def stop(self) -> None:
        """Close all sockets and join all threads."""
        self.stopped.set()
        self.shutdown()
        self._accepting.join(_JOIN_SECONDS)
        self.server_close()
        with self._lock:
            for connection in self._connections:
                _wake(connection)
        for thread in self._serving:
            thread.join(_JOIN_SECONDS)
        if self._connections:
            self.report(f"{len(self._connections)} connections did not end")

    def server_bind(self) -> None:
        """Bind without looking up the host's name, which may take seconds."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        with self._lock:
            self._connections.add(request)
            self._serving = [t for t in self._serving if t.is_alive()]
            self._serving.append(thread)
            thread.start()

    def shutdown_request(self, request: Any) -> None:
        """Close at once: the base class sends a FIN, which would prevent a reset."""
        with self._lock:
            self._connections.discard(request)
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect; report anything else."""
        problem = sys.exception()
        if not isinstance(problem, ConnectionError | TimeoutError):
            self.report(f"the server failed: {problem!r}")


def _wake(connection: socket.socket) -> None:
    """End the connection for the thread that reads from it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client has closed it


class _Handler(BaseHTTPRequestHandler):
    server: Wire
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def _respond(self) -> None:
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length or self.server.stopped.is_set():
            self.close_connection = True  # half a request: one side is gone
            return
        answer = self.server.respond(HttpRequest(self.command, path, query, self.headers, body))
        self._send(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _respond  # noqa: N815

    def _send(self, answer: Answer) -> None:
        if answer.ending == "hang":
            self.server.stopped.wait()
        if answer.ending in ("reset", "hang"):
            self._reset()
            return
        head = self._head(answer)
        body = b"" if self.command == "HEAD" else answer.body
        if answer.ending == "reset-in-body":
            self.wfile.write(head + body[: len(body) // 2])
            self._reset()
            return
        self.wfile.write(head + body)

    def _head(self, answer: Answer) -> bytes:
        headers = {
            "Date": format_datetime(self.server.date(), usegmt=True),
            "x-amzn-RequestId": str(uuid4()),
            "Content-Length": str(len(answer.body)),
        } | answer.headers
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _reset(self) -> None:
        """Turn the close of the connection into a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close_connection = True
