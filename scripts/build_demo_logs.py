"""Write the demo's bundled data: ``python -m scripts.build_demo_logs [FOLDER]``.

The tables at the top define everything in the demo: who calls what, how often, how large the calls
are, and in which of CloudTrail's forms their tokens are reported, if at all. Each sender has its
own random generator, seeded with its name, so editing one sender does not change the calls of the
others. There is no clock. CloudWatch's totals are summed from the true tokens of all successful
calls, including those without tokens in their events: the estimate must recover these.

Calls to refer to are in ``SPECIAL_CALLS``, by name, and their related events in ``SPECIAL_EVENTS``;
``special_event_id(name)`` is the event id of either.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil
import sys
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from etl.demo import DATA, NEWEST_EVENT, compress

Json = dict[str, Any]

LAST_DAY = NEWEST_EVENT.date()
DAYS = tuple(LAST_DAY - timedelta(days=back) for back in range(20, -1, -1))

MAIN, SECOND = "111122223333", "444455556666"
EAST, WEST = "us-east-1", "us-west-2"

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
US_SONNET, GLOBAL_SONNET = f"us.{SONNET}", f"global.{SONNET}"
US_SONNET_ARN = f"arn:aws:bedrock:{WEST}:{MAIN}:inference-profile/{US_SONNET}"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
HAIKU_ARN = f"arn:aws:bedrock:{EAST}::foundation-model/{HAIKU}"
US_HAIKU_45 = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA_LITE, US_NOVA_PRO = "amazon.nova-lite-v1:0", "us.amazon.nova-pro-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
MANTLE_OPUS = "anthropic.claude-opus-4-7"
UNPRICED_MODEL = "acme.internal-model-v1:0"

BOTO3 = (
    "Boto3/1.42.97 md/Botocore#1.42.97 ua/2.1 os/linux#6.1.172-216.329.amzn2023.x86_64 "
    "md/arch#x86_64 lang/python#3.12.8 md/pyimpl#CPython m/D,b,Z cfg/retry-mode#legacy "
)
STOCK_BOTO3 = f"{BOTO3}Botocore/1.42.97"
AWS_CLI = (
    "aws-cli/2.32.3 md/awscrt#0.28.4 ua/2.1 os/macos#24.6.0 md/arch#arm64 lang/python#3.13.9 "
    "md/pyimpl#CPython m/Z,g,b,E cfg/retry-mode#standard md/installer#exe md/prompt#off "
)
JAVASCRIPT = (
    "aws-sdk-js/3.936.0 ua/2.1 os/darwin#24.6.0 lang/js md/nodejs#22.17.0 "
    "api/bedrock-runtime#3.936.0 m/E,N,e"
)
CLAUDE_CLI = "claude-cli/2.0.44 (external, cli)"
HOSTILE_AGENT = 'Mozilla/5.0 "><script>alert(1)</script>'


@dataclass(frozen=True)
class Caller:
    """Who signs the requests; ``session`` is set for roles and federated users only."""

    kind: str
    name: str
    session: str = ""
    account: str = MAIN
    runs_on: str = ""


def _app_role(application: str) -> Caller:
    return Caller("Role", f"{application}-BedrockRole", application.lower())


def _person(name: str, account: str = MAIN) -> Caller:
    role = "AWSReservedSSO_BedrockUser_1b74cd717d47002b"
    return Caller("Role", role, f"{name}@example.com", account)


EC2_BACKEND = Caller("Role", "backend-api-ec2", "i-0a1b2c3d4e5f67890", runs_on="ec2")
ECS_PORTAL = Caller("Role", "web-portal-task", "9f3c5a7be1d24860b5d7c2e94a10f683", runs_on="ecs")
LAMBDA_BACKEND = Caller("Role", "backend-api-lambda", "backend-summaries", runs_on="lambda")
MOBILE_USER = Caller("IAMUser", "mobile-app")
API_KEY_USER = Caller("IAMUser", "BedrockAPIKey-7k2m")


@dataclass(frozen=True)
class Traffic:
    """One sender's calls. One day uses every other one of ``hours``, the next day the others.

    ``forms`` lists how token counts are reported; one is picked for each call:
    ``additional`` (and ``additional-text``, numbers as strings), ``usage`` and ``counts`` (the
    older forms in responseElements), ``service-map`` and ``service-list`` (a second event), and
    ``none``. Calls from the hour ``cached_from`` on use ``cache_tokens``.
    """

    name: str
    caller: Caller
    user_agent: str
    region: str
    model_id: str
    event_name: str
    forms: tuple[str, ...] = ("additional",)
    input_tokens: int = 0
    output_tokens: int = 0
    cache_tokens: int = 0
    cached_from: int = 14
    weekday_calls: float = 0
    weekend_calls: float = 0
    hours: tuple[int, ...] = (9, 11, 15, 14)
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    only_on: date | None = None
    growth: float = 1
    failing: float = 0.02
    bearer_token: bool = False
    vpc_endpoint: bool = False


# A few hours, shared by the senders of one model, keep the metrics small.
HAIKU_HOURS = (8, 10, 11, 13, 14, 16)
WEST_HOURS = (10, 12, 15, 14)
BATCH_HOURS = (8, 17)
WEEKEND_HOURS = (10, 15)

SPIKE_DAY = date(2026, 11, 11)

# fmt: off
TRAFFIC: tuple[Traffic, ...] = (
    Traffic(
        "customer-service", _app_role("CustomerServiceApp"), STOCK_BOTO3, EAST, HAIKU, "Converse",
        input_tokens=2_600, output_tokens=420, weekday_calls=18, weekend_calls=6, hours=HAIKU_HOURS,
    ),
    Traffic(
        "escalations", _app_role("CustomerServiceApp"), STOCK_BOTO3, EAST, US_SONNET, "Converse",
        input_tokens=28_000, output_tokens=2_100, weekday_calls=4,
    ),
    Traffic(
        "chatbot", _app_role("ChatbotApp"), STOCK_BOTO3, WEST, US_NOVA_PRO, "ConverseStream",
        forms=("service-map", "none", "none"), input_tokens=19_000, output_tokens=1_600,
        weekday_calls=7, hours=WEST_HOURS, growth=4,
    ),
    Traffic(
        "analysis", _app_role("DataAnalysisApp"), STOCK_BOTO3, EAST, US_SONNET, "InvokeModel",
        input_tokens=130_000, output_tokens=6_200, weekday_calls=8, weekend_calls=1, failing=0.04,
    ),
    Traffic(
        "analysis-spike", _app_role("DataAnalysisApp"), STOCK_BOTO3, EAST, US_SONNET, "InvokeModel",
        input_tokens=210_000, output_tokens=9_400, weekday_calls=44, only_on=SPIKE_DAY,
        failing=0.06,
    ),
    Traffic(
        "documents", _app_role("DocumentProcessorApp"), STOCK_BOTO3, EAST, NOVA_LITE, "Converse",
        forms=("additional-text",), input_tokens=46_000, output_tokens=2_300,
        weekday_calls=10, weekend_calls=5, hours=BATCH_HOURS,
    ),
    Traffic(
        "embeddings", _app_role("DocumentProcessorApp"), STOCK_BOTO3, EAST, TITAN, "InvokeModel",
        input_tokens=3_800, weekday_calls=6, hours=BATCH_HOURS, failing=0,
    ),
    Traffic(
        "mobile", MOBILE_USER, "MobileApp/2.1.0", EAST, HAIKU, "InvokeModel",
        forms=("none", "none", "none", "usage"), input_tokens=1_400, output_tokens=310,
        weekday_calls=10, weekend_calls=5, hours=HAIKU_HOURS,
    ),
    Traffic(
        "portal", ECS_PORTAL, f"{STOCK_BOTO3} WebPortal/1.5.3", WEST, US_SONNET_ARN,
        "InvokeModelWithResponseStream", forms=("service-list", "none", "none", "none"),
        input_tokens=52_000, output_tokens=2_600, weekday_calls=8, hours=(14, 15, 16, 18),
    ),
    Traffic(
        "backend", EC2_BACKEND, f"{STOCK_BOTO3} BackendAPI/3.0.0", EAST, HAIKU_ARN, "Converse",
        input_tokens=3_100, output_tokens=520, weekday_calls=6, weekend_calls=2, hours=HAIKU_HOURS,
        vpc_endpoint=True,
    ),
    Traffic(
        "backend-lambda", LAMBDA_BACKEND, f"{BOTO3}app/BackendAPI Botocore/1.42.97", EAST,
        NOVA_LITE, "InvokeModel", forms=("counts", "additional"), input_tokens=5_200,
        output_tokens=640, weekday_calls=3, hours=BATCH_HOURS,
    ),
    Traffic(
        "alice", _person("alice"), JAVASCRIPT, EAST, GLOBAL_SONNET, "InvokeModelWithResponseStream",
        forms=("none", "none", "service-map"), input_tokens=34_000, output_tokens=6_100,
        cache_tokens=160_000, weekday_calls=8, hours=(9, 11, 14, 16),
    ),
    Traffic(
        "dave", _person("dave"), CLAUDE_CLI, EAST, GLOBAL_SONNET, "InvokeModelWithResponseStream",
        forms=("none",), input_tokens=25_000, output_tokens=4_700, cache_tokens=120_000,
        weekday_calls=3, hours=(9, 11, 14, 16),
    ),
    Traffic(
        "bob", _person("bob"), STOCK_BOTO3, WEST, US_NOVA_PRO, "Converse",
        input_tokens=14_000, output_tokens=1_400, weekday_calls=3, hours=WEST_HOURS, failing=0.15,
    ),
    Traffic(
        "carol", _person("carol"), f"{AWS_CLI}md/command#bedrock-runtime.converse", EAST, US_SONNET,
        "Converse", forms=("additional", "none"), input_tokens=41_000, output_tokens=2_900,
        weekday_calls=2,
    ),
    Traffic(
        "api-key", API_KEY_USER, STOCK_BOTO3, WEST, US_NOVA_PRO, "Converse", input_tokens=9_000,
        output_tokens=900, weekday_calls=2, hours=WEST_HOURS, bearer_token=True,
    ),
    Traffic(
        "research", _person("data-team", SECOND), STOCK_BOTO3, EAST, HAIKU, "InvokeModel",
        forms=("additional", "none"), input_tokens=12_000, output_tokens=1_900, weekday_calls=4,
        hours=(10, 14), weekdays=(1,),
    ),
    Traffic(
        "internal-model", _app_role("DataAnalysisApp"), STOCK_BOTO3, EAST, UNPRICED_MODEL,
        "InvokeModel", input_tokens=4_400, output_tokens=600, weekday_calls=4, hours=(12, 12),
        weekdays=(1, 3),
    ),
    Traffic(
        "mantle", Caller("IAMUser", "ops-automation"), "OpenAI/Python 1.50.0", EAST, MANTLE_OPUS,
        "CreateInference", forms=("none",), input_tokens=11_000, output_tokens=1_200,
        weekday_calls=3, hours=(13, 13), weekdays=(0, 2, 4), bearer_token=True,
    ),
)
# fmt: on

# Coding assistants: most of their cost is cached tokens, which CloudTrail never tells. What each
# person's calls read differs by factors, and CloudWatch's short periods show by how much.
ASSISTANTS = tuple(
    Traffic(
        name,
        _person(name),
        CLAUDE_CLI,
        WEST,
        US_HAIKU_45,
        "InvokeModelWithResponseStream",
        forms=("additional", "none"),
        input_tokens=cache_tokens // 20,
        output_tokens=600 + cache_tokens // 100,
        cache_tokens=cache_tokens,
        cached_from=0,
        weekday_calls=weekday_calls,
        hours=hours,
    )
    for name, cache_tokens, weekday_calls, hours in (
        ("erin", 12_000, 30, (9, 10, 11, 14, 15, 16)),
        ("frank", 35_000, 24, (10, 11, 13, 14, 16, 17)),
        ("grace", 90_000, 18, (9, 10, 13, 14, 15, 16)),
        ("heidi", 160_000, 14, (8, 9, 11, 14, 15, 17)),
        ("judy", 24_000, 26, (9, 11, 13, 15, 16, 17)),
    )
)
TRAFFIC += ASSISTANTS
BY_NAME = {traffic.name: traffic for traffic in TRAFFIC}


@dataclass(frozen=True)
class Call:
    """One call with its true tokens, whatever its event reports.

    ``special`` is its name in ``SPECIAL_CALLS``, if it has one.
    """

    traffic: Traffic
    time: datetime
    event_id: str
    request_id: str
    form: str = "none"
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    error: tuple[str, str] | None = None
    special: str = ""


def stable_id(name: str) -> str:
    """Return a uuid that depends only on ``name``."""
    return str(uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4))


def special_event_id(name: str) -> str:
    """Return the event id of a call in ``SPECIAL_CALLS``, or of an event in ``SPECIAL_EVENTS``."""
    return stable_id(f"event {name}")


def _special(
    name: str, traffic: Traffic, time: str, tokens: tuple[int, int], form: str = "additional"
) -> Call:
    return Call(
        traffic=traffic,
        time=datetime.fromisoformat(f"2026-11-{time}+00:00"),
        event_id=special_event_id(name),
        request_id=stable_id(f"request {name}"),
        form=form,
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        special=name,
    )


SUPPORT, DOCUMENTS, RESEARCH = (
    BY_NAME[name] for name in ("customer-service", "documents", "research")
)
ROOT = replace(SUPPORT, caller=Caller("Root", "root"), user_agent=AWS_CLI.strip())
SERVICE = Caller("AWSService", "bedrock.amazonaws.com")
FEDERATED = Caller("FederatedUser", "partner-broker", "partner-reports")
ATTACKER = replace(BY_NAME["mobile"], user_agent=HOSTILE_AGENT, event_name="Converse")
GLOBAL_API_KEY = replace(BY_NAME["api-key"], region=EAST, model_id=GLOBAL_SONNET)

# fmt: off
_SPECIAL = (
    _special("root", ROOT, "06T09:12:44", (310, 95)),
    _special("aws-service", replace(DOCUMENTS, caller=SERVICE, user_agent=SERVICE.name),
             "10T08:31:07", (7_200, 410)),
    _special("federated-user", replace(SUPPORT, caller=FEDERATED), "12T13:20:15", (5_050, 870)),
    _special("fractional-second", BY_NAME["bob"], "05T10:15:30.123", (8_100, 940)),
    _special("hostile-user-agent", ATTACKER, "21T17:31:02", (640, 120)),
    _special("long-context", BY_NAME["analysis"], "18T14:42:19", (412_350, 7_940)),
    _special("service-event-first", BY_NAME["alice"], "05T12:58:30", (18_400, 3_720),
             "service-map"),
    # Also delivered to a second account, with another event id: the caller's own copy counts.
    _special("copied-call", replace(RESEARCH, caller=_person("data-team")), "10T10:26:51",
             (9_400, 1_350)),
    _special("vpc-endpoint", BY_NAME["backend"], "17T11:05:33", (2_950, 480)),
    _special("bearer-token", GLOBAL_API_KEY, "16T09:40:08", (5_300, 610)),
    _special("history-and-trail", SUPPORT, "21T17:12:55", (2_210, 390)),
    _special("history-only", BY_NAME["mobile"], "21T17:20:09", (1_180, 260), "usage"),
    _special("newest", BY_NAME["carol"], "21T17:53:40", (27_600, 2_050)),
)
# fmt: on
SPECIAL_CALLS = {call.special: call for call in _SPECIAL}

# The events related to them that are not calls.
SPECIAL_EVENTS = (
    "service-event-first/service", "copied-call/copy", "vpc-endpoint/network-activity",
)  # fmt: skip

ERRORS = (
    ("ThrottlingException", "Too many requests, please wait before trying again."),
    (
        "AccessDeniedException",
        "User: {arn} is not authorized to perform: bedrock:InvokeModel on resource: {model_arn} "
        "because no identity-based policy allows the bedrock:InvokeModel action",
    ),
    ("ValidationException", "Input is too long for requested model."),
    ("ThrottlingException", "Too many tokens, please wait before trying again."),
    (
        "ResourceNotFoundException",
        "Model use case details have not been submitted for this account.",
    ),
)

# (event source, event name, request parameters): neither calls of a model nor failures to read.
OTHER_EVENTS = (
    ("bedrock.amazonaws.com", "ListFoundationModels", None),
    ("bedrock.amazonaws.com", "GetInferenceProfile", {"inferenceProfileIdentifier": US_SONNET}),
    ("sts.amazonaws.com", "GetCallerIdentity", None),
    ("bedrock.amazonaws.com", "ListInferenceProfiles", None),
    ("s3.amazonaws.com", "ListBuckets", {"Host": "s3.amazonaws.com"}),
    ("bedrock.amazonaws.com", "GetFoundationModelAvailability", {"modelId": HAIKU}),
)

# Who pays: what a broker of credentials tags the sessions of these roles with.
TEAMS = {
    "CustomerServiceApp": "Customer Care",
    "ChatbotApp": "Customer Care",
    "DataAnalysisApp": "Analytics",
    "DocumentProcessorApp": "Back Office",
}
BROKER = Caller("IAMUser", "credential-broker")

# CloudWatch's totals beyond the calls: (region, model, hour) -> invocations, input, output. The
# first two hours have no calls; in the last one every call has its tokens, and a rest remains.
UNEXPLAINED = {
    (WEST, US_SONNET, "2026-11-09T02"): (6, 310_500, 14_200),
    (EAST, HAIKU, "2026-11-14T03"): (40, 118_000, 21_400),
    (EAST, NOVA_LITE, "2026-11-17T17"): (3, 96_000, 5_100),
}
# (region, model, day): calls, but nothing from CloudWatch.
WITHOUT_METRICS = {
    (WEST, US_SONNET, date(2026, 11, 4)),
    (WEST, US_NOVA_PRO, date(2026, 11, 10)),
    (EAST, GLOBAL_SONNET, date(2026, 11, 13)),
}
# (region, day), and models: the same totals, in 300 s periods.
FIVE_MINUTE_PERIODS = {(WEST, date(2026, 11, 19))}
FIVE_MINUTE_MODELS = {US_HAIKU_45}

# Days of us-east-1 with two files: a service event can be in an earlier file than its call.
SPLIT_DAYS = (date(2026, 11, 5), date(2026, 11, 12))
SPLIT_HOUR = 13
LATE_CALL = "service-event-first"
REDELIVERED = (EAST, date(2026, 11, 13), 25)
# The last minutes come from Event history; some of them are also in a trail file.
HISTORY_FROM = datetime(2026, 11, 21, 17, 10, tzinfo=UTC)
TRAIL_UNTIL = datetime(2026, 11, 21, 17, 15, tzinfo=UTC)
# This day of the second account comes as JSON lines, as another system would export them.
EXPORTED = (SECOND, EAST, date(2026, 11, 17), 0)

BUSYNESS = {8: 1, 9: 3, 10: 4, 11: 4, 12: 1, 13: 2, 14: 4, 15: 4, 16: 3, 17: 2, 18: 1}
INFERENCE_REGIONS = (EAST, "us-east-2", WEST, "eu-west-1", "ap-northeast-1")


# Calls


def routine_calls() -> Iterator[Call]:
    """Yield every ordinary call, sender by sender, each in order of time."""
    for traffic in TRAFFIC:
        rng = random.Random(f"bedrock demo: {traffic.name}")
        for day in DAYS:
            times = sorted(_moment(traffic, day, rng) for _ in range(_calls_on(traffic, day, rng)))
            yield from (_call(traffic, time, rng) for time in times)


def _calls_on(traffic: Traffic, day: date, rng: random.Random) -> int:
    if day.weekday() not in traffic.weekdays or traffic.only_on not in (None, day):
        return 0
    typical = traffic.weekend_calls if day.weekday() >= 5 else traffic.weekday_calls
    progress = DAYS.index(day) / (len(DAYS) - 1)
    return int(typical * (1 + (traffic.growth - 1) * progress) * (0.8 + 0.4 * rng.random()) + 0.5)


def _moment(traffic: Traffic, day: date, rng: random.Random) -> datetime:
    hours = WEEKEND_HOURS if day.weekday() >= 5 else traffic.hours[day.toordinal() % 2 :: 2]
    hour = rng.choices(hours, [BUSYNESS[hour] for hour in hours])[0]
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC) + timedelta(
        seconds=int(rng.random() * 3600)
    )


def _call(traffic: Traffic, time: datetime, rng: random.Random) -> Call:
    event_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    request_id = _request_id(traffic, rng)
    if rng.random() < traffic.failing:
        error = ERRORS[int(rng.random() * len(ERRORS))]
        return Call(traffic, time, event_id, request_id, error=error)
    # A long session has something to read from the cache by the afternoon.
    cached = traffic.cache_tokens if time.hour >= traffic.cached_from else 0
    return Call(
        traffic,
        time,
        event_id,
        request_id,
        form=traffic.forms[int(rng.random() * len(traffic.forms))],
        input_tokens=_size(traffic.input_tokens, rng),
        output_tokens=_size(traffic.output_tokens, rng),
        cache_read_tokens=_size(cached, rng),
        cache_write_tokens=_size(cached // 12, rng),
    )


def _request_id(traffic: Traffic, rng: random.Random) -> str:
    """Return a time-based uuid, with one host for each sender: half of it compresses away."""
    host = stable_id(f"host {traffic.name}")[19:]
    return f"{rng.getrandbits(32):08x}-{rng.getrandbits(16):04x}-11f1-{host}"


def _size(typical: int, rng: random.Random) -> int:
    """Return a size near ``typical``, sometimes twice as large."""
    return int(typical * rng.triangular(0.3, 2.2, 0.7))


# Events


def user_identity(caller: Caller, day: date) -> Json:
    """Return CloudTrail's ``userIdentity`` for a caller."""
    if caller.kind == "AWSService":
        return {"type": "AWSService", "invokedBy": caller.name}
    if caller.kind == "Root":
        return _root_identity(caller)
    if caller.kind == "IAMUser":
        return _user(caller) | {"accessKeyId": _key("AKIA", caller), "userName": caller.name}
    if caller.kind == "FederatedUser":
        return _federated_identity(caller, day)
    return _role_identity(caller, day)


