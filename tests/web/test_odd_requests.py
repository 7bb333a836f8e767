"""No request causes a 500, a redirect to another host, or more than one log line."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.config import Config
from etl.web import connections, failures
from etl.web.app import build_datasette
from tests.rounds import rounds
from tests.web.pages import Pages
from tests.web.visits import HASH, LOGIN, PASSWORD, Visitor, bearer, serving

# Every kind of route, in every format.
PATHS = [
    *("/", "/cost", "/user", "/application", "/model", "/-/refresh", "/-/refresh.json", "/favicon.ico"),
    *("/bedrock_usage", "/bedrock_usage.json", "/bedrock_usage.csv", "/bedrock_usage.jsono"),
    *(f"/bedrock_usage/{name}{form}" for name in ("calls", "events", "usage", "cost_by_user", "none")
      for form in ("", ".json", ".csv", ".blob", ".x")),
    *("/bedrock_usage/users/1", "/bedrock_usage/users/x.json", "/bedrock_usage/users/1,2.blob"),
    *("/-/metadata", "/-/plugins.json", "/-/actor.json", "/-/login", "/-/logout", "/-/messages"),
    *("/-/permissions", "/-/allow-debug", "/-/patterns", "/-/auth-token", "/-/static/app.css"),
    *("/-/static/" + "a" * 300, "/-/static/..", "/-/static-plugins/x/y", "/-/config", "/_internal"),
    *("//evil.example/", "/\\evil.example/", "/%5cevil.example/", "/%", "/%00", "/~", "/~ZZ/~FF", "/x/"),
]  # fmt: skip
NAMES = [
    "_timelimit",
    "_sort",
    "_sort_desc",
    "_sort_by_desc",
    "_size",
    "_next",
    "_facet",
    "_facet_size",
    "_facet_array",
    "_facet_date",
    "_col",
    "_nocol",
    "_where",
    "_search",
    "_search_user",
    "_through",
    "_shape",
    "_nl",
    "_labels",
    "_label",
    "_ttl",
    "_trace",
    "_stream",
    "_dl",
    "_header",
    "_json",
    "_json_infinity",
    "_blob_column",
    "_blob_hash",
    "_extra",
    "_nocount",
    "_filter_column",
    "_filter_column_1",
    "_filter_op",
    "_filter_value",
    "sql",
    "users",
    "regions",
    "models",
    "applications",
    "top",
    "since",
    "until",
    "from",
    "to",
    "range",
    "by",
    "name",
    "model",
    "region",
    "user_name__in",
    "user_name__x",
    "calls__gt",
    "day__date",
    "rowid",
    "token",
    "actor",
    "allow",
    "by_day",
]
VALUES = [
    *(b"", b"x", b"-1", b"0", b"1", b"max", b"99999999999999999999", b"1e400", b"nan", b"\x00", b"%"),
    *(b"\xff", b"\xc3\xa9", b"[", b"{", b"null", b'"', b"'", b"a" * 300, b"[" * 5000, b"{}", b"[]"),
    *(b"[1]", b'{"a": []}', b"1,2", b"$null,1", b"~", b"~zz", b"~FF", b"day", b"user_name", b"on"),
    *(b"array", b"object", b"select 1", b"select :a", b"select x'00'", b"2026-11-01", b"2026-02-30"),
]  # fmt: skip

PAIR = st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES) | st.binary(max_size=6))
QUERY = st.lists(PAIR, max_size=3).map(
    lambda pairs: "&".join(f"{name}={quote_from_bytes(value)}" for name, value in pairs)
) | st.binary(max_size=12).map(lambda raw: raw.decode("latin-1"))
HEADERS = st.sampled_from([
    (), (("Cookie", "a/b=1; ds_messages=x; ds_actor=\xff"),), (("Cookie", 'ds_csrftoken="\\'),),
    (("Accept", "\xff"),), (("X-CsrfToken", "\xe9"),), (("Authorization", "Basic x"),),
    (("Origin", "http://["),), (("Referer", "http://[/"),), (("If-None-Match", "x"),),
])  # fmt: skip
BODY = st.sampled_from([b"", b"\xff", b"csrftoken=%C3%A9", b"a=1&b", b"--x\r\n\r\n"])
KIND = st.sampled_from(["application/x-www-form-urlencoded", "multipart/form-data", "", "\xff"])


@pytest.fixture(scope="module")
def login(demo_db: Path) -> Iterator[Pages]:
    with serving(demo_db, LOGIN) as pages:
        yield pages


async def ask(
    app: Any, method: str, path: str, query: str = "", headers: Any = (), body: bytes = b""
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send a request as uvicorn does; return status, headers and body."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    raw = [("Host", "usage.example.com"), ("Authorization", bearer("boss")["Authorization"])]
    given = {name.lower(): value for name, value in (*raw, *headers)}
    scope = {
        "type": "http", "method": method, "http_version": "1.1", "scheme": "http", "path": path,
        "raw_path": path.encode("latin-1"), "query_string": query.encode("latin-1"),
        "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in given.items()],
        "client": ("192.0.2.9", 1), "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    assert sent[-1].get("more_body", False) is False
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body


# Datasette starts the facets one after the other and abandons the rest when one fails.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@given(path=st.sampled_from(PATHS), query=QUERY, headers=HEADERS, method=st.sampled_from(["GET", "GET", "HEAD", "POST"]), body=BODY, kind=KIND)  # fmt: skip
@settings(max_examples=rounds(40, 20_000), deadline=None)
def test_no_request_causes_a_500(
    login: Pages, path: str, query: str, headers: Any, method: str, body: bytes, kind: str
) -> None:
    if method == "POST":
        headers = (*headers, ("Content-Type", kind))
    code, found, _ = login.run(ask(login.app, method, path, query, headers, body))
    assert code < 500, code
    assert re.fullmatch(rb"/(?![/\\]).*", found.get(b"Location", found.get(b"location", b"/")))


EXAMPLES = [
    ("/bedrock_usage/calls", "_timelimit=x", 400), ("/bedrock_usage/calls.json", "_timelimit=x", 400),
    ("/bedrock_usage/calls", "_sort=x", 400), ("/bedrock_usage/calls", "_size=x", 400),
    ("/bedrock_usage/calls", "_next=x", 400), ("/bedrock_usage/users", "_next=%00", 200),
    ("*", "", 400), ("http://evil.example/", "", 400), ("evil.example:80", "", 400), ("", "", 400),
    ("/\xe9", "", 400), ("/bedrock_usage", "\xe9=1", 400), ("/\\evil.example/", "", 400),
    ("/-/static/" + "a" * 300, "", 404), ("/none", "", 404), ("/bedrock_usage/none.csv", "", 404),
]  # fmt: skip


@pytest.mark.parametrize(("path", "query", "code"), EXAMPLES)
def test_a_malformed_address_is_a_400(
    login: Pages, capfd: pytest.CaptureFixture[str], path: str, query: str, code: int
) -> None:
    assert login.run(ask(login.app, "GET", path, query))[0] == code
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) <= 1


def test_a_failure_is_one_line_without_any_secret(
    demo_db: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def fail(self: Any, user: str, password: str) -> bool:
        raise ValueError(f"{user} {password} {self._hashes}")

    monkeypatch.setattr("etl.web.passwords.Passwords._check", fail)
    with serving(demo_db, LOGIN) as pages:
        answer = Visitor(pages).log_in("carol", "my-secret-word")
        headers = bearer("boss")
        lost = Visitor(pages, **headers).get("/-/nothing%1b[31m?token=my-secret-word")
        odd = Visitor(pages, **headers).get("/bedrock_usage/calls?_timelimit=my-secret-word")
        for page in ("", "/calls", "/usage"):
            for form in ("", ".json", ".csv"):
                sql = "sql=select+f('my-secret-word'),:a&a=my-secret-word&regions=my-secret-word"
                where = "_where=f('my-secret-word')"
                Visitor(pages, **headers).get(f"/bedrock_usage{page}{form}?{sql}&{where}")
    assert (answer.status_code, lost.status_code, odd.status_code) == (500, 302, 400)
    assert "my-secret-word" not in answer.text
    written = "".join(capfd.readouterr()) + caplog.text
    for secret in ("my-secret-word", HASH, HASH[-20:], PASSWORD, "token-of", "Traceback", "\x1b"):
        assert secret not in written
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("POST /-/login 500: ValueError at test_odd_requests.py:")
    assert lines[1] == "GET /bedrock_usage/calls 400: ValueError"
    assert {line.rpartition(" ")[2] for line in lines[2:]} == {"DatasetteError"}


def test_a_value_that_is_nested_too_deeply_is_the_visitors_fault(pages: Pages) -> None:
    deep = quote_from_bytes(b"[" * 20_000)
    for path in (
        f"/-/allow-debug?actor={deep}",
        f"/bedrock_usage/calls.json?_json=region&region__in={deep}",
        f"/bedrock_usage.json?_json=a&sql=select+'{deep}'+as+a",
        f"/bedrock_usage/users?_through={deep}",
    ):
        assert pages.open(path).status_code == 400, path[:60]


def test_an_exception_outside_of_datasette_is_caught_too() -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("secret")

    async def half(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("secret")

    assert run_caught(broken) == [500, b"The server failed; its log shows where"]
    assert run_caught(half) == [200]


def run_caught(app: Any) -> list[Any]:
    import asyncio

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message.get("status") or message["body"])

    scope = {"type": "http", "method": "GET", "path": "/"}
    asyncio.run(failures.catch(app, scope, lambda: None, send))  # type: ignore[arg-type,return-value]
    return sent


@pytest.fixture(scope="module")
def address(demo_db: Path) -> Iterator[tuple[str, int]]:
    with wired(build_datasette(demo_db, Config()).app()) as address:
        yield address


@contextmanager
def wired(app: Any) -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="warning", ws="none", **connections.settings())
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            running.should_exit = running.force_exit = True
            thread.join(timeout=10)


TE, CL = b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n"
SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("request_", [
    b"GET http://evil.example/ HTTP/1.1\r\n%b\r\n", b"GET * HTTP/1.1\r\n%b\r\n",
    b"GET //evil.example/%%2e%%2e HTTP/9\r\n%b\r\n", b"GET /\\evil.example/ HTTP/1.1\r\n%b\r\n",
    b"POST / HTTP/1.1\r\n%b" + TE + CL + b"\r\n" + SMUGGLED,
    b"POST / HTTP/1.1\r\n%b" + CL + TE + b"\r\n" + SMUGGLED,
    b"POST / HTTP/1.0\r\n%b" + TE + b"\r\n" + SMUGGLED,
    b"POST / HTTP/1.1\r\n%b" + TE + TE + b"\r\n" + SMUGGLED,
    b"POST / HTTP/1.1\r\n%bTransfer-Encoding: gzip, chunked\r\n\r\n" + SMUGGLED,
    b"POST / HTTP/1.1\r\n%b" + CL + b"Content-Length: 4\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\n%bContent-Length: -1\r\n\r\n", b"GET /\xe9 HTTP/1.1\r\n%b\r\n",
    b"GET /\x00 HTTP/1.1\r\n%b\r\n", b"GET / HTTP/1.1\r\n%b%b\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    b"GET / HTTP/1.1\r\n%bX\x00: 1\r\n\r\n", b"GET / HTTP/1.1\r\n%bX : 1\r\n\r\n", b"GET /\r\n\r\n",
])  # fmt: skip
def test_a_request_that_can_be_read_in_two_ways_is_refused(
    address: tuple[str, int], request_: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request_.replace(b"%b", b"Host: localhost\r\n").replace(b"%%", b"%"))
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert re.match(rb"HTTP/1\.[01] (4|501)", answer), answer[:100]
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\nlocation:" not in answer.lower()
    assert "Traceback" not in "".join(capfd.readouterr())
