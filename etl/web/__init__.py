"""The pages for people without SQL, as a plugin of Datasette: what each of its hooks does.

``app`` builds Datasette with this plugin, ``pages`` answers requests, ``queries`` are the files of
``sql/pages`` as canned queries, ``visitors`` knows who may see what. The hooks do nothing for a
Datasette that ``app`` has not built.
"""

from __future__ import annotations

from typing import Any

from datasette import hookimpl
from datasette.app import Datasette

from etl.web import pages, queries, refresh
from etl.web.site import DATABASE, site_of
from etl.web.visitors import Actor


@hookimpl
def register_routes(datasette: Datasette) -> list[Any]:
    """Put the pages where they are looked for."""
    return [*pages.routes(), *refresh.routes()] if site_of(datasette) else []


@hookimpl
def permission_allowed(datasette: Datasette, actor: Actor, action: str) -> bool | None:
    """Keep the refresh from visitors who see some applications only."""
    return refresh.permission(datasette, actor, action)


@hookimpl
def canned_queries(datasette: Datasette, database: str) -> dict[str, Any]:
    """Offer what the pages show to everybody who wants CSV, JSON or another chart."""
    return queries.canned_queries() if site_of(datasette) and database == DATABASE else {}
