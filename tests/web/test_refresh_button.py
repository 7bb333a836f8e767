"""The refresh button in a real browser, on a page with nothing else."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest
from datasette import hookimpl
from datasette.plugins import pm
from datasette.utils.asgi import Request, Response

from etl.warehouse.database import open_warehouse
from etl.warehouse.lock import sync_lock
from etl.web import refresh, sync_process
from etl.web.app import build_datasette
from tests.rounds import long
from tests.web.server import served

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
POLICY = (
    "default-src 'none'; img-src data:; script-src 'self'; connect-src 'self'; form-action 'self';"
    " require-trusted-types-for 'script'"
)
LISTENER = (
    "window.states = []; document.addEventListener('refreshed', (e) => states.push(e.detail))"
)

# What others see of a sync: it prints a line, and waits until the test lets it end.
SYNC = """
import os, socket, sqlite3, sys, time
folder = {folder!r}
db = sqlite3.connect(folder + "/w.db", isolation_level=None)
now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
values = (now, os.getpid(), socket.gethostname())
run = db.execute("insert into sync_runs (started_at, pid, host) values (?, ?, ?)", values).lastrowid
print(now, "cloudtrail/<img src=x onerror=alert(1)>: 7 read", file=sys.stderr, flush=True)
deadline = time.monotonic() + 30
while not os.path.exists(folder + "/go") and time.monotonic() < deadline:
    time.sleep(0.02)
db.execute("update sync_runs set finished_at = ?, outcome = 'done', calls_new = 12 where run_id = ?",
           (now, run))
"""


class _Page:
    """A page with the button, as a plugin."""

    __name__ = "page-with-the-button"

    @hookimpl
    def register_routes(self) -> list[Any]:
        return [("^/try$", self.show)]

    async def show(self, request: Request, datasette: Any) -> Response:
        offer = await refresh.offer(datasette, request)
        assert offer is not None
        script = datasette.urls.path("/-/static-plugins/etl.web/refresh.js")
        html = (
            "<!doctype html><html lang=en><title>Try</title><link rel=icon href='data:,'>"
            f'<form id="refresh" method="post" action="{escape(offer.action)}">'
            f'<input type="hidden" name="csrftoken" value="{escape(offer.csrftoken)}">'
            "<button>Refresh</button> <output></output></form>"
            f'<script type="module" src="{script}"></script>'
        )
        return Response.html(html, headers={"content-security-policy": POLICY})


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server's address; a sync that it starts ends when the test allows it."""
    with open_warehouse(tmp_path / "w.db", create=True):
        pass
    script = SYNC.format(folder=str(tmp_path))
    monkeypatch.setattr(sync_process, "sync_command", lambda site: [sys.executable, "-c", script])
    page = _Page()
    pm.register(page)
    datasette = build_datasette(tmp_path / "w.db")
    try:
        with served(datasette.app()) as address:
            yield address
    finally:
        (tmp_path / "go").touch()
        pm.unregister(page)
        for database in datasette.databases.values():
            database.close()
        datasette.executor.shutdown()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any, url: str) -> Iterator[Callable[..., Any]]:
    """Open the page in its own browser, which must report no errors."""
    contexts, errors = [], []

    def open_one(**options: Any) -> Any:
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        if options.get("java_script_enabled", True):
            page.add_init_script(LISTENER)
        page.goto(f"{url}try")
        return page

    yield open_one
    for context in contexts:
        context.close()
    # The console also reports a refused request; its message is tested elsewhere.
    assert [error for error in errors if "409" not in error] == []


def press(page: Any) -> None:
    page.get_by_role("button", name="Refresh").click()


def test_it_shows_the_progress_and_the_result(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = open_page()
    press(page)
    output = page.get_by_role("status")
    playwright.expect(output).to_contain_text("cloudtrail/<img src=x onerror=alert(1)>: 7 read")
    playwright.expect(page.get_by_role("button")).to_have_attribute("aria-disabled", "true")
    assert page.locator("img").count() == 0
    assert page.evaluate("states") == []
    # A second click does nothing.
    page.evaluate("document.querySelector('button').click()")
    (tmp_path / "go").touch()
    playwright.expect(output).to_have_text("12 new calls.")
    playwright.expect(page.get_by_role("button")).to_have_attribute("aria-disabled", "false")
    (state,) = page.evaluate("states")
    assert (state["outcome"], state["calls_new"]) == ("done", 12)
    assert page.url.endswith("/try")


@long
def test_a_page_opened_later_shows_it_too(open_page: Callable[..., Any], tmp_path: Path) -> None:
    press(open_page())
    page = open_page()
    playwright.expect(page.get_by_role("status")).to_contain_text("7 read")
    (tmp_path / "go").touch()
    playwright.expect(page.get_by_role("status")).to_have_text("12 new calls.")
    assert len(page.evaluate("states")) == 1


@long
def test_a_page_opened_before_follows_it_too(open_page: Callable[..., Any], tmp_path: Path) -> None:
    first, second = open_page(), open_page()
    press(first)
    playwright.expect(first.get_by_role("status")).to_contain_text("7 read")
    press(second)
    playwright.expect(second.get_by_role("status")).to_contain_text("7 read")
    (tmp_path / "go").touch()
    playwright.expect(second.get_by_role("status")).to_have_text("12 new calls.")


def test_a_refusal_is_shown_and_the_button_works_again(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = open_page()
    with sync_lock(tmp_path / "w.db"):
        press(page)
        playwright.expect(page.get_by_role("status")).to_contain_text("in use")
        playwright.expect(page.get_by_role("button")).to_have_attribute("aria-disabled", "false")
    (tmp_path / "go").touch()
    press(page)
    playwright.expect(page.get_by_role("status")).to_have_text("12 new calls.")


@long
def test_a_page_that_reloads_itself_shows_the_result_once_more(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = open_page()
    page.evaluate("document.addEventListener('refreshed', () => location.reload())")
    press(page)
    with page.expect_event("load"):
        (tmp_path / "go").touch()
    playwright.expect(page.get_by_role("status")).to_have_text("12 new calls.")
    page.reload()
    playwright.expect(page.get_by_role("button")).to_be_visible()
    assert page.get_by_role("status").text_content() == ""


@pytest.fixture
def press_on_the_dashboard(open_page: Callable[..., Any], url: str) -> Callable[..., Any]:
    """Open the dashboard and press the button there."""

    def press_it(**options: Any) -> Any:
        page = open_page(**options)
        page.goto(url)
        press(page)
        return page

    return press_it


@long
def test_the_dashboard_has_the_button(
    press_on_the_dashboard: Callable[..., Any], tmp_path: Path
) -> None:
    page = press_on_the_dashboard()
    output = page.locator("#refresh output")
    playwright.expect(output).to_contain_text("7 read")
    (tmp_path / "go").touch()
    playwright.expect(output).to_have_text("12 new calls.")


@long
def test_the_dashboard_says_so_without_scripts(
    press_on_the_dashboard: Callable[..., Any],
) -> None:
    page = press_on_the_dashboard(java_script_enabled=False)
    playwright.expect(page.locator("main .warning").first).to_contain_text(
        "The refresh has started"
    )


def test_without_scripts_the_form_comes_back_to_the_page(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = open_page(java_script_enabled=False)
    press(page)
    page.wait_for_url("**/try")
    assert "ds_messages" in {cookie["name"] for cookie in page.context.cookies()}
    with_script = open_page()
    playwright.expect(with_script.get_by_role("status")).to_contain_text("7 read")
