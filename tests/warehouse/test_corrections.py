"""A correction replaces the counts that it has, even with lower ones, whatever comes first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.inspect.explain import explain, load_trial
from etl.inspect.find import EVENT, RawEvent
from etl.load.decoder.content import Keys
from etl.normalise.cloudtrail import parse_event
from etl.normalise.invocation_logs import parse_logged_call
from etl.sql_files import sql_text
from etl.warehouse.read.inspect import locate_call
from etl.warehouse.scratch import open_trial
from etl.warehouse.upkeep.vacuum import drop_calls
from etl.warehouse.write.batch import Batch, Loader
from tests.checks import failed_checks
from tests.rounds import crossed, rounds
from tests.support import (
    call,
    load,
    logged,
    rows,
    service_event,
    uuid_of,
    write_log,
)

OTHER_ACCOUNT = "444455556666"
START = datetime(2026, 11, 2, 10, 15, tzinfo=UTC)
COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens")
NAMES = ("inputTokens", "outputTokens", "cacheReadInputTokens")


def at(minutes: int) -> str:
    return f"{START + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"


def extra(counts: Iterable[int | None]) -> dict[str, int]:
    return {name: n for name, n in zip(NAMES, counts, strict=True) if n is not None}


def original(counts: Iterable[int | None] = (), **fields: Any) -> dict[str, Any]:
    told = extra(counts) if counts else None
    return call(1, additionalEventData=told, **fields)


def correction(
    number: int, minutes: int, counts: Iterable[int | None] = (), **fields: Any
) -> dict[str, Any]:
    """Return the correction ``number``, sent some minutes after the call."""
    return call(
        number,
        **{
            "eventTime": at(minutes),
            "user": f"user-{number}",
            "requestID": uuid_of(900 + number),
            "additionalEventData": extra(counts) if counts else None,
            "addendum": {
                "reason": "UPDATED_DATA",
                "originalEventID": uuid_of(1),
                "originalRequestID": uuid_of(1_000_001),
            },
        }
        | fields,
    )


def service(number: int, counts: Iterable[int | None], *, corrects: int | None = None) -> Any:
    addendum = {"originalEventID": uuid_of(corrects)} if corrects else None
    return service_event(number, 1, extra(counts), eventTime=at(1), addendum=addendum)


def check_sums(db: Database) -> None:
    assert failed_checks(db) == {}


@pytest.mark.parametrize(
    ("lower", "minutes", "is_first", "together"),
    crossed(
        [(3, 4, None), (0, 0, None), (3, None, None), (0, 0, None)],
        [0, 7, 3000],
        [True, False],
        [True, True, False, False],
    ),
)
def test_a_correction_lowers_the_counts_that_it_carries(
    db: Database,
    tmp_path: Path,
    lower: tuple[int | None, ...],
    minutes: int,
    is_first: bool,
    together: bool,
) -> None:
    records = [original((5, 6, 7)), correction(2, minutes, lower)]
    records = records[::-1] if is_first else records
    for group in [records] if together else [[record] for record in records]:
        load(db, write_log(tmp_path / "log.json", group))
    expected = [n if n is not None else old for n, old in zip(lower, (5, 6, 7), strict=True)]
    assert rows(db, f"select event_time, user_name, {', '.join(COUNTS)} from calls") == [
        (at(0), "user-2", *expected)
    ]
    check_sums(db)


def test_what_corrects_a_dropped_call_is_refused(db: Database, tmp_path: Path) -> None:
    """Its tokens are in the sums, and no longer distinguishable."""
    log = write_log(tmp_path / "log.json", [original((5, 6, 7))])
    load(db, log)
    before = "2026-11-03T00:00:00Z"
    drop_calls(db, before, dropped_at=before)
    late = write_log(tmp_path / "late.json", [correction(2, 0, (1, 1, 1)), correction(3, 3000)])
    assert load(db, late).written.calls_too_old == 2
    assert rows(db, "select calls, input_tokens from user_costs") == [(1, 5)]
    assert rows(db, "select * from events") == []


def test_the_correction_of_a_copy_that_is_not_kept_is_no_call(db: Database, tmp_path: Path) -> None:
    shared = {"sharedEventID": uuid_of(77)}
    away = {**shared, "recipientAccountId": OTHER_ACCOUNT}
    copy = call(5, **away)
    of_copy = correction(6, 50, (1, 1, 1), addendum={"originalEventID": uuid_of(5)}, **away)
    for record in (original((5, 6, 7), **shared), copy, of_copy, of_copy):
        load(db, write_log(tmp_path / "log.json", [record]))
    assert rows(db, "select event_id, input_tokens from calls") == [(uuid_of(1), 5)]
    check_sums(db)


ROLLUP = sql_text("checks/rollup_matches_events")
COUNT = st.none() | st.integers(0, 9)
TOKENS = st.tuples(COUNT, COUNT, COUNT)
CORRECTION = st.tuples(st.sampled_from([0, 0, 5, 90, 2000]), TOKENS)


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Any], list[int], dict[str, Any]]:
    """Draw reports of one call in some order, their batches, and the expected result."""
    has_original = draw(st.booleans()) or draw(st.booleans())
    base = draw(st.none() | TOKENS)
    made = draw(st.lists(CORRECTION, min_size=0 if has_original else 1, max_size=3))
    of_service = draw(st.none() | TOKENS)
    of_service_later = draw(st.none() | TOKENS) if of_service else None
    log = draw(st.none() | st.tuples(COUNT, COUNT)) if has_original else None
    corrections = {(at(minutes), 10 + n): counts for n, (minutes, counts) in enumerate(made)}
    told: list[Any] = [original(base or ())] if has_original else []
    told += [correction(10 + n, minutes, counts) for n, (minutes, counts) in enumerate(made)]
    told += [service(50, of_service)] if of_service else []
    told += [service(51, of_service_later, corrects=50)] if of_service_later else []
    told += [_logged(log)] if log else []
    told += draw(st.lists(st.sampled_from(told), max_size=2))
    latest = dict(corrections)
    if of_service_later and (has_original or any(time < at(60) for time, _ in corrections)):
        latest[at(1), 51] = of_service_later
    layers = [counts for _, counts in sorted(latest.items(), reverse=True)]
    if base and has_original:
        layers.append(base)
    if of_service and (has_original or min(corrections)[0] < at(60)):
        layers.append(of_service)
    if log:
        layers.insert(0, (*log, None))
    expected = {
        "event_time": at(0) if has_original else min(corrections)[0],
        "user_name": f"user-{max(corrections)[1]}" if corrections else "alice",
        "reported_by": "CloudTrail, invocation log" if log else "CloudTrail",
    }
    for kind, name in enumerate(COUNTS):
        expected[name] = next((c[kind] for c in layers if c[kind] is not None), None)
    order = draw(st.permutations(told))
    return (
        list(order),
        draw(st.lists(st.booleans(), min_size=len(order), max_size=len(order))),
        expected,
    )


def _logged(counts: tuple[int | None, int | None]) -> dict[str, Any]:
    record = logged(1, tokens=None, user="alice")
    for part, name, count in zip(
        ("input", "output"), ("inputTokenCount", "outputTokenCount"), counts, strict=True
    ):
        if count is not None:
            record[part][name] = count
    return record


def batches_of(records: list[Any], cuts: list[bool]) -> Iterable[Batch]:
    batch = Batch()
    for record, is_cut in zip(records, cuts, strict=True):
        is_log = "schemaType" in record
        parsed = parse_logged_call(json.dumps(record).encode()) if is_log else parse_event(record)
        assert parsed.row is not None or not is_log
        if parsed.row is not None:
            batch.add(parsed.row)
        if is_cut:
            yield batch
            batch = Batch()
    yield batch


@settings(max_examples=rounds(18, 3000))
@given(stories())
def test_a_call_comes_to_the_same_whatever_came_first(
    new_warehouse: Callable[[], AbstractContextManager[Database]],
    story: tuple[list[Any], list[int], dict[str, Any]],
) -> None:
    records, cuts, expected = story
    with new_warehouse() as db:
        loader = Loader(db)
        for batch in batches_of(records, cuts):
            loader.write(batch)
        found = db.query(f"select {', '.join(expected)} from calls")
        assert list(found) == [expected]
        assert rows(db, ROLLUP) == rows(db, "pragma foreign_key_check") == []


def test_inspect_shows_what_corrected_a_call(db: Database, tmp_path: Path) -> None:
    raw = [original((5, 6, 7)), correction(2, 50, (3, None, None))]
    load(db, write_log(tmp_path / "log.json", raw))
    located = locate_call(db, uuid_of(2))
    assert located is not None
    assert (located.event_time, located.event_id) == (at(0), uuid_of(1))
    for record in raw:
        event = RawEvent(EVENT, record, "")
        with open_trial(db) as trial:
            load_trial(trial, [event], Keys())
            told = explain(event, trial, db, Keys())
        lines = {line.field: line.value for line in told.warehouse}
        assert lines["corrected"] == at(50)
        is_correction = record is raw[1]
        assert ("a correction" in told.understood[0].how) == is_correction
        # The event alone has 5 or 3 input tokens; the call has 3.
        assert lines.get("input_tokens") == (None if is_correction else 3)
