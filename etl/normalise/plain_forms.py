"""Records under other names, brought into the form in which AWS wrote them.

Tables keep AWS's records with their columns in lower case or snake_case (Athena, Snowflake,
Tailpipe), nested fields as JSON texts or flattened (``userIdentity.arn``), times as numbers. The
``fields`` of Elastic's hits have each value in a list.
Security Lake has them as OCSF's class 6003. Where a record is as AWS wrote it, it is returned
unchanged. Nothing is guessed: a name is only spelled differently, and a value only written
differently.

Source: OCSF, mapping of CloudTrail to API Activity 1.1.0; Athena user guide, "Querying CloudTrail
logs" (checked 2026-11-29).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from etl.normalise.fields import account, mapping, text
from etl.normalise.token_kinds import KINDS
from etl.times import utc_text

# An event may have any of these as a text.
_NESTED = (
    *("userIdentity", "requestParameters", "responseElements", "additionalEventData", "resources"),
    *("serviceEventDetails", "addendum"),
)
_TOP = (
    *("eventVersion", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress"),
    *("userAgent", "errorCode", "errorMessage", "requestID", "eventID", "eventType", "apiVersion"),
    *("managementEvent", "readOnly", "recipientAccountId", "sharedEventID", "eventCategory"),
    *("vpcEndpointId", *_NESTED),
)
_INNER = (
    *("type", "principalId", "arn", "accountId", "accessKeyId", "userName", "sessionContext"),
    *("sessionIssuer", "attributes", "mfaAuthenticated", "creationDate", "sourceIdentity"),
    *("webIdFederationData", "federatedProvider", "invokedBy", "onBehalfOf", "userId"),
    *("identityStoreArn", "inScopeOf", "credentialsIssuedTo", "issuerType", "identityProvider"),
    *("modelId", "model", "performanceConfig", "latency", "serviceTier", "requestMetadata"),
    *("inferenceRegion", "resolvedServiceTier", "callWithBearerToken", "usage", "jobArn"),
    *("invocationArn", "parentRequestId", "additionalEventData", "additionalEntries"),
    *("originalEventID", "originalRequestID"),
    *(name for kind in KINDS for name in kind.cloudtrail or ()),
)
# What a caller named: kept as it is.
_CALLERS = frozenset({"requestMetadata", "metadata", "additionalEntries"})

_LOG_TOP = (
    *("schemaType", "schemaVersion", "timestamp", "accountId", "region", "requestId", "operation"),
    *("modelId", "identity", "inferenceRegion", "errorCode", "requestMetadata", "input", "output"),
    *("performanceConfig", "serviceTier"),
)
_LOG_INNER = (
    *("arn", "inputContentType", "inputBodyJson", "inputBodyS3Path", "outputContentType"),
    *("outputBodyJson", "outputBodyS3Path", "latency", "type"),
    *(kind.log.rpartition(".")[2] for kind in KINDS if kind.log),
)
_LOG_OBJECTS = (
    *("identity", "input", "output", "requestMetadata", "performanceConfig", "serviceTier"),
)
_METADATA = "requestmetadata"
# In a record's text, before any body: a part of it is a text, or flattened.
_TEXT_PART = re.compile(
    rb'"(?:input|output|identity|requestMetadata)"\s*:\s*"\s*\{'
    rb'|"(?:identity(?:\.|__?)arn|input(?:\.|__?)input_?[tT]oken_?[cC]ount)"\s*:'
)
_TEXTBOOK_LOG = re.compile(rb'\{\s*"schemaType"\s*:\s*"ModelInvocationLog"')

# The names that other tables have for an event's.
_ALIASES = {
    "timegenerated": "eventTime",
    "eventtypename": "eventType",
    "awseventid": "eventID",
    "awsrequestid": "requestID",
    "sessionissuerarn": "userIdentity.sessionContext.sessionIssuer.arn",
    "sessionissuerusername": "userIdentity.sessionContext.sessionIssuer.userName",
    "sessionissuertype": "userIdentity.sessionContext.sessionIssuer.type",
}

_COUNT_TEXT = re.compile(rb'"(?:0|[1-9][0-9]*)"')

_ROW_FIELD = re.compile(r"\s*([A-Za-z]\w*)=")
_ROW_END = re.compile(r",\s(?=[A-Za-z]\w*=)|\}")
_ZONE = re.compile(r"\s+(?:UTC|GMT|Z)\Z")
_DEEPEST = 8


def _fold(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def _by_fold(names: Iterable[str]) -> dict[str, str]:
    return {_fold(name): name for name in names}


_TOP_NAMES = _by_fold(_TOP) | _ALIASES
_INNER_NAMES = _by_fold(_INNER)
_RESOURCE_NAMES = _by_fold(("ARN", "accountId", "type"))
_RESOURCE = re.compile(r"resources([0-9]+)(arn|accountid|type)")
_LOG_TOP_NAMES = _by_fold(_LOG_TOP) | {"@timestamp": "timestamp"}
_LOG_INNER_NAMES = _by_fold(_LOG_INNER)
_FLATTENED = sorted((_fold(name) for name in _NESTED), key=len, reverse=True)
# The objects among the inner names, which flattened names go through.
_CONTAINERS = {
    _fold(name): name
    for name in (
        *("sessionContext", "sessionIssuer", "attributes", "webIdFederationData", "onBehalfOf"),
        *("inScopeOf", "performanceConfig", "serviceTier", "usage", "additionalEventData"),
    )
}


def plain_event(record: Any) -> Any:
    """Return a CloudTrail event as CloudTrail writes it; anything else unchanged."""
    if not isinstance(record, dict):
        return record
    if all(isinstance(value, list) for value in record.values()):
        record = {key: value[0] if len(value) == 1 else value for key, value in record.items()}
    is_renamed = not (
        "eventName" in record and "eventSource" in record and "userIdentity" in record
    )
    if isinstance(record.get("api"), dict) and "eventName" not in record:
        record = _from_ocsf(record)
    elif is_renamed:
        record = _renamed(record)
    changed = {
        name: plain
        for name in _NESTED
        if isinstance(value := record.get(name), str)
        and (plain := _inner(name, _value_of(value))) != value
    }
    if (moment := record.get("eventTime")) != (plain := time_text(moment)):
        changed["eventTime"] = plain
    if (owner := record.get("recipientAccountId")) != (plain := account(owner)):
        changed["recipientAccountId"] = plain
    identity = mapping(changed.get("userIdentity", record.get("userIdentity")))
    if (caller := identity.get("accountId")) != (plain := account(caller)):
        changed["userIdentity"] = {**identity, "accountId": plain}
    return record | changed if changed else record


def _renamed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event with AWS's names, and flattened fields as objects again."""
    plain: dict[str, Any] = {}
    for key, value in record.items():
        if value is None or (value == "" and key not in _TOP):
            continue
        _put(plain, _path(key), value)
    return {key: _inner(key, value) if key in _NESTED else value for key, value in plain.items()}


