"""Our own pages for restricted visitors: only their applications, and no link that is refused."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.web import visits
from tests.web.html_page import Page

OTHERS = ("WebPortal", "CustomerServiceApp", "DataAnalysisApp", "alice@example.com")
CROSSED = (
    *("/", "/?application=WebPortal", "/?user=alice%40example.com", "/cost"),
    *(
        "/application?name=WebPortal",
        "/user?name=alice%40example.com",
        "/cost?application=WebPortal",
    ),
    "/bedrock_usage/usage.json?by_user=1&by_application=1&_shape=array",
    "/bedrock_usage/choices.json?_shape=array",
    # Every day is given: which are over concerns everybody.
    "/bedrock_usage/movers.json?since=2026-11-17&until=2026-11-22&_shape=array",
    "/bedrock_usage/movers.json?by=user&since=2026-11-17&until=2026-11-22&_shape=array",
    "/bedrock_usage/callers.json?_shape=array",
    "/bedrock_usage/latest_calls.json?applications=%5B%22WebPortal%22%5D&_shape=array",
    "/bedrock_usage/usage.json?by_application=1&_visitor_applications=%5B%22WebPortal%22%5D",
)


def names_asked_for(path: str) -> str:
    """Return the values in the address itself, which a page may repeat."""
    return " ".join(v for values in parse_qs(urlsplit(path).query).values() for v in values)


def test_a_restricted_visitor_sees_nothing_of_the_others(demo_db: Path) -> None:
    with visits.serving(demo_db, visits.LOGIN) as pages:
        alice, carol = visits.Visitor(pages), visits.Visitor(pages)
        alice.log_in("alice")
        carol.log_in("carol")
        for path in CROSSED:
            seen, all_of_it = alice.get(path), carol.get(path)
            assert (seen.status_code, all_of_it.status_code) == (200, 200), path
            for name in OTHERS:
                if name not in names_asked_for(path):
                    assert name not in seen.text, (path, name)
            assert visits.SEARCH in alice.get("/").text
        moved, callers, kinds = (
            alice.get(f"/bedrock_usage/{query}&_shape=array").json()
            for query in (
                "movers.json?by=application&since=2026-11-17&until=2026-11-22",
                "callers.json?_size=max",
                "kind_costs.json?_size=max",
            )
        )
        assert [row["name"] for row in moved] == [visits.SEARCH]
        assert [row["name"] for row in callers] == ["(all)", visits.SEARCH]
        assert callers[0]["cost_usd"] == callers[1]["cost_usd"]
        assert sum(row["cost_usd"] for row in kinds) == pytest.approx(callers[1]["cost_usd"])
        assert all(name in carol.get("/").text for name in OTHERS)


def test_no_link_is_offered_that_is_refused(demo_db: Path) -> None:
    with visits.serving(demo_db, visits.LOGIN) as pages:
        alice = visits.Visitor(pages)
        alice.log_in("alice")
        seen, waiting = set[str](), ["/", "/cost", f"/application?name={visits.SEARCH}"]
        while waiting and len(seen) < 120:
            path = waiting.pop(0)
            if path in seen:
                continue
            seen.add(path)
            answer = alice.get(path)
            assert answer.status_code == 200, path
            if urlsplit(path).path in ("/", "/application", "/user", "/model", "/cost"):
                waiting += [link for link in Page(answer.text).links if link.startswith("/")]
        assert len(seen) > 30
        page = alice.get("/").text
        assert "alice, limited to ChatbotApp" in " ".join(page.split())
        assert "All queries and views" not in page
