"""The queries behind the pages: expected rows for given calls, with every filter."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.sql_files import sql_names, sql_text
from etl.web.queries import DIMENSIONS
from tests.cases import cases
from tests.support import (
    HAIKU,
    SONNET,
    call,
    load,
    role_identity,
    uuid_of,
    write_log,
    write_metrics,
)

HAIKU_NAME, SONNET_NAME = HAIKU, "anthropic.claude-sonnet-4-5-20250929-v1:0"
FILES = sql_names("pages")
BLANK = dict.fromkeys(
    (
        *("by_day", "by_user", "by_application", "by_team", "by_region", "by_model"),
        *("top", "since", "until", "regions", "models", "users", "applications", "teams"),
        *("hour", "id"),
    ),
    "",
)
SEARCH, CHATBOT = role_identity("Search-BedrockRole"), role_identity("ChatbotApp-BedrockRole")


def ask(db: Database, query: str, **given: Any) -> list[dict[str, Any]]:
    """Ask as a page does: filters are JSON arrays, blank for none."""
    parameters = BLANK | {"_visitor_applications": None, "_visitor_teams": None}
    for name, value in given.items():
        parameters[name] = json.dumps(value) if isinstance(value, list) else value
    sql = sql_text(f"pages/{query}")
    return list(db.query(sql, parameters))


@pytest.fixture(scope="module")
def days(
    new_warehouse: Callable[[], AbstractContextManager[Database]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Database]:
    """Two applications by role and a person; two days, regions and models; an estimate."""
    folder = tmp_path_factory.mktemp("days")
    calls = [
        call(1, userIdentity=SEARCH, tokens=(1_000_000, 100_000)),
        call(2, userIdentity=SEARCH, eventTime="2026-11-03T22:00:00Z", awsRegion="us-west-2",
             requestParameters={"modelId": SONNET}, tokens=(10, 1)),
        call(3, userIdentity=CHATBOT, eventTime="2026-11-03T10:30:00Z"),
        call(4, userIdentity=CHATBOT, eventTime="2026-11-03T10:40:00Z", errorCode="ThrottlingException"),
        call(5, user="alice", eventTime="2026-11-03T10:50:00Z", tokens=(2_000_000, 0)),
        call(6, user="alice", tokens=(5, 5), requestParameters={"modelId": "acme.unheard-of-v1"}),
    ]  # fmt: skip
    totals = [
        (HAIKU, "InputTokenCount", 3_000_000, "2026-11-03T10:00:00Z", 3600),
        (HAIKU, "OutputTokenCount", 40, "2026-11-03T10:00:00Z", 3600),
    ]
    with new_warehouse() as db:
        load(db, write_log(folder / "log.json", calls))
        load(db, write_metrics(folder / "totals.csv", totals))
        yield db


def test_only_what_was_used_can_be_selected(days: Database) -> None:
    chosen: dict[str, list[str]] = {}
    for row in ask(days, "choices"):
        chosen.setdefault(row["kind"], []).append(row["name"])
    assert chosen == {
        "region": ["us-east-1", "us-west-2"],
        "model": ["acme.unheard-of-v1", HAIKU_NAME, SONNET_NAME],
        "application": ["ChatbotApp", "Search", "Unknown"],
        "user": ["alice", "ChatbotApp-BedrockRole", "Search-BedrockRole"],
        "team": ["(no team)"],
    }


def test_a_restricted_visitor_can_select_nothing_else(days: Database) -> None:
    names = {
        (r["kind"], r["name"]) for r in ask(days, "choices", _visitor_applications='["Search"]')
    }
    assert names == {
        ("region", "us-east-1"),
        ("region", "us-west-2"),
        ("model", HAIKU_NAME),
        ("team", "(no team)"),
        ("model", SONNET_NAME),
        ("application", "Search"),
        ("user", "Search-BedrockRole"),
    }


def test_how_fresh_it_is(days: Database) -> None:
    assert ask(days, "freshness") == [
        {
            "last_event_time": "2026-11-03T22:00:00Z",
            "first_day": "2026-11-02",
            "last_day": "2026-11-03",
            "finished_until": None,
            "last_read_at": None,
            "streams": 0,
            "failing_streams": 0,
            "unread_from": None,
            "unread_to": None,
        }
    ]


@cases("by", ["by_user", "by_application", "by_team", "by_region", "by_model"])
def test_the_hours_of_a_day_add_up_to_it(days: Database, by: str) -> None:
    given = {by: "1", "since": "2026-11-03", "until": "2026-11-03"}
    column = DIMENSIONS[by]
    for more in ({}, {"users": ["alice"]}, {"_visitor_applications": '["ChatbotApp"]'}):
        whole = {row[column]: row for row in ask(days, "usage", **given, **more)}
        hours = ask(days, "hours", **given, **more)
        assert {row[column] for row in hours} == {*whole}
        for name, row in whole.items():
            own = [hour for hour in hours if hour[column] == name]
            for figure in ("calls", "failed_calls", "unpriced_tokens"):
                assert sum(hour[figure] for hour in own) == row[figure]
            for figure in ("cost_usd", "estimated_cost_usd", "input_tokens"):
                known = [hour[figure] for hour in own if hour[figure] is not None]
                assert sum(known) == pytest.approx(row[figure] or 0)
            assert max(hour["is_lower_bound"] for hour in own) == row["is_lower_bound"]
    dearest = ask(days, "usage", top="1", **given)
    named = {row[column] for row in ask(days, "hours", top="1", **given)}
    assert named == {row[column] for row in dearest}


def test_a_day_is_finished_once_every_stream_has_read_it_to_its_end(
    days: Database,
) -> None:
    """A stream that is a week behind the others was given up and holds nothing back."""

    def finished(*watermarks: str) -> str | None:
        with days.conn:
            for number, watermark in enumerate(watermarks):
                days["sync_state"].insert(
                    {"stream": str(number), "source": "s", "account_id": "a", "region": "r"}
                    | {"watermark": watermark, "covered_from": "2026-11-01T00:00:00Z"}
                )
            (row,) = ask(days, "freshness")
            days.execute("delete from sync_state")
        day: str | None = row["finished_until"]
        return day

    assert finished("2026-11-04T23:59:59Z", "2026-11-05T10:00:00Z") == "2026-11-04"
    assert finished("2026-11-04T23:59:58Z", "2026-11-05T10:00:00Z") == "2026-11-03"
    assert finished("2026-10-20T00:00:00Z", "2026-11-05T10:00:00Z") == "2026-11-04"


def test_days_of_which_a_part_could_not_be_read(days: Database) -> None:
    gaps = [
        ("a", "2026-11-02T23:00:00Z", "2026-11-04T01:00:00Z"),
        ("b", "2026-11-03T00:00:00Z", "2026-11-03T00:59:59Z"),
    ]
    with days.conn:
        for stream, start, end in gaps:
            days.execute("insert into sync_gaps values (?, ?, ?, 'denied')", [stream, start, end])
        found = ask(days, "gap_days", since="2026-11-01", until="2026-11-03")
        hidden = ask(days, "gap_days", _visitor_applications='["Search"]')
        days.execute("delete from sync_gaps")
    assert [row["day"] for row in found] == ["2026-11-02", "2026-11-03"]
    assert hidden == []


def test_the_last_call_is_that_of_the_selection(days: Database) -> None:
    def last(**given: Any) -> list[str]:
        return [row["last_event_time"] for row in ask(days, "last_call", **given)]

    assert last() == ["2026-11-03T22:00:00Z"]
    assert last(applications=["ChatbotApp"]) == ["2026-11-03T10:40:00Z"]
    assert last(until="2026-11-02") == last(applications=["Search"], until="2026-11-02")
    assert last(_visitor_applications='["ChatbotApp"]') == ["2026-11-03T10:40:00Z"]
    assert last(applications=["nobody"]) == []


def test_an_empty_warehouse_has_no_age(db: Database) -> None:
    assert set(ask(db, "freshness")[0].values()) == {None, 0}


@cases(
    ("filters", "expected"),
    [
        ({}, {10: (4, 1), 22: (1, 0)}),
        ({"since": "2026-11-03"}, {10: (2, 1), 22: (1, 0)}),
        ({"until": "2026-11-02"}, {10: (2, 0)}),
        ({"applications": ["ChatbotApp"]}, {10: (1, 1)}),
        ({"users": ["alice"]}, {10: (2, 0)}),
        ({"regions": ["us-west-2"]}, {22: (1, 0)}),
        ({"models": [HAIKU_NAME]}, {10: (3, 1)}),
        ({"_visitor_applications": '["Search"]'}, {10: (1, 0), 22: (1, 0)}),
        ({"_visitor_applications": '["Search"]', "applications": ["ChatbotApp"]}, {}),
    ],
)
def test_calls_by_hour_of_the_day(
    days: Database, filters: dict[str, Any], expected: dict[int, tuple[int, int]]
) -> None:
    rows = ask(days, "hours_of_day", **filters)
    assert [row["hour_of_day"] for row in rows] == list(range(24))
    found = {r["hour_of_day"]: (r["calls"], r["failed_calls"]) for r in rows}
    assert {hour: counts for hour, counts in found.items() if any(counts)} == expected


def test_a_cost_is_tokens_times_the_price_of_a_row(days: Database) -> None:
    lines = ask(days, "cost_lines", applications=["Search"], until="2026-11-02")
    assert [(line["token_kind"], line["tokens"], line["usd_per_mtok"]) for line in lines] == [
        ("input", 1_000_000, 0.25),
        ("output", 100_000, 1.25),
    ]
    assert [line["cost_usd"] for line in lines] == [0.25, 0.125]
    for line in lines:
        assert line["data_source"] == "Actual Tokens from CloudTrail"
        ((source, checked),) = days.execute(
            "select source, checked_on from prices where price_id = ?", [line["price_id"]]
        ).fetchall()
        assert (line["price_source"], line["price_checked_on"]) == (source, checked)


def test_estimates_and_unpriced_kinds_have_separate_lines(days: Database) -> None:
    (line, other) = ask(days, "cost_lines", applications=["ChatbotApp"])
    assert (line["data_source"], line["token_kind"]) == ("CloudWatch (Estimated)", "input")
    assert (line["tokens"], line["cost_usd"]) == (1_000_000, 0.25)
    assert (other["token_kind"], other["tokens"]) == ("output", 40)
    unpriced = ask(days, "cost_lines", models=["acme.unheard-of-v1"])
    assert [(line["tokens"], line["cost_usd"], line["price_id"]) for line in unpriced] == [
        (5, None, None),
        (5, None, None),
    ]


def test_calls_without_tokens_have_a_line(db: Database, tmp_path: Path) -> None:
    load(db, write_log(tmp_path / "log.json", [call(1)]))
    (line,) = ask(db, "cost_lines")
    assert (line["token_kind"], line["tokens"], line["cost_usd"], line["calls"]) == (
        None,
        None,
        None,
        1,
    )


@cases(
    "filters",
    [
        {},
        {"applications": ["Search"]},
        {"users": ["alice"]},
        {"regions": ["us-east-1"], "models": [HAIKU_NAME]},
        {"since": "2026-11-03"},
        {"_visitor_applications": '["ChatbotApp", "Search"]'},
    ],
)
def test_the_lines_of_a_cost_add_up_to_it(days: Database, filters: dict[str, Any]) -> None:
    (total,) = ask(days, "usage", **filters)
    lines = ask(days, "cost_lines", **filters)
    assert sum(line["cost_usd"] or 0 for line in lines) == pytest.approx(
        total["cost_usd"], abs=1e-9
    )
    for kind in ("input", "output"):
        tokens = sum(line["tokens"] for line in lines if line["token_kind"] == kind)
        assert tokens == total[f"{kind}_tokens"]


def test_the_latest_calls_are_those_of_the_last_day_with_calls(days: Database) -> None:
    found = [row["event_id"] for row in ask(days, "latest_calls")]
    assert found == [uuid_of(n) for n in (2, 5, 4, 3)]
    (call_of_search,) = ask(days, "latest_calls", applications=["Search"])
    assert call_of_search["application_source"] == "role name"
    assert call_of_search["region"] == "us-west-2"
    before = ask(days, "latest_calls", until="2026-11-02", users=["alice"])
    assert [row["event_id"] for row in before] == [uuid_of(6)]
    assert ask(days, "latest_calls", models=["nobody"]) == []
    mine = ask(days, "latest_calls", _visitor_applications='["ChatbotApp"]')
    assert [row["event_id"] for row in mine] == [uuid_of(4), uuid_of(3)]


def test_the_evidence_for_an_application(days: Database) -> None:
    assert [(r["application"], r["evidence"], r["calls"]) for r in ask(days, "evidence")] == [
        ("Search", "role name", 2),
        ("Unknown", "unknown", 2),
        ("ChatbotApp", "role name", 1),
    ]
    (only,) = ask(days, "evidence", users=["alice"], _visitor_applications='["Unknown"]')
    assert only["user_name"] == "alice"


@pytest.mark.parametrize("by", [(), ("by_user",), ("by_day", "by_model")], ids=str)
def test_usage_of_a_restricted_visitor_is_that_of_its_applications(
    days: Database, by: tuple[str, ...]
) -> None:
    flags: dict[str, Any] = dict.fromkeys(by, "1")
    seen = ask(days, "usage", _visitor_applications='["Search"]', **flags)
    assert seen == ask(days, "usage", applications=["Search"], **flags)
    assert seen != ask(days, "usage", **flags)
    assert ask(days, "usage", applications=["ChatbotApp"], _visitor_applications='["Search"]') == []
    assert ask(days, "usage", _visitor_applications="[]") == []


@cases("name", FILES)
def test_each_head_has_its_question_and_grain(name: str) -> None:
    text = sql_text(f"pages/{name}")
    assert text.startswith("-- ")
    head = text.split("\nwith ")[0].split("\nselect")[0]
    assert "?" in head.splitlines()[0] + head.splitlines()[1]
    assert "Grain:" in head
    assert ":_visitor_applications, :_visitor_teams" in head
    assert max(map(len, text.splitlines())) <= 88


def test_the_top_names_are_kept_and_the_others_are_summed(days: Database) -> None:
    every = {row["application"]: row for row in ask(days, "usage", by_application="1")}
    top = {row["application"]: row for row in ask(days, "usage", by_application="1", top="1")}
    assert set(top) == {"Unknown", "(others)"}
    assert top["Unknown"] == every["Unknown"]
    others = [every["Search"], every["ChatbotApp"]]
    assert top["(others)"]["calls"] == sum(row["calls"] for row in others)
    assert top["(others)"]["cost_usd"] == pytest.approx(sum(row["cost_usd"] for row in others))
    assert top["(others)"]["data_source"] == "Mixed"


def test_the_top_names_are_those_of_all_days(days: Database) -> None:
    rows = ask(days, "usage", by_day="1", by_application="1", top="2")
    assert {(row["day"], row["application"]) for row in rows} == {
        ("2026-11-02", "Search"),
        ("2026-11-02", "Unknown"),
        ("2026-11-03", "Search"),
        ("2026-11-03", "Unknown"),
        ("2026-11-03", "(others)"),
    }
    assert ask(days, "usage", by_day="1", by_application="1", top="9") == ask(
        days, "usage", by_day="1", by_application="1"
    )
