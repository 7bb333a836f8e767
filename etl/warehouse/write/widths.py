"""Keep in step how far off the estimates of each day may be.

``sql/macros/widths.sql`` defines ``daily_widths``. It follows from the day's estimates and from
what calibrations found, so whatever renews estimates calls ``renew_widths`` with their days, before
the costs are renewed.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlite_utils import Database

from etl.normalise.token_kinds import WIDTHS
from etl.sql_files import sql_text
from etl.warehouse.write.costs import note_usage
from etl.warehouse.write.emptied import empty_temp_table

_KEY = ("account_key", "rate_key", "user_key", "application_key", "token_source_key")
_NEW, _OLD = "select * from new_widths", "select * from daily_widths where day = ?1"


def renew_widths(db: Database, days: Iterable[str]) -> None:
    """Compute the widths of days again; note the usage of those that changed."""
    integers = ", ".join(f"{column} integer" for column in (*_KEY, *WIDTHS))
    for day in sorted(days):
        empty_temp_table(db, "new_widths", f"day text, {integers}")
        db.execute(f"insert into new_widths {sql_text('load/daily_widths')}", {"day": day})
        empty_temp_table(db, "changed_widths", f"day text, {integers}")
        db.execute(
            f"insert into changed_widths select * from ({_NEW} except {_OLD})"
            f" union all select * from ({_OLD} except {_NEW})",
            [day],
        )
        if db.execute("select 1 from changed_widths limit 1").fetchone() is not None:
            note_usage(db, "changed_widths", "day")
            db.execute("delete from daily_widths where day = ?", [day])
            db.execute(f"insert into daily_widths {_NEW}")
