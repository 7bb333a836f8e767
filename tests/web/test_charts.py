"""The pages in a real browser: every chart is drawn and visible, and no request leaves this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from etl.warehouse.database import open_warehouse
from tests.rounds import long, some
from tests.support import HAIKU, call, load, write_log
from tests.web.browser import Browser
from tests.web.pages import CHARTS, QUERIES
from tests.web.server import serving_here


@pytest.mark.parametrize("name", some(CHARTS, 1))
def test_a_link_of_the_page_of_queries_draws_its_chart(
    browser: Browser, page: Any, url: str, name: str
) -> None:
    page.goto(f"{url}bedrock_usage")
    page.get_by_role("link", name=QUERIES[name]["title"], exact=True).first.click()
    chart = browser.chart()
    assert page.url == f"{url}bedrock_usage/{name}#{QUERIES[name]['fragment']}"
    box = chart.bounding_box()
    assert box is not None
    # Visible without scrolling on a small laptop.
    assert box["y"] < 450
    assert box["x"] + box["width"] <= 1280


def test_the_chart_follows_the_parameters(browser: Browser, page: Any, url: str) -> None:
    page.goto(f"{url}bedrock_usage/cost_per_day#{QUERIES['cost_per_day']['fragment']}")
    before = browser.chart().bounding_box()
    page.get_by_label("date_from").fill("2026-11-18")
    page.get_by_role("button", name="Run SQL").click()
    page.wait_for_url("**date_from=2026-11-18**")
    after = browser.chart().bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] < before["width"] / 1.5


@long
def test_the_pages_around_the_charts_are_in_order(page: Any, url: str) -> None:
    for path in ("bedrock_usage", "bedrock_usage/calls", "bedrock_usage/unpriced"):
        page.goto(url + path)


def test_a_name_is_only_a_name_in_a_chart_and_its_tooltip(
    browser: Browser, page: Any, tmp_path: Path
) -> None:
    hostile = "<img src=x onerror=document.title=1>"
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        load(db, write_log(tmp_path / "log.json", [
            call(number, tokens=(10, 1), requestParameters={
                "modelId": HAIKU, "requestMetadata": {"application": name},
            })
            for number, name in enumerate([hostile, "' + alert(1) + '"])
        ]))  # fmt: skip
    with serving_here(tmp_path / "w.db") as url:
        page.goto(
            f"{url}bedrock_usage/cost_by_application#{QUERIES['cost_by_application']['fragment']}"
        )
        box = browser.chart().bounding_box()
        assert box is not None
        tooltips = set()
        for y in range(0, int(box["height"]), 20):
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + y)
            tooltips |= set(page.locator("#vg-tooltip-element").all_inner_texts())
        assert any(hostile in text for text in tooltips)
        assert any("' + alert(1) + '" in text for text in tooltips)
        assert page.title() != "1"
