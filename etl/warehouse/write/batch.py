"""Write batches of rows and the bookmarks that claim them, in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.normalise.bills import BillMonth
from etl.normalise.packed import PackedCall, Shape, stored_id
from etl.normalise.rows import (
    AccountName,
    Event,
    InferenceProfile,
    MetricValue,
    OtherOperation,
    PrincipalTags,
    RoleSession,
    Row,
    ServiceTokens,
    SkippedOperation,
    StartedJob,
)
from etl.warehouse.bookmarks import StreamState, save_state
from etl.warehouse.turns import begin
from etl.warehouse.write.archived_events import ArchivedEvent, save_archived
from etl.warehouse.write.attribution import renew_teams
from etl.warehouse.write.bill_figures import keep_figures
from etl.warehouse.write.bills import BillsWritten, write_bills
from etl.warehouse.write.calls import CallCounts, CallWriter
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.input_forms import renew_input_forms
from etl.warehouse.write.metrics import MetricWriter
from etl.warehouse.write.operations import store_created_projects, write_operations
from etl.warehouse.write.read_files import FileRead, save_files
from etl.warehouse.write.replaced_rows import renew_rows
from etl.warehouse.write.role_sessions import write_sessions
from etl.warehouse.write.rollup import renew


class Reject(NamedTuple):
    """One piece of input that could not be read; the reason contains none of its text.

    ``file``: the file, or the stream of ``sync``; ``position``: the place in it, or the event id.
    """

    file: str
    position: str
    reason: str


@dataclass
class Batch:
    """Rows to write together, and the state that claims them.

    ``minutes``: totals of 60 seconds, kept besides those of longer periods.
    ``calls``: events in the packed form; ``shapes``: the shapes that they, or calls of later
    batches, refer to; ``first_shapes``: the first numbers of a process that renumbered its shapes.

    ``files``: files read from the start, which replaces their rejects; ``files_read``: their
    entries for the ledger; ``positions``: (file, position) of input that was read again by itself;
    ``archived``: raw events that an archive now contains; ``renewed``: rows for ``renew_rows`` by
    table; ``bills``: whole months of a bill. ``is_reread``: the stream had already covered all of
    it, so anything new in it is late; ``late_events``: the late events of previous batches, which
    carried no state.
    """

    events: list[Event] = field(default_factory=list)
    calls: list[PackedCall] = field(default_factory=list)
    shapes: list[tuple[int, Shape]] = field(default_factory=list)
    jobs: list[StartedJob] = field(default_factory=list)
    service_tokens: list[ServiceTokens] = field(default_factory=list)
    operations: list[OtherOperation | SkippedOperation] = field(default_factory=list)
    sessions: list[RoleSession] = field(default_factory=list)
    metrics: list[MetricValue] = field(default_factory=list)
    minutes: list[MetricValue] = field(default_factory=list)
    profiles: list[InferenceProfile] = field(default_factory=list)
    first_shapes: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    files_read: list[FileRead] = field(default_factory=list)
    positions: list[tuple[str, str]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    archived: list[ArchivedEvent] = field(default_factory=list)
    renewed: dict[str, list[Any]] = field(default_factory=dict)
    bills: list[BillMonth] = field(default_factory=list)
    state: StreamState | None = None
    is_reread: bool = False
    late_events: int = 0

    def __len__(self) -> int:
        lists = [part for part in vars(self).values() if isinstance(part, list)]
        return sum(map(len, [*lists, *self.renewed.values()]))

    def add(self, row: Row) -> None:
        """Add a row to the list of its kind."""
        match row:
            case Event():
                self.events.append(row)
            case StartedJob():
                self.jobs.append(row)
            case ServiceTokens():
                self.service_tokens.append(row)
            case OtherOperation() | SkippedOperation():
                self.operations.append(row)
            case RoleSession():
                self.sessions.append(row)
            case MetricValue():
                self.metrics.append(row)
            case InferenceProfile():
                self.profiles.append(row)


@dataclass
class Written(CallCounts):
    """The result of a batch; metric values and profiles count only if new or changed.

    ``operations``: new events of Bedrock that are no calls, by operation; ``operations_unknown``:
    those of them that are not known yet.
    ``renewed``: the number of new or changed rows by table; ``sessions``: events of them.
    """

    metric_values: int = 0
    profiles: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    operations_unknown: int = 0
    renewed: Counter[str] = field(default_factory=Counter)
    sessions: int = 0
    late_events: int = 0
    events_archived: int = 0
    bills: BillsWritten = field(default_factory=BillsWritten)

    def add(self, other: CallCounts) -> None:
        """Add another batch's counts to these."""
        for part in fields(other):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))


