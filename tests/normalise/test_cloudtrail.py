"""Raw CloudTrail events in, full rows out."""

from __future__ import annotations

import contextlib
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.errors import RejectError
from etl.normalise.cloudtrail import CALLS, parse_event
from etl.normalise.rows import Event, OtherOperation, ServiceTokens, Tokens
from etl.normalise.seeds import seed_rows
from tests.cases import cases
from tests.support import ACCOUNT, HAIKU, SONNET, call, role_identity, service_event, uuid_of


def event_of(record: dict[str, Any]) -> Event:
    parsed = parse_event(record)
    assert isinstance(parsed.row, Event), parsed
    return parsed.row


def test_a_call_as_a_full_row() -> None:
    record = call(
        7,
        eventTime="2026-06-02T22:24:15Z",
        eventName="Converse",
        userIdentity=role_identity("ChatbotApp-BedrockRole", "i-0123456789abcdef0"),
        requestParameters={"modelId": SONNET, "inferenceConfig": {"maxTokens": 32768}},
        additionalEventData={"inferenceRegion": "us-east-2", "inputTokens": 16361, "outputTokens": 2782},
        sharedEventID=uuid_of(99),
    )  # fmt: skip
    assert event_of(record) == Event(
        event_time="2026-06-02T22:24:15Z",
        event_id=uuid_of(7),
        request_id=uuid_of(1_000_007),
        shared_event_id=uuid_of(99),
        account_id=ACCOUNT,
        region="us-east-1",
        event_source="bedrock.amazonaws.com",
        event_name="Converse",
        model_id=SONNET,
        principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/ChatbotApp-BedrockRole",
        principal_type="AssumedRole",
        session_name="i-0123456789abcdef0",
        user_agent=record["userAgent"],
        user_name="ChatbotApp-BedrockRole",
        application="ChatbotApp",
        application_source="role name",
        error_code=None,
        inference_region="us-east-2",
        service_tier=None,
        is_home_copy=True,
        is_correction=False,
        tokens=Tokens("additionalEventData", input=16361, output=2782),
    )


@cases(
    ("fields", "tokens"),
    [
        ({"additionalEventData": {"inputTokens": 5, "outputTokens": 6}}, Tokens("additionalEventData", 5, 6)),
        ({"additionalEventData": {"inputTokens": "5", "outputTokens": "6"}}, Tokens("additionalEventData", 5, 6)),
        ({"additionalEventData": {"inputTokens": 5.0}}, Tokens("additionalEventData", 5)),
        ({"additionalEventData": {"inputTokens": 0, "outputTokens": 0}}, Tokens("additionalEventData", 0, 0)),
        ({"responseElements": {"usage": {"inputTokens": 5, "outputTokens": "6"}}}, Tokens("responseElements.usage", 5, 6)),
        ({"responseElements": {"inputTokenCount": 5, "outputTokenCount": 6}}, Tokens("responseElements", 5, 6)),
        # The newest form present wins; the others supply what it lacks.
        (
            {
                "additionalEventData": {"inputTokens": 1},
                "responseElements": {"usage": {"inputTokens": 2, "outputTokens": 3}, "outputTokenCount": 4},
            },
            Tokens("additionalEventData", 1, 3),
        ),
        (
            {"additionalEventData": {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 3, "cacheWriteInputTokens": 4}},
            Tokens("additionalEventData", 1, 2, 3, 4),
        ),
        ({"additionalEventData": {"inferenceRegion": "us-east-2"}}, None),
        ({"additionalEventData": "text"}, None),
        ({"responseElements": None}, None),
    ],
)  # fmt: skip
def test_every_token_form_on_the_event(fields: dict[str, Any], tokens: Tokens | None) -> None:
    assert event_of(call(**fields)).tokens == tokens


@cases("bad", ["many", -1, 1.5, True, "9" * 30, [], {}])
def test_an_invalid_count_is_reported_and_the_call_kept(bad: object) -> None:
    parsed = parse_event(call(additionalEventData={"inputTokens": bad, "outputTokens": 6}))
    assert isinstance(parsed.row, Event)
    assert parsed.row.tokens == Tokens("additionalEventData", None, 6)
    assert parsed.complaints == (
        "additionalEventData.inputTokens is not a whole number of tokens; the call is kept without it",
    )


