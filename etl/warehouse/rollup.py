"""Keep ``usage_hourly`` equal to the sums of ``int_call_usage``.

A change is applied as a difference: what the changed calls came to before is taken away, what they
come to now is added, in the transaction that changes them. All sums are whole numbers, so nothing
drifts; ``sql/checks/rollup_matches_events.sql`` proves it.
"""

from __future__ import annotations

from sqlite_utils import Database

COUNTERS = (
    "calls", "failed_calls",
    "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_5m_tokens", "cache_write_1h_tokens", "image_count",
    "input_unknown_calls", "output_unknown_calls", "cache_read_unknown_calls",
    "cache_write_unknown_calls", "image_unknown_calls",
)  # fmt: skip

_RATE_KEY = ("model_key", "region_key", "service_tier", "min_input_tokens")
_KEY = ("hour", "account_key", "rate_key", "user_key", "application_key", "token_source_key")


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


def forget_empty_rows(db: Database, keys: str) -> None:
    """Drop the rows of the hours of ``keys`` that count nothing any more."""
    db.execute(
        "delete from usage_hourly where calls = 0 and failed_calls = 0"
        f" and hour in (select substr(event_time, 1, 13) || ':00:00Z' from {keys})"
    )


def rebuild_rollup(db: Database) -> None:
    """Make the rollup anew from every event."""
    db.execute("delete from usage_hourly")
    add_calls(db, "events")


def _calls(keys: str) -> str:
    # CROSS JOIN makes SQLite go through the keys and look each call up, not the other way round.
    return (
        f"from {keys} as keys cross join int_call_usage as usage"
        " on usage.event_time = keys.event_time and usage.event_id = keys.event_id"
    )


def _apply(db: Database, keys: str, sign: str) -> None:
    sums = ", ".join(f"{sign}coalesce(sum(usage.{counter}), 0)" for counter in COUNTERS)
    changes = ", ".join(f"{counter} = {counter} + excluded.{counter}" for counter in COUNTERS)
    same_rate = " and ".join(f"rate_keys.{column} = usage.{column}" for column in _RATE_KEY)
    group = ", ".join("rate_keys.rate_key" if c == "rate_key" else f"usage.{c}" for c in _KEY)
    db.execute(
        f"insert into usage_hourly ({', '.join(_KEY + COUNTERS)})"
        f" select {group}, {sums} {_calls(keys)} cross join rate_keys on {same_rate}"
        f" where true group by {group}"
        f" on conflict do update set {changes}"
    )
