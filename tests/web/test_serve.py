"""``bedrock-usage serve`` as a process: it reads while others write, and listens only on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from etl.warehouse.database import open_warehouse
from etl.warehouse.visitor_sql.processes import Statement, VisitorProcesses
from etl.web.app import SETTINGS
from etl.web.connections import Connection
from etl.web.warehouse import COUNT_LIMIT_MS
from tests.cli.running import run
from tests.rounds import long, some
from tests.support import call, load, write_log
from tests.web.pages import open_pages

# The hash of PASSWORD, from `datasette hash-password`.
PASSWORD = "x"
HASH = "pbkdf2_sha256$480000$547fd049b5dffc5c8da21143de7656d4$7xVs93pQ6PRatnNDnumVAHMm6EB8nhVK9WFX1cQHTXM="

Serving = Callable[[Path], AbstractContextManager[str]]


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    path = tmp_path / "w.db"
    with open_warehouse(path, create=True) as db:
        load(db, write_log(tmp_path / "first.json", [call(1, user="alice", tokens=(10, 1))]))
    return path


def fetch(url: str) -> str:
    response = httpx.get(url, timeout=20)
    assert response.status_code == 200
    return response.text


def users(url: str) -> set[str]:
    rows: list[dict[str, Any]] = json.loads(
        fetch(f"{url}bedrock_usage/cost_by_user.json?_shape=array")
    )
    return {row["user_name"] for row in rows}


@long
def test_it_shows_what_another_process_loads_meanwhile(
    warehouse: Path, tmp_path: Path, serving: Serving
) -> None:
    log = write_log(tmp_path / "second.json", [call(2, user="bob", tokens=(10, 1))])
    with serving(warehouse) as url:
        assert "Amazon Bedrock usage and cost" in fetch(url)
        assert users(url) == {"alice"}
        loaded = subprocess.run(
            [sys.executable, "-m", "etl", "load", log, "--db", warehouse], capture_output=True
        )
        assert loaded.returncode == 0
        assert users(url) == {"alice", "bob"}
        assert "bob" in fetch(f"{url}bedrock_usage/user_costs")


def test_it_reads_while_a_load_is_writing_and_is_not_in_its_way(
    warehouse: Path, serving: Serving
) -> None:
    with serving(warehouse) as url:
        assert users(url) == {"alice"}
        with closing(sqlite3.connect(warehouse, timeout=1)) as writer:
            writer.execute("begin immediate")
            writer.execute("update users set user_name = 'carol'")
            assert users(url) == {"alice"}
            writer.commit()
        assert users(url) == {"carol"}


def test_ctrl_c_stops_it_cleanly(warehouse: Path) -> None:
    command = [sys.executable, "-m", "etl", "serve", "--db", str(warehouse), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        url = re.findall(r"http://127\.0\.0\.1:\d+/", process.stderr.readline())[0]
        fetch(url)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    # stdout is for data, and a line for each request is noise.
    assert (process.returncode, out, err) == (0, "", "")


@pytest.fixture
def never_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if the command starts to serve: it would never end."""

    def run(*args: object, **options: object) -> None:
        raise AssertionError("it serves")

    monkeypatch.setattr("uvicorn.Server.run", run)


@pytest.mark.usefixtures("never_serving")
@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "example.com", ""])
def test_it_refuses_to_serve_other_machines(warehouse: Path, host: str) -> None:
    status, out, err = run("serve", "--db", warehouse, "--host", host, "--port", "0")
    assert (status, out) == (2, "")
    assert f"{host} is not a loopback address" in err


LOGIN = f'[serve.passwords]\nalice = "{HASH}"\n'
NAMES = '[serve]\nhost_names = ["usage.example.com"]\n'
PROXY = ("--behind-proxy", "X-Forwarded-User", "--proxy-address", "10.0.0.5")
RESTRICTION = '[[serve.restrictions]]\nvisitor = "alice"\napplications = ["Search"]\n'

UNSAFE: list[tuple[str, tuple[str, ...], str]] = [
    (NAMES, ("--host", "0.0.0.0"), "serve: restrictions and host_names need a server with a login"),
    (RESTRICTION, (), "serve: restrictions and host_names need a server with a login"),
    ("", ("--host", "192.0.2.1"), "set passwords or tokens under [serve] in bedrock_usage.toml, or pass --behind-proxy"),
    (LOGIN, ("--host", "0.0.0.0"), "set host_names, the names that it is reached by, under [serve]"),
    (LOGIN, ("--host", "::"), "set host_names, the names that it is reached by, under [serve]"),
    (LOGIN, ("--host", ""), "set host_names, the names that it is reached by, under [serve]"),
    ("", ("--host", "0.0.0.0", *PROXY), "set host_names, the names that it is reached by"),
    ("", PROXY[:2], "--behind-proxy and --proxy-address must be given together"),
    ("", PROXY[2:], "--behind-proxy and --proxy-address must be given together"),
    ("", (*PROXY, "--proxy-address", "0.0.0.0/0"), "--behind-proxy: addresses: '0.0.0.0/0' is every address"),
    ("", ("--behind-proxy", "a b", "--proxy-address", "10.0.0.5"), "--behind-proxy: header: 'a b' is not a header"),
    (LOGIN, PROXY, "--behind-proxy: behind_proxy cannot be combined with passwords or tokens"),
    ('[serve.tokens]\nci = "NO_SUCH_TOKEN"', (), "NO_SUCH_TOKEN, the variable with the token of ci"),
    ("[serve]\nhostname = 1", (), "serve: unknown key hostname; did you mean host_names?"),
]  # fmt: skip


