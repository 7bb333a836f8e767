"""What an agent can read beside the tools: what the figures and the views mean.

Nothing here depends on the warehouse, so nothing here tells of anyone.
"""

from __future__ import annotations

from dataclasses import dataclass

from etl import resources
from etl.agents.descriptions import describe, overview, views
from etl.errors import DataError
from etl.warehouse.read.reports import Filters

_SCHEME = "bedrock-usage://"
_NUMBERS, _VIEWS = f"{_SCHEME}docs/numbers", f"{_SCHEME}views"


@dataclass(frozen=True)
class Page:
    """One resource: Markdown."""

    uri: str
    name: str
    title: str


def pages(sight: Filters) -> list[Page]:
    """Return what a reader can read: views only together with SQL."""
    found = [Page(_NUMBERS, "numbers", "How each figure is calculated")]
    if sight.sees_all:
        found.append(Page(_VIEWS, "views", "The views of the warehouse"))
        found += [
            Page(f"{_VIEWS}/{name}", name, str(view["title"])) for name, view in views().items()
        ]
    return found


def read_page(uri: str, sight: Filters) -> str:
    """Return the text of a resource. Raises DataError if there is none."""
    if uri not in {page.uri for page in pages(sight)}:
        raise DataError("there is no such resource; list the resources for those that there are")
    if uri == _NUMBERS:
        return resources.NUMBERS.read_text(encoding="utf-8")
    return overview() if uri == _VIEWS else describe(uri.removeprefix(f"{_VIEWS}/"))
