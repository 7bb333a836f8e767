"""Read the stored calls that newly arrived events, logs and corrections may belong to.

Keys are put into temporary tables and joined, as a batch may have thousands. An event is found by
its key; a call of a service event, a log or a correction by its request id or event id near its
time, because an index of random ids would be too large (DECISIONS 9, 39).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.normalise.model_ids import NOT_STATED
from etl.normalise.packed import StoredId, plain_id, stored_id, tokens_of
from etl.normalise.reports import CorrectionKey, Reports, stored_reports
from etl.normalise.rows import CLOUDTRAIL, Event, ServiceTokens, Tokens
from etl.normalise.token_kinds import STORED_COLUMNS
from etl.normalise.token_sources import NAMES
from etl.times import utc_text
from etl.warehouse.write.bulk_insert import EventKey

# How far the time of a call may be from that of its service event or log: streams last minutes, and
# clocks differ.
BEFORE_SERVICE_EVENT = timedelta(hours=2)
AFTER_SERVICE_EVENT = timedelta(hours=1)

# How long before a correction its event is searched for. The search reads all calls of that time,
# so the last days come first. A correction is not sent before its event, but clocks differ.
# AWS does not say which time a correction carries (DECISIONS 109).
_CORRECTED_BEFORE = (timedelta(days=2), timedelta(days=90))
_CORRECTED_AFTER = timedelta(hours=1)

# account, region, request id
Request = tuple[str, str, str]


class StoredCall(NamedTuple):
    """A stored call. ``has_original`` is False while only corrections of it were seen."""

    is_correction: bool
    reports: Reports
    has_original: bool


class CorrectedCall(NamedTuple):
    """A corrected call and its corrections; see the table ``corrections``."""

    event_time: str
    has_original: bool
    names: frozenset[CorrectionKey]


class StoredCalls:
    """Finds stored calls inside the caller's transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db
        create_keys(db, "wanted_calls")
        db.execute("create temp table if not exists wanted_requests (request_id blob primary key)")

    def find(self, keys: Iterable[EventKey]) -> dict[EventKey, StoredCall]:
        """Return which of these calls are stored, with the reports of their tokens."""
        fill_keys(self._db, "wanted_calls", keys)
        rows = self._db.execute(f"""
            select events.event_time, events.event_id, is_correction,
                {", ".join(f"tokens.{c}" for c in STORED_COLUMNS)},
                {", ".join(f"cloudtrail.{c}" for c in STORED_COLUMNS)}
            from wanted_calls as wanted
            cross join events
                on events.event_time = wanted.event_time and events.event_id = wanted.event_id
            left join tokens
                on tokens.event_time = wanted.event_time and tokens.event_id = wanted.event_id
            left join cloudtrail_tokens as cloudtrail
                on cloudtrail.event_time = wanted.event_time
                and cloudtrail.event_id = wanted.event_id
        """).fetchall()
        width, by_source = len(STORED_COLUMNS), self._token_reports()
        corrections, orphans = self._corrections()
        return {
            (row[0], row[1]): StoredCall(
                bool(row[2]),
                Reports(
                    by_source.get(row[:2])
                    or stored_reports(tokens_of(row[3 : 3 + width]), tokens_of(row[3 + width :])),
                    corrections.get(row[:2], {}),
                ),
                row[:2] not in orphans,
            )
            for row in rows
        }

    def _token_reports(self) -> dict[EventKey, dict[str, Tokens]]:
        """Return what each source reported for the wanted calls, if stored in token_reports."""
        found: dict[EventKey, dict[str, Tokens]] = defaultdict(dict)
        rows = self._db.execute(f"""
            select event_time, event_id, {", ".join(STORED_COLUMNS)}
            from wanted_calls cross join token_reports using (event_time, event_id)
        """)
        for time, event_id, *columns in rows:
            tokens = tokens_of(tuple(columns))
            if tokens is not None:
                found[time, event_id][tokens.source] = tokens
        return found

    def _corrections(
        self,
    ) -> tuple[dict[EventKey, dict[CorrectionKey, Tokens | None]], set[EventKey]]:
        """Return the corrections of the wanted calls, and the calls without an original."""
        found: dict[EventKey, dict[CorrectionKey, Tokens | None]] = defaultdict(dict)
        orphans = set()
        rows = self._db.execute(f"""
            select event_time, event_id, has_original, correction_time, correction_id, is_names,
                {", ".join(STORED_COLUMNS)}
            from wanted_calls cross join corrections using (event_id, event_time)
        """)
        for time, event_id, has_original, its_time, its_id, is_names, *columns in rows:
            key = CorrectionKey(its_time, its_id, bool(is_names))
            found[time, event_id][key] = tokens_of(tuple(columns))
            if not has_original:
                orphans.add((time, event_id))
        return found, orphans

    def events(self, keys: Iterable[EventKey]) -> dict[EventKey, Event]:
        """Return stored calls in full, without tokens, with the application they name."""
        fill_keys(self._db, "wanted_calls", keys)
        rows = self._db.execute(
            """
            select events.event_time, events.event_id, request_id, shared_event_id,
                account_id, regions.region, event_source, event_name,
                nullif(model_id, ?), principal_arn, principal_type, session_name,
                user_agent, user_name, applications.application, application_source,
                error_code, inference_regions.region, service_tier, is_home_copy,
                is_correction, request_metadata, guardrail_action, guardrail_use, provider, project,
                source_address, reported_by, credential_key
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
            join users on users.user_key = coalesce(events.found_user_key, events.user_key)
            join applications on applications.application_key
                = coalesce(events.found_application_key, events.application_key)
            left join providers using (provider_key)
            left join projects using (project_key)
            left join source_addresses using (source_address_key)
            left join error_codes using (error_code_key)
            left join regions as inference_regions
                on inference_regions.region_key = events.inference_region_key
            left join request_metadata using (request_metadata_key)
            left join guardrail_uses using (guardrail_use_key)
        """,
            [NOT_STATED],
        )
        return {
            (row[0], row[1]): Event._make((
                row[0], plain_id(row[1]), _text(row[2]), _text(row[3]), *row[4:19],
                bool(row[19]), bool(row[20]), *row[21:-1], None, None, row[-1],
            ))
            for row in rows
        }  # fmt: skip

    def corrected(self, event_ids: Collection[StoredId]) -> dict[StoredId, CorrectedCall]:
        """Return the stored calls with these ids whose names were corrected."""
        if self._db.execute("select 1 from corrections limit 1").fetchone() is None:
            return {}
        self._want_ids(event_ids)
        names: dict[StoredId, set[CorrectionKey]] = defaultdict(set)
        calls: dict[StoredId, tuple[str, bool]] = {}
        rows = self._db.execute(
            "select event_id, event_time, has_original, correction_time, correction_id"
            " from corrected_ids cross join corrections using (event_id) where is_names"
        )
        for event_id, time, has_original, its_time, its_id in rows:
            calls[event_id] = time, bool(has_original)
            names[event_id].add(CorrectionKey(its_time, its_id))
        return {id_: CorrectedCall(*call, frozenset(names[id_])) for id_, call in calls.items()}

    def corrected_by(
        self, corrections: Sequence[Event], planned: Collection[StoredId]
    ) -> set[EventKey]:
        """Find the stored calls of corrections: at the same time, else before it.

        If only the copy of another account is stored, return its time with the correction's id.
        """
        found = self.find({key_of(event) for event in corrections}).keys() | set()
        for reach in _CORRECTED_BEFORE:
            known = {*planned, *(key[1] for key in found)}
            open_ = [event for event in corrections if stored_id(event.event_id) not in known]
            if not open_:
                break
            times = [event.event_time for event in open_]
            stretch = _stretch(min(times), max(times), reach, _CORRECTED_AFTER)
            self._want_ids(stored_id(event.event_id) for event in open_)
            found |= set(
                self._db.execute(
                    "select event_time, event_id from events where event_time between ? and ?"
                    " and event_id in (select event_id from corrected_ids)",
                    stretch,
                )
            )
            shared = {
                stored_id(event.shared_event_id): stored_id(event.event_id)
                for event in open_
                if event.shared_event_id
            }
            self._want_ids(shared)
            found |= {
                (time, shared[shared_id])
                for time, shared_id in self._db.execute(
                    "select event_time, shared_event_id from events"
                    " where event_time between ? and ?"
                    " and shared_event_id in (select event_id from corrected_ids)",
                    stretch,
                )
            }
        return found

    def logged_calls_of(self, special: Iterable[Event]) -> list[EventKey]:
        """Return stored calls of logs whose events may be among those that just arrived."""
        events = [event for event in special if event.reported_by & CLOUDTRAIL]
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

    def waiting_for(self, events: Iterable[Event]) -> list[ServiceTokens]:
        """Return the pending tokens with the request id of one of the events."""
        if self._db.execute("select 1 from pending_tokens limit 1").fetchone() is None:
            return []
        self._want_requests(event.request_id for event in events if event.request_id)
        rows = self._db.execute(f"""
            select pending.event_time, pending.event_id, account_id, regions.region,
                pending.request_id, inference_regions.region, is_correction,
                {", ".join(STORED_COLUMNS)}
            from wanted_requests as wanted
            cross join pending_tokens as pending on pending.request_id = wanted.request_id
            join accounts using (account_key)
            join regions using (region_key)
            left join regions as inference_regions
                on inference_regions.region_key = pending.inference_region_key
        """)
        return [_service_of(*row) for row in rows]

    def of_requests(self, wanted: dict[Request, str]) -> Iterator[tuple[Request, bool, EventKey]]:
        """Yield stored calls of requests near their times: the request, whether it failed, the key.

        ``wanted``: the time of what belongs to each request.
        """
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
                request = (account_id, region, plain_id(request_id))
                yield request, bool(is_failed), (time, event_id)

    def _want_ids(self, event_ids: Iterable[StoredId]) -> None:
        self._db.execute("delete from corrected_ids")
        run_many(
            self._db, "insert or ignore into corrected_ids values (?)", [(i,) for i in event_ids]
        )

    def _want_requests(self, request_ids: Iterable[str]) -> None:
        self._db.execute("delete from wanted_requests")
        run_many(
            self._db,
            "insert or ignore into wanted_requests values (?)",
            [(stored_id(r),) for r in request_ids],
        )


