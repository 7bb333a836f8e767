"""Made-up calls of one account: the workload of every benchmark here.

60 users over 25 applications (108 pairs), 8 models and 2 regions: 1,728 combinations, each with and
without tokens, because half of the calls report theirs. Calls are spread evenly over time; the
numbers of session names, keys and agents are those of a real account.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from etl.times import utc_text

ACCOUNT = "111122223333"
START = datetime(2026, 8, 1, tzinfo=UTC)
DAYS = 90
MODELS = (
    "anthropic.claude-3-haiku-20240307-v1:0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "global.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-opus-4-5-20251101-v1:0",
    "amazon.nova-lite-v1:0",
    "amazon.nova-micro-v1:0",
    "us.amazon.nova-pro-v1:0",
)
REGIONS = ("us-east-1", "us-west-2")
OPERATIONS = ("InvokeModel", "Converse", "ConverseStream", "InvokeModelWithResponseStream")
# Two applications for 48 of the users, one for the rest.
USES = tuple(
    (user, (user * 7 + extra * 11) % 25)
    for user in range(60)
    for extra in range(2 if user < 48 else 1)
)


class Call(NamedTuple):
    """One call, independent of any log format; ``tokens`` is (input, output) or None."""

    moment: datetime
    user: int
    application: int
    model: str
    region: str
    operation: str
    event_id: str
    request_id: str
    error_code: str | None
    tokens: tuple[int, int] | None


def calls(count: int, *, days: float = DAYS, seed: int = 1) -> Iterator[Call]:
    """Yield ``count`` calls spread evenly over the first ``days``, ordered by time."""
    rng = random.Random(seed)
    step = days * 86_400 / count
    for number in range(count):
        user, application = rng.choice(USES)
        yield Call(
            moment=START + timedelta(seconds=int(number * step)),
            user=user,
            application=application,
            model=rng.choice(MODELS),
            region=rng.choice(REGIONS),
            operation=rng.choice(OPERATIONS),
            event_id=_uuid(rng),
            request_id=_uuid(rng),
            error_code="ThrottlingException" if rng.random() < 0.02 else None,
            tokens=(rng.randrange(100, 9_000), rng.randrange(10, 900))
            if rng.random() < 0.5
            else None,
        )


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128)))


def cloudtrail_record(call: Call) -> dict[str, Any]:
    """Return the call as CloudTrail writes it, with every usual field."""
    role = f"team-{call.user}-role"
    # An instance's credentials change every six hours.
    renewed = call.moment.replace(hour=call.moment.hour // 6 * 6, minute=0, second=0)
    key = f"ASIA{call.user:02}{renewed:%m%d%H}EXAMPLE"
    session = f"i-{call.user:017x}"
    record: dict[str, Any] = {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": f"AROAEXAMPLEEXAMPLE{call.user:02}:{session}",
            "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}",
            "accountId": ACCOUNT,
            "accessKeyId": key,
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": f"AROAEXAMPLEEXAMPLE{call.user:02}",
                    "arn": f"arn:aws:iam::{ACCOUNT}:role/service/{role}",
                    "accountId": ACCOUNT,
                    "userName": role,
                },
                "attributes": {
                    "creationDate": utc_text(renewed),
                    "mfaAuthenticated": "false",
                },
                "ec2RoleDelivery": "2.0",
            },
        },
        "eventTime": utc_text(call.moment),
        "eventSource": "bedrock.amazonaws.com",
        "eventName": call.operation,
        "awsRegion": call.region,
        "sourceIPAddress": f"10.{call.user}.{call.application}.7",
        "userAgent": (
            "Boto3/1.42.97 md/Botocore#1.42.97 md/awscrt#0.31.1 ua/2.1 os/linux#6.1.172 "
            "md/arch#x86_64 lang/python#3.12.9 md/pyimpl#CPython m/D,b,Z cfg/retry-mode#standard "
            f"Botocore/1.42.97 App{call.application}/1.{call.application % 3}"
        ),
        "requestParameters": {"modelId": call.model, "inferenceConfig": {"maxTokens": 4096}},
        "responseElements": None,
        "additionalEventData": {"inferenceRegion": "us-east-2"},
        "requestID": call.request_id,
        "eventID": call.event_id,
        "readOnly": True,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": f"bedrock-runtime.{call.region}.amazonaws.com",
        },
    }
    if call.error_code:
        record["errorCode"] = call.error_code
        record["errorMessage"] = "Too many requests, please wait before trying again."
        del record["additionalEventData"]
    elif call.tokens:
        record["additionalEventData"] |= {
            "inputTokens": call.tokens[0],
            "outputTokens": call.tokens[1],
        }
    return record


# Most of a trail consists of these: source, name, parameters.
_OTHER_SERVICES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("sts.amazonaws.com", "AssumeRole",
     {"roleArn": "arn:aws:iam::111122223333:role/deploy", "roleSessionName": "deploy"}),
    ("s3.amazonaws.com", "GetBucketAcl", {"bucketName": "example-logs", "Host": "s3.example"}),
    ("kms.amazonaws.com", "Decrypt", {"encryptionContext": {"aws:s3:arn": "arn:aws:s3:::logs"}}),
    ("ec2.amazonaws.com", "DescribeInstances", {"maxResults": 50, "filterSet": {}}),
    ("logs.amazonaws.com", "CreateLogStream", {"logGroupName": "/app", "logStreamName": "x"}),
)  # fmt: skip


def other_record(call: Call, rng: random.Random) -> dict[str, Any]:
    """Return an event of another service, made by the same people."""
    source, name, parameters = rng.choice(_OTHER_SERVICES)
    return cloudtrail_record(call) | {
        "eventSource": source,
        "eventName": name,
        "requestParameters": parameters,
        "additionalEventData": {"SignatureVersion": "SigV4"},
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": f"{source.split('.')[0]}.{call.region}.amazonaws.com",
        },
    }
