"""Insert a batch of packed calls in bulk, through temporary tables.

Most calls are new and affect no other: a few statements insert all of them, in the order of their
time. Special calls (seen before, corrected, copied, or with tokens waiting) are first taken out and
returned as events, which ``etl.warehouse.write.calls`` plans one by one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any

from sqlite_utils import Database

from etl.normalise.packed import SHORT, PackedCall, Shape, StoredId, event_of, range_of, unpack
from etl.normalise.rows import INVOCATION_LOG, Event
from etl.normalise.rules import Rule
from etl.normalise.token_kinds import CACHE_COLUMNS, INPUT_COLUMNS, STORED_COLUMNS
from etl.sql_files import sql_text
from etl.warehouse.write.attribution import Attributor, stored_rules
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.rollup import add_usage
from etl.warehouse.write.sessions import Session, SessionUsers, session_of

EventKey = tuple[str, StoredId]

# The columns of events that a shape determines.
_SHAPE_COLUMNS = (
    "account_key", "region_key", "operation_key", "model_key",
    "principal_key", "session_key", "user_agent_key", "user_key", "found_user_key",
    "application_key", "found_application_key",
    "error_code_key", "inference_region_key", "service_tier",
    "is_home_copy", "is_correction",
    "request_metadata_key", "guardrail_action", "guardrail_use_key",
    "provider_key", "project_key", "source_address_key", "reported_by",
)  # fmt: skip

# Their positions in a row of call_shapes, which begins with the shape's number.
_MODEL, _REGION, _TIER = (
    1 + _SHAPE_COLUMNS.index(column) for column in ("model_key", "region_key", "service_tier")
)

_CALL_COLUMNS = ("event_time", "event_id", "request_id", "shared_event_id")
EVENT_COLUMNS = (*_CALL_COLUMNS, *_SHAPE_COLUMNS, "credential_key")

# The columns of tokens; a call's shape has its own service tier.
_TOKEN_COLUMNS = tuple("token_tier" if c == "service_tier" else c for c in STORED_COLUMNS)

# The values of a packed call.
_INCOMING = (*_CALL_COLUMNS, "shape", "credential", *_TOKEN_COLUMNS)

_TABLES = (
    f"""
    create temp table if not exists call_shapes (
        shape integer primary key, {", ".join(_SHAPE_COLUMNS)}
    )
    """,
    # In the order of time, and without a key: maintaining one costs more than everything else.
    # blob: the type that converts no value.
    f"""
    create temp table if not exists incoming (
        event_time text, event_id blob, request_id blob, shared_event_id blob, shape integer,
        credential blob,
        {", ".join(_TOKEN_COLUMNS)}
    )
    """,
    """
    create temp table if not exists special_calls (
        event_time text, event_id blob, primary key (event_time, event_id)
    ) without rowid
    """,
    """
    create temp table if not exists tagged_calls (
        event_time text, event_id blob, primary key (event_time, event_id)
    ) without rowid
    """,
    # Of the access keys of incoming calls, by their ids.
    "create temp table if not exists incoming_credentials"
    " (credential blob primary key, credential_key integer, is_tagged integer)",
    "create temp table if not exists corrected_ids (event_id blob primary key) without rowid",
)

_SPECIAL = (
    # Seen before.
    """
    select incoming.event_time, incoming.event_id from incoming
    cross join events
        on events.event_time = incoming.event_time and events.event_id = incoming.event_id
    """,
    # Reported by an invocation log, which has to find its call.
    f"""
    select event_time, event_id from incoming cross join call_shapes using (shape)
    where reported_by = {INVOCATION_LOG}
    """,
    # Corrected, in this batch or before the call arrived.
    """
    select event_time, event_id from incoming
    where event_id in (select event_id from corrected_ids)
        or exists (select 1 from corrections where corrections.event_id = incoming.event_id)
    """,
    # Copies of one call in several accounts.
    """
    select event_time, event_id from incoming
    where shared_event_id is not null and (
        exists (
            select 1 from events
            where events.event_time = incoming.event_time
                and events.shared_event_id = incoming.shared_event_id
        )
        or shared_event_id in (
            select shared_event_id from incoming
            where shared_event_id is not null
            group by shared_event_id
            having count(*) > 1
        )
    )
    """,
    # Tokens are waiting for it.
    """
    select event_time, event_id from incoming
    where request_id in (select request_id from pending_tokens)
    """,
)


# When calls with a session's credentials were made.
_NOTE_CREDENTIALS = """
    update credentials set
        first_call = min(coalesce(first_call, new.first), new.first),
        last_call = max(coalesce(last_call, new.last), new.last)
    from (
        select credential_key, min(event_time) as first, max(event_time) as last
        from incoming cross join incoming_credentials using (credential)
        group by credential_key
    ) as new
    where credentials.credential_key = new.credential_key
