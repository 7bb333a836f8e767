"""One request over HTTP, as the streamable HTTP transport has it: a message in, JSON out.

No session is kept between requests, and no stream is left open: who asks is known from each
request, and nothing is ever sent that was not asked for.

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from etl.agents.messages import is_for_server, not_understood, parse_message, refusal, to_bytes

_Message = MutableMapping[str, Any]

_JSON = {"content-type": "application/json"}


@dataclass
class HttpAnswer:
    """A whole response."""

    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


async def answer_http(
    server: Server[Any, Any],
    scope: MutableMapping[str, Any],
    body: bytes,
    receive: Callable[[], Awaitable[_Message]],
) -> HttpAnswer:
    """Return the answer of a server to one POST; cancelling this cancels the tool.

    ``receive`` yields the body.
    """
    try:
        message = parse_message(body)
    except ValueError:
        return HttpAnswer(400, _JSON, to_bytes(not_understood()))
    refused = refusal(message)
    if refused is not None:
        return HttpAnswer(200, _JSON, to_bytes(refused))
    if not is_for_server(message):
        return HttpAnswer(202)
    return await _pass_on(server, scope, receive)


async def _pass_on(
    server: Server[Any, Any],
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[_Message]],
) -> HttpAnswer:
    answer = HttpAnswer()

    async def collect(message: _Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {
                name.decode("latin-1"): value.decode("latin-1")
                for name, value in message.get("headers", [])
            }
        else:
            answer.body += message.get("body", b"")

    manager = StreamableHTTPSessionManager(server, stateless=True, json_response=True)
    async with manager.run():
        await manager.handle_request(scope, receive, collect)
    return answer
