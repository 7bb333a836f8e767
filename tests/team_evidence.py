"""What says which team a call belongs to: sessions, their tags, tagged profiles."""

from __future__ import annotations

from typing import Any

from tests.support import ACCOUNT, HAIKU, call, role_identity, uuid_of

PROFILE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/a1b2c3"


def session_call(number: int, key: str = "ASIAONE", **fields: Any) -> dict[str, Any]:
    identity = {**role_identity("gateway", "job"), "accessKeyId": key}
    return call(number, userIdentity=identity, tokens=(100 + number, 10), **fields)


def assumed(
    number: int, made: str, by: str | None = None, name: str = "AssumeRole", **parameters: Any
) -> dict[str, Any]:
    """Return the event of STS that made an access key, as CloudTrail writes it."""
    caller = {"type": "AWSService", "invokedBy": "lambda.amazonaws.com"}
    if by is not None:
        caller = {**role_identity("first", "job"), "accessKeyId": by}
    return {
        "eventVersion": "1.08",
        "userIdentity": caller,
        "eventTime": "2026-09-14T08:00:00Z",
        "eventSource": "sts.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "requestParameters": {"roleArn": "arn:aws:iam::111122223333:role/gateway", **parameters},
        "responseElements": {"credentials": {"accessKeyId": made, "sessionToken": "..."}},
        "eventID": uuid_of(9000 + number),
        "eventType": "AwsApiCall",
        "recipientAccountId": ACCOUNT,
    }


def tags(**values: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def profile(**values: str) -> dict[str, Any]:
    return {
        "inferenceProfileArn": PROFILE,
        "inferenceProfileId": "a1b2c3",
        "inferenceProfileName": "chat",
        "type": "APPLICATION",
        "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"}],
        "tags": values,
    }
