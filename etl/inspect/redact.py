"""An event as it may be shown: everything but what could be a prompt or an answer.

Three kinds of fields have different rules.

- What **AWS writes** (ids, names, counts, times) is shown, unless it is longer than such values
  are or has a field name that bodies use.
- Where **AWS adds** fields (``additionalEventData``, ``serviceEventDetails``, any name that this
  version does not know), texts and numbers are shown only under known names.
- In what the **caller writes** (``requestParameters``, ``responseElements``, ``input`` and
  ``output`` of a log), texts are shown under the few names known to hold an id, and numbers under
  the names of counts and settings: an amount in a prompt is as private as its words. Error
  messages may quote a request, so only those of errors raised before AWS reads it are shown.

Nothing is dropped silently: a placeholder says what kind of value it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from etl.normalise.application import KeyNames, key_names
from etl.normalise.bodies import (
    BODY_NAMES,
    CALLER_WRITTEN,
    ENTERED,
    HIDDEN,
    ID_NAMES,
    NUMBER_NAMES,
    PLAIN_ERRORS,
    is_id,
)

# CloudTrail user guide, "CloudTrail record contents" (checked 2026-11-26), and a log's record.
# What is shown is listed, not what is hidden (DECISIONS 78).
_KNOWN = frozenset(
    {
        *("eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion"),
        *("sourceIPAddress", "userAgent", "errorCode", "requestID", "eventID", "eventType"),
        *("apiVersion", "managementEvent", "readOnly", "resources", "recipientAccountId"),
        *("sharedEventID", "vpcEndpointId", "vpcEndpointAccountId", "eventCategory", "addendum"),
        *("sessionCredentialFromConsole", "edgeDeviceDetails", "tlsDetails", "eventContext"),
        *("schemaType", "schemaVersion", "timestamp", "accountId", "identity", "region"),
        *("requestId", "operation", "modelId", "inferenceRegion", "errorCode", "serviceTier"),
        *("performanceConfig",),
    }
)
# Names of texts, and of the objects that contain them, where AWS adds fields.
_ADDED = frozenset(
    {
        *("inferenceRegion", "serviceTier", "resolvedServiceTier", "parentRequestId", "type"),
        *("AdditionalEventData", "additionalEventData", "additionalEntries", "key"),
        "callWithBearerToken",
    }
)

_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,10})?|true|false", re.ASCII)
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)
# The number of fields without a proper name.
_UNNAMED = "(fields not shown)"

_LONGEST, _LONGEST_AGENT = 300, 1100
_DEEPEST, _MOST_ITEMS = 12, 50


def without_texts(record: Mapping[str, Any], metadata_key: KeyNames) -> dict[str, Any]:
    """Return an event, or an invocation log's record, without anything that could be a body.

    ``metadata_key``: the keys of a request's metadata whose values are used, and so are shown.
    """
    return {key: _top(key, value, record, metadata_key) for key, value in _items(record)}


def _top(key: str, value: object, record: Mapping[str, Any], metadata_key: KeyNames) -> object:
    if key == _UNNAMED:
        return value
    if key == "requestMetadata":
        return _metadata(value, metadata_key)
    if key in CALLER_WRITTEN:
        return _caller_written(value, metadata_key) if isinstance(value, dict) else _hide(value)
    if key == "errorMessage":
        is_plain = record.get("errorCode") in PLAIN_ERRORS
        return _short(value, _LONGEST_AGENT) if is_plain else _hide(value)
    if key == "userAgent":
        return _short(value, _LONGEST_AGENT)
    if key in _KNOWN:
        return _aws_written(value, metadata_key, _DEEPEST)
    return _added(value, _DEEPEST)


def _items(record: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the fields with proper names, and the number of the others."""
    named = [(key, value) for key, value in record.items() if _KEY.fullmatch(key)]
    others = len(record) - len(named)
    return named + ([(_UNNAMED, others)] if others else [])