"""
_FIND_TAGGED = """
    insert or ignore into tagged_calls
    select event_time, event_id from incoming cross join incoming_credentials using (credential)
    where is_tagged
"""


# New calls that affect no others go in together (DECISIONS 38).
class Incoming:
    """The temporary tables of one connection. Call ``forget`` after a rollback."""

    def __init__(self, db: Database, names: Names) -> None:
        self._db, self._names = db, names
        self._shapes: dict[int, Shape] = {}
        self._is_stored = False
        self._rules: tuple[Rule, ...] = ()
        self._sessions = SessionUsers(db, names)
        self._logged: dict[Session, list[int]] = defaultdict(list)
        self._has_tagged = False
        for table in _TABLES:
            db.execute(table)

    def forget(self) -> None:
        """Write the shapes again before the next batch."""
        self._is_stored = False
        self._sessions.forget()

    def learn(self, shapes: Sequence[tuple[int, Shape]]) -> None:
        """Add the shapes that the calls of this batch, or of later ones, refer to."""
        self._shapes.update(shapes)
        # Read in this transaction: another process may have changed the rules since the last one.
        rules = stored_rules(self._db)
        if rules != self._rules or not self._is_stored:
            self._rules, self._is_stored = rules, True
            self._db.execute("delete from call_shapes")
            self._logged.clear()
            shapes = list(self._shapes.items())
        events = [(number, event_of(shape)) for number, shape in shapes]
        identified = self._sessions.learn(event for _, event in events)
        before = [number for session in identified for number in self._logged.get(session, ())]
        self._store([*events, *((number, event_of(self._shapes[number])) for number in before)])

    def take_identified(self) -> list[Session]:
        """Return the sessions whose user CloudTrail has identified since the last call."""
        return self._sessions.take_identified()

    def drop(self, first: int) -> None:
        """Drop the shapes before ``first`` in its range: no call refers to them any more."""
        begin = range_of(first)
        for number in [number for number in self._shapes if begin <= number < first]:
            del self._shapes[number]
        for session, numbers in list(self._logged.items()):
            kept = [number for number in numbers if number in self._shapes]
            if kept:
                self._logged[session] = kept
            else:
                del self._logged[session]
        self._db.conn.execute(
            "delete from call_shapes where shape >= ? and shape < ?", [begin, first]
        )

    def fill(self, calls: list[PackedCall]) -> list[Event]:
        """Store the calls of a batch; return those that occur in it more than once, in order."""
        repeated: list[PackedCall] = []
        if len({call[1] for call in calls}) < len(calls):
            times = Counter(call[:2] for call in calls)
            repeated = [call for call in calls if times[call[:2]] > 1]
            calls = [call for call in calls if times[call[:2]] == 1]
        calls.sort(key=itemgetter(0))
        self._db.conn.execute("delete from incoming")
        if not self._has_tagged:
            self._db.conn.execute("delete from tagged_calls")
        for width in (SHORT, len(_INCOMING)):
            columns, marks = ", ".join(_INCOMING[:width]), ", ".join("?" * width)
            self._db.conn.executemany(
                f"insert into incoming ({columns}) values ({marks})",
                [call for call in calls if len(call) == width],
            )
        return [self._unpack(call) for call in repeated]

    def drop_before(self, moment: str) -> int:
        """Drop the calls before a moment; return how many."""
        return self._db.conn.execute("delete from incoming where event_time < ?", [moment]).rowcount

    def take_special(self, corrected: Iterable[StoredId]) -> list[Event]:
        """Remove and return the calls that affect others, in the order of their keys.

        ``corrected``: the ids of the calls that the batch corrects.
        """
        conn = self._db.conn
        conn.execute("delete from special_calls")
        conn.execute("delete from corrected_ids")
        conn.executemany(
            "insert or ignore into corrected_ids values (?)", zip(corrected, strict=True)
        )
        for condition in _SPECIAL:
            conn.execute(f"insert or ignore into special_calls {condition}")
        if conn.execute("select 1 from special_calls limit 1").fetchone() is None:
            return []
        source = "from incoming where (event_time, event_id) in (select * from special_calls)"
        special = conn.execute(f"select * {source} order by event_time, event_id").fetchall()
        conn.execute(f"delete {source}")
        return [self._unpack(row) for row in special]

    def insert(self) -> tuple[int, int]:
        """Insert the remaining calls, their tokens and usage; return calls, and with tokens."""
        conn = self._db.conn
        has_credentials = self._fill_credentials()
        calls = conn.execute(
            f"insert into events ({', '.join(EVENT_COLUMNS)})"
            f" select {', '.join(EVENT_COLUMNS)} from incoming"
            " cross join call_shapes using (shape)"
            " left join incoming_credentials using (credential)"
        ).rowcount
        if not calls:
            return 0, 0
        if has_credentials:
            conn.execute(_NOTE_CREDENTIALS)
            self._has_tagged |= conn.execute(_FIND_TAGGED).rowcount > 0
        with_tokens = conn.execute(
            f"insert into tokens (event_time, event_id, {', '.join(STORED_COLUMNS)})"
            f" select event_time, event_id, {', '.join(_TOKEN_COLUMNS)}"
            " from incoming where token_source_key is not null"
        ).rowcount
        has_cached = self._has_cached()
        usage = sql_text(f"load/usage_of_{'incoming' if has_cached else 'uncached'}")
        inputs = INPUT_COLUMNS if has_cached else INPUT_COLUMNS[:1]
        add_usage(self._db, f"({usage})", has_new_rates=self._has_new_rates(inputs))
        return calls, with_tokens

    def take_tagged(self) -> bool:
        """Return whether calls whose session has tags were inserted: ``tagged_calls`` has them.

        The next batch begins with none.
        """
        has_tagged, self._has_tagged = self._has_tagged, False
        return has_tagged

    def _fill_credentials(self) -> bool:
        """Look up the credentials of the remaining calls; return whether there are any."""
        conn, names = self._db.conn, self._names
        conn.execute("delete from incoming_credentials")
        wanted = conn.execute(
            "select distinct credential from incoming where credential is not null"
        ).fetchall()
        conn.executemany(
            "insert into incoming_credentials"
            " select ?1, credential_key, tags <> '{}' or parent_key is not null from credentials"
            " where credential_key = ?2",
            [(credential, names.credential(credential)) for (credential,) in wanted],
        )
        return bool(wanted)

    def _has_cached(self) -> bool:
        """Return whether a call reports cached tokens; CloudTrail's usually do not."""
        row = self._db.conn.execute(
            f"select 1 from incoming where coalesce({', '.join(CACHE_COLUMNS)}) is not null limit 1"
        ).fetchone()
        return row is not None

    def _has_new_rates(self, inputs: Sequence[str]) -> bool:
        """Return whether a call may have a rate other than its shape's: another tier or size."""
        row = self._db.conn.execute(
            "select 1 from incoming where token_tier is not null or variant is not null"
            f" or {' + '.join(f'coalesce({column}, 0)' for column in inputs)}"
            " > (select min(min_input_tokens) from context_bands where min_input_tokens > 0)"
            " limit 1"
        ).fetchone()
        return row is not None

    def hours(self) -> set[str]:
        """Return the hours of the remaining calls, as ``YYYY-MM-DDTHH``."""
        rows = self._db.conn.execute("select distinct substr(event_time, 1, 13) from incoming")
        return {hour for (hour,) in rows}

    def _unpack(self, call: PackedCall) -> Event:
        return unpack(call, self._shapes[call[4]])

    def _store(self, events: Iterable[tuple[int, Event]]) -> None:
        attributor = Attributor(self._names, self._rules)
        marks = ", ".join(repeat("?", len(_SHAPE_COLUMNS) + 1))
        rows = []
        for number, event in events:
            if event.reported_by == INVOCATION_LOG and (session := session_of(event)):
                self._logged[session].append(number)
            rows.append((number, *self._keys(attributor, event)))
        self._db.conn.executemany(f"insert or replace into call_shapes values ({marks})", rows)
        # So that the calls need not be searched for new rates.
        self._db.conn.executemany(
            "insert or ignore into rate_keys (model_key, region_key, service_tier,"
            " min_input_tokens) values (?, ?, ?, 0)",
            sorted({(row[_MODEL], row[_REGION], row[_TIER] or "standard") for row in rows}),
        )

    def _keys(self, attributor: Attributor, event: Event) -> tuple[Any, ...]:
        """Return the values of ``_SHAPE_COLUMNS`` for calls of an event's shape."""
        names = self._names
        event = names.forgotten.event(self._sessions.name_user(event))
        return (
            names.account(event.account_id),
            names.region(event.region),
            names.operation(event.event_source, event.event_name),
            names.model(event.model_id, event.event_source),
            names.principal(event.principal_arn, event.principal_type),
            names.session(event.session_name),
            names.user_agent(event.user_agent),
            *attributor.keys(event),
            names.error_code(event.error_code),
            names.region_or_none(event.inference_region),
            event.service_tier,
            event.is_home_copy,
            event.is_correction,
            names.request_metadata(event.request_metadata),
            event.guardrail_action,
            names.guardrail_use(event.guardrail_use),
            names.provider(event.provider),
            names.project(event.project),
            names.source_address(event.source_address),
            event.reported_by,
        )
