"""What the bill knows of past days tells later fits how large a user's calls are."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlite_utils import Database

from etl.calibrate.run import calibrate_all
from etl.warehouse.calibrations import Times, billed_calls
from tests.bill.exports import HAIKU, Line, principal, usage, write_export
from tests.checks import failed_checks
from tests.fleets import Call, used_by_user, write_fleet
from tests.support import call, load, rows, write_log

# A window of 14 days; the bill is of its first ten, of which the last two are open.
START = datetime(2026, 11, 5, tzinfo=UTC)
WINDOW = Times("2026-11-05T00:00:00Z", "2026-11-19T00:00:00Z")
LATER = datetime(2026, 11, 19, tzinfo=UTC)
CLOSED = 8
DAY = timedelta(days=1)

# Of the days that the bill has.
COMPARED = "select * from bill_differences where day < '2026-11-15' order by day, user_name, reason"


def fleet() -> list[Call]:
    """Return calls of users who all call in every hour, so that hours tell little of their sizes."""
    rng = random.Random(5)
    return [
        Call(START + timedelta(hours=hour, minutes=rng.randrange(60)), f"user-{user}", size)
        for hour in range(0, 14 * 24, 3)
        for user in range(6)
        for size in [200 * 3**user] * rng.choice((3, 3, 4))
    ]


def totals(calls: list[Call]) -> Iterator[tuple[object, ...]]:
    """Yield the totals of each hour only."""
    hours: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for one in calls:
        found = hours[f"{one.at:%Y-%m-%dT%H}:00:00Z"]
        found[0] += one.tokens
        found[1] += 1
    for hour, (tokens, number) in hours.items():
        yield HAIKU.model_id, "InputTokenCount", tokens, hour, 3600
        yield HAIKU.model_id, "Invocations", number, hour, 3600


def bill(calls: list[Call], days: int = CLOSED + 2) -> list[Line]:
    used: dict[tuple[str, str], int] = defaultdict(int)
    for one in calls:
        if one.at < START + timedelta(days=days):
            used[f"{one.at:%Y-%m-%d}", one.user] += one.tokens
    return [
        usage(HAIKU, "input", tokens, day, principal=principal(user))
        for (day, user), tokens in used.items()
    ]


def load_bill(db: Database, path: Path, lines: list[Line]) -> None:
    write_export(path, lines, form="csv.gz", month="2026-11")
    assert load(db, path / "exports", now=LATER).is_complete


def off(db: Database, truth: dict[str, int]) -> float:
    """Return the sum of the users' errors, as a part of all tokens."""
    found = dict(rows(db, "select user_name, sum(input_tokens) from usage_cost group by 1"))
    assert sum(found.values()) == sum(truth.values())
    return sum(abs(found[user] - truth[user]) for user in truth) / sum(truth.values())


def test_what_is_billed_makes_later_estimates_better(db: Database, tmp_path: Path) -> None:
    calls = fleet()
    load(db, *write_fleet(tmp_path / "fleet", calls, totals(calls)))
    calibrate_all(db)
    before = off(db, used_by_user(calls))
    load_bill(db, tmp_path, bill(calls))
    compared = rows(db, COMPARED)
    # A bill alone is no reason to fit again.
    assert calibrate_all(db).windows == 0
    db.execute("update uncalibrated_hours set seen_from_key = 0")
    db.execute("insert or ignore into uncalibrated_hours values (?, 0)", [WINDOW.start])
    calibrate_all(db)
    assert off(db, used_by_user(calls)) < before / 4
    assert rows(db, COMPARED) == compared != []
    assert failed_checks(db) == {}


@pytest.mark.parametrize(
    ("more", "is_told"),
    [
        ([], True),
        ([usage(HAIKU, "input", 5, "2026-11-05", principal=None)], False),
        ([usage(HAIKU, "input", 9_000_000, "2026-11-05", principal=principal("user-0"))], False),
    ],
    ids=["all is named", "a line has no user", "the bill has more than CloudWatch"],
)
def test_only_what_can_be_told_apart_is_evidence(
    db: Database, tmp_path: Path, more: list[Line], is_told: bool
) -> None:
    calls = [
        one._replace(is_known=one.at.hour == 3)
        for one in fleet()
        if one.at < START + timedelta(days=4)
    ]
    load(db, *write_fleet(tmp_path / "fleet", calls, totals(calls)))
    assert billed_calls(db, WINDOW) == {}
    load_bill(db, tmp_path, [*bill(calls), *more])
    (found,) = billed_calls(db, WINDOW).values()
    first, second = (START + timedelta(days=day) for day in range(2))
    since = first if is_told else second
    told = [one for one in calls if since <= one.at < second + DAY and not one.is_known]
    names = dict(rows(db, "select user_key, user_name from stg_users"))
    assert {names[user]: tuple(counted) for (user, _), counted in found.items()} == {
        user: (sum(one.user == user for one in told), tokens)
        for user, tokens in used_by_user(told).items()
    }


def test_a_day_on_which_a_user_had_two_applications_tells_neither(
    db: Database, tmp_path: Path
) -> None:
    calls = [one for one in fleet() if one.at < START + timedelta(days=4)]
    load(db, *write_fleet(tmp_path / "fleet", calls, totals(calls)))
    load_bill(db, tmp_path, bill(calls))
    (before,) = billed_calls(db, WINDOW).values()
    other = call(
        90_000, user="user-0", eventTime="2026-11-05T10:00:00Z", userAgent="claude-cli/2.0"
    )
    load(db, write_log(tmp_path / "other.json", [other]))
    (after,) = billed_calls(db, WINDOW).values()
    changed = [caller for caller, counted in before.items() if after[caller] != counted]
    ((caller, second),) = [(one, after[one]) for one in changed]
    assert 0 < second.calls < before[caller].calls
