"""Capacity that AWS bills by the hour: never in a cost, and never mistaken for free."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.cli import main
from etl.errors import RejectError
from etl.normalise.provisioned import continue_rows, parse_provisioned
from etl.normalise.rows import ProvisionedThroughput
from etl.warehouse.read.reports import Filters, capacity
from etl.warehouse.write.replaced_rows import renew_rows
from tests.cases import cases
from tests.support import ACCOUNT, HAIKU, call, load, rows, write_log

ARN = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/abc123def456"
ROW = ProvisionedThroughput(
    provisioned_model_arn=ARN,
    seen_from="2026-11-02T06:00:00Z",
    seen_to="2026-11-02T06:00:00Z",
    account_id=ACCOUNT,
    region="us-east-1",
    model_id="amazon.nova-pro-v1:0",
    served_model_arn=None,
    model_units=2,
    commitment_duration=None,
    status="InService",
    created_at="2026-11-01T18:00:00Z",
    modified_at="2026-11-01T18:00:00Z",
)


def read(db: Database, at: str, **fields: Any) -> None:
    """Store a reading of the throughput, as sync does."""
    latest = [
        ProvisionedThroughput(*row)
        for row in rows(
            db,
            f"select {', '.join(ROW._fields)} from provisioned_throughputs"
            " order by seen_from desc limit 1",
        )
    ]
    listed = [ROW._replace(seen_from=at, seen_to=at, **fields)]
    renew_rows(db, "provisioned_throughputs", continue_rows(listed, latest))


def hours(db: Database) -> list[tuple[Any, ...]]:
    return rows(db, "select day, hours, model_unit_hours from capacity_hours order by day")


def test_hours_are_counted_from_the_creation_to_the_last_reading(db: Database) -> None:
    assert hours(db) == []
    read(db, "2026-11-02T06:00:00Z")
    read(db, "2026-11-03T06:00:00Z")
    read(db, "2026-11-04T06:00:00Z")
    assert rows(db, "select seen_from, seen_to from provisioned_throughputs") == [
        ("2026-11-02T06:00:00Z", "2026-11-04T06:00:00Z")
    ]
    assert hours(db) == [
        ("2026-11-01", 6.0, 12.0),
        ("2026-11-02", 24.0, 48.0),
        ("2026-11-03", 24.0, 48.0),
        ("2026-11-04", 6.0, 12.0),
    ]


def test_a_change_is_dated_by_its_modification(db: Database) -> None:
    read(db, "2026-11-02T00:00:00Z", status="Creating", modified_at="2026-11-01T18:00:00Z")
    read(db, "2026-11-03T00:00:00Z", modified_at="2026-11-02T12:00:00Z")
    read(db, "2026-11-04T00:00:00Z", model_units=3, modified_at="2026-11-03T06:00:00Z")
    read(db, "2026-11-05T00:00:00Z", model_units=3, modified_at="2026-11-03T06:00:00Z")
    read(db, "2026-11-06T00:00:00Z", status="Failed", modified_at="2026-11-03T06:00:00Z")
    assert hours(db) == [
        ("2026-11-02", 12.0, 24.0),
        ("2026-11-03", 24.0, 6 * 2.0 + 18 * 3.0),
        ("2026-11-04", 24.0, 72.0),
        # Nothing but the reading says when it failed.
        ("2026-11-05", 24.0, 72.0),
    ]


@cases(
    "wrong",
    [
        {"modelUnits": -1}, {"modelUnits": None}, {"modelUnits": "x"}, {"creationTime": None},
        {"status": 3}, {"provisionedModelArn": ""}, {"lastModifiedTime": "yesterday"},
    ],
)  # fmt: skip
def test_what_cannot_be_counted_is_rejected(wrong: dict[str, Any]) -> None:
    summary = {
        "provisionedModelArn": ARN,
        "foundationModelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0:24k",
        "modelUnits": 2,
        "status": "InService",
        "creationTime": datetime(2026, 11, 1, 18, tzinfo=UTC),
        "lastModifiedTime": "2026-11-01T18:00:00Z",
    }
    place = {"account_id": ACCOUNT, "region": "us-east-1", "seen_at": ROW.seen_from}
    assert parse_provisioned(summary, **place) == ROW
    with pytest.raises(RejectError):
        parse_provisioned(summary | wrong, **place)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
def test_readings_cover_their_time_once(readings: list[tuple[int, bool]]) -> None:
    latest: dict[str, ProvisionedThroughput] = {}
    for day, (units, is_there) in enumerate(readings, 1):
        at = f"2026-11-{day:02}T00:00:00Z"
        listed = [ROW._replace(seen_from=at, seen_to=at, model_units=units)] if is_there else []
        for row in continue_rows(listed, list(latest.values())[-1:]):
            latest[row.seen_from] = row
    spans = sorted((row.seen_from, row.seen_to) for row in latest.values())
    assert all(before[1] < after[0] for before, after in pairwise(spans))
    assert {row.model_units for row in latest.values()} == {u for u, there in readings if there}


def test_calls_to_it_are_neither_free_nor_priced_by_the_token(db: Database, tmp_path: Path) -> None:
    read(db, "2026-11-01T20:00:00Z")
    read(db, "2026-11-03T00:00:00Z")
    record = call(1, tokens=(100, 10), requestParameters={"modelId": ARN})
    load(db, write_log(tmp_path / "log.json", [record]))
    assert rows(db, "select day, calls, is_used, model_id from capacity_hours order by 1") == [
        ("2026-11-01", 0, 0, "amazon.nova-pro-v1:0"),
        ("2026-11-02", 1, 1, "amazon.nova-pro-v1:0"),
    ]
    assert rows(db, "select cost_usd, is_lower_bound from calls") == [(None, 1)]
    assert rows(db, "select unpriced_calls, is_lower_bound from user_costs") == [(1, 1)]
    assert rows(db, "select reason from unpriced_usage") == [("provisioned capacity",)]
    assert rows(db, "select price_status from discovered_models") == [("provisioned capacity",)]
    assert set(rows(db, "select missing, near_price_id, command from price_gaps")) == {
        ("provisioned capacity", None, None)
    }

    def run(*words: str) -> Any:
        return CliRunner().invoke(main, [*words, "--db", str(tmp_path / "warehouse.db")])

    told = run("report", "users").stdout
    assert "30 hours of provisioned capacity (60 x model unit) are not in these costs" in told
    later = run("report", "users", "--since", "2026-11-02").stdout
    assert "24 hours of provisioned capacity" in later
    assert "hours of" not in run("report", "users", "--region", "eu-west-1").stdout
    assert "30 hours of" in run("report", "users", "--model", ARN).stdout
    for model, hours in (("amazon.nova-pro-v1:0", 30), (ARN, 30), (HAIKU, None)):
        assert capacity(db, Filters(models=(model,)))["hours"] == hours
    assert "(provisioned capacity, billed by the hour)" in " ".join(run("status").stdout.split())
    explained = run("inspect", str(tmp_path / "log.json"), "--format", "json").stdout
    assert "AWS bills its hours" in json.dumps(json.loads(explained)["events"][0]["understood"])
