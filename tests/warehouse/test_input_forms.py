"""Input that contains cached tokens is not charged for them, whichever source reports it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.sql_files import sql_text
from etl.warehouse.read.reports import run_report
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.input_forms import renew_input_forms
from etl.warehouse.write.rollup import renew
from tests.checks import failed_checks
from tests.rounds import rounds, some
from tests.support import (
    ACCOUNT,
    HOUR,
    SONNET,
    call,
    load,
    logged,
    rows,
    service_event,
    write_invocation_log,
    write_log,
    write_metrics,
)

GPT = "openai.gpt-5.4"
KIMI = "moonshotai.kimi-k3"
BODY, OPENAI = "invocation log body", "invocation log body (OpenAI)"
LOG, EVENT, METRICS = "invocation log", "additionalEventData", "CloudWatch"

# Input and cached tokens are charged at 2.75 and 0.275 USD per million, output at 16.5.
COUNTED = (
    "select input_form, reported_input_tokens, input_tokens, cache_read_tokens, cost_picodollars"
    " from calls order by event_time, event_id"
)
NewWarehouse = Callable[[], AbstractContextManager[Database]]


def set_forms(db: Database, forms: Mapping[str, str], family: str = "openai.") -> None:
    """Give the sources of a family other forms, as a changed seed does."""
    with db.atomic():
        for source, form in forms.items():
            db.execute(
                "insert or replace into input_forms values (?, ?, ?, 'a test', '2026-11-29')",
                [family, source, form],
            )
        renew(db, Names(db), renew_input_forms(db))


def load_records(db: Database, folder: Path, records: Iterable[dict[str, Any]]) -> None:
    for number, record in enumerate(records):
        is_log = "schemaType" in record
        path = folder / f"{number}.json"
        load(db, write_invocation_log(path, [record]) if is_log else write_log(path, [record]))


def event(number: int = 1, model: str = GPT, **fields: Any) -> dict[str, Any]:
    return call(number, requestParameters={"modelId": model}, **fields)


def envelope(number: int = 1, model: str = GPT, **fields: Any) -> dict[str, Any]:
    """Return a log's record without a body."""
    return logged(number, tokens=(1000, 0), cache=(600, 0), modelId=model, **fields)


def body(usage: dict[str, Any], number: int = 1, model: str = GPT, **fields: Any) -> dict[str, Any]:
    """Return a log's record with a response, and no counts of its own."""
    output = {"outputBodyJson": {"usage": usage}}
    fields = {"timestamp": f"2026-11-02T10:14:{number:02}Z"} | fields
    return logged(number, tokens=None, modelId=model, output=output, **fields)


