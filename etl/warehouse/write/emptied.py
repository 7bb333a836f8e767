"""Temporary tables that are used again and again."""

from __future__ import annotations

from sqlite_utils import Database


def empty_temp_table(db: Database, table: str, definition: str, options: str = "") -> None:
    """Make an empty temporary table, or empty the one that is there.

    ``definition``: columns and constraints. The table is not dropped and made again, because SQLite
    would then compile every statement of the connection again, and that takes longer than running
    it on a batch of calls.
    """
    db.execute(f"create temp table if not exists {table} ({definition}) {options}")
    db.execute(f"delete from temp.{table}")
