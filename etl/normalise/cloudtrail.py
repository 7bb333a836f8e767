"""CloudTrail events: which of them are Bedrock calls, and what each call was.

A *call* is an event of a runtime's operation (table ``operations``). The control plane does not
count; what of it matters for security is kept, and so is an operation that is not known yet. A
streamed call may be followed by an ``AwsServiceEvent`` that carries its tokens, which is never a
separate call. ``AwsVpceEvents`` repeat a call as network activity and are skipped. Of a request or
response, only ids, counts and names are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

from etl.errors import RejectError
from etl.normalise.addresses import DEFAULT_DETAIL, AddressDetail, find_address
from etl.normalise.application import APPLICATION_KEY, KeyNames, find_application
from etl.normalise.fields import count, listing, mapping, text, utc_time
from etl.normalise.guardrails import use_of_event
from etl.normalise.identity import Identity, parse_identity
from etl.normalise.operations import Role, calls, find_operation
from etl.normalise.plain_forms import plain_event
from etl.normalise.profiles import read_tags
from etl.normalise.rows import (
    Event,
    OtherOperation,
    RoleSession,
    ServiceTokens,
    SkippedOperation,
    StartedJob,
    Tokens,
)
from etl.normalise.teams import TEAM_KEY, parse_role_session
from etl.normalise.token_kinds import INPUT_KINDS, KINDS, counts_of
from etl.normalise.token_sources import SERVICE_TOKENS, bit_of, if_mixed

BEDROCK = "bedrock.amazonaws.com"
MANTLE = "bedrock-mantle.amazonaws.com"

# Most are data events. Of InvokeModel, Converse and their streams there are management events, and
# of CreateModelInvocationJob, which does no inference itself but starts a batch of it.
CALLS = calls()

_MODEL_ARN = re.compile(
    r":(?:foundation-model|inference-profile|application-inference-profile|provisioned-model"
    r"|custom-model|custom-model-deployment|imported-model|(?:default-)?prompt-router)/"
)

# Calls that only start a job. No event reports what a job uses: its tokens are never estimated, and
# the view uncounted_jobs lists it. A batch job is billed at the batch tier.
JOBS: Mapping[tuple[str, str], str] = {
    (BEDROCK, "CreateModelInvocationJob"): "batch",
    (BEDROCK, "StartAsyncInvoke"): "asynchronous",
}

BATCH_TIER = "batch"

# Each count under the names it has in the token forms, the newest name first.
_COUNT_NAMES = {kind.name: kind.cloudtrail for kind in KINDS if kind.cloudtrail}

# Bedrock's names for the default tier.
_DEFAULT_TIERS = frozenset({"default", "auto", "standard"})

Complain = Callable[[str], None]

_PROJECT_ARN = re.compile(r":bedrock(?:-mantle)?:[^:]*:[^:]*:project/[^/]+$")


class Parsed(NamedTuple):
    """The result of one event: a call, the tokens of another call, or neither.

    What is neither is skipped (None), or kept: an operation that is no call, or a session.

    ``complaints`` name the fields that could not be read; the call is kept without them. ``job``:
    what the call started. ``skipped``: the operation of Bedrock that is skipped.
    """

    row: Event | ServiceTokens | OtherOperation | RoleSession | None
    complaints: tuple[str, ...] = ()
    job: StartedJob | None = None
    skipped: SkippedOperation | None = None


SKIPPED = Parsed(None)


class EventKind(Enum):
    """What kind of event it is. The value says why, for users."""

    CALL = "a call"
    SERVICE_EVENT = "not a separate call: a service event with the tokens of one"
    NETWORK_EVENT = "not a call: it repeats one as a VPC endpoint's network activity"
    KEPT_OPERATION = (
        "not a call: not one of Bedrock's inference operations; kept, as it matters for security"
    )
    UNKNOWN_OPERATION = "not known yet: an operation of Bedrock, kept, and counted as no call"
    OTHER_OPERATION = "not a call: not one of Bedrock's inference operations"
    OTHER_SERVICE = "not a call: an event of another service"


class TokenReading(NamedTuple):
    """A token count and its path in the event."""

    path: str
    value: int


class _Form(NamedTuple):
    """A part of an event that may hold token counts. ``source``: its name in ``token_sources``."""

    source: str
    path: str
    fields: Mapping[str, Any]


def endpoint_of(event_source: str) -> str:
    """Return the endpoint of an event source, as the table models has it."""
    return "mantle" if event_source == MANTLE else "runtime"


def classify(record: Mapping[str, Any]) -> EventKind:
    """Return the kind of a CloudTrail event."""
    source, name = text(record.get("eventSource")), text(record.get("eventName"))
    if source is None or not source.startswith("bedrock"):
        return EventKind.OTHER_SERVICE
    is_network_event = (
        record.get("eventType") == "AwsVpceEvents"
        or record.get("eventCategory") == "NetworkActivity"
    )
    is_service_event = record.get("eventType") == "AwsServiceEvent"
    if (source, name) in CALLS:
        if is_network_event:
            return EventKind.NETWORK_EVENT
        return EventKind.SERVICE_EVENT if is_service_event else EventKind.CALL
    if is_network_event or is_service_event or name is None:
        return EventKind.OTHER_OPERATION
    return _OF_ROLE.get(_operation(record, source, name)[0], EventKind.OTHER_OPERATION)


_OF_ROLE = {Role.KEPT: EventKind.KEPT_OPERATION, Role.UNKNOWN: EventKind.UNKNOWN_OPERATION}


def _operation(record: Mapping[str, Any], source: str, name: str) -> tuple[Role, str]:
    is_data = record.get("eventCategory") == "Data" or record.get("managementEvent") is False
    return find_operation(source, name, is_data=is_data)


def what_it_does(record: Mapping[str, Any]) -> str:
    """Return what an event's operation does, as far as the table says."""
    source, name = text(record.get("eventSource")), text(record.get("eventName"))
    return _operation(record, source or "", name or "")[1]