CONVERSE = {"inputTokens": 1000, "cacheReadInputTokens": 600, "outputTokens": 0}
CHAT = {"prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 600}}
RESPONSE = {"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 600}}
EXTRA = {"inputTokens": 1000, "cacheReadInputTokens": 600}

REPORTS: list[tuple[str, str, list[dict[str, Any]]]] = [
    (GPT, BODY, [body(CONVERSE)]),
    (GPT, OPENAI, [body(CHAT)]),
    (GPT, OPENAI, [body(RESPONSE)]),
    (GPT, LOG, [envelope()]),
    (GPT, EVENT, [event(additionalEventData=EXTRA)]),
    (GPT, "responseElements.usage", [event(responseElements={"usage": EXTRA})]),
    (GPT, "responseElements", [event(responseElements=EXTRA)]),
    (GPT, "AwsServiceEvent", [event(), service_event(2, 1, EXTRA)]),
    (f"global.{GPT}", BODY, [body(CONVERSE, model=f"global.{GPT}")]),
    (SONNET, BODY, [body(CONVERSE, model=SONNET)]),
    (SONNET, LOG, [envelope(model=SONNET)]),
    (SONNET, EVENT, [event(model=SONNET, additionalEventData=EXTRA)]),
    (KIMI, BODY, [body(CONVERSE, model=KIMI)]),
    (KIMI, OPENAI, [body(CHAT, model=KIMI)]),
]
GROSS_BY_SEED = {(GPT, BODY), (f"global.{GPT}", BODY), (GPT, OPENAI), (KIMI, OPENAI)}


@pytest.mark.parametrize(("model", "source", "records"), REPORTS)
def test_each_source_of_each_family(
    db: Database, tmp_path: Path, model: str, source: str, records: list[dict[str, Any]]
) -> None:
    load_records(db, tmp_path, records)
    form = "unknown" if model == GPT else "net"
    form = "gross" if (model, source) in GROSS_BY_SEED else form
    for wanted in (form, *(["gross", "net"] if source in (EVENT, BODY) and model == GPT else ())):
        if wanted != form:
            set_forms(db, {source: wanted})
        net = 400 if wanted == "gross" else 1000
        assert [row[:4] for row in rows(db, COUNTED)] == [(wanted, 1000, net, 600)]
        assert rows(db, "select token_source from calls") == [(source,)]
        assert rows(db, "select input_tokens, cache_read_tokens from user_costs") == [(net, 600)]
        if model == GPT:
            assert rows(db, COUNTED)[0][4] == net * 2_750_000 + 600 * 275_000


@pytest.mark.parametrize(
    ("records", "counted", "source"),
    [
        # The response counts more than the record around it and CloudTrail, in any order.
        (
            [body(CHAT), event(additionalEventData={"inputTokens": 990, "outputTokens": 5})],
            ("gross", 1000, 400, 600),
            OPENAI,
        ),
        # Two sources, one of unknown form: nothing is taken out.
        (
            [
                logged(1, tokens=None, modelId=GPT, input={"cacheReadInputTokenCount": 600}),
                event(additionalEventData={"inputTokens": 1000, "outputTokens": 5}),
            ],
            ("unknown", 1000, 1000, 600),
            LOG,
        ),
        # No cached tokens: the other source does not matter.
        (
            [
                body({"prompt_tokens": 1000}),
                event(additionalEventData={"inputTokens": 9, "cacheReadInputTokens": 0}),
            ],
            ("gross", 1000, 1000, 0),
            OPENAI,
        ),
        (
            [body({"prompt_tokens": 1000}), event(additionalEventData=EXTRA)],
            ("unknown", 1000, 1000, 600),
            OPENAI,
        ),
        # A service event, and a correction that has less.
        (
            [
                event(),
                service_event(2, 1, {"inputTokens": 1000}),
                event(
                    3,
                    requestID=None,
                    addendum={"originalEventID": call(1)["eventID"]},
                    additionalEventData={"cacheReadInputTokens": 600},
                ),
            ],
            ("unknown", 1000, 1000, 600),
            EVENT,
        ),
    ],
)
def test_several_sources_of_one_call_in_any_order(
    new_warehouse: NewWarehouse,
    tmp_path: Path,
    records: list[dict[str, Any]],
    counted: tuple[Any, ...],
    source: str,
) -> None:
    for order in some(itertools.permutations(records), 2):
        with new_warehouse() as db:
            load_records(db, tmp_path, order)
            assert [row[:4] for row in rows(db, COUNTED)] == [counted]
            assert rows(db, "select token_source from calls") == [(source,)]


def test_two_sources_that_are_both_known_to_be_gross_are_gross(
    db: Database, tmp_path: Path
) -> None:
    cached = logged(1, tokens=None, modelId=GPT, input={"cacheReadInputTokenCount": 600})
    load_records(db, tmp_path, [cached, event(additionalEventData={"inputTokens": 1000})])
    for forms, expected in (
        ({LOG: "gross", EVENT: "net"}, ("unknown", 1000)),
        ({LOG: "gross", EVENT: "gross"}, ("gross", 400)),
        ({LOG: "net", EVENT: "net"}, ("net", 1000)),
    ):
        set_forms(db, forms)
        assert rows(db, "select input_form, input_tokens from calls") == [expected]
    assert failed_checks(db) == {}


def test_a_contradiction_is_counted_and_nothing_is_taken_out(db: Database, tmp_path: Path) -> None:
    load_records(
        db,
        tmp_path,
        [body(CHAT | {"prompt_tokens": 599}), body(CHAT | {"prompt_tokens": 600}, 2)],
    )
    assert rows(db, COUNTED) == [
        ("gross", 599, 599, 600, 599 * 2_750_000 + 600 * 275_000),
        ("gross", 600, 0, 600, 600 * 275_000),
    ]
    assert rows(db, "select sum(input_contradictions) from usage_daily") == [(1,)]


def test_a_request_is_long_by_its_whole_input_once(db: Database, tmp_path: Path) -> None:
    # The threshold is 272,000.
    for number, (input_, cached) in enumerate(
        [(272_000, 200_000), (272_001, 1), (272_000, 272_001)]
    ):
        usage = {"prompt_tokens": input_, "prompt_tokens_details": {"cached_tokens": cached}}
        load_records(db, tmp_path, [body(usage, number)])
    assert rows(db, COUNTED) == [
        ("gross", 272_000, 72_000, 200_000, 72_000 * 2_750_000 + 200_000 * 275_000),
        ("gross", 272_001, 272_000, 1, 272_000 * 5_500_000 + 550_000),
        ("gross", 272_000, 272_000, 272_001, 272_000 * 5_500_000 + 272_001 * 550_000),
    ]
    assert failed_checks(db) == {}


def test_a_profile_that_turns_out_to_be_openai_s_changes_what_is_stored(
    db: Database, tmp_path: Path
) -> None:
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/abc"
    load_records(db, tmp_path, [body(CONVERSE, model=arn), body(CONVERSE, 2, model=SONNET)])
    assert [row[:3] for row in rows(db, COUNTED)] == [("net", 1000, 1000)] * 2
    profile = {
        "inferenceProfileName": "x",
        "inferenceProfileArn": arn,
        "inferenceProfileId": "abc",
        "type": "APPLICATION",
        "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{GPT}"}],
    }
    path = tmp_path / "profiles.json"
    path.write_text(json.dumps({"inferenceProfileSummaries": [profile]}))
    load(db, path)
    assert [row[:3] for row in rows(db, COUNTED)] == [("gross", 1000, 400), ("net", 1000, 1000)]
    assert rows(db, "select sum(input_tokens) from user_costs") == [(1400,)]
    assert failed_checks(db) == {}


