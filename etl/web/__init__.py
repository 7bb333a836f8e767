"""The pages for people who do not write SQL, as a Datasette plugin: its hooks.

``app`` builds Datasette with this plugin, ``pages`` answers requests, ``queries`` offers the files
of ``sql/pages`` as canned queries, ``agents`` has the tools of agents, ``visitors`` knows who may
see what, and ``guard`` checks every request first. The hooks do nothing in a Datasette that ``app``
did not build.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils.asgi import Request

from etl.warehouse.visitor_sql.authorizer import allow_only_reading
from etl.warehouse.visitor_sql.limits import limit_memory
from etl.web import (
    agents,
    cells,
    failures,
    guard,
    login,
    pages,
    queries,
    questions,
    refresh,
    search,
    visitors,
)
from etl.web.protocol import App
from etl.web.site import DATABASE, site_of


# Last, so outermost: it sees every request first.
@hookimpl(trylast=True)
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Guard every request and every response."""
    return partial(guard.wrap, datasette)


# Last, so that SQL cannot call functions that other plugins add to a connection.
@hookimpl(trylast=True)
def prepare_connection(conn: Any, database: str, datasette: Datasette) -> None:
    """Limit what a statement may do, and how much memory it may use."""
    if site_of(datasette) and database == DATABASE:
        limit_memory(conn, value_bytes=guard.VALUE_BYTES, answer_bytes=guard.ANSWER_BYTES)
        allow_only_reading(conn)


@hookimpl(tryfirst=True)
def actor_from_request(datasette: Datasette, request: Request) -> visitors.Actor:
    """Take the visitor's name from the trusted proxy."""
    return visitors.actor_from_proxy(datasette, request)


# Last: of several results, Datasette uses the last.
@hookimpl(trylast=True)
def permission_allowed(
    datasette: Datasette, actor: visitors.Actor, action: str, resource: Any
) -> bool | None:
    """Allow what the visitor may see."""
    return visitors.is_permitted(datasette, actor, action, resource)


@hookimpl
def register_magic_parameters(datasette: Datasette) -> list[tuple[str, Callable[..., Any]]]:
    """Give queries what the visitor may see: ``:_visitor_applications`` and its like."""
    return [("visitor", partial(visitors.magic_parameter, datasette))] if site_of(datasette) else []


@hookimpl(hookwrapper=True)
def menu_links(datasette: Datasette) -> Generator[None, Any, None]:
    """Remove the login link if there are no passwords: datasette-auth-passwords always adds it."""
    outcome = yield
    if site_of(datasette) and not visitors.has_passwords(datasette):
        outcome.force_result([visitors.without_login(links) for links in outcome.get_result()])


@hookimpl(hookwrapper=True)
def handle_exception(
    datasette: Datasette, request: Request, exception: Exception
) -> Generator[None, Any, None]:
    """Answer a failed request in place of Datasette, which prints variables to the log."""
    outcome = yield
    if site_of(datasette):
        is_own = guard.is_own(datasette, guard.path_of(request.scope))
        answer = partial(failures.answer, datasette, request, exception, is_own=is_own)
        outcome.force_result([answer])


@hookimpl
def render_cell(
    value: object, column: str, table: str | None, database: str, datasette: Datasette
) -> str | None:
    """Show numbers in the units of our own pages."""
    is_ours = site_of(datasette) is not None and database == DATABASE
    return cells.shown(table, column, value) if is_ours else None


# First: datasette-auth-passwords also has a login form.
@hookimpl(tryfirst=True)
def register_routes(datasette: Datasette) -> list[Any]:
    """Register the addresses of the pages."""
    if site_of(datasette) is None:
        return []
    ours = (pages, questions, search, refresh, login, agents)
    return [route for module in ours for route in module.routes()]


@hookimpl
def canned_queries(datasette: Datasette, database: str) -> dict[str, Any]:
    """Offer the data of the pages to anyone who wants CSV, JSON or another chart."""
    return queries.canned_queries() if site_of(datasette) and database == DATABASE else {}
