"""What is exported: the rows of the files of ``sql/exports``, one after the other.

A month may have more rows than fit into memory, so rows are never collected here, and SQLite sorts
them in a file. All statements of an export see the warehouse as it was at the first of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlite_utils import Database

from etl.sql_files import sql_text

Row = tuple[Any, ...]


@contextmanager
def one_moment(db: Database) -> Iterator[None]:
    """Read the warehouse as it is at the first statement inside, whatever others write."""
    (before,) = db.conn.execute("pragma temp_store").fetchone()
    db.conn.execute("pragma temp_store = file")
    db.conn.execute("begin")
    try:
        yield
    finally:
        # An error of SQLite may have ended it already.
        if db.conn.in_transaction:
            db.conn.execute("commit")
        db.conn.execute(f"pragma temp_store = {before}")


def stream(
    db: Database, export: str, parameters: Mapping[str, Any]
) -> tuple[tuple[str, ...], Iterator[Row]]:
    """Return the columns of a file of ``sql/exports``, and an iterator over its rows."""
    cursor = db.conn.execute(sql_text(f"exports/{export}"), parameters)
    return tuple(column[0] for column in cursor.description), cursor
