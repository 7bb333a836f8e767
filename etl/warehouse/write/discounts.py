"""Store the discounts of the configuration, and price again the days that they change.

What a discount matches is decided by views (``int_account_discounts``, ``int_account_rates``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date

from sqlite_utils import Database

from etl.normalise.discounts import CONDITIONS, Discount
from etl.warehouse.write.costs import renew_costs

_COLUMNS = (
    *(f"{name}s" for name in CONDITIONS),
    *("percent", "kept_millionths", "effective_from", "effective_to"),
)

# Before all Bedrock calls.
_ALWAYS = "0001-01-01"


def apply_discounts(db: Database, discounts: Sequence[Discount]) -> bool:
    """Replace the stored discounts, and price the affected days again; return whether they differ.

    All of it is one transaction; if nothing differs, nothing is written.
    """
    rows = [_row(discount) for discount in discounts]
    if rows == _stored(db):
        return False
    with db.atomic():
        db.conn.execute("delete from discounts")
        marks = ", ".join("?" * (len(_COLUMNS) + 1))
        db.conn.executemany(
            f"insert into discounts (discount_number, {', '.join(_COLUMNS)}) values ({marks})",
            [(number, *row) for number, row in enumerate(rows, 1)],
        )
        renew_costs(db)
    return True


def stored_discounts(db: Database) -> tuple[Discount, ...]:
    """Return the discounts in force, in the order in which they are tried."""
    return tuple(map(_discount, _stored(db)))


def _stored(db: Database) -> list[tuple[object, ...]]:
    return db.conn.execute(
        f"select {', '.join(_COLUMNS)} from discounts order by discount_number"
    ).fetchall()


def _row(discount: Discount) -> tuple[object, ...]:
    patterns = (discount.patterns(name) for name in CONDITIONS)
    return (
        *(None if one is None else json.dumps(one) for one in patterns),
        discount.percent_text,
        discount.kept_millionths,
        discount.start.isoformat() if discount.start else _ALWAYS,
        discount.end.isoformat() if discount.end else None,
    )


def _discount(row: Sequence[object]) -> Discount:
    *conditions, percent, _, start, end = row
    patterns = (None if one is None else tuple(json.loads(str(one))) for one in conditions)
    return Discount(
        percent=float(str(percent)),
        start=None if start == _ALWAYS else date.fromisoformat(str(start)),
        end=None if end is None else date.fromisoformat(str(end)),
        **dict(zip(CONDITIONS, patterns, strict=True)),
    )
