"""A call reported by CloudTrail and by an invocation log is one call, whichever comes first."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from tests.checks import failed_checks
from tests.rounds import rounds
from tests.support import (
    ACCOUNT,
    SONNET,
    call,
    dump,
    load,
    logged,
    role_identity,
    rows,
    service_event,
    uuid_of,
    write_invocation_log,
    write_log,
)

CALLS = (
    "select event_id, reported_by, data_source, input_tokens, output_tokens, cache_read_tokens,"
    " cache_write_5m_tokens, cost_usd is not null from calls order by 1"
)


def write(folder: Path, number: int, record: dict[str, Any]) -> Path:
    if "schemaType" in record:
        return write_invocation_log(folder / f"{number}.jsonl", [record])
    return write_log(folder / f"{number}.json", [record])


@pytest.fixture(params=["CloudTrail first", "log first", "together"])
def load_both(request: pytest.FixtureRequest, db: Database, tmp_path: Path) -> Any:
    def load_them(event: dict[str, Any], log: dict[str, Any]) -> None:
        paths = [write(tmp_path, 1, event), write(tmp_path, 2, log)]
        if request.param == "together":
            load(db, *paths)
        else:
            for path in paths if request.param == "CloudTrail first" else reversed(paths):
                load(db, path)
        assert failed_checks(db) == {}

    return load_them


def test_the_log_gives_a_call_its_tokens(db: Database, load_both: Any) -> None:
    load_both(call(1), logged(1, tokens=(100, 10), cache=(7, 5)))
    assert rows(db, CALLS) == [
        (
            uuid_of(1),
            "CloudTrail, invocation log",
            "Actual Tokens from invocation log",
            100,
            10,
            7,
            5,
            1,
        )
    ]
    assert rows(db, "select calls, input_tokens from user_costs") == [(1, 100)]


def test_if_both_report_a_count_the_log_wins_and_the_difference_is_reported(
    db: Database, load_both: Any
) -> None:
    load_both(call(1, tokens=(90, 10)), logged(1, tokens=(100, 10)))
    assert rows(db, CALLS)[0][2:5] == ("Actual Tokens from invocation log", 100, 10)
    assert rows(
        db,
        "select day, region, model_id, calls_compared, calls_that_differ, input_difference_tokens,"
        " output_difference_tokens from token_disagreements",
    ) == [("2026-11-02", "us-east-1", "anthropic.claude-3-haiku-20240307-v1:0", 1, 1, 10, 0)]


def test_what_the_log_does_not_know_comes_from_cloudtrail(db: Database, load_both: Any) -> None:
    record = logged(1)
    del record["output"]["outputTokenCount"]
    load_both(call(1, tokens=(90, 20)), record)
    assert rows(db, CALLS)[0][3:5] == (100, 20)


def test_what_the_log_reports_besides_tokens(db: Database, load_both: Any) -> None:
    load_both(
        call(1, requestParameters=None, userAgent="Search/1.0"),
        logged(
            1,
            requestMetadata={"application": "Billing", "team": "x"},
            inferenceRegion="us-east-2",
            performanceConfig={"latency": "optimized"},
            modelId=SONNET,
            output={"outputBodyJson": {"stopReason": "guardrail_intervened"}},
        ),
    )
    assert rows(
        db,
        "select application, application_source, inference_region, service_tier, raw_model_id,"
        " request_metadata, guardrail_action, user_agent from calls",
    ) == [
        ("Billing", "request metadata", "us-east-2", "latency", SONNET,
         '{"application":"Billing","team":"x"}', "INTERVENED", "Search/1.0")
    ]  # fmt: skip


def test_a_role_counts_more_than_the_metadata(db: Database, load_both: Any) -> None:
    load_both(
        call(1, userIdentity=role_identity("Chat-BedrockRole")),
        logged(1, requestMetadata={"application": "Billing"}),
    )
    assert rows(db, "select application, application_source from calls") == [("Chat", "role name")]


def test_a_call_seen_only_in_the_log_is_one_call(db: Database, tmp_path: Path) -> None:
    path = write_invocation_log(tmp_path / "l.jsonl", [logged(1), logged(1), logged(2, user="bob")])
    result = load(db, path)
    assert (result.written.calls_new, result.written.calls_known) == (2, 1)
    assert rows(db, "select request_id, reported_by, data_source from calls order by 1") == [
        (uuid_of(1_000_001), "invocation log", "Actual Tokens from invocation log"),
        (uuid_of(1_000_002), "invocation log", "Actual Tokens from invocation log"),
    ]
    assert rows(db, "select user_name, calls from user_costs order by 1") == [
        ("alice", 1),
        ("bob", 1),
    ]
    assert failed_checks(db) == {}


def test_another_account_or_region_is_another_call(db: Database, tmp_path: Path) -> None:
    others = [logged(1, accountId="444455556666"), logged(1, region="us-west-2")]
    load(db, write_invocation_log(tmp_path / "l.jsonl", [others[0]]), write(tmp_path, 1, call(1)))
    load(db, write_invocation_log(tmp_path / "m.jsonl", [others[1]]))
    assert rows(db, "select count(*), sum(reported_by like '%,%') from calls") == [(3, 0)]


def test_a_log_that_is_days_away_is_another_call(db: Database, load_both: Any) -> None:
    load_both(call(1), logged(1, timestamp="2026-11-05T10:00:00Z"))
    assert rows(db, "select count(*) from calls") == [(2,)]


def test_a_failed_call_of_the_log_is_a_failed_call(db: Database, tmp_path: Path) -> None:
    log = logged(1, tokens=None, errorCode="ThrottlingException")
    load(db, write_invocation_log(tmp_path / "l.jsonl", [log]))
    assert rows(db, "select calls, failed_calls from user_costs") == [(0, 1)]


def test_a_call_is_known_again_when_its_log_came_first(db: Database, tmp_path: Path) -> None:
    load(db, write_invocation_log(tmp_path / "l.jsonl", [logged(1)]))
    written = load(db, write(tmp_path, 1, call(1))).written
    assert written.calls_new == 0
    assert rows(db, "select count(*) from calls") == [(1,)]


def test_the_summary_tells_of_logs_that_found_their_call(db: Database, tmp_path: Path) -> None:
    load(db, write(tmp_path, 1, call(1)))
    written = load(db, write_invocation_log(tmp_path / "l.jsonl", [logged(1), logged(2)])).written
    assert (written.calls_new, written.calls_known, written.calls_logged) == (1, 1, 1)


# Every report of two calls, in all the forms that may meet.
REPORTS = (
    call(1),
    call(1, tokens=(90, 9)),
    call(1, requestParameters=None, userAgent="Search/1.0"),
    call(
        11,
        addendum={"originalEventID": uuid_of(1)},
        requestID=uuid_of(1_000_001),
        userAgent="Mended/2.0",
    ),
    service_event(5, 1, {"inputTokens": 95, "outputTokens": 9}),
    logged(1, tokens=(100, 10), cache=(3, 4)),
    logged(1, requestMetadata={"application": "Billing"}),
    logged(2, user="bob", requestMetadata={"application": "Billing"}),
    call(2, user="bob", tokens=(5, 5)),
    logged(3, user="carol", modelId=SONNET),
)

# One form of each report, so that order is all that differs.
MIXTURES = (
    (0, 4, 5),
    (1, 5, 7, 8),
    (2, 6, 9),
    (0, 3, 6),
    (1, 4, 5, 8, 9),
)


@pytest.mark.parametrize("mixture", MIXTURES)
def test_order_and_repetition_do_not_matter(
    mixture: tuple[int, ...], tmp_path: Path, new_warehouse: Any
) -> None:
    paths = [write(tmp_path, number, REPORTS[number]) for number in mixture]
    results = set()
    orders = list(itertools.permutations(paths))
    for order in random.Random(1).sample(orders, min(rounds(2, 120), len(orders))):
        with new_warehouse() as db:
            for path in (*order, order[0]):
                load(db, path)
            assert failed_checks(db) == {}
            shown = rows(db, "select * from calls order by event_id")
            results.add(json.dumps(shown))
    assert len(results) == 1


@settings(max_examples=rounds(3, 300))
@given(data=st.data())
def test_batches_of_any_size_come_to_the_same(
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
    new_warehouse: Callable[[], AbstractContextManager[Database]],
) -> None:
    folder = tmp_path_factory.mktemp("any")
    mixture = data.draw(st.sampled_from(MIXTURES))
    order = data.draw(st.permutations(mixture))
    paths = [write(folder, number, REPORTS[number]) for number in order]
    size = data.draw(st.integers(1, len(paths)))
    shown = []
    for batches in ([paths], [paths[i : i + size] for i in range(0, len(paths), size)]):
        with new_warehouse() as db:
            for batch in batches:
                load(db, *batch)
            assert failed_checks(db) == {}
            shown.append(rows(db, "select * from calls order by event_id"))
    assert shown[0] == shown[1]


def test_rules_decide_logged_calls_too(db: Database, tmp_path: Path) -> None:
    from etl.normalise.rules import ApplicationRule
    from etl.warehouse.write.attribution import apply_config

    load(db, write_invocation_log(tmp_path / "l.jsonl", [logged(1)]))
    apply_config(db, [ApplicationRule(application="Mine", user="alice")], {})
    load(db, write(tmp_path, 1, call(1, userAgent="Search/1.0")))
    assert rows(db, "select application, application_source from calls") == [
        ("Mine", "config rule")
    ]
    apply_config(db, [], {})
    assert rows(db, "select application, application_source from calls") == [
        ("Search", "user agent")
    ]
    assert failed_checks(db) == {}


def test_no_text_of_a_body_is_ever_written(
    db: Database, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    canary = "CANARY-7f3a"
    bodies = (
        canary,
        {"messages": [{"content": canary}], "usage": canary, "images": canary},
        [canary, {"message": {"usage": {"input_tokens": canary}}, "delta": {"text": canary}}],
        {"usage": {"cache_creation": canary, "cacheDetails": [{"ttl": canary, "inputTokens": 1}]}},
        {
            "stopReason": canary,
            "output": {"message": canary},
            "amazon-bedrock-guardrailAction": canary,
        },
        {"images": [canary], "artifacts": [{"base64": canary}], "metadata": {"usage": canary}},
    )
    records = []
    for number, body in enumerate(bodies):
        record = logged(number, cache=(1, 2))
        record["input"] |= {"inputBodyJson": body, "inputBodyS3Path": f"s3://b/{canary}"}
        record["output"] |= {"outputBodyJson": body, "outputBodyS3Path": f"s3://b/{canary}"}
        records.append(record)
        records.append(record | {"input": record["input"] | {"inputTokenCount": canary}})
        records.append(record | {"output": body, "input": body})
        records.append({"schemaType": "ModelInvocationLog", "timestamp": canary, "requestId": "x"})
    path = write_invocation_log(tmp_path / "l.jsonl", records)
    # Damaged, so that its remains are searched in another way.
    damaged = tmp_path / "d.jsonl"
    damaged.write_bytes(path.read_bytes()[:-40])
    told: list[object] = []
    load(db, path, damaged, on_reject=told.append)
    database = Path(db.conn.execute("pragma database_list").fetchone()[2])
    for file in database.parent.iterdir():
        if file.suffix != ".jsonl":
            assert canary.encode() not in file.read_bytes(), file
    printed = capfd.readouterr()
    assert canary not in printed.out + printed.err + str(told)
    assert rows(db, "select count(*) > 0 from rejects") == [(1,)]
    assert canary not in str(dump(database))


def test_account_is_of_the_record(db: Database, tmp_path: Path) -> None:
    load(db, write_invocation_log(tmp_path / "l.jsonl", [logged(1)]))
    assert rows(db, "select account_id, region from calls") == [(ACCOUNT, "us-east-1")]


def test_the_model_that_a_prompt_router_chose_comes_from_the_log(
    db: Database, load_both: Any
) -> None:
    router = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:default-prompt-router/anthropic.claude:1"
    record = logged(1, modelId=router)
    trace = {"promptRouter": {"invokedModelId": SONNET}}
    record["output"] |= {"outputBodyJson": {"trace": trace}}
    load_both(call(1, requestParameters={"modelId": router}), record)
    assert rows(db, "select raw_model_id, cost_usd > 0 from calls") == [(SONNET, 1)]