def _key(prefix: str, caller: Caller) -> str:
    """Return a key or principal id that is marked as an example."""
    digest = hashlib.sha256(f"{caller.name} {caller.session}".encode()).digest()
    return f"{prefix}{base64.b32encode(digest).decode()[:9]}EXAMPLE"


def _user(caller: Caller) -> Json:
    return {
        "type": "IAMUser",
        "principalId": _key("AIDA", caller),
        "arn": f"arn:aws:iam::{caller.account}:user/{caller.name}",
        "accountId": caller.account,
    }


def _root_identity(caller: Caller) -> Json:
    return {
        "type": "Root",
        "principalId": caller.account,
        "arn": f"arn:aws:iam::{caller.account}:root",
        "accountId": caller.account,
        "accessKeyId": _key("ASIA", caller),
    }


def _federated_identity(caller: Caller, day: date) -> Json:
    return {
        "type": "FederatedUser",
        "principalId": f"{caller.account}:{caller.session}",
        "arn": f"arn:aws:sts::{caller.account}:federated-user/{caller.session}",
        "accountId": caller.account,
        "accessKeyId": _key("ASIA", caller),
        "sessionContext": _session(_user(caller) | {"userName": caller.name}, caller, day),
    }


def _role_identity(caller: Caller, day: date) -> Json:
    principal = _key("AROA", Caller("Role", caller.name))
    role = f"arn:aws:sts::{caller.account}:assumed-role/{caller.name}"
    identity: Json = {
        "type": "AssumedRole",
        "principalId": f"{principal}:{caller.session}",
        "arn": f"{role}/{caller.session}",
        "accountId": caller.account,
        "accessKeyId": _key("ASIA", caller),
        "sessionContext": _session(_issuer(caller, principal), caller, day),
    }
    if caller.runs_on == "ec2":
        identity["sessionContext"]["ec2RoleDelivery"] = "2.0"
    if caller.runs_on == "lambda":
        function = f"arn:aws:lambda:{EAST}:{caller.account}:function:{caller.session}"
        identity["inScopeOf"] = {
            "issuerType": "AWS::Lambda::Function",
            "credentialsIssuedTo": function,
        }
    return identity