@pytest.mark.usefixtures("never_serving")
@pytest.mark.parametrize(("text", "options", "message"), some(UNSAFE, 6))
def test_what_would_let_others_in_is_refused(
    warehouse: Path, text: str, options: tuple[str, ...], message: str
) -> None:
    config = warehouse.with_name("c.toml")
    config.write_text(text)
    words = ("--config", config, "--port", "0", *options)
    status, out, err = run("serve", "--db", warehouse, *words)
    assert (status, out) == (2, "")
    assert message in " ".join(err.replace("\n", " ").split())
    assert HASH not in err


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (LOGIN, ("--host", "localhost")),
        (NAMES + LOGIN, ("--host", "0.0.0.0")),
        (NAMES + RESTRICTION, ("--host", "0.0.0.0", *PROXY)),
    ],
)
def test_with_a_login_it_serves_and_believes_no_forwarded_address(
    warehouse: Path, monkeypatch: pytest.MonkeyPatch, text: str, options: tuple[str, ...]
) -> None:
    pytest.importorskip("datasette_auth_passwords")
    served: list[Any] = []
    monkeypatch.setattr("uvicorn.Server.run", lambda server, **_: served.append(server.config))
    config = warehouse.with_name("c.toml")
    config.write_text(text)
    status, _, err = run("serve", "--db", warehouse, "--config", config, "--port", "0", *options)
    assert (status, err.startswith("Datasette at http://")) == (0, True)
    assert served[0].proxy_headers is False
    assert served[0].http is Connection


def test_a_password_is_asked_for_over_the_wire(warehouse: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasette_auth_passwords")
    (tmp_path / "bedrock_usage.toml").write_text(LOGIN)
    command = [sys.executable, "-m", "etl", "serve", "--db", str(warehouse), "--port", "0"]
    environment = os.environ | {"BEDROCK_USAGE_CONFIG": str(tmp_path / "bedrock_usage.toml")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            url = process.stderr.readline().split()[2]
            with httpx.Client(base_url=url, timeout=20) as client:
                assert client.get("bedrock_usage/calls.json").status_code == 403
                assert client.get("-/login").status_code == 200
                form = {
                    "username": "alice",
                    "password": PASSWORD,
                    "csrftoken": client.cookies["ds_csrftoken"],
                }
                assert client.post("-/login", data=form).status_code == 302
                assert client.get("bedrock_usage/calls.json").status_code == 200
                assert client.get("", headers={"Host": "evil.example"}).status_code == 421
        finally:
            process.terminate()


@pytest.mark.usefixtures("never_serving")
def test_a_port_in_use_is_reported(warehouse: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        status, out, err = run("serve", "--db", warehouse, "--port", port)
    assert (status, out) == (1, "")
    assert err == (
        f"Error: port {port} of 127.0.0.1: {os.strerror(98)}; choose another with --port\n"
    )


@pytest.mark.usefixtures("never_serving")
def test_without_a_warehouse_there_is_nothing_to_serve(tmp_path: Path) -> None:
    status, _, err = run("serve", "--db", tmp_path / "none.db", "--port", "0")
    assert status == 1
    assert "there is no warehouse" in err


def test_a_page_does_not_wait_for_the_count_of_its_rows(
    warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(warehouse)) as connection:
        connection.execute(
            "create view endless as with recursive n (n) as (select 1 union all select n + 1 from n)"
            " select n from n"
        )
    asked: dict[str, float] = {}
    run_elsewhere = VisitorProcesses.run

    async def recording(self: VisitorProcesses, statement: Statement) -> Any:
        asked[statement.sql.strip()] = statement.milliseconds
        return await run_elsewhere(self, statement)

    monkeypatch.setattr(VisitorProcesses, "run", recording)
    with open_pages(warehouse) as pages:
        answer = pages.get("endless.json", _shape="objects").json()
        assert [row["n"] for row in answer["rows"]][:3] == [1, 2, 3]
        assert answer["filtered_table_rows_count"] is None
        assert asked["select count(*) from endless"] == COUNT_LIMIT_MS
        assert pages.get("users.json", _shape="objects").json()["filtered_table_rows_count"] == 1
        pages.open("/bedrock_usage.json?sql=select+count(*)+from+users")
        assert asked["select count(*) from users"] == SETTINGS["sql_time_limit_ms"]
