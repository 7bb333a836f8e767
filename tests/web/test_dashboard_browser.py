"""Our own pages in a real browser, as a person uses them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from etl.warehouse.database import open_unchanged, open_warehouse
from tests.rounds import crossed, long, some
from tests.support import HAIKU, call, load, write_log
from tests.web.browser import Browser, open_page
from tests.web.server import serving_here

PAGES = {
    "dashboard": "",
    "application": "application?name=ChatbotApp",
    "user": "user?name=alice%40example.com",
    "model": "model?name=amazon.nova-pro-v1%3A0",
    "cost": "cost?application=ChatbotApp",
    "empty": "?from=2020-01-01&to=2020-01-02",
}


def cost_card(page: Any) -> str:
    text: str = page.locator(".main-card .figure").inner_text()
    return text


def test_filters_change_the_figures_and_the_address(page: Any, url: str, demo_db: Path) -> None:
    page.goto(url)
    before = cost_card(page)
    page.get_by_text("Applications: all").click()
    page.get_by_label("ChatbotApp", exact=True).check()
    page.get_by_label("WebPortal", exact=True).check()
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**application=ChatbotApp&application=WebPortal**")
    assert "from=" not in page.url
    assert "Applications: 2 chosen" in page.locator("form.filters").inner_text()
    with open_unchanged(demo_db) as db:
        ((cost,),) = db.execute(
            "select sum(cost_usd) from application_costs"
            " where application in ('ChatbotApp', 'WebPortal')"
        )
    assert cost_card(page) == f"≥ ${cost:.2f}" != before
    page.get_by_role("link", name="7 days").click()
    page.wait_for_url("**range=7d**")
    assert "application=ChatbotApp" in page.url
    assert cost_card(page) != f"≥ ${cost:.2f}"


def test_every_chart_is_drawn_and_has_its_table(browser: Browser, page: Any, url: str) -> None:
    page.goto(url)
    browser.drawn()
    charts = page.locator("figure.chart")
    assert charts.count() == 5
    for index in range(charts.count()):
        chart = charts.nth(index)
        assert chart.get_attribute("data-drawn") == "yes", chart.inner_text()
        chart.get_by_text("Table", exact=True).click()
        assert chart.locator("tbody tr").count() >= 2


@long
def test_the_cost_per_day_is_stacked_by_what_is_chosen(
    browser: Browser, page: Any, url: str
) -> None:
    page.goto(url)
    page.get_by_role("link", name="by model").click()
    page.wait_for_url("**by=model**")
    browser.drawn()
    chart = page.locator("figure.chart").first
    chart.get_by_text("Table", exact=True).click()
    assert "amazon.nova-pro-v1:0" in chart.locator("table").inner_text()


def test_a_cost_is_followed_to_its_price_row(page: Any, url: str) -> None:
    page.goto(url)
    row = page.get_by_role("row").filter(
        has=page.get_by_role("link", name="ChatbotApp", exact=True)
    )
    row.get_by_title("How this cost is calculated").first.click()
    page.wait_for_url("**/cost?application=ChatbotApp")
    assert "Why part of it is an estimate" in page.locator("main").inner_text()
    page.get_by_role("link", name=re.compile("^row ")).first.click()
    page.wait_for_url("**/bedrock_usage/prices/*")
    assert "litellm" in page.locator("body").inner_text()


def test_a_bar_leads_to_the_page_of_its_name(browser: Browser, page: Any, url: str) -> None:
    page.goto(url)
    browser.drawn()
    bars = page.locator("figure[data-chart=bars]").first
    bars.scroll_into_view_if_needed()
    box = bars.locator("canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 3, box["y"] + 14)
    page.wait_for_url("**/application?name=DataAnalysisApp")


@pytest.mark.parametrize(("name", "scheme"), crossed(some(PAGES, 1), some(["light", "dark"], 1)))
def test_the_pages_are_accessible(chromium: Any, url: str, name: str, scheme: str) -> None:
    """Contrast, labels, names, order: no serious finding by axe-core."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with open_page(chromium, color_scheme=scheme) as browser:
        browser.page.goto(f"{url}{PAGES[name]}")
        browser.drawn()
        for details in browser.page.locator("details").all():
            details.evaluate("element => { element.open = true }")
        found = axe.Axe().run(browser.page).response["violations"]
        assert browser.errors == []
    serious = {
        rule["id"]: [node["html"][:200] for node in rule["nodes"]][:3]
        for rule in found
        if rule["impact"] in ("serious", "critical")
    }
    assert serious == {}


@pytest.mark.parametrize("name", some(PAGES, 1))
def test_nothing_is_wider_than_a_phone(chromium: Any, url: str, name: str) -> None:
    with open_page(chromium, viewport={"width": 360, "height": 740}) as browser:
        browser.page.goto(f"{url}{PAGES[name]}")
        browser.drawn()
        width = browser.page.evaluate("document.documentElement.scrollWidth")
        assert browser.errors == []
    assert width <= 360


def test_the_keyboard_reaches_the_filters(page: Any, url: str) -> None:
    page.goto(url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.get_by_text("Regions: all").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator("input[name=region]:checked").count() == 1
    page.keyboard.press("Escape")
    assert not page.get_by_label("us-east-1").is_visible()


def test_markup_in_a_name_stays_text(browser: Browser, page: Any, tmp_path: Path) -> None:
    hostile = "<script>document.title=1</script><img src=x onerror=document.title=1>"
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        load(db, write_log(tmp_path / "log.json", [
            call(1, tokens=(10, 1), userAgent=f"agent {hostile}",
                 requestParameters={"modelId": HAIKU, "requestMetadata": {"application": hostile}}),
            call(2, tokens=(10, 1), requestParameters={"modelId": HAIKU}),
        ]))  # fmt: skip
    with serving_here(tmp_path / "w.db") as url:
        page.goto(url)
        browser.drawn()
        bars = page.locator("figure[data-chart=bars] canvas").first
        bars.scroll_into_view_if_needed()
        box = bars.bounding_box()
        tooltips = set()
        for y in range(0, int(box["height"]), 20):
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + y)
            tooltips |= set(page.locator("#vg-tooltip-element").all_inner_texts())
        assert any(hostile in text for text in tooltips)
        page.get_by_role("link", name=hostile).first.click()
        page.wait_for_url("**/application?name=**")
        browser.drawn()
        assert hostile in page.locator("h1").inner_text()
        assert hostile in page.locator("main").inner_text()
        assert page.title() != "1"
