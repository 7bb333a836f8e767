"""The sums of a warehouse by name, as the rows of a rollup: see ``etl.normalise.rollups``.

How a call counts is ``int_call_usage``, as for ``usage_hourly``; only the grain is another one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from sqlite_utils import Database

from etl.normalise.model_ids import NOT_STATED
from etl.normalise.packed import plain_id, stored_id
from etl.normalise.rollups import USAGE_SUMS, Caller, Row, kept_metadata
from etl.normalise.rows import Event
from etl.sql_files import sql_text
from etl.warehouse.write.calls import CallWriter
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.emptied import empty_temp_table
from etl.warehouse.write.role_sessions import credentials_with_tags

# The name of each key, as a caller has it.
_TEXTS = {
    "accounts": "select account_id from accounts where account_key = ?",
    "regions": "select region from regions where region_key = ?",
    "models": "select endpoint, nullif(model_id, '" + NOT_STATED + "') from models"
    " where model_key = ?",
    "principals": "select principal_arn, principal_type from principals where principal_key = ?",
    "sessions": "select session_name from sessions where session_key = ?",
    "user_agents": "select user_agent from user_agents where user_agent_key = ?",
    "users": "select user_name from users where user_key = ?",
    "shown_users": "select coalesce(alias, user_name) from users where user_key = ?",
    "applications": "select application, application_source from applications"
    " where application_key = ?",
    "shown_applications": "select coalesce(label, application), team from applications"
    " join teams using (team_key) where application_key = ?",
    "providers": "select provider from providers where provider_key = ?",
    "projects": "select project from projects where project_key = ?",
    "guardrail_uses": "select guardrail_use from guardrail_uses where guardrail_use_key = ?",
    "token_sources": "select token_source from token_sources where token_source_key = ?",
    "rates": "select region, endpoint, nullif(model_id, '" + NOT_STATED + "'), service_tier,"
    " min_input_tokens, variant from rate_keys join models using (model_key)"
    " join regions using (region_key) where rate_key = ?",
}

# The tables of a caller's keys, in the order of the fields.
_CALLER_TABLES = (
    *("accounts", "regions", "models", "principals", "sessions", "user_agents", "users"),
    *("applications", "providers", "projects"),
)

# How many names and callers are looked up only once.
_REMEMBERED = 1 << 17

# A caller's keys, and what the configuration makes of it: the columns of sql/macros/rolled_up.sql.
_CALLER_COLUMNS = 14


def rolled_up_rows(
    db: Database, kept_keys: Iterable[str], days: frozenset[str] | None = None
) -> Iterator[Row]:
    """Yield what the warehouse has, day by day, as rows of a rollup; rows may occur several times.

    ``kept_keys``: those of request metadata and tags that the configuration looks at. ``days``:
    those to count, None for all; with some, the input is only what concerns them, so that
    corrections whose calls are not among it are left out.
    """
    if days is not None:
        _drop_orphans(db)
    _fill_evidence(db, set(kept_keys))
    names = _CallerNames(db)
    for day in _days_in(db):
        if days is None or day in days:
            yield from _rows_of(db, names, day)


def _days_in(db: Database) -> list[str]:
    days = set[str]()
    for table in ("events", "control_events", "unknown_operations"):
        # From each day to the next that there is: there is an index of times, and few days.
        next_day = f"select substr(min(event_time), 1, 10) from {table}"
        found = db.conn.execute(
            f"with recursive days (day) as ({next_day} union all"
            f" select ({next_day} where event_time >= day || 'U') from days where day is not null)"
            " select day from days where day is not null"
        )
        days.update(day for (day,) in found)
    return sorted(days)


def _rows_of(db: Database, names: _CallerNames, day: str) -> Iterator[Row]:
    # A time of that day begins with its date and "T".
    times = {"first": day, "last": f"{day}U"}
    yield from _usage(db, names, times)
    yield from _minutes(db, names, times)
    yield from _guardrails(db, names, times)
    yield from names.rows()
    yield from _known_minutes(db, names, times)
    yield from _operations(db, times)


def _drop_orphans(db: Database) -> None:
    db.conn.execute(
        "delete from events where (event_time, event_id) in"
        " (select event_time, event_id from corrections where not has_original)"
    )


def _fill_evidence(db: Database, kept_keys: set[str]) -> None:
    """Create the temporary tables of what a caller's metadata and session tags say."""
    empty_temp_table(
        db, "caller_metadata", "request_metadata_key integer primary key, request_metadata text"
    )
    empty_temp_table(db, "caller_tags", "credential_key integer primary key, tags text")
    metadata = db.execute("select request_metadata_key, request_metadata from request_metadata")
    db.conn.executemany(
        "insert into caller_metadata values (?, ?)",
        [(key, kept_metadata(json.loads(text), kept_keys)) for key, text in metadata.fetchall()],
    )
    db.conn.executemany(
        "insert into caller_tags values (?, ?)",
        [
            (key, kept_metadata(tags, kept_keys))
            for key, tags in credentials_with_tags(db, "true").items()
        ],
    )


