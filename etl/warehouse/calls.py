"""Write calls and their tokens, so that neither repetition nor order matters.

- An event is known by its time and id. Seen again, it only adds what was missing (tokens, say).
- A correction that AWS sends later replaces its event; the original never replaces a correction.
- Of the copies of one call in several accounts, the home copy is kept, else the lowest id.
- Tokens of a service event go to the call of their request id, or wait in ``pending_tokens``.
- The stored rules decide the application of every call that is inserted.

A batch is first planned against what is stored, then carried out together with its rollup.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.normalise.application import CONFIG_RULE
from etl.normalise.rows import CLOUDTRAIL, TOKEN_SOURCES, Event, ServiceTokens, Tokens, merge_tokens
from etl.normalise.rules import CompiledRule, compile_rules, evidence_of, find_rule
from etl.warehouse.attribution import stored_rules
from etl.warehouse.names import Names
from etl.warehouse.rollup import add_calls, hours_of, take_calls

# How far a call's time may lie from its service event's: streams last minutes, clocks differ.
BEFORE_SERVICE_EVENT = timedelta(hours=2)
AFTER_SERVICE_EVENT = timedelta(hours=1)

_EVENT_COLUMNS = (
    "event_time", "event_id", "request_id", "shared_event_id",
    "account_key", "region_key", "operation_key", "model_key",
    "principal_key", "session_key", "user_agent_key", "user_key",
    "application_key", "found_application_key",
    "error_code_key", "inference_region_key", "service_tier",
    "reported_by", "is_home_copy", "is_correction",
)  # fmt: skip

StoredId = bytes | str
EventKey = tuple[str, StoredId]
# account, region, request id
Request = tuple[str, str, str]


@dataclass
class CallCounts:
    """What became of the calls of a batch.

    ``tokens_attached``: calls that got tokens from a service event; ``tokens_pending``: service
    events more (or, below zero, fewer) that wait for their call.
    """

    calls_new: int = 0
    calls_known: int = 0
    calls_with_tokens: int = 0
    tokens_attached: int = 0
    tokens_pending: int = 0


class _Stored(NamedTuple):
    is_correction: bool
    reported_by: int
    tokens: Tokens | None


@dataclass
class _Plan:
    """The changes a batch makes. A key both in ``delete`` and ``insert`` is replaced."""

    stored: dict[EventKey, _Stored]
    insert: dict[EventKey, Event] = field(default_factory=dict)
    delete: set[EventKey] = field(default_factory=set)
    report: dict[EventKey, int] = field(default_factory=dict)
    tokens: dict[EventKey, Tokens] = field(default_factory=dict)
    inference_regions: dict[EventKey, str] = field(default_factory=dict)

    def add_tokens(self, key: EventKey, tokens: Tokens | None) -> bool:
        """Give a call tokens; return whether it then knows more than before."""
        stored = self.stored.get(key)
        before = self.tokens.get(key) or (stored.tokens if stored else None)
        merged = merge_tokens(before, tokens)
        if merged is None or (merged == before and key not in self.delete):
            return False
        self.tokens[key] = merged
        return merged != before


def stored_id(text: str) -> StoredId:
    """Return an id as it is stored: 16 bytes if it is a lower-case UUID, else its text."""
    if len(text) != 36 or not text[8] == text[13] == text[18] == text[23] == "-":
        return text
    try:
        raw = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return text
    return raw if len(raw) == 16 and text == text.lower() else text


def plain_id(value: StoredId) -> str:
    """Return a stored id as the text it was."""
    return str(uuid.UUID(bytes=value)) if isinstance(value, bytes) else value


class CallWriter:
    """Writes calls inside a transaction that its caller opens and ends."""

    def __init__(self, db: Database, names: Names) -> None:
        self._db = db
        self._names = names
        for table in ("wanted_calls", "changed_calls", "new_calls"):
            db.execute(
                # blob: a type that leaves every value as it is, so that the key of events is used.
                f"create temp table if not exists {table} (event_time text, event_id blob,"
                " primary key (event_time, event_id)) without rowid"
            )
        db.execute("create temp table if not exists wanted_requests (request_id blob primary key)")

    def write(
        self, events: list[Event], services: list[ServiceTokens]
    ) -> tuple[CallCounts, set[str]]:
        """Write calls and the tokens of service events; return counts, and the hours changed."""
        counts = CallCounts()
        plan = _Plan(self._stored((e.event_time, stored_id(e.event_id)) for e in events))
        for event in events:
            _plan_event(event, plan, counts)
        self._drop_copies(plan, counts)
        self._plan_service_tokens(services, plan, counts)
        hours = self._carry_out(plan)
        new = plan.insert.keys() - plan.delete
        counts.calls_new = len(new)
        counts.calls_with_tokens = len(new & plan.tokens.keys())
        return counts, hours

    def _stored(self, keys: Iterable[EventKey]) -> dict[EventKey, _Stored]:
        self._fill("wanted_calls", keys)
        rows = self._db.execute("""
            select events.event_time, events.event_id, is_correction, reported_by,
                token_source, input_tokens, output_tokens, cache_read_tokens,
                cache_write_5m_tokens, cache_write_1h_tokens, image_count, tokens.service_tier
            from wanted_calls as wanted
            cross join events
                on events.event_time = wanted.event_time and events.event_id = wanted.event_id
            left join tokens
                on tokens.event_time = wanted.event_time and tokens.event_id = wanted.event_id
            left join token_sources using (token_source_key)
        """)
        return {
            (row[0], row[1]): _Stored(bool(row[2]), row[3], Tokens(*row[4:]) if row[4] else None)
            for row in rows
        }

    def _drop_copies(self, plan: _Plan, counts: CallCounts) -> None:
        """Keep one of the copies of a call that CloudTrail gave to several accounts."""
        copies: dict[tuple[str, str], list[tuple[bool, EventKey]]] = defaultdict(list)
        for key, event in plan.insert.items():
            if event.shared_event_id:
                copies[key[0], event.shared_event_id].append((not event.is_home_copy, key))
        for (time, shared_id), arrived in copies.items():
            present = self._db.execute(
                "select not is_home_copy, event_time, event_id from events"
                " where event_time = ? and shared_event_id = ?",
                [time, stored_id(shared_id)],
            )
            known = [(bool(away), (t, i)) for away, t, i in present if (t, i) not in plan.delete]
            ranked = sorted(known + arrived, key=lambda copy: (copy[0], _sortable(copy[1])))
            for _, key in ranked[1:]:
                if plan.insert.pop(key, None) is None:
                    plan.delete.add(key)
                counts.calls_known += 1
                plan.tokens.pop(key, None)

    def _plan_service_tokens(
        self, arrived: Iterable[ServiceTokens], plan: _Plan, counts: CallCounts
    ) -> None:
        waiting = self._waiting_for(plan.insert.values())
        services = {(s.event_time, s.event_id): s for s in (*waiting, *arrived)}
        calls = self._calls_of({_request(s): s for s in services.values()}, plan)
        attached, pending = [], []
        for service in services.values():
            key = calls.get(_request(service))
            if key is None:
                pending.append(service)
                continue
            attached.append(service)
            counts.tokens_attached += plan.add_tokens(key, service.tokens)
            if service.inference_region:
                plan.inference_regions[key] = service.inference_region
        counts.tokens_pending = self._keep(pending) - self._forget(attached)

    def _waiting_for(self, events: Iterable[Event]) -> list[ServiceTokens]:
        """Return the pending tokens whose request ids are among the events'."""
        if self._db.execute("select 1 from pending_tokens limit 1").fetchone() is None:
            return []
        self._want_requests(event.request_id for event in events if event.request_id)
        rows = self._db.execute("""
            select pending.event_time, pending.event_id, account_id, regions.region,
                pending.request_id, inference_regions.region, token_source, input_tokens,
                output_tokens, cache_read_tokens, cache_write_5m_tokens,
                cache_write_1h_tokens, image_count, service_tier
            from wanted_requests as wanted
            cross join pending_tokens as pending on pending.request_id = wanted.request_id
            join accounts using (account_key)
            join regions using (region_key)
            left join regions as inference_regions
                on inference_regions.region_key = pending.inference_region_key
            join token_sources using (token_source_key)
        """)
        return [
            ServiceTokens(row[0], plain_id(row[1]), row[2], row[3], plain_id(row[4]), row[5],
                          Tokens(*row[6:]))
            for row in rows
        ]  # fmt: skip

    def _calls_of(
        self, wanted: dict[Request, ServiceTokens], plan: _Plan
    ) -> dict[Request, EventKey]:
        """Find the call of each request: in the batch and in the store.

        Where a request id is not unique, a successful call comes before a failed one, and an
        earlier before a later.
        """
        candidates = [
            ((event.account_id, event.region, event.request_id or ""), bool(event.error_code), key)
            for key, event in plan.insert.items()
        ]
        candidates += self._stored_calls_of(wanted, plan)
        candidates.sort(key=lambda candidate: (candidate[1], _sortable(candidate[2])), reverse=True)
        calls = {
            request: key
            for request, _, key in candidates
            if request in wanted and _is_near(key[0], wanted[request].event_time)
        }
        plan.stored.update(self._stored(calls.values()))
        return calls

    def _stored_calls_of(
        self, wanted: dict[Request, ServiceTokens], plan: _Plan
    ) -> Iterator[tuple[Request, bool, EventKey]]:
        self._want_requests(request_id for _, _, request_id in wanted)
        for start, end in _time_ranges(service.event_time for service in wanted.values()):
            rows = self._db.execute(
                """
                select account_id, region, request_id, error_code_key is not null,
                    event_time, event_id
                from events
                join accounts using (account_key)
                join regions using (region_key)
                where event_time between ? and ?
                    and request_id in (select request_id from wanted_requests)
                """,
                [start, end],
            )
            for account_id, region, request_id, is_failed, time, event_id in rows.fetchall():
                if (time, event_id) not in plan.delete:
                    yield (
                        (account_id, region, plain_id(request_id)),
                        bool(is_failed),
                        (time, event_id),
                    )

    def _keep(self, services: list[ServiceTokens]) -> int:
        """Store tokens whose call has not been seen; return how many are new."""
        names = self._names
        rows = [
            (
                stored_id(s.request_id), s.event_time, stored_id(s.event_id),
                names.account(s.account_id), names.region(s.region),
                names.region_or_none(s.inference_region), *_token_columns(s.tokens),
            )
            for s in services
        ]  # fmt: skip
        return self._many(
            f"insert or ignore into pending_tokens values ({', '.join('?' * 14)})", rows
        )

    def _forget(self, services: list[ServiceTokens]) -> int:
        return self._many(
            "delete from pending_tokens where request_id = ? and event_time = ? and event_id = ?",
            [(stored_id(s.request_id), s.event_time, stored_id(s.event_id)) for s in services],
        )

    def _carry_out(self, plan: _Plan) -> set[str]:
        changed = plan.delete | (plan.tokens.keys() & plan.stored.keys())
        self._fill("changed_calls", changed)
        if changed:
            take_calls(self._db, "changed_calls")
        self._many(
            "delete from events where event_time = ? and event_id = ?",
            sorted(plan.delete, key=_sortable),
        )
        self._insert_events(plan.insert)
        self._many(
            f"insert or replace into tokens values ({', '.join('?' * 10)})",
            [
                (*key, *_token_columns(plan.tokens[key]))
                for key in sorted(plan.tokens, key=_sortable)
            ],
        )
        self._update_events(plan)
        self._fill("new_calls", (changed - plan.delete) | plan.insert.keys())
        add_calls(self._db, "new_calls")
        return hours_of(self._db, "changed_calls") | hours_of(self._db, "new_calls")

    def _insert_events(self, events: dict[EventKey, Event]) -> None:
        names = self._names
        # Read in this transaction: another process may have changed them since the last one.
        rules = compile_rules(stored_rules(self._db))
        self._many(
            f"insert into events ({', '.join(_EVENT_COLUMNS)})"
            f" values ({', '.join('?' * len(_EVENT_COLUMNS))})",
            [
                (
                    *key,
                    stored_id(event.request_id) if event.request_id else None,
                    stored_id(event.shared_event_id) if event.shared_event_id else None,
                    names.account(event.account_id),
                    names.region(event.region),
                    names.operation(event.event_source, event.event_name),
                    names.model(event.model_id, event.event_source),
                    names.principal(event.principal_arn, event.principal_type),
                    names.session(event.session_name),
                    names.user_agent(event.user_agent),
                    names.user(event.user_name),
                    *self._applications(event, rules),
                    names.error_code(event.error_code),
                    names.region_or_none(event.inference_region),
                    event.service_tier,
                    CLOUDTRAIL,
                    event.is_home_copy,
                    event.is_correction,
                )
                for key, event in sorted(events.items(), key=lambda item: _sortable(item[0]))
            ],
        )

    def _applications(self, event: Event, rules: Sequence[CompiledRule]) -> tuple[int, int | None]:
        """Return the keys of the application, and of the one found where a rule decided another."""
        found = self._names.application(event.application, event.application_source)
        ruled = find_rule(rules, evidence_of(event)) if rules else None
        if ruled is None:
            return found, None
        return self._names.application(ruled, CONFIG_RULE), found

    def _update_events(self, plan: _Plan) -> None:
        self._many(
            "update events set reported_by = ? where event_time = ? and event_id = ?",
            [(reported_by, *key) for key, reported_by in plan.report.items()],
        )
        self._many(
            "update events set inference_region_key = ?"
            " where event_time = ? and event_id = ? and inference_region_key is null",
            [(self._names.region(r), *key) for key, r in plan.inference_regions.items()],
        )

    def _fill(self, table: str, keys: Iterable[EventKey]) -> None:
        self._db.execute(f"delete from {table}")
        self._many(f"insert or ignore into {table} values (?, ?)", keys)

    def _want_requests(self, request_ids: Iterable[str]) -> None:
        self._db.execute("delete from wanted_requests")
        self._many(
            "insert or ignore into wanted_requests values (?)",
            [(stored_id(r),) for r in request_ids],
        )

    def _many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> int:
        """Run a statement for every row; return how many rows of the database it changed."""
        before = self._db.conn.total_changes
        self._db.conn.executemany(sql, rows)
        return self._db.conn.total_changes - before


