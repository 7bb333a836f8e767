"""Write calls and their tokens, so that neither repetition nor order matters.

- An event is identified by its time and id. If it is seen again, it only adds what was missing
  (tokens, for example). If the names of two copies differ, those of ``better_copy`` stay.
- A correction that AWS sends later replaces the names of its event and the counts that it has. The
  latest one wins, by its own time and id; the original never replaces a correction. The call has
  the time of its original, or of its first correction until the original is seen.
- Of the copies of one call in several accounts, the home copy is kept, else the lowest id.
- A call of an invocation log is merged into the event with its request id. Until that event is
  seen, it is a separate call; then it is removed again and merged into the event.
- Tokens of a service event are attached to the call with their request id, or wait in
  ``pending_tokens``.
- The stored rules decide the user and the application of every call that is inserted.
- A call of a log has the user that CloudTrail shows for its session, whichever comes first.

Calls that affect no other are inserted at once (``etl.warehouse.write.bulk_insert``). The rest of a
batch is first planned against the stored calls, then written together with its rollup.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlite_utils import Database

from etl.normalise.fields import NUL, SHOWN_NUL
from etl.normalise.merging import better_copy, complete_correction, merge_reports
from etl.normalise.packed import (
    PackedCall,
    Shape,
    Shapes,
    StoredId,
    next_range,
    stored_id,
    token_columns,
)
from etl.normalise.reports import CorrectionKey, Reports, stored_reports
from etl.normalise.rows import (
    CLOUDTRAIL,
    Event,
    ServiceTokens,
)
from etl.normalise.token_kinds import STORED_COLUMNS
from etl.warehouse.write.attribution import attribute_calls
from etl.warehouse.write.bulk_insert import EventKey, Incoming
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.rollup import COUNTED_FROM, add_calls, hours_of, subtract_calls
from etl.warehouse.write.sessions import Session
from etl.warehouse.write.stored_calls import (
    CorrectedCall,
    Request,
    StoredCall,
    StoredCalls,
    create_keys,
    fill_keys,
    is_near,
    key_of,
    run_many,
)

# Memory holds so many calls that are attributed again.
_NAMED_AT_ONCE = 10_000

# The tables with the tokens of a call, and the columns of each before ``STORED_COLUMNS``.
_KEY = ("event_time", "event_id")
_TABLES_OF_TOKENS = {
    "tokens": _KEY,
    "cloudtrail_tokens": _KEY,
    "token_reports": _KEY,
    "corrections": (
        *("event_id", "correction_time", "correction_id", "event_time"),
        *("is_names", "has_original"),
    ),
}
_PENDING_COLUMNS = (
    *("request_id", "event_time", "event_id", "account_key", "region_key"),
    *("inference_region_key", "is_correction"),
)


@dataclass
class CallCounts:
    """The result for the calls of a batch.

    ``calls_logged``: calls of invocation logs that CloudTrail also reports; ``tokens_attached``:
    calls that got tokens from a service event; ``tokens_pending``: the change in the number of
    service events waiting for their call; ``calls_too_old``: calls of the time that `vacuum`
    dropped, which the sums already count; ``calls_reattributed``: calls stored before, which later
    evidence gave another team.
    """

    calls_new: int = 0
    calls_known: int = 0
    calls_with_tokens: int = 0
    calls_logged: int = 0
    calls_too_old: int = 0
    calls_reattributed: int = 0
    tokens_attached: int = 0
    tokens_pending: int = 0


@dataclass
class _Plan:
    """The changes of a batch. A key in both ``delete`` and ``insert`` is replaced.

    ``reports``: those of inserted calls and of calls whose tokens change. ``orphans``: corrected
    calls, True if the original has not been seen; ``moved``: old to new keys of corrected calls.
    """

    stored: dict[EventKey, StoredCall]
    insert: dict[EventKey, Event] = field(default_factory=dict)
    delete: set[EventKey] = field(default_factory=set)
    reports: dict[EventKey, Reports] = field(default_factory=dict)
    inference_regions: dict[EventKey, str] = field(default_factory=dict)
    orphans: dict[EventKey, bool] = field(default_factory=dict)
    moved: dict[EventKey, EventKey] = field(default_factory=dict)

    def replace(self, key: EventKey, event: Event) -> None:
        """Replace the event that is stored or planned under the key."""
        self.insert[key] = event
        self.reports[key] = self.reports_of(key)
        if key in self.stored:
            self.delete.add(key)

    def take(self, key: EventKey) -> Reports:
        """Remove a call that will be replaced; return the reports of its tokens."""
        reports = self.reports_of(key)
        self.reports.pop(key, None)
        self.insert.pop(key, None)
        if key in self.stored:
            self.delete.add(key)
        return reports

    def reports_of(self, key: EventKey) -> Reports:
        """Return the reports of a call's tokens so far."""
        stored = self.stored.get(key)
        return self.reports.get(key) or (stored.reports if stored else Reports())

    def add(self, key: EventKey, reports: Reports) -> bool:
        """Add reports of a call's tokens; return whether that changes its tokens."""
        before = self.reports_of(key)
        after = before.join(reports)
        if after != before or key in self.insert:
            self.reports[key] = after
        return after.tokens != before.tokens

    def keys_of(self, event_id: StoredId) -> list[EventKey]:
        """Return the keys of an event id in the plan: one, or several with different times."""
        keys = [key for key in self.stored if key not in self.delete] + list(self.insert)
        return list(dict.fromkeys(key for key in keys if key[1] == event_id))

    def has_original_of(self, key: EventKey) -> bool:
        """Return whether a stored call has the names of its event, not of a correction."""
        return key in self.stored and not self.stored[key].is_correction

    def is_correction(self, key: EventKey) -> bool:
        """Return whether a call has the names of a correction."""
        event = self.insert.get(key)
        return event.is_correction if event else self.stored[key].is_correction

    def has_original(self, key: EventKey) -> bool:
        """Return whether the original event of a call was seen, not only corrections."""
        stored = self.stored.get(key)
        return not self.orphans.get(key, stored is not None and not stored.has_original)


