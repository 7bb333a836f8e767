"""Our own pages in a real browser, as a person uses them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
    "errors": "errors",
    "models": "models",
    "a day": "?from=2026-11-23&to=2026-11-23",
    "an hour": "hour?hour=2026-11-23T10",
    "unusual": "unusual",
    "search": "search?q=a",
    "empty": "?from=2020-01-01&to=2020-01-02",
}


def cost_card(page: Any) -> str:
    text: str = page.locator(".main-card .figure").inner_text()
    return text


def cost_by(page: Any, kind: str) -> Any:
    return page.get_by_role("group", name="Cost by").get_by_role("link", name=f"by {kind}")


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
    assert charts.count() == 7
    for index in range(charts.count()):
        chart = charts.nth(index)
        assert chart.get_attribute("data-drawn") == "yes", chart.inner_text()
        if not chart.locator(".rows").evaluate("e => e.open"):
            chart.get_by_text("Table", exact=True).click()
        assert chart.locator("tbody tr").count() >= 2


@long
def test_the_cost_per_day_is_stacked_by_what_is_chosen(
    browser: Browser, page: Any, url: str
) -> None:
    page.goto(url)
    cost_by(page, "model").click()
    page.wait_for_url("**by=model**")
    browser.drawn()
    chart = page.locator("figure.chart").first
    chart.get_by_text("Table", exact=True).click()
    assert "Nova Pro" in chart.locator("table").inner_text()


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


# Keeps what is drawn, for tests: a canvas tells nothing.
KEEP_SPECS = """
    window.specs = []
    let embed
    Object.defineProperty(window, 'vegaEmbed', {
        set(real) { embed = (plot, spec, options) => { specs.push(spec); return real(plot, spec, options) } },
        get() { return embed },
    })