@pytest.mark.parametrize(
    "entries",
    [
        {"inferenceRegion": "us-east-2", "inputTokens": "1200", "outputTokens": "340"},
        [{"key": "inputTokens", "value": 1200}, {"key": "outputTokens", "value": "340"},
         {"key": "inferenceRegion", "value": "us-east-2"}, "noise", {"key": 1}],
    ],
)  # fmt: skip
def test_a_service_event_is_the_tokens_of_its_call(entries: object) -> None:
    assert parse_event(service_event(8, 7, entries)).row == ServiceTokens(
        event_time="2026-11-02T10:15:00Z",
        event_id=uuid_of(8),
        account_id=ACCOUNT,
        region="us-east-1",
        request_id=uuid_of(1_000_007),
        inference_region="us-east-2",
        tokens=Tokens("AwsServiceEvent", 1200, 340),
    )


def test_a_service_event_without_tokens_is_skipped_and_without_parent_refused() -> None:
    assert parse_event(service_event(8, 7, {})).row is None
    orphan = service_event(8, 7, {"inputTokens": 1})
    del orphan["serviceEventDetails"]["parentRequestId"]
    with pytest.raises(RejectError, match="parentRequestId"):
        parse_event(orphan)


def test_a_mantle_inference_is_a_call_of_its_own_endpoint() -> None:
    record = call(
        eventSource="bedrock-mantle.amazonaws.com",
        eventName="CreateInference",
        userAgent="OpenAI/Python 1.50.0",
        requestParameters={"model": "anthropic.claude-opus-4-7", "service_tier": "default", "metadata": {"team": "x"}},
        resources=[{"ARN": f"arn:aws:bedrock-mantle:us-east-1:{ACCOUNT}:project/proj_1"}],
    )  # fmt: skip
    event = event_of(record)
    assert (event.event_source, event.model_id) == (
        "bedrock-mantle.amazonaws.com",
        "anthropic.claude-opus-4-7",
    )
    assert (event.service_tier, event.application) == (None, "proj_1")


@pytest.mark.parametrize(
    "fields",
    [
        {"eventName": "ListTagsForResource"},
        {"eventName": "CreateInference"},
        {"eventName": "CountTokens", "eventCategory": "Data"},
        {"eventName": "PutInvocationStep", "eventCategory": "Data"},
        {"eventSource": "bedrock-agentcore.amazonaws.com", "eventName": "InvokeAgentRuntime"},
        {"eventName": "ListFoundationModels", "eventType": "AwsVpceEvents"},
        {"eventName": "SomethingNew", "eventType": "AwsServiceEvent"},
        {"eventSource": "s3.amazonaws.com", "eventName": "InvokeModel"},
        {"eventType": "AwsVpceEvents"},
        {"eventCategory": "NetworkActivity"},
    ],
)
def test_other_events_are_skipped(fields: dict[str, Any]) -> None:
    assert parse_event(call(**fields)).row is None


@cases("source_and_name", sorted(CALLS))
def test_every_inference_operation_is_a_call(source_and_name: tuple[str, str]) -> None:
    source, name = source_and_name
    assert event_of(call(eventSource=source, eventName=name)).event_name == name


@cases(
    ("record", "reason"),
    [
        ("text", "not an object but a string"),
        (7, "not an object but a number"),
        (None, "not an object but null"),
        ([], "not an object but a list"),
        (call(eventID=None), "no eventID"),
        (call(eventID="  "), "no eventID"),
        (call(eventTime=None), "no eventTime"),
        (call(eventTime="[REDACTED]"), "eventTime is not a time"),
        (call(eventTime="2026-13-01T00:00:00Z"), "eventTime is not a time"),
        (
            call(eventTime="0001-01-01T00:00:00+14:00"),
            "eventTime is outside the years 2000 to 2999",
        ),
    ],
)
def test_a_record_without_identity_is_refused(record: object, reason: str) -> None:
    with pytest.raises(RejectError) as error:
        parse_event(record)
    assert str(error.value) == reason


