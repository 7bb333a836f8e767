"""The rates in force in a month, as ``prices import`` reads them.

Where an imported rate or one of AWS's Price List takes the place of another for the same use, the
other ends there, so that no two rates overlap.
"""

from __future__ import annotations

from sqlite_utils import Database

from etl.export.months import Month
from etl.export.table import Table, column_of, typed
from etl.warehouse.read.exports import stream


def prices(db: Database, month: Month) -> Table:
    """Return the rates of a month."""
    names, rows = stream(db, "prices", month.ends)
    columns = [column_of(name) for name in names]
    return Table(columns, typed(columns, rows))