def _aws_written(value: object, metadata_key: KeyNames, depth: int) -> object:
    if depth == 0:
        return _hide(value)
    if isinstance(value, dict):
        return {
            key: _aws_field(key, field, metadata_key, depth - 1) for key, field in _items(value)
        }
    if isinstance(value, list):
        shown = [_aws_written(item, metadata_key, depth - 1) for item in value[:_MOST_ITEMS]]
        more = len(value) - len(shown)
        return shown + ([f"(not shown: {more} more)"] if more > 0 else [])
    return _short(value, _LONGEST)


def _aws_field(key: str, value: object, metadata_key: KeyNames, depth: int) -> object:
    if key == _UNNAMED:
        return value
    if key == "requestMetadata":
        return _metadata(value, metadata_key)
    if key.casefold() in BODY_NAMES:
        return _hide(value)
    return _aws_written(value, metadata_key, depth)


def _added(value: object, depth: int) -> object:
    """Return a field that AWS has added: texts only under known names."""
    if isinstance(value, dict) and depth:
        return {key: _added_field(key, field, depth - 1) for key, field in _items(value)}
    if isinstance(value, list) and depth:
        shown = [_added(item, depth - 1) for item in value[:_MOST_ITEMS]]
        more = len(value) - len(shown)
        return shown + ([f"(not shown: {more} more)"] if more > 0 else [])
    return _hide(value)


def _added_field(key: str, value: object, depth: int) -> object:
    if key == _UNNAMED:
        return value
    if key.casefold() in NUMBER_NAMES:
        return _number(value)
    is_known_text = key in _ADDED and isinstance(value, str)
    return _short(value, _LONGEST) if is_known_text else _added(value, depth)


def _caller_written(fields: Mapping[str, Any], metadata_key: KeyNames) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for key, value in _items(fields):
        name = key.casefold()
        if key == _UNNAMED:
            shown[key] = value
        elif key in ("requestMetadata", "metadata"):
            shown[key] = _metadata(value, metadata_key)
        elif isinstance(value, dict) and name in ENTERED:
            shown[key] = _caller_written(value, metadata_key)
        elif isinstance(value, str) and name in ID_NAMES and is_id(value):
            shown[key] = value
        elif name in NUMBER_NAMES:
            shown[key] = _number(value)
        else:
            shown[key] = _hide(value)
    return shown


def _metadata(value: object, metadata_key: KeyNames) -> object:
    if not isinstance(value, dict):
        return _hide(value)
    keys = [key for key in key_names(metadata_key) if value.get(key) is not None]
    others = len(value) - len(keys)
    shown = {key: _short(value[key], _LONGEST) for key in keys}
    return shown | ({"(other keys, not shown)": others} if others else {})


def _short(value: object, longest: int) -> object:
    """Return a number, or a text no longer than ids and names are; hide anything else."""
    is_short = isinstance(value, str) and len(value) <= longest and value.isprintable()
    return value if is_short else _number(value)


def _number(value: object) -> object:
    """Return a number in the place of a count or a setting; hide anything else."""
    is_number = isinstance(value, (bool, int)) or (
        isinstance(value, float) and math.isfinite(value)
    )
    is_text = isinstance(value, str) and _NUMBER.fullmatch(value)
    return value if is_number or is_text else _hide(value)


def _hide(value: object) -> object:
    """Return what kind of value it is. Even a number, or a yes or no, may be an answer."""
    if value is None or value == HIDDEN:
        return value
    if isinstance(value, bool):
        return "(not shown: true or false)"
    if isinstance(value, float) and not math.isfinite(value):
        return "(?)"  # JSON cannot write it
    if isinstance(value, (int, float)):
        return "(not shown: a number)"
    if isinstance(value, str):
        return f"(not shown: {len(value):,} characters)"
    kind = "fields" if isinstance(value, dict) else "items"
    return f"(not shown: {len(value):,} {kind})" if isinstance(value, (dict, list)) else "(?)"
