"""Refuse requests that HTTP allows but no honest client sends, or that programs read differently.

A proxy and this server must never disagree on where a request ends. Datasette must not redirect a
browser to another host. No unexpected input may cause an exception.
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

# Clients send only forms, and agents short messages.
BODY_BYTES = 64 << 10
BODY_SECONDS = 20.0

_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"

# Only a path on this server: no URL of another host, and no backslash, which browsers read as a
# slash.
_PATH = re.compile(rb"/[!-\[\]-~]*")
_QUERY = re.compile(rb"[!-~]*")
_LOCATION = re.compile(rb"/(?![/\\])[!-\[\]-~]*")

# Our cookies, in characters that need no quotes, so that every program reads them the same way.
_COOKIES = (b"ds_actor", b"ds_csrftoken", b"ds_messages")
_COOKIE = re.compile(rb"(?P<name>[a-z_]+)=(?P<value>[!#-+\--:<-\[\]-~]*)")


def refusal(scope: Scope, *, is_json: bool = False) -> Response | None:
    """Refuse an ambiguous request; ``is_json``: the path takes JSON in place of forms."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if not _PATH.fullmatch(raw.partition(b"?")[0]) or not _QUERY.fullmatch(scope["query_string"]):
        return Response.text("This is not a path on this server", 400)
    names = [name.lower() for name, _ in scope["headers"]]
    has_coding = b"transfer-encoding" in names
    if has_coding and (b"content-length" in names or scope.get("http_version") == "1.0"):
        # Nothing that follows on this connection can be trusted.
        return Response.text("The body has two lengths", 400, {"Connection": "close"})
    if scope["method"] != "POST":
        return None
    kinds = _kinds(scope["headers"])
    # Exactly: a page of another site cannot send it without asking first.
    if is_json and kinds != [_JSON]:
        return Response.text(f"Only JSON is accepted, as {_JSON}", 415)
    if not is_json and (len(kinds) > 1 or not {*kinds} <= {"", _FORM}):
        return Response.text(f"Only forms are accepted, as {_FORM}", 400)
    return None


def _kinds(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """Return every content type, without its parameters."""
    return [
        _kind(value.decode("latin-1")) for name, value in headers if name.lower() == b"content-type"
    ]


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def trusted_headers(
    headers: Iterable[tuple[bytes, bytes]], is_logged_in: Callable[[str], bool]
) -> Iterator[tuple[bytes, bytes]]:
    """Drop the headers that this server must not read.

    These are an Authorization that is not a token (passwords are for the login page), cookies that
    are not ours (another server under the same host name may have set them), and the cookie of a
    session that has ended. Characters that cannot be compared with our tokens become ``?``.
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


async def read_body(scope: Scope, receive: Receive, *, is_json: bool) -> bytes | Response:
    """Return the body of a form or of JSON, or the response that refuses it."""
    if scope["method"] != "POST":
        return b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _read(receive)
    except TimeoutError:
        return Response.text("The request body took too long", 408, {"Connection": "close"})
    if body is None:
        return Response.text("The request body is too large or ended early", 413)
    return body if is_json else _checked_form(body)


def _checked_form(body: bytes) -> bytes | Response:
    try:
        fields = parse_qs(body.decode("utf-8"))
    except ValueError:
        return Response.text("The form is not text", 400)
    if not all(token.isascii() for token in fields.get("csrftoken", [])):
        return Response.text("The form's token is not from this server", 403)
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
    """Return a ``receive`` that yields a body already read, then a disconnect."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return replayed


def without_foreign_location(message: Message) -> Message:
    """Turn a redirect to another host into a 404, whatever produced it."""
    headers = message.get("headers", [])
    locations = [bytes(value) for name, value in headers if bytes(name).lower() == b"location"]
    if message["type"] != "http.response.start" or all(map(_LOCATION.fullmatch, locations)):
        return message
    leading = (b"location", b"link")
    kept = [(name, value) for name, value in headers if bytes(name).lower() not in leading]
    return {**message, "status": 404, "headers": kept}
