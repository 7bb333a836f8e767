"""``sql/reports/monitor_periods.sql``: expected five-minute rows for given calls and totals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.warehouse.read.reports import run_report
from tests.support import HAIKU, SONNET, call, load, role_identity, rows, write_log, write_metrics

CANONICAL_SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
SEARCH, CHAT = role_identity("Search-BedrockRole"), role_identity("Chat-BedrockRole")
COLUMNS = (
    *("period_start", "application", "model_id", "calls", "failed_calls"),
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
    *("cost_picodollars", "calls_without_cost"),
)


def at(number: int, time: str, **fields: Any) -> dict[str, Any]:
    return call(number, **{"eventTime": f"2026-11-02T{time}Z", "userIdentity": SEARCH, **fields})


def periods(
    db: Database,
    since: str = "2026-11-02T00:00:00Z",
    until: str = "2026-11-03T00:00:00Z",
    estimates_until: str = "2026-11-03T00:00:00Z",
) -> list[tuple[Any, ...]]:
    found = run_report(
        db,
        "monitor_periods",
        {"since": since, "until": until, "estimates_until": estimates_until},
    )
    return [tuple(row[name] for name in COLUMNS) for row in found]


def test_calls_count_in_their_five_minutes_by_application_and_canonical_model(
    db: Database, tmp_path: Path
) -> None:
    log = [
        at(1, "10:00:00", tokens=(100, 10)),
        at(2, "10:04:59", tokens=(200, 20)),
        at(3, "10:05:00", tokens=(400, 40)),
        at(4, "10:05:01", tokens=(1, 1), userIdentity=CHAT),
        at(5, "10:05:02", tokens=(7, 7), requestParameters={"modelId": SONNET}),
        at(6, "10:05:03", errorCode="ThrottlingException"),
        at(7, "10:59:59", tokens=None),
    ]
    load(db, write_log(tmp_path / "log.json", log))
    # Per million tokens: Claude 3 Haiku $0.25 and $1.25; Sonnet 4.5 by geo profile $3.30, $16.50.
    assert periods(db) == [
        ("2026-11-02T10:00:00Z", "Search", HAIKU, 2, 0, 300, 30, None, None, 112_500_000, 0),
        ("2026-11-02T10:05:00Z", "Chat", HAIKU, 1, 0, 1, 1, None, None, 1_500_000, 0),
        ("2026-11-02T10:05:00Z", "Search", HAIKU, 1, 1, 400, 40, None, None, 150_000_000, 0),
        ("2026-11-02T10:05:00Z", "Search", CANONICAL_SONNET, 1, 0, 7, 7, None, None, 138_600_000, 0),
        ("2026-11-02T10:55:00Z", "Search", HAIKU, 1, 0, None, None, None, None, None, 1),
    ]  # fmt: skip


def test_the_bounds_are_half_open(db: Database, tmp_path: Path) -> None:
    log = [at(n, f"10:{n:02}:00", tokens=(n, 0)) for n in (4, 5, 9, 10)]
    load(db, write_log(tmp_path / "log.json", log))
    found = periods(db, "2026-11-02T10:00:00Z", "2026-11-02T10:10:00Z")
    assert [row[5] for row in found] == [4, 14]


@pytest.mark.parametrize("total", [1100, 1101, 1102, 1103, 101])
def test_an_hour_s_estimate_goes_to_the_calls_that_lack_the_count(
    db: Database, tmp_path: Path, total: int
) -> None:
    log = [
        at(1, "10:01:00", tokens=(100, 10)),
        at(2, "10:01:30"),
        at(3, "10:17:00"),
        at(4, "10:44:00", userIdentity=CHAT),
        at(5, "10:45:00", errorCode="AccessDenied"),
    ]
    totals = [(HAIKU, "InputTokenCount", total), (HAIKU, "OutputTokenCount", 13)]
    totals += [(HAIKU, "CacheReadInputTokenCount", 9)]
    load(db, write_log(tmp_path / "log.json", log), write_metrics(tmp_path / "m.csv", totals))
    found = {(row[0][11:16], row[1]): row[5:8] for row in periods(db)}
    # All but 100, and 3, over three calls; 9 cache reads over four, the one with tokens too.
    by_application = rows(
        db,
        "select application, input_tokens, output_tokens, cache_read_tokens"
        " from application_costs order by 1",
    )
    assert sum(row[0] for row in found.values() if row[0]) == total
    assert sum(row[1] for row in found.values() if row[1]) == 13
    assert sum(row[2] for row in found.values() if row[2]) == 9
    for application, *expected in by_application:
        sums = [
            sum(row[i] or 0 for (_, name), row in found.items() if name == application)
            for i in range(3)
        ]
        assert sums == expected
    assert found["10:45", "Search"] == (None, None, None)
    unestimated = periods(db, estimates_until="2026-11-02T10:00:00Z")
    assert [row[5] for row in unestimated] == [100, None, None, None]


def test_unattributed_usage_is_spread_over_the_hour(db: Database, tmp_path: Path) -> None:
    totals = [(HAIKU, "InputTokenCount", 25), (HAIKU, "OutputTokenCount", 3)]
    load(db, write_metrics(tmp_path / "m.csv", totals))
    found = periods(db)
    assert [row[0][11:16] for row in found] == [f"10:{minute:02}" for minute in range(0, 60, 5)]
    assert {row[1] for row in found} == {"(unattributed)"}
    assert sum(row[5] for row in found) == 25
    assert {row[5] for row in found} == {2, 3}
    assert sum(row[6] for row in found) == 3
    ((cost,),) = rows(db, "select sum(cost_picodollars) from daily_costs_by_application")
    assert sum(row[9] for row in found) == cost > 0


def test_a_call_without_a_price_has_no_cost(db: Database, tmp_path: Path) -> None:
    unknown = {"requestParameters": {"modelId": "nobody.knows-v1:0"}}
    log = [at(1, "10:00:00", tokens=(100, 10), **unknown), at(2, "10:00:00", tokens=(0, 0), **unknown)]  # fmt: skip
    load(db, write_log(tmp_path / "log.json", log))
    ((*_, tokens, _, _, _, cost, without),) = periods(db)
    # Zero tokens cost nothing at any price.
    assert (tokens, cost, without) == (100, 0, 1)
