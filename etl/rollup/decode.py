"""Files as rows that are sent to where they are counted: all that concerns one call to one place.

A call, its copies, its log, its service events and its corrections have the same request id, or the
same event id where there is none. A *place* is a hash of that. Where two rows that belong together
have different places after all (a copy with another request id, for example), the *links* of their
events tell: several places with one key. ``etl.rollup.spark`` joins them.

Ids of access keys do not leave this module: only their hashes do.
"""

from __future__ import annotations

import hashlib
import pickle
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from etl.errors import BedrockUsageError
from etl.load.batches import ReadFile, read_files
from etl.load.decoder.content import Decoded
from etl.load.decoder.pool import Workers
from etl.normalise.packed import PackedCall, Shape, StoredId, event_of, stored_id
from etl.normalise.rollups import Row as CountedRow
from etl.normalise.rollups import row_of_total
from etl.normalise.rows import (
    CLOUDTRAIL,
    INVOCATION_LOG,
    Event,
    InferenceProfile,
    MetricValue,
    OtherOperation,
    RoleSession,
    Row,
    ServiceTokens,
    SkippedOperation,
    StartedJob,
)
from etl.rollup.job import AnyStore, Job
from etl.sources.stores import StoredFile
from etl.warehouse.secret import credential_hash

# How far from its time what concerns a call may be: see etl/warehouse/write/calls.py.
_BEFORE, _AFTER = timedelta(hours=2), timedelta(hours=1)


@dataclass
class FileSeen:
    """What was seen of a file. ``number``: its place among all files.

    ``days``: of its rows and of what may belong to them. ``reaches_back``: it corrects calls of
    earlier days; ``has_sessions``: it tells the tags of later calls; ``is_general``: it tells of
    profiles or projects. ``error``: why it could not be fetched. ``rejects``: (position, reason).
    """

    number: int
    etag: str = ""
    events_read: int = 0
    events_skipped: int = 0
    rejected: int = 0
    days: set[str] = field(default_factory=set)
    reaches_back: bool = False
    has_sessions: bool = False
    is_general: bool = False
    error: str | None = None
    rejects: list[tuple[str, str]] = field(default_factory=list)

    def add(self, decoded: Decoded) -> None:
        """Add a part of the file."""
        self.events_read += decoded.events_read
        self.events_skipped += decoded.events_skipped
        self.rejected += decoded.rejected
        self.rejects += decoded.rejects
        hours = {call[0][:13] for call in decoded.calls}
        for row in decoded.rows:
            match row:
                case MetricValue():
                    self.days.add(row.period_start[:10])
                case InferenceProfile():
                    self.is_general = True
                case SkippedOperation():
                    pass
                case _:
                    hours.add(row.event_time[:13])
                    self.reaches_back |= isinstance(row, Event)
                    self.has_sessions |= isinstance(row, RoleSession)
                    self.is_general |= is_general(row)
        for hour in hours:
            self.days |= _days_around(hour)


def _days_around(hour: str) -> set[str]:
    moment = datetime.fromisoformat(f"{hour}:00:00+00:00")
    times = (moment - _BEFORE, moment, moment + timedelta(hours=1) + _AFTER)
    return {time.date().isoformat() for time in times}


def is_general(row: Row) -> bool:
    """Return whether a row tells of something that calls anywhere may refer to."""
    return isinstance(row, InferenceProfile) or (
        isinstance(row, OtherOperation) and row.project_name is not None
    )


def read(
    job: Job, files: Iterable[tuple[int, StoredFile]], workers: Workers, seen: list[FileSeen]
) -> Iterator[ReadFile]:
    """Fetch and decode files, in order; ``seen`` gets what was seen of each."""
    numbers: dict[str, int] = {}

    def numbered() -> Iterator[StoredFile]:
        for number, file in files:
            numbers[file.uri] = number
            yield file

    def note_fetched(file: StoredFile, error: BedrockUsageError | None) -> None:
        if error:
            one = FileSeen(numbers[file.uri], error=str(error), rejected=1)
            one.rejects.append(("file", str(error)))
            seen.append(one)

    current: FileSeen | None = None
    for part in read_files(AnyStore(job.open_places()), numbered(), workers, note_fetched):  # type: ignore[arg-type]
        if current is None or part.decoded.is_first:
            current = FileSeen(numbers[part.file.uri], part.etag)
            seen.append(current)
        current.add(part.decoded)
        yield part


