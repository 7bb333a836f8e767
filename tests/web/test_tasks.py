"""What people come for, answered by the clicks of someone who has not been here before."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from etl.forecast.renew import renew_forecasts
from etl.warehouse.database import open_unchanged, open_warehouse
from tests.web.browser import Browser
from tests.web.server import serving_here

# A Tuesday; the last day of the demo is the Monday before.
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def desk(demo_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The demo with forecasts, on the day after its last one: its address, and its file."""
    path = tmp_path_factory.mktemp("desk") / "w.db"
    shutil.copy(demo_db, path)
    with open_warehouse(path) as db:
        renew_forecasts(db)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("etl.web.pages.now", lambda: NOW)
        with serving_here(path) as url:
            yield url, path


def answer(path: Path, sql: str) -> Any:
    with open_warehouse(path) as db:
        return db.execute(sql).fetchone()[0]


class Visit:
    """A page, and how often it was clicked."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.page, self._browser, self.clicks = browser.page, browser, 0
        self.page.goto(url)
        browser.drawn()

    def click(self, what: Any, until: str | Callable[[str], bool]) -> None:
        what.click()
        self.clicks += 1
        self.page.wait_for_url(until)
        self._browser.drawn()

    def preset(self, label: str) -> Any:
        return self.page.locator(".presets").get_by_role("link", name=label, exact=True)

    def rows(self, table: str) -> list[list[str]]:
        """Return the cells of a table's rows, also of those that are folded."""
        region = self.page.get_by_role("region", name=f"{table}, table", exact=True)
        cells: list[list[str]] = region.locator("tbody tr").evaluate_all(
            "rows => rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim()))"
        )
        return cells

    def link(self, name: str) -> None:
        """Click a link by its whole name."""
        before = self.page.url
        found = self.page.get_by_role("link", name=name, exact=True).first
        self.click(found, until=lambda url: url != before)

    def column(self, table: str, heading: str) -> dict[str, str]:
        """Return a column of a table by the names of its rows."""
        region = self.page.get_by_role("region", name=f"{table}, table", exact=True)
        headings = region.locator("thead th").all_inner_texts()
        at = [one.strip(" ↑↓") for one in headings].index(heading)
        return {row[0]: row[at] for row in self.rows(table)}

    def card(self, title: str) -> str:
        text: str = self.page.locator(".card", has_text=title).inner_text()
        return text


def usd(text: str) -> float:
    return float(re.sub("[^0-9.-]", "", text))


def test_what_people_ask_is_a_click_or_two_away(
    browser: Browser, page: Any, desk: tuple[str, Path], tmp_path: Path
) -> None:
    url, db = desk
    visit = Visit(browser, url)
    # What will this month cost?
    forecast = answer(db, "select forecast_usd from forecast_month where dimension = 'all'")
    assert f"≈ ${forecast:,.2f}" in visit.card("This month, 2026-11")
    assert visit.clicks == 0
    # Which application cost most last calendar week?
    visit.click(visit.preset("Last week"), "**range=last-week")
    most = answer(
        db,
        "select application from daily_costs_by_application"
        " where day between '2026-11-16' and '2026-11-22'"
        " group by 1 order by sum(cost_usd) desc",
    )
    assert visit.rows("Applications")[0][0] == most
    assert "2026-11-16 to 2026-11-22" in page.locator(".range").inner_text()
    assert visit.clicks == 1
    # Send this table to a spreadsheet.
    with page.expect_download() as download:
        page.get_by_role("link", name="Applications as CSV", exact=True).click()
    file = tmp_path / "table.csv"
    download.value.save_as(file)
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert [row["application"] for row in rows] == [row[0] for row in visit.rows("Applications")]
    assert "last" not in download.value.suggested_filename
    assert "2026-11-16_2026-11-22" in download.value.suggested_filename
    # Unit costs sort, like every column.
    for heading, column in (("Per call", 5), ("Per user", 8)):
        page.get_by_role("region", name="Applications, table").get_by_role(
            "button", name=heading
        ).click()
        shown = [row[column] for row in visit.rows("Applications")]
        known = [usd(text) for text in shown if text != "–"]
        assert known == sorted(known, reverse=True)
        assert shown[len(known) :] == ["–"] * (len(shown) - len(known))
    # What does a call of this application cost?
    visit = Visit(browser, url)
    link = page.get_by_role("region", name="Applications, table").get_by_role("link", name=most)
    visit.click(link.first, "**/application?**")
    per_call = answer(
        db, f"select usd_per_call from application_costs where application = '{most}'"
    )
    assert visit.clicks == 1
    assert usd(visit.card("Cost per call").split("\n")[1]) == pytest.approx(per_call, rel=0.01)
    kinds = {row[0]: row for row in visit.rows("Cost by kind of token")}
    assert {"input", "output"} <= {*kinds}
    whole = sum(usd(row[1]) for row in kinds.values())
    assert whole == pytest.approx(usd(page.locator(".main-card .figure").inner_text()), abs=0.02)