def parse_event(
    record: object,
    *,
    metadata_key: KeyNames = APPLICATION_KEY,
    stored_keys: Sequence[str] = (TEAM_KEY,),
    addresses: AddressDetail = DEFAULT_DETAIL,
) -> Parsed:
    """Read one CloudTrail event, as CloudTrail wrote it or as tables keep it.

    ``metadata_key``: the key, or the keys in order, in the request metadata that names the
    application; ``stored_keys``: those whose values are stored. Raises RejectError if it is not an
    object, or is a call or an operation to keep without a usable ``eventID`` or ``eventTime``.
    Defects in another event do not matter.
    """
    record = plain_event(record)
    if not isinstance(record, dict):
        raise RejectError(f"not an object but {_json_type(record)}")
    kind = classify(record)
    if kind is EventKind.OTHER_SERVICE:
        return Parsed(parse_role_session(record))
    if kind is EventKind.OTHER_OPERATION:
        return Parsed(None, skipped=_skipped_operation(record))
    event_id = text(record.get("eventID"))
    if event_id is None:
        raise RejectError("no eventID")
    if text(record.get("eventTime")) is None:
        raise RejectError("no eventTime")
    if kind is EventKind.NETWORK_EVENT:
        return SKIPPED
    utc = utc_time(record["eventTime"], "eventTime", is_utc=True)
    if kind in (EventKind.KEPT_OPERATION, EventKind.UNKNOWN_OPERATION):
        is_known = kind is EventKind.KEPT_OPERATION
        return Parsed(_other_operation(record, event_id, utc, addresses, is_known=is_known))
    complaints: list[str] = []
    if kind is EventKind.SERVICE_EVENT:
        tokens = _parse_service_event(record, event_id, utc, complaints.append)
        return Parsed(tokens, tuple(complaints))
    event = _parse_call(record, event_id, utc, metadata_key, addresses, complaints.append)
    event = event._replace(request_metadata=_stored_metadata(record, stored_keys))
    return Parsed(event, tuple(complaints), _job(record, event))


