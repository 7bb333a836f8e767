"""Put the days of a rollup into the warehouse: their sums, not their calls.

The days are then as ``vacuum`` leaves days whose calls it dropped, so that everything that reads
sums, estimates and costs works as before. What the warehouse had of them is replaced, and calls
that are older than the last of them are no longer loaded: the sums count them already.

Rules, names and teams are the warehouse's own: each caller of the rollup is attributed as a call of
it would be. Its names are not stored otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.errors import WarehouseError
from etl.normalise.cloudtrail import BEDROCK, MANTLE
from etl.normalise.rollups import TABLES, USAGE_SUMS, Caller
from etl.normalise.rows import NO_CALL, Event, InferenceProfile, MetricValue, OtherOperation
from etl.normalise.token_sources import KEYS
from etl.sql_files import sql_text
from etl.times import day_start
from etl.warehouse.turns import transaction
from etl.warehouse.upkeep.vacuum import tables_of_calls
from etl.warehouse.write.attribution import Attributor, renew_teams, stored_rules
from etl.warehouse.write.batch import Batch, Loader, Reject
from etl.warehouse.write.calls import CallWriter
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.emptied import empty_temp_table
from etl.warehouse.write.minutes import forget_changed_shares
from etl.warehouse.write.operations import insert_operation
from etl.warehouse.write.rollup import COUNTED_FROM, add_usage, renew, subtract_hours

_RATE = "service_tier text, min_input_tokens integer, variant text"
_WHO = "account_key integer, user_key integer, application_key integer"
_MODEL = "region_key integer, model_key integer"

_MOST_SHOWN = 3

# Reads the rows of a table of the rollup, of a day.
RowsOf = Callable[[str, str], Iterator[tuple[Any, ...]]]


class RollupDay(NamedTuple):
    """A day of a rollup. ``digest``: of what it has, so that an unchanged day is not read."""

    day: str
    digest: str
    calls: int


@dataclass
class Rollup:
    """A rollup to load. ``rollup_id``: of the run that made it; ``made_at``: when that was.

    ``rejects``: what the run could not read; ``inputs``: the beginnings of the names of its files.
    ``has_operations``: it tells of operations that are no calls; if not, those that the warehouse
    has of its days stay.
    """

    uri: str
    rollup_id: str
    made_at: str
    days: Sequence[RollupDay]
    rows_of: RowsOf
    profiles: Sequence[InferenceProfile] = ()
    rejects: Sequence[Reject] = ()
    inputs: Sequence[str] = ()
    has_operations: bool = True


@dataclass
class RollupLoaded:
    """What was loaded. ``unchanged``: days that the warehouse already had like this."""

    days: list[str] = field(default_factory=list)
    unchanged: int = 0
    calls: int = 0
    callers: int = 0
    rows: int = 0
    metric_values: int = 0
    calls_replaced: int = 0


def load_rollup(db: Database, rollup: Rollup, *, again: bool = False) -> RollupLoaded:
    """Replace the days of a rollup, in one transaction.

    ``again``: also those that did not change, to apply other rules to them. Raises WarehouseError,
    and changes nothing, if the warehouse has calls of days before the last one that the rollup does
    not have: they would count as dropped.
    """
    stored = dict(db.execute("select day, digest from rolled_up_days").fetchall())
    wanted = [day for day in rollup.days if again or stored.get(day.day) != day.digest]
    _refuse_others(db, [day.day for day in rollup.days])
    loaded = RollupLoaded([day.day for day in wanted], len(rollup.days) - len(wanted))
    days = _Days(db, rollup, loaded)
    batch = Batch(
        metrics=[metric for day in wanted for metric in days.metrics(day.day)],
        profiles=list(rollup.profiles),
        rejects=list(rollup.rejects),
    )

    def replace(names: Names) -> set[str]:
        renew_teams(db, names)
        hours = {hour for day in wanted for hour in days.replace(names, day)}
        days.note()
        return hours

    (written,) = Loader(db).write_all([batch], also=replace)
    loaded.metric_values = written.metric_values
    return loaded


def fetch_calls(db: Database, day: str, events: Sequence[Event]) -> int:
    """Put calls of a day into the warehouse, to look at: its sums count them already.

    Returns how many are new. Raises WarehouseError if the sums of that day are those of its calls.
    """
    (counted_from,) = db.execute(f"select {COUNTED_FROM}").fetchone()
    if day >= counted_from[:10]:
        raise WarehouseError(
            f"the warehouse does not have {day} from a rollup: run `bedrock-usage load-rollup`"
            " first, or load its files"
        )
    with transaction(db):
        names = Names(db)
        new = CallWriter(db, names).write_uncounted(events)
        forget_changed_shares(db)
        renew(db, names, ())
    return new


def _refuse_others(db: Database, days: Sequence[str]) -> None:
    if not days:
        return
    found = db.execute(
        "select distinct substr(event_time, 1, 10) from events where event_time < ?"
        " and (event_time, event_id) not in (select event_time, event_id from fetched_calls)",
        [day_after(max(days))],
    )
    others = sorted({day for (day,) in found} - set(days))
    if others:
        more = f" and {len(others) - _MOST_SHOWN:,} more" if len(others) > _MOST_SHOWN else ""
        raise WarehouseError(
            f"the warehouse has calls of {', '.join(others[:_MOST_SHOWN])}{more}, days that the"
            " rollup does not have, and that would count as dropped: roll them up as well, drop"
            " them with `bedrock-usage vacuum --keep-calls`, or name another warehouse with --db"
        )


def day_after(day: str) -> str:
    """Return the start of the next day."""
    return day_start(date.fromisoformat(day) + timedelta(days=1))


class _Days:
    """Replaces the days of a rollup, in the caller's transaction."""

    def __init__(self, db: Database, rollup: Rollup, loaded: RollupLoaded) -> None:
        self._db, self._rollup, self._loaded = db, rollup, loaded

    def metrics(self, day: str) -> Iterator[MetricValue]:
        for row in self._rollup.rows_of("totals", day):
            yield MetricValue._make((*row[:-1], bool(row[-1])))

    def replace(self, names: Names, of: RollupDay) -> set[str]:
        """Replace what the warehouse has of a day; return its hours."""
        db, day = self._db, of.day
        self._drop(day)
        callers = _Callers(names, self._rollup.rows_of("callers", day))
        self._add_usage(names, day, callers)
        self._add_minutes(names, day, callers)
        self._add_guardrails(names, day, callers)
        self._add_operations(names, day)
        db.conn.execute(
            "insert or replace into rolled_up_days values (?, ?, ?, ?, ?)",
            [day, self._rollup.uri, self._rollup.rollup_id, of.digest, of.calls],
        )
        self._loaded.callers += len(callers)
        self._loaded.calls += of.calls
        hours = db.execute(
            "select hour from usage_hours where day = ?1 union"
            " select hour from metric_hourly where hour >= ?1 and hour < ?2",
            [day, day_after(day)],
        )
        return {hour[:13] for (hour,) in hours}

    def note(self) -> None:
        """Record that the calls of all rolled-up days are not in the warehouse."""
        db = self._db
        last, calls, first = db.execute(
            "select max(day), sum(calls), min(day) from rolled_up_days"
        ).fetchone()
        if last is None:
            return
        db.conn.execute(
            "delete from dropped_calls where dropped_at in (select dropped_at from rollup_claims)"
        )
        db.conn.execute("delete from rollup_claims")
        db.conn.execute("insert into rollup_claims values (?)", [self._rollup.made_at])
        db.conn.execute(
            "insert or replace into dropped_calls values (?, ?, ?, ?, ?)",
            [self._rollup.made_at, day_after(last), calls, f"{first}T00:00:00Z", day_after(last)],
        )
        files = ((root, f"{root}\U0010ffff") for root in self._rollup.inputs)
        rejects = [(r.file, r.position, r.reason) for r in self._rollup.rejects]
        db.conn.executemany("delete from rejects where file >= ? and file < ?", files)
        db.conn.executemany("insert or ignore into rejects values (?, ?, ?)", rejects)

    def _drop(self, day: str) -> None:
        db, times = self._db, [day_start(date.fromisoformat(day)), day_after(day)]
        subtract_hours(db, *times)
        (calls,) = db.execute(
            "select count(*) from events where event_time >= ? and event_time < ?", times
        ).fetchone()
        self._loaded.calls_replaced += calls
        operations = ("control_events", "unknown_operations")
        for table in (*tables_of_calls(db), *(operations if self._rollup.has_operations else ())):
            db.conn.execute(f"delete from {table} where event_time >= ? and event_time < ?", times)
        for table in ("call_minutes", "known_minutes", "stale_minutes"):
            db.conn.execute(f"delete from {table} where hour >= ? and hour < ?", times)
        db.conn.execute("delete from guardrail_daily where day = ?", [day])

    def _add_usage(self, names: Names, day: str, callers: _Callers) -> None:
        sums = ", ".join(f"{column} integer" for column in USAGE_SUMS)
        empty_temp_table(
            self._db,
            "rollup_usage",
            f"hour text, {_WHO}, {_MODEL}, {_RATE}, token_source_key integer, {sums},"
            " guardrail_use_key integer",
        )
        rows = (
            (hour, *callers[caller], *rate, KEYS.get(source, 0), *counts, None)
            for hour, caller, *rate, source, counts in _with_sums(
                "usage", self._rollup.rows_of("usage", day)
            )
        )
        self._loaded.rows += self._fill("rollup_usage", rows)
        add_usage(self._db, "(select * from temp.rollup_usage)")

    def _add_minutes(self, names: Names, day: str, callers: _Callers) -> None:
        db, rows_of = self._db, self._rollup.rows_of
        empty_temp_table(
            db,
            "rollup_minutes",
            f"hour text, {_WHO}, {_MODEL}, {_RATE}, unknown_kinds integer, minute integer,"
            " calls integer, input_tokens integer",
        )
        self._fill(
            "rollup_minutes",
            (
                (hour, *callers[caller], *rest)
                for hour, caller, *rest in rows_of("call_minutes", day)
            ),
        )
        empty_temp_table(
            db,
            "rollup_known",
            f"hour text, account_key integer, {_MODEL}, {_RATE}, token_kind text,"
            " minute integer, known_tokens integer",
        )
        self._fill(
            "rollup_known",
            (
                (
                    *(hour, names.account(account), names.region(region)),
                    *(names.model(model_id, _source_of(endpoint)), *rest),
                )
                for hour, account, region, endpoint, model_id, *rest in rows_of(
                    "known_minutes", day
                )
            ),
        )
        db.execute(f"insert into call_minutes {sql_text('load/minutes_of_rollup')}")
        db.execute(f"insert into known_minutes {sql_text('load/known_of_rollup')}")

    def _add_guardrails(self, names: Names, day: str, callers: _Callers) -> None:
        for caller, use, calls in self._rollup.rows_of("guardrails", day):
            account, user, application, region, model = callers[caller]
            self._db.conn.execute(
                "insert into guardrail_daily (day, account_key, region_key, model_key, user_key,"
                " application_key, guardrail_use_key, calls) values (?, ?, ?, ?, ?, ?, ?, ?)"
                " on conflict do update set calls = calls + excluded.calls",
                [day, account, region, model, user, application, names.guardrail_use(use), calls],
            )

    def _add_operations(self, names: Names, day: str) -> None:
        for time, event_id, is_known, *rest in self._rollup.rows_of("operations", day):
            operation = OtherOperation(time, event_id, bool(is_known), *rest)
            insert_operation(self._db, names, operation)

    def _fill(self, table: str, rows: Iterable[tuple[Any, ...]]) -> int:
        (width,) = self._db.execute("select count(*) from pragma_table_info(?)", [table]).fetchone()
        marks = ", ".join("?" * width)
        return self._db.conn.executemany(
            f"insert into temp.{table} values ({marks})", rows
        ).rowcount