# What they say may name the team of calls.
_TELLING_TEAMS = ("principal_tags", "account_names")


class Loader:
    """Writes batches to one open warehouse."""

    def __init__(self, db: Database) -> None:
        # Every key that is written was looked up in the same transaction. Verifying each again
        # would take a tenth of the time of a load; `bedrock-usage check` does so.
        db.execute("pragma foreign_keys = off")
        self._db = db
        self._version = 0
        self._names = Names(db)
        self._calls = CallWriter(db, self._names)
        self._metrics = MetricWriter(db, self._names)

    def write(self, batch: Batch) -> Written:
        """Commit a batch, its rollup and its state, or none of them."""
        return self.write_all([batch])[0]

    def write_all(
        self,
        batches: Iterable[Batch],
        also: Callable[[Names], set[str]] = lambda names: set(),
    ) -> list[Written]:
        """Commit batches in one transaction, or none of them; return the result of each.

        ``also``: changes more in the same transaction; returns the hours to renew.
        """
        try:
            begin(self._db)
            self._forget_if_changed()
            hours: set[str] = set()
            written = [self._write(batch, hours) for batch in batches]
            hours |= also(self._names)
            renew(self._db, self._names, hours)
            if any(one.bills.months for one in written):
                keep_figures(self._db)
            self._db.conn.execute("commit")
        except BaseException:
            if self._db.conn.in_transaction:
                self._db.conn.execute("rollback")
            self._names.forget()
            self._calls.forget()
            raise
        return written

    def _forget_if_changed(self) -> None:
        """Look up names again if another connection wrote: `vacuum` drops unused ones."""
        (version,) = self._db.conn.execute("pragma data_version").fetchone()
        if version != self._version:
            self._version = version
            self._names.forget()
            self._calls.forget()

    def _write(self, batch: Batch, hours: set[str]) -> Written:
        """Write one batch; add to ``hours`` those whose estimates and days must be renewed."""
        series_before = self._rate_series(batch)
        written = Written(profiles=sum(self._write_profile(p) for p in batch.profiles))
        if written.profiles:
            hours |= renew_input_forms(self._db)
        for table, rows in batch.renewed.items():
            known = [self._without_forgotten(row) for row in rows]
            written.renewed[table] = renew_rows(self._db, table, known)
        has_projects = store_created_projects(self._db, self._names, batch.operations)
        tells_teams = any(written.renewed[table] for table in _TELLING_TEAMS)
        if written.profiles or has_projects or tells_teams:
            # Also of the calls of this connection's next batches.
            self._calls.forget()
            self._names.forget_labels()
            written.calls_reattributed = renew_teams(self._db, self._names)
        written.metric_values, changed = self._metrics.write(batch.metrics)
        hours |= changed
        self._metrics.write_minutes(batch.minutes)
        written.sessions = len(batch.sessions)
        tagged = write_sessions(self._db, self._names, batch.sessions)
        if batch.events or batch.calls or batch.shapes or batch.service_tokens or tagged:
            counts, hours_of_calls = self._calls.write(
                batch.events, batch.service_tokens, batch.calls, batch.shapes, tagged
            )
            written.add(counts)
            hours |= hours_of_calls
            for first in batch.first_shapes:
                self._calls.drop_shapes(first)
        self._write_jobs(batch.jobs)
        written.operations, written.operations_unknown = write_operations(
            self._db, self._names, batch.operations
        )
        written.bills = write_bills(self._db, self._names, batch.bills)
        save_files(self._db, batch.files_read)
        save_archived(self._db, batch.archived)
        written.events_archived = len(batch.archived)
        hours |= self._hours_counted_elsewhere(series_before, self._rate_series(batch))
        self._write_rejects(batch)
        if batch.is_reread:
            written.late_events = written.calls_new + written.tokens_attached
        if batch.state:
            late = written.late_events + batch.late_events
            times = [event.event_time for event in batch.events]
            times += [service.event_time for service in batch.service_tokens]
            save_state(self._db, batch.state, late_events=late, late_from=min(times, default=None))
        return written

    def _without_forgotten(self, row: Any) -> Any:
        """Return a row of what may name a team without forgotten names; others as they are."""
        known = self._names.forgotten
        match row:
            case PrincipalTags():
                return PrincipalTags(known.text(row.principal_arn), known.json(row.tags))
            case AccountName():
                unit = known.text_or_none(row.unit_name)
                return AccountName(row.account_id, known.text(row.account_name), unit)
        return row

    def _write_jobs(self, jobs: Iterable[StartedJob]) -> None:
        # Only if the call is stored: it may be a copy that was not kept, or too old.
        self._db.conn.executemany(
            "insert or ignore into jobs select event_time, event_id, ?3, ?4 from events"
            " where event_id = ?2 and event_time in (?1, (select event_time from corrections"
            " where event_id = ?2 and correction_time = ?1))",
            [(job.event_time, stored_id(job.event_id), job.kind, job.job_arn) for job in jobs],
        )

    def _write_rejects(self, batch: Batch) -> None:
        # Input that is read again may have been fixed, or be understood by now.
        conn = self._db.conn
        place = self._names.forgotten.text
        conn.executemany(
            "delete from rejects where file = ?", [(place(file),) for file in batch.files]
        )
        conn.executemany(
            "delete from rejects where file = ? and position = ?",
            [(place(file), position) for file, position in batch.positions],
        )
        conn.executemany(
            "insert or ignore into rejects values (?, ?, ?)",
            [(place(file), position, reason) for file, position, reason in batch.rejects],
        )

    def _rate_series(self, batch: Batch) -> set[tuple[int, int, str]]:
        """Return the CloudWatch model that counts the calls of each account and rate key."""
        if not batch.metrics and not batch.profiles:
            return set()  # nothing else can change it for stored calls
        return set(
            self._db.conn.execute(
                "select account_key, rate_key, cloudwatch_model_id from int_rate_series"
            )
        )

    def _hours_counted_elsewhere(
        self, before: set[tuple[int, int, str]], after: set[tuple[int, int, str]]
    ) -> set[str]:
        """Return the hours of calls that a new series or profile assigns to another series."""
        hours: set[str] = set()
        for account_key, rate_key, _ in before ^ after:
            rows = self._db.conn.execute(
                "select distinct substr(hour, 1, 13) from usage_hourly"
                " where account_key = ? and rate_key = ?",
                [account_key, rate_key],
            )
            hours |= {hour for (hour,) in rows}
        return hours

    def _write_profile(self, profile: InferenceProfile) -> int:
        model_key = self._names.model(profile.model_id) if profile.model_id else None
        known = self._names.forgotten
        return self._db.conn.execute(
            "insert into inference_profiles values (?, ?, ?, ?, ?, ?, ?, ?)"
            " on conflict do update set profile_name = excluded.profile_name,"
            " model_key = excluded.model_key, inference_scope = excluded.inference_scope,"
            " application = excluded.application, tags = excluded.tags"
            " where (profile_name, model_key, inference_scope, application, tags)"
            " is not (excluded.profile_name, excluded.model_key, excluded.inference_scope,"
            " excluded.application, excluded.tags)",
            [
                profile.profile_arn,
                profile.profile_id,
                known.text_or_none(profile.profile_name),
                profile.profile_type,
                model_key,
                profile.inference_scope,
                known.text_or_none(profile.application),
                None if profile.tags is None else known.json(profile.tags),
            ],
        ).rowcount
