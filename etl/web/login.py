"""Logging in and out: the form, the cookie, and the session that it names.

datasette-auth-passwords also has a login form. But it hashes only for names that exist, it blocks
all other requests meanwhile, and its cookie never expires and is readable by any script.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from typing import Any

from datasette.app import Datasette
from datasette.utils import baseconv
from datasette.utils.asgi import NotFound, Request, Response
from datasette.views.special import LogoutView
from itsdangerous import BadSignature

from etl.web import login_attempts
from etl.web.passwords import TooManyChecksError
from etl.web.sessions import LIFETIME_SECONDS
from etl.web.site import Site, site_of
from etl.web.visitors import client_address

PATH = "/-/login"
COOKIE = "ds_actor"

_WRONG = "Invalid username or password"
_SECONDS_TO_COME_BACK = 5
_LONGEST_PATH = 4000


def routes() -> list[tuple[str, Any]]:
    """Return the routes, for the hook ``register_routes``."""
    return [(rf"^{PATH}$", login)]


async def login(request: Request, datasette: Datasette) -> Response:
    """Answer with the form, or process the form that was sent."""
    site = site_of(datasette)
    if site is None or not site.config.serve.passwords:
        raise NotFound("Passwords are not configured")
    if request.method == "POST":
        return await _log_in(request, datasette, site)
    return await _form(request, datasette)


async def _form(
    request: Request, datasette: Datasette, error: str | None = None, next_page: str | None = None
) -> Response:
    wanted = request.args.get("next") if request.method == "GET" else None
    context = {"error": error, "next": page_to_open(wanted or next_page)}
    return Response.html(
        await datasette.render_template("usage_login.html", context, request=request)
    )


def page_to_open(path: str | None) -> str | None:
    """Return the page to open after the login; None for anything but a path of this site."""
    if not path or len(path) > _LONGEST_PATH or not path.startswith("/"):
        return None
    # Browsers read a leading // or /\ as the start of another host's name.
    is_ours = not path.startswith(("//", "/-/")) and "\\" not in path
    return path if is_ours and path.isascii() and path.isprintable() and " " not in path else None


async def _log_in(request: Request, datasette: Datasette, site: Site) -> Response:
    form = await request.post_vars()
    user = form.get("username", "")
    keys = login_attempts.attempt_keys(user, _address(request))
    wait = site.attempts.begin(keys)
    if wait:
        headers = {"Retry-After": str(math.ceil(wait))}
        return Response.text("Too many attempts; wait a few minutes", 429, headers)
    try:
        is_right = await site.passwords.check(user, form.get("password", ""))
    except TooManyChecksError:
        site.attempts.take_back(keys)
        headers = {"Retry-After": str(_SECONDS_TO_COME_BACK)}
        return Response.text("Too many logins at once; try again", 503, headers)
    if not is_right:
        return await _form(request, datasette, _WRONG, form.get("next"))
    site.attempts.take_back(keys)
    is_https = request.headers.get("x-forwarded-proto") == "https"
    cookie = await asyncio.to_thread(_begin_session, datasette, site, user, is_https=is_https)
    after = page_to_open(form.get("next")) or str(datasette.urls.path("/"))
    return Response.redirect(after, headers={"Set-Cookie": cookie})


def _address(request: Request) -> str:
    address = client_address(request.scope)
    forwarded = request.headers.get("x-forwarded-for")
    if forwarded and _is_loopback(address):
        # Behind a proxy on this machine all clients have its address; it appends the real one.
        address = forwarded.rpartition(",")[2].strip()[:50]
    return address


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _begin_session(datasette: Datasette, site: Site, user: str, *, is_https: bool) -> str:
    """Begin a session, and return its ``Set-Cookie`` header."""
    signed = {
        "a": {"id": user},
        "e": baseconv.base62.encode(int(time.time()) + LIFETIME_SECONDS),
        "s": site.sessions.begin(user),
    }
    parts = [
        f"{COOKIE}={datasette.sign(signed, 'actor')}",
        f"Path=/; Max-Age={LIFETIME_SECONDS}; HttpOnly; SameSite=Lax",
        *(["Secure"] if is_https else []),
    ]
    return "; ".join(parts)


def is_logged_in(datasette: Datasette, site: Site, cookie: str) -> bool:
    """Return whether a cookie names an open session."""
    named = _user_and_session(datasette, cookie)
    return named is not None and site.sessions.is_open(*named)


def _user_and_session(datasette: Datasette, cookie: str) -> tuple[str, str] | None:
    """Return the user and the session that one of our cookies names."""
    try:
        signed: Any = datasette.unsign(cookie, "actor")
        user, session = signed["a"]["id"], signed["s"]
    except (BadSignature, KeyError, TypeError):
        return None
    return (user, session) if isinstance(user, str) and isinstance(session, str) else None


class Logout(LogoutView):  # type: ignore[misc]
    """Datasette's logout page, which by itself only removes the cookie from this browser."""

    async def post(self, request: Request) -> Response:
        """End the session that the cookie names."""
        site = site_of(self.ds)
        named = _user_and_session(self.ds, request.cookies.get(COOKIE, ""))
        if site and named:
            await asyncio.to_thread(site.sessions.end, *named)
        return await super().post(request)
