"""The pages in a real browser: every chart is drawn, in sight, and nothing leaves this machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from etl.warehouse.database import open_warehouse
from tests.front.pages import CHARTS, QUERIES
from tests.support import HAIKU, call, load, write_log

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
# The canvas is there before the data are. Axes, labels and grid are grey; marks have a colour.
HAS_MARKS = """() => {
    const canvas = document.querySelector('.vega-embed canvas')
    if (!canvas) return false
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    let count = 0
    for (let i = 0; i < data.length; i += 4) {
        const pixel = [data[i], data[i + 1], data[i + 2]]
        count += data[i + 3] > 0 && Math.max(...pixel) - Math.min(...pixel) > 40
    }
    return count > 500
}"""

Serving = Callable[[Path], AbstractContextManager[str]]


class Browser:
    """One page of Chromium that notes what goes wrong in it and refuses to leave the machine."""

    def __init__(self, page: playwright.Page) -> None:
        self.page = page
        self.hosts: set[str | None] = set()
        self.errors: list[str] = []
        page.route("**/*", self._only_here)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._console)

    def _only_here(self, route: playwright.Route) -> None:
        host = urlsplit(route.request.url).hostname
        self.hosts.add(host)
        if host == "127.0.0.1":
            route.continue_()
        else:
            route.abort()

    def _console(self, message: playwright.ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def chart(self) -> playwright.Locator:
        """Return the chart once its marks are drawn; fail if they never are."""
        self.page.wait_for_function(HAS_MARKS, timeout=10_000)
        return self.page.locator(".vega-embed canvas")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield Browser(chromium.new_page(viewport={"width": 1280, "height": 900}))
        chromium.close()


@pytest.fixture(scope="module")
def url(demo_db: Path, serving: Serving) -> Iterator[str]:
    with serving(demo_db) as url:
        yield url


@pytest.fixture
def page(browser: Browser) -> Iterator[playwright.Page]:
    """The page, which must neither complain nor ask any other machine for anything."""
    browser.hosts.clear()
    browser.errors.clear()
    yield browser.page
    assert browser.hosts == {"127.0.0.1"}
    assert browser.errors == []


@pytest.mark.parametrize("name", CHARTS)
def test_a_link_of_the_page_of_queries_draws_its_chart(
    browser: Browser, page: playwright.Page, url: str, name: str
) -> None:
    page.goto(f"{url}bedrock_usage")
    page.get_by_role("link", name=QUERIES[name]["title"], exact=True).first.click()
    chart = browser.chart()
    assert page.url == f"{url}bedrock_usage/{name}#{QUERIES[name]['fragment']}"
    box = chart.bounding_box()
    assert box is not None
    # In sight without scrolling, on a small laptop.
    assert box["y"] < 450
    assert box["x"] + box["width"] <= 1280


def test_the_chart_follows_the_parameters(
    browser: Browser, page: playwright.Page, url: str
) -> None:
    page.goto(f"{url}bedrock_usage/cost_per_day#{QUERIES['cost_per_day']['fragment']}")
    before = browser.chart().bounding_box()
    page.get_by_label("date_from").fill("2026-11-18")
    page.get_by_role("button", name="Run SQL").click()
    page.wait_for_url("**date_from=2026-11-18**")
    after = browser.chart().bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] < before["width"] / 1.5


def test_the_pages_around_the_charts_are_in_order(page: playwright.Page, url: str) -> None:
    for path in ("bedrock_usage", "bedrock_usage/calls", "bedrock_usage/unpriced"):
        page.goto(url + path)


def test_a_name_is_only_a_name_in_a_chart_and_its_tooltip(
    browser: Browser, page: playwright.Page, serving: Serving, tmp_path: Path
) -> None:
    hostile = "<img src=x onerror=document.title=1>"
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        load(db, write_log(tmp_path / "log.json", [
            call(number, tokens=(10, 1), requestParameters={
                "modelId": HAIKU, "requestMetadata": {"application": name},
            })
            for number, name in enumerate([hostile, "' + alert(1) + '"])
        ]))  # fmt: skip
    with serving(tmp_path / "w.db") as url:
        page.goto(
            f"{url}bedrock_usage/cost_by_application#{QUERIES['cost_by_application']['fragment']}"
        )
        box = browser.chart().bounding_box()
        assert box is not None
        tooltips = set()
        for y in range(0, int(box["height"]), 8):
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + y)
            tooltips |= set(page.locator("#vg-tooltip-element").all_inner_texts())
        assert any(hostile in text for text in tooltips)
        assert any("' + alert(1) + '" in text for text in tooltips)
        assert page.title() != "1"
