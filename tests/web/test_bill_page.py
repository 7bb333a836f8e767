"""The page of the bill, and the billed line of the others."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from itertools import product
from pathlib import Path
from typing import Any

from etl.warehouse.database import open_warehouse
from tests.bill.exports import ACCOUNT, HAIKU, OTHER_ACCOUNT, usage, write_export
from tests.support import load, logged, write_invocation_log
from tests.web.browser import Browser
from tests.web.html_page import Page
from tests.web.pages import Pages, open_pages
from tests.web.server import serving_here

DAY = "2026-10-31"


def text_of(pages: Pages, path: str) -> str:
    response = pages.open(path)
    assert response.status_code == 200, response.text
    return " ".join("".join(Page(response.text).words).split())


def lines_of(pages: Pages, path: str) -> list[str]:
    """Return what the charts of a page draw as billed."""
    found = re.findall(r'data-billed="([^"]+)"', pages.open(path).text)
    return [unescape(one) for one in found]


def write_calls(folder: Path) -> Path:
    records = [
        logged(
            number,
            tokens=(4_000_000, 0),
            timestamp=f"{DAY}T10:14:58Z",
            modelId=HAIKU.model_id,
            accountId=account,
        )
        for number, account in enumerate((ACCOUNT, OTHER_ACCOUNT))  # the other has no bill
    ]
    return write_invocation_log(folder / "log.json", records)


def test_the_bill_is_shown_once_its_days_are_closed(tmp_path: Path) -> None:
    log = write_calls(tmp_path)
    line = usage(HAIKU, "input", 4_000_000, DAY, price_factor="3")
    write_export(tmp_path, [line], form="csv.gz")
    path = tmp_path / "w.db"
    with open_warehouse(path, create=True) as db:
        load(db, log)
    with open_pages(path) as pages:
        assert "AWS billed" not in text_of(pages, "/")
        assert "No bill of these months" in text_of(pages, "/bill")
    with open_warehouse(path) as db:
        load(db, tmp_path / "exports", now=datetime(2026, 11, 1, tzinfo=UTC))
    with open_pages(path) as pages:
        assert "AWS billed" not in text_of(pages, "/")
        assert lines_of(pages, "/") == []
        assert f"2026-10, payer {line.payer}: open" in text_of(pages, "/bill")
    write_export(tmp_path, [line], form="csv.gz", run="run-2")  # nothing has changed
    other = line._replace(account=OTHER_ACCOUNT, currency="EUR")
    write_export(tmp_path, [other], form="csv.gz", name="other")
    with open_warehouse(path) as db:
        load(db, tmp_path / "exports", now=datetime(2026, 11, 20, tzinfo=UTC))
    with open_pages(path) as pages:
        for address in ("/", "/model?name=" + HAIKU.model_id):
            shown = text_of(pages, address)
            assert "AWS billed $3.00 for the 1 day of this range that is closed" in shown
            assert "our cost of it is $1.00" in shown
            assert lines_of(pages, address) == [f'{{"{DAY}": 3.0}}']
            assert f"{DAY} $2.00 $3.00" in shown.replace("$", " $").replace("  ", " ")
        assert "AWS billed" not in text_of(pages, "/user?name=alice")
        assert lines_of(pages, "/user?name=alice") == []
        bill = text_of(pages, "/bill")
    assert "Billed $3.00, ours $1.00: the difference is $2.00 (66.7 % of the bill)" in bill
    assert f"Not compared: account {OTHER_ACCOUNT} of payer {line.payer} in 2026-10" in bill
    assert "price$2.00" in bill


def test_the_cost_per_day_has_a_line_of_what_is_billed(
    browser: Browser, page: Any, tmp_path: Path
) -> None:
    write_export(tmp_path, [usage(HAIKU, "input", 4_000_000, DAY)], form="csv.gz")
    path = tmp_path / "w.db"
    with open_warehouse(path, create=True) as db:
        load(db, write_calls(tmp_path))
        load(db, tmp_path / "exports", now=datetime(2026, 11, 20, tzinfo=UTC))
    with serving_here(path) as url:
        page.goto(url)
        browser.drawn()
        chart = page.locator("figure.chart[data-billed]")
        assert chart.get_attribute("data-drawn") == "yes", chart.inner_text()
        chart.locator("canvas").scroll_into_view_if_needed()
        box = chart.locator("canvas").bounding_box()
        assert box is not None
        tips = set()
        # The day is the last of the range.
        for x, y in product(range(15, 40, 8), range(0, int(box["height"]), 4)):
            page.mouse.move(box["x"] + box["width"] - x, box["y"] + y)
            tips |= set(page.locator("#vg-tooltip-element").all_inner_texts())
        assert any("Billed by AWS" in tip and "$1" in tip for tip in tips), tips
