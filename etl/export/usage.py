"""The usage of a month by day: the view usage_cost_daily, one row for each of its grain."""

from __future__ import annotations

from collections.abc import Iterator

from sqlite_utils import Database

from etl.export.months import Month
from etl.export.table import Row, Table, column_of, typed
from etl.warehouse.read.exports import stream


def usage(db: Database, month: Month) -> Table:
    """Return the usage of a month, read day by day."""
    names, _ = stream(db, "usage", {"day": ""})
    columns = [column_of(name) for name in names]

    def rows() -> Iterator[Row]:
        for day in month.days:
            yield from typed(columns, stream(db, "usage", {"day": day})[1])

    return Table(columns, rows())