def test_times_are_whole_utc_seconds() -> None:
    assert event_of(call(eventTime="2026-11-05T10:15:30.987Z")).event_time == "2026-11-05T10:15:30Z"
    for without_zone in ("2026-11-05 10:15:30.987654321", "2026-11-05T10:15:30"):
        assert event_of(call(eventTime=without_zone)).event_time == "2026-11-05T10:15:30Z"
    assert (
        event_of(call(eventTime="2026-11-05T12:15:30+02:00")).event_time == "2026-11-05T10:15:30Z"
    )


def test_ids_lose_outer_blanks() -> None:
    assert event_of(call(eventID=f"{uuid_of(1)} ")).event_id == uuid_of(1)


def test_a_copy_for_another_account_is_distinguished_from_the_home_copy() -> None:
    assert event_of(call(recipientAccountId="444455556666")).is_home_copy is False
    assert event_of(call()).is_home_copy is True
    # A service's call has no caller account.
    assert (
        event_of(call(userIdentity={"type": "AWSService", "invokedBy": "x"})).is_home_copy is True
    )


def test_a_correction_takes_the_id_of_what_it_corrects() -> None:
    event = event_of(call(9, addendum={"reason": "UPDATED_DATA", "originalEventID": uuid_of(1)}))
    assert (event.event_id, event.is_correction) == (uuid_of(1), True)


def test_the_model_may_stand_in_the_resources_only() -> None:
    arn = f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"
    resources = [{"ARN": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:agent-alias/A/B"}, {"ARN": arn}]
    assert event_of(call(requestParameters=None, resources=resources)).model_id == arn
    assert event_of(call(requestParameters=None)).model_id is None


@pytest.mark.parametrize(
    ("parameters", "tier"),
    [
        ({"serviceTier": {"type": "priority"}}, "priority"),
        ({"service_tier": "flex"}, "flex"),
        ({"performanceConfig": {"latency": "optimized"}}, "latency"),
        ({"serviceTier": "default"}, None),
        ({}, None),
    ],
)
def test_the_service_tier_where_it_is_stated(parameters: dict[str, Any], tier: str | None) -> None:
    assert event_of(call(requestParameters={"modelId": HAIKU, **parameters})).service_tier == tier


def test_application_evidence_in_its_order() -> None:
    agent = "Boto3/1.42.97 md/Botocore#1.42.97 WebPortal/1.5.3"
    metadata = {"modelId": HAIKU, "requestMetadata": {"application": "Billing"}}
    by_role = role_identity("ChatbotApp-BedrockRole")
    found = [
        event_of(call(userAgent=agent, requestParameters=metadata, userIdentity=by_role)),
        event_of(call(userAgent=agent, requestParameters=metadata)),
        event_of(call(userAgent=agent)),
        event_of(call(userIdentity=role_identity("-BedrockRole"))),
    ]
    assert [(e.application, e.application_source) for e in found] == [
        ("ChatbotApp", "role name"),
        ("Billing", "request metadata"),
        ("WebPortal", "user agent"),
        ("Unknown", "unknown"),
    ]


def test_an_error_is_kept_by_its_code_alone() -> None:
    event = event_of(call(errorCode="ValidationException", errorMessage="prompt is: secret"))
    assert event.error_code == "ValidationException"
    assert "secret" not in repr(event)


def test_lone_surrogates_become_storable_text() -> None:
    assert event_of(call(userAgent="agent\ud800/1")).user_agent == "agent?/1"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(
            sorted(
                {
                    *call(),
                    "serviceEventDetails",
                    "resources",
                    "additionalEventData",
                    "errorCode",
                    "addendum",
                }
            )
        ),
        JSON,
    )
)
def test_no_field_of_any_type_breaks_the_parser(fields: dict[str, Any]) -> None:
    record = call() | fields
    with contextlib.suppress(RejectError):
        parse_event(record)