CLOUDWATCH = [(GPT, "InputTokenCount", 10_000), (GPT, "CacheReadInputTokenCount", 4_000)]


def usage(db: Database) -> list[tuple[Any, ...]]:
    return rows(
        db,
        "select user_name, substr(data_source, 1, 6), calls, input_tokens, cache_read_tokens"
        " from usage_cost order by 1, 2",
    )


@pytest.mark.parametrize(
    ("cloudwatch", "expected"),
    [
        # A's 8 calls report 5,000, in which their share of the cache, 3,200, is. B's 2 get the
        # rest of the 10,000, in which their 800 are.
        ("gross", [("A", 1_800, 3_200), ("B", 4_200, 800)]),
        # The 10,000 are without the cache; A's 5,000 are with it.
        ("net", [("A", 1_800, 3_200), ("B", 8_200, 800)]),
        # 10,000 less the 5,000 reported, whatever they contain.
        ("unknown", [("A", 1_800, 3_200), ("B", 5_000, 800)]),
    ],
)
def test_an_hour_by_hand(
    db: Database, tmp_path: Path, cloudwatch: str, expected: list[tuple[str, int, int]]
) -> None:
    set_forms(db, {EVENT: "gross", METRICS: cloudwatch})
    known = {"additionalEventData": {"inputTokens": 625}}
    calls = [event(n, user="A", **known) for n in range(8)]
    calls += [event(10 + n, user="B") for n in range(2)]
    load(db, write_log(tmp_path / "l.json", calls), write_metrics(tmp_path / "m.csv", CLOUDWATCH))
    sums = "select user_name, input_tokens, cache_read_tokens from user_costs order by 1"
    assert rows(db, sums) == expected
    assert usage(db)[0] == ("A", "Actual", 8, 1_800, None)
    assert failed_checks(db) == {}
    # CloudWatch's total: with the cached tokens in the input, or next to it.
    total = {"gross": 10_000, "net": 14_000, "unknown": 14_000}[cloudwatch]
    assert rows(db, "select cloudwatch_tokens from reconciliation") == [(total,)]
    if cloudwatch != "unknown":
        assert rows(db, "select difference_tokens from reconciliation") == [(0,)]
    lines = rows(db, sql_text("pages/cost_lines"), PAGE)
    assert sum(line[7] for line in lines if line[6] == "input") == sum(n for _, n, _ in expected)
    day = {"since": "2026-11-02T00:00:00Z", "until": "2026-11-03T00:00:00Z"}
    periods = run_report(db, "monitor_periods", day | {"estimates_until": day["until"]})
    assert sum(one["input_tokens"] for one in periods) == sum(n for _, n, _ in expected)