def test_yesterday_is_explained(browser: Browser, page: Any, desk: tuple[str, Path]) -> None:
    url, db = desk
    visit = Visit(browser, url)
    # How was yesterday by the hour?
    visit.click(visit.preset("Yesterday"), "**range=yesterday")
    assert visit.clicks == 1
    assert "Cost per hour by application" in page.locator("figure.chart").first.inner_text()
    # Who drove its increase, and why?
    by_user = page.get_by_role("group", name="What changed by").get_by_role("link", name="by user")
    visit.click(by_user, "**range=yesterday&by=user")
    assert visit.clicks == 2
    rows = visit.rows("What changed by user")
    most = answer(
        db,
        "select user_name from daily_costs_by_user where day in ('2026-11-22', '2026-11-23')"
        " group by 1 order by abs(sum(iif(day = '2026-11-23', cost_usd, -cost_usd))) desc",
    )
    assert rows[0][0] == most
    assert "2026-11-23 against 2026-11-22, UTC." in page.locator("#changed").inner_text()
    for _, change, why, before, after, *causes in rows:
        assert why in {
            *("more calls", "fewer calls", "more tokens a call", "fewer tokens a call"),
            *("a dearer mix", "a cheaper mix", "no calls before", "no calls after", "–"),
            *("more usage", "less usage"),
        }
        assert usd(change) == pytest.approx(sum(map(usd, causes)), abs=0.03)
        assert usd(change) == pytest.approx(usd(after) - usd(before), abs=0.02)
    # The sum is that of the cards.
    sums = page.locator("#changed tfoot td").all_inner_texts()
    (before,) = re.findall(r"from (\S+) on 2026-11-22", visit.card("Change"))
    after = page.locator(".main-card .figure").inner_text()
    assert [usd(sums[3]), usd(sums[4])] == pytest.approx([usd(before), usd(after)], abs=0.01)
    # A press on a heading sorts; a name leads on.
    page.locator("#changed").get_by_role("button", name="Name").click()
    names = [row[0] for row in visit.rows("What changed by user")]
    assert names == sorted(names, key=str.lower)
    visit.click(page.locator("#changed").get_by_role("link", name=most), "**/user?**")
    assert most in page.locator("h1").inner_text()
    # A month is chosen from a list, which keeps what is shown.
    page.locator(".presets summary").click()
    visit.click(visit.preset("2026-11"), "**range=2026-11**")
    assert most in page.locator("h1").inner_text()
    assert "2026-11-01 to 2026-11-30" in page.locator(".range").inner_text()


def test_which_users_use_the_dearest_model(browser: Browser, page: Any, url: str) -> None:
    visit = Visit(browser, url)
    visit.link("Models")
    name = (
        page.get_by_role("region", name="Models, table", exact=True)
        .locator("tbody th")
        .first.inner_text()
    )
    assert name == "Claude Opus 4.7"
    visit.link(name)
    assert list(visit.column("Users", "Cost")) == ["ops-automation"]
    assert visit.clicks == 2


def test_what_did_caching_save(browser: Browser, page: Any, url: str, demo_db: Path) -> None:
    with open_unchanged(demo_db) as db:
        ((saved,),) = db.execute("select sum(saved_usd) from cache_savings")
    whole = f"${saved:.2f}"
    visit = Visit(browser, url)
    card = page.locator(".card", has_text="Saved by caching")
    assert whole in card.inner_text()
    visit.link(whole)
    assert whole in page.locator(".cards").inner_text()
    assert visit.column("Prompt caching", "Saved")
    assert visit.clicks == 1


def test_which_applications_are_throttled(browser: Browser, page: Any, url: str) -> None:
    visit = Visit(browser, url)
    visit.link("Errors")
    throttled = visit.column("Applications", "Throttled")
    assert throttled["claude-cli"] == max(throttled.values(), key=int)
    assert visit.clicks == 1
    browser.drawn()
    figure = page.locator("figure[data-chart=errors]")
    assert figure.get_attribute("data-drawn") == "yes"
    figure.get_by_text("Table", exact=True).click()
    kinds = [row.split("\t")[1] for row in figure.locator("tbody tr").all_inner_texts()]
    assert {"throttled", "denied"} <= {*kinds}
    # A table sorts and searches what is in the page.
    users = page.get_by_role("region", name="Users, table", exact=True)
    assert users.locator("tbody tr:visible").count() == 12
    users.get_by_role("button", name="Denied").click()
    denied = [int(one) for one in visit.column("Users", "Denied").values()]
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
    visit = Visit(browser, url)
    page.locator("#look:visible").wait_for()
    assert "nobody used it before" in page.locator("#look").inner_text()
    browser.drawn()
    week = page.locator("figure[data-chart=week]")
    assert week.get_attribute("data-drawn") == "yes"
    week.get_by_text("Table", exact=True).click()
    assert week.locator("tbody tr").first.inner_text().split("\t")[0] == "Monday"
    page.locator("#look td a").click()
    page.wait_for_url("**/hour?hour=2026-11-**user=mobile-app")
    assert (
        "mobile-app"
        in page.get_by_role("region", name="Latest calls, table", exact=True).inner_text()
    )
    page.get_by_role("link", name="hour by hour").click()
    page.wait_for_url("**/?from=**user=mobile-app")
    assert visit.column("Hours", "Calls")
    page.get_by_label("Find an application, user").fill("chatb")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=chatb&from=2026-11-**")
    page.get_by_role("link", name="ChatbotApp", exact=True).click()
    page.wait_for_url("**/application?name=ChatbotApp&from=2026-11-**")
