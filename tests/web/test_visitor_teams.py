"""A visitor who is restricted to a team sees nothing of the others, on any page, in any format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etl.config import Restriction, Serve
from etl.normalise.rules import TeamRule
from etl.sql_files import sql_names
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.attribution import apply_config
from etl.warehouse.write.metadata_keys import apply_metadata_keys
from tests.support import HAIKU, call, load, write_log
from tests.web import visits

# Both teams use one application, which only some visitors may see.
AGENT = "Boto3/1.42.97 md/Botocore#1.42.97 Desk/1.0"


def said(team: str) -> dict[str, Any]:
    """Return a request with metadata, by which usage is shown; rules decide the team."""
    return {"modelId": HAIKU, "requestMetadata": {"team": team}}


CALLS = [
    call(1, user="ann", tokens=(1_111, 10), userAgent=AGENT, requestParameters=said("night")),
    call(
        2, user="bob", tokens=(2_222, 20), userAgent=AGENT, awsRegion="eu-west-1",
        requestParameters=said("dawn"),
    ),
    call(
        3, user="bob", tokens=(2_222, 20), eventTime="2026-11-03T10:00:00Z",
        requestParameters=said("dusk"),
    ),
]  # fmt: skip
RULES = [TeamRule(team="Search", user="ann"), TeamRule(team="Ads", user="bob")]
OTHERS = ("Ads", "bob", "2222", "2,222", "eu-west-1", "2026-11-03", "dawn", "dusk")

SERVE = Serve(
    passwords={"alice": visits.HASH, "carol": visits.HASH},
    host_names=("usage.example.com",),
    restrictions=(
        Restriction(visitor="alice", teams=("Search",)),
        Restriction(visitor="carol", teams=("Ads", "Nobody"), applications=("Other",)),
    ),
)

PATHS = (
    *("/", "/?by=team", "/?team=Search", "/cost", "/team?name=Search", "/user?name=ann"),
    *("/application?name=Desk", "/?application=Desk&from=2026-10-01&to=2026-11-30"),
    *(f"/bedrock_usage/{name}.{form}" for name in sql_names("pages") for form in ("json", "csv")),
    *(f"/bedrock_usage/metadata{form}?metadata_key=team" for form in ("", ".json", ".csv")),
    "/bedrock_usage/metadata.json?metadata_key=team&_visitor_teams=null",
    "/bedrock_usage/movers.json?until=2026-11-02",
    *(
        f"/bedrock_usage/usage.json?by_{one}=1&_visitor_teams=null&_visitor_applications=null"
        for one in ("day", "user", "application", "team", "region", "model")
    ),
)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("teams")
    with open_warehouse(folder / "w.db", create=True) as warehouse:
        apply_config(warehouse, RULES, {})
        apply_metadata_keys(warehouse, ["team"], 1)
        load(warehouse, write_log(folder / "log.json", CALLS))
    yield folder / "w.db"


def without_times(text: str) -> str:
    """Return an answer without the range of the page and how long its query took."""
    return re.sub(r'"query_ms": [0-9.e-]+|to=2026-11-30', "", text)


def test_a_visitor_of_a_team_sees_nothing_of_the_others(db: Path) -> None:
    with visits.serving(db, SERVE) as pages:
        alice, carol = visits.Visitor(pages), visits.Visitor(pages)
        alice.log_in("alice")
        carol.log_in("carol")
        for path in PATHS:
            seen = alice.get(path)
            assert seen.status_code == 200, path
            for other in OTHERS:
                assert other not in without_times(seen.text), (path, other)
            # Both restrictions hold: no usage of the team is of that application.
            assert "2222" not in carol.get(path).text, path
        for path in ("/team?name=Ads", "/bedrock_usage/usage.json?teams=Ads"):
            assert "2,222" not in alice.get(path).text
            assert "2222" not in alice.get(path).text
        for path in ("/bedrock_usage/team_costs", "/bedrock_usage/teams.json", "/bedrock_usage"):
            assert alice.get(path).status_code == 403, path
        assert "Search" in alice.get("/team?name=Search").text
        values = alice.get("/bedrock_usage/metadata.json?metadata_key=team&_shape=array").json()
        assert [(row["value"], row["distinct_values"], row["calls"]) for row in values] == [
            ("night", 1, 1)
        ]
        assert "alice, limited to team Search" in " ".join(alice.get("/").text.split())
        page = " ".join(carol.get("/").text.split())
        # One of each, so no comma between teams and applications.
        assert "carol, limited to teams Ads, Nobody in Other" in page


def test_a_page_of_a_team_and_the_stack_by_team(db: Path) -> None:
    with visits.serving(db, Serve(host_names=("usage.example.com",)), "127.0.0.1") as pages:
        rows = pages.rows("usage", by_team="1")
        assert {row["team"]: row["input_tokens"] for row in rows} == {"Search": 1111, "Ads": 4444}
        assert [row["team"] for row in pages.rows("usage", by_team="1", teams="Ads")] == ["Ads"]
        values = pages.rows("metadata", metadata_key="team")
        assert {row["distinct_values"] for row in values} == {1, 2}
        page = pages.open("/team?name=Ads").text
        assert "Team" in page and "config rule" in page and "bob" not in page.split("Evidence")[0]