PAGE = dict.fromkeys(("since", "until", "regions", "models", "users", "applications", "teams"), "")
PAGE |= {"_visitor_applications": None, "_visitor_teams": None}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("cloudwatch", "whole", "expected"),
    [
        # Each gets half of the cached tokens, but B's 10 cannot hold so many: 490 more leave A's.
        ("gross", 1_010, [("A", 10, 500), ("B", 0, 500)]),
        ("net", 10, [("A", 10, 500), ("B", 0, 500)]),
        # What B used is not known, so nothing more can be said of A.
        ("unknown", 1_010, [("A", 500, 500), ("B", 10, 500)]),
    ],
)
def test_cached_tokens_that_do_not_fit_leave_the_largest_input(
    db: Database, tmp_path: Path, cloudwatch: str, whole: int, expected: list[tuple[Any, ...]]
) -> None:
    set_forms(db, {EVENT: "gross", METRICS: cloudwatch})
    metrics = [(GPT, "InputTokenCount", whole), (GPT, "CacheReadInputTokenCount", 1_000)]
    calls = [
        event(1, user="A", additionalEventData={"inputTokens": 1_000}),
        event(2, user="B"),
    ]
    load(db, write_log(tmp_path / "l.json", calls), write_metrics(tmp_path / "m.csv", metrics))
    sums = "select user_name, input_tokens, cache_read_tokens from user_costs order by 1"
    assert rows(db, sums) == expected


def test_what_a_log_reports_with_its_cache_is_not_unattributed_as_well(
    db: Database, tmp_path: Path
) -> None:
    """All is known: CloudWatch's total of the same call adds nothing, whatever its form."""
    load_records(db, tmp_path, [body(CONVERSE)])
    for form, total in (("unknown", 1_000), ("gross", 1_000), ("net", 400)):
        set_forms(db, {METRICS: form})
        metrics = [(GPT, "InputTokenCount", total), (GPT, "CacheReadInputTokenCount", 600)]
        load(db, write_metrics(tmp_path / "m.csv", metrics))
        assert usage(db) == [("alice", "Actual", 1, 400, 600)]
    assert failed_checks(db) == {}


class Call(NamedTuple):
    """A call of a gross family: its input, how much of it is cached, and who reports what."""

    user: str
    hour: int
    gross: int
    read: int
    written: int
    report: str


