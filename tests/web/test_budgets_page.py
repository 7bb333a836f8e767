"""The page of budgets, the line about them on the dashboard, and a visitor's own page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from etl.config import Restriction, Serve
from etl.normalise.budgets import Budget
from etl.normalise.model_names import short_name
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.budgets import apply_budgets
from tests.support import HAIKU, call, load, write_log
from tests.web.html_page import Page
from tests.web.pages import open_pages
from tests.web.visits import HASH, HTML, VARIABLES, Visitor, bearer, serving

TODAY = datetime.now(UTC).strftime("%Y-%m-%dT00:00:00Z")

# Users and applications of equal names, calls of each through each; each call costs its dollars.
CALLS = {
    ("alice", "Search"): 1, ("bob", "Search"): 2, ("alice", "Chat"): 4, ("nightly", "Chat"): 8,
}  # fmt: skip

LOGIN = Serve(
    host_names=("usage.example.com",),
    passwords={"alice": HASH, "carol": HASH},
    tokens=VARIABLES,
    restrictions=(
        # The visitor nightly is the user bob, and not the user nightly.
        Restriction(visitor="nightly", applications=("Search",), user="bob"),
        Restriction(visitor="carol", user="alice"),
        Restriction(visitor="alice", applications=("Search",)),
    ),
)


def words(text: str) -> str:
    return " ".join("".join(Page(text).words).split())


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("budgets")
    records = [
        call(
            number, user=user, userAgent=f"app/{app}", eventTime=TODAY, tokens=(cost * 4_000_000, 0)
        )
        for number, ((user, app), cost) in enumerate(CALLS.items())
    ]
    with open_warehouse(folder / "w.db", create=True) as db:
        load(db, write_log(folder / "log.json", records))
        apply_budgets(
            db,
            [
                Budget(name="<b>All</b>", amount=14, per="day"),
                Budget(name="Chat", amount=100, per="day", application="Chat"),
                Budget(name="Search", amount=4, per="day", application="Search"),
                Budget(name="Each user", amount=5, per="day", each="user"),
            ],
        )
    return folder / "w.db"


@pytest.fixture(scope="module")
def visitors(warehouse: Path) -> Iterator[dict[str, Visitor]]:
    with serving(warehouse, LOGIN) as pages:
        found = {name: Visitor(pages, **bearer(name)) for name in ("boss", "nightly")}
        for name in ("alice", "carol"):
            found[name] = Visitor(pages)
            found[name].log_in(name)
        yield found


def test_all_budgets_are_shown_with_state_and_reason(warehouse: Path) -> None:
    with open_pages(warehouse) as pages:
        page, dashboard = pages.open("/budgets").text, words(pages.open("/").text)
        assert pages.open("/me").status_code == 404
    assert "<b>All" not in page
    shown = words(page)
    assert "<b>All</b> everything" in shown
    assert "exceeded" in shown
    assert "107.1 %" in shown
    assert "75 % reached" not in shown
    assert "50 % reached" in shown
    assert "Budgets 2 exceeded of 6; 2 past a threshold" in dashboard
    assert "most used: Each user (nightly), 160.0 %" in dashboard
    assert "Exceeded: Each user (nightly), <b>All</b>." in dashboard


def test_a_dashboard_without_budgets_has_no_line_of_them(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        load(db, write_log(tmp_path / "log.json", [call(1, tokens=(1, 1))]))
    with open_pages(tmp_path / "w.db") as pages:
        dashboard = pages.open("/?from=2026-11-01").text.partition("<main")[2]
        assert "budget" not in words(dashboard).lower()
        assert "No budgets" in words(pages.open("/budgets").text)


def test_restricted_visitors_see_budgets_that_are_wholly_theirs(
    visitors: dict[str, Visitor],
) -> None:
    seen = {name: visitor.get("/budgets", headers=HTML).text for name, visitor in visitors.items()}
    assert "Chat" in seen["boss"]
    for name in ("nightly", "alice"):
        assert "application Search" in seen[name]
        assert "Chat" not in seen[name]
        assert "All" not in words(seen[name]).replace("All queries", "")
    assert "Each user" not in seen["alice"]
    # Their own, as the configuration says who they are.
    assert "user bob" in seen["nightly"]
    assert "user alice" in seen["carol"]
    assert "Search" not in seen["carol"]
    for name in ("nightly", "carol"):
        rows = (
            visitors[name]
            .get("/bedrock_usage/budgets.json?_shape=array&_visitor_user=alice")
            .json()
        )
        assert {row["only_user"] for row in rows} <= {None, "bob" if name == "nightly" else "alice"}


def test_a_visitors_own_page_is_of_the_user_that_the_configuration_names(
    visitors: dict[str, Visitor],
) -> None:
    answer = visitors["nightly"].get(
        "/me?user=alice&application=Chat&by=user&name=alice", headers=HTML
    )
    own = words(answer.text)
    assert "Your usage: bob" in own
    assert "Cost$2.00" in own
    assert "40.0 %" in own
    for other in ("alice", "Chat", "$8.00"):
        assert other not in own.replace("alice&", "")
    # All of it, whatever else the visitor may see; and nothing else where that is all.
    own = words(visitors["carol"].get("/me", headers=HTML).text)
    assert "Cost$5.00" in own
    assert "Chat" in own
    assert short_name(HAIKU) in own
    assert "No calls yet" in words(visitors["carol"].get("/", headers=HTML).text)
    assert visitors["carol"].get("/bedrock_usage/usage.json?_shape=array&by_user=1").json() == []
    assert "Your usage" in words(visitors["carol"].get("/", headers=HTML).text)


def test_a_name_that_equals_a_users_is_nobodys_page(visitors: dict[str, Visitor]) -> None:
    for name in ("alice", "boss"):
        assert visitors[name].get("/me", headers=HTML).status_code == 404
        assert "Your usage" not in visitors[name].get("/", headers=HTML).text


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"visitor": "*", "user": "alice"}, "everyone else"),
        ({"visitor": "alice", "user": " "}, "user is empty"),
        ({"visitor": "alice"}, "applications is missing, or teams, or user"),
    ],
)
def test_who_a_visitor_is_must_be_clear(keys: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Restriction(**keys)
