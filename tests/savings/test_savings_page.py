"""The page of savings, and its queries."""

from __future__ import annotations

import json
from pathlib import Path

from etl.sql_files import sql_text
from etl.warehouse.database import open_warehouse
from tests.cli.running import run
from tests.savings.usage import Used, add_prices, price, store
from tests.web.html_page import Page
from tests.web.pages import Pages, open_pages

BIG, SMALL, OTHER = "acme.big-v1:0", "acme.small-v1:0", "zeta.other-v1:0"
CACHED = {"input": 1_000_000, "output": 0, "cache_read": 2_000_000, "cache_write_5m": 100_000}


def warehouse(folder: Path) -> Path:
    path = folder / "w.db"
    with open_warehouse(path, create=True) as db:
        rates = {"input": 3_000_000, "output": 15_000_000, "cache_read": 300_000}
        add_prices(db, BIG, {**rates, "cache_write_5m": 3_750_000})
        add_prices(db, BIG, {"input": 1_500_000, "output": 7_500_000}, service_tier="batch")
        add_prices(db, SMALL, {"input": 1_000_000, "output": 5_000_000})
        price(db, OTHER, {"input": 2_000_000, "output": 5_000_000})
        store(
            db,
            [
                Used(CACHED),
                Used({"input": 4_000_000, "output": 1_000_000}, application="Plain"),
                Used({"input": 1_000_000, "output": 0}, OTHER, application="Plain"),
            ],
        )
    return path


def text_of(pages: Pages, path: str) -> str:
    response = pages.open(path)
    assert response.status_code == 200, response.text
    return " ".join(" ".join(Page(response.text).words).split())


def test_the_page_shows_what_the_views_say(tmp_path: Path) -> None:
    with open_pages(warehouse(tmp_path)) as pages:
        all_of_it = text_of(pages, "/savings")
        # 2 M read at 2.70 less, 0.1 M written at 0.75 more.
        assert "Saved by caching $5.33" in all_of_it
        # 5 M input and 1 M output, and the cache.
        assert f"{BIG} us-east-1 batch $30.98 no price for cache read, cache write 5m" in all_of_it
        plain = text_of(pages, "/savings?application=Plain")
        assert f"{BIG} {SMALL} $27.00 $9.00 -$18.00" in plain
        assert f"{BIG} {OTHER} $27.00 $13.00 -$14.00" in plain
        assert f"{OTHER} {BIG} $2.00 $3.00 $1.00" in plain
        assert f"{BIG} us-east-1 batch $27.00 $13.50 -$13.50" in plain
        assert "Saved by caching –" in plain
        assert "Nothing to compare" in plain  # no price is global
        assert "No calls in this range" in text_of(pages, "/savings?application=nobody")


def test_users_have_their_own_calls(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    with open_warehouse(path, create=True) as db:
        rates = {"input": 3_000_000, "cache_read": 300_000, "cache_write_1h": 6_000_000}
        price(db, BIG, {**rates, "output": 1})
        mine = {"input": 0, "cache_read": 0, "cache_write_5m": 0, "cache_write_1h": 1_000}
        store(db, [Used(mine), Used({**mine, "cache_write_1h": 9_000}, user="bob")])
        blank = dict.fromkeys(("since", "until", "regions", "models", "applications", "teams"), "")
        parameters = blank | {"_visitor_applications": None, "_visitor_teams": None}
        sql = sql_text("pages/cache_savings_by_application")
        for users, written in (("", 10_000), ("alice", 1_000), ("bob", 9_000)):
            (row,) = db.query(sql, {**parameters, "users": users})
            assert row["cache_write_tokens"] == written
            assert row["saved_picodollars"] == -3_000_000 * written


def test_the_report_is_the_same(tmp_path: Path) -> None:
    path = warehouse(tmp_path)
    _, shown, _ = run("report", "savings", "--db", path)
    assert "$5.33" in shown
    assert "no price: cache read, cache write 5m" in " ".join(shown.split())
    plain = ("report", "savings", "--db", path, "--application", "Plain")
    found = json.loads(run(*plain, "--format", "json")[1])
    assert [(row["model_id"], row["target"], row["difference_usd"]) for row in found["models"]] == [
        (BIG, SMALL, -18.0),
        (BIG, OTHER, -14.0),
        (OTHER, BIG, 1.0),
    ]
    lines = run("report", "savings", "--db", path, "--format", "csv")[1].splitlines()
    assert lines[2] == f"caching,Search,,{BIG},,,no cache,0.975,6.3,5.325,"
    kinds = [line.partition(",")[0] for line in lines[1:]]
    assert kinds == ["caching"] * 3 + ["models"] * 3 + ["tiers"]
    assert "No calls match" in run(*plain, "--since", "2027-01-01")[2]
