"""Chromium for the tests, limited to this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


# The canvas exists before the data is drawn. Axes, labels and grid are grey; marks have a colour.
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


ALL_DRAWN = """() => {
    const charts = [...document.querySelectorAll('figure.chart')]
    return charts.every((chart) => chart.dataset.drawn || chart.querySelector('.plot p'))
}"""


class Browser:
    """One Chromium page that records its errors and blocks requests to other machines."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.hosts: set[str | None] = set()
        self.errors: list[str] = []
        page.route("**/*", self._only_here)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._console)

    def _only_here(self, route: Any) -> None:
        host = urlsplit(route.request.url).hostname
        self.hosts.add(host)
        if host == "127.0.0.1":
            route.continue_()
        else:
            route.abort()

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def chart(self) -> Any:
        """Return the chart once its marks are drawn; fail if they never are."""
        self.page.wait_for_function(HAS_MARKS, timeout=10_000)
        return self.page.locator(".vega-embed canvas")

    def drawn(self) -> None:
        """Wait until every chart of one of our own pages is drawn."""
        self.page.wait_for_function(ALL_DRAWN, timeout=60_000)


@contextmanager
def open_chromium() -> Iterator[Any]:
    """Start Chromium; skip the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@contextmanager
def open_page(chromium: Any, **options: Any) -> Iterator[Browser]:
    """Open a new page, with its own size or colour scheme."""
    options.setdefault("viewport", {"width": 1280, "height": 900})
    page = chromium.new_page(**options)
    yield Browser(page)
    page.close()