RUNTIMES = ("bedrock-runtime", "bedrock-agent-runtime", "bedrock-data-automation-runtime")


def test_every_operation_of_the_runtimes_that_the_sdk_has_is_known() -> None:
    session = botocore.session.get_session()
    # The tags of these services' own resources.
    names = {n for s in RUNTIMES for n in session.get_service_model(s).operation_names}
    names = {
        name for name in names if not name.lower().endswith(("tagresource", "tagsforresource"))
    }
    assert len(names) > 40
    named = {(row["event_source"], row["event_name"]) for row in seed_rows("operations")}
    assert {name for name in names if ("bedrock.amazonaws.com", name) not in named} == set()


@pytest.mark.parametrize(
    ("fields", "is_known"),
    [
        ({"eventName": "ListFoundationModels"}, True),
        ({"eventName": "PutModelInvocationLoggingConfiguration"}, True),
        ({"eventSource": "bedrock-mantle.amazonaws.com", "eventName": "CreateProject"}, True),
        ({"eventName": "DreamModel"}, False),
        ({"eventName": "ListDreams", "eventCategory": "Data"}, False),
        ({"eventName": "ListDreams", "managementEvent": False}, False),
        ({"eventSource": "bedrock-dreams.amazonaws.com", "eventName": "InvokeModel"}, False),
    ],
)
def test_an_operation_that_is_no_call_is_kept_if_it_is_unknown_or_matters(
    fields: dict[str, Any], is_known: bool
) -> None:
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:dream/d1"
    record = call(sourceIPAddress="198.51.100.77", resources=[{}, {"ARN": arn}], **fields)
    row = parse_event(record | {"requestParameters": None, "errorCode": "AccessDenied"}).row
    assert isinstance(row, OtherOperation)
    assert (row.is_known, row.event_name) == (is_known, fields["eventName"])
    assert (row.user_name, row.source_address) == ("alice", "198.51.100.0/24")
    assert (row.error_code, row.resource) == ("AccessDenied", arn)
    with pytest.raises(RejectError, match="no eventID"):
        parse_event({**record, "eventID": None})


@pytest.mark.parametrize(
    ("address", "network", "whole"),
    [
        ("198.51.100.77", "198.51.100.0/24", "198.51.100.77"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48", "2001:db8:1:2:3::4"),
        ("::ffff:198.51.100.77", "198.51.100.0/24", "198.51.100.77"),
        ("fe80::1%eth0", "fe80::/48", "fe80::1"),
        ("lambda.amazonaws.com", "lambda.amazonaws.com", "lambda.amazonaws.com"),
        ("AWS Internal", "AWS Internal", "AWS Internal"),
        *(
            (odd, None, None)
            for odd in (
                "203.0.113.7:443",
                "203.0.113.7, 10.0.0.1",
                "[2001:db8::1]:443",
                "1.2.3.4/32",
                "203.000.113.007",
                "x" * 101,
            )
        ),
        ("a\nb", None, None),
        (["198.51.100.77"], None, None),
        (None, None, None),
    ],
)
def test_of_an_address_the_network_is_kept_or_all_or_nothing(
    address: object, network: str | None, whole: str | None
) -> None:
    record = call(sourceIPAddress=address)
    for detail, expected in (("network", network), ("whole", whole), ("none", None)):
        event = parse_event(record, addresses=detail).row  # type: ignore[arg-type]
        assert isinstance(event, Event)
        assert event.source_address == expected


def test_the_first_key_that_the_metadata_has_names_the_application() -> None:
    def named(metadata: dict[str, str], keys: tuple[str, ...]) -> str:
        record = call(requestParameters={"modelId": HAIKU, "requestMetadata": metadata})
        event = parse_event(record, metadata_key=keys).row
        assert isinstance(event, Event)
        return event.application

    assert named({"app": "a", "service": "s"}, ("service", "app")) == "s"
    assert named({"app": "a", "service": " "}, ("service", "app")) == "a"
    assert named({"app": "a"}, ("service",)) == "Unknown"