def _issuer(caller: Caller, principal: str) -> Json:
    is_sso = caller.name.startswith("AWSReservedSSO_")
    path = "aws-reserved/sso.amazonaws.com/us-east-2/" if is_sso else ""
    return {
        "type": "Role",
        "principalId": principal,
        "arn": f"arn:aws:iam::{caller.account}:role/{path}{caller.name}",
        "accountId": caller.account,
        "userName": caller.name,
    }


def _session(issuer: Json, caller: Caller, day: date) -> Json:
    minute = hashlib.sha256(caller.name.encode()).digest()[0] % 60
    return {
        "sessionIssuer": issuer,
        "attributes": {
            "creationDate": f"{day}T07:{minute:02}:31Z",
            "mfaAuthenticated": "false",
        },
    }


def time_text(moment: datetime) -> str:
    """Return a time as CloudTrail writes it: whole seconds, unless there are milliseconds."""
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def call_event(call: Call) -> Json:
    """Return the event of a call, its fields in CloudTrail's order."""
    traffic, is_mantle = call.traffic, call.traffic.event_name == "CreateInference"
    return {
        **_head(call),
        **_error(call),
        "requestParameters": _request_parameters(traffic),
        "responseElements": _response_elements(call),
        **_additional_event_data(call),
        "requestID": call.request_id,
        "eventID": call.event_id,
        "readOnly": not is_mantle,
        **(_mantle_project() if is_mantle else {}),
        "eventType": "AwsApiCall",
        "managementEvent": not is_mantle,
        "recipientAccountId": traffic.caller.account,
        **_delivery(call),
        "eventCategory": "Data" if is_mantle else "Management",
        **_tls(traffic, is_mantle),
    }


