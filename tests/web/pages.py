"""The content of ``metadata.yml``, and a way to open Datasette's pages without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from datasette.app import Datasette

from etl.metadata import read_metadata
from etl.warehouse.database import view_sql
from etl.web.app import build_datasette
from etl.web.site import DATABASE

METADATA = read_metadata()
QUERIES: dict[str, dict[str, Any]] = METADATA["databases"][DATABASE]["queries"]
TABLES: dict[str, dict[str, Any]] = METADATA["databases"][DATABASE]["tables"]
VIEWS = tuple(view_sql())
# Datasette answers 500 for the page of a view with bytes in it; no page links there.
CLOSED = tuple(name for name in TABLES if TABLES[name].get("allow") is False)
CHARTS = tuple(name for name, query in QUERIES.items() if "fragment" in query)


class Pages:
    """Datasette over one warehouse."""

    def __init__(self, datasette: Datasette, runner: asyncio.Runner) -> None:
        self.datasette = datasette
        self.app = datasette.app()
        self._runner = runner

    def run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine)

    def get(self, page: str = "", **parameters: str) -> httpx.Response:
        """Open a page of the database; the caller checks the status."""
        path = f"/{DATABASE}/{page}" if page else f"/{DATABASE}"
        return self.open(f"{path}?{urlencode(parameters)}")

    def open(self, path: str) -> httpx.Response:
        response: httpx.Response = self.run(self.datasette.client.get(path))
        return response

    def rows(self, page: str, **parameters: str) -> list[dict[str, Any]]:
        """Return the rows of a view, a table or a query."""
        response = self.get(f"{page}.json", _shape="objects", **parameters)
        answer = response.json()
        assert (response.status_code, answer.get("error")) == (200, None)
        assert answer["truncated"] is False
        rows: list[dict[str, Any]] = answer["rows"]
        return rows

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Query the database directly."""
        result = self.run(self.datasette.get_database(DATABASE).execute(statement))
        return [tuple(row) for row in result.rows]


@contextmanager
def open_pages(db: Path) -> Iterator[Pages]:
    """Open the warehouse as ``bedrock-usage serve`` does."""
    with closing_pages(build_datasette(db)) as pages:
        yield pages


@contextmanager
def closing_pages(datasette: Datasette) -> Iterator[Pages]:
    with asyncio.Runner() as runner:
        yield Pages(datasette, runner)
    for database in datasette.databases.values():
        database.close()
    datasette.executor.shutdown()