class _CallerNames:
    """Callers by their keys, and those that were asked for since they were last listed."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._found: set[tuple[str, str, tuple[Any, ...]]] = set()
        self.name = lru_cache(_REMEMBERED)(self._name)
        self._caller = lru_cache(_REMEMBERED)(self._read)

    def id_of(self, day: str, keys: tuple[Any, ...]) -> str:
        """Return the id of a caller by its keys."""
        caller_id, columns = self._caller(keys)
        self._found.add((day, caller_id, columns))
        return caller_id

    def rows(self) -> Iterator[Row]:
        """Yield the callers that were asked for, and forget them."""
        for day, caller_id, columns in self._found:
            yield "callers", day, (caller_id, *columns), ()
        self._found.clear()

    def _read(self, keys: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
        name = self.name
        parts = [name(table, key) for table, key in zip(_CALLER_TABLES, keys, strict=False)]
        caller = Caller._make((*(text for part in parts for text in part), *keys[10:12]))
        shown = (*name("shown_users", keys[12]), *name("shown_applications", keys[13]))
        return caller.caller_id, (*caller, *shown)

    def _name(self, table: str, key: int | None) -> tuple[Any, ...]:
        row = self._db.conn.execute(_TEXTS[table], [key]).fetchone()
        return (None,) if row is None else tuple(row)


def _split(row: tuple[Any, ...]) -> tuple[str, tuple[Any, ...], tuple[Any, ...]]:
    end = 1 + _CALLER_COLUMNS
    return row[0], row[1:end], row[end:]


def _usage(db: Database, names: _CallerNames, times: dict[str, str]) -> Iterator[Row]:
    for row in db.conn.execute(sql_text("load/rolled_up_usage"), times):
        hour, keys, (tier, size, variant, source, *sums) = _split(row)
        key = (hour, names.id_of(hour[:10], keys), tier, size, variant)
        yield "usage", hour[:10], (*key, *names.name("token_sources", source)), tuple(sums)
        assert len(sums) == len(USAGE_SUMS)  # noqa: S101


def _minutes(db: Database, names: _CallerNames, times: dict[str, str]) -> Iterator[Row]:
    for row in db.conn.execute(sql_text("load/rolled_up_minutes"), times):
        hour, keys, (*rate, kinds, minute, calls, input_tokens) = _split(row)
        key = (hour, names.id_of(hour[:10], keys), *rate, kinds, minute)
        yield "call_minutes", hour[:10], key, (calls, input_tokens)


def _known_minutes(db: Database, names: _CallerNames, times: dict[str, str]) -> Iterator[Row]:
    for hour, account, rate, kind, minutes in db.conn.execute(
        sql_text("load/known_minutes"), times
    ):
        series = (hour, *names.name("accounts", account), *names.name("rates", rate), kind)
        for minute, tokens in json.loads(minutes).items():
            yield "known_minutes", hour[:10], (*series, int(minute)), (tokens,)


def _guardrails(db: Database, names: _CallerNames, times: dict[str, str]) -> Iterator[Row]:
    for row in db.conn.execute(sql_text("load/rolled_up_guardrails"), times):
        day, keys, (use, calls) = _split(row)
        key = (names.id_of(day, keys), *names.name("guardrail_uses", use))
        yield "guardrails", day, key, (calls,)


def _operations(db: Database, times: dict[str, str]) -> Iterator[Row]:
    for is_known, table in ((1, "control_events"), (0, "unknown_operations")):
        for time, event_id, *row in db.conn.execute(
            "select event_time, event_id, account_id, region, event_source, event_name,"
            " principal_arn, principal_type, session_name, user_agent, user_name, provider,"
            f" source_address, error_code, resource from {table}"
            " join accounts using (account_key) join regions using (region_key)"
            " join operations using (operation_key) join principals using (principal_key)"
            " join users using (user_key) left join sessions using (session_key)"
            " left join user_agents using (user_agent_key) left join providers"
            " using (provider_key) left join source_addresses using (source_address_key)"
            " left join error_codes using (error_code_key)"
            " where event_time >= :first and event_time < :last",
            times,
        ):
            yield "operations", time[:10], (time, plain_id(event_id), is_known, *row), ()


def found_calls(db: Database, day: str, name: str) -> list[Event]:
    """Return the calls of a day that a user or an application made, or that have an id.

    ``name``: of the user or application as views show them, or as AWS does; a request id or an
    event id.
    """
    keys = db.execute(
        "select event_time, event_id from events join users using (user_key)"
        " join applications using (application_key)"
        " where event_time >= ?1 and event_time < ?1 || 'T99' and (?2 in (user_name, alias)"
        " or ?2 in (application, label) or ?3 in (request_id, event_id))",
        [day, name, stored_id(name)],
    )
    return CallWriter(db, Names(db)).stored_calls(keys.fetchall())