@st.composite
def calls(draw: st.DrawFn) -> Call:
    gross = draw(st.integers(0, 1000))
    read = draw(st.integers(0, gross))
    written = draw(st.integers(0, gross - read))
    report = draw(st.sampled_from(["body", "event", "event", "nothing"]))
    user, hour = draw(st.sampled_from("AB")), draw(st.integers(10, 11))
    return Call(user, hour, gross, read, written, report)


def records_of(number: int, one: Call) -> dict[str, Any]:
    time = f"2026-11-02T{one.hour}:15:00Z"
    if one.report == "body":
        details = {"cached_tokens": one.read, "cache_write_tokens": one.written}
        counts = {"prompt_tokens": one.gross, "prompt_tokens_details": details}
        return body(counts, number, user=one.user, timestamp=time)
    tokens = (one.gross, 0) if one.report == "event" else None
    return event(number, user=one.user, tokens=tokens, eventTime=time)


def totals_of(made: list[Call], form: str) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for hour in sorted({one.hour for one in made}):
        here = [one for one in made if one.hour == hour]
        cached = sum(one.read + one.written for one in here)
        whole = sum(one.gross for one in here) - (cached if form == "net" else 0)
        for metric, value in (
            ("InputTokenCount", whole),
            ("CacheReadInputTokenCount", sum(one.read for one in here)),
            ("CacheWriteInputTokenCount", sum(one.written for one in here)),
        ):
            found.append((GPT, metric, value, f"2026-11-02T{hour}:00:00Z", 3600))
    return found


ALL = "coalesce(input_tokens, 0) + coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0)"


@settings(max_examples=rounds(3, 400))
@given(
    st.lists(calls(), min_size=1, max_size=8),
    st.sampled_from(["gross", "net"]),
    st.randoms(use_true_random=False),
)
def test_no_token_is_charged_twice_and_none_is_lost(
    new_warehouse: NewWarehouse,
    tmp_path_factory: pytest.TempPathFactory,
    made: list[Call],
    cloudwatch: str,
    random: Any,
) -> None:
    folder = tmp_path_factory.mktemp("calls")
    records = [records_of(number, one) for number, one in enumerate(made)]
    metrics = write_metrics(folder / "m.csv", totals_of(made, cloudwatch))
    late = random.random() < 0.5
    with new_warehouse() as db:
        if not late:
            set_forms(db, {EVENT: "gross", METRICS: cloudwatch})
        random.shuffle(records)
        half = random.randint(0, len(records))
        load_records(db, folder, records[:half])
        load(db, metrics)
        load_records(db, folder, records[half:])
        if late:
            set_forms(db, {EVENT: "gross", METRICS: cloudwatch})
        expected = {hour: sum(c.gross for c in made if c.hour == hour) for hour in (10, 11)}
        by_hour = f"select substr(hour, 12, 2), sum({ALL}) from usage_cost group by 1"
        found = {int(hour): total for hour, total in rows(db, by_hour)}
        assert {hour: found.get(hour, 0) for hour in expected} == expected
        total = sum(expected.values())
        for view in ("user_costs", "daily_costs", "application_costs", "usage_cost_daily"):
            assert rows(db, f"select sum({ALL}) from {view}") == [(total,)], view
        assert min(rows(db, "select min(input_tokens) from usage_cost")[0][0] or 0, 0) == 0
        assert rows(db, "select sum(difference_tokens) from reconciliation") == [(0,)]
        assert failed_checks(db) == {}


def test_the_hours_of_other_families_stay_as_they_are(db: Database, tmp_path: Path) -> None:
    load_records(db, tmp_path, [body(CONVERSE, model=SONNET), body(CONVERSE, 2)])
    set_forms(db, {BODY: "unknown"})
    assert rows(db, "select model_id, input_form, input_tokens from calls order by 1") == [
        (SONNET[3:], "net", 1000),
        (GPT, "unknown", 1000),
    ]
    assert rows(db, "select distinct hour from usage_hours") == [(HOUR,)]
    assert failed_checks(db) == {}
