"""Keep the priced days in step with the days and the rates, in the transaction that changes them.

``priced_daily`` sums ``load/priced_days``, the view ``int_usage_daily_priced`` at the rates of
``priced_rates``, for each account, rate key, user and application of a day;
``priced_daily_by_user``, ``_by_application`` and ``_by_model`` sum it up. ``PRICED`` has their
keys. A row is not changed by a difference but computed again from its rows of ``usage_daily``:
prices change too, and whether a row has a cost at all depends on all its parts. All but the last
have the costs at both ends of what estimates may be; over all callers, totals are CloudWatch's.

Code that changes ``usage_daily`` must call ``note_usage``. A change of rates needs no note: the
rates in force are compared with those used before, which finds new prices, discounts, models and
inference profiles alike. Only the days on which a rate differs are priced again.

Names are not stored here, so a change of aliases, application tags and the like needs no update.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlite_utils import Database

from etl.normalise.token_kinds import LIST_RATES, RATES, SHOWN, SHOWN_TOKENS
from etl.sql_files import sql_text
from etl.warehouse.long_work import long_work
from etl.warehouse.write.bill_cells import note_usage_days, renew_bill_cells
from etl.warehouse.write.emptied import empty_temp_table
from etl.warehouse.write.watch import note_days

_MODEL = ("day", "account_key", "rate_key")
_BOTH = (*_MODEL, "user_key", "application_key")

# The tables, with their keys; the first is computed, the others sum it.
# The sums by user and by application are worth having (DECISIONS 151).
PRICED = {
    "priced_daily": _BOTH,
    "priced_daily_by_user": (*_MODEL, "user_key"),
    "priced_daily_by_application": (*_MODEL, "application_key"),
    "priced_daily_by_model": _MODEL,
}

# What each of them sums: the relation with the fewest rows that has the data.
_BELOW = {
    "priced_daily": f"({sql_text('load/priced_days')})",
    "priced_daily_by_user": "priced_daily",
    "priced_daily_by_application": "priced_daily",
    "priced_daily_by_model": "priced_daily_by_application",
}

# How far off the costs of names may be: the files that define it.
_BOUNDED = {
    "priced_daily_by_user": "load/bounds_by_user",
    "priced_daily_by_application": "load/bounds_by_application",
}

_SUMS = (
    "unbounded_estimates",
    "calls", "failed_calls", "calls_with_tokens", "calls_without_tokens",
    "unpriced_calls", "unpriced_tokens", "list_unpriced_tokens",
    *SHOWN,
    "actual_tokens", "estimated_tokens",
)  # fmt: skip
_COSTS = (
    "cost_low_picodollars", "cost_high_picodollars",
    "cost_picodollars", "actual_cost_picodollars", "estimated_cost_picodollars",
    "list_cost_picodollars",
)  # fmt: skip

_RATES = ", ".join(
    ("discount_group", "rate_key", "valid_from", "valid_to", *RATES, *LIST_RATES)
)  # fmt: skip
_DIFFERS = " or ".join(f"old.{rate} is not new.{rate}" for rate in (*RATES, *LIST_RATES))


def note_usage(db: Database, changes: str, day: str) -> None:
    """Record that the rows of ``usage_daily`` with the keys of the table ``changes`` changed.

    ``day``: the SQL expression for a row's day.
    """
    _ensure_notes(db)
    keys = ", ".join(_BOTH[1:])
    db.execute(f"insert or ignore into changed_days select {day}, {keys} from {changes}")


def _ensure_notes(db: Database) -> None:
    db.execute(
        "create temp table if not exists changed_days (day text, account_key integer,"
        " rate_key integer, user_key integer, application_key integer,"
        f" primary key ({', '.join(_BOTH)})) without rowid"
    )


def renew_costs(db: Database) -> None:
    """Price again the days with noted usage or with changed rates.

    Then what the bill is compared with is renewed too.
    """
    if _note_rates(db):
        # All days of these rates, which may be millions of rows.
        with long_work(db, "applying changed rates") as note:
            _renew_all(db, note)
    elif db.execute("select 1 from changed_days limit 1").fetchone() is not None:
        _renew_all(db, lambda table: None)
    renew_bill_cells(db)


def _renew_all(db: Database, note: Callable[[str], None]) -> None:
    note_days(db, "changed_days")
    for number, table in enumerate(PRICED, 1):
        note(f"{table} ({number} of {len(PRICED)})")
        _renew(db, table)
    note_usage_days(db)
    db.execute("delete from changed_days")


def _note_rates(db: Database) -> bool:
    """Note all usage with changed rates; return whether any rate changed."""
    _ensure_notes(db)
    is_regrouped = _renew_groups(db)
    empty_temp_table(db, "current_rates", _RATES)
    db.execute(f"insert into current_rates select {_RATES} from {_current_rates(db)}")
    new, old = (f"select {_RATES} from {table}" for table in ("current_rates", "priced_rates"))
    is_changed = db.execute(
        f"select exists ({new} except {old}) or exists ({old} except {new})"
        " or exists (select 1 from stale_rate_keys)"
    ).fetchone()
    if not is_regrouped and is_changed == (0,):
        return False
    _note_changed_days(db)
    note_usage(db, "usage_daily where rate_key in (select rate_key from stale_rate_keys)", "day")
    db.execute("delete from priced_rates")
    db.execute(f"insert into priced_rates ({_RATES}) {new}")
    db.execute("delete from stale_rate_keys")
    return True


def _current_rates(db: Database) -> str:
    """Return the relation of the rates in force.

    Without discounts all accounts have the same, and preparing to apply discounts takes longer than
    all the rest.
    """
    if db.execute("select 1 from discounts limit 1").fetchone():
        return "int_account_rates"
    return "(select 0 as discount_group, * from int_rates)"


def _renew_groups(db: Database) -> bool:
    """Store the discount group of each account; return whether any changed.

    ``regroupings`` then has each account with its old group and its new one.
    """
    columns = "account_key integer primary key, old integer, new integer"
    empty_temp_table(db, "regroupings", columns)
    db.execute(
        "insert into regroupings select account_key, coalesce(stored.discount_group, 0),"
        " coalesce(now.discount_group, 0) from accounts"
        " left join account_discounts as stored using (account_key)"
        " left join int_account_discounts as now using (account_key)"
    )
    changed = db.execute("select exists (select 1 from regroupings where old <> new)").fetchone()
    if changed == (0,):
        return False
    db.execute("delete from account_discounts")
    db.execute("insert into account_discounts select * from int_account_discounts")
    return True


def _note_changed_days(db: Database) -> None:
    """Note the usage of the days on which a rate of its account is not what it was.

    Between two days on which a rate changes, before or now, both are constant.
    """
    empty_temp_table(
        db, "changed_rates", "old_group, new_group, rate_key integer, day text, next_day text"
    )
    db.execute(
        f"""
        insert into changed_rates
        with pairs as (select distinct old as old_group, new as new_group from regroupings),
        periods as (
            select pairs.*, rate_key, valid_from, valid_to
            from pairs join priced_rates on discount_group = old_group
            union
            select pairs.*, rate_key, valid_from, valid_to
            from pairs join current_rates on discount_group = new_group
        ),
        edges as (
            select old_group, new_group, rate_key, valid_from as day from periods
            union select old_group, new_group, rate_key, valid_to from periods
        ),
        stretches as (
            select edges.*, lead(day) over (
                partition by old_group, new_group, rate_key order by day
            ) as next_day
            from edges
        )
        select stretches.*
        from stretches
        left join priced_rates as old
            on old.rate_key = stretches.rate_key and old.discount_group = old_group
            and day >= old.valid_from and day < old.valid_to
        left join current_rates as new
            on new.rate_key = stretches.rate_key and new.discount_group = new_group
            and day >= new.valid_from and day < new.valid_to
        where next_day is not null and ({_DIFFERS})
        """
    )
    db.execute("create index if not exists temp.changed_rates_by_key on changed_rates (rate_key)")
    note_usage(
        db,
        """
        usage_daily as usage where exists (
            select 1 from changed_rates as changed
            cross join regroupings on regroupings.account_key = usage.account_key
            where changed.rate_key = usage.rate_key and changed.day <= usage.day
            and changed.next_day > usage.day and changed.old_group = regroupings.old
            and changed.new_group = regroupings.new
        )
        """,
        "day",
    )


def _renew(db: Database, table: str) -> None:
    """Compute the changed rows of a table again, from the relation below it."""
    below, sums = _BELOW[table], _SUMS_OF[table]
    keys = ", ".join(PRICED[table])
    changed = f"select distinct {keys} from changed_days"
    same = " and ".join(f"usage.{column} = changed.{column}" for column in PRICED[table])
    db.execute(f"delete from {table} where ({keys}) in ({changed})")
    # CROSS JOIN makes SQLite look up the usage of each key, not the other way round; without
    # MATERIALIZED it would compute a cost again for each column that uses it.
    db.execute(
        f"insert into {table} ({keys}, {', '.join(sums)}) with usage as materialized"
        f" (select usage.* from ({changed}) as changed cross join {below} as usage on {same})"
        f" select {keys}, {', '.join(sums.values())} from usage group by {keys}"
    )
    if table in _BOUNDED and db.execute("select 1 from daily_widths limit 1").fetchone():
        _bound(db, table)


def _bound(db: Database, table: str) -> None:
    """Set the bounds of the names on changed days: they depend on those of all other names."""
    same = " and ".join(f"bounds.{column} = {table}.{column}" for column in PRICED[table])
    db.execute(
        f"update {table} set cost_low_picodollars = bounds.cost_low_picodollars,"
        " cost_high_picodollars = bounds.cost_high_picodollars"
        f" from ({sql_text(_BOUNDED[table])}) as bounds where {same}"
    )


def _whole(column: str, condition: str = "true") -> str:
    # Not a single sum: SQLite raises an error if that exceeds 64 bits. This becomes a
    # floating-point number instead, which does not stop a load, and which the check money_is_whole
    # finds.
    parts = (f"sum({column} {part} 1000000) filter (where {condition})" for part in "/%")
    return " * 1000000 + ".join(parts)


def _data_source(cost: str) -> str:
    """Return the common data source of the rows that have usage, or Mixed."""
    has_usage = f"filter (where calls > 0 or {cost} > 0 or unpriced_tokens > 0)"
    return (
        f"case when min(data_source) {has_usage} < max(data_source) {has_usage} then 'Mixed'"
        f" else coalesce(max(data_source) {has_usage}, max(data_source)) end"
    )


_IS_ACTUAL = "data_source like 'Actual%'"
_IS_ESTIMATED = "data_source = 'CloudWatch (Estimated)'"
_TOKENS = f"sum({' + '.join(f'coalesce({column}, 0)' for column in SHOWN_TOKENS)})"

# The columns of priced_daily, from int_usage_daily_priced.
_PRICED = {
    **{column: f"sum({column})" for column in _SUMS},
    "calls_with_tokens": f"coalesce(sum(calls) filter (where {_IS_ACTUAL}), 0)",
    "actual_tokens": f"{_TOKENS} filter (where {_IS_ACTUAL})",
    "estimated_tokens": f"{_TOKENS} filter (where {_IS_ESTIMATED})",
    **{column: _whole(column) for column in _COSTS},
    "actual_cost_picodollars": _whole("cost_picodollars", _IS_ACTUAL),
    "estimated_cost_picodollars": _whole("cost_picodollars", _IS_ESTIMATED),
    "data_source": _data_source("cost_picodollars"),
}

# The same columns from priced_daily; of bounds, only where the cost has no width.
_ADDED_UP = {
    **{column: f"sum({column})" for column in _SUMS},
    **{column: _whole(column) for column in _COSTS},
    "cost_low_picodollars": _whole("cost_picodollars"),
    "cost_high_picodollars": _whole("cost_picodollars"),
    "data_source": _data_source("cost_picodollars"),
}

_WITHOUT_BOUNDS = {
    column: added
    for column, added in _ADDED_UP.items()
    if column not in ("unbounded_estimates", "cost_low_picodollars", "cost_high_picodollars")
}

_SUMS_OF = {
    "priced_daily": _PRICED,
    "priced_daily_by_user": _ADDED_UP,
    "priced_daily_by_application": _ADDED_UP,
    "priced_daily_by_model": _WITHOUT_BOUNDS,
}
