"""Records of the invocation log in, full rows out, and nothing of a prompt or a response."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.errors import RejectError
from etl.normalise.cloudtrail import parse_event
from etl.normalise.invocation_logs import event_id_of, parse_logged_call
from etl.normalise.rows import INVOCATION_LOG, Event, Tokens
from tests.cases import cases
from tests.support import ACCOUNT, HAIKU, SONNET, call, role_identity, user_identity, uuid_of

CANARY = "the-secret-of-the-prompt"
SSO_ROLE = "AWSReservedSSO_BedrockUser_0123456789abcdef"


def logged(
    *,
    input: dict[str, Any] | None = None,
    output: dict[str, Any] | None = None,
    body: Any = None,
    **fields: Any,
) -> dict[str, Any]:
    """Return a raw record; None removes a field, ``body`` is the response's."""
    record = {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": "2026-11-02T10:15:00Z",
        "accountId": ACCOUNT,
        "region": "us-east-1",
        "requestId": uuid_of(1),
        "operation": "Converse",
        "modelId": HAIKU,
        "identity": {"arn": f"arn:aws:iam::{ACCOUNT}:user/alice"},
        "input": {"inputContentType": "application/json", "inputTokenCount": 25}
        if input is None
        else input,
        "output": {"outputContentType": "application/json", "outputTokenCount": 150}
        if output is None
        else output,
    }
    if body is not None:
        record["output"] |= {"outputBodyJson": body}
    record |= fields
    return {key: value for key, value in record.items() if value is not None}


def parse(record: object, **options: Any) -> tuple[Event, tuple[str, ...]]:
    parsed = parse_logged_call(json.dumps(record).encode(), **options)
    assert isinstance(parsed.row, Event)
    return parsed.row, parsed.complaints


def event_of(record: object, **options: Any) -> Event:
    event, complaints = parse(record, **options)
    assert complaints == ()
    return event


def tokens_of(record: object) -> Tokens | None:
    return event_of(record).tokens


def test_a_call_as_a_full_row() -> None:
    record = logged(
        timestamp="2026-06-16T00:20:50Z",
        operation="InvokeModelWithResponseStream",
        modelId=f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/{SONNET}",
        identity={"arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/Chat-BedrockRole/21648c392d544730bcf8"},
        inferenceRegion="us-east-2",
        requestMetadata={"team": "search", "application": "Other", "n": 3},
        serviceTier={"type": "flex"},
        input={"inputTokenCount": 3, "cacheReadInputTokenCount": 0, "cacheWriteInputTokenCount": 18779},
        output={"outputTokenCount": 12},
    )  # fmt: skip
    assert event_of(record) == Event(
        event_time="2026-06-16T00:20:50Z",
        event_id=event_id_of(ACCOUNT, "us-east-1", uuid_of(1)),
        request_id=uuid_of(1),
        shared_event_id=None,
        account_id=ACCOUNT,
        region="us-east-1",
        event_source="bedrock.amazonaws.com",
        event_name="InvokeModelWithResponseStream",
        model_id=f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/{SONNET}",
        principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/Chat-BedrockRole",
        principal_type="AssumedRole",
        session_name="21648c392d544730bcf8",
        user_agent=None,
        user_name="Chat-BedrockRole",
        application="Chat",
        application_source="role name",
        error_code=None,
        inference_region="us-east-2",
        service_tier="flex",
        is_home_copy=True,
        is_correction=False,
        request_metadata='{"application":"Other","n":3,"team":"search"}',
        guardrail_action=None,
        reported_by=INVOCATION_LOG,
        tokens=Tokens("invocation log", 3, 12, 0, 18779),
    )


def test_the_least_that_a_record_may_hold_is_a_call() -> None:
    record = {"timestamp": "2026-11-02T12:15:00.9+02:00", "accountId": ACCOUNT, "requestId": "r-1"}
    event = event_of(record)
    assert event.event_time == "2026-11-02T10:15:00Z"
    assert (event.region, event.event_name, event.model_id) == ("unknown", "unknown", None)
    assert (event.user_name, event.principal_type) == ("(unknown)", "Unknown")
    assert (event.application, event.application_source) == ("Unknown", "unknown")
    assert event.tokens is None


