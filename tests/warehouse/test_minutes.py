"""Calls by the minute follow from the calls, and stay when the calls are dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.normalise.token_kinds import KINDS
from etl.warehouse.database import transaction
from etl.warehouse.upkeep.vacuum import drop_calls
from etl.warehouse.write.minutes import renew_minutes
from tests.checks import failed_checks
from tests.support import call, load, rows, service_event, write_log

CHECKS = ("call_minutes_match_events", "known_minutes_match_events")
# Bits of kinds: all, and all but input and output.
NO_COUNTS = (1 << len(KINDS)) - 1
ONLY_SOME = NO_COUNTS & ~0b11


def renew(db: Database) -> None:
    with transaction(db):
        renew_minutes(db)


def wrong(db: Database) -> int:
    return sum(map(len, failed_checks(db, CHECKS).values()))


def minutes(db: Database) -> list[tuple[Any, ...]]:
    return [
        (*row[:-1], json.loads(row[-1]))
        for row in rows(
            db,
            "select substr(hour, 1, 13), user_name, unknown_kinds, minutes from call_minutes"
            " join users using (user_key) order by 1, 2, 3",
        )
    ]


@pytest.fixture
def loaded(db: Database, tmp_path: Path) -> Database:
    load(
        db,
        write_log(
            tmp_path / "a.json",
            [
                call(1, user="A", eventTime="2026-11-02T10:15:00Z"),
                call(2, user="A", eventTime="2026-11-02T10:15:59Z"),
                call(3, user="A", eventTime="2026-11-02T10:16:00Z", tokens=(40, 2)),
                call(4, user="B", eventTime="2026-11-03T11:00:00Z", errorCode="Throttling"),
                call(5, user="B", eventTime="2026-11-03T11:00:00Z"),
            ],
        ),
    )
    renew(db)
    return db


def test_successful_calls_are_counted_by_what_they_lack(loaded: Database) -> None:
    assert minutes(loaded) == [
        ("2026-11-02T10", "A", ONLY_SOME, {"16": 1}),
        ("2026-11-02T10", "A", NO_COUNTS, {"15": 2}),
        ("2026-11-03T11", "B", NO_COUNTS, {"0": 1}),
    ]
    told = rows(loaded, "select unknown_kinds, input from call_minutes where input is not null")
    assert told == [(ONLY_SOME, '{"16":40}')]
    known = rows(loaded, "select token_kind, minutes from known_minutes order by 1")
    assert known == [("input", '{"16":40}'), ("output", '{"16":2}')]
    assert wrong(loaded) == 0


def test_late_tokens_and_calls_change_only_what_they_should(
    loaded: Database, tmp_path: Path
) -> None:
    late = [
        service_event(6, 1, [{"inputTokens": 7, "outputTokens": 1}]),
        call(7, user="B", eventTime="2026-11-02T10:15:30Z"),
    ]
    load(loaded, write_log(tmp_path / "b.json", late))
    assert rows(loaded, "select hour from stale_minutes") == [("2026-11-02T10:00:00Z",)]
    # Stale hours are not compared, and nothing else differs.
    assert wrong(loaded) == 0
    renew(loaded)
    assert wrong(loaded) == 0
    assert rows(loaded, "select count(*) from stale_minutes") == [(0,)]
    assert ("2026-11-02T10", "B", NO_COUNTS, {"15": 1}) in minutes(loaded)
    before = minutes(loaded)
    renew(loaded)
    assert minutes(loaded) == before


def test_dropped_calls_keep_their_minutes(loaded: Database, tmp_path: Path) -> None:
    load(
        loaded,
        write_log(tmp_path / "b.json", [call(8, user="C", eventTime="2026-11-02T12:00:00Z")]),
    )
    drop_calls(loaded, "2026-11-03T00:00:00Z", dropped_at="2026-11-20T00:00:00Z")
    assert [row[1] for row in minutes(loaded)] == ["A", "A", "C", "B"]
    # Nothing that is done later takes them away.
    with transaction(loaded):
        loaded.execute("insert into stale_minutes values ('2026-11-02T10:00:00Z')")
    renew(loaded)
    assert [row[1] for row in minutes(loaded)] == ["A", "A", "C", "B"]
    assert wrong(loaded) == 0


@pytest.mark.parametrize(
    "damage",
    (
        """update call_minutes set minutes = '{"15":4}' where hour like '2026-11-02%'""",
        """update known_minutes set minutes = '{"16":80}' where token_kind = 'input'""",
        "delete from call_minutes where hour like '2026-11-02%'",
    ),
)
def test_a_planted_error_shows_in_the_checks(loaded: Database, damage: str) -> None:
    with transaction(loaded):
        loaded.execute(damage)
    assert wrong(loaded) > 0
