"""The running month on the pages: what it has cost, and what it may cost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.config import Restriction, Serve
from etl.forecast.renew import renew_forecasts
from etl.warehouse.database import open_warehouse
from tests.bill.exports import HAIKU, usage, write_export
from tests.support import call, load, write_log
from tests.web.browser import Browser
from tests.web.html_page import Page
from tests.web.pages import open_pages
from tests.web.server import serving_here
from tests.web.visits import VARIABLES, Visitor, bearer, serving

# The 31 days of October cost a dollar each.
LAST_MONTH = "Last month, 2026-10 : $31.00 . AWS billed $3.00 for the 1 day that is closed; our cost of it is $1.00."
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
        line = usage(HAIKU, "input", 4_000_000, "2026-10-31", price_factor="3")
        write_export(folder, [line], form="csv.gz")
        load(warehouse, folder / "exports", now=datetime(2026, 11, 20, tzinfo=UTC))
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
            assert ("about $30.00 by" in page.text) == is_said, path
            assert (
                "≈ $30.00 by its end, nine times out of ten between $" in page.text
            ) == is_said, path
            charts = [one for one in page.figures if one.get("data-chart") == "month"]
            assert len(charts) == is_said, path


def test_last_month_and_its_bill_are_beside_it(db: Path) -> None:
    with open_pages(db) as pages:
        page = Page(pages.open("/").text)
        assert LAST_MONTH in page.text
        assert "/bill?range=2026-10" in page.links
        # Whom the bill does not name has no part of it.
        text = Page(pages.open("/application?name=Chat").text).text
        assert "Last month, 2026-10 : $31.00 ." in text
        assert "AWS billed" not in text
    with open_warehouse(db.parent / "few.db", create=True) as warehouse:
        few = [call(n, tokens=(4_000_000, 0), eventTime=f"2026-11-0{n}T10:00:00Z") for n in (1, 2)]
        load(warehouse, write_log(db.parent / "few.json", few))
        renew_forecasts(warehouse)
    with open_pages(db.parent / "few.db") as pages:
        text = Page(pages.open("/").text).text
        assert "What it may cost cannot be told yet: not enough data: 1 of 14 covered days." in text
        assert "so far; no forecast yet" in text
        assert "Last month" not in text.replace("Last month Month", "")


def test_a_month_can_be_chosen_and_is_compared_with_the_one_before(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl.web.pages.now", lambda: datetime(2026, 11, 10, 12, tzinfo=UTC))
    with open_pages(db) as pages:
        shown = Page(pages.open("/?application=Chat").text)
        months = [link for link in shown.links if re.search(r"range=\d{4}-", link)]
        assert months[:2] == [f"/?range=2026-{month}&application=Chat" for month in (11, 10)]
        november = Page(pages.open(months[0]).text).text
        assert "2026-11-01 to 2026-11-30 , UTC: the month 2026-11." in november
        assert "Change +0.0 % from $9.00 from 2026-10-01 to 2026-10-09" in november.replace(
            "−", "+"
        )
        assert "Cost $31.00 31 days" in Page(pages.open(months[1]).text).text
        for wrong in ("2026-13", "2026-1", "1026-01"):
            assert pages.open(f"/?range={wrong}").status_code == 400


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