def _skipped_operation(record: Mapping[str, Any]) -> SkippedOperation | None:
    """Return an operation that is only counted; None if the event lacks what that takes."""
    event_id, name = text(record.get("eventID")), text(record.get("eventName"))
    if event_id is None or name is None:
        return None
    try:
        utc = utc_time(record.get("eventTime"), "eventTime", is_utc=True)
    except RejectError:
        return None
    owner = text(record.get("recipientAccountId"))
    caller = text(mapping(record.get("userIdentity")).get("accountId"))
    return SkippedOperation(
        event_time=utc,
        event_id=event_id,
        account_id=owner or caller or "unknown",
        region=text(record.get("awsRegion")) or "unknown",
        event_source=record["eventSource"].strip(),
        event_name=name,
    )


def _other_operation(
    record: Mapping[str, Any], event_id: str, utc: str, addresses: AddressDetail, *, is_known: bool
) -> OtherOperation:
    identity = parse_identity(record.get("userIdentity"))
    arns = (text(mapping(one).get("ARN")) for one in listing(record.get("resources")))
    return OtherOperation(
        event_time=utc,
        event_id=event_id,
        is_known=is_known,
        account_id=text(record.get("recipientAccountId")) or identity.account_id or "unknown",
        region=text(record.get("awsRegion")) or "unknown",
        event_source=record["eventSource"].strip(),
        event_name=record["eventName"].strip(),
        principal_arn=identity.principal_arn,
        principal_type=identity.principal_type,
        session_name=identity.session_name,
        user_agent=text(record.get("userAgent")),
        user_name=identity.user_name,
        provider=identity.provider,
        source_address=find_address(record.get("sourceIPAddress"), addresses),
        error_code=text(record.get("errorCode")),
        resource=find_model(record)[0] or next(filter(None, arns), None),
    )._replace(**_created_project(record))