def _path(key: str) -> list[str]:
    """Return where a field belongs: userIdentity, arn for userIdentity.arn or UserIdentityArn."""
    if "." in key:
        first, *rest = key.replace("{}", "").split(".")
        return [_TOP_NAMES.get(_fold(first), first), *rest][:_DEEPEST]
    folded = _fold(key)
    if folded in _TOP_NAMES:
        return _TOP_NAMES[folded].split(".")
    if found := _RESOURCE.fullmatch(folded):
        return ["resources", found[1], _RESOURCE_NAMES[found[2]]]
    for name in _FLATTENED:
        if folded.startswith(name) and (inner := _inner_path(folded[len(name) :])):
            return [_TOP_NAMES[name], *inner]
        if folded.startswith(metadata := f"{name}{_METADATA}") and folded != metadata:
            return [_TOP_NAMES[name], "requestMetadata", _after(key, len(metadata))]
    return [key]


def _inner_path(folded: str) -> list[str]:
    """Return where a nested field belongs: sessionContext, sourceIdentity; empty if unknown."""
    if folded in _INNER_NAMES:
        return [_INNER_NAMES[folded]]
    for start, name in _CONTAINERS.items():
        if folded.startswith(start) and (inner := _inner_path(folded[len(start) :])):
            return [name, *inner]
    return []