# What belongs to one place: the shapes of its calls, its calls, its other rows with their places.
Part = tuple[dict[int, Shape], list[PackedCall], list[tuple[int, Row]]]

# Principal ARN, principal type, session name, and the user that CloudTrail tells of it.
Told = tuple[str, str, str, str]


class Sent(NamedTuple):
    """Rows to send: by bucket; ``links``: (key, place) of calls; what calls elsewhere need.

    ``totals``: CloudWatch's, which no call needs to be counted.
    """

    parts: dict[int, bytes]
    links: list[tuple[int, int]]
    told: set[Told]
    sessions: list[RoleSession]
    general: list[Row]
    totals: list[CountedRow]


def hash_of(*texts: str | bytes) -> int:
    """Return a hash that fits Spark's and Parquet's integers."""
    digest = hashlib.blake2b(digest_size=8)
    for text in texts:
        part = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        digest.update(len(part).to_bytes(4, "little") + part)
    return int.from_bytes(digest.digest(), "little", signed=True)


def place_of(request_id: StoredId | None, event_id: StoredId) -> int:
    """Return the place of a call, a correction, or an event that belongs to one."""
    return hash_of(event_id if request_id is None else request_id)


def place_of_call(call: PackedCall) -> int:
    """Return the place of a packed call."""
    return place_of(call[2], call[1])


def session_hash(principal_arn: str, principal_type: str, session_name: str) -> int:
    """Return a hash of a session, as calls name it."""
    return hash_of(principal_arn, principal_type, session_name)


class Sender:
    """Sorts the rows of files by where they are counted. ``buckets``: how many places that is."""

    def __init__(self, job: Job, buckets: int) -> None:
        self._secret, self._buckets = job.secret, buckets
        self._shapes: dict[int, Shape] = {}
        self._hashes: dict[str, str] = {}

    def sort(self, decoded: Decoded) -> Sent:
        """Return the rows of a part of a file, sorted."""
        if decoded.first_shape is not None:
            self._shapes = {n: s for n, s in self._shapes.items() if n >= decoded.first_shape}
        self._shapes.update(decoded.shapes)
        sent = Sent({}, [], set(), [], [], [])
        parts: dict[int, Part] = defaultdict(lambda: ({}, [], []))
        for call in decoded.calls:
            self._add_call(call, parts, sent)
        for _, shape in decoded.shapes:
            sent.told.update(_told(shape))
        self._add_rows(decoded, parts, sent)
        for bucket, part in parts.items():
            sent.parts[bucket] = pickle.dumps(part, pickle.HIGHEST_PROTOCOL)
        return sent

    def _add_call(self, call: PackedCall, parts: dict[int, Part], sent: Sent) -> None:
        place = place_of_call(call)
        sent.links.append((hash_of(call[1]), place))
        if call[3] is not None:
            sent.links.append((hash_of(b"shared", call[3]), place))
        if call[5] is not None:
            call = (*call[:5], self._hashed(call[5]), *call[6:])
        shapes, calls, _ = parts[place % self._buckets]
        shapes[call[4]] = self._shapes[call[4]]
        calls.append(call)

    def _add_rows(self, decoded: Decoded, parts: dict[int, Part], sent: Sent) -> None:
        places = {call[1]: place_of_call(call) for call in decoded.calls} if decoded.rows else {}
        for row in decoded.rows:
            if is_general(row):
                sent.general.append(row)
            match row:
                case RoleSession():
                    parent = None if row.parent is None else self._hashed(row.parent)
                    key = self._hashed(row.access_key_id)
                    sent.sessions.append(row._replace(access_key_id=key, parent=parent))
                    continue
                case SkippedOperation() | InferenceProfile():
                    continue
                case MetricValue():
                    sent.totals.append(row_of_total(row))
                    continue
                case ServiceTokens():
                    place = hash_of(stored_id(row.request_id))
                case Event():
                    row = self._correction(row)
                    event_id = stored_id(row.event_id)
                    request = stored_id(row.request_id) if row.request_id else None
                    place = places[event_id] = place_of(request, event_id)
                    sent.links.append((hash_of(event_id), place))
                    if row.shared_event_id:
                        shared = hash_of(b"shared", stored_id(row.shared_event_id))
                        sent.links.append((shared, place))
                case StartedJob():
                    event_id = stored_id(row.event_id)
                    place = places.get(event_id, hash_of(event_id))
                case _:
                    place = hash_of(stored_id(row.event_id))
            parts[place % self._buckets][2].append((place, row))

    def _correction(self, event: Event) -> Event:
        if not isinstance(event.credential, str):
            return event
        return event._replace(credential=self._hashed(event.credential))

    def _hashed(self, access_key_id: str) -> str:
        found = self._hashes.get(access_key_id)
        if found is None:
            if len(self._hashes) > 100_000:
                self._hashes.clear()
            found = credential_hash(self._secret, access_key_id).hex()
            self._hashes[access_key_id] = found
        return found


