"""The pages for people without SQL, as a plugin of Datasette: what each of its hooks does.

``app`` builds Datasette with this plugin, ``pages`` answers requests, ``queries`` are the files of
``sql/pages`` as canned queries, ``visitors`` knows who may see what, ``guard`` stands before all of
it. The hooks do nothing for a Datasette that ``app`` has not built.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.asgi import Request

from etl.warehouse.visitors.authorizer import allow_only_reading
from etl.warehouse.visitors.limits import limit_memory
from etl.web import failures, guard, login, pages, queries, refresh, visitors
from etl.web.protocol import App
from etl.web.site import DATABASE, site_of


# Outermost: it sees every request first.
@hookimpl(trylast=True)
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Guard every request and every answer."""
    return partial(guard.wrap, datasette)


# Last: what other plugins add to a connection, SQL may not call.
@hookimpl(trylast=True)
def prepare_connection(conn: Any, database: str, datasette: Datasette) -> None:
    """Limit what a statement may do and take."""
    if site_of(datasette) and database == DATABASE:
        limit_memory(conn, value_bytes=guard.VALUE_BYTES, answer_bytes=guard.ANSWER_BYTES)
        allow_only_reading(conn)


@hookimpl(tryfirst=True)
def actor_from_request(datasette: Datasette, request: Request) -> visitors.Actor:
    """Believe the proxy who visits."""
    return visitors.actor_from_proxy(datasette, request)


# The last word: of several answers Datasette takes the last.
@hookimpl(trylast=True)
def permission_allowed(
    datasette: Datasette, actor: visitors.Actor, action: str, resource: Any
) -> bool | None:
    """Permit what the visitor may see."""
    return visitors.is_permitted(datasette, actor, action, resource)


@hookimpl
def register_magic_parameters(datasette: Datasette) -> list[tuple[str, Callable[..., Any]]]:
    """Tell queries who asks: ``:_visitor_applications``."""
    return [("visitor", partial(visitors.magic_parameter, datasette))] if site_of(datasette) else []


@hookimpl(hookwrapper=True)
def menu_links(datasette: Datasette) -> Generator[None, Any, None]:
    """Offer no login where there is none; datasette-auth-passwords does wherever it is."""
    outcome = yield
    if site_of(datasette) and not visitors.has_passwords(datasette):
        outcome.force_result([visitors.without_login(links) for links in outcome.get_result()])


@hookimpl(hookwrapper=True)
def handle_exception(
    datasette: Datasette, request: Request, exception: Exception
) -> Generator[None, Any, None]:
    """Answer a failed request in place of Datasette, which prints variables."""
    outcome = yield
    if site_of(datasette):
        is_own = guard.is_own(datasette, guard.path_of(request.scope))
        answer = partial(failures.answer, datasette, request, exception, is_own=is_own)
        outcome.force_result([answer])


# First: datasette-auth-passwords has a form to log in as well.
@hookimpl(tryfirst=True)
def register_routes(datasette: Datasette) -> list[Any]:
    """Put the pages where they are looked for."""
    return [*pages.routes(), *refresh.routes(), *login.routes()] if site_of(datasette) else []


@hookimpl
def canned_queries(datasette: Datasette, database: str) -> dict[str, Any]:
    """Offer what the pages show to everybody who wants CSV, JSON or another chart."""
    return queries.canned_queries() if site_of(datasette) and database == DATABASE else {}