def test_the_event_id_is_one_for_a_call_and_another_for_any_other() -> None:
    ids = {
        event_of(logged(requestId=request_id, accountId=account, region=region)).event_id
        for request_id in ("r-1", "r-2")
        for account in (ACCOUNT, "444455556666")
        for region in ("us-east-1", "eu-west-1", None)
    }
    assert len(ids) == 12
    assert event_of(logged()).event_id == event_of(logged(operation="InvokeModel")).event_id


def test_a_record_may_lie_in_the_midst_of_a_file() -> None:
    line = json.dumps(logged()).encode()
    file = b'{"before": 1}\n' + line + b"\n"
    assert parse_logged_call(memoryview(file)[14 : 14 + len(line)]) == parse_logged_call(line)


@pytest.mark.parametrize("error_code", ["ThrottlingException", "ValidationException"])
def test_a_call_with_an_error_has_failed(error_code: str) -> None:
    assert event_of(logged(errorCode=error_code)).error_code == error_code


@pytest.mark.parametrize("operation", ["StartAsyncInvoke", "CreateModelInvocationJob", "New"])
def test_unknown_operations_are_kept_unchanged(operation: str) -> None:
    assert event_of(logged(operation=operation)).event_name == operation


@cases(
    ("fields", "tier"),
    [
        ({}, None),
        ({"performanceConfig": {"latency": "optimized"}}, "latency"),
        ({"performanceConfig": {"latency": "standard"}}, None),
        ({"performanceConfig": "optimized"}, None),
        ({"serviceTier": "priority"}, "priority"),
        ({"serviceTier": {"type": "Flex"}}, "flex"),
        ({"serviceTier": {"type": "default"}}, None),
        ({"serviceTier": "auto"}, None),
        ({"serviceTier": ["flex"]}, None),
    ],
)
def test_the_service_tier_where_it_is_stated(fields: dict[str, Any], tier: str | None) -> None:
    assert event_of(logged(**fields)).service_tier == tier


FLEX, FAST = {"serviceTier": {"type": "flex"}}, {"performanceConfig": {"latency": "optimized"}}
PLAIN = {"serviceTier": {"type": "default"}, "performanceConfig": {"latency": "standard"}}


@cases(
    ("asked", "answered", "tier"),
    [
        (FLEX, FLEX, "flex"),
        (FAST, FAST, "latency"),
        # What was asked for and not given.
        (FLEX, PLAIN, None),
        (FAST, PLAIN, None),
        (FLEX | FAST, {"serviceTier": {"type": "flex"}} | PLAIN, None),
        # Either may be there alone: Bedrock logs large bodies elsewhere.
        (FLEX, {}, "flex"),
        ({}, {"serviceTier": {"type": "priority"}}, "priority"),
        ({}, {"serviceTier": {"type": "reserved"}}, "reserved"),
        ({}, [{"contentBlockDelta": {}}, {"metadata": {"usage": {}} | FLEX}], "flex"),
        ({"service_tier": "flex"}, {"service_tier": "flex", "usage": {}}, "flex"),
        ({"service_tier": "auto"}, {"service_tier": "default"}, None),
        # Nothing but the words for tiers leaves a body.
        ({"serviceTier": {"type": "my secret"}}, {"service_tier": "my secret"}, None),
        ({"performanceConfig": ["optimized"]}, {"serviceTier": 7, "service_tier": {}}, None),
    ],
)
def test_the_service_tier_that_only_the_bodies_state(
    asked: dict[str, Any], answered: Any, tier: str | None
) -> None:
    record = logged(operation="Converse")
    record["input"]["inputBodyJson"] = {"messages": []} | asked
    record["output"]["outputBodyJson"] = answered
    assert event_of(record).service_tier == tier
    texts = {
        part: {f"{part}BodyJson": json.dumps(body)}
        for part, body in (("input", asked), ("output", answered))
    }
    assert event_of(record | texts).service_tier == tier
    assert event_of(record | {"serviceTier": "priority"} | FAST).service_tier == "latency"
    if not isinstance(answered, dict) or "performanceConfig" not in {*asked, *answered}:
        assert event_of(record | {"serviceTier": "priority"}).service_tier == "priority"


