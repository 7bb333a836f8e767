"""The fast path through a log file gives the same rows as the slow one."""

from __future__ import annotations

import copy
import gzip
import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.load.decoder import content as content_module
from etl.load.decoder import fast_cloudtrail as trail_module
from etl.load.decoder.content import Decoder, Keys
from tests.load.long_way import shown, the_long_way
from tests.rounds import rounds, some
from tests.support import HAIKU, call, logged, role_identity, service_event, uuid_of


def log(*records: object) -> bytes:
    return gzip.compress(json.dumps({"Records": records}, separators=(",", ":")).encode())


# Since 3.12 Python itself limits the depth of its own calls only, and may read this.
READS_DEEP = sys.version_info >= (3, 12)
DEEP = '{"x":' * 5_000 + "1" + "}" * 5_000

ODD = (
    None, "", " ", " x ", 0, 7, -1, 1.5, 5.0, True, "12", "1e3", 10**13, {}, [], [1], {"a": 1},
    "\ud800", "\u00e9", "a\u0000b", "X" * 300, "2026-11-02T10:15:00.123Z", "2026-11-02T10:15:61Z",
    "2026-02-30T10:15:00Z", "2026-11-02T12:15:00+02:00", "AwsServiceEvent", "AwsVpceEvents",
    "NetworkActivity", HAIKU, uuid_of(5), uuid_of(0xABC).upper(), "abcd1234-5678-efgh-ijkl-mnopqrstuvwx",
    {"application": "Billing"}, {"usage": {"inputTokens": 3}}, {"inputTokenCount": 4, "outputTokenCount": "5"},
    {"originalEventID": uuid_of(9)}, {"latency": "optimized"}, {"type": "flex"}, "priority", "default",
    [{"ARN": "arn:aws:bedrock:us-east-1::foundation-model/x.y"}, {"ARN": 3}, 4],
)  # fmt: skip

PATHS = (
    ("eventID",), ("eventTime",), ("eventSource",), ("eventName",), ("awsRegion",), ("userAgent",),
    ("requestParameters",), ("responseElements",), ("additionalEventData",), ("resources",),
    ("requestID",), ("sharedEventID",), ("recipientAccountId",), ("errorCode",), ("eventType",),
    ("eventCategory",), ("addendum",), ("userIdentity",), ("serviceEventDetails",),
    ("requestParameters", "modelId"), ("requestParameters", "model"),
    ("requestParameters", "performanceConfig"), ("requestParameters", "serviceTier"),
    ("requestParameters", "service_tier"), ("requestParameters", "requestMetadata"),
    ("requestParameters", "metadata"), ("requestParameters", "prompt"),
    ("additionalEventData", "inputTokens"), ("additionalEventData", "outputTokens"),
    ("additionalEventData", "inputTokenCount"), ("additionalEventData", "cacheReadInputTokens"),
    ("additionalEventData", "cacheWriteInputTokens"), ("additionalEventData", "inferenceRegion"),
    ("additionalEventData", "serviceTier"), ("additionalEventData", "resolvedServiceTier"),
    ("userIdentity", "type"), ("userIdentity", "arn"), ("userIdentity", "principalId"),
    ("userIdentity", "accountId"), ("userIdentity", "userName"), ("userIdentity", "invokedBy"),
    ("userIdentity", "onBehalfOf"), ("userIdentity", "sessionContext"),
    ("userIdentity", "sessionContext", "sourceIdentity"),
    ("userIdentity", "sessionContext", "webIdFederationData"),
    ("userIdentity", "sessionContext", "sessionIssuer"),
    ("userIdentity", "sessionContext", "sessionIssuer", "userName"),
    ("userIdentity", "sessionContext", "sessionIssuer", "arn"),
    ("userIdentity", "accessKeyId"), ("requestParameters", "tags"),
    ("requestParameters", "principalTags"), ("requestParameters", "transitiveTagKeys"),
    ("responseElements", "credentials"), ("responseElements", "credentials", "accessKeyId"),
)  # fmt: skip