class CallWriter:
    """Writes calls inside the caller's transaction."""

    def __init__(self, db: Database, names: Names) -> None:
        self._db = db
        self._names = names
        self._incoming = Incoming(db, names)
        self._shapes = Shapes(next_range())
        self._stored = StoredCalls(db)
        for table in ("changed_calls", "new_calls"):
            create_keys(db, table)

    def forget(self) -> None:
        """Forget what a rollback undid."""
        self._incoming.forget()

    def drop_shapes(self, first: int) -> None:
        """Drop the shapes before ``first`` in its range: no call refers to them any more."""
        self._incoming.drop(first)

    def write(
        self,
        events: Iterable[Event],
        services: Sequence[ServiceTokens],
        calls: Iterable[PackedCall] = (),
        shapes: Sequence[tuple[int, Shape]] = (),
        tagged: Collection[int] = (),
    ) -> tuple[CallCounts, set[str]]:
        """Write calls and the tokens of service events; return counts and the changed hours.

        ``calls``: more calls, in the packed form; ``shapes``: the shapes that they, or later calls,
        refer to. ``tagged``: the credentials of which an event shows something new.
        """
        counts, incoming = CallCounts(), self._incoming
        events = list(events)
        corrections = [event for event in events if event.correction_id is not None]
        plain = (event for event in events if event.correction_id is None)
        packed = [*map(self._shapes.pack, plain), *calls]
        incoming.learn([*self._shapes.take_new(), *shapes])
        special = incoming.fill(packed)
        horizon = self._horizon()
        if horizon:
            arrived = [*special, *corrections]
            special = [event for event in special if event.event_time >= horizon]
            corrections = [event for event in corrections if event.event_time >= horizon]
            dropped = len(arrived) - len(special) - len(corrections)
            counts.calls_too_old = incoming.drop_before(horizon) + dropped
            services = [s for s in services if s.event_time >= horizon]
        special += incoming.take_special(stored_id(event.event_id) for event in corrections)
        counts.calls_new, counts.calls_with_tokens = incoming.insert()
        hours = incoming.hours()
        unmatched = self._stored.logged_calls_of([*special, *corrections])
        if special or corrections or services or unmatched:
            plan = self._plan(special, corrections, unmatched, services, counts)
            hours |= self._carry_out(plan, counts)
        hours |= self._name_again(incoming.take_identified())
        # New calls first, so that only stored ones are left to count.
        if incoming.take_tagged():
            hours |= attribute_calls(self._db, self._names, "tagged_calls")[1]
        counts.calls_reattributed, tagged_hours = self._tag_again(tagged)
        hours |= tagged_hours
        if self._shapes.is_full:
            self.drop_shapes(self._shapes.forget())
        return counts, hours

    def stored_calls(self, keys: Iterable[EventKey]) -> list[Event]:
        """Return stored calls with their tokens; by which credentials they were made is left out.

        What is a rule's is left out as well: it is applied to whatever warehouse they get into.
        """
        keys = list(keys)
        stored = self._stored.find(keys)
        return [
            event._replace(tokens=stored[key].reports.tokens, credential=None)
            for key, event in self._stored.events(keys).items()
        ]

    def write_uncounted(self, events: Iterable[Event]) -> int:
        """Write calls that the sums count already, to look at; return how many are new.

        They are in ``fetched_calls``. Calls that are there stay as they are.
        """
        events = list(events)
        there = self._stored.find(map(key_of, events))
        new = {key_of(event): event for event in events if key_of(event) not in there}
        incoming = self._incoming
        packed = [self._shapes.pack(event) for event in new.values()]
        incoming.learn(self._shapes.take_new())
        incoming.fill(packed)
        incoming.insert()
        fill_keys(self._db, "new_calls", new)
        subtract_calls(self._db, "new_calls")
        self._db.execute("insert into fetched_calls select * from new_calls")
        self._shapes.forget()
        return len(new)

    def _name_again(self, sessions: Iterable[Session]) -> set[str]:
        """Attribute the stored calls of logs whose user CloudTrail has only now shown."""
        keys: list[EventKey] = []
        for principal_arn, principal_type, session_name in sessions:
            keys += self._db.execute(
                "select event_time, event_id from events"
                " where principal_key = ? and session_key = ? and reported_by = 2"
                f" and event_time >= {COUNTED_FROM}",
                [
                    self._names.principal(principal_arn, principal_type),
                    self._names.session(session_name),
                ],
            )
        hours: set[str] = set()
        for start in range(0, len(keys), _NAMED_AT_ONCE):
            some = keys[start : start + _NAMED_AT_ONCE]
            plan = _Plan(self._stored.find(some))
            for key, event in self._stored.events(some).items():
                plan.replace(key, event)
            hours |= self._carry_out(plan, CallCounts())
        return hours

    def _tag_again(self, credentials: Collection[int]) -> tuple[int, set[str]]:
        """Attribute the stored calls with these credentials, whose tags became known after them.

        Return how many changed, and their hours.
        """
        times = self._db.execute(
            "select first_call, last_call from credentials where first_call is not null"
            f" and credential_key in ({', '.join(map(str, credentials))}) order by 1"
        ).fetchall()
        if not times:
            return 0, set()
        self._db.execute("delete from wanted_calls")
        for first, last in _merged(times):
            self._db.conn.execute(
                "insert or ignore into wanted_calls select event_time, event_id from events"
                " where event_time between ? and ?"
                f" and credential_key in ({', '.join(map(str, credentials))})",
                [first, last],
            )
        return attribute_calls(self._db, self._names, "wanted_calls")

    # Older events are refused, not merged (DECISIONS 44, 111).
    def _horizon(self) -> str | None:
        row = self._db.execute("select max(dropped_before) from dropped_calls").fetchone()
        return row[0]  # type: ignore[no-any-return]

    def _plan(
        self,
        special: Sequence[Event],
        corrections: Sequence[Event],
        unmatched: Collection[EventKey],
        services: Iterable[ServiceTokens],
        counts: CallCounts,
    ) -> _Plan:
        plan = _Plan(self._stored.find({*map(key_of, special), *unmatched}))
        copied = (key_of(event) for event in special if event.reported_by & CLOUDTRAIL)
        known = self._stored.events({key for key in copied if plan.has_original_of(key)})
        logs = []
        for event in special:
            if event.reported_by & CLOUDTRAIL:
                self._plan_event(event, plan, counts, known)
            else:
                logs.append(event)
        self._plan_corrections(special, corrections, plan, counts)
        self._drop_copies(plan, counts)
        self._plan_logs(logs, unmatched, plan, counts)
        self._plan_service_tokens(services, plan, counts)
        return plan

    def _plan_event(
        self, event: Event, plan: _Plan, counts: CallCounts, known: Mapping[EventKey, Event]
    ) -> None:
        """Add an event, or a copy of one. ``known``: the stored calls that may have copies."""
        key = key_of(event)
        if key in plan.insert or key in plan.stored:
            counts.calls_known += 1
            before = plan.insert.get(key) or known.get(key)
            if before and (best := better_copy(before, self._as_stored(event))) is not before:
                plan.replace(key, best)
        else:
            plan.insert[key] = event
        plan.add(key, Reports().add(event.tokens))

    def _as_stored(self, event: Event) -> Event:
        """Return an event with the texts that the warehouse stores of it."""
        event = self._names.forgotten.event(event)
        if any(NUL in value for value in event if type(value) is str):
            event = Event._make(
                value.replace(NUL, SHOWN_NUL) if type(value) is str else value for value in event
            )
        return event

    def _plan_corrections(
        self, special: Sequence[Event], arrived: Sequence[Event], plan: _Plan, counts: CallCounts
    ) -> None:
        """Match corrections with their calls, whichever came first."""
        by_id: dict[StoredId, list[Event]] = defaultdict(list)
        for event in arrived:
            by_id[stored_id(event.event_id)].append(event)
        originals = {stored_id(e.event_id): e for e in special if e.reported_by & CLOUDTRAIL}
        known = self._stored.corrected(originals.keys() | by_id.keys())
        if not by_id and not known:
            return
        where = {(corrected.event_time, id_) for id_, corrected in known.items()}
        where |= self._stored.corrected_by(
            [by_id[id_][0] for id_ in by_id.keys() - known.keys()], {key[1] for key in plan.insert}
        )
        plan.stored.update(self._stored.find(where - plan.stored.keys()))
        copies = {event_id: time for time, event_id in where - plan.stored.keys()}
        wanted = by_id.keys() | known.keys()
        events = self._stored.events(key for key in plan.stored if key[1] in wanted)
        for id_ in sorted(wanted, key=_sortable_id):
            original = originals.get(id_)
            before = known.get(id_) or CorrectedCall(
                copies.get(id_, ""), id_ in copies, frozenset()
            )
            self._correct(id_, by_id[id_], original, before, events, plan, counts)

    def _correct(
        self,
        event_id: StoredId,
        arrived: Sequence[Event],
        original: Event | None,
        before: CorrectedCall,
        events: dict[EventKey, Event],
        plan: _Plan,
        counts: CallCounts,
    ) -> None:
        """Combine an event and its corrections into one call. ``events``: the stored calls."""
        keys = plan.keys_of(event_id)
        by_key = {_correction_key(event): event for event in arrived}
        times = [key[0] for key in keys if not plan.is_correction(key)]
        times += [before.event_time] if before.has_original else []
        times += [original.event_time] if original else []
        if not times and not keys and self._horizon():
            # Its original may be one of the dropped calls, which the sums still count.
            counts.calls_too_old += len(arrived)
            return
        of_corrections = [correction.time for correction in {*by_key, *before.names}]
        key = (min(times or [*of_corrections, *(key[0] for key in keys)]), event_id)
        plan.orphans[key] = not times
        reports = Reports()
        for event in arrived:
            reports = reports.correct(_correction_key(event), event.tokens)
        counts.calls_known += len(arrived) - (not keys)
        latest = max({*by_key, *before.names})
        if keys == [key] and latest in before.names and bool(times) == before.has_original:
            plan.add(key, reports)
            return
        # The first one determines the names: the latest correction.
        calls = [by_key[latest]] if latest not in before.names else []
        calls += sorted((plan.insert.get(k) or events[k] for k in keys), key=_is_original)
        calls += [original] if original else []
        if keys and plan.stored.keys() & set(keys) and key not in plan.stored:
            # It was counted when it first arrived.
            counts.calls_new -= 1
            counts.calls_known += original is not None
        for old in keys:
            reports = plan.take(old).join(reports)
            if latest in before.names:
                plan.moved[old] = key
        plan.insert[key] = complete_correction(calls)._replace(event_time=key[0])
        plan.reports[key] = reports

    # The copy in the caller's account stays (DECISIONS 8).
    def _drop_copies(self, plan: _Plan, counts: CallCounts) -> None:
        """Keep one of the copies of a call that CloudTrail delivered to several accounts."""
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
                plan.reports.pop(key, None)

    def _plan_logs(
        self,
        logs: Sequence[Event],
        unmatched: Collection[EventKey],
        plan: _Plan,
        counts: CallCounts,
    ) -> None:
        """Merge each call of a log into the event of its request, or insert it as a call.

        ``unmatched``: stored calls of logs, to match again with the events that arrived.
        """
        if not logs and not unmatched:
            return
        plan.delete.update(unmatched)
        taken_back = self._stored.events(unmatched)
        reports = [*taken_back.items(), *((key_of(log), log) for log in logs)]
        calls = self._calls_of({_request(log): log.event_time for _, log in reports}, plan)
        events = self._stored.events(key for key in calls.values() if key not in plan.insert)
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
            plan.add(target, stored.reports if stored else Reports().add(log.tokens))

    def _plan_service_tokens(
        self, arrived: Iterable[ServiceTokens], plan: _Plan, counts: CallCounts
    ) -> None:
        waiting = self._stored.waiting_for(plan.insert.values())
        services = {(s.event_time, s.event_id): s for s in (*waiting, *arrived)}
        calls = self._calls_of({_request(s): s.event_time for s in services.values()}, plan)
        attached, pending = [], []
        for service in services.values():
            key = calls.get(_request(service))
            if key is None:
                pending.append(service)
                continue
            attached.append(service)
            counts.tokens_attached += plan.add(key, _reports_of_service(service))
            if service.inference_region:
                plan.inference_regions[key] = service.inference_region
        counts.tokens_pending = self._keep(pending) - self._forget(attached)

    def _calls_of(self, wanted: dict[Request, str], plan: _Plan) -> dict[Request, EventKey]:
        """Find the call of each request near its time, in the batch and among stored calls.

        If a request id is not unique, a successful call wins over a failed one, and an earlier call
        over a later one.
        """
        candidates = [
            ((event.account_id, event.region, event.request_id or ""), bool(event.error_code), key)
            for key, event in plan.insert.items()
        ]
        candidates += [
            found for found in self._stored.of_requests(wanted) if found[2] not in plan.delete
        ]
        candidates.sort(key=lambda candidate: (candidate[1], _sortable(candidate[2])), reverse=True)
        calls = {
            request: key
            for request, _, key in candidates
            if request in wanted and is_near(key[0], wanted[request])
        }
        plan.stored.update(self._stored.find(calls.values()))
        return calls

    def _keep(self, services: list[ServiceTokens]) -> int:
        """Store tokens whose call was not seen yet; return how many are new."""
        names = self._names
        rows = [
            (
                stored_id(s.request_id), s.event_time, stored_id(s.event_id),
                names.account(s.account_id), names.region(s.region),
                names.region_or_none(s.inference_region), s.is_correction, *token_columns(s.tokens),
            )
            for s in services
        ]  # fmt: skip
        return run_many(
            self._db, f"insert or ignore {_into('pending_tokens', _PENDING_COLUMNS)}", rows
        )

    def _forget(self, services: list[ServiceTokens]) -> int:
        return run_many(
            self._db,
            "delete from pending_tokens where request_id = ? and event_time = ? and event_id = ?",
            [(stored_id(s.request_id), s.event_time, stored_id(s.event_id)) for s in services],
        )

    def _carry_out(self, plan: _Plan, counts: CallCounts) -> set[str]:
        """Make the changes, and return their hours."""
        changed = plan.delete | (plan.reports.keys() & plan.stored.keys())
        fill_keys(self._db, "changed_calls", changed)
        hours = hours_of(self._db, "changed_calls")
        if changed:
            subtract_calls(self._db, "changed_calls")
        jobs = self._jobs_of(plan)
        for table in (*_TABLES_OF_TOKENS, "jobs", "events"):
            run_many(
                self._db,
                f"delete from {table} where event_time = ? and event_id = ?",
                sorted(plan.delete, key=_sortable),
            )
        self._insert(plan, counts)
        hours |= self._incoming.hours()
        self._update(plan, changed - plan.delete)
        run_many(self._db, "insert or ignore into jobs values (?, ?, ?, ?)", jobs)
        return hours

    def _jobs_of(self, plan: _Plan) -> list[tuple[Any, ...]]:
        """Return the jobs of moved calls, with their new keys."""
        moved = {old: new for old, new in plan.moved.items() if new in plan.insert}
        if not moved:
            return []
        fill_keys(self._db, "wanted_calls", moved)
        rows = self._db.execute(
            "select event_time, event_id, job_kind, job_arn"
            " from wanted_calls cross join jobs using (event_time, event_id)"
        )
        return [(*moved[time, event_id], *job) for time, event_id, *job in rows]

    def _insert(self, plan: _Plan, counts: CallCounts) -> None:
        tokens = {key: reports.tokens for key, reports in plan.reports.items()}
        new = plan.insert.keys() - plan.delete
        counts.calls_new += len(new)
        counts.calls_with_tokens += sum(tokens.get(key) is not None for key in new)
        incoming = self._incoming
        calls = [
            self._shapes.pack(event._replace(tokens=tokens.get(key)))
            for key, event in plan.insert.items()
        ]
        incoming.learn(self._shapes.take_new())
        incoming.fill(calls)
        incoming.insert()

    def _update(self, plan: _Plan, changed: set[EventKey]) -> None:
        """Write the token reports, and add the changed calls to the rollup again."""
        stay = sorted(plan.reports.keys() - plan.insert.keys(), key=_sortable)
        for table in _TABLES_OF_TOKENS:
            run_many(self._db, f"delete from {table} where event_time = ? and event_id = ?", stay)
        rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for key in sorted(plan.reports, key=_sortable):
            for table, row in _rows_of(key, plan):
                rows[table].append(row)
        for table, of_table in rows.items():
            run_many(self._db, f"insert {_into(table, _TABLES_OF_TOKENS[table])}", of_table)
        run_many(
            self._db,
            "update events set inference_region_key = ?"
            " where event_time = ? and event_id = ? and inference_region_key is null",
            [(self._names.region(r), *key) for key, r in plan.inference_regions.items()],
        )
        if changed:
            fill_keys(self._db, "new_calls", changed)
            add_calls(self._db, "new_calls")


