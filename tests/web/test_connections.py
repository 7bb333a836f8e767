"""Connections over raw sockets: idle and slow ones do not harm others, and are closed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import Mock

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
    """Serve in a thread; yields a function that connects."""
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
    """Wait until the server closes a connection on which nothing is sent."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_idle_connections_lock_no_one_out() -> None:
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


def deaf(connect: Callable[[], socket.socket]) -> socket.socket:
    """Request a large response and do not read it."""
    connection = connect()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(GET % b"100000000")
    time.sleep(0.05)
    return connection


def slow_body(connect: Callable[[], socket.socket]) -> socket.socket:
    """Announce a body and send only part of it."""
    connection = connect()
    connection.sendall(b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
    return connection


def half_head(connect: Callable[[], socket.socket]) -> socket.socket:
    connection = connect()
    connection.sendall(b"GET / HT")
    return connection


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the whole body, then answer."""
    while scope["method"] == "POST":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message["more_body"]:
            break
    await hello(scope, receive, send)


@pytest.mark.parametrize("waiting", [deaf, slow_body, half_head])
def test_a_client_that_stalls_keeps_no_one_out(
    waiting: Callable[[Callable[[], socket.socket]], socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("UNREAD_SECONDS", "HEAD_SECONDS"):
        monkeypatch.setattr(connections, name, 60)
    with server(reading, limit=2) as connect:
        kept = [waiting(connect) for _ in range(20)]
        time.sleep(0.2)
        assert [status(connect()) for _ in range(3)] == [b"200"] * 3
        del kept


def test_an_unread_response_is_dropped() -> None:
    with server(hello) as connect:
        kept, since = deaf(connect), time.monotonic()
        assert any(found.unread_bytes for found in [*connections._open])
        while any(found.unread_bytes for found in [*connections._open]):
            assert time.monotonic() - since < 20
            time.sleep(0.05)
        kept.close()


def test_unread_responses_do_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 5_000_000})

    monkeypatch.setattr(connections, "UNREAD_SECONDS", 60)
    monkeypatch.setattr(connections, "UNREAD_BYTES", 12_000_000)
    with server(large, limit=8) as connect:
        kept = [deaf(connect) for _ in range(7)]
        unread = [found.unread_bytes for found in [*connections._open]]
        assert 0 < sum(unread) < 17_000_000
        del kept


def test_connections_of_the_busiest_address_are_closed_first() -> None:
    def made(network: str, since: float) -> Any:
        return Mock(network=network, idle_since=since)

    crowd = [made("2001:db8::/64", 5.0 + number) for number in range(3)]
    others = [made("192.0.2.1", 1.0), made("192.0.2.2", 9.0)]
    assert connections._end_first([others[0], *crowd, others[1]])
    assert [found.abort.called for found in (*crowd, *others)] == [True, *[False] * 4]
    assert not connections._end_first([])
