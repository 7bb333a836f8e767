"""Write calls and their tokens, so that neither repetition nor order matters.

- An event is known by its time and id. Seen again, it only adds what was missing (tokens, say).
- A correction that AWS sends later replaces its event; the original never replaces a correction.
- Of the copies of one call in several accounts, the home copy is kept, else the lowest id.
- A call of an invocation log goes to the event of its request id; until that is seen, it is a call
  of its own. When it comes, the log's call is taken out again, and goes to the event.
- Tokens of a service event go to the call of their request id, or wait in ``pending_tokens``.
- The stored rules decide the application of every call that is inserted.

What concerns no other call goes in at once (``etl.warehouse.incoming``). The rest of a batch is
first planned against what is stored, then carried out together with its rollup.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.normalise.application import APPLICATION_SOURCES, REQUEST_METADATA, UNKNOWN
from etl.normalise.model_ids import NOT_STATED
from etl.normalise.packed import (
    PackedCall,
    Shape,
    Shapes,
    StoredId,
    next_range,
    plain_id,
    stored_id,
    token_columns,
    tokens_of,
)
from etl.normalise.rows import (
    CLOUDTRAIL,
    INVOCATION_LOG,
    LOG_TOKENS,
    Event,
    ServiceTokens,
    Tokens,
    merge_reports,
    merge_tokens,
)
from etl.warehouse.incoming import EventKey, Incoming
from etl.warehouse.names import Names
from etl.warehouse.rollup import add_calls, hours_of, take_calls

# How far a call's time may lie from its service event's, or its log's: streams last minutes, clocks
# differ.
BEFORE_SERVICE_EVENT = timedelta(hours=2)
AFTER_SERVICE_EVENT = timedelta(hours=1)

_TOKEN_COLUMNS = (
    "token_source_key", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_5m_tokens", "cache_write_1h_tokens", "image_count", "service_tier",
)  # fmt: skip

# account, region, request id
Request = tuple[str, str, str]


@dataclass
class CallCounts:
    """What became of the calls of a batch.

    ``calls_logged``: calls of invocation logs that CloudTrail tells of as well;
    ``tokens_attached``: calls that got tokens from a service event; ``tokens_pending``: service
    events more (or, below zero, fewer) that wait for their call; ``calls_too_old``: calls that
    were dropped from the warehouse before, and still count there.
    """

    calls_new: int = 0
    calls_known: int = 0
    calls_with_tokens: int = 0
    calls_logged: int = 0
    calls_too_old: int = 0
    tokens_attached: int = 0
    tokens_pending: int = 0


class _Stored(NamedTuple):
    is_correction: bool
    reported_by: int
    tokens: Tokens | None
    cloudtrail_tokens: Tokens | None


@dataclass
class _Plan:
    """The changes a batch makes. A key both in ``delete`` and ``insert`` is replaced."""

    stored: dict[EventKey, _Stored]
    insert: dict[EventKey, Event] = field(default_factory=dict)
    delete: set[EventKey] = field(default_factory=set)
    tokens: dict[EventKey, Tokens] = field(default_factory=dict)
    cloudtrail_tokens: dict[EventKey, Tokens] = field(default_factory=dict)
    inference_regions: dict[EventKey, str] = field(default_factory=dict)

    def replace(self, key: EventKey, event: Event) -> None:
        """Put an event in the place of the one that is stored, or planned, under the key."""
        self.insert[key] = event
        if key in self.stored:
            self.delete.add(key)

    def add_tokens(self, key: EventKey, tokens: Tokens | None) -> bool:
        """Give a call tokens; return whether it then knows more than before."""
        stored = self.stored.get(key)
        before = self.tokens.get(key) or (stored.tokens if stored else None)
        self._keep_cloudtrail_tokens(key, before, tokens)
        merged = merge_tokens(before, tokens)
        if merged is None or (merged == before and key not in self.delete):
            return False
        self.tokens[key] = merged
        return merged != before

    def _keep_cloudtrail_tokens(
        self, key: EventKey, before: Tokens | None, tokens: Tokens | None
    ) -> None:
        """Keep what CloudTrail says beside what the log says, where both say something."""
        stored = self.stored.get(key)
        kept = self.cloudtrail_tokens.get(key) or (stored.cloudtrail_tokens if stored else None)
        both = [known for known in (before, tokens) if known is not None]
        if any(known.source == LOG_TOKENS for known in both):
            for known in both:
                if known.source != LOG_TOKENS:
                    kept = merge_tokens(kept, known)
        if kept is not None:
            self.cloudtrail_tokens[key] = kept


class CallWriter:
    """Writes calls inside a transaction that its caller opens and ends."""

    def __init__(self, db: Database, names: Names) -> None:
        self._db = db
        self._names = names
        self._incoming = Incoming(db, names)
        self._shapes = Shapes(next_range())
        for table in ("wanted_calls", "changed_calls", "new_calls"):
            db.execute(
                # blob: a type that leaves every value as it is, so that the key of events is used.
                f"create temp table if not exists {table} (event_time text, event_id blob,"
                " primary key (event_time, event_id)) without rowid"
            )
        db.execute("create temp table if not exists wanted_requests (request_id blob primary key)")

    def forget(self) -> None:
        """Drop what a rollback has undone."""
        self._incoming.forget()

    def drop_shapes(self, first: int) -> None:
        """Drop the shapes of a range before ``first``: no call names them any more."""
        self._incoming.drop(first)

    def write(
        self,
        events: Iterable[Event],
        services: Sequence[ServiceTokens],
        calls: Iterable[PackedCall] = (),
        shapes: Sequence[tuple[int, Shape]] = (),
    ) -> tuple[CallCounts, set[str]]:
        """Write calls and the tokens of service events; return counts, and the hours changed.

        ``calls`` are more calls in the packed form, ``shapes`` what they, or later ones, name.
        """
        counts, incoming = CallCounts(), self._incoming
        packed = [*map(self._shapes.pack, events), *calls]
        incoming.learn([*self._shapes.take_new(), *shapes])
        odd = incoming.fill(packed)
        horizon = self._horizon()
        if horizon:
            kept = [event for event in odd if event.event_time >= horizon]
            counts.calls_too_old = incoming.drop_before(horizon) + len(odd) - len(kept)
            odd, services = kept, [s for s in services if s.event_time >= horizon]
        odd += incoming.take_odd()
        counts.calls_new, counts.calls_with_tokens = incoming.insert()
        hours = incoming.hours()
        unexplained = self._logged_calls_of(odd)
        if odd or services or unexplained:
            plan = self._plan(odd, unexplained, services, counts)
            hours |= self._carry_out(plan, counts)
        if self._shapes.is_full:
            self.drop_shapes(self._shapes.forget())
        return counts, hours

    def _horizon(self) -> str | None:
        row = self._db.execute("select max(dropped_before) from dropped_calls").fetchone()
        return row[0]  # type: ignore[no-any-return]

    def _plan(
        self,
        odd: Sequence[Event],
        unexplained: Collection[EventKey],
        services: Iterable[ServiceTokens],
        counts: CallCounts,
    ) -> _Plan:
        plan = _Plan(self._stored({*map(_key, odd), *unexplained}))
        logs = []
        for event in odd:
            if event.reported_by & CLOUDTRAIL:
                self._plan_event(event, plan, counts)
            else:
                logs.append(event)
        self._drop_copies(plan, counts)
        self._plan_logs(logs, unexplained, plan, counts)
        self._plan_service_tokens(services, plan, counts)
        return plan

    def _plan_event(self, event: Event, plan: _Plan, counts: CallCounts) -> None:
        key = _key(event)
        in_batch, in_store = plan.insert.get(key), plan.stored.get(key)
        if in_batch is None and in_store is None:
            plan.insert[key] = event
        else:
            counts.calls_known += 1
            was_corrected = (
                in_batch.is_correction if in_batch else bool(in_store and in_store.is_correction)
            )
            if event.is_correction and not was_corrected:
                if in_store and in_store.reported_by & INVOCATION_LOG:
                    # What the log told of it is not to be lost with the event it was given to.
                    event = merge_reports(event, _logged_part(self._stored_events([key])[key]))
                plan.replace(key, event)
        plan.add_tokens(key, event.tokens)

    def _stored(self, keys: Iterable[EventKey]) -> dict[EventKey, _Stored]:
        self._fill("wanted_calls", keys)
        rows = self._db.execute(f"""
            select events.event_time, events.event_id, is_correction, reported_by,
                {", ".join(f"tokens.{c}" for c in _TOKEN_COLUMNS)},
                {", ".join(f"beside.{c}" for c in _TOKEN_COLUMNS)}
            from wanted_calls as wanted
            cross join events
                on events.event_time = wanted.event_time and events.event_id = wanted.event_id
            left join tokens
                on tokens.event_time = wanted.event_time and tokens.event_id = wanted.event_id
            left join cloudtrail_tokens as beside
                on beside.event_time = wanted.event_time and beside.event_id = wanted.event_id
        """)
        width = len(_TOKEN_COLUMNS)
        return {
            (row[0], row[1]): _Stored(
                bool(row[2]), row[3], tokens_of(row[4 : 4 + width]), tokens_of(row[4 + width :])
            )
            for row in rows
        }

    def _stored_events(self, keys: Iterable[EventKey]) -> dict[EventKey, Event]:
        """Return stored calls in full, without tokens, their application as they tell it."""
        self._fill("wanted_calls", keys)
        rows = self._db.execute(
            """
            select events.event_time, events.event_id, request_id, shared_event_id,
                account_id, regions.region, event_source, event_name,
                nullif(model_id, ?), principal_arn, principal_type, session_name,
                user_agent, user_name, application, application_source, error_code,
                inference_regions.region, service_tier, is_home_copy, is_correction,
                request_metadata, guardrail_action, reported_by
            from wanted_calls as wanted
            cross join events
                on events.event_time = wanted.event_time and events.event_id = wanted.event_id
            join accounts using (account_key)
            join regions using (region_key)
            join operations using (operation_key)
            join models using (model_key)
            join principals using (principal_key)
            left join sessions using (session_key)
            left join user_agents using (user_agent_key)
            join users using (user_key)
            join applications on applications.application_key
                = coalesce(events.found_application_key, events.application_key)
            left join error_codes using (error_code_key)
            left join regions as inference_regions
                on inference_regions.region_key = events.inference_region_key
            left join request_metadata using (request_metadata_key)
        """,
            [NOT_STATED],
        )
        return {
            (row[0], row[1]): Event._make((
                row[0], plain_id(row[1]), _text(row[2]), _text(row[3]), *row[4:19],
                bool(row[19]), bool(row[20]), *row[21:], None,
            ))
            for row in rows
        }  # fmt: skip

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
                plan.cloudtrail_tokens.pop(key, None)

    def _logged_calls_of(self, odd: Iterable[Event]) -> list[EventKey]:
        """Return the stored calls of logs whose events may be among those that just came."""
        events = [event for event in odd if event.reported_by & CLOUDTRAIL]
        first, last = self._db.execute(
            "select min(event_time), max(event_time) from incoming"
        ).fetchone()
        times = [event.event_time for event in events] + ([first, last] if first else [])
        if not times:
            return []
        stretch = _around(min(times), max(times))
        logged = "from events where reported_by = 2 and event_time between ? and ?"
        if self._db.execute(f"select 1 {logged} limit 1", stretch).fetchone() is None:
            return []
        self._want_requests(event.request_id for event in events if event.request_id)
        self._db.conn.execute(
            "insert or ignore into wanted_requests"
            " select request_id from incoming where request_id is not null"
        )
        rows = self._db.execute(
            f"select event_time, event_id {logged}"
            " and request_id in (select request_id from wanted_requests)",
            stretch,
        )
        return [(time, event_id) for time, event_id in rows]

    def _plan_logs(
        self,
        logs: Sequence[Event],
        unexplained: Collection[EventKey],
        plan: _Plan,
        counts: CallCounts,
    ) -> None:
        """Give each call of a log to the event of its request, or let it stand for itself.

        ``unexplained``: stored calls of logs, to be looked at again with the events that came.
        """
        if not logs and not unexplained:
            return
        plan.delete.update(unexplained)
        taken_back = self._stored_events(unexplained)
        reports = [*taken_back.items(), *((_key(log), log) for log in logs)]
        calls = self._calls_of({_request(log): log.event_time for _, log in reports}, plan)
        events = self._stored_events(key for key in calls.values() if key not in plan.insert)
        for number, (key, log) in enumerate(reports):
            is_back = number < len(taken_back)
            target = calls.setdefault(_request(log), key)
            known = plan.insert.get(target) or events.get(target)
            if known is None:
                plan.insert[key] = log
            else:
                if is_back:
                    counts.calls_new -= 1
                else:
                    counts.calls_known += 1
                    counts.calls_logged += bool(known.reported_by & CLOUDTRAIL)
                merged = merge_reports(known, log)
                if merged != known:
                    plan.replace(target, merged)
            stored = plan.stored.get(key) if is_back else None
            for tokens in (stored.cloudtrail_tokens, stored.tokens) if stored else (log.tokens,):
                plan.add_tokens(target, tokens)

    def _plan_service_tokens(
        self, arrived: Iterable[ServiceTokens], plan: _Plan, counts: CallCounts
    ) -> None:
        waiting = self._waiting_for(plan.insert.values())
        services = {(s.event_time, s.event_id): s for s in (*waiting, *arrived)}
        calls = self._calls_of({_request(s): s.event_time for s in services.values()}, plan)
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

    def _calls_of(self, wanted: dict[Request, str], plan: _Plan) -> dict[Request, EventKey]:
        """Find the call of each request near its time: in the batch and in the store.

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
            if request in wanted and _is_near(key[0], wanted[request])
        }
        plan.stored.update(self._stored(calls.values()))
        return calls

    def _stored_calls_of(
        self, wanted: dict[Request, str], plan: _Plan
    ) -> Iterator[tuple[Request, bool, EventKey]]:
        self._want_requests(request_id for _, _, request_id in wanted)
        for start, end in _time_ranges(wanted.values()):
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
                names.region_or_none(s.inference_region), *token_columns(s.tokens),
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

    def _carry_out(self, plan: _Plan, counts: CallCounts) -> set[str]:
        """Make the changes, and return the hours they are in."""
        changed = plan.delete | (plan.tokens.keys() & plan.stored.keys())
        self._fill("changed_calls", changed)
        hours = hours_of(self._db, "changed_calls")
        if changed:
            take_calls(self._db, "changed_calls")
        for table in ("cloudtrail_tokens", "tokens", "jobs", "events"):
            self._many(
                f"delete from {table} where event_time = ? and event_id = ?",
                sorted(plan.delete, key=_sortable),
            )
        self._insert(plan, counts)
        hours |= self._incoming.hours()
        self._update(plan, changed - plan.delete)
        return hours

    def _insert(self, plan: _Plan, counts: CallCounts) -> None:
        new = plan.insert.keys() - plan.delete
        counts.calls_new += len(new)
        counts.calls_with_tokens += len(new & plan.tokens.keys())
        incoming = self._incoming
        calls = [
            self._shapes.pack(event._replace(tokens=plan.tokens.get(key)))
            for key, event in plan.insert.items()
        ]
        incoming.learn(self._shapes.take_new())
        incoming.fill(calls)
        incoming.insert()

    def _update(self, plan: _Plan, changed: set[EventKey]) -> None:
        """Give calls that stay where they are what is new of them."""
        keys = sorted(changed & plan.tokens.keys(), key=_sortable)
        marks = ", ".join("?" * (2 + len(_TOKEN_COLUMNS)))
        self._many(
            f"insert or replace into tokens values ({marks})",
            [(*key, *token_columns(plan.tokens[key])) for key in keys],
        )
        self._many(
            f"insert or replace into cloudtrail_tokens values ({marks})",
            [
                (*key, *token_columns(tokens))
                for key, tokens in sorted(
                    plan.cloudtrail_tokens.items(), key=lambda item: _sortable(item[0])
                )
            ],
        )
        self._many(
            "update events set inference_region_key = ?"
            " where event_time = ? and event_id = ? and inference_region_key is null",
            [(self._names.region(r), *key) for key, r in plan.inference_regions.items()],
        )
        if changed:
            self._fill("new_calls", changed)
            add_calls(self._db, "new_calls")

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


def _logged_part(event: Event) -> Event:
    """Return what an invocation log may have told of a stored call, as far as it is not in it."""
    if event.application_source == REQUEST_METADATA:
        return event
    return event._replace(application=UNKNOWN, application_source=APPLICATION_SOURCES[-1])


def _key(event: Event) -> EventKey:
    return event.event_time, stored_id(event.event_id)


def _text(value: StoredId | None) -> str | None:
    return None if value is None else plain_id(value)


def _request(report: Event | ServiceTokens) -> Request:
    return report.account_id, report.region, report.request_id or ""


def _sortable(key: EventKey) -> tuple[str, bool, StoredId]:
    # As SQLite sorts: text before blobs.
    return key[0], isinstance(key[1], bytes), key[1]


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


def _around(first: str, last: str) -> tuple[str, str]:
    """Return the stretch in which the logs of calls from ``first`` to ``last`` may lie."""
    start = datetime.fromisoformat(first) - AFTER_SERVICE_EVENT
    return _utc(start), _utc(datetime.fromisoformat(last) + BEFORE_SERVICE_EVENT)


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
