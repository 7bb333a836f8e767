"""What reading needs in one account and region: each permission, tokens, the invocation log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from etl.config import Choice, InvocationLogs
from etl.doctor.advice import add_permission, advise
from etl.errors import RejectError, RetriableError, SourceError
from etl.normalise.bodies import DELIVERED_BODIES
from etl.normalise.cloudtrail import parse_event
from etl.normalise.rows import Event, OtherOperation, RoleSession, ServiceTokens
from etl.show.findings import FAILED, NOT_CHECKED, OK, WARNING, Finding
from etl.sources.aws import (
    BAD_SIGNATURE,
    SIGNED_OUT,
    THROTTLED,
    UNKNOWN_CALLER,
    NotFoundError,
    Place,
)
from etl.sources.cloudtrail import LookedUp, lookup_events
from etl.sources.invocation_logs import last_hour
from etl.sources.limiter import lookup_limiter

# How far back to look for the newest calls.
TOKENS_SINCE = timedelta(days=7)

_USELESS_HERE = SIGNED_OUT | UNKNOWN_CALLER | BAD_SIGNATURE

_LOGS_TABLE = "under [sources.invocation_logs] in bedrock_usage.toml"
_LOGGING_ADVICE = (
    "switch it on in Bedrock's settings with every data type off: it counts the tokens of each"
    " call, cache included, and stores no prompt. It covers calls from then on. Then set"
    f" log_group or uri {_LOGS_TABLE}"
)

_THROTTLED_ADVICE = "something else is reading, maybe a sync: try again when it is done"


def check_place(place: Place, choice: Choice, caller: str) -> list[Finding]:
    """Try everything that the chosen sources need in an account and region, as the caller."""
    tries = _Tries(place, caller)
    for source in choice.asked:
        CHECKS[source.name](tries, choice)
    _check_logging(tries, choice.located.invocation_logs)
    return tries.findings


def check_prices(place: Place, caller: str) -> list[Finding]:
    """Try everything that reading the Price List through its API needs."""
    tries = _Tries(place, caller)
    service = {"ServiceCode": "AmazonBedrock"}
    now = {"EffectiveDate": place.clock.now(), "CurrencyCode": "USD", "MaxResults": 1}
    listed = tries.ask("pricing:ListPriceLists", service | now, "PriceLists")
    if listed is not None:
        tries.add("pricing:ListPriceLists", OK)
    if listed and listed["PriceLists"]:
        file = {"PriceListArn": listed["PriceLists"][0]["PriceListArn"], "FileFormat": "json"}
        if tries.ask("pricing:GetPriceListFileUrl", file, "Url") is not None:
            tries.add("pricing:GetPriceListFileUrl", OK)
    else:
        tries.add("pricing:GetPriceListFileUrl", NOT_CHECKED, "no list to choose from")
    if tries.ask("pricing:GetProducts", service | {"MaxResults": 1}, "PriceList") is not None:
        tries.add("pricing:GetProducts", OK)
    return tries.findings


@dataclass
class _Tries:
    """What was tried in a place, and the results.

    ``closed``: why a service is skipped. ``signs``: for each check whether it found use of Bedrock.
    """

    place: Place
    caller: str
    findings: list[Finding] = field(default_factory=list)
    closed: dict[str, str] = field(default_factory=dict)
    signs: list[bool] = field(default_factory=list)

    def add(self, check: str, status: str, detail: str = "", fix: str | None = None) -> None:
        place = self.place
        self.findings.append(Finding(check, status, detail, fix, place.account_id, place.region))

    def ask(
        self, action: str, parameters: Mapping[str, Any], requires: str, *, absent: str = ""
    ) -> Any:
        """Try a permission; return the answer, or None and add a finding that says why.

        ``absent``: what to say of a missing resource, if that is not a failure.
        """
        service, _, operation = action.partition(":")
        if reason := self.closed.get(service) or self.closed.get("*"):
            self.add(action, NOT_CHECKED, reason)
            return None
        where = (self.place.account_id, self.place.region)
        limiter = lookup_limiter(*where) if operation == "LookupEvents" else None
        try:
            return self.place.call(
                service, operation, parameters, requires=requires, limiter=limiter
            )
        except SourceError as error:
            if absent and isinstance(error, NotFoundError):
                self.add(action, NOT_CHECKED, absent)
            else:
                self.fail(action, error)
            return None

    def fail(self, action: str, error: SourceError) -> None:
        """Note a failure; close services that would only fail again."""
        if error.code in THROTTLED:
            # Throttled is not denied: the permission may be there.
            self.add(action, WARNING, f"throttled ({error.code})", _THROTTLED_ADVICE)
            return
        self.add(action, FAILED, *advise(error, action, self.caller))
        if isinstance(error, RetriableError):
            service = action.partition(":")[0]
            self.closed[service] = f"{service} did not answer"
        elif error.code is None or error.code in _USELESS_HERE:
            self.closed["*"] = "the credentials do not work here"


def _check_events(tries: _Tries, choice: Choice) -> None:
    now = tries.place.clock.now()
    last_hour = {"StartTime": now - timedelta(hours=1), "EndTime": now, "MaxResults": 1}
    if tries.ask("cloudtrail:LookupEvents", last_hour, "Events") is None:
        return
    tries.add("cloudtrail:LookupEvents", OK)
    try:
        page = next(lookup_events(tries.place, now - TOKENS_SINCE, now))
    except SourceError as error:
        tries.fail("cloudtrail:LookupEvents", error)
        return
    rows = [row for event in page.events if (row := _row(event)) is not None]
    tries.signs.append(bool(rows))
    tries.add("tokens in CloudTrail", *_rate_tokens(rows, choice.sources))


def _rate_tokens(
    rows: Sequence[Event | ServiceTokens], sources: Sequence[str]
) -> tuple[str, str, str | None]:
    in_service_events = {row.request_id for row in rows if isinstance(row, ServiceTokens)}
    calls = [row for row in rows if isinstance(row, Event) and row.error_code is None]
    known = sum(1 for row in calls if row.tokens or row.request_id in in_service_events)
    if not calls:
        return NOT_CHECKED, f"no call in the newest events of {TOKENS_SINCE.days} days", None
    detail = f"{known} of the {len(calls)} newest calls have them"
    if known:
        return OK, detail, None
    estimate = (
        "they are estimated from CloudWatch's totals"
        if "cloudwatch" in sources
        else "add the source cloudwatch, which estimates them from its totals"
    )
    return WARNING, detail, f"{estimate}; no setting of CloudTrail adds tokens to its events"


def _row(event: LookedUp) -> Event | ServiceTokens | None:
    try:
        row = parse_event(event.record).row if event.record is not None else None
        return None if isinstance(row, OtherOperation | RoleSession) else row
    except RejectError:
        return None


def _check_totals(tries: _Tries, _: Choice) -> None:
    listed = tries.ask("cloudwatch:ListMetrics", {"Namespace": "AWS/Bedrock"}, "Metrics")
    if listed is not None:
        is_used = bool(listed["Metrics"])
        tries.signs.append(is_used)
        tries.add("cloudwatch:ListMetrics", OK, "" if is_used else "no use in the last 2 weeks")
    end = tries.place.clock.now().replace(minute=0, second=0)
    metric = {"Namespace": "AWS/Bedrock", "MetricName": "Invocations"}
    query = {"Id": "q0", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "Sum"}}
    last_hour = {"StartTime": end - timedelta(hours=1), "EndTime": end}
    answer = tries.ask(
        "cloudwatch:GetMetricData", {"MetricDataQueries": [query], **last_hour}, "MetricDataResults"
    )
    if answer is not None:
        tries.add("cloudwatch:GetMetricData", *_rate_totals(answer, tries.caller))


def _rate_totals(answer: Mapping[str, Any], caller: str) -> tuple[str, str, str | None]:
    # CloudWatch can deny each query inside an answer with status 200.
    states = {result.get("StatusCode") for result in answer["MetricDataResults"]}
    if "Forbidden" in states:
        return FAILED, "denied (Forbidden)", add_permission("cloudwatch:GetMetricData", caller)
    return OK, "", None


def _check_catalogue(tries: _Tries, _: Choice) -> None:
    if tries.ask("bedrock:ListFoundationModels", {}, "modelSummaries") is not None:
        tries.add("bedrock:ListFoundationModels", OK)
    if (
        tries.ask(
            "bedrock:ListProvisionedModelThroughputs",
            {"maxResults": 1},
            "provisionedModelSummaries",
        )
        is not None
    ):
        tries.add("bedrock:ListProvisionedModelThroughputs", OK)
    one = {"typeEquals": "APPLICATION", "maxResults": 1}
    listed = tries.ask("bedrock:ListInferenceProfiles", one, "inferenceProfileSummaries")
    profiles = listed["inferenceProfileSummaries"] if listed else []
    if listed is not None:
        tries.add("bedrock:ListInferenceProfiles", OK)
    if not profiles:
        reason = "no list to choose from" if listed is None else "there is no application profile"
        for action in ("bedrock:GetInferenceProfile", "bedrock:ListTagsForResource"):
            tries.add(action, NOT_CHECKED, reason)
        return
    arn = profiles[0]["inferenceProfileArn"]
    identifier = {"inferenceProfileIdentifier": arn}
    if tries.ask("bedrock:GetInferenceProfile", identifier, "inferenceProfileArn") is not None:
        tries.add("bedrock:GetInferenceProfile", OK)
    if tries.ask("bedrock:ListTagsForResource", {"resourceARN": arn}, "tags") is not None:
        tries.add("bedrock:ListTagsForResource", OK)


def _check_log_group(tries: _Tries, choice: Choice) -> None:
    log_group = choice.place_settings["log_group"]
    request = last_hour(log_group, tries.place.clock.now())
    absent = f"there is no log group {log_group} here"
    if tries.ask("logs:FilterLogEvents", request, "events", absent=absent) is not None:
        tries.add("logs:FilterLogEvents", OK)


def _check_logging(tries: _Tries, logs: InvocationLogs | None) -> None:
    # Where logging is off, the answer is empty, so no particular key can be required.
    answer = tries.ask(
        "bedrock:GetModelInvocationLoggingConfiguration", {}, requires="ResponseMetadata"
    )
    if answer is None:
        return
    config = answer.get("loggingConfig")
    if not config and tries.signs and not any(tries.signs):
        tries.add("invocation logging", OK, "off, and Bedrock is not used")
    elif not config:
        tries.add("invocation logging", WARNING, "off", _LOGGING_ADVICE)
    elif fix := _how_to_read(config, logs):
        tries.add("invocation logging", WARNING, _describe_logging(config), fix)
    else:
        tries.add("invocation logging", OK, _describe_logging(config))


def _how_to_read(config: Mapping[str, Any], logs: InvocationLogs | None) -> str | None:
    """Return what to configure to read the logs; None if they are read or have no target."""
    keys = []
    if bucket := config.get("s3Config"):
        uri = f"s3://{bucket.get('bucketName')}/{bucket.get('keyPrefix', '')}".rstrip("/")
        if logs and logs.uri and _is_covered(uri, logs.uri):
            return None
        keys.append(f'uri = "{uri}"')
    if group := config.get("cloudWatchConfig"):
        name = group.get("logGroupName")
        if logs and logs.log_group == name:
            return None
        keys.append(f'log_group = "{name}"')
    if not keys:
        return None
    return (
        f"set {' or '.join(keys)} {_LOGS_TABLE}: sync then reads the exact tokens of each call,"
        " but no prompts or answers"
    )


def _is_covered(target: str, uri: str) -> bool:
    """Return whether the folder that is read is the target, above or below it, or maybe a copy."""
    if not uri.startswith("s3://"):
        return True
    one, other = target + "/", uri.rstrip("/") + "/"
    return one.startswith(other) or other.startswith(one)


def _describe_logging(config: Mapping[str, Any]) -> str:
    bucket, group = config.get("s3Config"), config.get("cloudWatchConfig")
    targets = [
        *([f"s3://{bucket.get('bucketName')}/{bucket.get('keyPrefix', '')}"] if bucket else []),
        *([f"log group {group.get('logGroupName')}"] if group else []),
    ]
    bodies = [name for name in DELIVERED_BODIES if config.get(f"{name}DataDeliveryEnabled")]
    return f"on, to {' and '.join(targets) or 'nowhere'}; bodies: {', '.join(bodies) or 'none'}"


def _check_sessions(tries: _Tries, choice: Choice) -> None:
    # The same permission as that of the event history.
    if "cloudtrail" in choice.sources:
        return
    now = tries.place.clock.now()
    last_hour = {"StartTime": now - timedelta(hours=1), "EndTime": now, "MaxResults": 1}
    if tries.ask("cloudtrail:LookupEvents", last_hour, "Events") is not None:
        tries.add("cloudtrail:LookupEvents", OK)


def _check_principal_tags(tries: _Tries, _: Choice) -> None:
    # No role and no user has this name: the answer is that it is not found, or denied.
    name, absent = "bedrock-usage-doctor", "no role or user to ask about"
    if tries.ask("iam:ListRoleTags", {"RoleName": name}, "Tags", absent=absent) is not None:
        tries.add("iam:ListRoleTags", OK)
    if tries.ask("iam:ListUserTags", {"UserName": name}, "Tags", absent=absent) is not None:
        tries.add("iam:ListUserTags", OK)


def _check_quotas(tries: _Tries, _: Choice) -> None:
    one = {"ServiceCode": "bedrock", "MaxResults": 1}
    if tries.ask("servicequotas:ListServiceQuotas", one, "Quotas") is not None:
        tries.add("servicequotas:ListServiceQuotas", OK)
    if tries.ask("servicequotas:ListAWSDefaultServiceQuotas", one, "Quotas") is not None:
        tries.add("servicequotas:ListAWSDefaultServiceQuotas", OK)


# The checks of each source that is read per account and region.
CHECKS: Mapping[str, Callable[[_Tries, Choice], None]] = {
    "cloudtrail": _check_events,
    "cloudwatch": _check_totals,
    "catalogue": _check_catalogue,
    "invocation_logs": _check_log_group,
    "sessions": _check_sessions,
    "principal_tags": _check_principal_tags,
    "quotas": _check_quotas,
}
