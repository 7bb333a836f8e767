"""What AWS records of a Bedrock runtime call: a CloudTrail event, and CloudWatch's totals.

The event is like those of public captures: the caller, the model and the user agent as sent, the
answer's request id, and, unless the call streams, the tokens in ``additionalEventData``. Its
``inputTokens`` excludes cached tokens; cache tokens are not in CloudTrail. A stream's event has no
tokens; a second one, the service event, has them if ``has_service_events`` is set.

A failed call also leaves an event, unless AWS does not know the caller. A stream that breaks is
recorded like a complete one: AWS does not document what it records.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from tests.aws.calls import AwsError, Call
from tests.aws.identity import Key

THROTTLED = "ThrottlingException"


class Usage(NamedTuple):
    """The tokens of a call; ``input``: neither read from the cache nor written to it."""

    input: int
    output: int
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    @property
    def cache_write(self) -> int:
        return self.cache_write_5m + self.cache_write_1h


class Recording:
    """How AWS records: ``delay`` until CloudTrail has an event; it loses the next ``lost`` events.

    A stream's service event arrives ``service_delay`` after its call's. Without ``has_tokens`` no
    event has tokens, as before 2026.
    """

    def __init__(self) -> None:
        self.delay = timedelta(0)
        self.lost = 0
        self.service_delay = timedelta(0)
        self.has_service_events = True
        self.has_tokens = True
        self.gone: set[str] = set()
        self.cached: set[tuple[str, str, str]] = set()

    def deliver(self, call: Call, record: dict[str, Any], later: timedelta = timedelta(0)) -> None:
        call.place.deliver(record, call.aws.clock.now() + self.delay + later)


def record_success(call: Call, usage: Usage) -> None:
    """Record a call that was answered."""
    recording = call.aws.recording
    _count(call, _totals(usage))
    if recording.lost > 0:
        recording.lost -= 1
        return
    tokens = {"inputTokens": usage.input, "outputTokens": usage.output}
    if not call.operation.has_event_stream_output:
        data = {"inferenceRegion": call.region} | (tokens if recording.has_tokens else {})
        recording.deliver(call, _event(call, additionalEventData=data))
        return
    recording.deliver(call, _event(call))
    if recording.has_service_events and recording.has_tokens:
        recording.deliver(call, _service_event(call, tokens), recording.service_delay)


def record_failure(call: Call, problem: AwsError) -> None:
    """Record a call that was refused."""
    key = call.aws.accounts.find(call.access_key)
    if key is None or key.is_expired:
        return
    is_throttled = problem.code == THROTTLED
    server, client = "InvocationServerErrors", "InvocationClientErrors"
    kind = server if problem.status >= 500 else client
    _count(call, {"InvocationThrottles" if is_throttled else kind: 1})
    words = {"errorCode": problem.code, "errorMessage": problem.message}
    call.aws.recording.deliver(call, _event(call, **words))


def _count(call: Call, totals: dict[str, int]) -> None:
    tail = call.params["modelId"].rpartition("/")[2]
    for name, value in totals.items():
        call.place.add_to_metric(
            "AWS/Bedrock", name, {"ModelId": tail}, call.aws.clock.now(), value
        )


def _totals(usage: Usage) -> dict[str, int]:
    cache = {
        "CacheReadInputTokenCount": usage.cache_read,
        "CacheWriteInputTokenCount": usage.cache_write,
    }
    always = {"Invocations": 1, "InputTokenCount": usage.input, "OutputTokenCount": usage.output}
    return always | {name: value for name, value in cache.items() if value}


def _event(call: Call, **fields: Any) -> dict[str, Any]:
    return {
        "eventVersion": "1.11",
        "userIdentity": user_identity(call),
        "eventTime": _utc(call.aws.clock.now()),
        "eventSource": "bedrock.amazonaws.com",
        "eventName": call.name,
        "awsRegion": call.region,
        "sourceIPAddress": "192.0.2.11",
        "userAgent": call.http.headers.get("User-Agent"),
        "requestParameters": _request_parameters(call),
        "responseElements": None,
        "requestID": call.request_id,
        "eventID": str(uuid4()),
        "readOnly": True,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": call.account,
        "eventCategory": "Management",
    } | fields


def _service_event(call: Call, tokens: dict[str, int]) -> dict[str, Any]:
    entries = {"inferenceRegion": call.region} | {k: str(v) for k, v in tokens.items()}
    event = _event(
        call,
        eventType="AwsServiceEvent",
        requestParameters=None,
        resources=[{"type": "AWS::Bedrock::Model", "ARN": _model_arn(call)}],
        serviceEventDetails={
            "parentRequestId": call.request_id,
            "AdditionalEventData": {"additionalEntries": entries},
        },
    )
    del event["requestID"]
    return event


def _request_parameters(call: Call) -> dict[str, Any]:
    shown = ("modelId", "inferenceConfig")
    return {key: call.params[key] for key in shown if key in call.params}


def _model_arn(call: Call) -> str:
    model_id = call.params["modelId"]
    if model_id.startswith("arn:"):
        return str(model_id)
    return f"arn:aws:bedrock:{call.region}::foundation-model/{model_id}"


def user_identity(call: Call) -> dict[str, Any]:
    """Return the caller's identity as CloudTrail writes it."""
    key = call.aws.accounts.find(call.access_key)
    if key is None:
        raise KeyError(call.access_key)
    common = {"arn": key.arn, "accountId": key.account, "accessKeyId": call.access_key}
    if key.is_session:
        return {"type": "AssumedRole"} | common | _session(key)
    name = key.arn.rpartition("/")[2]
    return {"type": "IAMUser", "principalId": "AIDAFAKE", "userName": name} | common


def _session(key: Key) -> dict[str, Any]:
    issuer = {
        "type": "Role",
        "principalId": "AROAFAKE",
        "arn": key.role_arn,
        "accountId": key.account,
        "userName": key.role_arn.rpartition("/")[2],
    }
    attributes = {"creationDate": "2026-11-01T00:00:00Z", "mfaAuthenticated": "false"}
    context = {"sessionIssuer": issuer, "attributes": attributes}
    principal = f"AROAFAKE:{key.arn.rpartition('/')[2]}"
    return {"principalId": principal, "sessionContext": context}


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
