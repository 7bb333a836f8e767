"""What a rollup consists of: its tables, their columns, and who a caller is.

A rollup says what the warehouse's own sums say, but by names instead of keys, so that parts of it
that were counted apart can be added up, and so that it can be loaded anywhere. Who called is one
*caller*: all that rules and teams may look at, so that other rules can be applied later without the
logs. It has an id of its own, a hash of what it is, and the other tables refer to that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from etl.normalise.rows import MetricValue
from etl.normalise.token_kinds import COUNT_COLUMNS, UNKNOWN_CALLS

# Raise it when tables or columns change, or mean something else.
FORMAT = 1

# How many callers of a day keep their names.
MOST_CALLERS = 100_000

Value = str | int | None

# A row: its table, its day, its key, and what is added up over all parts with the same key.
Row = tuple[str, str, tuple[Value, ...], tuple[int, ...]]


class Caller(NamedTuple):
    """Whose calls are counted together, before any rule of the configuration.

    ``endpoint``: as in the table models. ``request_metadata``, ``session_tags``: JSON objects with
    the keys that the configuration names; None without any.
    """

    account_id: str
    region: str
    endpoint: str
    model_id: str | None
    principal_arn: str
    principal_type: str
    session_name: str | None
    user_agent: str | None
    user_name: str
    application: str
    application_source: str
    provider: str | None
    project: str | None
    request_metadata: str | None
    session_tags: str | None

    @property
    def caller_id(self) -> str:
        """The id by which other tables refer to it."""
        text = json.dumps(self, ensure_ascii=True)
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


class Table(NamedTuple):
    """A table of a rollup. ``sums``: what is added up; ``numbers``: those of the key's columns.

    ``is_latest``: nothing is added up, one of several rows counts: see ``latest``.
    """

    key: tuple[str, ...]
    sums: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    is_latest: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.key, *self.sums)


_RATE = ("service_tier", "min_input_tokens", "variant")
_SIZE = ("min_input_tokens",)

# What usage_hourly counts.
USAGE_SUMS = ("calls", "failed_calls", *COUNT_COLUMNS, *UNKNOWN_CALLS, "input_contradictions")

# What the job's own configuration makes of a caller; for readers of the files.
NAMED = ("shown_user", "shown_application", "team")

TABLES = {
    "usage": Table(("hour", "caller_id", *_RATE, "token_source"), USAGE_SUMS, _SIZE),
    "callers": Table(("caller_id", *Caller._fields, *NAMED)),
    "call_minutes": Table(
        ("hour", "caller_id", *_RATE, "unknown_kinds", "minute"),
        ("calls", "input_tokens"),
        (*_SIZE, "unknown_kinds", "minute"),
    ),
    "known_minutes": Table(
        ("hour", "account_id", "region", "endpoint", "model_id", *_RATE, "token_kind", "minute"),
        ("known_tokens",),
        (*_SIZE, "minute"),
    ),
    "guardrails": Table(("caller_id", "guardrail_use"), ("calls",)),
    "totals": Table(
        ("account_id", "region", "model_id", "metric", "period_start", "period_seconds"),
        ("value", "is_provisional"),
        ("period_seconds",),
        is_latest=True,
    ),
    # Of these, each row stands for itself.
    "operations": Table(
        (
            *("event_time", "event_id", "is_known", "account_id", "region", "event_source"),
            *("event_name", "principal_arn", "principal_type", "session_name", "user_agent"),
            *("user_name", "provider", "source_address", "error_code", "resource"),
        ),
        numbers=("is_known",),
    ),
}

# The most sums that a row may have.
MOST_SUMS = max(len(table.sums) for table in TABLES.values())


def kept_metadata(pairs: Mapping[str, Any], kept_keys: Collection[str]) -> str | None:
    """Return what a caller has of metadata or tags: JSON, with the keys that rules look at."""
    kept = {key: value for key, value in pairs.items() if key in kept_keys}
    return json.dumps(kept, sort_keys=True, separators=(",", ":")) if kept else None


def row_of_total(total: MetricValue) -> Row:
    """Return one of CloudWatch's sums as a row."""
    return (
        "totals",
        total.period_start[:10],
        tuple(total[:6]),
        (
            total.value,
            int(total.is_provisional),
        ),
    )


def latest(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """Return which of two values of one sum counts, whichever was read first.

    A value that may still change counts less; else CloudWatch's sums only grow.
    """
    return max(one, other, key=lambda value: (-value[1], value[0]))


def add(table: str, one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """Return what two rows with the same key have together."""
    if TABLES[table].is_latest:
        return latest(one, other)
    return tuple(map(sum, zip(one, other, strict=True)))
