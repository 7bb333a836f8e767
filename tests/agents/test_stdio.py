"""A session over stdin and stdout: by the SDK's own client, and line by line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from etl import agents, resources
from etl.agents.tools import TOOLS
from etl.errors import STOPPED
from etl.warehouse.database import open_warehouse, view_sql
from tests.agents.asking import ARGUMENTS, at_the_desk, sdk
from tests.cli.running import ROOT, run
from tests.support import call, load, write_log

stdio = pytest.importorskip("mcp.client.stdio")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("stdio")
    with open_warehouse(folder / "w.db", create=True) as db:
        load(db, write_log(folder / "log.json", [call(n, tokens=(n, 1)) for n in range(1, 6)]))
    yield folder / "w.db"


def command(path: Path) -> list[str]:
    return [sys.executable, "-m", "etl", "mcp", "--db", str(path)]


def in_a_session(path: Path, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    """Run the command as a client does, and ask it."""
    program, *words = command(path)
    server = stdio.StdioServerParameters(
        command=program, args=words, cwd=str(ROOT), env=dict(os.environ)
    )

    async def session() -> Any:
        async with (
            stdio.stdio_client(server) as (receive, send),
            sdk.ClientSession(receive, send) as client,
        ):
            await client.initialize()
            return await ask(client)

    return asyncio.run(session())


def test_a_client_gets_every_tool_and_every_page(path: Path) -> None:
    """The client refuses an answer that its schema does not describe."""

    async def ask(client: Any) -> dict[str, Any]:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(listed) == {tool.name for tool in TOOLS}
        for tool in listed.values():
            assert tool.annotations.readOnlyHint
            assert "untrusted" in tool.description
            assert tool.inputSchema["additionalProperties"] is False
        described = listed["costs_by"].outputSchema["properties"]["rows"]["items"]["properties"]
        assert described["cost_usd"]["description"].startswith("USD after discounts")
        found = {}
        for name in ("costs_by", "explain_cost", "coverage", "list_names", "freshness", "status",
                     "price_gaps", "query"):  # fmt: skip
            answer = await client.call_tool(name, ARGUMENTS.get(name, {}))
            assert not answer.isError
            summary, text = (one.text for one in answer.content)
            assert summary == answer.structuredContent["summary"]
            assert json.loads(text) == answer.structuredContent
            found[name] = answer.structuredContent
        for name, given in (("bill", {}), ("costs_by", {"by": "x"}), ("x", {})):
            answer = await client.call_tool(name, given)
            assert (answer.isError, answer.structuredContent) == (True, None)
        await read_pages(client)
        return found

    found = in_a_session(path, ask)
    assert [found["costs_by"]] == at_the_desk(path, ("costs_by", {"by": "users"}))
    assert found["query"]["rows"][0]["calls"] == 5


async def read_pages(client: Any) -> None:
    listed = {str(one.uri): one for one in (await client.list_resources()).resources}
    texts = {
        uri: (await client.read_resource(one.uri)).contents[0].text for uri, one in listed.items()
    }
    numbers = resources.NUMBERS.read_text(encoding="utf-8")
    assert texts.pop("bedrock-usage://docs/numbers") == numbers
    overview = texts.pop("bedrock-usage://views")
    assert len(texts) > 40
    for uri, text in texts.items():
        name = uri.rpartition("/")[2]
        assert name in view_sql()
        assert f"`{name}`" in overview
        assert text.startswith(f"# {name}: ")
        assert "- `" in text
    for uri in ("bedrock-usage://views/sqlite_master", "file:///etc/passwd"):
        with pytest.raises(sdk.McpError, match="no such resource"):
            await client.read_resource(uri)


HELLO = [
    {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"},
    }},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
]  # fmt: skip


def asked(number: int, tool: str, **given: Any) -> dict[str, Any]:
    params = {"name": tool, "arguments": given}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def said(path: Path, *lines: object) -> tuple[list[dict[str, Any]], str, int]:
    """Return the answers to lines that end at once, what stderr has, and the status."""
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
    done = subprocess.run(
        command(path), input=text.encode("utf-8", "surrogateescape"), capture_output=True,
        cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    return answers, done.stderr.decode(), done.returncode


ENDLESS = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
# No messages, and messages that mean nothing to this server.
ODD: tuple[object, ...] = (
    *("nonsense", "[1]", "{}", "", '"\udcff\x1b[2J"', "x" * 3_000_000, "[" * 90_000),
    {"jsonrpc": "2.0", "method": "notifications/nonsense", "params": {"nonsense": 1}},
    {"jsonrpc": "2.0", "id": 77, "result": {"nonsense": 1}},
)


@pytest.fixture(scope="module")
def conversation(path: Path) -> tuple[dict[Any, dict[str, Any]], list[dict[str, Any]], str]:
    """Everything at once, with an early end: answers by id, refusals without one, and stderr."""
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 50}}
    wrong = {
        "jsonrpc": "2.0",
        "id": 60,
        "method": "tools/call",
        "params": {"name": {"nonsense": 1}},
    }
    new = {"jsonrpc": "2.0", "id": 61, "method": "nonsense/list"}
    none = {"jsonrpc": "2.0", "id": 62, "method": "prompts/list"}
    questions = [asked(number, "costs_by", by="days") for number in range(2, 9)]
    answers, errors, status = said(
        path, *HELLO, *ODD, wrong, new, none, asked(50, "query", sql=ENDLESS), cancel, *questions
    )
    assert status == 0
    named = {one["id"]: one for one in answers if one["id"] != ""}
    return named, [one for one in answers if one["id"] == ""], errors


def test_everything_asked_is_answered_before_the_end(conversation: Any) -> None:
    answers, _, errors = conversation
    assert set(answers) - {50, 60, 61, 62} == {*range(1, 9)}
    assert all("result" in answers[number] for number in range(1, 9))
    assert errors == ""


def test_what_is_no_message_costs_only_itself(conversation: Any) -> None:
    """It is not quoted either, in an answer or a log."""
    answers, refused, errors = conversation
    assert len(refused) >= 6
    assert {one["error"]["code"] for one in refused} == {-32700}
    assert answers[60]["error"]["code"] == -32602
    assert {answers[number]["error"]["code"] for number in (61, 62)} == {-32601}
    shown = f"{answers}{refused}{errors}"
    assert not [text for text in ("nonsense", "\x1b", "xxx", "[[[") if text in shown]


def test_a_cancelled_question_is_not_waited_for(conversation: Any) -> None:
    answers, _, _ = conversation
    assert "result" not in answers.get(50, {})


def test_an_unexpected_failure_tells_nothing(path: Path, tmp_path: Path) -> None:
    """An agent gets a sentence, and stderr the kind of failure."""
    other = tmp_path / "w.db"
    other.write_bytes(path.read_bytes())
    process = subprocess.Popen(
        command(other), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{json.dumps(HELLO[0])}\n".encode())
    process.stdin.flush()
    process.stdout.readline()
    # Meanwhile another program breaks the file.
    with closing(sqlite3.connect(other)) as db:
        db.execute("drop view stg_users")
        db.execute("create view stg_users as select 1 as secret_name")
    lines = "\n".join(json.dumps(one) for one in (HELLO[1], asked(2, "costs_by", by="users")))
    out, err = process.communicate(lines.encode(), timeout=60)
    failed = json.loads(out)
    assert failed["result"]["isError"]
    assert b"secret_name" not in out + err
    assert failed["result"]["content"][0]["text"] == "the server failed; its log shows where"
    assert b"WarehouseError at " in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_it(path: Path, number: int) -> None:
    process = subprocess.Popen(
        command(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    for line in (*HELLO, asked(2, "query", sql=ENDLESS)):
        process.stdin.write(json.dumps(line).encode() + b"\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["id"] == 1
    process.send_signal(number)
    _, err = process.communicate(timeout=8)
    assert (process.returncode, err.decode().splitlines()) == (0, [STOPPED])


def test_without_the_extra_it_says_what_to_install(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl.cli.shared.serving.has_sdk", lambda: False)
    assert run("mcp", "--db", path) == (2, "", f"Error: {agents.NEEDS_SDK}\n")
    assert run("mcp", "--db", path.parent / "none.db")[0] == 1


def test_no_other_command_imports_the_sdk(path: Path) -> None:
    words = ["report", "users", "--db", str(path)]
    code = (
        "import sys\nfrom etl.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "import etl.web.app\nassert not {'mcp', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, check=True, capture_output=True)
