"""Where raw events are found: in files, in an archive, in CloudTrail's event history.

A file is read as ``load`` reads it, record by record. AWS is asked for one event by its id: if the
warehouse knows the call, in its account, region and second; otherwise in every place that is read.
Each place that did not have the event, or could not be asked, leaves a note.

Source: CloudTrail API reference, LookupEvents (checked 2026-11-26).
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple

from etl.errors import BedrockUsageError, RejectError, StoppedError, reason_of
from etl.load.decoder.content import load_record
from etl.load.decoder.fast_cloudtrail import SESSION, is_object, is_other_event, may_be_ours
from etl.normalise.boundary import attempt, storable
from etl.normalise.cloudtrail import EventKind, classify, find_original
from etl.normalise.fields import mapping, text
from etl.normalise.invocation_logs import event_id_of
from etl.normalise.plain_forms import plain_event, plain_log
from etl.normalise.teams import parse_role_session
from etl.sources.aws import Place
from etl.sources.cloudtrail import REACH, RETENTION, lookup_event, lookup_events
from etl.sources.envelopes import EVENT, LOGGED_CALL
from etl.sources.files import Events, Found, Item, parse_items
from etl.sources.listing import FolderListing, each_file, survey
from etl.sources.split import Unreadable
from etl.sources.stores import Store, StoredFile

MOST_NOTES = 20

_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)


class RawEvent(NamedTuple):
    """An event as AWS wrote it. ``kind``: EVENT (CloudTrail) or LOGGED_CALL; ``where`` found.

    ``peeled``: what it was wrapped in, from outside.
    """

    kind: str
    record: Any
    where: str
    peeled: tuple[str, ...] = ()

    @property
    def event_id(self) -> str:
        """The id of its call in the warehouse, if it is a call."""
        record = mapping(self.record)
        if self.kind == LOGGED_CALL:
            parts = (text(record.get(key)) for key in ("accountId", "region", "requestId"))
            account_id, region, request_id = parts
            return event_id_of(account_id or "", region or "unknown", request_id or "")
        return find_original(record)[0] or text(record.get("eventID")) or ""

    @property
    def time(self) -> str:
        record = mapping(self.record)
        return text(record.get("eventTime" if self.kind == EVENT else "timestamp")) or ""

    @property
    def is_correction(self) -> bool:
        return find_original(mapping(self.record))[0] is not None

    def is_named(self, name: str) -> bool:
        """Return whether a name is its event id or its request id."""
        record = mapping(self.record)
        ids = (record.get("eventID"), record.get("requestID"), record.get("requestId"))
        return name == self.event_id or name in ids


@dataclass
class Notes:
    """Notes to print at the end: the first ones, and how many there were."""

    kept: list[str] = field(default_factory=list)
    total: int = 0

    def add(self, note: str) -> None:
        """Keep a new note, or only count it if there are many already."""
        if note in self.kept:
            return
        self.total += 1
        if len(self.kept) < MOST_NOTES:
            self.kept.append(note)

    def lines(self) -> list[str]:
        """Return the notes, with a line for those that were only counted."""
        more = self.total - len(self.kept)
        return self.kept + ([f"... and {more:,} more"] if more else [])


class KnownEvent(NamedTuple):
    """What the warehouse knows about where to find an event."""

    event_time: datetime
    account_id: str
    region: str
    # The archive files its corrections under the days of their own times.
    is_corrected: bool = False


def is_bedrock(event: RawEvent) -> bool:
    """Return whether an event is Bedrock's, a call or not."""
    if event.kind == LOGGED_CALL:
        return True
    return (
        not isinstance(event.record, dict) or classify(event.record) is not EventKind.OTHER_SERVICE
    )


def is_session(event: RawEvent) -> bool:
    """Return whether an event makes a session whose tags a load keeps."""
    return event.kind == EVENT and parse_role_session(mapping(event.record)) is not None


def read_events(
    store: Store,
    path: str,
    notes: Notes,
    *,
    since: date | None = None,
    until: date | None = None,
    mark: str | None = None,
) -> Iterator[RawEvent]:
    """Yield the events and logged calls of a file or folder; note what could not be read.

    Events of other services, but for those that may make a session, are skipped where a quick look
    at the bytes is enough to tell. ``since``, ``until``: only day folders between these. ``mark``:
    events without this text are skipped. Memory holds a part of one file. Raises BedrockUsageError
    if the path does not exist.
    """
    target = store.find(path)
    found = FolderListing()
    if isinstance(target, StoredFile):
        files: Iterator[StoredFile] = iter([target])
    else:
        found = survey(store, target, since=since, until=until)
        files = each_file(store, found)
    for file in files:
        try:
            yield from _events_of(store.read(file).pieces(), storable(file.uri), mark, notes)
        except StoppedError:
            raise
        except BedrockUsageError as error:
            notes.add(storable(f"{file.uri}: {error}"))
    for problem in found.problems:
        notes.add(storable(f"{problem.folder}: {problem.error}"))


def _events_of(
    pieces: Iterable[bytes], uri: str, mark: str | None, notes: Notes
) -> Iterator[RawEvent]:
    for item in _items(pieces, uri, notes):
        where = f"{uri}, {item.position}"
        if item.kind == EVENT and not _may_match(item.value, mark):
            continue
        try:
            yield RawEvent(item.kind, attempt(_record, item), where, _wrappers(item.peeled))
        except RejectError as error:
            notes.add(f"{where}: {error}")


def _record(item: Item) -> Any:
    """Return the record of an item, in AWS's form."""
    if item.kind == LOGGED_CALL:
        return load_record(plain_log(item.value))
    return plain_event(load_record(item.value))


