"""The pages for people without SQL, as a plugin of Datasette: what each of its hooks does.

``app`` builds Datasette with this plugin, ``pages`` answers requests, ``queries`` are the files of
``sql/pages`` as canned queries, ``visitors`` knows who may see what. The hooks do nothing for a
Datasette that ``app`` has not built.
"""

from __future__ import annotations

from typing import Any

from datasette import hookimpl
from datasette.app import Datasette

from etl.web import refresh
from etl.web.visitors import Actor


@hookimpl  # type: ignore[untyped-decorator]
def register_routes() -> list[tuple[str, Any]]:
    return refresh.routes()


@hookimpl  # type: ignore[untyped-decorator]
def permission_allowed(datasette: Datasette, actor: Actor, action: str) -> bool | None:
    return refresh.permission(datasette, actor, action)
