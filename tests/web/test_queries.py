"""The canned queries have the numbers of the reports and views, for the requested range."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from etl.warehouse.database import open_warehouse
from tests.cli.running import run
from tests.rounds import crossed
from tests.support import HAIKU, call, load, write_log, write_metrics
from tests.web.pages import QUERIES, Pages, open_pages

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-pro-v1:0"

REPORTS = {
    "cost_by_user": "users",
    "cost_by_application": "applications",
    "cost_by_model": "models",
    "cost_by_region": "regions",
    "cost_per_day": "days",
}
RANGES: dict[str, tuple[dict[str, str], list[str]]] = {
    "all": ({}, []),
    "from": ({"date_from": "2026-11-12"}, ["--since", "2026-11-12"]),
    "three days": (
        {"date_from": "2026-11-10", "date_to": "2026-11-12"},
        ["--since", "2026-11-10", "--until", "2026-11-12"],
    ),
    "one region": ({"regions": "us-west-2"}, ["--region", "us-west-2"]),
    "two models": (
        {"models": f"{SONNET} , {NOVA}"},
        ["--model", SONNET, "--model", NOVA],
    ),
}
VIEWS = {
    "cost_by_user": "user_costs",
    "cost_by_application": "application_costs",
    "cost_by_model": "model_costs",
    "cost_by_region": "region_costs",
    "cost_per_day": "daily_costs",
    "breakdown_by_user": "user_breakdown",
    "breakdown_by_application": "application_breakdown",
    "models_discovered": "discovered_models",
    "unpriced": "unpriced_usage",
}
EVER = {"date_from": "2000-01-01"}


def report(db: Path, kind: str, words: list[str]) -> list[dict[str, Any]]:
    status, out, _ = run("report", kind, "--format", "json", "--db", db, *words)
    assert status == 0
    rows: list[dict[str, Any]] = json.loads(out)["rows"]
    return rows


def by_name(rows: list[dict[str, Any]], *columns: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    named = {tuple(row[column] for column in columns): row for row in rows}
    assert len(named) == len(rows)
    return named


@pytest.mark.parametrize(("limits", "query"), crossed(RANGES.values(), REPORTS))
def test_a_query_has_the_numbers_of_the_report(
    pages: Pages, demo_db: Path, query: str, limits: tuple[dict[str, str], list[str]]
) -> None:
    parameters, words = limits
    rows = pages.rows(query, **parameters)
    name, *others = rows[0]
    shown, wanted = by_name(rows, name), by_name(report(demo_db, REPORTS[query], words), name)
    assert shown.keys() == wanted.keys()
    for key, row in shown.items():
        assert row == {column: wanted[key][column] for column in (name, *others)}


@pytest.mark.parametrize(("query", "view"), VIEWS.items())
def test_a_query_over_all_days_is_its_view(pages: Pages, query: str, view: str) -> None:
    shown, expected = pages.rows(query, **EVER), pages.rows(view, _size="max")
    assert shown
    assert set(shown[0]) == set(expected[0])
    assert sorted(shown, key=sort_key) == sorted(expected, key=sort_key)


def sort_key(row: dict[str, Any]) -> str:
    return repr(sorted(row.items()))


def test_the_days_of_the_applications_add_up_to_the_days(pages: Pages) -> None:
    days = by_name(pages.rows("cost_per_day"), "day")
    stacked = pages.rows("cost_per_day_by_application")
    for (day,), row in days.items():
        parts = [part for part in stacked if part["day"] == day]
        assert sum(part["calls"] for part in parts) == row["calls"]
        total = sum(part["cost_usd"] or 0 for part in parts)
        assert total == pytest.approx(row["cost_usd"], rel=1e-12)


def test_coverage_is_that_of_the_report(pages: Pages, demo_db: Path) -> None:
    details = report(demo_db, "coverage", [])
    for row in pages.rows("coverage"):
        parts = [detail for detail in details if detail["day"] == row["day"]]
        assert row["calls"] == sum(part["calls"] for part in parts)
        assert row["calls_with_tokens"] == sum(part["calls_with_tokens"] for part in parts)
        assert row["coverage_pct"] == round(100 * row["calls_with_tokens"] / row["calls"], 1)


def test_activity_counts_every_call_and_nothing_else(pages: Pages) -> None:
    calls = pages.rows("calls", _size="max")
    assert len(calls) > 1000
    for row in pages.rows("activity_by_user"):
        own = [one for one in calls if one["user_name"] == row["user_name"]]
        assert row["calls"] == sum(one["error_code"] is None for one in own)
        assert row["failed_calls"] == sum(one["error_code"] is not None for one in own)
        assert row["model_count"] == len({one["model_id"] for one in own})
        assert set(row["regions"].split(",")) == {one["region"] for one in own}
        assert row["first_seen"] == min(one["event_time"] for one in own)[:10]
        assert row["last_seen"] == max(one["event_time"] for one in own)[:10]
        assert not {name for name in row if "cost" in name}


def test_the_most_expensive_come_first(pages: Pages) -> None:
    for query, name in (
        ("breakdown_by_user", "user_name"),
        ("breakdown_by_application", "application"),
    ):
        order = list(dict.fromkeys(row[name] for row in pages.rows(query)))
        summary = pages.rows(f"cost_by_{name.removesuffix('_name')}")
        # Whole micro-dollars decide; below them, names.
        assert order[:5] == [row[name] for row in summary][:5]


@pytest.mark.parametrize("model", [HAIKU, "acme.unheard-of-v1"])
def test_every_query_is_limited_by_all_that_is_given(tmp_path: Path, model: str) -> None:
    """tests/sql/test_filters.py tests how. 30 days end on 2 October: blank dates exclude the west."""
    sent = {"requestParameters": {"modelId": model}, "tokens": (1, 1)}
    calls = [
        call(1, eventTime="2026-10-01T23:59:59Z", awsRegion="us-west-2", **sent),
        call(2, eventTime="2026-10-31T00:00:00Z", awsRegion="us-east-1", **sent),
    ]
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        load(db, write_log(tmp_path / "log.json", calls))
    east, west = {"regions": "us-east-1"}, {"regions": "us-west-2"}
    with open_pages(tmp_path / "w.db") as pages:
        for query in QUERIES:
            if (query == "unpriced") == (model == HAIKU):
                continue
            for shown in (
                *({}, east, west | {"date_from": "2026-10-01"}, west | {"date_to": "2026-10-30"}),
                *({"models": model}, {"models": f'["{model}"]', "regions": '["us-east-1"]'}),
            ):
                assert pages.rows(query, **shown), (query, shown)
            for empty in (
                *(west, west | {"date_from": "2026-10-02"}, east | {"date_to": "2026-10-30"}),
                *({"models": "acme.other"}, {"regions": "us-east"}, {"date_from": "2026-11-01"}),
            ):
                assert pages.rows(query, **empty) == [], (query, empty)


def test_what_cloudwatch_counted_after_the_last_call_is_there(tmp_path: Path) -> None:
    later = ("2026-11-05T10:00:00Z", 3600)
    metrics = write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 500, *later)])
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        load(db, write_log(tmp_path / "log.json", [call(1, tokens=(1, 1))]), metrics)
    with open_pages(tmp_path / "w.db") as pages:
        assert [row["day"] for row in pages.rows("cost_per_day")] == ["2026-11-02", "2026-11-05"]


def test_a_warehouse_without_calls_shows_what_cloudwatch_counted(tmp_path: Path) -> None:
    metrics = write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 500)])
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        load(db, metrics)
    with open_pages(tmp_path / "w.db") as pages:
        (row,) = pages.rows("cost_by_user")
        assert (row["user_name"], row["input_tokens"]) == ("(unattributed)", 500)


def test_an_empty_warehouse_shows_nothing(empty_warehouse: Path) -> None:
    with open_pages(empty_warehouse) as pages:
        for query in QUERIES:
            assert pages.rows(query) == []
            assert pages.get(query).status_code == 200