@cases(
    "identity",
    [
        user_identity("alice"),
        user_identity("team/path/alice") | {"userName": "alice"},
        user_identity("BedrockAPIKey-7k2m"),
        role_identity("web-role"),
        role_identity("task-role", "21648c392d544730bcf8b4c42032021d"),
        role_identity(SSO_ROLE, "alice@example.com"),
        {"type": "Root", "arn": f"arn:aws:iam::{ACCOUNT}:root", "accountId": ACCOUNT},
        {"type": "FederatedUser", "arn": f"arn:aws-us-gov:sts::{ACCOUNT}:federated-user/reports"},
    ],
)
def test_a_caller_is_the_one_that_cloudtrail_names(identity: dict[str, Any]) -> None:
    from_trail = parse_event(call(userIdentity=identity)).row
    event = event_of(logged(identity={"arn": identity["arn"]}))
    assert event_of(logged(identity=identity["arn"])) == event
    assert isinstance(from_trail, Event)
    for field in ("user_name", "principal_arn", "principal_type", "session_name"):
        assert getattr(event, field) == getattr(from_trail, field), field


@pytest.mark.parametrize("identity", [{}, {"arn": None}, {"arn": 7}, "text", []])
def test_a_caller_may_be_missing(identity: object) -> None:
    event = event_of(logged(identity=identity))
    assert (event.user_name, event.principal_arn) == ("(unknown)", "")


@cases(
    ("role", "metadata", "key", "application"),
    [
        ("app", {"application": "Search"}, "application", ("Search", "request metadata")),
        ("app", {"team": "Search"}, "team", ("Search", "request metadata")),
        ("app", {"application": "Search"}, "team", ("Unknown", "unknown")),
        ("App-BedrockRole", {"application": "Search"}, "application", ("App", "role name")),
        ("app", {"application": " "}, "application", ("Unknown", "unknown")),
        ("app", {"application": 7}, "application", ("Unknown", "unknown")),
    ],
)
def test_the_application(
    role: str, metadata: dict[str, Any], key: str, application: tuple[str, str]
) -> None:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/s-1"
    record = logged(identity={"arn": arn}, requestMetadata=metadata)
    event = event_of(record, metadata_key=key)
    assert (event.application, event.application_source) == application


def test_metadata_is_written_in_one_way() -> None:
    one = event_of(logged(requestMetadata={"b": "ü", "a": True}))
    other = event_of(logged(requestMetadata={"a": True, "b": "ü"}))
    assert one.request_metadata == other.request_metadata == '{"a":true,"b":"ü"}'
    assert event_of(logged(requestMetadata={})).request_metadata is None


@cases(
    ("metadata", "kept"),
    [
        ({"a": "x" * 300, "b": "y"}, {"a": "x" * 256, "b": "y"}),
        ({"k" * 300: "x"}, {"k" * 256: "x"}),
        ({"a": {"deep": "x"}, "b": ["x"], "c": None, "d": "y"}, {"d": "y"}),
        ({f"k{n:02}": "x" for n in range(20, 0, -1)}, {f"k{n:02}": "x" for n in range(1, 17)}),
        ({"a": 10**400, "b": 1.5}, {"b": 1.5}),
        ("text", None),
        (["text"], None),
    ],
)
def test_metadata_is_cut_to_what_bedrock_allows(metadata: object, kept: object) -> None:
    event, complaints = parse(logged(requestMetadata=metadata))
    found = event.request_metadata
    assert (json.loads(found) if found else None) == kept
    assert len(complaints) == 1
    assert complaints[0].startswith("requestMetadata ")


def counts(**fields: Any) -> dict[str, Any]:
    """Return a record with these counts, and no others, in input and output."""
    output = {"outputTokenCount": fields.pop("output")} if "output" in fields else {}
    names = {"input": "inputTokenCount", "read": "cacheReadInputTokenCount"}
    names["write"] = "cacheWriteInputTokenCount"
    return logged(input={names[name]: value for name, value in fields.items()}, output=output)


