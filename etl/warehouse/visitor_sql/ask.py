"""One statement that someone else wrote, with errors that say what to do next."""

from __future__ import annotations

import sqlite3

from etl.errors import DataError
from etl.warehouse.visitor_sql.processes import Statement, StatementRows, VisitorProcesses


async def ask(
    processes: VisitorProcesses, sql: str, *, seconds: float, max_rows: int
) -> StatementRows:
    """Return at most ``max_rows`` rows of a statement; kill it if this is cancelled.

    Raises DataError for every error in it and for one that takes too long, and BusyError if too
    many are waiting.
    """
    try:
        return await processes.run(Statement(sql, [], seconds * 1000, max_rows))
    except TimeoutError:
        raise DataError(
            f"the statement takes longer than {seconds:g} s; ask for fewer days, or use a view with"
            " days in place of one with single calls"
        ) from None
    except sqlite3.OperationalError as error:
        raise DataError(f"SQLite refuses the statement: {error}") from None