def _head(call: Call) -> Json:
    traffic = call.traffic
    service = "bedrock-mantle" if traffic.event_name == "CreateInference" else "bedrock"
    return {
        "eventVersion": "1.11",
        "userIdentity": user_identity(traffic.caller, call.time.date()),
        "eventTime": time_text(call.time),
        "eventSource": f"{service}.amazonaws.com",
        "eventName": traffic.event_name,
        "awsRegion": traffic.region,
        "sourceIPAddress": _address(traffic),
        "userAgent": traffic.user_agent,
    }


def _address(traffic: Traffic) -> str:
    """Return a private address behind an endpoint, otherwise one reserved for documentation."""
    if traffic.caller.kind == "AWSService":
        return traffic.caller.name
    number = hashlib.sha256(traffic.caller.session.encode()).digest()[0]
    return f"172.31.93.{number}" if traffic.vpc_endpoint else f"203.0.113.{number}"


def _error(call: Call) -> Json:
    if call.error is None:
        return {}
    code, message = call.error
    arn = user_identity(call.traffic.caller, call.time.date()).get("arn")
    message = message.format(arn=arn, model_arn=_model_arn(call.traffic))
    return {"errorCode": code, "errorMessage": message}


def _tail(traffic: Traffic) -> str:
    """Return the model id as CloudWatch names it: without an ARN, the geo prefix kept."""
    return traffic.model_id.rpartition("/")[2]


