"""What HTTP allows and nobody who means well sends, and what programs read in two ways.

A proxy in front and this server must not take one request for two, Datasette not lead a browser
elsewhere, and nothing that is sent end in an exception because it was never thought of.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from datasette.utils.asgi import Response

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Coroutine[Any, Any, None]]
App = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]

# Only forms are sent to us.
BODY_BYTES = 64 << 10
BODY_SECONDS = 20.0

_FORM = "application/x-www-form-urlencoded"

# A path of this server and nothing else: no other host's address, and no backslash, which browsers
# take for a slash.
_PATH = re.compile(rb"/[!-\[\]-~]*")
_QUERY = re.compile(rb"[!-~]*")
_LOCATION = re.compile(rb"/(?![/\\])[!-\[\]-~]*")

# Ours, in letters that need no quotes, so that everything that reads them reads the same.
_COOKIES = (b"ds_actor", b"ds_csrftoken", b"ds_messages")
_COOKIE = re.compile(rb"(?P<name>[a-z_]+)=(?P<value>[!#-+\--:<-\[\]-~]*)")


def refusal(scope: Scope) -> Response | None:
    """Refuse a request that could be read in two ways."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if not _PATH.fullmatch(raw.partition(b"?")[0]) or not _QUERY.fullmatch(scope["query_string"]):
        return Response.text("This is no path of this server", 400)
    names = [name.lower() for name, _ in scope["headers"]]
    has_coding = b"transfer-encoding" in names
    if has_coding and (b"content-length" in names or scope.get("http_version") == "1.0"):
        # Whatever comes behind it on this connection is not to be believed.
        return Response.text("Two lengths of one body", 400, {"Connection": "close"})
    if scope["method"] == "POST" and not _is_form(scope["headers"]):
        return Response.text(f"Only forms are sent here, as {_FORM}", 400)
    return None


def _is_form(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    kinds = [value.decode("latin-1") for name, value in headers if name.lower() == b"content-type"]
    return len(kinds) < 2 and all(_kind(kind) in ("", _FORM) for kind in kinds)


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def trusted_headers(
    headers: Iterable[tuple[bytes, bytes]], is_logged_in: Callable[[str], bool]
) -> Iterator[tuple[bytes, bytes]]:
    """Leave out what no one here should read.

    An Authorization that is no token: passwords are for the login page. Cookies that are not ours,
    as any other server under the same name may have set them, and the one of a session that has
    ended. Letters that cannot be compared with ours.
    """
    cookies: dict[bytes, bytes] = {}
    for name, value in headers:
        is_token = value.startswith(b"Bearer ") and value.isascii()
        if name.lower() == b"cookie":
            cookies |= _cookies(value)
        elif name.lower() == b"x-csrftoken":
            yield name, bytes(byte if byte < 0x80 else ord("?") for byte in value)
        elif name.lower() != b"authorization" or is_token:
            yield name, value
    actor = cookies.get(b"ds_actor")
    if actor is not None and not is_logged_in(actor.decode()):
        del cookies[b"ds_actor"]
    if cookies:
        yield b"cookie", b"; ".join(name + b"=" + value for name, value in cookies.items())


def _cookies(header: bytes) -> dict[bytes, bytes]:
    found = map(_COOKIE.fullmatch, (part.strip() for part in header.split(b";")))
    return {match["name"]: match["value"] for match in found if match and match["name"] in _COOKIES}


async def read_form(scope: Scope, receive: Receive) -> bytes | Response:
    """Return the body of a form, or why it is none."""
    if scope["method"] != "POST":
        return b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _read(receive)
    except TimeoutError:
        return Response.text("The body takes too long", 408, {"Connection": "close"})
    if body is None:
        return Response.text("The body is too large, or ended early", 413)
    try:
        fields = parse_qs(body.decode("utf-8"))
    except ValueError:
        return Response.text("The form is no text", 400)
    if not all(token.isascii() for token in fields.get("csrftoken", [])):
        return Response.text("The form's token is none of ours", 403)
    return body


async def _read(receive: Receive) -> bytes | None:
    body, has_more = b"", True
    while has_more:
        message = await receive()
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
        if len(body) > BODY_BYTES or message["type"] != "http.request":
            return None
    return body


def replay(body: bytes) -> Receive:
    """Return what receives a body that was read already, and after it that nothing more comes."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return replayed


def without_foreign_location(message: Message) -> Message:
    """Let no answer lead to another host, whoever made it of whatever address."""
    headers = message.get("headers", [])
    locations = [bytes(value) for name, value in headers if bytes(name).lower() == b"location"]
    if message["type"] != "http.response.start" or all(map(_LOCATION.fullmatch, locations)):
        return message
    leading = (b"location", b"link")
    kept = [(name, value) for name, value in headers if bytes(name).lower() not in leading]
    return {**message, "status": 404, "headers": kept}
