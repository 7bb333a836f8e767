"""Keep the rollups in step with events and CloudWatch totals, in the transaction that changes them.

- **Known part**: ``usage_hourly`` equals the sums of ``int_call_usage``, and ``usage_daily`` the
  sums of its hours. A change is applied to both as a difference: the old sums of the changed calls
  are subtracted, the new ones added. All sums are whole numbers, so nothing drifts.
- **Estimated part**: computed again for hours that changed and have CloudWatch totals, and also
  applied as a difference, only to rows whose estimate changed.
- **How far off it may be**: ``daily_widths``, of the same days.
- **Guardrails**: ``guardrail_daily`` has the sums of the calls with a ``guardrail_use_key``.
- A row without calls and without an estimate is deleted.

Code that adds or subtracts usage must call ``renew`` with its hours before committing. Calls before
the latest ``dropped_calls`` are gone: a rebuild does not change the rollups of that time.

The files in ``sql/checks`` verify that each of these equals a computation from scratch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta

from sqlite_utils import Database

from etl.normalise.identity import UNATTRIBUTED
from etl.normalise.token_kinds import CACHED_INPUT, COUNT_COLUMNS, KINDS, UNKNOWN_CALLS
from etl.sql_files import sql_text
from etl.warehouse.write.bill_cells import note_all
from etl.warehouse.write.costs import PRICED, note_usage, renew_costs
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.emptied import empty_temp_table
from etl.warehouse.write.minutes import (
    drop_changed_shares,
    note_changed_hours,
    note_changed_series,
)
from etl.warehouse.write.widths import renew_widths

_KNOWN = ("calls", "failed_calls", *COUNT_COLUMNS, *UNKNOWN_CALLS)

# Nearly always 0, so it is added only where it is not.
_RARE = "input_contradictions"

# Token kinds of the estimate, and the column of each; and what it takes from known input.
_ESTIMATED = {**{kind.name: kind.estimate for kind in KINDS}, "cached_input": CACHED_INPUT}

# The columns of int_cached_input and int_metric_residuals, with the types of the tables; the
# latter have a key that is quicker to sort by than theirs.
_MODEL = (
    "hour text, account_key integer, region_key integer, endpoint text, cloudwatch_model_id text"
)
_CACHED = (
    f"{_MODEL}, rate_key integer, user_key integer, application_key integer,"
    " token_source_key integer, cached_tokens integer"
)
_RESIDUALS = (
    f"residual_key integer primary key, {_MODEL}, token_kind text, model_key integer,"
    " total_tokens integer, known_tokens integer, unknown_calls integer, residual_tokens integer"
)

_RENEWED = ("estimated_calls", *_ESTIMATED.values())

# Not summed: the day has none.
_METHOD = "estimated_by"

_RATE_KEY = ("model_key", "region_key", "service_tier", "min_input_tokens", "variant")
_WHO = ("account_key", "rate_key", "user_key", "application_key", "token_source_key")

_KEY = ("hour", *_WHO)

# The key of guardrail_daily, after the day.
_GUARDED = (
    *("account_key", "region_key", "model_key", "user_key", "application_key"),
    "guardrail_use_key",
)

# Each rollup, its time column, and the expression that derives it from an hour. Without the cast,
# SQLite would use only the first column of the key, the day, in a lookup.
_DAY = "cast(substr(hour, 1, 10) as text)"
_PERIODS = (("usage_hourly", "hour", "hour"), ("usage_daily", "day", _DAY))

# The sums of earlier hours do not follow from the calls, whatever calls of them are there.
COUNTED_FROM = "(select coalesce(max(dropped_before), '') from dropped_calls)"

# Hours are renewed in ranges of this length, so that a long history needs neither one statement an
# hour nor a temporary table of everything.
_STRETCH = timedelta(days=7)


def _list(columns: Iterable[str], form: str = "{}") -> str:
    return ", ".join(form.format(column) for column in columns)


def _same(one: str, other: str, columns: Iterable[str]) -> str:
    return " and ".join(f"{one}.{column} = {other}.{column}" for column in columns)


_OLD = tuple(f"old_{column}" for column in (*_RENEWED, _METHOD))
_NEW = tuple(f"new_{column}" for column in (*_RENEWED, _METHOD))
_IS_ESTIMATED = f"coalesce({_list(_ESTIMATED.values())}) is not null"
_IS_EMPTY = f"calls = 0 and failed_calls = 0 and not {_IS_ESTIMATED}"


def add_usage(db: Database, relation: str, *, has_new_rates: bool = True) -> None:
    """Add usage from any relation that has the columns of ``int_call_usage``.

    ``relation``: what may follow FROM, a table or a select in parentheses. It must have ``hour``,
    the keys, the columns of ``_RATE_KEY`` and all counts; an unknown count is NULL. A row is one
    call, or already a sum. ``has_new_rates``: False if all rate keys are known to exist.
    """
    if has_new_rates:
        _add_rate_keys(db, relation)
    _apply(db, relation, "+")


def add_calls(db: Database, keys: str) -> None:
    """Add the calls with the (event_time, event_id) in the table ``keys``."""
    add_usage(db, _calls(keys))


def subtract_calls(db: Database, keys: str) -> None:
    """Subtract the calls in the table ``keys``, before they change or are deleted."""
    _apply(db, _calls(keys), "-")


def subtract_hours(db: Database, first: str, last: str) -> None:
    """Subtract what is known of the hours from one to before another one, whatever it sums."""
    _apply(
        db,
        f"(select usage.*, null as guardrail_use_key, {_list(_RATE_KEY, 'rate_keys.{}')}"
        " from usage_hourly as usage join rate_keys using (rate_key)"
        f" where hour >= '{first}' and hour < '{last}'"
        " and (usage.calls > 0 or usage.failed_calls > 0))",
        "-",
    )


def hours_of(db: Database, keys: str) -> set[str]:
    """Return the hours of the calls in the table ``keys``."""
    return {h for (h,) in db.execute(f"select distinct substr(event_time, 1, 13) from {keys}")}


def all_hours(db: Database) -> set[str]:
    """Return every hour that has calls or totals, as ``YYYY-MM-DDTHH``."""
    rows = db.execute("select hour from usage_hourly union select hour from metric_hourly")
    return {hour[:13] for (hour,) in rows}


def hours_of_models(db: Database, models: str) -> set[str]:
    """Return the hours with calls or totals of models: keys, or a select, as ``in`` takes them."""
    rows = db.execute(
        "select hour from usage_hourly join rate_keys using (rate_key)"
        f" where model_key in ({models})"
        f" union select hour from metric_hourly where model_key in ({models})"
    )
    return {hour[:13] for (hour,) in rows}


def rebuild_rollups(db: Database) -> None:
    """Rebuild the rollups from all events and CloudWatch totals.

    What each model's input contains is read again first. The known part of hours with dropped
    calls, all or some, stays as it is.
    """
    db.execute("delete from model_input_forms")
    db.execute("insert into model_input_forms select * from int_model_input_forms")
    (kept_from,) = db.execute(
        "select coalesce(max(dropped_before), '') from dropped_calls"
    ).fetchone()
    db.execute("delete from usage_hourly where hour >= ?", [kept_from])
    db.execute(
        f"update usage_hourly set estimated_calls = 0,"
        f" {_list((*_ESTIMATED.values(), _METHOD), '{} = null')}"
        f" where {_IS_ESTIMATED}"
    )
    db.execute(f"delete from usage_hourly where {_IS_EMPTY}")
    db.execute("delete from guardrail_daily where day >= ?", [kept_from[:10]])
    db.execute("delete from usage_daily")
    columns = _list((*_WHO, *_KNOWN, _RARE))
    db.execute(
        f"insert into usage_daily (day, {columns})"
        f" select substr(hour, 1, 10), {_list(_WHO)}, {_list((*_KNOWN, _RARE), 'sum({})')}"
        f" from usage_hourly group by substr(hour, 1, 10), {_list(_WHO)}"
    )
    db.execute("delete from usage_hours")
    db.execute(f"insert into usage_hours select distinct hour, {_DAY} from usage_hourly")
    for table in PRICED:
        db.execute(f"delete from {table}")
    note_usage(db, "usage_daily", "day")
    note_all(db)
    times = db.execute("select min(event_time), max(event_time) from events").fetchone()
    for first, last in _weeks(*times):
        hours = f"hour >= '{kept_from}' and event_time between '{first}' and '{last}:99'"
        add_usage(db, f"(select * from int_call_usage where {hours})")
    renew(db, Names(db), all_hours(db))


def renew(db: Database, names: Names, hours: Iterable[str]) -> None:
    """Renew the estimates of the hours (``YYYY-MM-DDTHH``), then the costs of all that changed."""
    hours = set(hours) | drop_changed_shares(db)
    note_changed_hours(db, hours)
    _renew(db, names, _stretches(hours))


def renew_shares(db: Database, names: Names, first: str, last: str) -> None:
    """Renew the estimates of the hours from one to another one, whose calls did not change."""
    _renew(db, names, _weeks(first, last))


def _renew(db: Database, names: Names, stretches: Iterable[tuple[str, str]]) -> None:
    days = set[str]()
    for first, last in stretches:
        stretch = {"first": f"{first}:00:00Z", "last": f"{last}:00:00Z"}
        # Totals are never deleted, so hours without any have no estimates to lose either.
        if db.execute(
            "select 1 from metric_hourly where hour between :first and :last limit 1", stretch
        ).fetchone():
            _compute_estimates(db, names, stretch)
            _find_estimate_changes(db, stretch)
            _apply_estimate_changes(db)
            days.update(_days(first, last))
    renew_widths(db, days)
    renew_costs(db)


def _calls(keys: str) -> str:
    # CROSS JOIN makes SQLite look up the call of each key, not the other way round.
    return (
        f"(select usage.* from {keys} as keys cross join int_call_usage as usage"
        " on usage.event_time = keys.event_time and usage.event_id = keys.event_id)"
    )


def _add_rate_keys(db: Database, relation: str) -> None:
    columns = _list(_RATE_KEY)
    db.execute(
        f"insert or ignore into rate_keys ({columns})"
        f" select distinct {columns} from {relation} order by {columns}"
    )


def _empty_temp(db: Database, table: str, numbers: Iterable[str]) -> None:
    """Make an empty temporary table with the key of ``usage_hourly`` and integer columns.

    The types equal those of that table: otherwise SQLite would not use the key for lookups.
    """
    columns = f"hour text, {_list((*_WHO, *numbers), '{} integer')}"
    empty_temp_table(db, table, f"{columns}, primary key ({_list(_KEY)})", "without rowid")


def _apply(db: Database, relation: str, sign: str) -> None:
    """Add the sums of a relation to hours and days (sign +), or subtract them (-)."""
    group = _list("rate_keys.rate_key" if c == "rate_key" else f"usage.{c}" for c in _KEY)
    known = (*_KNOWN, _RARE)
    columns = f"hour text, {_list((*_WHO, *known), '{} integer')}"
    empty_temp_table(db, "usage_changes", columns)
    db.execute(
        f"insert into usage_changes select {group},"
        f" {_list(known, f'{sign}coalesce(sum(usage.{{0}}), 0)')}"
        f" from {relation} as usage"
        f" cross join rate_keys on {_same('rate_keys', 'usage', _RATE_KEY)} group by {group}"
    )
    _add_changes(db, _KNOWN)
    if db.execute(f"select 1 from usage_changes where {_RARE} <> 0 limit 1").fetchone():
        _add_changes(db, (_RARE,))
    _note(db, "usage_changes")
    note_changed_series(db, "usage_changes")
    if sign == "-":
        _delete_empty(db, "usage_changes")
    # Most warehouses have no guardrails: the calls are not read again for them.
    if db.execute("select 1 from guardrail_uses limit 1").fetchone():
        _apply_guardrails(db, relation, sign)


def _apply_guardrails(db: Database, relation: str, sign: str) -> None:
    """Add the calls with guardrails to their days (sign +), or subtract them (-)."""
    group = f"{_DAY}, {_list(_GUARDED)}"
    db.execute(
        f"insert into guardrail_daily (day, {_list(_GUARDED)}, calls)"
        f" select {group}, {sign}sum(calls + failed_calls) from {relation} as usage"
        f" where guardrail_use_key is not null group by {group}"
        " on conflict do update set calls = calls + excluded.calls"
    )
    if sign == "-":
        db.execute("delete from guardrail_daily where calls = 0")


def _add_changes(db: Database, columns: Sequence[str]) -> None:
    """Add these columns of ``usage_changes`` to hours and days."""
    _add(
        db,
        "usage_hourly",
        "hour",
        columns,
        f"select {_list((*_KEY, *columns))} from usage_changes where true",
    )
    by_day = f"{_DAY}, {_list(_WHO)}"
    _add(
        db,
        "usage_daily",
        "day",
        columns,
        f"select {by_day}, {_list(columns, 'sum({})')} from usage_changes where true"
        f" group by {by_day}",
    )


def _add(db: Database, rollup: str, period: str, columns: Sequence[str], changes: str) -> None:
    """Add the rows of a select to those of a rollup."""
    db.execute(
        f"insert into {rollup} ({period}, {_list((*_WHO, *columns))}) {changes}"
        f" on conflict do update set {_list(columns, '{0} = {0} + excluded.{0}')}"
    )


def _note(db: Database, changes: str) -> None:
    """Record hours that may be new, and days that must be priced again."""
    db.execute(f"insert or ignore into usage_hours select distinct hour, {_DAY} from {changes}")
    note_usage(db, changes, _DAY)


def _delete_empty(db: Database, changes: str) -> None:
    """Delete the rows with keys of ``changes`` that are now empty."""
    for table, period, value in _PERIODS:
        db.execute(
            f"delete from {table} where ({period}, {_list(_WHO)}) in"
            f" (select {value}, {_list(_WHO)} from {changes}) and {_IS_EMPTY}"
        )
    db.execute(
        f"delete from usage_hours where hour in (select hour from {changes})"
        " and not exists (select 1 from usage_hourly where usage_hourly.hour = usage_hours.hour)"
    )


def _compute_estimates(db: Database, names: Names, stretch: dict[str, str]) -> None:
    """Create the temporary table ``estimates``: the estimates ``usage_hourly`` should have."""
    who = {
        "user_key": names.user(UNATTRIBUTED),
        "application_key": names.application(UNATTRIBUTED, UNATTRIBUTED),
    }
    empty_temp_table(db, "new_cached_input", _CACHED)
    db.execute(
        "insert into new_cached_input select * from int_cached_input"
        " where hour between :first and :last",
        stretch,
    )
    empty_temp_table(db, "new_residuals", _RESIDUALS)
    db.execute(
        f"insert into new_residuals select null, * from ({sql_text('load/residuals')})", stretch
    )
    _empty_temp(db, "estimates", (*_ESTIMATED.values(), _METHOD))
    db.execute(
        f"insert into estimates select {_list(_KEY)}, {_by_kind('estimated_tokens')}, max(method)"
        f" from ({sql_text('load/estimates')}) group by {_list(_KEY)}"
    )
    db.execute(
        "insert into estimates select hour, account_key, rate_key, :user_key, :application_key, 0,"
        f" {_by_kind('residual_tokens')}, null from ({sql_text('load/unattributed')})"
        " group by hour, account_key, rate_key",
        who,
    )


def _by_kind(tokens: str) -> str:
    return _list(_ESTIMATED, f"max(case when token_kind = '{{}}' then {tokens} end)")


def _find_estimate_changes(db: Database, stretch: dict[str, str]) -> None:
    """Create the temporary table ``estimate_changes``: rows whose estimate changes, old and new.

    ``estimated_calls``: the calls without their own tokens that have an estimate.
    """
    estimated = (*_ESTIMATED.values(), _METHOD)
    _empty_temp(db, "estimate_changes", (*_OLD, *_NEW))
    db.execute(
        f"insert into estimate_changes"
        f" select {_list(_KEY, 'usage.{}')}, {_list((*_RENEWED, _METHOD), 'usage.{0} as old_{0}')},"
        " iif(usage.token_source_key = 0 and estimates.hour is not null, usage.calls, 0)"
        f" as new_estimated_calls, {_list(estimated, 'estimates.{0} as new_{0}')}"
        f" from usage_hourly as usage left join estimates on {_same('estimates', 'usage', _KEY)}"
        f" where usage.hour between :first and :last and ({_list(_NEW)}) is not ({_list(_OLD)})",
        stretch,
    )
    # Tokens that belong to no call, if there was no row for them before.
    db.execute(
        f"insert into estimate_changes ({_list(_KEY)}, old_estimated_calls, new_estimated_calls,"
        f" {_list(estimated, 'new_{}')})"
        f" select {_list(_KEY)}, 0, 0, {_list(estimated)} from estimates"
        " where not exists (select 1 from usage_hourly as usage"
        f" where {_same('usage', 'estimates', _KEY)})"
    )


def _apply_estimate_changes(db: Database) -> None:
    """Write the new estimates to the hours; add the differences to the days."""
    db.execute(
        f"insert into usage_hourly ({_list((*_KEY, *_RENEWED, _METHOD))})"
        f" select {_list((*_KEY, *_NEW))} from estimate_changes where true"
        f" on conflict do update set {_list((*_RENEWED, _METHOD), '{0} = excluded.{0}')}"
    )
    # NULL means no estimate; adding to it starts at 0.
    difference = (
        "iif(count(new_{0}) + count(old_{0}) > 0,"
        " sum(coalesce(new_{0}, 0)) - sum(coalesce(old_{0}, 0)), null)"
    )
    db.execute(
        f"insert into usage_daily (day, {_list((*_WHO, *_RENEWED))})"
        f" select {_DAY}, {_list(_WHO)}, {_list(_RENEWED, difference)}"
        f" from estimate_changes where true group by {_DAY}, {_list(_WHO)}"
        " on conflict do update set "
        + _list(_RENEWED, "{0} = coalesce({0} + excluded.{0}, {0}, excluded.{0})")
    )
    _note(db, "estimate_changes")
    _renew_days_that_lost(db)
    _delete_empty(db, "estimate_changes")


def _renew_days_that_lost(db: Database) -> None:
    """Sum the hours again if one lost its estimate: it may have been the only one of the day."""
    is_lost = " or ".join(f"old_{c} is not null and new_{c} is null" for c in _ESTIMATED.values())
    hours = ", ".join(f"usage_daily.day || 'T{hour:02}:00:00Z'" for hour in range(24))
    columns = _ESTIMATED.values()
    db.execute(
        f"update usage_daily set ({_list(columns)}) = (select {_list(columns, 'sum({})')}"
        f" from usage_hourly where hour in ({hours})"
        f" and {_same('usage_hourly', 'usage_daily', _WHO)})"
        f" where (day, {_list(_WHO)}) in"
        f" (select {_DAY}, {_list(_WHO)} from estimate_changes where {is_lost})"
    )


def _weeks(first: str | None, last: str | None) -> Iterator[tuple[str, str]]:
    """Divide the time between two hours, or times in them, into ranges of whole hours."""
    if first is None or last is None:
        return
    start, end = (datetime.fromisoformat(f"{time[:13]}:00:00+00:00") for time in (first, last))
    while start <= end:
        yield _hour(start), _hour(start + _STRETCH - timedelta(hours=1))
        start += _STRETCH


def _days(first: str, last: str) -> Iterator[str]:
    """Yield the days from one hour to another one."""
    day, end = date.fromisoformat(first[:10]), date.fromisoformat(last[:10])
    while day <= end:
        yield day.isoformat()
        day += timedelta(days=1)


def _stretches(hours: set[str]) -> Iterator[tuple[str, str]]:
    """Join neighbouring hours, up to ``_STRETCH`` at a time."""
    first = last = None
    for hour in sorted(hours):
        moment = datetime.fromisoformat(f"{hour}:00:00+00:00")
        if first is not None and last is not None:
            if moment - last <= timedelta(hours=1) and moment - first < _STRETCH:
                last = moment
                continue
            yield _hour(first), _hour(last)
        first = last = moment
    if first is not None and last is not None:
        yield _hour(first), _hour(last)


def _hour(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H")
