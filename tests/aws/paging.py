"""Page tokens: opaque, and valid for exactly the same query only.

A token is a position and a digest of everything else in the request (operation, account, region,
parameters). With any other parameter it is refused, as by AWS. The meaning of a position depends on
the operation: a place in the order of events, or the number of items so far. No two tokens are
equal, even for one position: boto3's paginators give up when the same token comes twice.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from itertools import count
from typing import Any, TypeVar

from tests.aws.calls import AwsError, Call

Item = TypeVar("Item")
REPEATED = 5
_serials = count()

_CODES = {
    "cloudtrail": "InvalidNextTokenException",
    "organizations": "InvalidInputException",
    "bedrock": "ValidationException",
    "logs": "InvalidParameterException",
    "pricing": "InvalidNextTokenException",
    "service-quotas": "InvalidPaginationTokenException",
}
_CODES_OF_OPERATIONS = {
    "GetMetricData": "InvalidNextToken",
    "ListMetrics": "InvalidParameterValueException",
}


def token_error(call: Call) -> AwsError:
    """Return this operation's error for an invalid token."""
    code = _CODES_OF_OPERATIONS.get(call.name) or _CODES[call.service]
    return AwsError(code, "Invalid or expired NextToken.")


def make_token(call: Call, position: Any) -> str:
    text = json.dumps([next(_serials), _digest(call), position])
    return base64.urlsafe_b64encode(text.encode()).decode()


def position(call: Call) -> Any:
    """Return the position of the request's token; None: the beginning."""
    if call.token is None:
        return None
    try:
        _, digest, found = json.loads(base64.urlsafe_b64decode(call.token))
    except (ValueError, TypeError):
        raise token_error(call) from None
    if digest != _digest(call):
        raise token_error(call)
    return found


def page(call: Call, items: Sequence[Item], size: int) -> tuple[Sequence[Item], str | None]:
    """Return the items of this page, and the token of the next page if there is one."""
    start = position(call) or 0
    if call.twist == "empty-page":
        return [], make_token(call, start)
    if call.twist == "duplicates":
        start = max(0, start - min(REPEATED, size - 1))
    end = start + size
    return items[start:end], make_token(call, end) if end < len(items) else None


def _digest(call: Call) -> str:
    asked = {k: v for k, v in call.params.items() if k.lower() != "nexttoken"}
    question = [call.name, call.account, call.region, asked]
    text = json.dumps(question, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
