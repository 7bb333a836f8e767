"""The running month on the pages: what it has cost, and what it may cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.config import Restriction, Serve
from etl.forecast.renew import renew_forecasts
from etl.warehouse.database import open_warehouse
from tests.support import call, load, write_log
from tests.web.browser import Browser
from tests.web.html_page import Page
from tests.web.pages import open_pages
from tests.web.server import serving_here
from tests.web.visits import VARIABLES, Visitor, bearer, serving

SAID = "$9.00 so far; about $30.00 by the end of the month, and nine times out of ten between"


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Forty days of Claude 3 Haiku, a dollar each; the last is the ninth of November."""
    folder = tmp_path_factory.mktemp("month")
    days = [date(2026, 10, 1) + timedelta(days=n) for n in range(40)]
    calls = [
        call(n, tokens=(4_000_000, 0), eventTime=f"{day}T10:00:00Z", userAgent="app/Chat")
        for n, day in enumerate(days, 1)
    ]
    with open_warehouse(folder / "w.db", create=True) as warehouse:
        load(warehouse, write_log(folder / "log.json", calls))
        renew_forecasts(warehouse)
    yield folder / "w.db"


def test_the_month_and_what_it_may_cost(db: Path) -> None:
    with open_pages(db) as pages:
        for path, is_said in (
            ("/", True),
            ("/application?name=Chat", True),
            ("/team?name=(no%20team)", True),
            ("/?application=Chat&from=2026-11-01&to=2026-11-09", True),
            # Not of a part of it, and not on pages about the past.
            ("/user?name=alice", False),
            ("/?region=us-east-1", False),
            ("/?from=2026-10-01&to=2026-10-20", False),
        ):
            answer = pages.open(path)
            page = Page(answer.text)
            assert answer.status_code == 200, path
            assert (SAID in page.text) == is_said, path
            charts = [one for one in page.figures if one.get("data-chart") == "month"]
            assert len(charts) == is_said, path


def test_a_restricted_visitor_sees_no_forecast(db: Path) -> None:
    seen = Serve(
        host_names=("usage.example.com",),
        tokens=VARIABLES,
        restrictions=(Restriction(visitor="nightly", applications=("Chat",)),),
    )
    with serving(db, seen) as pages:
        visitor = Visitor(pages, **bearer("nightly"))
        for path in ("/", "/application?name=Chat"):
            text = visitor.get(path).text
            assert "Chat" in text
            assert "by the end of the month" not in text
        assert visitor.get("/bedrock_usage/forecast.json?applications=Chat").json()["rows"] == []


def test_the_month_is_drawn(browser: Browser, page: Any, db: Path) -> None:
    with serving_here(db) as url:
        page.goto(url)
        browser.drawn()
        figure = page.locator("figure.chart[data-chart=month]")
        figure.get_by_text("Table", exact=True).click()
        rows = figure.locator("tr").all_inner_texts()
    assert rows[0].split("\t") == ["Day", "Cost", "Expected"]
    assert rows[1].split("\t") == ["2026-11-01", "$1.00", "–"]
    assert rows[9].split("\t") == ["2026-11-09", "$1.00", "$1.00"]
    assert rows[30].split("\t") == ["2026-11-30", "–", "$1.00"]
