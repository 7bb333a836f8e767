"""The refresh button: who may press it, and what it shows.

``POST /-/refresh`` starts a sync; ``GET /-/refresh.json`` reports its progress (``sync_process``
knows it). Both are for the same visitors: a visitor limited to some applications or teams must not
see the counts of all calls.

Every POST must carry its form's token. Datasette checks the token only on requests with a cookie.
A form on another site sends no cookie, and would otherwise start a sync on this machine.
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
from etl.web.sync_process import State, WarehouseSyncs
from etl.web.visitors import Actor, allowed_usage, has_login

ACTION = "bedrock-usage-refresh"
PATH = "/-/refresh"

_DEMO = (
    "This is demo data, made up. For your own, run “bedrock-usage sync” and “bedrock-usage serve”"
    " with another file (--db)."
)
_STARTED = "The refresh has started. Reload this page to see the new data."
_NOT_ALLOWED = "You may not start a refresh or see its progress."
_NO_TOKEN = "The form has expired or is from another site. Reload the page and try again."  # noqa: S105

_syncs: WeakKeyDictionary[Datasette, WarehouseSyncs] = WeakKeyDictionary()


class Offer(NamedTuple):
    """What a page needs for the button; a ``reason`` is shown in its place."""

    action: str
    csrftoken: str
    reason: str | None


def routes() -> list[tuple[str, Any]]:
    """Return the routes, for the hook ``register_routes``."""
    return [(rf"^{PATH}$", post_refresh), (rf"^{PATH}\.json$", show_state)]


async def may_refresh(datasette: Datasette, actor: Actor) -> bool:
    """Return whether a visitor may start a refresh and see its progress.

    Without a login, every visitor may; with a login, every visitor who is logged in. Another plugin
    may decide otherwise, but never for a visitor who is restricted to some applications or teams.
    """
    if allowed_usage(datasette, actor) is not None:
        return False
    default = actor is not None or not has_login(datasette)
    return bool(await datasette.permission_allowed(actor, ACTION, default=default))


async def refusal(datasette: Datasette) -> str | None:
    """Return why this warehouse cannot be refreshed; None if it can."""
    return await asyncio.to_thread(_refusal, datasette)


async def offer(datasette: Datasette, request: Request) -> Offer | None:
    """Return what a page needs for the button; None if the visitor may not press it."""
    if site_of(datasette) is None or not await may_refresh(datasette, request.actor):
        return None
    return Offer(datasette.urls.path(PATH), request.scope["csrftoken"](), await refusal(datasette))


async def show_state(request: Request, datasette: Datasette) -> Response:
    """Report whether a sync runs, and the result of the last one."""
    _require_site(datasette)
    if not await may_refresh(datasette, request.actor):
        return _json({"ok": False, "error": _NOT_ALLOWED}, 403)
    try:
        state = await asyncio.to_thread(_syncs_of(datasette).state)
        reason = await refusal(datasette)
    except BedrockUsageError as error:
        return _json({"ok": False, "error": str(error)}, 500)
    return _json({"ok": True, "can_refresh": reason is None, "reason": reason, **state.as_json()})


async def post_refresh(request: Request, datasette: Datasette) -> Response:
    """Start a sync, for our script or for a plain form."""
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
        state = await asyncio.to_thread(_syncs_of(datasette).state)
        return _answer(request, datasette, 409, str(error), state.as_json())
    except (BedrockUsageError, OSError) as error:
        return _answer(request, datasette, 500, f"The refresh could not be started: {error}")
    return _answer(request, datasette, 202, None, state.as_json())


def _require_site(datasette: Datasette) -> Site:
    site = site_of(datasette)
    if site is None:
        raise NotFound("This Datasette serves another database")
    return site


def _refusal(datasette: Datasette) -> str | None:
    with open_unchanged(_require_site(datasette).db) as warehouse:
        return _DEMO if is_demo(warehouse) else None


def _start(datasette: Datasette) -> State:
    reason = _refusal(datasette)
    if reason:
        raise LockedError(reason)
    return _syncs_of(datasette).start()


def _syncs_of(datasette: Datasette) -> WarehouseSyncs:
    # Two threads may arrive at once: with setdefault, one of them wins.
    return _syncs.setdefault(datasette, WarehouseSyncs(_require_site(datasette)))


# Required even where no cookie is sent (DECISIONS 55).
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
    """Answer a script with JSON, and a form with a redirect to its page, which shows a message."""
    if _wants_json(request):
        content = {"ok": error is None} | ({"error": error} if error else {}) | (state or {})
        return _json(content, status)
    if status == 403:
        return Response.text(error, status=403)
    kind = datasette.ERROR if error else datasette.INFO
    datasette.add_message(request, error or _STARTED, kind)
    return Response.redirect(_page_before(request, datasette), status=303)


def _page_before(request: Request, datasette: Datasette) -> str:
    """Return the path of the page that holds the form; never a path on another site."""
    home: str = datasette.urls.path("/")
    try:
        before = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return home
    path = f"{before.path}?{before.query}" if before.query else before.path
    is_ours = before.netloc == request.host and path.startswith(home) and path.isascii()
    # Browsers read a leading // or /\ as the start of another host's name.
    is_path = not path.startswith("//") and "\\" not in path
    return path if is_ours and is_path else home


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response.json(content, status=status, headers={"cache-control": "no-store"})
