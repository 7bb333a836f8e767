"""The tools of agents on the running server: the SDK's own client, logins, other sites."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from etl import agents as package
from etl.agents.tools import TOOLS
from etl.config import Config, Serve
from etl.web import agents
from etl.web.app import build_datasette
from tests.cases import cases
from tests.cli.running import run
from tests.web.agent_calls import ask, post, told
from tests.web.pages import Pages, closing_pages
from tests.web.server import served, serving_here
from tests.web.visits import LOGIN, PROXY, SEARCH, TOKENS, Visitor, bearer, serving

sdk = pytest.importorskip("mcp", reason="an extra, mcp")
http = pytest.importorskip("mcp.client.streamable_http")


@pytest.fixture(scope="module")
def login(demo_db: Path) -> Iterator[Pages]:
    with serving(demo_db, LOGIN) as pages:
        yield pages


def in_a_session(
    url: str, ask_it: Callable[[Any], Awaitable[Any]], headers: dict[str, str] | None = None
) -> Any:
    async def session() -> Any:
        async with (
            httpx.AsyncClient(headers=headers) as client,
            http.streamable_http_client(f"{url}{agents.PATH[1:]}", http_client=client) as streams,
            sdk.ClientSession(*streams[:2]) as session,
        ):
            await session.initialize()
            return await ask_it(session)

    return asyncio.run(session())


def test_a_client_asks_the_server_of_this_machine(demo_db: Path, url: str) -> None:
    async def ask_it(client: Any) -> Any:
        assert {tool.name for tool in (await client.list_tools()).tools} == {t.name for t in TOOLS}
        count = await client.call_tool("query", {"sql": "select count(*) as n from calls"})
        assert count.structuredContent["rows"][0]["n"] > 3000
        assert len((await client.list_resources()).resources) > 40
        answer = await client.call_tool("costs_by", {"by": "users", "top": 500})
        return answer.structuredContent

    found = in_a_session(url, ask_it)
    printed = json.loads(run("report", "users", "--db", demo_db, "--format", "json")[1])
    assert printed.pop("filters") == {}
    assert {name: found[name] for name in printed} == printed


def test_a_token_shows_a_client_what_its_visitor_may_see(login: Pages) -> None:
    async def ask_it(client: Any) -> Any:
        names = {tool.name for tool in (await client.list_tools()).tools}
        resources = [str(one.uri) for one in (await client.list_resources()).resources]
        answer = await client.call_tool("costs_by", {"by": "applications"})
        return names, resources, {row["application"] for row in answer.structuredContent["rows"]}

    with served(login.datasette.app()) as url:
        names, resources, applications = in_a_session(url, ask_it, bearer("nightly"))
        assert names == {tool.name for tool in TOOLS if tool.for_restricted}
        assert resources == ["bedrock-usage://docs/numbers"]
        assert applications == {SEARCH, "WebPortal"}
        names, resources, applications = in_a_session(url, ask_it, bearer("boss"))
        assert len(names) == len(TOOLS)
        assert len(resources) > 40
        assert applications > {SEARCH, "WebPortal", "MobileApp"}
        with pytest.raises(BaseExceptionGroup):
            in_a_session(url, ask_it)


@cases(("headers", "code"), [
    ({}, 401),
    ({"Authorization": "Bearer wrong"}, 401),
    ({"Authorization": f"Basic {TOKENS['boss']}"}, 401),
    ({"Authorization": f"bearer {TOKENS['boss']}"}, 401),
    ({"X-Forwarded-User": "boss"}, 401),
    ({"Cookie": "ds_actor=boss"}, 401),
    (bearer("boss"), 200),
    # A page of another site, whatever it sends; and the names that it may give this machine.
    ({**bearer("boss"), "Origin": "https://evil.example"}, 403),
    ({**bearer("boss"), "Origin": "null"}, 403),
    ({**bearer("boss"), "Sec-Fetch-Site": "cross-site"}, 403),
    ({**bearer("boss"), "Sec-Fetch-Site": "same-site"}, 403),
    ({**bearer("boss"), "Host": "evil.example"}, 421),
    ({**bearer("boss"), "Host": "localhost.evil.example"}, 421),
    # What a form can send without asking.
    ({**bearer("boss"), "Content-Type": "text/plain"}, 415),
    ({**bearer("boss"), "Content-Type": "application/x-www-form-urlencoded"}, 415),
    ({**bearer("boss"), "Content-Type": "multipart/form-data"}, 415),
    ({**bearer("boss"), "Content-Type": ""}, 415),
    ({**bearer("boss"), "Content-Type": "text/plain; application/json"}, 415),
    ({**bearer("boss"), "Content-Type": "application/json; charset=utf-8"}, 200),
    ({**bearer("boss"), "Accept": "text/html"}, 406),
    ({**bearer("boss"), "MCP-Protocol-Version": "1999-01-01"}, 400),
])  # fmt: skip
def test_who_may_ask(login: Pages, headers: dict[str, str], code: int) -> None:
    answer = post(Visitor(login), "freshness", headers=headers)
    assert answer.status_code == code
    assert ("first_day" in answer.text) == (code == 200)
    assert "set-cookie" not in answer.headers


def test_without_a_login_other_sites_get_nothing_either(pages: Pages) -> None:
    visitor = Visitor(pages, "127.0.0.1", Host="localhost:8001")
    assert "rows" in ask(visitor, "costs_by", by="users")
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "text/plain"},
        {"Host": "evil.example"},
    ):
        answer = post(visitor, "costs_by", headers=headers, by="users")
        assert answer.status_code in (403, 415, 421)
    for method in ("GET", "HEAD", "DELETE", "OPTIONS", "PUT"):
        answer = visitor.request(method, agents.PATH, headers={"Origin": "http://evil.example"})
        assert answer.status_code in (403, 405)
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_the_cookie_of_a_browser_is_no_login_here(login: Pages) -> None:
    """A page cannot use what a browser sends by itself."""
    visitor = Visitor(login)
    assert visitor.log_in("carol").status_code == 302
    assert visitor.get("/").status_code == 200
    assert post(visitor, "freshness").status_code == 401
    assert visitor.get(agents.PATH).status_code == 401


def test_a_proxy_signs_agents_in(demo_db: Path) -> None:
    with serving(demo_db, PROXY) as pages:
        named = Visitor(pages, "10.0.0.5", **{"X-Forwarded-User": "ALICE"})
        rows = ask(named, "costs_by", by="applications")["rows"]
        assert [row["application"] for row in rows] == [SEARCH]
        others = Visitor(pages, "10.0.0.5", **{"X-Forwarded-User": "other"})
        rows = ask(others, "costs_by", by="applications")["rows"]
        assert [row["application"] for row in rows] == ["MobileApp"]
        foreign = Visitor(pages, "10.0.0.6", **{"X-Forwarded-User": "boss"})
        assert post(foreign, "freshness").status_code == 403


OTHER = "DataAnalysisApp"
# Every way to ask for what others did.
ATTACKS: dict[str, tuple[str, dict[str, Any]]] = {
    "others' application": ("costs_by", {"by": "users", "applications": [OTHER]}),
    "both": ("costs_by", {"by": "applications", "applications": [OTHER, SEARCH]}),
    "by day": ("costs_by", {"by": "days", "applications": [OTHER]}),
    "by team": ("costs_by", {"by": "teams"}),
    "by model": ("costs_by", {"by": "models"}),
    "all of it": ("costs_by", {"by": "breakdown", "top": 500}),
    "the bill": ("costs_by", {"by": "applications", "billed": True}),
    "the visitor's parameter": ("costs_by", {"by": "users", "_visitor_applications": None}),
    "the filters' field": ("costs_by", {"by": "users", "visible_applications": [OTHER]}),
    "metadata": ("costs_by_metadata", {"key": "tenant"}),
    "cost": ("explain_cost", {"applications": [OTHER]}),
    "all costs": ("explain_cost", {"top": 500}),
    "coverage": ("coverage", {"top": 500}),
    "names": ("list_names", {"top": 500}),
    "freshness": ("freshness", {}),
    "status": ("status", {}),
    "gaps": ("price_gaps", {}),
    "bill": ("bill", {}),
    "call": ("explain_call", {"event_id": "00000001-0000-4000-8000-000000000001"}),
    "SQL": ("query", {"sql": "select * from application_costs"}),
    "no tool": ("no_such_tool", {}),
}


@cases("attack", ATTACKS)
def test_a_restricted_visitor_gets_its_own_usage_only(login: Pages, attack: str) -> None:
    tool, given = ATTACKS[attack]
    seen = post(Visitor(login, **bearer("nightly")), tool, **given)
    whole = post(Visitor(login, **bearer("boss")), tool, **given)
    assert (seen.status_code, whole.status_code) == (200, 200)
    own = ("DocumentProcessorApp", "MobileApp", "CustomerServiceApp", "claude-cli", "BackendAPI")
    assert [name for name in (OTHER, *own) if name in seen.text] == []
    if tool not in {one.name for one in TOOLS if one.for_restricted}:
        nothing = post(Visitor(login, **bearer("nightly")), "no_such_tool")
        assert seen.text == nothing.text
    elif attack not in ("the visitor's parameter", "the filters' field", "metadata"):
        assert seen.text != whole.text


def test_a_restricted_visitor_reads_no_view(login: Pages) -> None:
    visitor = Visitor(login, **bearer("nightly"))
    for uri in ("bedrock-usage://views", "bedrock-usage://views/calls", "bedrock-usage://x"):
        answer = told(visitor, "resources/read", uri=uri)
        assert "no such resource" in answer["error"]["message"]
    assert "result" in told(visitor, "resources/read", uri="bedrock-usage://docs/numbers")


def nested(depth: int) -> bytes:
    """Return a question with an argument of so many lists."""
    value = "[" * depth + "]" * depth
    call = f'{{"name": "costs_by", "arguments": {{"by": {value}}}}}'
    return f'{{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {call}}}'.encode()


def test_odd_messages_are_refused(login: Pages, caplog: pytest.LogCaptureFixture) -> None:
    visitor = Visitor(login, **bearer("boss"))
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    for body, codes in (
        (b"", {400}), (b"{", {400}), (b"[]", {400}), (b"[" * 60_000, {400}), (b"\xff\xfe", {400}),
            (nested(400), {200, 400}), (nested(900), {200, 400}), (nested(10_000), {400}),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "secret/method"}', {200, 400}),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 5}}', {200, 400}),
        (b'{"jsonrpc": "2.0", "method": "notifications/initialized"}', {202}),
        (b" " * (64 << 10) + b"{}", {413}),
    ):  # fmt: skip
        answer = visitor.request("POST", agents.PATH, content=body, headers=headers)
        assert answer.status_code in codes, body[:60]
    assert "secret" not in caplog.text


def test_a_message_may_be_sent_to_this_path_only(login: Pages) -> None:
    visitor = Visitor(login, **bearer("boss"))
    for path in ("/-/mcp", f"{agents.PATH}/", f"{agents.PATH}.json", "/-/bedrock-usage", "/"):
        answer = visitor.request("POST", path, json={"jsonrpc": "2.0"})
        assert answer.status_code in (400, 404, 405)


def test_a_client_that_leaves_stops_its_question(demo_db: Path) -> None:
    """And the dashboard answers all the while."""
    endless = (
        "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
    )
    with serving_here(demo_db) as url, httpx.Client(base_url=url) as browser:
        message = {"name": "query", "arguments": {"sql": endless}}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{url}{agents.PATH[1:]}", timeout=1,
                headers={"Accept": "application/json"},
                json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": message},
            )  # fmt: skip
        assert browser.get("/").status_code == 200


def test_without_the_extra_the_server_says_what_to_install(
    demo_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "has_sdk", lambda: False)
    with closing_pages(build_datasette(demo_db, Config(serve=Serve()))) as pages:
        answer = post(Visitor(pages, "127.0.0.1", Host="localhost"), "freshness")
    assert answer.status_code == 404
    assert package.NEEDS_SDK in answer.text
