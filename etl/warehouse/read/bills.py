"""What AWS's bill says beside the warehouse's own figures, and why they differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.errors import DataError
from etl.warehouse.read.reports import run_report

NO_BILL = (
    "no bill in USD is loaded: `bedrock-usage load` reads an export of it, and `sync` every time"
    " once [sources.bill] says where exports are"
)


class BillComparison(NamedTuple):
    """The rows of the views of the same names, for the months that were asked for.

    ``columns``: those of a difference, also where there is none. ``rates``: by day, at which rates
    the bill charges what it charges at another rate than ours. ``left_out``: the accounts that are
    not compared, as some of them is not billed in USD.
    """

    months: list[dict[str, Any]]
    days: list[dict[str, Any]]
    users: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    columns: list[str]
    rates: list[dict[str, Any]]
    left_out: list[dict[str, Any]]


def compare_bill(
    db: Database, months: Sequence[str] = (), *, in_full: bool = True
) -> BillComparison:
    """Return what the bill says beside our figures; ``months``: YYYY-MM, none for all.

    Without ``in_full``, users have no rows. Raises DataError if no bill has one of the months.
    """
    all_months = [month for (month,) in db.execute("select distinct month from bill_months")]
    wanted = {"months": json.dumps(list(months) or all_months)}
    found = run_report(db, "reconcile_months", wanted)
    known = {row["month"] for row in found}
    if missing := sorted({*months} - known):
        (first, last) = db.conn.execute("select min(month), max(month) from bill_months").fetchone()
        raise DataError(
            f"no bill in USD has {', '.join(missing)}: there is {first} to {last}"
            if first
            else NO_BILL
        )
    if not found:
        raise DataError(NO_BILL)
    return BillComparison(
        found,
        run_report(db, "reconcile_days", wanted),
        run_report(db, "reconcile_users", wanted) if in_full else [],
        run_report(db, "reconcile_differences", wanted),
        [name for _, name, *_ in db.execute("pragma table_info(bill_differences)")],
        run_report(db, "reconcile_rates", wanted),
        run_report(db, "reconcile_left_out", wanted),
    )
