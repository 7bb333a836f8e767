"""The cookie that a login gives."""

from __future__ import annotations

import time
from collections.abc import Iterator, MutableMapping
from http.cookies import SimpleCookie
from typing import Any

from datasette.app import Datasette
from datasette.utils import baseconv

COOKIE = "ds_actor"
LIFETIME_SECONDS = 7 * 24 * 3600


def harden(
    datasette: Datasette, message: MutableMapping[str, Any], *, is_https: bool
) -> MutableMapping[str, Any]:
    """Let the cookie of a login end, and keep it from scripts.

    datasette-auth-passwords makes one that is valid for ever and that any script may read.
    """
    return {
        **message,
        "headers": [
            header
            for name, value in message.get("headers", [])
            for header in _hardened(datasette, bytes(name), bytes(value), is_https)
        ],
    }


def _hardened(
    datasette: Datasette, name: bytes, value: bytes, is_https: bool
) -> Iterator[tuple[bytes, bytes]]:
    cookie = SimpleCookie(value.decode("latin-1")) if name.lower() == b"set-cookie" else {}
    if COOKIE not in cookie:
        yield name, value
        return
    signed = datasette.unsign(cookie[COOKIE].value, "actor")
    signed["e"] = baseconv.base62.encode(int(time.time()) + LIFETIME_SECONDS)
    parts = [
        f"{COOKIE}={datasette.sign(signed, 'actor')}",
        f"Path=/; Max-Age={LIFETIME_SECONDS}; HttpOnly; SameSite=Lax",
        *(["Secure"] if is_https else []),
    ]
    yield name, "; ".join(parts).encode("latin-1")
