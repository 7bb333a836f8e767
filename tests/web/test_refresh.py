"""The refresh button: over HTTP, in a separate process, with a fake AWS."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from etl.warehouse.database import open_warehouse
from etl.web import refresh, sync_process
from etl.web.app import build_datasette
from tests.aws import FakeAws, Fault
from tests.rounds import long
from tests.support import call, marked_demo
from tests.sync.support import environment
from tests.web import visits
from tests.web.pages import Pages, closing_pages, open_pages
from tests.web.server import serving_here

Serving = Callable[[Path], AbstractContextManager[str]]

ROOT = Path(__file__).parents[2]
SETTINGS = '[sync]\nregions = ["us-east-1"]\nsince = "2d"\nsources = ["cloudtrail"]\n'
PATIENCE = 40


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[FakeAws]:
    (tmp_path / "settings.toml").write_text(SETTINGS)
    config = {"BEDROCK_USAGE_CONFIG": str(tmp_path / "settings.toml")}
    with FakeAws() as fake, environment(fake.environment() | config):
        yield fake


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    path = tmp_path / "w.db"
    with open_warehouse(path, create=True):
        return path


class Held(Fault):
    """A request that is answered when the test releases it."""

    def __init__(self, **where: Any) -> None:
        super().__init__("slow", operation="LookupEvents", **where)
        self.released = threading.Event()

    def answer(self, call: Any, perform: Callable[..., Any], stopped: threading.Event) -> Any:
        self.released.wait(PATIENCE)
        return perform(call)


@pytest.fixture
def held(aws: FakeAws) -> Iterator[Held]:
    """Hold every sync at its first request for events."""
    aws.faults.append(fault := Held())
    yield fault
    fault.released.set()


class Visitor:
    """A browser's cookies, and the form's token."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=20)
        # A request without a token gets one, for the next try.
        assert self._client.post("-/refresh").status_code == 403
        self.token = self._client.cookies["ds_csrftoken"]

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def press(self, **headers: str) -> httpx.Response:
        """Press the button, as the page's script does unless the headers say otherwise."""
        headers = {"accept": "application/json"} | headers
        return self._client.post("-/refresh", data={"csrftoken": self.token}, headers=headers)

    def get(self, path: str) -> httpx.Response:
        return self._client.get(path)

    def state(self) -> dict[str, Any]:
        response = self.get("-/refresh.json")
        assert response.status_code == 200
        state: dict[str, Any] = response.json()
        return state

    def ended(self) -> dict[str, Any]:
        return self.until(lambda state: not state["is_running"])

    def until(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while not is_so(state := self.state()):
            assert time.monotonic() < deadline, state
            time.sleep(0.05)
        return state


def deliver(aws: FakeAws, number: int, **fields: Any) -> None:
    moment = datetime.now(UTC) - timedelta(hours=3)
    record = call(number, eventTime=moment.strftime("%Y-%m-%dT%H:%M:%SZ"), **fields)
    aws.place().deliver(record)


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def pid_of(state: dict[str, Any]) -> int:
    return int(state["by"].split()[1])


def wait_for_end(pid: int) -> None:
    """Wait for the end of a process that is not a child of this one."""
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_refresh_brings_what_is_new_and_the_pages_show_it(aws: FakeAws, warehouse: Path) -> None:
    deliver(aws, 1, user="alice", tokens=(1, 2))
    with serving_here(warehouse) as url, Visitor(url) as visitor:
        assert visitor.state() == {
            "ok": True, "can_refresh": True, "reason": None, "is_running": False, "text": "",
            "since": None, "by": None, "busy": None, "progress": None, "outcome": None,
            "message": None, "started_at": None, "finished_at": None, "calls_new": 0,
            "calls_with_tokens": 0, "late_events": 0, "metric_values": 0, "rejected": 0,
        }  # fmt: skip
        assert "alice" not in visitor.get("bedrock_usage/user_costs").text
        response = visitor.press()
        assert (response.status_code, response.json()["ok"]) == (202, True)
        assert response.json()["is_running"] is True
        assert response.json()["since"] is not None
        state = visitor.ended()
        assert (state["outcome"], state["text"], state["message"]) == ("done", "1 new call.", None)
        assert (state["calls_new"], state["calls_with_tokens"]) == (1, 1)
        assert state["finished_at"] >= state["started_at"]
        assert "alice" in visitor.get("bedrock_usage/user_costs").text
        assert visitor.press().status_code == 202
        assert visitor.ended()["text"] == "No new calls."


@long
def test_progress_is_shown_while_it_runs(aws: FakeAws, warehouse: Path, tmp_path: Path) -> None:
    two = SETTINGS.replace('"us-east-1"', '"us-east-1", "eu-west-1"')
    (tmp_path / "settings.toml").write_text(two)
    aws.faults.append(held := Held(region="eu-west-1"))
    with serving_here(warehouse) as url, Visitor(url) as visitor:
        visitor.press()
        state = visitor.until(lambda state: state["progress"] and state["progress"]["lines"] > 0)
        assert state["is_running"] is True
        assert "cloudtrail/111122223333/us-east-1: " in state["progress"]["latest"]
        assert state["text"] == f"Refreshing: {state['progress']['latest']}"
        held.released.set()
        visitor.ended()


def test_of_two_at_the_same_moment_one_is_started(held: Held, warehouse: Path) -> None:
    with serving_here(warehouse) as url, Visitor(url) as visitor:
        with ThreadPoolExecutor(6) as pool:
            responses = list(pool.map(lambda _: visitor.press(), range(6)))
        assert sorted(response.status_code for response in responses) == [202] + [409] * 5
        (refused, *_) = [response.json() for response in responses if response.status_code == 409]
        pid = pid_of(visitor.state())
        assert refused["error"].startswith(f"A refresh is already running: process {pid}, since ")
        assert (refused["ok"], refused["is_running"]) == (False, True)
        held.released.set()
        assert visitor.ended()["outcome"] == "done"
        assert {run[0] for run in query(warehouse, "select pid from sync_runs")} == {pid}


@long
def test_a_sync_of_a_schedule_is_shown_and_not_doubled(
    aws: FakeAws, held: Held, warehouse: Path
) -> None:
    deliver(aws, 1)
    with serving_here(warehouse) as url, Visitor(url) as visitor:
        command = [sys.executable, "-m", "etl", "sync", "--db", str(warehouse)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT) as scheduled:
            state = visitor.until(lambda state: state["is_running"])
            assert pid_of(state) == scheduled.pid
            response = visitor.press()
            assert response.status_code == 409
            assert f"process {scheduled.pid} on " in response.json()["error"]
            held.released.set()
            scheduled.wait(PATIENCE)
        state = visitor.state()
        assert (state["is_running"], state["text"]) == (False, "1 new call.")
    assert len(query(warehouse, "select * from sync_runs")) == 1


@long
def test_a_refresh_goes_on_when_the_server_stops_and_the_next_server_shows_it(
    aws: FakeAws, held: Held, warehouse: Path, serving: Serving
) -> None:
    deliver(aws, 1)
    with serving(warehouse) as url, Visitor(url) as visitor:
        visitor.press()
        # Once it is recorded in the warehouse.
        pid = pid_of(visitor.until(lambda state: state["started_at"] is not None))
        # It has its own session, so Ctrl-C on the server does not reach it.
        assert os.getsid(pid) == pid
    with serving(warehouse) as url, Visitor(url) as visitor:
        state = visitor.state()
        assert (state["is_running"], pid_of(state)) == (True, pid)
        assert visitor.press().status_code == 409
        held.released.set()
        state = visitor.ended()
        assert (state["outcome"], state["calls_new"]) == ("done", 1)
    wait_for_end(pid)


def test_a_refresh_that_was_killed_has_ended(aws: FakeAws, held: Held, warehouse: Path) -> None:
    with serving_here(warehouse) as url, Visitor(url) as visitor:
        visitor.press()
        pid = pid_of(visitor.until(lambda state: state["started_at"] is not None))
        os.kill(pid, signal.SIGKILL)
        state = visitor.ended()
        assert (state["outcome"], state["finished_at"]) == ("failed", None)
        assert "killed by SIGKILL" in state["text"]
    with serving_here(warehouse) as url, Visitor(url) as visitor:
        state = visitor.state()
        assert (state["is_running"], state["outcome"]) == (False, "lost")
        assert "killed before it finished" in state["text"]
        held.released.set()
        aws.faults.clear()
        assert visitor.press().status_code == 202
        assert visitor.ended()["outcome"] == "done"


@long
def test_what_could_not_be_read_is_reported(aws: FakeAws, warehouse: Path) -> None:
    aws.faults.append(Fault("denied", operation="LookupEvents", times=None))
    with serving_here(warehouse) as url, Visitor(url) as visitor:
        visitor.press()
        state = visitor.ended()
    assert state["outcome"] == "incomplete"
    assert "AccessDenied on cloudtrail:LookupEvents in us-east-1" in state["text"]


@long
def test_a_refresh_that_fails_at_once_says_why(
    aws: FakeAws, warehouse: Path, tmp_path: Path
) -> None:
    (tmp_path / "settings.toml").write_text('[sync]\nregions = ["mars-north-1"]\n')
    with serving_here(warehouse) as url, Visitor(url) as visitor:
        visitor.press()
        state = visitor.ended()
        assert (state["outcome"], state["started_at"]) == ("failed", None)
        assert "mars-north-1 is not an AWS region" in state["text"]
        (tmp_path / "settings.toml").write_text(SETTINGS)
        visitor.press()
        assert visitor.ended()["text"] == "No new calls."


@long
def test_without_credentials_it_says_what_is_missing(aws: FakeAws, warehouse: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del os.environ[name]
    with serving_here(warehouse) as url, Visitor(url) as visitor:
        visitor.press()
        state = visitor.ended()
    assert state["outcome"] == "failed"
    assert "credentials" in state["text"]


@long
def test_a_form_without_a_script_comes_back_to_its_page(aws: FakeAws, warehouse: Path) -> None:
    with serving_here(warehouse) as url, Visitor(url) as visitor:
        page = f"{url}bedrock_usage/user_costs?user_name=a"
        response = visitor.press(accept="text/html", referer=page)
        assert response.status_code == 303
        assert response.headers["location"] == "/bedrock_usage/user_costs?user_name=a"
        assert "The refresh has started" in visitor.get(response.headers["location"]).text
        visitor.ended()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replace every sync; returns the commands that would have run."""
    asked: list[list[str]] = []
    command = sync_process.sync_command

    def harmless(site: Any) -> list[str]:
        asked.append(command(site))
        return [sys.executable, "-c", ""]

    monkeypatch.setattr(sync_process, "sync_command", harmless)
    return asked


@pytest.fixture
def opened(warehouse: Path) -> Iterator[Pages]:
    with open_pages(warehouse) as pages:
        yield pages


def post(pages: Pages, *, cookies: dict[str, str] | None = None, **options: Any) -> httpx.Response:
    options.setdefault("headers", {"accept": "application/json"})
    response: httpx.Response = pages.run(
        pages.datasette.client.post("/-/refresh", cookies=cookies or {}, **options)
    )
    return response


def token_of(pages: Pages) -> str:
    return post(pages).cookies["ds_csrftoken"]


def press(pages: Pages, actor: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
    token = token_of(pages)
    cookies = {"ds_csrftoken": token}
    if actor:
        cookies["ds_actor"] = pages.datasette.sign({"a": actor}, "actor")
    headers = {"accept": "application/json"} | headers
    return post(pages, cookies=cookies, data={"csrftoken": token}, headers=headers)


def test_another_sites_form_starts_nothing(opened: Pages, commands: list[list[str]]) -> None:
    token = token_of(opened)
    own, other = {"ds_csrftoken": token}, token_of(opened)
    form = {"content-type": "application/x-www-form-urlencoded"}
    for options in (
        {},
        {"data": {"csrftoken": token}},
        {"cookies": own},
        {"cookies": own, "data": {"csrftoken": ""}},
        {"cookies": own, "data": {"csrftoken": other}},
        {"cookies": own, "json": {"csrftoken": token}},
        {"cookies": own, "headers": {"x-csrftoken": other} | form},
        {"cookies": {"ds_csrftoken": "made up"}, "data": {"csrftoken": "made up"}},
        {"cookies": own, "headers": {"authorization": "Bearer x"} | form},
        {"headers": {"x-csrftoken": ""} | form},
        {"cookies": own, "headers": {"x-csrftoken": b"\xc3\xa9"}},
        {"cookies": own, "data": {"csrftoken": "é"}},
    ):
        code = 400 if "json" in options else 403
        assert post(opened, **options).status_code == code, options
    assert commands == []
    assert post(opened, cookies=own, headers={"x-csrftoken": token}).status_code == 303


def test_the_command_is_that_of_the_warehouse_and_its_configuration(
    warehouse: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    config = tmp_path / "other.toml"
    with closing_pages(build_datasette(warehouse, config_path=config)) as pages:
        assert press(pages).status_code == 202
    (command,) = commands
    assert command == [
        *(sys.executable, "-P", "-m", "etl", "sync"),
        *("--db", str(warehouse), "--config", str(config)),
    ]


def test_only_a_post_starts_one(opened: Pages, commands: list[list[str]]) -> None:
    response = opened.open("/-/refresh")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert commands == []


def test_the_demo_has_nothing_to_refresh(tmp_path: Path, commands: list[list[str]]) -> None:
    with open_pages(marked_demo(tmp_path / "demo.db")) as pages:
        assert pages.run(refresh.refusal(pages.datasette)) is not None
        state = pages.open("/-/refresh.json").json()
        assert state["can_refresh"] is False
        assert "This is demo data" in state["reason"]
        page = pages.open("/").text
        assert "This is demo data" in page
        assert "<button>Refresh" not in page
        response = press(pages)
    assert (response.status_code, response.json()["error"]) == (409, state["reason"])
    assert commands == []


def may(pages: Pages, actor: dict[str, Any] | None) -> bool:
    answer: bool = pages.run(refresh.may_refresh(pages.datasette, actor))
    return answer


def test_without_a_login_every_visitor_may(opened: Pages) -> None:
    assert may(opened, None)
    assert may(opened, {"id": "ann"})


def answers(visitor: visits.Visitor) -> tuple[int, int, bool]:
    """Press the button as a script would; return the statuses, and whether the page has it."""
    headers = {"Accept": "application/json", "Sec-Fetch-Site": "same-origin"}
    page = visitor.get("/", headers=visits.HTML)
    found = re.search(r'name="csrftoken" value="([^"]+)"', page.text)
    token = found[1] if found else visitor.client.cookies.get("ds_csrftoken", "")
    pressed = visitor.request(
        "POST", "/-/refresh", headers=headers, data={"csrftoken": token}
    ).status_code
    return pressed, visitor.get("/-/refresh.json").status_code, "refresh.js" in page.text


def test_with_a_login_a_visitor_must_be_logged_in(
    warehouse: Path, commands: list[list[str]]
) -> None:
    with visits.serving(warehouse, visits.LOGIN) as pages:
        assert answers(visits.Visitor(pages)) == (401, 401, False)
        assert commands == []
        carol = visits.Visitor(pages)
        carol.log_in("carol")
        assert answers(carol) == (202, 200, True)
    assert len(commands) == 1


def test_a_restricted_visitor_may_not_refresh_or_see_the_state(
    warehouse: Path, commands: list[list[str]]
) -> None:
    with visits.serving(warehouse, visits.LOGIN) as pages:
        alice = visits.Visitor(pages)
        alice.log_in("alice")
        assert answers(alice) == (403, 403, False)
        assert not may(pages, {"id": "alice"})
        # Not even if another plugin asks.
        allowed = pages.datasette.permission_allowed({"id": "alice"}, refresh.ACTION, default=True)
        assert pages.run(allowed) is False
    assert commands == []
