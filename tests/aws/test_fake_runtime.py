"""The fake's Bedrock runtime, as an unmodified boto3 sees it, and what it records for the readers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    EventStreamError,
    ReadTimeoutError,
)
from urllib3.exceptions import ProtocolError

from tests.aws import ACCOUNT, NOW, FakeAws, FakeClock, Fault
from tests.support import HAIKU, SONNET

Clients = Callable[..., Any]
QUESTION = "Where is my order?"
USAGE = (8 + 5, 12 + len(QUESTION))
BODY = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": QUESTION}],
}
MESSAGES = [{"role": "user", "content": [{"text": QUESTION}]}]


@pytest.fixture
def runtime(client: Clients, aws: FakeAws) -> Any:
    aws.lookup_rate = None
    return client("bedrock-runtime")


@pytest.fixture
def events(client: Clients) -> Callable[[], list[dict[str, Any]]]:
    """Return CloudTrail's events, the oldest first."""
    trail = client("cloudtrail")

    def look() -> list[dict[str, Any]]:
        found = trail.lookup_events()["Events"]
        return [json.loads(event["CloudTrailEvent"]) for event in reversed(found)]

    return look


def ask(runtime: Any, operation: str, **more: Any) -> dict[str, Any]:
    """Call an operation with the question; return the answer."""
    if "converse" in operation:
        params = {"messages": MESSAGES, "inferenceConfig": {"maxTokens": 100}} | more
    else:
        params = {"body": json.dumps(BODY | more.pop("body", {}))} | more
    return getattr(runtime, operation)(**{"modelId": HAIKU} | params)