def _foundation_model(traffic: Traffic) -> str:
    return _tail(traffic).removeprefix("us.").removeprefix("global.")


def _model_arn(traffic: Traffic) -> str:
    return f"arn:aws:bedrock:{traffic.region}::foundation-model/{_foundation_model(traffic)}"


def _request_parameters(traffic: Traffic) -> Json:
    if traffic.event_name == "CreateInference":
        return {
            "model": traffic.model_id,
            "stream": False,
            "service_tier": "default",
            "callWithBearerToken": True,
            "bearerTokenType": "ABSK",
        }
    limit = {"inferenceConfig": {"maxTokens": 8192}} if "Converse" in traffic.event_name else {}
    return {"modelId": traffic.model_id, **limit}


def _response_elements(call: Call) -> Json | None:
    if call.form == "usage":
        return {"usage": {"inputTokens": call.input_tokens, "outputTokens": call.output_tokens}}
    if call.form == "counts":
        return {"inputTokenCount": call.input_tokens, "outputTokenCount": call.output_tokens}
    return None


def _additional_event_data(call: Call) -> Json:
    traffic = call.traffic
    data: Json = {"callWithBearerToken": True} if _sends_api_key(traffic) else {}
    if call.error is None and _tail(traffic) != _foundation_model(traffic):
        data["inferenceRegion"] = _inference_region(call)
    if call.form in ("additional", "additional-text"):
        data |= _token_entries(call, is_text=call.form == "additional-text")
    return {"additionalEventData": data} if data else {}


