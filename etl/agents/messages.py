"""Which messages the SDK's server gets: those it understands.

It logs the others in full, by the root logger, and a message may have anything in it.
"""

from __future__ import annotations

from functools import cache
from typing import get_args

from mcp import types
from pydantic import ValidationError

_WRONG = "the parameters of this method are wrong; the specification of the protocol has them"
_NO_METHOD = "this server has no such method"
_NO_MESSAGE = "this is no JSON-RPC 2.0 message; send one JSON object"


def parse_message(text: bytes) -> types.JSONRPCMessage:
    """Return a message. Raises ValueError, which quotes it, if it is none."""
    return types.JSONRPCMessage.model_validate_json(text)


def refusal(message: types.JSONRPCMessage) -> types.JSONRPCMessage | None:
    """Return the answer to a request that the server does not understand; None if it does."""
    root = message.root
    if not isinstance(root, types.JSONRPCRequest) or _is_one_of(types.ClientRequest, root):
        return None
    if root.method not in _methods():
        return _error(root.id, types.METHOD_NOT_FOUND, _NO_METHOD)
    return _error(root.id, types.INVALID_PARAMS, _WRONG)


def is_for_server(message: types.JSONRPCMessage) -> bool:
    """Return whether a message is a request, or a notification that the server understands.

    It asks clients nothing, so no answer is for it.
    """
    root = message.root
    if isinstance(root, types.JSONRPCNotification):
        return _is_one_of(types.ClientNotification, root)
    return isinstance(root, types.JSONRPCRequest)


def not_understood() -> types.JSONRPCMessage:
    """Return the answer to what is no message."""
    # JSON-RPC has a null id here, which the SDK's type does not allow.
    return _error("", types.PARSE_ERROR, _NO_MESSAGE)


def to_bytes(message: types.JSONRPCMessage) -> bytes:
    """Return a message as JSON on one line."""
    return message.model_dump_json(by_alias=True, exclude_none=True).encode()


@cache
def _methods() -> frozenset[str]:
    """Return the methods of the protocol's requests."""
    kinds = get_args(types.ClientRequest.model_fields["root"].annotation)
    named = (get_args(kind.model_fields["method"].annotation) for kind in kinds)
    return frozenset(method for methods in named for method in methods)


def _error(request: types.RequestId, code: int, text: str) -> types.JSONRPCMessage:
    error = types.ErrorData(code=code, message=text)
    return types.JSONRPCMessage(types.JSONRPCError(jsonrpc="2.0", id=request, error=error))


def _is_one_of(
    kind: type[types.ClientRequest] | type[types.ClientNotification],
    root: types.JSONRPCRequest | types.JSONRPCNotification,
) -> bool:
    try:
        kind.model_validate(root.model_dump(by_alias=True, mode="json", exclude_none=True))
    except ValidationError:
        return False
    return True
