"""The refresh button: who may press it, and what it is told.

``POST /-/refresh`` starts a sync, ``GET /-/refresh.json`` says how it is getting on (``background``
knows). Both are for the same visitors: counts of all calls are nothing for one who sees some.

Every POST must bring the token of its form. Datasette asks for it only where a cookie comes with
the request. From another site's page none comes, and its form would start a sync on this machine.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from datasette.app import Datasette
from datasette.utils.asgi import Forbidden, NotFound, Request, Response

from etl.errors import BedrockUsageError, LockedError
from etl.warehouse.database import open_unchanged
from etl.warehouse.demo import is_demo
from etl.web.site import Site, site_of
from etl.web.sync_process import Background, State
from etl.web.visitors import Actor, allowed_applications, has_login

ACTION = "bedrock-usage-refresh"
PATH = "/-/refresh"

_DEMO = (
    "These are the demo's figures, made up and complete. For your own, run “bedrock-usage sync” and"
    " “bedrock-usage serve” with another --db."
)
_STARTED = "The refresh has begun. Load this page again for its figures."
_NOT_ALLOWED = "You may not start a refresh, nor see how one is getting on."
_NO_TOKEN = "The form is too old, or not this site's. Load the page again, then try once more."  # noqa: S105

_backgrounds: WeakKeyDictionary[Datasette, Background] = WeakKeyDictionary()


class Offer(NamedTuple):
    """What a page needs for the button; with a ``reason`` it shows that instead of the button."""

    action: str
    csrftoken: str
    reason: str | None


def routes() -> list[tuple[str, Any]]:
    """Return the routes, for the hook ``register_routes``."""
    return [(rf"^{PATH}$", post_refresh), (rf"^{PATH}\.json$", show_state)]


async def may_refresh(datasette: Datasette, actor: Actor) -> bool:
    """Return whether a visitor may start a refresh and see how it is getting on.

    Anybody on a server without a login, else whoever is signed in, unless another plugin decides
    otherwise; never a visitor who is restricted to some applications.
    """
    if allowed_applications(datasette, actor) is not None:
        return False
    default = actor is not None or not has_login(datasette)
    return bool(await datasette.permission_allowed(actor, ACTION, default=default))


async def refusal(datasette: Datasette) -> str | None:
    """Return why nobody can refresh this warehouse; None where it is possible."""
    return await asyncio.to_thread(_refusal, datasette)


async def offer(datasette: Datasette, request: Request) -> Offer | None:
    """Return what a page needs for the button; None for a visitor who may not press it."""
    if site_of(datasette) is None or not await may_refresh(datasette, request.actor):
        return None
    return Offer(datasette.urls.path(PATH), request.scope["csrftoken"](), await refusal(datasette))


async def show_state(request: Request, datasette: Datasette) -> Response:
    """Tell whether a sync runs and what the last one came to."""
    _require_site(datasette)
    if not await may_refresh(datasette, request.actor):
        return _json({"ok": False, "error": _NOT_ALLOWED}, 403)
    try:
        state = await asyncio.to_thread(_background(datasette).state)
        reason = await refusal(datasette)
    except BedrockUsageError as error:
        return _json({"ok": False, "error": str(error)}, 500)
    return _json({"ok": True, "can_refresh": reason is None, "reason": reason, **state.as_json()})


async def post_refresh(request: Request, datasette: Datasette) -> Response:
    """Start a sync, for a script of ours or for a plain form."""
    _require_site(datasette)
    if request.method != "POST":
        return Response.text("Only POST starts a refresh.", status=405, headers={"allow": "POST"})
    if not await _has_token(request):
        return _answer(request, datasette, 403, _NO_TOKEN)
    if not await may_refresh(datasette, request.actor):
        if not _wants_json(request):
            raise Forbidden(_NOT_ALLOWED)
        return _answer(request, datasette, 403, _NOT_ALLOWED)
    try:
        state = await asyncio.to_thread(_start, datasette)
    except LockedError as error:
        state = await asyncio.to_thread(_background(datasette).state)
        return _answer(request, datasette, 409, str(error), state.as_json())
    except (BedrockUsageError, OSError) as error:
        return _answer(request, datasette, 500, f"The refresh could not be started: {error}")
    return _answer(request, datasette, 202, None, state.as_json())


def _require_site(datasette: Datasette) -> Site:
    site = site_of(datasette)
    if site is None:
        raise NotFound("This Datasette is about another database")
    return site


def _refusal(datasette: Datasette) -> str | None:
    with open_unchanged(_require_site(datasette).db) as warehouse:
        return _DEMO if is_demo(warehouse) else None


def _start(datasette: Datasette) -> State:
    reason = _refusal(datasette)
    if reason:
        raise LockedError(reason)
    return _background(datasette).start()


def _background(datasette: Datasette) -> Background:
    # Two threads may come at once: setdefault lets one of them win.
    return _backgrounds.setdefault(datasette, Background(_require_site(datasette)))


async def _has_token(request: Request) -> bool:
    wanted = request.scope["csrftoken"]()
    given = request.headers.get("x-csrftoken") or (await _form(request)).get("csrftoken", "")
    return secrets.compare_digest(given.encode(), wanted.encode())


async def _form(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        return {}
    fields: dict[str, str] = await request.post_vars()
    return fields


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _answer(
    request: Request,
    datasette: Datasette,
    status: int,
    error: str | None,
    state: dict[str, Any] | None = None,
) -> Response:
    """Answer a script in JSON, and a form with the page it came from and a message on it."""
    if _wants_json(request):
        told = {"ok": error is None} | ({"error": error} if error else {}) | (state or {})
        return _json(told, status)
    if status == 403:
        return Response.text(error, status=403)
    kind = datasette.ERROR if error else datasette.INFO
    datasette.add_message(request, error or _STARTED, kind)
    return Response.redirect(_page_before(request, datasette), status=303)


def _page_before(request: Request, datasette: Datasette) -> str:
    """Return the path of the page that the form is on; never of another site."""
    home: str = datasette.urls.path("/")
    try:
        before = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return home
    path = f"{before.path}?{before.query}" if before.query else before.path
    is_ours = before.netloc == request.host and path.startswith(home) and path.isascii()
    # Browsers read // and /\ at the beginning as the start of another host's name.
    is_path = not path.startswith("//") and "\\" not in path
    return path if is_ours and is_path else home


def _json(told: dict[str, Any], status: int = 200) -> Response:
    return Response.json(told, status=status, headers={"cache-control": "no-store"})
