"""Datasette's own pages: rendered in a separate thread, and limited in size."""

from __future__ import annotations

import asyncio
import re
import threading
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest

from etl.web import datasette_views, guard
from etl.web.datasette_thread import DatasetteThread
from etl.web.protocol import Message, Receive, Scope, Send
from etl.web.site import DATABASE
from tests.cases import cases
from tests.web.pages import Pages

NUMBERS = "with recursive n (i) as (select 1 union all select i + 1 from n limit 5000) select "


async def nothing() -> Message:
    return {"type": "http.request", "body": b""}


@cases(
    ("path", "is_in_datasette_thread"),
    [
        *(("/", False), ("/cost", False), ("/user", False), ("/-/login", False)),
        *(("/-/static/app.css", False), ("/favicon.ico", False), ("/-/refresh.json", False)),
        *((f"/{DATABASE}", True), (f"/{DATABASE}/calls", True), (f"/{DATABASE}.csv", True)),
        *(("/-/metadata", True), ("/-/logout", True), ("/nowhere", True)),
    ],
)
def test_only_our_own_pages_are_answered_in_the_servers_thread(
    pages: Pages, path: str, is_in_datasette_thread: bool
) -> None:
    threads = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        threads.append(threading.current_thread())
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async def ask() -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"host", b"localhost")]
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b""}
        await guard.wrap(pages.datasette, app)(scope | {"headers": headers}, nothing, send)
        threads.append(threading.current_thread())
        return sent

    assert [message["type"] for message in pages.run(ask())][-1] == "http.response.body"
    assert (threads[0] is not threads[1]) == is_in_datasette_thread


def test_what_blocks_in_the_datasette_thread_blocks_no_one_else_and_is_sent_whole() -> None:
    may_go_on = threading.Event()
    parts = [bytes([number % 256]) * number for number in range(700)]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert may_go_on.wait(10)
        await send({"type": "http.response.start", "status": 200})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    async def ask() -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        answer = asyncio.ensure_future(DatasetteThread().answer(app, {}, nothing, send))
        await asyncio.sleep(0.01)
        may_go_on.set()
        await answer
        return sent

    start, *body = asyncio.run(ask())
    assert start["status"] == 200
    assert b"".join(message["body"] for message in body) == b"".join(parts)
    assert [message["more_body"] for message in body] == [True] * (len(body) - 1) + [False]
    assert len(body) < 10


def test_an_error_and_a_cancellation_are_passed_on() -> None:
    ended = threading.Event()

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("x")

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def ask() -> None:
        answer = partial(DatasetteThread().answer, scope={}, receive=nothing, send=failing)  # type: ignore[arg-type]
        with pytest.raises(KeyError):
            await answer(failing)
        waiting = asyncio.ensure_future(answer(endless))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(ask())
    assert ended.wait(10)


@pytest.mark.parametrize("columns", [1, 20, 300])
def test_a_page_shows_as_many_cells_as_can_be_drawn_and_json_has_all(
    pages: Pages, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasette_views, "PAGE_CELLS", 3000)
    most = 3000 // columns
    sql = NUMBERS + ", ".join(f"i as c{column}" for column in range(columns)) + " from n"
    page = pages.get(sql=sql).text
    shown = len(re.findall(r"<tr", page)) - 1
    assert shown == most
    assert "returning more than" in page
    if columns == 20:
        data = pages.open(f"/{DATABASE}.json?{urlencode({'sql': sql, '_shape': 'arrays'})}")
        assert len(data.json()["rows"]) == 5000


def test_a_table_continues_on_the_next_page(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasette_views, "PAGE_ROWS", 50)

    def rows(address: str) -> tuple[int, bool]:
        text: Any = pages.open(f"/{DATABASE}/{address}").text
        return len(re.findall(r"<tr", text)) - 1, "Next page" in text

    assert rows("calls?_size=max&_col=region") == (50, True)
    assert rows("calls?_size=51&_col=region") == (50, True)
    assert rows("calls?_size=7&_col=region") == (7, True)
    data = pages.open(f"/{DATABASE}/calls.json?_size=max&_col=region").json()
    assert len(data["rows"]) > 50
