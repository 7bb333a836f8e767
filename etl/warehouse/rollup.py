"""Keep the rollups in step with events and CloudWatch totals, in the transaction that changes them.

- ``usage_hourly``, known part: equal to the sums of ``int_call_usage``. A change is applied as a
  difference: what the changed calls came to before is taken away, what they come to now is added.
  All sums are whole numbers, so nothing drifts.
- ``usage_hourly``, estimated part, and ``usage_daily``: made anew for the hours and days that
  changed.

The files in ``sql/checks`` prove each of these equal to a computation from scratch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from sqlite_utils import Database

from etl.normalise.identity import UNATTRIBUTED
from etl.warehouse.names import Names

_KNOWN = (
    "calls", "failed_calls",
    "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_5m_tokens", "cache_write_1h_tokens", "image_count",
    "input_unknown_calls", "output_unknown_calls", "cache_read_unknown_calls",
    "cache_write_unknown_calls", "image_unknown_calls",
)  # fmt: skip

# Token kinds of the estimate, and the column of each.
_ESTIMATED = {
    "input": "estimated_input_tokens",
    "output": "estimated_output_tokens",
    "cache_read": "estimated_cache_read_tokens",
    "cache_write": "estimated_cache_write_tokens",
    "image": "estimated_image_count",
}

_RATE_KEY = ("model_key", "region_key", "service_tier", "min_input_tokens")
_WHO = ("account_key", "rate_key", "user_key", "application_key", "token_source_key")

# Hours are renewed in stretches, so that a long history needs neither a statement an hour nor a
# temporary table of everything.
_STRETCH = timedelta(days=7)


def add_calls(db: Database, keys: str) -> None:
    """Add the calls whose (event_time, event_id) stand in the table ``keys``."""
    db.execute(
        f"insert or ignore into rate_keys ({', '.join(_RATE_KEY)})"
        f" select distinct {', '.join(f'usage.{column}' for column in _RATE_KEY)} {_calls(keys)}"
        f" order by {', '.join(f'usage.{column}' for column in _RATE_KEY)}"
    )
    _apply(db, keys, "+")


def take_calls(db: Database, keys: str) -> None:
    """Take the same calls away again: before they change or go."""
    _apply(db, keys, "-")


def hours_of(db: Database, keys: str) -> set[str]:
    """Return the hours of the calls in the table ``keys``."""
    return {h for (h,) in db.execute(f"select distinct substr(event_time, 1, 13) from {keys}")}


def rebuild_rollups(db: Database) -> None:
    """Make both rollups anew from every event and every CloudWatch total."""
    db.execute("delete from usage_hourly")
    db.execute("delete from usage_daily")
    add_calls(db, "events")
    renew(db, Names(db), all_hours(db))


def all_hours(db: Database) -> set[str]:
    """Return every hour that has calls or totals, as ``YYYY-MM-DDTHH``."""
    rows = db.execute("select hour from usage_hourly union select hour from metric_hourly")
    return {hour[:13] for (hour,) in rows}


def renew(db: Database, names: Names, hours: Iterable[str]) -> None:
    """Renew the estimates of the hours (``YYYY-MM-DDTHH``), then the days they belong to."""
    changed = set(hours)
    for first, last in _stretches(changed):
        _renew_estimates(db, names, f"{first}:00:00Z", f"{last}:00:00Z")
    for day in sorted({hour[:10] for hour in changed}):
        _renew_day(db, day)


def _calls(keys: str) -> str:
    # CROSS JOIN makes SQLite go through the keys and look each call up, not the other way round.
    return (
        f"from {keys} as keys cross join int_call_usage as usage"
        " on usage.event_time = keys.event_time and usage.event_id = keys.event_id"
    )


def _apply(db: Database, keys: str, sign: str) -> None:
    sums = ", ".join(f"{sign}coalesce(sum(usage.{counter}), 0)" for counter in _KNOWN)
    changes = ", ".join(f"{counter} = {counter} + excluded.{counter}" for counter in _KNOWN)
    same_rate = " and ".join(f"rate_keys.{column} = usage.{column}" for column in _RATE_KEY)
    key = ("hour", *_WHO)
    group = ", ".join("rate_keys.rate_key" if c == "rate_key" else f"usage.{c}" for c in key)
    db.execute(
        f"insert into usage_hourly ({', '.join(key + _KNOWN)})"
        f" select {group}, {sums} {_calls(keys)} cross join rate_keys on {same_rate}"
        f" where true group by {group}"
        f" on conflict do update set {changes}"
    )


def _renew_estimates(db: Database, names: Names, first: str, last: str) -> None:
    stretch = {"first": first, "last": last}
    # Also drops what is left of calls taken away, and (unattributed) rows.
    db.execute(
        "delete from usage_hourly where hour between :first and :last"
        " and calls = 0 and failed_calls = 0",
        stretch,
    )
    nothing = ", ".join(f"{column} = null" for column in _ESTIMATED.values())
    db.execute(
        f"update usage_hourly set estimated_calls = 0, {nothing}"
        " where hour between :first and :last"
        f" and coalesce({', '.join(_ESTIMATED.values())}) is not null",
        stretch,
    )
    if db.execute(
        "select 1 from metric_hourly where hour between :first and :last limit 1", stretch
    ).fetchone():
        _store_estimates(db, stretch)
        _store_unattributed(db, names, stretch)


def _store_estimates(db: Database, stretch: dict[str, str]) -> None:
    key = ("hour", *_WHO)
    kinds = ", ".join(
        f"max(case when token_kind = '{kind}' then estimated_tokens end) as {column}"
        for kind, column in _ESTIMATED.items()
    )
    db.execute("drop table if exists temp.estimates")
    db.execute(
        f"create temp table estimates as select {', '.join(key)}, {kinds} from int_estimates"
        f" where hour between :first and :last group by {', '.join(key)}",
        stretch,
    )
    values = ", ".join(f"{column} = estimates.{column}" for column in _ESTIMATED.values())
    same = " and ".join(f"usage_hourly.{column} = estimates.{column}" for column in key)
    db.execute(
        f"update usage_hourly set {values},"
        " estimated_calls = iif(usage_hourly.token_source_key = 0, calls, 0)"
        f" from estimates where {same}"
    )


def _store_unattributed(db: Database, names: Names, stretch: dict[str, str]) -> None:
    who = {
        "user_key": names.user(UNATTRIBUTED),
        "application_key": names.application(UNATTRIBUTED, UNATTRIBUTED),
    }
    kinds = ", ".join(
        f"max(case when token_kind = '{kind}' then residual_tokens end)" for kind in _ESTIMATED
    )
    db.execute(
        f"insert into usage_hourly (hour, {', '.join(_WHO)}, {', '.join(_ESTIMATED.values())})"
        f" select hour, account_key, rate_key, :user_key, :application_key, 0, {kinds}"
        " from int_unattributed where hour between :first and :last"
        " group by hour, account_key, rate_key",
        stretch | who,
    )


def _renew_day(db: Database, day: str) -> None:
    columns = (*_KNOWN, "estimated_calls", *_ESTIMATED.values())
    db.execute("delete from usage_daily where day = ?", [day])
    db.execute(
        f"insert into usage_daily (day, {', '.join(_WHO)}, {', '.join(columns)})"
        f" select ?1, {', '.join(_WHO)}, {', '.join(f'sum({column})' for column in columns)}"
        " from usage_hourly where hour between ?1 and ?1 || 'T99'"
        f" group by {', '.join(_WHO)}",
        [day],
    )


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