def _sends_api_key(traffic: Traffic) -> bool:
    # The mantle endpoint reports this in the request's parameters.
    return traffic.bearer_token and traffic.event_name != "CreateInference"


def _inference_region(call: Call) -> str:
    """Pick the region that a profile routed to: nearby, unless the profile is global."""
    choices = INFERENCE_REGIONS[: 5 if _tail(call.traffic).startswith("global.") else 3]
    return choices[int(call.event_id[0], 16) % len(choices)]


def _token_entries(call: Call, *, is_text: bool) -> Json:
    counts = {"inputTokens": call.input_tokens, "outputTokens": call.output_tokens}
    return {key: str(value) if is_text else value for key, value in counts.items()}


def _delivery(call: Call) -> Json:
    """Return the fields about an event's delivery; a VPC endpoint also adds a shared id."""
    shared = {"sharedEventID": stable_id(f"shared {call.event_id}")}
    if call.traffic.vpc_endpoint:
        endpoint = {"vpcEndpointId": "vpce-0123456789abcdef0", "vpcEndpointAccountId": MAIN}
        return shared | endpoint
    return shared if call.special == "copied-call" else {}


def _mantle_project() -> Json:
    project = {
        "accountId": MAIN,
        "type": "AWS::BedrockMantle::Project",
        "ARN": f"arn:aws:bedrock-mantle:{EAST}:{MAIN}:project/proj_ops7automation",
    }
    return {"resources": [project]}


def _tls(traffic: Traffic, is_mantle: bool) -> Json:
    if traffic.caller.kind == "AWSService":
        return {}
    runtime = f"bedrock-runtime.{traffic.region}.amazonaws.com"
    return {
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": f"bedrock-mantle.{EAST}.api.aws" if is_mantle else runtime,
        }
    }