def create_keys(db: Database, table: str) -> None:
    """Create a temporary table of keys of events, unless it is there."""
    db.execute(
        # blob: the type that converts no value, so that SQLite uses the key of events.
        f"create temp table if not exists {table} (event_time text, event_id blob,"
        " primary key (event_time, event_id)) without rowid"
    )


def fill_keys(db: Database, table: str, keys: Iterable[EventKey]) -> None:
    """Replace the content of a temporary table of keys."""
    db.execute(f"delete from {table}")
    run_many(db, f"insert or ignore into {table} values (?, ?)", keys)


def run_many(db: Database, sql: str, rows: Iterable[tuple[Any, ...]]) -> int:
    """Run a statement for every row; return how many rows it changed."""
    before = db.conn.total_changes
    db.conn.executemany(sql, rows)
    return db.conn.total_changes - before


def key_of(event: Event) -> EventKey:
    """Return the key of an event in the warehouse."""
    return event.event_time, stored_id(event.event_id)


def is_near(call_time: str, service_time: str) -> bool:
    """Return whether a call's time may be that of the call of a service event or log."""
    distance = datetime.fromisoformat(call_time) - datetime.fromisoformat(service_time)
    return -BEFORE_SERVICE_EVENT <= distance <= AFTER_SERVICE_EVENT


