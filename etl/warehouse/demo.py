"""Tell a demo warehouse from one that holds a user's own data."""

from __future__ import annotations

from sqlite_utils import Database

_SEED = "demo"


def mark_demo(db: Database, day: str) -> None:
    """Note that the warehouse holds nothing but the demo, moved to end on this day."""
    db.execute("insert or replace into seeds values (?, ?)", [_SEED, day])


def is_demo(db: Database) -> str | None:
    """Return the day the demo was built for; None if the warehouse is no demo."""
    row = db.execute("select sha256 from seeds where seed = ?", [_SEED]).fetchone()
    return str(row[0]) if row else None