@cases(
    ("record", "tokens"),
    [
        (counts(input=3, output=12, read=4, write=5), Tokens("invocation log", 3, 12, 4, 5)),
        (counts(input=0, output=0), Tokens("invocation log", 0, 0)),
        (counts(input="3", output=" 12 "), Tokens("invocation log", 3, 12)),
        (counts(input=3.0), Tokens("invocation log", 3)),
        (counts(write=0), Tokens("invocation log", cache_write_5m=0)),
        (counts(input=None), None),
        (counts(), None),
        (logged(input={"...": "..."}, output={"...": "..."}), None),
        (logged() | {"input": "text", "output": ["text"]}, None),
        (logged() | {"input": None, "output": None}, None),
    ],
)
def test_a_count_that_is_not_there_is_unknown(record: object, tokens: Tokens | None) -> None:
    assert tokens_of(record) == tokens


@cases("value", [-1, 1.5, "many", "", True, [], {}, 10**13, "9" * 30, "9" * 5000, 10**400])
def test_a_bad_count_is_a_complaint_and_the_call_is_kept_without_it(value: object) -> None:
    event, complaints = parse(counts(input=value, output=12))
    assert event.tokens == Tokens("invocation log", output=12)
    assert complaints == (
        "input.inputTokenCount is not a whole number of tokens; the call is kept without it",
    )


@pytest.mark.parametrize("number", ["1e999", "1E2", "123e-1"])
def test_a_number_is_checked_as_written(number: str) -> None:
    text = json.dumps(counts(input=4711)).replace("4711", number)
    parsed = parse_logged_call(text.encode())
    assert isinstance(parsed.row, Event)
    known = None if parsed.row.tokens is None else parsed.row.tokens.input
    assert (known, len(parsed.complaints)) == ((100, 0) if number == "1E2" else (None, 1))


ANTHROPIC = {
    "usage": {
        "input_tokens": 3,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 12,
    },
    "stop_reason": "end_turn",
}
STREAM = [
    {"type": "message_start", "message": ANTHROPIC | {"usage": ANTHROPIC["usage"] | {"output_tokens": 1}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
    {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 12, "input_tokens": None}},
    "[DONE]",
]  # fmt: skip
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "x"}]}},
    "stopReason": "end_turn",
    "usage": {
        "inputTokens": 3,
        "outputTokens": 12,
        "totalTokens": 52,
        "cacheReadInputTokens": 7,
        "cacheWriteInputTokens": 30,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 20}, {"ttl": "5m", "inputTokens": 10}],
    },
}
CONVERSE_STREAM = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"delta": {"text": "x"}, "contentBlockIndex": 0}},
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": CONVERSE["usage"], "metrics": {"latencyMs": 1}}},
]
BODIES = {
    "InvokeModel": ANTHROPIC,
    "InvokeModelWithResponseStream": STREAM,
    "Converse": CONVERSE,
    "ConverseStream": CONVERSE_STREAM,
}


@pytest.mark.parametrize("operation", BODIES)
def test_lifetimes_of_cache_writes_stand_in_the_body_alone(operation: str) -> None:
    record = counts(input=3, output=12, read=7, write=30)
    record["output"]["outputBodyJson"] = BODIES[operation]
    assert tokens_of(record) == Tokens("invocation log body", 3, 12, 7, 10, 20)


@pytest.mark.parametrize("operation", BODIES)
def test_the_body_s_usage_stands_in_for_counts_that_the_record_lacks(operation: str) -> None:
    record = logged(input={}, output={"outputBodyJson": BODIES[operation]}, operation=operation)
    assert tokens_of(record) == Tokens("invocation log body", 3, 12, 7, 10, 20)


