"""Store the keys of the request metadata by which the configuration wants usage to be shown."""

from __future__ import annotations

from collections.abc import Sequence

from sqlite_utils import Database


def apply_metadata_keys(db: Database, keys: Sequence[str], max_values: int) -> None:
    """Replace the stored keys; if nothing differs, nothing is written."""
    rows = [(key, max_values) for key in sorted(keys)]
    stored = db.conn.execute(
        "select metadata_key, max_values from metadata_keys order by metadata_key"
    ).fetchall()
    if rows == stored:
        return
    with db.atomic():
        db.conn.execute("delete from metadata_keys")
        db.conn.executemany("insert into metadata_keys values (?, ?)", rows)
