"""Questions that people come with, answered by a new visitor's clicks from the dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from etl.warehouse.database import open_unchanged
from tests.web.browser import Browser


class Clicks:
    """A visit that counts its clicks on links."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.number = page, 0
        page.goto(url)

    def link(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).first.click()
        self.page.wait_for_load_state()
        self.number += 1

    def table(self, name: str) -> Any:
        return self.page.get_by_role("region", name=f"{name}, table", exact=True)


def cells(table: Any, heading: str) -> dict[str, str]:
    """Return a column of a table by the names of its rows."""
    headings = table.locator("thead th").all_inner_texts()
    column = [one.strip(" ↑↓") for one in headings].index(heading)
    rows = [row.locator("th, td").all_inner_texts() for row in table.locator("tbody tr").all()]
    return {row[0]: row[column] for row in rows}


def test_which_users_use_the_dearest_model(page: Any, url: str) -> None:
    visit = Clicks(page, url)
    visit.link("Models")
    name = visit.table("Models").locator("tbody th").first.inner_text()
    assert name == "Claude Opus 4.7"
    visit.link(name)
    assert list(cells(visit.table("Users"), "Cost")) == ["ops-automation"]
    assert visit.number == 2


def test_what_did_caching_save(page: Any, url: str, demo_db: Path) -> None:
    with open_unchanged(demo_db) as db:
        ((saved,),) = db.execute("select sum(saved_usd) from cache_savings")
    whole = f"${saved:.2f}"
    visit = Clicks(page, url)
    card = page.locator(".card", has_text="Saved by caching")
    assert whole in card.inner_text()
    visit.link(whole)
    assert whole in page.locator(".cards").inner_text()
    assert cells(visit.table("Prompt caching"), "Saved")
    assert visit.number == 1


def test_which_applications_are_throttled(browser: Browser, page: Any, url: str) -> None:
    visit = Clicks(page, url)
    visit.link("Errors")
    throttled = cells(visit.table("Applications"), "Throttled")
    assert throttled["claude-cli"] == max(throttled.values(), key=int)
    assert visit.number == 1
    browser.drawn()
    figure = page.locator("figure[data-chart=errors]")
    assert figure.get_attribute("data-drawn") == "yes"
    figure.get_by_text("Table", exact=True).click()
    kinds = [row.split("\t")[1] for row in figure.locator("tbody tr").all_inner_texts()]
    assert {"throttled", "denied"} <= {*kinds}
    # A table sorts and searches what is in the page.
    users = visit.table("Users")
    assert users.locator("tbody tr:visible").count() == 12
    users.get_by_role("button", name="Denied").click()
    denied = [int(one) for one in cells(users, "Denied").values()]
    assert denied == sorted(denied, reverse=True)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    box = page.get_by_label("Find in the table Users")
    box.fill("BEDROCKROLE")
    shown = users.locator("tbody tr:visible th").all_inner_texts()
    assert shown
    assert all("BedrockRole" in name for name in shown)
    assert f"{len(shown)} of " in page.locator("output.hint:visible").first.inner_text()
    box.fill("")
    assert users.locator("tbody tr:visible").count() == 12
    assert requests == []


def test_hours_a_search_and_what_is_worth_a_look(browser: Browser, page: Any, url: str) -> None:
    visit = Clicks(page, url)
    page.locator("#look:visible").wait_for()
    assert "nobody used it before" in page.locator("#look").inner_text()
    browser.drawn()
    week = page.locator("figure[data-chart=week]")
    assert week.get_attribute("data-drawn") == "yes"
    week.get_by_text("Table", exact=True).click()
    assert week.locator("tbody tr").first.inner_text().split("\t")[0] == "Monday"
    page.locator("#look td a").click()
    page.wait_for_url("**/hour?hour=2026-11-**user=mobile-app")
    assert "mobile-app" in visit.table("Latest calls").inner_text()
    page.get_by_role("link", name="hour by hour").click()
    page.wait_for_url("**/?from=**user=mobile-app")
    assert cells(visit.table("Hours"), "Calls")
    page.get_by_label("Find an application, user").fill("chatb")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=chatb&from=2026-11-**")
    page.get_by_role("link", name="ChatbotApp", exact=True).click()
    page.wait_for_url("**/application?name=ChatbotApp&from=2026-11-**")
