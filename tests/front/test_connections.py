"""Connections over raw sockets: idle and slow ones harm nobody else, and end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn

from etl.web import connections
from etl.web.protocol import Receive, Scope, Send

GET = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD_SECONDS = 0.4
IDLE_SECONDS = 0.3


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", HEAD_SECONDS)
    monkeypatch.setattr(connections, "IDLE_SECONDS", IDLE_SECONDS)
    monkeypatch.setattr(connections, "UNREAD_SECONDS", HEAD_SECONDS)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 8)


@contextmanager
def server(app: Any, limit: int = 4) -> Iterator[Callable[[], socket.socket]]:
    """Serve in a thread; yields what connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = uvicorn.Config(
            connections.at_most(app, limit), log_level="critical", ws="none", lifespan="off",
            **connections.settings(),
        )  # fmt: skip
        running = uvicorn.Server(settings)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        address = listener.getsockname()
        try:
            with ExitStack() as stack:
                yield lambda: stack.enter_context(socket.create_connection(address, timeout=10))
        finally:
            running.should_exit = running.force_exit = True
            thread.join(timeout=10)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    size = int(scope["path"][1:] or 5)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(max(1, size // 65536)):
        await send(
            {"type": "http.response.body", "body": b"x" * min(size, 65536), "more_body": True}
        )
    await send({"type": "http.response.body", "body": b""})


def status(connection: socket.socket, request: bytes = GET % b"") -> bytes:
    connection.sendall(request)
    answer = b""
    while not answer.endswith((b"0\r\n\r\n", b"again")):
        answer += connection.recv(1 << 16)
    return answer[9:12]


def is_ended(connection: socket.socket) -> bool:
    """Wait for the end of a connection that is sent nothing."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_connections_that_ask_for_nothing_refuse_nobody() -> None:
    with server(hello) as connect:
        for number in range(40):
            idle = connect()
            if number % 2:
                idle.sendall(b"GET / HT")
        assert status(connect()) == b"200"


@pytest.mark.parametrize("drip", [b"", b"G", b"\r\n", b"GET / HTTP/1.1\r\nX: ", b"y\r\nX: "])
def test_a_head_that_does_not_end_ends_its_connection(drip: bytes) -> None:
    with server(hello) as connect:
        slow, since = connect(), time.monotonic()
        slow.settimeout(0.02)
        while time.monotonic() - since < 20:
            try:
                if drip:
                    slow.sendall(drip[:1] if drip != b"\r\n" else b"\r\n")
                if slow.recv(1024)[:1] in (b"", b"H"):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - since < 10


def test_after_an_answer_a_connection_waits_a_moment_for_the_next_request() -> None:
    with server(hello) as connect:
        connection = connect()
        for _ in range(3):
            assert status(connection) == b"200"
        assert is_ended(connection)


def test_half_a_request_after_an_answer_ends_too() -> None:
    with server(hello) as connect:
        connection = connect()
        assert status(connection, GET % b"" + b"GET / ") == b"200"
        assert is_ended(connection)


def test_who_does_not_read_an_answer_does_not_keep_it() -> None:
    with server(hello, limit=1) as connect:
        deaf = connect()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(GET % b"100000000")
        codes = []
        deadline = time.monotonic() + 20
        while b"200" not in codes and time.monotonic() < deadline:
            codes.append(status(connect()))
            time.sleep(0.05)
        assert set(codes) == {b"503", b"200"}


def test_a_crowd_of_one_address_goes_before_others() -> None:
    def made(address: str, since: float) -> Any:
        found = object.__new__(connections.Connection)
        found.client, found.idle_since, found.cycle = (address, 1), since, None
        return found

    crowd = [made(f"2001:db8::{number}", 5.0 + number) for number in range(3)]
    old, newest = made("192.0.2.1", 1.0), made("192.0.2.2", 9.0)
    assert connections._least_needed([old, *crowd, newest], newest) is crowd[0]
    assert connections._least_needed([newest], newest) is newest