def _with_sums(table: str, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    width = len(TABLES[table].key)
    for row in rows:
        yield *row[:width], row[width:]


class _Callers:
    """The keys of callers, by id: account, user, application, region and model."""

    def __init__(self, names: Names, rows: Iterable[tuple[Any, ...]]) -> None:
        self._keys: dict[str, tuple[int, int, int, int, int]] = {}
        attributor = Attributor(names, stored_rules(names.db))
        for caller_id, *columns in rows:
            caller = Caller(*columns[: len(Caller._fields)])
            event = names.forgotten.event(_event_of(caller))
            user, _, application, _ = attributor.keys(event, _tags_of(caller))
            self._keys[caller_id] = (
                names.account(event.account_id),
                user,
                application,
                names.region(event.region),
                names.model(event.model_id, event.event_source),
            )

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, caller_id: str) -> tuple[int, int, int, int, int]:
        return self._keys[caller_id]


def _event_of(caller: Caller) -> Event:
    """Return a call of a caller, with all that rules may look at."""
    return NO_CALL._replace(
        account_id=caller.account_id,
        region=caller.region,
        event_source=_source_of(caller.endpoint),
        model_id=caller.model_id,
        principal_arn=caller.principal_arn,
        principal_type=caller.principal_type,
        session_name=caller.session_name,
        user_agent=caller.user_agent,
        user_name=caller.user_name,
        application=caller.application,
        application_source=caller.application_source,
        request_metadata=caller.request_metadata,
        provider=caller.provider,
        project=caller.project,
    )


def _tags_of(caller: Caller) -> Mapping[str, str]:
    return json.loads(caller.session_tags) if caller.session_tags else {}


def _source_of(endpoint: str) -> str:
    return MANTLE if endpoint == "mantle" else BEDROCK