def _told(shape: Shape) -> Iterator[Told]:
    """Yield who is behind a session, if CloudTrail tells it."""
    event = event_of(shape)
    if event.session_name is not None and event.reported_by & CLOUDTRAIL:
        session = event.principal_arn, event.principal_type, event.session_name
        yield (*session, event.user_name)


def moved(blob: bytes, roots: Mapping[int, int], buckets: int) -> dict[int, bytes]:
    """Return the rows of a part by the bucket of what they turned out to belong to."""
    shapes, calls, rows = pickle.loads(blob)  # noqa: S301 (our own)
    parts: dict[int, Part] = defaultdict(lambda: ({}, [], []))
    for call in calls:
        place = place_of_call(call)
        part = parts[roots.get(place, place) % buckets]
        part[0][call[4]] = shapes[call[4]]
        part[1].append(call)
    for place, row in rows:
        parts[roots.get(place, place) % buckets][2].append((place, row))
    return {bucket: pickle.dumps(part, pickle.HIGHEST_PROTOCOL) for bucket, part in parts.items()}


def wanted(blob: bytes) -> tuple[set[int], set[str]]:
    """Return the sessions whose users, and the access keys whose tags, the calls of a part need."""
    shapes, calls, rows = pickle.loads(blob)  # noqa: S301 (our own)
    sessions = set()
    for shape in shapes.values():
        event = event_of(shape)
        if event.reported_by == INVOCATION_LOG and event.session_name is not None:
            sessions.add(
                session_hash(event.principal_arn, event.principal_type, event.session_name)
            )
    keys = {call[5] for call in calls if call[5] is not None}
    keys |= {row.credential for _, row in rows if isinstance(row, Event) and row.credential}
    return sessions, keys


def joined(links: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Return the root of each place that is linked with another: the least of all it is linked to.

    ``links``: (key, place); places with the same key belong together.
    """
    parents: dict[int, int] = {}

    def root(place: int) -> int:
        while (parent := parents.setdefault(place, place)) != place:
            parents[place] = place = parents[parent]
        return place

    first: dict[int, int] = {}
    for key, place in links:
        one, other = root(first.setdefault(key, place)), root(place)
        parents[max(one, other)] = min(one, other)
    return {place: root(place) for place in list(parents)}


def unpacked(blob: bytes) -> Any:
    """Return what was sent as bytes."""
    return pickle.loads(blob)  # noqa: S301 (our own)