def _rows_of(key: EventKey, plan: _Plan) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield (table, row) for every row that stores the reports of a call's tokens."""
    reports = plan.reports[key]
    tokens, by_cloudtrail = reports.tokens, reports.cloudtrail_tokens
    if tokens is not None and key not in plan.insert:
        yield "tokens", (*key, *token_columns(tokens))
    if by_cloudtrail is not None:
        yield "cloudtrail_tokens", (*key, *token_columns(by_cloudtrail))
    if reports.by_source != stored_reports(tokens, by_cloudtrail):
        for of_source in reports.by_source.values():
            yield "token_reports", (*key, *token_columns(of_source))
    has_original = plan.has_original(key)
    for (time, event_id, is_names), counts in reports.corrections.items():
        correction = (key[1], time, event_id, key[0], is_names, has_original)
        yield "corrections", (*correction, *token_columns(counts))


def _into(table: str, keys: Sequence[str]) -> str:
    """Return the end of an insert statement for a table: ``keys``, then the token columns."""
    columns = (*keys, *STORED_COLUMNS)
    return f"into {table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})"


def _correction_key(event: Event) -> CorrectionKey:
    return CorrectionKey(event.event_time, event.correction_id or "")


def _is_original(event: Event) -> bool:
    return not event.is_correction


def _reports_of_service(service: ServiceTokens) -> Reports:
    if service.is_correction:
        correction = CorrectionKey(service.event_time, service.event_id, is_names=False)
        return Reports().correct(correction, service.tokens)
    return Reports().add(service.tokens)


def _request(report: Event | ServiceTokens) -> Request:
    return report.account_id, report.region, report.request_id or ""


def _sortable(key: EventKey) -> tuple[str, bool, StoredId]:
    return key[0], *_sortable_id(key[1])


def _sortable_id(event_id: StoredId) -> tuple[bool, StoredId]:
    # SQLite's order: text before blobs.
    return isinstance(event_id, bytes), event_id


def _merged(times: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Merge stretches of time that overlap; they come in order."""
    merged = [times[0]]
    for first, last in times[1:]:
        if first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged
