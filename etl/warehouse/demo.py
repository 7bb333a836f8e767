"""Distinguish a demo warehouse from one with a user's own data."""

from __future__ import annotations

from pathlib import Path

from sqlite_utils import Database

from etl.errors import BedrockUsageError

_SEED = "demo"

# The tables that have rows in a new warehouse.
_SET_UP = frozenset({"prices", "seeds", "context_bands", "token_sources", "input_forms"})


def mark_demo(db: Database, day: str) -> None:
    """Record that the warehouse holds only the demo, shifted to end on this day."""
    with db.atomic():
        db.execute("insert or replace into seeds values (?, ?)", [_SEED, day])


def is_demo(db: Database) -> str | None:
    """Return the day the demo was built for; None if the warehouse is not a demo."""
    row = db.execute("select sha256 from seeds where seed = ?", [_SEED]).fetchone()
    return str(row[0]) if row else None


def holds_data(db: Database) -> bool:
    """Return whether the warehouse has anything loaded, read from AWS or configured by a user."""
    tables = {
        name
        for (name,) in db.execute("select name from sqlite_master where type = 'table'")
        if not name.startswith(("sqlite_", "_sqlite_"))
    }
    own_prices = "select 1 from prices where origin = 'import' limit 1"
    others = (f"select 1 from {table} limit 1" for table in sorted(tables - _SET_UP))
    return any(db.execute(sql).fetchone() is not None for sql in (own_prices, *others))


def refuse_demo(db: Database, path: Path) -> None:
    """Raise BedrockUsageError if the warehouse holds the demo: other data must not mix with it."""
    if is_demo(db):
        raise BedrockUsageError(
            f"{path} holds the demo's data: delete it first, or load into another file with --db"
        )
