"""The warehouse as Datasette's database: which statement runs where.

Our own statements (the queries of the pages and the canned queries, whose text is fixed) run in the
server's threads, and so do Datasette's statements about the schema. All others contain a visitor's
text: SQL, or the filters, columns and facets of a table's page. They run in processes that can be
stopped (``etl.warehouse.visitor_sql.processes``). The form of a request does not matter: an unknown
statement always runs in a process.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasette.app import Datasette
from datasette.database import Database, QueryInterrupted, Results
from datasette.views.base import DatasetteError

from etl.errors import BusyError
from etl.warehouse.paths import connect_readonly
from etl.warehouse.visitor_sql.processes import Statement, StatementRows, VisitorProcesses
from etl.web import queries
from etl.web.site import DATABASE

if TYPE_CHECKING:
    from etl.agents.desk import Desk

# A page that shows some rows also counts all of them. If that takes longer, it shows no number:
# counting ten million calls takes a minute, and the page itself a moment.
COUNT_LIMIT_MS = 200

# The statements about the schema that Datasette 0.65 runs through ``execute``; it runs others
# directly. A new statement in another version would only run in a process, which is slower.
# A statement is known by its text (DECISIONS 92).
_ABOUT_THE_SCHEMA = frozenset({
    "PRAGMA schema_version",
    "PRAGMA database_list;",
    "select 1 from sqlite_master where type='table' and name=?",
    "select name from sqlite_master where type='table'",
    "select name from sqlite_master where type='view'",
    "select sql from sqlite_master where name = :n and type=:t",
    "select sql from sqlite_master where tbl_name = :n and type='index' and sql is not null",
    "select name from sqlite_master where rootpage = 0 and ( sql like '%VIRTUAL TABLE%USING FTS%' )"
    " or name in ('sqlite_stat1', 'sqlite_stat2', 'sqlite_stat3', 'sqlite_stat4')",
    "select * from sqlite_master WHERE type = 'table'",
    "select name from sqlite_master where type in ('table', 'view') and name = ? collate nocase",
})  # fmt: skip
# The row counts of tables on the database page: they take some milliseconds.
_COUNT_OF_A_TABLE = re.compile(r"select count\(\*\) from \[\w+\]")


# The most cells that the caller can use (None: all); results are truncated after them.
most_cells: ContextVar[int | None] = ContextVar("most_cells", default=None)


class WarehouseDatabase(Database):  # type: ignore[misc]
    """The warehouse in one file, read-only."""

    def __init__(self, datasette: Datasette, db: Path) -> None:
        super().__init__(datasette, path=str(db))
        self.processes = VisitorProcesses(db)
        canned = queries.canned_queries() | _metadata_queries(datasette)
        self.query_names = frozenset(canned)
        self._ours = frozenset(query["sql"] for query in canned.values())

    def connect(self, write: bool = False) -> Any:
        """Open a read-only connection; Datasette reads ?, # and % in a name as URI syntax."""
        if write:
            raise RuntimeError("the server is read-only")
        connection = connect_readonly(Path(self.path))
        self._all_file_connections.append(connection)
        return connection

    async def execute(
        self,
        sql: str,
        params: Any = None,
        truncate: bool = False,
        custom_time_limit: float | None = None,
        page_size: int | None = None,
        log_sql_errors: bool = True,
    ) -> Any:
        """Run a statement in a thread or a process, with Datasette's arguments and errors."""
        results = await self._execute(sql, params, truncate, custom_time_limit, page_size)
        return _within(results, most_cells.get()) if truncate else results

    async def _execute(
        self,
        sql: str,
        params: Any,
        truncate: bool,
        custom_time_limit: float | None,
        page_size: int | None,
    ) -> Any:
        # A visitor's own statement is truncated, and may take its full time.
        if sql.startswith("select count(*) from ") and not truncate:
            custom_time_limit = custom_time_limit or COUNT_LIMIT_MS
        if self._is_ours(sql, truncate):
            # Datasette's error log would contain the statement's parameters.
            return await super().execute(sql, params, truncate, custom_time_limit, page_size, False)
        limit = min(custom_time_limit or self.ds.sql_time_limit_ms, self.ds.sql_time_limit_ms)
        max_rows = self.ds.max_returned_rows
        if max_rows == (page_size or self.ds.page_size):
            max_rows += 1
        statement = Statement(sql, params or {}, limit, max_rows if truncate else None)
        try:
            return _results(await self.processes.run(statement))
        except TimeoutError as error:
            raise QueryInterrupted(error, sql, params) from None
        except BusyError as error:
            raise DatasetteError(str(error), title="Busy", status=503) from None

    def _is_ours(self, sql: str, truncate: bool) -> bool:
        if sql in self._ours or " ".join(sql.split()) in _ABOUT_THE_SCHEMA:
            return True
        return not truncate and _COUNT_OF_A_TABLE.fullmatch(sql) is not None

    async def execute_fn(self, fn: Callable[[Any], Any]) -> Any:
        """Run a function with a connection, in a thread; cancelling it stops its statement."""
        turn = _ConnectionTurn()
        try:
            return await super().execute_fn(lambda connection: turn.at(connection, fn))
        except asyncio.CancelledError:
            turn.end_early()
            raise

    @cached_property
    def desk(self) -> Desk:
        """The tools of agents."""
        # What they need takes a while to import, and few servers are asked by agents.
        from etl.agents.desk import Desk

        return Desk(Path(self.path), self.processes)

    def close(self) -> None:
        """Close all connections and stop the processes."""
        super().close()
        if "desk" in vars(self):
            self.desk.close()
        self.processes.close()


def _metadata_queries(datasette: Datasette) -> dict[str, dict[str, Any]]:
    """Return the canned queries of the metadata."""
    database = (datasette.metadata("databases") or {}).get(DATABASE, {})
    found: dict[str, dict[str, Any]] = database.get("queries", {})
    return found


class _ConnectionTurn:
    """The time in which a function uses a connection and its statement may be interrupted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Any = None

    def at(self, connection: Any, fn: Callable[[Any], Any]) -> Any:
        with self._lock:
            self._connection = connection
        try:
            return fn(connection)
        finally:
            with self._lock:
                self._connection = None

    def end_early(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.interrupt()


class _NamedRow(tuple[Any, ...]):
    """A row with names, like sqlite3.Row, which only a cursor can create."""

    names: dict[str, int]

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            try:
                key = self.names[key]
            except KeyError:
                raise IndexError("No item with that key") from None
        return super().__getitem__(key)

    def keys(self) -> list[str]:
        return list(self.names)


def _within(results: Any, cells: int | None) -> Any:
    """Return at most this many cells, in whole rows, and at least one row."""
    if cells is None:
        return results
    rows = max(1, cells // max(1, len(results.description)))
    if len(results.rows) <= rows:
        return results
    return Results(results.rows[:rows], True, results.description)


def _results(answer: StatementRows) -> Any:
    """Return the rows in the form of Datasette's database."""
    # If two columns share a name, the name refers to the first.
    names: dict[str, int] = {}
    for index, name in enumerate(answer.columns):
        names.setdefault(name, index)
    rows = []
    for values in answer.rows:
        row = _NamedRow(values)
        row.names = names
        rows.append(row)
    return Results(rows, answer.truncated, [(name,) + (None,) * 6 for name in answer.columns])