def with_field(record: dict[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any]:
    changed = copy.deepcopy(record)
    part = changed
    for key in path[:-1]:
        if not isinstance(part.get(key), dict):
            return changed
        part = part[key]
    part[path[-1]] = value
    return changed


BASES = (
    call(1, tokens=(10, 5), userIdentity=role_identity("Chat-BedrockRole")),
    call(1, tokens=(10, 5), userAgent="Search/1.0"),
    call(1, eventName="GetFoundationModel"),
    service_event(1, 7, {"inputTokens": 3}),
    call(1, eventSource="s3.amazonaws.com", eventName="GetObject"),
    call(
        1,
        userIdentity={**role_identity("first"), "accessKeyId": "ASIAFIRST"},
        eventSource="sts.amazonaws.com",
        eventName="AssumeRole",
        requestParameters={
            "tags": [{"key": "team", "value": "Search"}],
            "incomingTransitiveTags": {"cost": "7"},
            "transitiveTagKeys": ["team"],
        },
        responseElements={"credentials": {"accessKeyId": "ASIASECOND"}},
    ),
)


@st.composite
def records(draw: st.DrawFn) -> list[object]:
    """Draw records, some of which differ from a usual one in a place or two."""
    drawn: list[object] = []
    for _ in range(draw(st.integers(1, 4))):
        record = draw(st.sampled_from(BASES))
        for _ in range(draw(st.integers(0, 2))):
            record = with_field(record, draw(st.sampled_from(PATHS)), draw(st.sampled_from(ODD)))
        drawn.append(draw(st.sampled_from([record, record, record, 7, None, [], {}])))
    return drawn


@settings(max_examples=rounds(120, 5000))
@given(drawn=records())
def test_the_fast_path_gives_the_same_rows_as_the_slow_one(drawn: list[object]) -> None:
    data = log(*drawn)
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert shown(Decoder().decode(data)) == shown(the_long_way(data, monkeypatch))


@pytest.mark.parametrize("path", some(PATHS, 24))
def test_each_field_may_hold_anything(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = log(*(with_field(base, path, value) for base in BASES for value in ODD))
    assert shown(Decoder().decode(data)) == shown(the_long_way(data, monkeypatch))


def test_a_caller_s_words_do_not_make_a_call_another_service_s() -> None:
    metadata = {"eventSource": "sts.amazonaws.com"}
    parameters = {"modelId": HAIKU, "requestMetadata": metadata}
    record = {"requestParameters": parameters} | call(1, requestParameters=parameters)
    assert len(shown(Decoder().decode(log(record)))["events"]) == 1


def test_what_plain_calls_share_is_interpreted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = Counter[str]()
    for name in ("name_call", "parse_identity"):
        monkeypatch.setattr(trail_module, name, counting(done, getattr(trail_module, name), name))
    monkeypatch.setattr(content_module, "parse_event", None)
    decoder = Decoder()
    for region in ("us-east-1", "us-west-2"):
        decoder.decode(log(*(call(n, tokens=(n, 1), awsRegion=region) for n in range(100))))
    assert done == {"name_call": 2, "parse_identity": 1}


def counting(done: Counter[str], function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def counted(*args: Any, **options: Any) -> Any:
        done[name] += 1
        return function(*args, **options)

    return counted


def rejects_of_two(data: bytes, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return the rejects of two calls, one nested deeply: none only where Python can read it."""
    decoded = Decoder().decode(data)
    assert shown(decoded) == shown(the_long_way(data, monkeypatch))
    assert READS_DEEP or decoded.rejects
    assert len(decoded.calls) == (1 if decoded.rejects else 2)
    return decoded.rejects


@pytest.mark.parametrize("part", ["requestParameters", "userIdentity", "tlsDetails"])
def test_a_record_nested_too_deeply_is_reported(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    record = json.dumps(call(2) | {part: "DEEP"}).replace('"DEEP"', DEEP)
    data = f'{{"Records":[{json.dumps(call(1))},{record}]}}'.encode()
    assert rejects_of_two(data, monkeypatch) in ([], [("Records[1]", "nested too deeply")])


def test_a_line_nested_too_deeply_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps(logged(1) | {"input": "DEEP"}).replace('"DEEP"', DEEP)
    data = f"{line}\n{json.dumps(logged(2))}\n".encode()
    reasons = [reason for _, reason in rejects_of_two(data, monkeypatch)]
    assert reasons in ([], ["nested too deeply"])


@pytest.mark.parametrize("agent", ["x", "bedrock", "runtime.bedrock.amazonaws.com"])
def test_other_services_are_not_parsed_at_all(agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_module, "parse_event", None)
    monkeypatch.setattr(trail_module, "_decode_record", None)
    others = (call(n, eventSource="s3.amazonaws.com", userAgent=agent) for n in range(50))
    decoded = Decoder().decode(log(*others))
    assert (decoded.events_read, decoded.events_skipped, decoded.calls) == (50, 50, [])


@pytest.mark.parametrize(
    "record",
    [
        json.dumps(call(1)).replace("bedrock.amazonaws", "b\\u0065drock.amazonaws"),
        json.dumps(call(1)).replace('"eventID"', '"event\\u0049D"'),
    ],
)
def test_escapes_hide_nothing(record: str) -> None:
    assert len(Decoder().decode(f'{{"Records":[{record}]}}'.encode()).calls) == 1


def test_a_shape_is_sent_once_and_again_after_all_were_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoder = Decoder(first=1 << 40)
    first = decoder.decode(log(call(1)))
    again = decoder.decode(log(call(2)))
    assert [number for number, _ in first.shapes] == [1 << 40]
    assert (again.shapes, again.first_shape) == ([], None)
    monkeypatch.setattr("etl.normalise.packed._MAX_SHAPES", 1)
    anew = decoder.decode(log(call(3)))
    assert anew.first_shape == (1 << 40) + 1
    assert [number for number, _ in anew.shapes] == [(1 << 40) + 1]
    assert anew.calls[0][4] == (1 << 40) + 1


@pytest.mark.parametrize("joined", ["\n", "\n\n", "\r\n"])
def test_lines_of_an_invocation_log(joined: str) -> None:
    lines = [json.dumps(logged(1)), json.dumps(logged(2)), json.dumps(logged(3, requestId=None))]
    decoded = Decoder().decode(gzip.compress(joined.join(lines).encode()))
    assert len(decoded.calls) == 2
    assert [position for position, _ in decoded.rejects] == [
        f"line {1 + 2 * len(joined.replace(chr(13), ''))}"
    ]


def test_a_damaged_invocation_log_gives_its_whole_records() -> None:
    text = "\n".join(json.dumps(logged(number)) for number in range(10))
    decoded = Decoder().decode(text.encode()[:-50])
    assert len(decoded.calls) == 9
    assert [reason for _, reason in decoded.rejects] == ["the JSON is truncated"]


def test_the_key_of_the_metadata_is_chosen() -> None:
    data = json.dumps(logged(1, requestMetadata={"team": "Blue", "application": "x"})).encode()
    parameters = {"modelId": HAIKU, "requestMetadata": {"team": "Blue", "application": "x"}}
    for one in (data, log(call(1, requestParameters=parameters))):
        (event,) = shown(Decoder(Keys(metadata="team")).decode(one))["events"]
        assert (event.application, event.application_source) == ("Blue", "request metadata")


def test_a_saved_answer_of_filter_log_events() -> None:
    answer = {"events": [{"message": json.dumps(logged(1))}, {"message": "no JSON"}]}
    decoded = Decoder().decode(json.dumps(answer).encode())
    assert len(decoded.calls) == 1
    assert decoded.rejects[0][0] == "events[1]"