def _text(value: StoredId | None) -> str | None:
    return None if value is None else plain_id(value)


def _service_of(
    time: str,
    event_id: StoredId,
    account_id: str,
    region: str,
    request_id: StoredId,
    inference_region: str | None,
    is_correction: int,
    source_key: int,
    *counts: Any,
) -> ServiceTokens:
    """Return pending tokens from their row: its keys, then its ``STORED_COLUMNS``."""
    ids = plain_id(event_id), account_id, region, plain_id(request_id)
    tokens = Tokens(NAMES[source_key], *counts)
    return ServiceTokens(time, *ids, inference_region, tokens, bool(is_correction))


def _time_ranges(times: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Merge the time ranges in which the calls of service events may be."""
    start = end = None
    for moment in sorted(datetime.fromisoformat(time) for time in times):
        low, high = moment - BEFORE_SERVICE_EVENT, moment + AFTER_SERVICE_EVENT
        if start is not None and end is not None and low > end:
            yield utc_text(start), utc_text(end)
            start = None
        start, end = start or low, high
    if start is not None and end is not None:
        yield utc_text(start), utc_text(end)


def _around(first: str, last: str) -> tuple[str, str]:
    """Return the time range in which the logs of calls from ``first`` to ``last`` may be."""
    return _stretch(first, last, AFTER_SERVICE_EVENT, BEFORE_SERVICE_EVENT)


def _stretch(first: str, last: str, before: timedelta, after: timedelta) -> tuple[str, str]:
    start, end = datetime.fromisoformat(first) - before, datetime.fromisoformat(last) + after
    return utc_text(start), utc_text(end)
