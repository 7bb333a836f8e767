"""What Datasette's own views do differently here.

Datasette makes a view of the class that stands on its route for every request (``as_view``), so
another class there is all it takes, and only this Datasette has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datasette.utils.asgi import Request, Response
from datasette.views.base import DataView
from datasette.views.special import LogoutView
from datasette.views.table import TableView

from etl.show.spreadsheet import harmless_cell
from etl.web import failures
from etl.web.login import Logout
from etl.web.warehouse import most_cells

# Of a page. Thirty thousand cells take a second.
PAGE_CELLS = 50_000
PAGE_ROWS = 1_000


def replace_views(routes: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Put our classes in the place of Datasette's."""
    for _, view in routes:
        theirs = getattr(view, "view_class", object)
        if issubclass(theirs, DataView):
            short = (_ShortTable,) if issubclass(theirs, TableView) else ()
            ours = (_SpreadsheetCsv, *short, _ShortPage, theirs)
            view.view_class = type(theirs.__name__, ours, {})
        elif theirs is LogoutView:
            view.view_class = Logout
    return routes


class _ShortPage:
    """A page with as many rows as can be drawn in a second or two; JSON and CSV have all."""

    async def data(self, request: Request, *words: Any, **options: Any) -> Any:
        """Return what Datasette shows."""
        if _is_page(request):
            most_cells.set(PAGE_CELLS)
        return await super().data(request, *words, **options)  # type: ignore[misc]


class _ShortTable:
    """A table, of which the other rows are on the next page."""

    async def data(self, request: Request, *words: Any, **options: Any) -> Any:
        """Return what Datasette shows."""
        asked = request.args.get("_size") or ""
        is_large = asked == "max" or (asked.isdecimal() and int(asked[:9]) > PAGE_ROWS)
        if _is_page(request) and is_large:
            options["_size"] = PAGE_ROWS
        return await super().data(request, *words, **options)  # type: ignore[misc]


def _is_page(request: Request) -> bool:
    return request.url_vars.get("format") is None


class _SpreadsheetCsv:
    """CSV of a table, view, row, query or statement that no spreadsheet runs."""

    _is_csv = False

    async def as_csv(self, request: Request, database: str) -> Response:
        self._is_csv = True
        return await super().as_csv(request, database)  # type: ignore[misc]

    async def data(self, request: Request, *words: Any, **options: Any) -> Any:
        """Return what Datasette writes as CSV, and as it is what it shows in any other form."""
        try:
            answer = await super().data(request, *words, **options)  # type: ignore[misc]
        except Exception as error:
            if not self._is_csv or "_next" not in options:
                raise
            # A part has been sent, and Datasette would go on with the message, which may be the
            # visitor's own words, into the file and the log.
            failures.log(request.method, request.path, 500, error)
            raise ConnectionAbortedError("the rest of the rows could not be read") from None
        if self._is_csv and not isinstance(answer, Response):
            _make_harmless(answer[0])
        return answer


def _make_harmless(data: dict[str, Any]) -> None:
    data["rows"] = [_HarmlessRow(row) for row in data["rows"]]
    for key in ("columns", "expanded_columns"):
        data[key] = [harmless_cell(name) for name in data.get(key) or ()]


class _HarmlessRow:
    """A row whose cells are harmless one after the other, and as they are by their names.

    By its names Datasette makes the addresses of rows.
    """

    def __init__(self, row: Any) -> None:
        self._row = row

    def __iter__(self) -> Iterator[object]:
        return map(_harmless, self._row)

    def __getitem__(self, key: Any) -> Any:
        return self._row[key]


def _harmless(cell: object) -> object:
    if isinstance(cell, Mapping):
        # A key, and the label of the row that it leads to.
        return {key: harmless_cell(value) for key, value in cell.items()}
    return harmless_cell(cell)