def _after(key: str, letters: int) -> str:
    """Return what follows so many letters of a flattened name: a caller's own, as it is written."""
    for end in range(letters, len(key)):
        if len(_fold(key[:end])) == letters and len(_fold(key[: end + 1])) > letters:
            return key[end:]
    return ""


def _put(plain: dict[str, Any], path: list[str], value: Any) -> None:
    part = plain
    for name in path[:-1]:
        if not isinstance(part.get(name), dict):
            part[name] = {}
        part = part[name]
    part.setdefault(path[-1], value)


def _inner(name: str, value: Any, depth: int = 0) -> Any:
    """Return a nested field with AWS's names."""
    if name in _CALLERS or depth > _DEEPEST:
        return value
    if isinstance(value, list):
        return [_inner(name, item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if name == "resources":
        if value and all(key.isdecimal() for key in value):  # resources.0.ARN
            return [_inner(name, item, depth + 1) for item in value.values()]
        return {_RESOURCE_NAMES.get(_fold(key), key): field for key, field in value.items()}
    plain: dict[str, Any] = {}
    for key, field in value.items():
        known = str(key) if key in _INNER else _INNER_NAMES.get(_fold(key)) or str(key)
        plain[known] = _inner(
            known, _value_of(field) if known == "sessionContext" else field, depth + 1
        )
    return plain


def _value_of(value: Any) -> Any:
    """Return the value that a text is as JSON, or in Athena's form of a row; else the text."""
    for _ in range(3):
        if not isinstance(value, str) or not value.lstrip().startswith(("{", "[", '"')):
            return value
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return _row(value)
    return value


def _row(written: str) -> Any:
    """Read ``{type=IAMUser, sessioncontext={...}}``, or a list of such rows.

    Return anything else unchanged.
    """
    read = _rows_at if written.lstrip().startswith("[") else _row_at
    try:
        value, end = read(written.strip(), 0, 0)
    except ValueError:
        return written
    return value if end == len(written.strip()) else written


def _rows_at(written: str, at: int, depth: int) -> tuple[list[Any], int]:
    """Return the list of rows that begins there, and where it ends."""
    rows: list[Any] = []
    while (end := written[at : at + 2]) in ("[{", ", "):
        row, at = _row_at(written, at + len(end.rstrip("{")), depth + 1)
        rows.append(row)
    if not rows or written[at : at + 1] != "]":
        raise ValueError
    return rows, at + 1


def _row_at(written: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    """Return the row that begins there, and where it ends. Raises ValueError if none does."""
    if written[at : at + 1] != "{" or depth > _DEEPEST:
        raise ValueError
    row: dict[str, Any] = {}
    at += 1
    while found := _ROW_FIELD.match(written, at):
        at = found.end()
        if written.startswith(("{", "[{"), at):
            read = _row_at if written[at] == "{" else _rows_at
            row[found[1]], at = read(written, at, depth + 1)
            end = _ROW_END.match(written, at)
        else:
            end = _ROW_END.search(written, at)
            value = written[at : end.start()] if end else ""
            if value != "null":
                row[found[1]] = value
        if end is None:
            raise ValueError
        at = end.end()
        if end[0] == "}":
            return row, at
    raise ValueError


def time_text(value: Any) -> Any:
    """Return a time as text: a number counts seconds, or thousandths, millionths, … of one."""
    if isinstance(value, str):
        if not value.strip().isdecimal():
            return _ZONE.sub("Z", value.strip()) if _ZONE.search(value.strip()) else value
        value = int(value) if len(value) <= 20 else 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1e8 < value < 1e20:
        return value
    while value >= 1e11:
        value /= 1000
    return utc_text(datetime.fromtimestamp(value, UTC))


# OCSF.


def _from_ocsf(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event of an API Activity. What OCSF has no place for is in ``unmapped``."""
    api, actor, cloud = (mapping(record.get(name)) for name in ("api", "actor", "cloud"))
    user, session = mapping(actor.get("user")), mapping(actor.get("session"))
    request, response = mapping(api.get("request")), mapping(api.get("response"))
    metadata = mapping(record.get("metadata"))
    account = mapping(cloud.get("account")).get("uid")
    event: dict[str, Any] = _renamed(_unmapped(record.get("unmapped")))
    identity = {
        "type": user.get("type"),
        "principalId": user.get("uid_alt"),
        "arn": next((arn for arn in _arns(user)), None),
        "accountId": mapping(user.get("account")).get("uid") or user.get("account_uid"),
        "userName": user.get("name"),
        "invokedBy": actor.get("invoked_by"),
        "sessionContext": _session(session, mapping(actor.get("idp"))),
    }
    known = {
        "eventID": metadata.get("uid"),
        "eventVersion": mapping(metadata.get("product")).get("version"),
        "eventType": metadata.get("event_code"),
        "eventTime": record.get("time_dt") or record.get("time"),
        "eventSource": mapping(api.get("service")).get("name"),
        "eventName": api.get("operation"),
        "requestID": request.get("uid"),
        "requestParameters": _value_of(request.get("data")),
        "responseElements": _value_of(response.get("data")),
        "errorCode": response.get("error"),
        "awsRegion": cloud.get("region"),
        "recipientAccountId": account,
        "userAgent": mapping(record.get("http_request")).get("user_agent"),
        "userIdentity": _merged(identity, mapping(event.get("userIdentity"))),
        "resources": _resources(record.get("resources")),
    }
    return event | {name: value for name, value in known.items() if value not in (None, {}, [])}


def _unmapped(value: Any) -> dict[str, Any]:
    return {str(key): _value_of(field) for key, field in mapping(map_of(value)).items()}


def map_of(value: Any) -> Any:
    """Return a map that is a text, or that readers of Parquet return as pairs or objects."""
    value = _value_of(value)
    if not isinstance(value, list):
        return value
    pairs = (
        [item.get("key"), item.get("value")] if isinstance(item, dict) else item for item in value
    )
    known = (pair for pair in pairs if isinstance(pair, list) and len(pair) == 2)
    return {key: one for key, one in known if isinstance(key, str)}


def _arns(user: Mapping[str, Any]) -> Iterable[str]:
    # 1.1 has it as uid, 1.0 as uuid.
    return (
        arn for name in ("uid", "uuid") if (arn := text(user.get(name))) and arn.startswith("arn:")
    )


def _session(session: Mapping[str, Any], provider: Mapping[str, Any]) -> dict[str, Any]:
    issuer = text(session.get("issuer"))
    context: dict[str, Any] = {}
    if issuer:
        name = issuer.rpartition("/")[2]
        context["sessionIssuer"] = {"type": "Role", "arn": issuer, "userName": name}
    if federated := text(provider.get("name")):
        context["webIdFederationData"] = {"federatedProvider": federated}
    return context


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of both, of the second where the first has none."""
    merged = {name: value for name, value in first.items() if value not in (None, "", {})}
    for name, value in second.items():
        if isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = _merged(merged[name], value)
        else:
            merged.setdefault(name, value)
    return merged


def _resources(value: Any) -> list[dict[str, Any]]:
    resources = value if isinstance(value, list) else []
    return [
        {"ARN": resource["uid"], "type": resource.get("type")}
        for resource in resources
        if isinstance(resource, dict) and isinstance(resource.get("uid"), str)
    ]


# Invocation logs.


def plain_log(record: bytes) -> bytes:
    """Return a record of an invocation log as Bedrock writes it. No body is decoded."""
    if _TEXTBOOK_LOG.match(record) and not _TEXT_PART.search(record):
        return record
    try:
        plain: dict[str, bytes] = {}
        flattened: dict[str, dict[str, bytes]] = {}
        for key, raw in _single(_fields(record)).items():
            name, inner = _log_path(key)
            if inner:
                is_callers = name == "requestMetadata"
                written = bytes(raw) if is_callers else _unquoted(bytes(raw))
                flattened.setdefault(name, {})[inner] = written
            else:
                plain.setdefault(name, _log_part(name, bytes(raw)))
        for name, parts in flattened.items():
            plain.setdefault(name, _written(parts))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return record
    return _written(plain)


def _single(fields: Mapping[str, msgspec.Raw]) -> Mapping[str, msgspec.Raw]:
    """Return the fields of a hit of Elastic's without their lists, which all of them are in."""
    if not all(bytes(raw).startswith(b"[") for raw in fields.values()):
        return fields
    lists = {key: msgspec.json.decode(raw, type=list[msgspec.Raw]) for key, raw in fields.items()}
    return {key: values[0] if len(values) == 1 else fields[key] for key, values in lists.items()}


def _log_path(key: str) -> tuple[str, str | None]:
    """Return where a field belongs: input, inputTokenCount for input.inputTokenCount."""
    folded = _fold(key)
    if folded in _LOG_TOP_NAMES:
        return _LOG_TOP_NAMES[folded], None
    name, dot, rest = key.partition(".")
    if dot and (known := _LOG_TOP_NAMES.get(_fold(name))) in _LOG_OBJECTS:
        is_callers = known == "requestMetadata"
        return known, rest if is_callers else _LOG_INNER_NAMES.get(_fold(rest), rest)
    if folded.startswith(_METADATA) and folded != _METADATA:
        return "requestMetadata", _after(key, len(_METADATA))
    for known in _LOG_OBJECTS:
        if folded.startswith(known.lower()) and (
            inner := _LOG_INNER_NAMES.get(folded[len(known) :])
        ):
            return known, inner
    return key, None


def _unquoted(raw: bytes) -> bytes:
    """Return a count that is a text as a number; anything else unchanged."""
    return raw[1:-1] if _COUNT_TEXT.fullmatch(raw) else raw


def _log_part(name: str, raw: bytes) -> bytes:
    if name == "timestamp":
        return json.dumps(time_text(msgspec.json.decode(raw))).encode()
    if name not in _LOG_OBJECTS:
        return raw
    if raw.startswith(b'"'):
        inner = msgspec.json.decode(raw).strip()
        if not inner.startswith("{"):
            return raw
        raw = _json_of(inner)
    if name == "requestMetadata" and raw.startswith(b"["):
        return json.dumps(map_of(json.loads(raw))).encode()
    if name == "requestMetadata" or not raw.startswith(b"{"):
        return raw
    return _written(
        {
            _LOG_INNER_NAMES.get(_fold(key), key): _unquoted(bytes(one))
            for key, one in _fields(raw).items()
        }
    )


def _json_of(written: str) -> bytes:
    """Return a part of a record that is a text as JSON, also if it is one of Athena's rows."""
    if _ROW_FIELD.match(written, 1) and isinstance(row := _row(written), dict):
        return json.dumps(row).encode()
    return written.encode("utf-8", "replace")


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _written(fields: Mapping[str, bytes]) -> bytes:
    return b"{%b}" % b",".join(json.dumps(key).encode() + b":" + raw for key, raw in fields.items())
