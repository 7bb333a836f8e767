"""What other sites may do through a visitor's browser: link here, and nothing else.

Over HTTPS and on this machine, browsers state with each request which site caused it and for what
(``Sec-Fetch-Site`` and related headers). An image, script, frame or request from another site is
refused, and so is data: JSON, CSV. A link opens a page. Where the address itself contains what
Datasette would run (SQL, filters, facets), the page shows it and lets the visitor decide whether to
run it: the author of the link chose the text.

https://www.w3.org/TR/fetch-metadata/
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from datasette.app import Datasette
from datasette.utils.asgi import Response

from etl.web.protocol import Scope
from etl.web.site import DATABASE, SELECTING

_OURS = {"same-origin", "none"}
# Pages whose addresses contain only values.
_SAFE = re.compile(rf"/|/(?:{SELECTING}|unusual)|/-/[^.]*")
_QUERY = re.compile(rf"/{DATABASE}/(\w+)")


def refuse(scope: Scope, path: str) -> Response | None:
    """Refuse a request from another site, unless a visitor follows a link to a page."""
    if not _is_foreign(scope) or _is_visit(scope, path):
        return None
    return Response.text(
        "Refused to another site; open it from one of this server's own pages", status=403
    )


async def stop_for_consent(datasette: Datasette, scope: Scope, path: str) -> Response | None:
    """Return a page in place of what another site's link would run; None if it runs nothing."""
    query = (scope.get("query_string") or b"").decode("latin-1")
    if not query or not _is_foreign(scope) or _is_safe(datasette, path):
        return None
    # This may be the first request since the start.
    await datasette.invoke_startup()
    pairs = parse_qsl(query, keep_blank_values=True)
    page = await datasette.render_template(
        "usage_not_run.html",
        {
            "address": f"{path}?{query}",
            "statements": [value for name, value in pairs if name == "sql"],
            "others": [(name, value) for name, value in pairs if name != "sql"],
        },
    )
    return Response.html(page)


def _is_foreign(scope: Scope) -> bool:
    sites = _values(scope, "site")
    return bool(sites) and not set(sites) <= _OURS


def _is_visit(scope: Scope, path: str) -> bool:
    """Return whether a visitor followed a link to a page: no frame, no image, no data."""
    return (
        scope["method"] == "GET"
        and _values(scope, "mode") == ["navigate"]
        and _values(scope, "dest") in ([], ["document"])
        and "." not in path.rpartition("/")[2]
    )


def _is_safe(datasette: Datasette, path: str) -> bool:
    query = _QUERY.fullmatch(path)
    database = datasette.get_database(DATABASE)
    return bool(_SAFE.fullmatch(path) or (query and query[1] in database.query_names))


def _values(scope: Scope, name: str) -> list[str]:
    wanted = f"sec-fetch-{name}".encode()
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted]