def service_event(call: Call) -> Json:
    """Return the second event of a streamed call: not another call, but its tokens."""
    entries: Any = {"inferenceRegion": _inference_region(call)} | _token_entries(call, is_text=True)
    if call.form == "service-list":
        entries = [{"key": key, "value": value} for key, value in entries.items()]
    seconds = 3 + int(call.event_id[0], 16)
    head = _head(call) | {"eventTime": time_text(call.time + timedelta(seconds=seconds))}
    return {
        **head,
        "requestParameters": None,
        "responseElements": None,
        "eventID": _service_event_id(call),
        "readOnly": True,
        "resources": [{"type": "AWS::Bedrock::Model", "ARN": _model_arn(call.traffic)}],
        "eventType": "AwsServiceEvent",
        "managementEvent": True,
        "recipientAccountId": call.traffic.caller.account,
        "serviceEventDetails": {
            "parentRequestId": call.request_id,
            "AdditionalEventData": {"additionalEntries": entries},
        },
        "eventCategory": "Management",
    }


def _service_event_id(call: Call) -> str:
    if call.special:
        return special_event_id(f"{call.special}/service")
    return stable_id(f"service {call.event_id}")


def copied_event() -> Json:
    """Return the second account's event of a call in the first: another id, the same call."""
    return call_event(SPECIAL_CALLS["copied-call"]) | {
        "eventID": special_event_id("copied-call/copy"),
        "recipientAccountId": SECOND,
    }


def network_activity_event() -> Json:
    """Return the event that a VPC endpoint's owner gets for a call through it."""
    return call_event(SPECIAL_CALLS["vpc-endpoint"]) | {
        "eventID": special_event_id("vpc-endpoint/network-activity"),
        "additionalEventData": None,
        "requestParameters": None,
        "eventType": "AwsVpceEvents",
        "managementEvent": False,
        "eventCategory": "NetworkActivity",
    }


