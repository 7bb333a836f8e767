"""What Datasette's own views do differently here.

For every request, Datasette creates a view of the class in its route (``as_view``). Replacing that
class is enough, and it affects only this Datasette.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datasette.utils.asgi import Request, Response
from datasette.views.base import DataView
from datasette.views.special import LogoutView
from datasette.views.table import TableView

from etl.show.spreadsheet import harmless_cell
from etl.web import failures, tables_csv
from etl.web.login import Logout
from etl.web.warehouse import most_cells

# Per page. Thirty thousand cells take a second.
PAGE_CELLS = 50_000
PAGE_ROWS = 1_000


def replace_views(routes: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Replace Datasette's view classes with ours."""
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
    """A page with as many rows as render in a second or two; JSON and CSV have all rows."""

    async def data(self, request: Request, *words: Any, **options: Any) -> Any:
        """Return what Datasette shows."""
        if _is_page(request):
            most_cells.set(PAGE_CELLS)
        return await super().data(request, *words, **options)  # type: ignore[misc]


class _ShortTable:
    """A table page that puts further rows on the next page."""

    async def data(self, request: Request, *words: Any, **options: Any) -> Any:
        """Return what Datasette shows."""
        size = request.args.get("_size") or ""
        is_large = size == "max" or (size.isdecimal() and int(size[:9]) > PAGE_ROWS)
        if _is_page(request) and is_large:
            options["_size"] = PAGE_ROWS
        return await super().data(request, *words, **options)  # type: ignore[misc]


def _is_page(request: Request) -> bool:
    return request.url_vars.get("format") is None


class _SpreadsheetCsv:
    """CSV of a table, view, row, query or statement, with no cell that a spreadsheet would run."""

    _is_csv = False

    async def as_csv(self, request: Request, database: str) -> Response:
        self._is_csv = True
        answer = await super().as_csv(request, database)  # type: ignore[misc]
        if getattr(answer, "content_type", "").startswith("text/plain"):
            # Else the browser shows it as a text.
            name = tables_csv.safe_name(request.url_vars.get("table") or database)
            answer.content_type = "text/csv; charset=utf-8"
            answer.headers["content-disposition"] = tables_csv.disposition(f"{name}.csv")
        return answer

    async def data(self, request: Request, *words: Any, **options: Any) -> Any:
        """Return harmless cells for CSV, and Datasette's own data for any other format."""
        try:
            answer = await super().data(request, *words, **options)  # type: ignore[misc]
        except Exception as error:
            if not self._is_csv or "_next" not in options:
                raise
            # Part of the file has been sent. Datasette would write the error message, which may
            # quote the visitor, into the file and the log.
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
    """A row that yields harmless cells in order, and the original cells by name.

    Datasette builds the addresses of rows from the cells by name.
    """

    def __init__(self, row: Any) -> None:
        self._row = row

    def __iter__(self) -> Iterator[object]:
        return map(_harmless, self._row)

    def __getitem__(self, key: Any) -> Any:
        return self._row[key]


def _harmless(cell: object) -> object:
    if isinstance(cell, Mapping):
        # A foreign key, and the label of its row.
        return {key: harmless_cell(value) for key, value in cell.items()}
    return harmless_cell(cell)