def usage_of(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Read an answer to its end; return its usage in the operation's form."""
    if operation == "converse":
        return answer["usage"]
    if operation == "invoke_model":
        return json.load(answer["body"])["usage"]
    if operation == "converse_stream":
        events = list(answer["stream"])
        assert "messageStart" in events[0]
        return events[-1]["metadata"]["usage"]
    chunks = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    assert chunks[0]["message"]["usage"]["output_tokens"] == 1
    metrics = chunks[-1]["amazon-bedrock-invocationMetrics"]
    delta = next(chunk["usage"] for chunk in chunks if chunk["type"] == "message_delta")
    assert delta["output_tokens"] == metrics["outputTokenCount"]
    return metrics


OPERATIONS = {
    "invoke_model": ("input_tokens", "output_tokens"),
    "invoke_model_with_response_stream": ("inputTokenCount", "outputTokenCount"),
    "converse": ("inputTokens", "outputTokens"),
    "converse_stream": ("inputTokens", "outputTokens"),
}
EVENT_NAMES = {
    "invoke_model": "InvokeModel",
    "invoke_model_with_response_stream": "InvokeModelWithResponseStream",
    "converse": "Converse",
    "converse_stream": "ConverseStream",
}
STREAMS = ["invoke_model_with_response_stream", "converse_stream"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_answer_has_its_usage_and_the_event_has_the_same(
    runtime: Any, operation: str, events: Any
) -> None:
    answer = ask(runtime, operation)
    usage = usage_of(operation, answer)
    assert tuple(usage[key] for key in OPERATIONS[operation]) == USAGE
    event, *more = events()
    assert event["requestID"] == answer["ResponseMetadata"]["RequestId"]
    assert (event["eventName"], event["requestParameters"]["modelId"]) == (
        EVENT_NAMES[operation],
        HAIKU,
    )
    if operation in STREAMS:
        assert "additionalEventData" not in event
        (service_event,) = more
        assert service_event["eventType"] == "AwsServiceEvent"
        details = service_event["serviceEventDetails"]
        assert details["parentRequestId"] == event["requestID"]
        entries = details["AdditionalEventData"]["additionalEntries"]
        assert (entries["inputTokens"], entries["outputTokens"]) == tuple(map(str, USAGE))
    else:
        data = event["additionalEventData"]
        assert ((data["inputTokens"], data["outputTokens"]), more) == (USAGE, [])


def test_invoke_model_counts_in_headers_too(runtime: Any) -> None:
    headers = ask(runtime, "invoke_model")["ResponseMetadata"]["HTTPHeaders"]
    names = ("x-amzn-bedrock-input-token-count", "x-amzn-bedrock-output-token-count")
    assert tuple(int(headers[name]) for name in names) == USAGE


def test_max_tokens_cuts_the_answer(runtime: Any) -> None:
    body = json.load(ask(runtime, "invoke_model", body={"max_tokens": 5})["body"])
    assert (body["stop_reason"], body["usage"]["output_tokens"]) == ("max_tokens", 5)
    answer = ask(runtime, "converse", inferenceConfig={"maxTokens": 5})
    assert (answer["stopReason"], answer["usage"]["outputTokens"]) == ("max_tokens", 5)


def test_a_cached_beginning_is_written_once_and_then_read(runtime: Any, events: Any) -> None:
    content = [
        {"type": "text", "text": "x" * 400, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": QUESTION},
    ]
    body = {"messages": [{"role": "user", "content": content}]}
    usages = [json.load(ask(runtime, "invoke_model", body=body)["body"])["usage"] for _ in "12"]
    assert [usage["input_tokens"] for usage in usages] == [USAGE[0]] * 2
    assert [usage["cache_creation_input_tokens"] for usage in usages] == [100, 0]
    assert usages[0]["cache_creation"]["ephemeral_1h_input_tokens"] == 100
    assert [usage["cache_read_input_tokens"] for usage in usages] == [0, 100]
    assert events()[0]["additionalEventData"]["inputTokens"] == USAGE[0]
    blocks = [{"text": "y" * 80}, {"cachePoint": {"type": "default"}}, {"text": QUESTION}]
    messages = [{"role": "user", "content": blocks}]
    first, second = (ask(runtime, "converse", messages=messages)["usage"] for _ in "12")
    assert (first["cacheWriteInputTokens"], first["cacheReadInputTokens"]) == (20, 0)
    assert first["cacheDetails"] == [{"ttl": "5m", "inputTokens": 20}]
    assert (second["cacheWriteInputTokens"], second["cacheReadInputTokens"]) == (0, 20)
    assert second["totalTokens"] == second["inputTokens"] + second["outputTokens"] + 20


def test_the_event_says_who_called_with_what(
    aws: FakeAws, runtime: Any, client: Clients, events: Any
) -> None:
    ask(runtime, "converse")
    arn = aws.role(ACCOUNT, "path/App-BedrockRole")
    session = client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    other = client("bedrock-runtime", session=session, user_agent_extra="MobileApp/2.1.0")
    ask(other, "converse", modelId=SONNET)
    user, role = events()
    assert user["userIdentity"]["type"] == "IAMUser"
    assert user["userIdentity"]["userName"] == "tester"
    assert role["userIdentity"]["arn"].endswith(":assumed-role/App-BedrockRole/me")
    issuer = role["userIdentity"]["sessionContext"]["sessionIssuer"]
    assert (issuer["arn"], issuer["userName"]) == (arn, "App-BedrockRole")
    assert role["userAgent"].endswith("MobileApp/2.1.0")
    assert "MobileApp" not in user["userAgent"]
    assert role["requestParameters"]["modelId"] == SONNET


def test_events_come_late_and_may_be_lost(
    aws: FakeAws, runtime: Any, events: Any, clock: FakeClock
) -> None:
    aws.recording.delay = timedelta(minutes=10)
    aws.recording.lost = 1
    usage_of("converse_stream", ask(runtime, "converse_stream"))
    kept = ask(runtime, "converse")["ResponseMetadata"]["RequestId"]
    assert events() == []
    clock.advance(timedelta(minutes=10))
    assert [event["requestID"] for event in events()] == [kept]


def test_streams_may_leave_no_tokens(aws: FakeAws, runtime: Any, events: Any) -> None:
    aws.recording.has_service_events = False
    usage_of("converse_stream", ask(runtime, "converse_stream"))
    (event,) = events()
    assert (event["eventType"], "additionalEventData" in event) == ("AwsApiCall", False)


def test_cloudwatch_adds_up_what_was_used(aws: FakeAws, runtime: Any, client: Clients) -> None:
    for operation in OPERATIONS:
        arn = f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"
        usage_of(operation, ask(runtime, operation, modelId=arn))
    names = ("Invocations", "InputTokenCount", "OutputTokenCount")
    queries = [
        {
            "Id": f"q{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/Bedrock",
                    "MetricName": name,
                    "Dimensions": [{"Name": "ModelId", "Value": HAIKU}],
                },
                "Period": 3600,
                "Stat": "Sum",
            },
        }
        for number, name in enumerate(names)
    ]
    answer = client("cloudwatch").get_metric_data(
        MetricDataQueries=queries,
        StartTime=NOW - timedelta(hours=1),
        EndTime=NOW + timedelta(hours=1),
    )
    values = [result["Values"] for result in answer["MetricDataResults"]]
    assert values == [[4.0], [4.0 * USAGE[0]], [4.0 * USAGE[1]]]


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [("throttle", "ThrottlingException", 429), ("denied", "AccessDeniedException", 403)],
)
def test_refused_calls_are_recorded_as_failed(
    aws: FakeAws, runtime: Any, events: Any, kind: str, code: str, status: int
) -> None:
    aws.faults.append(Fault(kind, operation="ConverseStream"))
    with pytest.raises(ClientError) as caught:
        ask(runtime, "converse_stream")
    assert caught.value.response["Error"]["Code"] == code
    metadata = caught.value.response["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == status
    (event,) = events()
    assert (event["errorCode"], event["requestID"]) == (code, metadata["RequestId"])
    if kind == "denied":
        assert "bedrock:InvokeModelWithResponseStream" in str(caught.value)


def test_a_model_that_is_gone_and_a_bad_body(aws: FakeAws, runtime: Any, events: Any) -> None:
    aws.recording.gone.add(HAIKU)
    for more in ({}, {"modelId": SONNET, "body": {"anthropic_version": "1"}}):
        with pytest.raises(runtime.exceptions.ValidationException):
            ask(runtime, "invoke_model", **more)
    assert [event["errorCode"] for event in events()] == ["ValidationException"] * 2


@pytest.mark.parametrize("operation", STREAMS)
def test_a_stream_may_break_in_three_ways(aws: FakeAws, runtime: Any, operation: str) -> None:
    """With AWS's error, with a closed connection, and silently: botocore reports nothing."""
    key = "stream" if operation == "converse_stream" else "body"
    name = EVENT_NAMES[operation]
    aws.faults += [Fault("stream-error", name), Fault("reset-in-body", name), Fault("cut", name)]
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        list(ask(runtime, operation)[key])
    with pytest.raises(ProtocolError):  # botocore does not translate it
        list(ask(runtime, operation)[key])
    events = list(ask(runtime, operation)[key])
    whole = list(ask(runtime, operation)[key])
    assert 0 < len(events) < len(whole)


def test_a_call_may_never_be_answered(aws: FakeAws, client: Clients) -> None:
    aws.faults.append(Fault("hang", operation="Converse"))
    with pytest.raises(ReadTimeoutError):
        ask(client("bedrock-runtime", read_timeout=0.2), "converse")


def _document(action: str, **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": action} | more
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_roles_of_iam_are_let_in_late_and_may_what_their_policy_says(
    aws: FakeAws, client: Clients, clock: FakeClock
) -> None:
    iam, sts = client("iam"), client("sts")
    aws.accounts.role_delay = timedelta(seconds=10)
    trust = _document("sts:AssumeRole", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    arn = iam.create_role(RoleName="App", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    role = {"RoleArn": arn, "RoleSessionName": "me"}
    with pytest.raises(ClientError, match="AccessDenied"):
        sts.assume_role(**role)
    clock.advance(timedelta(seconds=10))
    with pytest.raises(ClientError, match="AccessDenied"):
        client("sts", account="444455556666").assume_role(**role)
    runtime = client("bedrock-runtime", session=sts.assume_role(**role)["Credentials"])
    with pytest.raises(runtime.exceptions.AccessDeniedException, match="bedrock:InvokeModel on"):
        ask(runtime, "converse")
    models = _document("bedrock:InvokeModel", Resource="arn:aws:bedrock:*::foundation-model/*")
    iam.put_role_policy(RoleName="App", PolicyName="models", PolicyDocument=models)
    assert ask(runtime, "converse")["usage"]
    for operation, model in (("converse", SONNET), ("converse_stream", HAIKU)):
        with pytest.raises(runtime.exceptions.AccessDeniedException):
            ask(runtime, operation, modelId=model)
