"""The tools of ``etl.agents`` on the running server, for agents on other machines.

An agent is a visitor like any other: the guard checks its host name, origin and login first, and it
sees what the visitor of its token may see. It signs in with a token or through the proxy, with each
request; a cookie is not enough (``guard``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from datasette.app import Datasette
from datasette.utils.asgi import Request, Response

from etl.agents import NEEDS_SDK, has_sdk
from etl.warehouse.read.reports import Filters
from etl.web.protocol import Scope, replay
from etl.web.site import DATABASE
from etl.web.visitors import EVERYTHING, allowed_usage, own_user

# Not /-/mcp, which the plugin datasette-mcp has: its tools know no restrictions.
PATH = "/-/bedrock-usage/mcp"


def routes() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Return the route, for the hook ``register_routes``."""
    return [(rf"^{PATH}$", answer)]


async def answer(request: Request, datasette: Datasette, scope: Scope) -> Response:
    """Answer one message of an agent."""
    if not has_sdk():
        return Response.text(f"The server has no tools for agents: {NEEDS_SDK}", 404)
    if request.method != "POST":
        # No stream: nothing is sent that was not asked for.
        return Response.text("Send messages by POST", 405, {"Allow": "POST"})
    await datasette.ensure_permissions(request.actor, ["view-instance"])
    allowed = allowed_usage(datasette, request.actor) or EVERYTHING
    sight = Filters(
        visible_applications=allowed.applications,
        visible_teams=allowed.teams,
        own_user=own_user(datasette, request.actor),
    )
    build_server, answer_http = await asyncio.to_thread(_import_sdk)
    server = build_server(datasette.get_database(DATABASE).desk, sight)
    body = await request.post_body()
    found = await answer_http(server, scope, body, replay(body))
    kind = found.headers.get("content-type", "text/plain")
    return Response(found.body, found.status, content_type=kind)


def _import_sdk() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Import and read what only agents need: half a second, once."""
    from etl.agents.descriptions import views
    from etl.agents.http import answer_http
    from etl.agents.server import build_server

    views()
    return build_server, answer_http