def test_a_stream_s_metrics_and_nova_s_own_names_do_so_too() -> None:
    metrics = {"inputTokenCount": 3, "outputTokenCount": 12, "invocationLatency": 900}
    last = {"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}
    assert tokens_of(logged(input={}, output={}, body=[last])) == Tokens("invocation log", 3, 12)
    usage = {"inputTokens": 3, "cacheReadInputTokenCount": 4, "cacheWriteInputTokenCount": 0}
    expected = Tokens("invocation log body", 3, None, 4, 0)
    assert tokens_of(logged(input={}, output={}, body={"usage": usage})) == expected


def test_the_record_s_own_counts_go_before_the_body_s() -> None:
    record = counts(input=1, output=2, read=3, write=30)
    record["output"]["outputBodyJson"] = CONVERSE
    assert tokens_of(record) == Tokens("invocation log", 1, 2, 3, 10, 20)


CHAT = {"usage": {
    "prompt_tokens": 1000, "completion_tokens": 12, "total_tokens": 1012,
    "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 0},
}}  # fmt: skip
RESPONSE = {"usage": {
    "input_tokens": 1000, "output_tokens": 12, "total_tokens": 1012,
    "input_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100},
}}  # fmt: skip
OPENAI, BODY, LOG = "invocation log body (OpenAI)", "invocation log body", "invocation log"
GROSS = {"inputTokens": 1000, "outputTokens": 12, "cacheReadInputTokens": 600}


@cases(
    ("own", "body", "tokens"),
    [
        ({}, CHAT, Tokens(OPENAI, 1000, 12, 600)),
        ({}, RESPONSE, Tokens(OPENAI, 1000, 12, 600, 100)),
        ({}, [{"choices": [], "usage": None}, CHAT, "[DONE]"], Tokens(OPENAI, 1000, 12, 600)),
        ({}, [{"type": "response.completed", "response": RESPONSE}], Tokens(OPENAI, 1000, 12, 600, 100)),
        ({}, {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}, Tokens(OPENAI, 3, 2)),
        # Whatever the record has itself, OpenAI's input and cache stay together.
        ({"input": 999, "output": 11}, CHAT, Tokens(OPENAI, 1000, 11, 600)),
        ({"input": 400, "read": 600, "write": 0}, CHAT, Tokens(OPENAI, 1000, 12, 600, 0)),
        ({"input": 999}, {"usage": {"prompt_tokens_details": {"cached_tokens": 6}}}, Tokens(LOG, 999)),
        # The body has no word of a cache that the record has: not a mix, but the record's own.
        ({"input": 999, "read": 6}, {"usage": {"prompt_tokens": 9}}, Tokens(LOG, 999, None, 6)),
        # Converse: the same numbers, or the record's with the cache's in them.
        ({"input": 1000, "read": 600}, {"usage": GROSS}, Tokens(BODY, 1000, 12, 600)),
        ({"input": 1000}, {"usage": GROSS}, Tokens(BODY, 1000, 12, 600)),
        ({"input": 400, "read": 600}, {"usage": GROSS}, Tokens(BODY, 1000, 12, 600)),
        ({"input": 1000, "read": 0}, {"usage": GROSS}, Tokens(LOG, 1000, 12, 0)),
        # Two sources: which says what the input contains is not known.
        ({"input": 900}, {"usage": GROSS}, Tokens(LOG, 900, 12, 600, input_sources=1 << 1 | 1 << 6)),
        ({"read": 7}, {"usage": {"inputTokens": 9}}, Tokens(BODY, 9, None, 7, input_sources=1 << 1 | 1 << 6)),
        ({"read": 0}, {"usage": {"inputTokens": 9}}, Tokens(BODY, 9, None, 0)),
    ],
)  # fmt: skip
def test_which_of_a_record_s_two_sources_its_counts_are_from(
    own: dict[str, int], body: object, tokens: Tokens
) -> None:
    record = counts(**own)
    # Tables keep the body as a text.
    for written in (body, json.dumps(body), f" {json.dumps(body, indent=1)}\n"):
        record["output"]["outputBodyJson"] = written
        assert parse(record) == (event_of(record), ())
        assert tokens_of(record) == tokens


@cases(
    ("written", "usage", "expected"),
    [
        (30, {"cache_creation": {"ephemeral_5m_input_tokens": 30}}, (30, 0)),
        (30, {"cache_creation": {"ephemeral_1h_input_tokens": 30}}, (0, 30)),
        (0, {"cache_creation": {"ephemeral_5m_input_tokens": 0}}, (0, 0)),
        (30, {"cacheDetails": [{"ttl": "1h", "inputTokens": "30"}]}, (0, 30)),
        (30, {"cacheDetails": [{"ttl": "5m", "inputTokens": n} for n in (10, 20)]}, (30, 0)),
        (30, {"cache_creation": {}}, (30, None)),
        (30, {"cache_creation": None}, (30, None)),
        (30, {"cache_creation": "text"}, (30, None)),
        (30, {"cacheDetails": []}, (30, None)),
        (30, {"cacheDetails": ["text"]}, (30, None)),
        (30, "text", (30, None)),
        (None, {"cacheDetails": [{"ttl": "1h", "inputTokens": 30}]}, (0, 30)),
    ],
)
def test_lifetimes_that_are_only_partly_stated(
    written: int | None, usage: object, expected: tuple[int | None, int | None]
) -> None:
    record = counts(input=1, write=written)
    record["output"]["outputBodyJson"] = {"usage": usage}
    tokens = tokens_of(record)
    assert tokens is not None
    assert (tokens.cache_write_5m, tokens.cache_write_1h) == expected


@pytest.mark.parametrize(
    ("written", "usage"),
    [
        (30, {"cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 10}}),
        (30, {"cache_creation": {"ephemeral_5m_input_tokens": CANARY}}),
        (30, {"cacheDetails": [{"ttl": CANARY, "inputTokens": 30}]}),
        (30, {"cacheDetails": [{"ttl": "5m", "inputTokens": -30}]}),
        (0, {"cacheDetails": [{"ttl": "5m", "inputTokens": 30}]}),
    ],
)  # fmt: skip
def test_lifetimes_that_do_not_add_up_are_a_complaint_and_all_counts_as_five_minutes(
    written: int, usage: object
) -> None:
    record = counts(input=1, write=written)
    record["output"]["outputBodyJson"] = {"usage": usage}
    event, complaints = parse(record)
    assert event.tokens == Tokens("invocation log", 1, cache_write_5m=written)
    assert complaints == (
        "the cache writes by lifetime in output.outputBodyJson do not add up to"
        " input.cacheWriteInputTokenCount; all of them count as written for 5 minutes",
    )


@cases(
    ("body", "images"),
    [
        ({"images": ["aGk=", "aGk="], "error": None}, 2),
        ({"images": ["aGk="], "seeds": [1], "finish_reasons": [None]}, 1),
        ({"result": "success", "artifacts": [{"base64": "aGk=", "seed": 1}] * 3}, 3),
        ({"images": []}, 0),
        ({"images": None, "error": "x"}, None),
        ({"images": "x"}, None),
        (CONVERSE, None),
    ],
)
def test_images_are_counted_where_the_answer_has_any(body: object, images: int | None) -> None:
    tokens = tokens_of(logged(body=body))
    assert tokens is not None
    assert tokens.images == images


@cases(
    ("body", "action"),
    [
        ({"amazon-bedrock-guardrailAction": "INTERVENED"}, "INTERVENED"),
        ({"amazon-bedrock-guardrailAction": "NONE"}, None),
        ({"stopReason": "guardrail_intervened"}, "INTERVENED"),
        ({"stop_reason": "guardrail_intervened"}, "INTERVENED"),
        ([{"delta": {"stop_reason": "guardrail_intervened"}}], "INTERVENED"),
        ([{"messageStop": {"stopReason": "guardrail_intervened"}}], "INTERVENED"),
        ([{"type": "x"}, {"amazon-bedrock-guardrailAction": "INTERVENED"}, "[DONE]"], "INTERVENED"),
        ({"output": {"text": '"stopReason": "guardrail_intervened"'}}, None),
        (CONVERSE, None),
        (STREAM, None),
    ],
)  # fmt: skip
def test_a_guardrail_that_stepped_in(body: object, action: str | None) -> None:
    assert event_of(logged(body=body)).guardrail_action == action


@cases(
    "body",
    ["text", '{"usage": {"output_tokens": 1}}', [], {}, 7, True, [["x"], 1, None, "[DONE]"]],
)
def test_a_body_may_be_anything(body: object) -> None:
    assert tokens_of(logged(body=body)) == Tokens("invocation log", 25, 150)
    paths = {"outputBodyS3Path": "s3://bucket/data/x", "outputTokenCount": 150}
    assert tokens_of(logged(output=paths)) == Tokens("invocation log", 25, 150)


@cases(
    ("record", "reason"),
    [
        (b"", "not a readable JSON object"),
        (b"Permissions are correctly set for Amazon Bedrock logs.", "not a readable JSON object"),
        (b'{"schemaType": "ModelInvocationLog"', "not a readable JSON object"),
        (b"[1]", "not a readable JSON object"),
        (b'"ModelInvocationLog"', "not a readable JSON object"),
        (b'{"requestId": "\xff"}', "not a readable JSON object"),
        (b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not a readable JSON object"),
        ({"schemaType": "Other"}, "not an invocation log"),
        ({"schemaType": ["ModelInvocationLog"]}, "not an invocation log"),
        ({"requestId": None}, "no requestId"),
        ({"requestId": 7}, "no requestId"),
        ({"accountId": None}, "no accountId"),
        ({"accountId": ""}, "no accountId"),
        ({"timestamp": None}, "no timestamp"),
        ({"timestamp": 1700000000}, "no timestamp"),
        ({"timestamp": "yesterday"}, "timestamp is not a time"),
    ],
)
def test_what_a_call_is_known_by_must_be_there(record: Any, reason: str) -> None:
    text = record if isinstance(record, bytes) else json.dumps(logged(**record)).encode()
    with pytest.raises(RejectError, match=f"^{reason}"):
        parse_logged_call(text)


def test_a_time_without_a_zone_is_utc() -> None:
    record = json.dumps(logged(timestamp="2026-11-02 10:15:00.123")).encode()
    row = parse_logged_call(record).row
    assert row is not None
    assert row.event_time == "2026-11-02T10:15:00Z"


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 40), st.floats(0, 9), st.text(max_size=3)
)
KEYS = st.sampled_from(
    [
        *("usage", "message", "metadata", "delta", "messageStop", "stopReason", "stop_reason"),
        *("images", "artifacts", "amazon-bedrock-guardrailAction", "content", "text", "role"),
        *("amazon-bedrock-invocationMetrics", "inputTokens", "output_tokens", "input_tokens"),
        *("cache_creation", "cacheDetails", "ttl", "ephemeral_5m_input_tokens", CANARY),
        *("cacheWriteInputTokens", "cache_creation_input_tokens", "serviceTier", "trace"),
    ]
)
BODY = st.recursive(
    st.just(CANARY) | st.text(max_size=3).map(lambda text: CANARY + text) | VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


def told(record: bytes) -> Iterator[str]:
    """Yield every text that parsing a record returns."""
    try:
        yield repr(parse_logged_call(record))
    except RejectError as reject:
        error: BaseException | None = reject
        while error is not None:
            yield f"{error!r} {error.__notes__ if hasattr(error, '__notes__') else ''}"
            error = error.__cause__ or error.__context__


@given(BODY, BODY, st.sampled_from(["good", "no requestId", "cut", "not UTF-8"]))
def test_nothing_of_a_body_gets_out(request: Any, response: Any, damage: str) -> None:
    record = logged(body=response)
    record["input"]["inputBodyJson"] = request
    if damage == "no requestId":
        del record["requestId"]
    text = json.dumps(record).encode()
    if damage == "cut":
        text = text[:-3]
    if damage == "not UTF-8":
        text = text.replace(uuid_of(1).encode(), b"\xff")
    assert all(CANARY not in words for words in told(text))


def planted(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the value with the canary in place of each of its parts, one after the other."""
    yield path, CANARY
    yield path, [CANARY]
    if not isinstance(value, (dict, list)):
        return
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        for where, changed in planted(part, f"{path}/{key}"):
            copy = dict(value) if isinstance(value, dict) else list(value)
            copy[key] = changed
            yield where, copy


@cases("with_counts", [True, False])
@cases("operation", BODIES)
def test_no_field_of_any_known_body_gets_out(operation: str, *, with_counts: bool) -> None:
    for where, body in planted(BODIES[operation]):
        record = logged() if with_counts else logged(input={}, output={})
        record["input"]["inputBodyJson"] = body
        record["output"]["outputBodyJson"] = body
        text = json.dumps(record)
        assert CANARY in text
        assert all(CANARY not in words for words in told(text.encode())), where


# What AWS writes itself, the caller's id of the model, and what is sent to be logged.
KEPT = {
    *("/accountId", "/region", "/requestId", "/operation", "/modelId", "/identity/arn"),
    *("/inferenceRegion", "/errorCode", "/requestMetadata/application"),
}


@pytest.mark.parametrize("operation", BODIES)
def test_no_other_text_of_a_record_gets_out_wherever_it_is(operation: str) -> None:
    record = counts(input=3, output=12, read=7, write=30) | {
        "requestMetadata": {"application": "Search"},
        "performanceConfig": {"latency": "optimized"},
        "serviceTier": {"type": "flex"},
        "errorCode": "ThrottlingException",
        "inferenceRegion": "us-east-2",
        "status": "x",
    }
    record["input"]["inputBodyJson"] = record["output"]["outputBodyJson"] = BODIES[operation]
    told_of = set()
    for where, changed in planted(record):
        for text in (json.dumps(changed), json.dumps(changed)[:-2]):
            if any(CANARY in words for words in told(text.encode())):
                told_of.add(where)
    # The timestamp is in the error that this one was made of, which is not printed.
    assert told_of - {"/timestamp"} == KEPT


def test_half_a_surrogate_pair_in_a_prompt_costs_no_call() -> None:
    record = counts(input=3)
    record["input"]["inputBodyJson"] = {"text": "cut \ud83d, \ude00 and \ud83d\ude00, \\ud83d"}
    assert json.dumps(record).count("\\ud83d") == 3
    assert tokens_of(record) == Tokens("invocation log", 3)
    event = event_of(record | {"requestMetadata": {"mood": "\ud83d\ude00"}})
    assert event.request_metadata == '{"mood":"\U0001f600"}'


ROUTER = f"arn:aws:bedrock:eu-west-1:{ACCOUNT}:prompt-router/r0uter"
ANSWERED = f"arn:aws:bedrock:eu-west-1:{ACCOUNT}:inference-profile/eu.amazon.nova-lite-v1:0"


def routed(invoked: object, *, sent: str = ROUTER, is_stream: bool = False) -> str | None:
    trace = {"trace": {"promptRouter": {"invokedModelId": invoked}}, "usage": {"inputTokens": 5}}
    body: object = [{"contentBlockDelta": {}}, {"metadata": trace}] if is_stream else trace
    record = logged(modelId=sent, operation="Converse")
    record["output"]["outputBodyJson"] = body
    return event_of(record).model_id


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_prompt_routers_call_has_the_model_that_answered(is_stream: bool) -> None:
    assert routed(ANSWERED, is_stream=is_stream) == ANSWERED
    assert routed("amazon.nova-lite-v1:0", is_stream=is_stream) == "amazon.nova-lite-v1:0"
    default = f"arn:aws:bedrock:eu-west-1:{ACCOUNT}:default-prompt-router/amazon.nova:1"
    assert routed(ANSWERED, sent=default, is_stream=is_stream) == ANSWERED
    assert routed(ANSWERED, sent=HAIKU, is_stream=is_stream) == HAIKU


@pytest.mark.parametrize(
    "invoked", [None, 7, "", "my secret prompt", "a" * 3000, "x'; drop table events; --", ["a.b"]]
)
def test_nothing_but_a_models_id_leaves_the_body(invoked: object) -> None:
    assert routed(invoked) == ROUTER
    assert routed(invoked, is_stream=True) == ROUTER