def _plan_event(event: Event, plan: _Plan, counts: CallCounts) -> None:
    key = (event.event_time, stored_id(event.event_id))
    in_batch, in_store = plan.insert.get(key), plan.stored.get(key)
    if in_batch is None and in_store is None:
        plan.insert[key] = event
    else:
        counts.calls_known += 1
        was_corrected = (
            in_batch.is_correction if in_batch else bool(in_store and in_store.is_correction)
        )
        if event.is_correction and not was_corrected:
            plan.insert[key] = event
            if in_store:
                plan.delete.add(key)
        elif in_store and not in_store.reported_by & CLOUDTRAIL:
            plan.report[key] = in_store.reported_by | CLOUDTRAIL
    plan.add_tokens(key, event.tokens)


def _request(service: ServiceTokens) -> Request:
    return service.account_id, service.region, service.request_id


def _sortable(key: EventKey) -> tuple[str, bool, StoredId]:
    # As SQLite sorts: text before blobs.
    return key[0], isinstance(key[1], bytes), key[1]


def _token_columns(tokens: Tokens) -> tuple[object, ...]:
    return (TOKEN_SOURCES.index(tokens.source) + 1, *tokens.counts, tokens.service_tier)


def _is_near(call_time: str, service_time: str) -> bool:
    distance = datetime.fromisoformat(call_time) - datetime.fromisoformat(service_time)
    return -BEFORE_SERVICE_EVENT <= distance <= AFTER_SERVICE_EVENT


def _time_ranges(times: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Merge the stretches of time in which the calls of service events may lie."""
    start = end = None
    for moment in sorted(datetime.fromisoformat(time) for time in times):
        low, high = moment - BEFORE_SERVICE_EVENT, moment + AFTER_SERVICE_EVENT
        if start is not None and end is not None and low > end:
            yield _utc(start), _utc(end)
            start = None
        start, end = start or low, high
    if start is not None and end is not None:
        yield _utc(start), _utc(end)


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