"""


def colours(page: Any) -> dict[str, str]:
    """Return the colour of each name in the legend of the first chart."""
    entries = page.locator("figure.chart").first.locator(".legend li").all()
    return {
        entry.inner_text(): entry.locator(".swatch").evaluate("e => getComputedStyle(e).color")
        for entry in entries
    }


def scrolled(page: Any) -> int:
    place: int = page.evaluate("Math.round(scrollY)")
    return place


def test_ticks_dates_place_and_colours_stay(browser: Browser, page: Any, url: str) -> None:
    # A name keeps its colour, also one that another of its first choice has.
    page.goto(f"{url}?by=user")
    browser.drawn()
    of_users = colours(page)
    page.goto(f"{url}?by=user&user=carol%40example.com")
    browser.drawn()
    assert colours(page).items() <= of_users.items()
    page.goto(url)
    browser.drawn()
    before = colours(page)
    # What is ticked comes along with another range, and is named.
    page.get_by_text("Applications: all").click()
    page.get_by_label("ChatbotApp", exact=True).check()
    page.get_by_label("WebPortal", exact=True).check()
    page.get_by_role("link", name="7 days").click()
    page.wait_for_url("**range=7d&application=ChatbotApp&application=WebPortal")
    assert "only application ChatbotApp" in page.locator(".chips").inner_text()
    browser.drawn()
    assert colours(page).items() <= before.items()
    page.get_by_label("Remove the filter: application WebPortal").click()
    page.wait_for_url("**range=7d&application=ChatbotApp")
    # So do dates that were not sent yet, and the place on the page.
    page.get_by_label("From").fill("2026-11-10")
    switch = cost_by(page, "user")
    switch.scroll_into_view_if_needed()
    page.evaluate("scrollTo(0, 300)")
    switch.click()
    page.wait_for_url("**from=2026-11-10&to=2026-11-23**")
    assert {"application=ChatbotApp", "by=user"} <= {*urlsplit(page.url).query.split("&")}
    page.wait_for_function("() => scrollY > 250")
    # A date that cannot end the range is not sent.
    page.get_by_label("To", exact=True).fill("2026-11-01")
    page.get_by_role("button", name="Show").click()
    assert "to=2026-11-23" in page.url


def test_lists_stay_in_the_window_and_the_keyboard_returns(page: Any, url: str) -> None:
    page.goto(url)
    for kind in ("Models", "Teams"):
        summary = page.get_by_text(f"{kind}: all")
        summary.focus()
        page.keyboard.press("Enter")
        page.wait_for_timeout(50)
        box = page.locator(".choice[open] fieldset").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 1280
        page.keyboard.press("Tab")
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.textContent") == f"{kind}: all"
    # Of a long table, the others are a press away.
    users = page.get_by_role("region", name="Users, table")
    assert users.locator("tbody tr:visible").count() == 10
    page.get_by_role("button", name=re.compile("^[0-9]+ more$")).first.click()
    assert users.locator("tbody tr:visible").count() > 15
    # A heading sorts the table, also what was folded.
    heading = users.get_by_role("columnheader", name="Calls")
    for order in ("descending", "ascending"):
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == order
        calls = [
            int(text.replace(",", ""))
            for text in users.locator("td:nth-child(4)").all_inner_texts()
        ]
        assert calls == sorted(calls, reverse=order == "descending")
    page.emulate_media(media="print")
    assert users.evaluate("e => e.scrollHeight <= e.clientHeight + 2")
    page.emulate_media(media="screen")


def test_charts_have_every_day_of_the_range(browser: Browser, page: Any, url: str) -> None:
    page.add_init_script(KEEP_SPECS)
    page.goto(f"{url}?from=2026-10-30&to=2026-11-25&by=model")
    browser.drawn()
    days = [f"2026-10-{day}" for day in (30, 31)] + [f"2026-11-{day:02}" for day in range(1, 26)]
    of_days = page.evaluate(
        "specs.map(spec => JSON.stringify(spec)).filter(text => text.includes('\"day\"'))"
        ".map(text => JSON.parse(text)).map(spec => ({"
        " x: (spec.layer[0].layer[1].encoding ?? spec.layer[0].layer[0].layer[1].encoding).x,"
        " font: [spec.config.axis.labelFontSize, spec.config.axis.titleFontSize],"
        ' shaded: JSON.stringify(spec).includes(\'"why":"not loaded"\'),'
        " breaks: JSON.stringify(spec).includes('\"hit\":null'),"
        "}))"
    )
    assert len(of_days) == 3
    for found in of_days:
        assert found["x"]["scale"]["domain"] == days
        # Of those, labels stand in the middle; the last day has one.
        assert found["x"]["axis"]["values"][-1] == days[-1]
        assert {*found["x"]["axis"]["values"]} < {*days}
        assert min(found["font"]) >= 12
        assert found["shaded"]
    assert any(found["breaks"] for found in of_days)
    assert "Claude Sonnet 4.5" in colours(page)
    # The words and digits of the table are those of the page.
    chart = page.locator("figure.chart").first
    chart.get_by_text("Table", exact=True).click()
    text = chart.locator("table").inner_text()
    assert "partly estimated" in text
    assert "≥ $" in text
    assert "Actual Tokens" not in text
    # A day leads to its hours.
    page.get_by_role("link", name="2026-11-18", exact=True).click()
    page.wait_for_url("**from=2026-11-18&to=2026-11-18&by=model")
    browser.drawn()
    assert "Cost per hour by model" in page.locator("figure.chart").first.inner_text()


def test_a_phone_shows_what_a_desk_shows(chromium: Any, url: str) -> None:
    options: dict[str, Any] = {"has_touch": True, "is_mobile": True}
    with open_page(chromium, viewport={"width": 390, "height": 844}, **options) as browser:
        page = browser.page
        page.goto(url)
        browser.drawn()
        assert page.locator(".main-card .figure").bounding_box()["y"] < 500
        for entry in page.locator(".legend li").all():
            box = entry.bounding_box()
            assert box["x"] + box["width"] <= 390
        assert "The table goes on" in page.locator("main").inner_text()
        by_model = cost_by(page, "model")
        by_model.scroll_into_view_if_needed()
        place = scrolled(page)
        by_model.tap()
        page.wait_for_url("**by=model**")
        browser.drawn()
        assert abs(scrolled(page) - place) < 5
        # A tap shows what a pointer does, and leads where a click does.
        calls = page.locator("figure[data-chart=calls] canvas")
        calls.scroll_into_view_if_needed()
        box = calls.bounding_box()
        page.touchscreen.tap(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6)
        page.locator("#vg-tooltip-element.visible").wait_for()
        bars = page.locator("figure[data-chart=bars] canvas").first
        bars.scroll_into_view_if_needed()
        box = bars.bounding_box()
        page.touchscreen.tap(box["x"] + box["width"] * 0.6, box["y"] + 14)
        page.wait_for_url("**/application?**name=DataAnalysisApp")
        page.goto(f"{url}cost?application=ChatbotApp")
        line = page.get_by_role("region", name="Tokens and prices, table").locator("tr").nth(1)
        for label in ("Tokens", "$ per million", "Cost"):
            box = line.locator(f"td[data-label='{label}']").bounding_box()
            assert 0 < box["width"] <= 390 - box["x"]
        assert browser.errors == []


def test_pages_of_datasette_are_dark_where_the_others_are(chromium: Any, url: str) -> None:
    with open_page(chromium, color_scheme="dark") as browser:
        page = browser.page
        # Without rows, too, nothing fails.
        page.goto(f"{url}bedrock_usage/cost_per_day?date_from=2020-01-01&date_to=2020-01-02")
        page.goto(f"{url}bedrock_usage/calls?user_name=nobody")
        assert page.locator("table.rows-and-columns").is_hidden()
        page.goto(f"{url}bedrock_usage/usage_cost_daily?_size=5")
        ground = "e => getComputedStyle(e).backgroundColor"
        for part in ("body", "table.rows-and-columns td"):
            colour = page.locator(part).first.evaluate(ground)
            assert max(map(int, re.findall(r"\d+", colour)[:3])) < 80, part
        cell = page.locator("td.col-cost_usd").first
        assert cell.evaluate("e => getComputedStyle(e).textAlign") == "right"
        assert cell.inner_text().startswith("$")
        assert browser.errors == []


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
