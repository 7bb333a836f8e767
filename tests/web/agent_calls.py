"""Messages of an agent to the server, one request each."""

from __future__ import annotations

from typing import Any

import httpx

from etl.web.agents import PATH
from tests.web.visits import Visitor

_HEADERS = {"Accept": "application/json, text/event-stream"}


def _send(
    visitor: Visitor, method: str, params: dict[str, Any], headers: dict[str, str] | None = None
) -> httpx.Response:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return visitor.request("POST", PATH, json=message, headers={**_HEADERS, **(headers or {})})


def post(
    visitor: Visitor, tool: str, *, headers: dict[str, str] | None = None, **given: Any
) -> httpx.Response:
    """Ask a tool."""
    return _send(visitor, "tools/call", {"name": tool, "arguments": given}, headers)


def told(visitor: Visitor, method: str, **params: Any) -> dict[str, Any]:
    """Send a message, and return the answer, which must be one."""
    answer = _send(visitor, method, params)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def ask(visitor: Visitor, tool: str, **given: Any) -> dict[str, Any]:
    """Ask a tool, and return what it found; it must find something."""
    result = told(visitor, "tools/call", name=tool, arguments=given)["result"]
    assert not result["isError"], result["content"]
    found: dict[str, Any] = result["structuredContent"]
    return found
