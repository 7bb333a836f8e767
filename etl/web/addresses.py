"""Limits on the addresses of Datasette's pages, in addition to the limits on each statement.

Each facet runs its own statement. Each of its values shows a link built from the whole address
again, in the one thread that answers every visitor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from datasette.utils.asgi import Response

from etl.web.site import SELECTING

MAX_FACETS = 10
MAX_FACET_SIZE = 100
MAX_BYTES_WITH_FACETS = 8 << 10
MAX_FIELDS = 200

# After the last closed comment: Datasette searches for the end of each one again and again.
_MAX_OPEN_COMMENTS = 20

# These have their own limit: many names may be chosen.
_OWN_PAGE = re.compile(rf"/|/(?:{SELECTING}|search)")
_FACET = re.compile(r"_facet(?:_array|_date)?")


def refuse(scope: MutableMapping[str, Any], path: str) -> Response | None:
    """Refuse an address that asks for too much work."""
    query: bytes = scope.get("query_string") or b""
    reason = None if _OWN_PAGE.fullmatch(path) else _excess(query.decode("latin-1"))
    return Response.text(f"The address asks for too much: {reason}", status=400) if reason else None


def _excess(query: str) -> str | None:
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return f"more than {MAX_FIELDS} parameters"
    return _excess_of_facets(fields, len(query)) or _excess_of_comments(fields)


def _excess_of_facets(fields: Mapping[str, list[str]], length: int) -> str | None:
    facets = sum(len(values) for name, values in fields.items() if _FACET.fullmatch(name))
    if facets > MAX_FACETS:
        return f"{facets} facets; the maximum is {MAX_FACETS}"
    sizes = fields.get("_facet_size", [])
    for size in sizes:
        if size == "max" or (size.isdecimal() and int(size[:9]) > MAX_FACET_SIZE):
            return f"_facet_size={size[:9]}; the maximum is {MAX_FACET_SIZE}"
    if (facets or sizes) and length > MAX_BYTES_WITH_FACETS:
        return f"{length:,} bytes with facets; the maximum is {MAX_BYTES_WITH_FACETS:,}"
    return None


def _excess_of_comments(fields: Mapping[str, list[str]]) -> str | None:
    for sql in fields.get("sql", []):
        if sql.rpartition("*/")[2].count("/*") > _MAX_OPEN_COMMENTS:
            return "unclosed comments"
    return None