def other_events() -> Iterator[Json]:
    """Yield events of the control plane and of other services, two on each working day."""
    rng = random.Random("bedrock demo: other events")
    people = [traffic.caller for traffic in TRAFFIC if "@" in traffic.caller.session]
    working_days = [day for day in DAYS if day.weekday() < 5]
    for number in range(2 * len(working_days)):
        traffic = Traffic("other", people[number % 3], "", EAST, "", "", failing=0)
        time = _moment(traffic, working_days[number // 2], rng)
        yield _other_event(number, _call(traffic, time, rng))


def _other_event(number: int, call: Call) -> Json:
    source, name, parameters = OTHER_EVENTS[number % len(OTHER_EVENTS)]
    agent = f"{AWS_CLI}md/command#{source.partition('.')[0]}"
    return _management_event(call, source, name, parameters) | {"userAgent": agent}


def _management_event(call: Call, source: str, name: str, parameters: Json | None) -> Json:
    return {
        **_head(call),
        "eventSource": source,
        "eventName": name,
        "requestParameters": parameters,
        "responseElements": None,
        "requestID": call.request_id,
        "eventID": call.event_id,
        "readOnly": True,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": call.traffic.caller.account,
        "eventCategory": "Management",
    }


def session_events() -> Iterator[Json]:
    """Yield the events that made the sessions of the roles in ``TEAMS``, on the first morning."""
    rng = random.Random("bedrock demo: sessions")
    traffic = Traffic("sessions", BROKER, STOCK_BOTO3, EAST, "", "", failing=0)
    morning = datetime.combine(DAYS[0], time(6, 5), UTC)
    for minutes, (application, team) in enumerate(TEAMS.items()):
        caller = _app_role(application)
        call = _call(traffic, morning + timedelta(minutes=minutes), rng)
        parameters = {
            "roleArn": f"arn:aws:iam::{caller.account}:role/{caller.name}",
            "roleSessionName": caller.session,
            "tags": [{"key": "team", "value": team}],
        }
        event = _management_event(call, "sts.amazonaws.com", "AssumeRole", parameters)
        yield event | {"responseElements": {"credentials": {"accessKeyId": _key("ASIA", caller)}}}


# Files


def all_calls() -> list[Call]:
    """Return every call once."""
    return [*routine_calls(), *SPECIAL_CALLS.values()]


def build(folder: Path) -> None:
    """Replace ``folder`` with the demo's data."""
    if folder.exists():
        shutil.rmtree(folder)
    calls = all_calls()
    batches = _batches(calls)
    exported = batches.pop(EXPORTED)
    for key, events in sorted(batches.items()):
        _write_trail_file(folder, key, events)
    _write_trail_file(folder, *_redelivered(batches), delay=timedelta(minutes=15))
    (folder / "siem-export.jsonl").write_text(_json_lines(exported), encoding="utf-8")
    (folder / "lookup-events-us-east-1.json").write_text(_lookup_page(calls), encoding="utf-8")
    is_assistant = [call.traffic in ASSISTANTS for call in calls]
    others, assistants = (
        _metrics_csv(call for call, own in zip(calls, is_assistant, strict=True) if own is wanted)
        for wanted in (False, True)
    )
    (folder / "cloudwatch_metrics.csv").write_text(others, encoding="utf-8")
    (folder / "cloudwatch_assistants.csv.gz").write_bytes(compress(assistants.encode()))


# Account, region, day, and which part of the day.
FileKey = tuple[str, str, date, int]


def _batches(calls: Iterable[Call]) -> dict[FileKey, list[Json]]:
    """Sort events into files. Within a file they are ordered by sender, as trails allow."""
    batches: dict[FileKey, list[Json]] = defaultdict(list)
    for call in calls:
        if call.time < TRAIL_UNTIL:
            batches[_file_key(call, is_late=call.special == LATE_CALL)].append(call_event(call))
        if call.form.startswith("service"):
            batches[_file_key(call)].append(service_event(call))
    for event in (*other_events(), *session_events()):
        day = date.fromisoformat(event["eventTime"][:10])
        account = event["recipientAccountId"]
        batches[account, EAST, day, int(day in SPLIT_DAYS)].append(event)
    copied = SPECIAL_CALLS["copied-call"]
    batches[SECOND, copied.traffic.region, copied.time.date(), 0].append(copied_event())
    batches[EXPORTED].append(network_activity_event())
    return batches


def _file_key(call: Call, *, is_late: bool = False) -> FileKey:
    day, region = call.time.date(), call.traffic.region
    is_split = day in SPLIT_DAYS and region == EAST
    part = int(is_split and (call.time.hour >= SPLIT_HOUR or is_late))
    return call.traffic.caller.account, region, day, part


def _redelivered(batches: dict[FileKey, list[Json]]) -> tuple[FileKey, list[Json]]:
    region, day, count = REDELIVERED
    key = (MAIN, region, day, 0)
    return key, batches[key][:count]


def _write_trail_file(
    folder: Path, key: FileKey, events: list[Json], delay: timedelta = timedelta()
) -> None:
    account, region, day, _ = key
    newest = datetime.fromisoformat(max(event["eventTime"] for event in events))
    delivered = newest + timedelta(minutes=10 - newest.minute % 5) + delay
    suffix = _alphanumeric(f"{key} {delay}")
    name = f"{account}_CloudTrail_{region}_{delivered:%Y%m%dT%H%MZ}_{suffix}.json.gz"
    path = folder / f"AWSLogs/{account}/CloudTrail/{region}/{day:%Y/%m/%d}/{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(compress(_dumps({"Records": events}).encode()))


def _alphanumeric(name: str) -> str:
    digest = base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()
    return "".join(character for character in digest if character.isalnum())[:16]


def _dumps(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _json_lines(events: Iterable[Json]) -> str:
    return "".join(f"{_dumps(event)}\n" for event in events)


def _lookup_page(calls: Iterable[Call]) -> str:
    """Return the last minutes as ``aws cloudtrail lookup-events`` prints them, newest first."""
    recent = [call for call in calls if call.time >= HISTORY_FROM]
    events = [call_event(call) for call in sorted(recent, key=lambda call: call.time, reverse=True)]
    return json.dumps({"Events": [_looked_up(event) for event in events]}, indent=1) + "\n"


def _looked_up(event: Json) -> Json:
    identity = event["userIdentity"]
    return {
        "EventId": event["eventID"],
        "EventName": event["eventName"],
        "ReadOnly": "true",
        "AccessKeyId": identity["accessKeyId"],
        "EventTime": event["eventTime"].replace("Z", "+00:00"),
        "EventSource": event["eventSource"],
        "Username": identity.get("userName") or identity["principalId"].partition(":")[2],
        "Resources": [],
        "CloudTrailEvent": _dumps(event),
    }


# Metrics

# Account, region, model as CloudWatch names it, start of the period, its seconds.
Period = tuple[str, str, str, str, int]

METRICS = (
    "Invocations", "InputTokenCount", "OutputTokenCount",
    "CacheReadInputTokenCount", "CacheWriteInputTokenCount",
)  # fmt: skip
MANTLE_METRICS = {
    "Invocations": "Inferences",
    "InputTokenCount": "TotalInputTokens",
    "OutputTokenCount": "TotalOutputTokens",
}


def _metrics_csv(calls: Iterable[Call]) -> str:
    lines = ["account_id,region,model_id,period_start,period_seconds,metric,value"]
    for period, totals in sorted(_metric_totals(calls).items()):
        names = MANTLE_METRICS if period[2] == MANTLE_OPUS else {}
        lines += [
            ",".join(map(str, (*period, names.get(metric, metric), totals[metric])))
            for metric in METRICS
            if totals[metric]
        ]
    return "\n".join(lines) + "\n"


def _metric_totals(calls: Iterable[Call]) -> dict[Period, Counter[str]]:
    totals: dict[Period, Counter[str]] = defaultdict(Counter)
    for call in calls:
        place = (call.traffic.region, _tail(call.traffic), call.time.date())
        if call.error is None and place not in WITHOUT_METRICS:
            totals[_period(call)].update(_used(call))
    for (region, model_id, hour), values in UNEXPLAINED.items():
        period = (MAIN, region, model_id, f"{hour}:00:00Z", 3600)
        totals[period].update(dict(zip(METRICS, values, strict=False)))
    return totals


def _period(call: Call) -> Period:
    is_fine = _tail(call.traffic) in FIVE_MINUTE_MODELS or (
        (call.traffic.region, call.time.date()) in FIVE_MINUTE_PERIODS
    )
    minute = call.time.minute - call.time.minute % 5 if is_fine else 0
    start = call.time.replace(minute=minute, second=0, microsecond=0)
    traffic = call.traffic
    seconds = 300 if is_fine else 3600
    return traffic.caller.account, traffic.region, _tail(traffic), time_text(start), seconds


def _used(call: Call) -> dict[str, int]:
    counts = (
        1, call.input_tokens, call.output_tokens, call.cache_read_tokens, call.cache_write_tokens,
    )  # fmt: skip
    return dict(zip(METRICS, counts, strict=True))


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
