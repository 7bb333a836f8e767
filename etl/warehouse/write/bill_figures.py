"""Keep what the warehouse knew of a day before the bill's lines of that day became known.

The bill is compared with these figures, so nothing that it changes later, such as a fit that uses
it, changes what it was compared with. A day whose lines change is compared anew, and its figures
are those of that time.
"""

from __future__ import annotations

from sqlite_utils import Database

from etl.warehouse.write.bill_cells import note_all, renew_bill_cells

_FIGURES = "day, account_key, rate_key, user_key, token_kind, known, estimated, rate, list_rate"


def keep_figures(db: Database) -> None:
    """Keep the figures of the days that a bill has anew, in the caller's transaction.

    Usage and costs must be up to date.
    """
    days = db.conn.execute("select month_key, day from bill_days where not is_kept").fetchall()
    for month_key, day in days:
        db.conn.execute(
            f"insert into figures_before_bill (month_key, {_FIGURES})"
            f" select ?, {_FIGURES} from int_our_figures where day = ?",
            [month_key, day],
        )
    if days:
        db.conn.execute("update bill_days set is_kept = 1 where not is_kept")
    renew_bill_cells(db)


def keep_figures_again(db: Database) -> None:
    """Keep the figures of all days as they are now: whose usage it is was decided again."""
    db.conn.execute("delete from figures_before_bill")
    db.conn.execute("update bill_days set is_kept = 0")
    note_all(db)
    keep_figures(db)