def _created_project(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ARN, name and tags of the project that an event creates; nothing for others."""
    arn = text(mapping(record.get("responseElements")).get("arn"))
    if record["eventName"].strip() != "CreateProject" or not arn or not _PROJECT_ARN.search(arn):
        return {}
    parameters = mapping(record.get("requestParameters"))
    tags = read_tags(parameters.get("tags"))
    return {
        "resource": arn,
        "project_name": text(parameters.get("name")),
        "project_tags": json.dumps(tags, ensure_ascii=False, sort_keys=True) if tags else None,
    }


def _job(record: Mapping[str, Any], event: Event) -> StartedJob | None:
    kind = JOBS.get((event.event_source, event.event_name))
    if kind is None:
        return None
    response = mapping(record.get("responseElements"))
    arn = text(response.get("jobArn")) or text(response.get("invocationArn"))
    return StartedJob(event.event_time, event.event_id, kind, arn)


def _json_type(value: object) -> str:
    names = {"NoneType": "null", "str": "a string", "list": "a list", "bool": "a boolean"}
    return names.get(type(value).__name__, "a number")


def _parse_call(
    record: Mapping[str, Any],
    event_id: str,
    utc: str,
    metadata_key: KeyNames,
    addresses: AddressDetail,
    complain: Complain,
) -> Event:
    original_event_id, original_request_id = find_original(record)
    identity = parse_identity(record.get("userIdentity"))
    return name_call(record, identity, metadata_key=metadata_key)._replace(
        event_time=utc,
        event_id=original_event_id or event_id,
        request_id=original_request_id or text(record.get("requestID")),
        shared_event_id=text(record.get("sharedEventID")),
        is_correction=original_event_id is not None,
        source_address=find_address(record.get("sourceIPAddress"), addresses),
        tokens=_event_tokens(record, complain),
        correction_id=event_id if original_event_id else None,
    )


def _stored_metadata(record: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """Return what the request's metadata has under these keys, in the form of logs, or None."""
    parameters = mapping(record.get("requestParameters"))
    named = {
        key: value
        for key in keys
        for field in ("metadata", "requestMetadata")
        if (value := text(mapping(parameters.get(field)).get(key)))
    }
    return canonical_metadata(named)


def canonical_metadata(metadata: Mapping[str, Any]) -> str | None:
    """Return the metadata as canonical JSON; None if it is empty."""
    if not metadata:
        return None
    return json.dumps(metadata, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def find_original(record: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the event id and request id that a correction corrects; None for other events."""
    addendum = mapping(record.get("addendum"))
    event_id = text(addendum.get("originalEventID"))
    return event_id, text(addendum.get("originalRequestID")) if event_id else None


def name_call(
    record: Mapping[str, Any], identity: Identity, *, metadata_key: KeyNames = APPLICATION_KEY
) -> Event:
    """Return the event that the names on a call amount to, without ids, time, address and tokens.

    ``identity``: what its ``userIdentity`` says. ``eventSource`` and ``eventName`` must be present.
    """
    parameters = mapping(record.get("requestParameters"))
    extra = mapping(record.get("additionalEventData"))
    user_agent = text(record.get("userAgent"))
    recipient, caller_account = text(record.get("recipientAccountId")), identity.account_id
    operation = (record["eventSource"].strip(), record["eventName"].strip())
    project = find_project(record)[0]
    application, application_source = find_application(
        role_name=identity.role_name,
        project=project,
        request_parameters=parameters,
        user_agent=user_agent,
        metadata_key=metadata_key,
    )
    return Event(
        event_time="",
        event_id="",
        request_id=None,
        shared_event_id=None,
        account_id=recipient or caller_account or "unknown",
        region=text(record.get("awsRegion")) or "unknown",
        event_source=operation[0],
        event_name=operation[1],
        model_id=find_model(record)[0],
        principal_arn=identity.principal_arn,
        principal_type=identity.principal_type,
        session_name=identity.session_name,
        user_agent=user_agent,
        user_name=identity.user_name,
        application=application,
        application_source=application_source,
        error_code=text(record.get("errorCode")),
        inference_region=text(extra.get("inferenceRegion")),
        service_tier=BATCH_TIER
        if JOBS.get(operation) == "batch"
        else service_tier(parameters, extra),
        is_home_copy=recipient is None or caller_account is None or recipient == caller_account,
        is_correction=False,
        guardrail_use=use_of_event(record, operation[1]),
        provider=identity.provider,
        project=project,
        credential=identity.access_key_id,
    )


def _parse_service_event(
    record: Mapping[str, Any], event_id: str, utc: str, complain: Complain
) -> ServiceTokens | None:
    tokens = _event_tokens(record, complain)
    if tokens is None:
        return None
    request_id = text(mapping(record.get("serviceEventDetails")).get("parentRequestId"))
    if request_id is None:
        raise RejectError(
            "tokens in an AwsServiceEvent without parentRequestId: no call to assign them to"
        )
    account_id = text(record.get("recipientAccountId")) or text(
        mapping(record.get("userIdentity")).get("accountId")
    )
    return ServiceTokens(
        event_time=utc,
        event_id=event_id,
        account_id=account_id or "unknown",
        region=text(record.get("awsRegion")) or "unknown",
        request_id=request_id,
        inference_region=text(_service_form(record).fields.get("inferenceRegion")),
        tokens=tokens,
        is_correction=find_original(record)[0] is not None,
    )


def _entries(value: object) -> Mapping[str, Any]:
    """Read ``additionalEntries``, which occurs both as a map and as a list of ``{key, value}``."""
    if isinstance(value, list):
        return {
            item["key"]: item.get("value")
            for item in value
            if isinstance(item, dict) and isinstance(item.get("key"), str)
        }
    return mapping(value)


def find_model(record: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the model id as sent and its path in the event; (None, None) if it has none."""
    parameters = mapping(record.get("requestParameters"))
    for name in ("modelId", "model"):
        if named := text(parameters.get(name)):
            return named, f"requestParameters.{name}"
    return next(_model_arns(record.get("resources")), (None, None))


def _model_arns(resources: object) -> Iterator[tuple[str, str]]:
    for index, resource in enumerate(listing(resources)):
        arn = text(mapping(resource).get("ARN"))
        if arn and _MODEL_ARN.search(arn):
            yield arn, f"resources[{index}].ARN"


def find_project(record: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the ARN of the project of a call and its path; (None, None) if it has none."""
    for index, resource in enumerate(listing(record.get("resources"))):
        arn = text(mapping(resource).get("ARN"))
        if arn and _PROJECT_ARN.search(arn):
            return arn, f"resources[{index}].ARN"
    return None, None


def service_tier(parameters: Mapping[str, Any], extra: Mapping[str, Any]) -> str | None:
    """Return the tier if the event states one other than the default."""
    return find_service_tier(parameters, extra)[0]


def find_service_tier(
    parameters: Mapping[str, Any], extra: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    """Return the tier, None for the default one, and its path in the event, None if not stated."""
    if mapping(parameters.get("performanceConfig")).get("latency") == "optimized":
        return "latency", "requestParameters.performanceConfig.latency"
    for path, value in (
        ("additionalEventData.resolvedServiceTier", extra.get("resolvedServiceTier")),
        ("additionalEventData.serviceTier", extra.get("serviceTier")),
        ("requestParameters.serviceTier", parameters.get("serviceTier")),
        ("requestParameters.service_tier", parameters.get("service_tier")),
    ):
        tier = text(mapping(value).get("type") if isinstance(value, dict) else value)
        if tier:
            return (None if tier.lower() in _DEFAULT_TIERS else tier.lower()), path
    return None, None


def _event_tokens(record: Mapping[str, Any], complain: Complain) -> Tokens | None:
    source, found = find_tokens(record, complain)
    if source is None:
        return None
    counts = counts_of({kind: reading.value for kind, reading in found.items()})
    return Tokens._make((source, *counts, None, _input_sources(source, found), None))


def _input_sources(source: str, found: Mapping[str, TokenReading]) -> int | None:
    """Return the forms that the input and the cache counts come from, if from several."""
    if source == SERVICE_TOKENS:
        return None
    sources = 0
    for kind in INPUT_KINDS:
        if kind in found and (found[kind].value or kind == INPUT_KINDS[0]):
            sources |= bit_of(found[kind].path.rpartition(".")[0])
    return if_mixed(source, sources)


def find_tokens(
    record: Mapping[str, Any], complain: Complain = lambda complaint: None
) -> tuple[str | None, dict[str, TokenReading]]:
    """Return the source of an event's tokens, and each count by its kind.

    The newest form with any count names the source. Older forms supply the counts that it lacks.
    """
    source, found = None, dict[str, TokenReading]()
    for form in _token_forms(record):
        readings = _readings(form, complain)
        source = source or (form.source if readings else None)
        found = readings | found
    return source, found


def token_places(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every path in an event that may hold a token count."""
    return _places(tuple(form.path for form in _token_forms(record)))


@lru_cache
def _places(forms: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        f"{form}.{name}" for names in _COUNT_NAMES.values() for form in forms for name in names
    )


def _token_forms(record: Mapping[str, Any]) -> tuple[_Form, ...]:
    if record.get("eventType") == "AwsServiceEvent":
        return (_service_form(record),)
    response = mapping(record.get("responseElements"))
    return (
        _form("additionalEventData", mapping(record.get("additionalEventData"))),
        _form("responseElements.usage", mapping(response.get("usage"))),
        _form("responseElements", response),
    )


def _form(source: str, fields: Mapping[str, Any]) -> _Form:
    return _Form(source, source, fields)


def _service_form(record: Mapping[str, Any]) -> _Form:
    details = mapping(record.get("serviceEventDetails"))
    name = "AdditionalEventData" if details.get("AdditionalEventData") else "additionalEventData"
    entries = _entries(mapping(details.get(name)).get("additionalEntries"))
    return _Form(SERVICE_TOKENS, f"serviceEventDetails.{name}.additionalEntries", entries)


def _readings(form: _Form, complain: Complain) -> dict[str, TokenReading]:
    readings = {}
    for kind, names in _COUNT_NAMES.items() if form.fields else ():
        for name in names:
            try:
                value = count(form.fields.get(name))
            except ValueError as error:
                complain(f"{form.source}.{name} is {error}; the call is kept without it")
                continue
            if value is not None:
                readings[kind] = TokenReading(f"{form.path}.{name}", value)
                break
    return readings
