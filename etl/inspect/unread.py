"""Which fields of an event nothing reads although they look important: AWS may have added them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from etl.inspect.find import RawEvent
from etl.inspect.lines import Line
from etl.normalise.cloudtrail import token_places
from etl.normalise.fields import mapping
from etl.normalise.invocation_logs import COUNT_PATHS
from etl.sources.envelopes import LOGGED_CALL

# Keys with "token" in them that do not count used tokens.
_NO_COUNTS = frozenset(
    {"maxtokens", "max_tokens", "maxtokencount", "nexttoken", "callwithbearertoken", "token"}
)
_NO_COUNTS_IN = frozenset({"userIdentity", "resources", "tlsDetails"})
_KNOWN_EXTRA = frozenset(
    {
        *("inferenceRegion", "serviceTier", "resolvedServiceTier", "callWithBearerToken"),
        *("additionalEntries", "parentRequestId", "AdditionalEventData", "additionalEventData"),
    }
)


def unread(record: Mapping[str, Any], event: RawEvent) -> list[Line]:
    """Return the fields that nothing reads and that look important."""
    read = COUNT_PATHS.values() if event.kind == LOGGED_CALL else token_places(record)
    others = {key: value for key, value in record.items() if key not in _NO_COUNTS_IN}
    return [
        Line(path, value if _is_number(value) else None, "nothing reads this")
        for path, value in _walk(others)
        if _looks_important(path, value) and path not in read
    ]


def _looks_important(path: str, value: object) -> bool:
    name = path.rpartition(".")[2]
    if path.startswith(("additionalEventData.", "serviceEventDetails.")):
        return name not in _KNOWN_EXTRA
    lower = name.casefold()
    return "token" in lower and lower not in _NO_COUNTS and _is_number(value)


def _walk(record: Mapping[str, Any], above: str = "", depth: int = 6) -> Iterator[tuple[str, Any]]:
    """Yield every field of an event with its path, as ``find_tokens`` writes paths.

    Bodies of logs are skipped, as is anything without a proper name. ``additionalEntries`` may be
    a list of ``{key, value}``; it is read as a map.
    """
    for key, value in record.items():
        if not key.replace("_", "").isalnum() or len(key) > 64 or key.endswith("BodyJson"):
            continue
        path = f"{above}{key}"
        if key == "additionalEntries" and isinstance(value, list):
            value = {str(mapping(e).get("key")): mapping(e).get("value") for e in value}
        if isinstance(value, dict) and depth:
            yield from _walk(value, f"{path}.", depth - 1)
        else:
            yield path, value


def _is_number(value: object) -> bool:
    is_digits = isinstance(value, str) and value.isdecimal() and len(value) <= 20
    is_finite = isinstance(value, (int, float)) and math.isfinite(value)
    return is_digits or (is_finite and not isinstance(value, bool))