def _wrappers(peeled: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a record was wrapped in; nothing for AWS's own gzip."""
    return () if peeled == ("gzip",) else peeled


def _may_match(raw: bytes, mark: str | None) -> bool:
    if is_object(raw) and not may_be_ours(raw):
        return False
    return mark is None or mark.encode("utf-8", "replace") in raw or b"\\u" in raw


def _items(pieces: Iterable[bytes], uri: str, notes: Notes) -> Iterator[Item]:
    """Yield the events and logged calls of a file; note what could not be read."""
    try:
        yield from _records(parse_items(pieces), uri, notes)
    except BedrockUsageError:
        raise
    except Exception as error:
        notes.add(f"{uri}: {reason_of(error)}; everything before it was read")


def _records(items: Iterable[Found], uri: str, notes: Notes) -> Iterator[Item]:
    for found in items:
        if isinstance(found, Unreadable):
            notes.add(f"{uri}, {found.position}: {found.reason}")
        elif isinstance(found, Events):
            yield from _records_of_list(found, uri, notes)
        elif found.kind in (EVENT, LOGGED_CALL):
            yield found


def _records_of_list(found: Events, uri: str, notes: Notes) -> Iterator[Item]:
    is_other = is_other_event(has_escapes=True)
    for index, raw in enumerate(found.values.raws):
        if (other := is_other(raw)) and other is not SESSION:
            continue
        is_envelope = False
        for inner in found.opened(index):
            is_envelope = True
            yield from _records([inner], uri, notes)
        if not is_envelope:
            yield Item(found.values.position(index), EVENT, bytes(raw), found.peeled)


@dataclass
class Finder:
    """Looks an event up. ``archive``: its path, None for none; ``open_places`` asks AWS."""

    archive: str | None
    store_of: Callable[[str], Store]
    open_places: Callable[[], Sequence[Place]]
    now: datetime
    notes: Notes = field(default_factory=Notes)
    _places: Sequence[Place] | None = None

    def find(self, name: str, known: KnownEvent | None) -> list[RawEvent]:
        """Return the event of an id, or all of its versions, from the first place that has it.

        Once it is found, notes about the places that did not have it are dropped.
        """
        before = replace(self.notes, kept=list(self.notes.kept))
        found = self._in_archive(name, known) or self._in_history(name, known)
        if found:
            self.notes.kept, self.notes.total = before.kept, before.total
        return found

    def newest(self, number: int) -> list[RawEvent]:
        """Return the newest events of the event history, over all places, newest first."""
        newest: list[RawEvent] = []
        for place in self._all_places():
            found = chain(newest, self._newest_of(place, number))
            newest = heapq.nlargest(number, found, key=lambda event: event.time)
        return newest

    def _newest_of(self, place: Place, number: int) -> list[RawEvent]:
        found: list[RawEvent] = []
        try:
            for page in lookup_events(place, self.now - REACH, self.now):
                found += (RawEvent(EVENT, e.record, _history(place)) for e in page.events)
                if len(found) >= number:
                    break
        except StoppedError:
            raise
        except BedrockUsageError as error:
            self.notes.add(str(error))
        return [event for event in found if event.record is not None][:number]

    def _in_archive(self, name: str, known: KnownEvent | None) -> list[RawEvent]:
        if self.archive is None:
            self.notes.add("no archive to look in: none is configured, and no --archive given")
            return []
        day = known.event_time.date() if known and not known.is_corrected else None
        try:
            found = self._read_archive(self.archive, name, day)
            if day and any(event.is_correction for event in found):
                # The event that it corrects may be of any day.
                found = self._read_archive(self.archive, name, None)
        except StoppedError:
            raise
        except BedrockUsageError as error:
            self.notes.add(f"the archive {self.archive}: {error}")
            return []
        if not found:
            self.notes.add(f"not in the archive {self.archive}")
        return _distinct(found)

    def _read_archive(self, path: str, name: str, day: date | None) -> list[RawEvent]:
        # A trail files events under the day of their delivery.
        store, until = self.store_of(path), day and day + _DAY
        events = read_events(store, path, self.notes, since=day, until=until, mark=name)
        return [event for event in events if event.is_named(name)]

    def _in_history(self, name: str, known: KnownEvent | None) -> list[RawEvent]:
        if known and known.event_time < self.now - RETENTION:
            self.notes.add("too old for the event history, which keeps 90 days")
            return []
        span = (known.event_time - _SECOND, known.event_time + _SECOND) if known else None
        places = [
            place
            for place in self._all_places()
            if not known or (place.account_id, place.region) == (known.account_id, known.region)
        ]
        if known and self._places and not places:
            self.notes.add(
                f"region {known.region} of account {known.account_id} is not among those that are"
                " read: set --region, --role-arn or --organization"
            )
        for place in places:
            try:
                # A correction has its own time.
                found = lookup_event(place, name, span) or (
                    lookup_event(place, name) if span else []
                )
            except StoppedError:
                raise
            except BedrockUsageError as error:
                self.notes.add(str(error))
                continue
            if found:
                return [RawEvent(EVENT, event.record, _history(place)) for event in found]
            self.notes.add(f"not in {_history(place)}")
        return []

    def _all_places(self) -> Sequence[Place]:
        if self._places is None:
            try:
                self._places = self.open_places()
            except StoppedError:
                raise
            except BedrockUsageError as error:
                self.notes.add(f"AWS was not asked: {error}")
                self._places = []
        return self._places


def _history(place: Place) -> str:
    return f"the event history of {place.region} (account {place.account_id})"


def _distinct(events: Sequence[RawEvent]) -> list[RawEvent]:
    """Drop duplicates; a version that AWS completed later is a different event."""
    return list({json.dumps(event.record, sort_keys=True): event for event in events}.values())
