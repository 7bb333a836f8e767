"""Write rows that simply replace the stored row with the same key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlite_utils import Database


def renew_rows(db: Database, table: str, rows: Sequence[Any]) -> int:
    """Write named tuples, with the columns of a table as fields; return how many rows changed.

    In the caller's transaction. Forgotten names must already be replaced: see
    ``etl.warehouse.pseudonyms``.
    """
    if not rows:
        return 0
    columns = rows[0]._fields
    found = db.execute("select name from pragma_table_info(?) where pk > 0", [table])
    keys = {name for (name,) in found}
    others = [column for column in columns if column not in keys]
    old, new = ", ".join(others), ", ".join(f"excluded.{column}" for column in others)
    renew = (
        f"update set {', '.join(f'{column} = excluded.{column}' for column in others)}"
        f" where ({old}) is not ({new})"
    )
    return db.conn.executemany(
        f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})"
        f" on conflict do {renew if others else 'nothing'}",
        rows,
    ).rowcount
