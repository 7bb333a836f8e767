"""Keep what the bill is compared with in step with both sides, in the transaction that changes one.

``bill_cells`` stores ``load/bill_cells`` for every day of every month of a bill, ``bill_reasons``
why they differ: computing a month anew takes longer than anybody waits for a page. A day is
computed again if

- the bill of its month was replaced, or whom its lines are charged for was decided again;
- it was open and is closed: the bill was read again, or that of the next month;
- the figures of now are compared, and usage or a rate changed: code that renews costs notes it;
- a price, a discount or the name of a model changed that the cells depend on. That needs no note:
  ``bill_cells_state`` has what they were computed with, and what is new cannot be in old cells.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable

from sqlite_utils import Database

from etl.sql_files import sql_text
from etl.warehouse.long_work import long_work
from etl.warehouse.write.emptied import empty_temp_table

_CELLS = (
    *("month", "day", "payer_account_id", "account_id", "region", "model_id", "user_name"),
    *("token_kind", "inference_scope", "service_tier", "min_input_tokens", "charge_kind"),
    *(
        "is_open",
        "is_current",
        "billed_lines",
        "mantle_lines",
        "billed",
        "billed_cost",
        "is_tokens",
    ),
    *("known", "estimated", "our_cost", "our_basis", "rate", "list_rate"),
)

_REASONS = (
    *("month", "day", "payer_account_id", "account_id", "region", "model_id", "user_name"),
    *("token_kind", "inference_scope", "service_tier", "min_input_tokens", "reason", "endpoint"),
    *("is_open", "difference_tokens", "rate", "billed_usd_per_million", "difference_picodollars"),
)
_COLUMNS = {"bill_cells": _CELLS, "bill_reasons": _REASONS}

_DAYS = "month text, day text, primary key (month, day)"


def note_month(db: Database, month: str) -> None:
    """Note that the bill of a month changed."""
    _ensure_notes(db)
    db.conn.execute("insert or ignore into noted_bill_days values (?, '')", [month])


def note_closed_days(db: Database) -> None:
    """Note the days that are closed now and were open, or the other way round."""
    _ensure_notes(db)
    db.execute(
        """
        insert or ignore into noted_bill_days
        select distinct cells.month, cells.day
        from bill_cells as cells
        join int_bill_covered as covered using (month, payer_account_id, account_id)
        where cells.is_open <> (cells.day > covered.closed_until)
        """
    )


def note_all(db: Database) -> None:
    """Note that everything must be computed again, as names of users changed."""
    db.conn.execute("delete from bill_cells_state")


def note_usage_days(db: Database) -> None:
    """Note the days in the table ``changed_days`` of which the bill is compared with now."""
    _ensure_notes(db)
    db.execute(
        """
        insert or ignore into noted_bill_days
        select distinct covered.month, changed.day
        from int_bill_covered as covered
        join changed_days as changed
            on changed.account_key = covered.account_key
            and substr(changed.day, 1, 7) = covered.month
        where not exists (
            select 1 from figures_before_bill as kept
            where kept.month_key = covered.month_key and kept.day = changed.day
            and kept.account_key = covered.account_key
        )
        """
    )


def ensure_bill_cells(db: Database) -> None:
    """Compute everything that a migration left to be computed."""
    if (
        db.execute("select 1 from bill_cells_state").fetchone() is None
        and db.execute("select 1 from bill_months limit 1").fetchone() is not None
    ):
        with db.atomic():
            renew_bill_cells(db)


def renew_bill_cells(db: Database) -> None:
    """Compute the days again that changed, in the caller's transaction; costs must be current.

    Does nothing while figures must still be kept: ``keep_figures`` calls it again.
    """
    if (
        db.execute("select 1 from bill_months limit 1").fetchone() is None
        or db.execute("select 1 from bill_days where not is_kept limit 1").fetchone() is not None
    ):
        return
    _ensure_notes(db)
    state = _state(db)
    stored = next(iter(db.execute("select state from bill_cells_state")), None)
    known = {*json.loads(stored[0])} if stored else None
    if known is None or not known <= state:
        _renew_months(db, [month for (month,) in db.execute("select month from bill_months")])
    else:
        noted = "select distinct month from noted_bill_days where day = ''"
        months = [month for (month,) in db.execute(noted)]
        _renew_months(db, months)
        days = "select month, day from noted_bill_days where day <> ''"
        _renew_days(db, [row for row in db.execute(days) if row[0] not in months])
    db.execute("delete from noted_bill_days")
    if known != state:
        db.execute("delete from bill_cells_state")
        db.execute("insert into bill_cells_state values (?)", [json.dumps(sorted(state))])


def _ensure_notes(db: Database) -> None:
    # day '': all days of the month.
    db.execute(f"create temp table if not exists noted_bill_days ({_DAYS}) without rowid")


def _renew_months(db: Database, months: Iterable[str]) -> None:
    with long_work(db, "comparing the bill") as note:
        for month in sorted({*months}):
            note(month)
            for table in _COLUMNS:
                db.execute(f"delete from {table} where month = ?", [month])
            days = "select month, day from int_bill_days where month = ?"
            _insert(db, db.execute(days, [month]).fetchall())


def _renew_days(db: Database, days: list[tuple[str, str]]) -> None:
    if days:
        for table in _COLUMNS:
            db.conn.executemany(f"delete from {table} where (month, day) = (?, ?)", days)
        _insert(db, days)


def _insert(db: Database, days: list[tuple[str, str]]) -> None:
    empty_temp_table(db, "stale_bill_days", _DAYS, "without rowid")
    db.conn.executemany("insert into stale_bill_days values (?, ?)", days)
    for table, columns in _COLUMNS.items():
        db.execute(f"insert into {table} ({', '.join(columns)}) {sql_text(f'load/{table}')}")


def _state(db: Database) -> set[str]:
    """Return what the cells depend on, besides the days' own figures: one text for each part."""
    prices: dict[str, list[object]] = defaultdict(list)
    ids = db.execute("select price_model_id, model_id from int_bill_model_ids").fetchall()
    models = db.execute(
        "select model_key, inference_scope, is_provisioned, model_id, price_model_id"
        " from int_bill_models"
    ).fetchall()
    wanted = {price_id for pair in ids for price_id in pair} | {model[-1] for model in models}
    for price_id, *price in db.execute(
        "select model_id, region, token_kind, scope, service_tier, min_input_tokens, usd_per_mtok,"
        " rate_class, origin, effective_from, effective_to from prices"
        " where corrected_on is null and model_id in (select value from json_each(?))"
        " order by price_id",
        [json.dumps(sorted(wanted))],
    ):
        prices[price_id].append(price)
    return {
        *(_text("id", *pair) for pair in ids),
        *(_text("model", *model) for model in models),
        *(_text("prices", one, prices.get(one)) for one in wanted),
        _text("discounts", db.execute("select * from discounts order by 1").fetchall()),
    }


def _text(kind: str, *parts: object) -> str:
    return hashlib.sha256(repr((kind, parts)).encode()).hexdigest()[:32]
