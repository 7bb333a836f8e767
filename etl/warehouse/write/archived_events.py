"""Which raw events an archive contains, so that an event read again is not written again.

An event is identified by its time, its id and a digest of its text: the same event with a different
text (completed later by AWS) is a new entry. Corrections that AWS sends as separate events have
their own ids. An entry is committed with the rows of its event, after the archive has the event. A
crash in between leaves an event that is written twice and counted once.

Entries are kept as long as AWS may return the event again: 90 days.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlite_utils import Database

from etl.normalise.packed import stored_id
from etl.times import utc_text


class ArchivedEvent(NamedTuple):
    """An event's text in an archive."""

    archive: str
    event_time: str
    event_id: str
    digest: int


def archived_event(archive: str, moment: datetime, event_id: str, text: str) -> ArchivedEvent:
    """Return the entry of an event with this text."""
    digest = hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).digest()
    return ArchivedEvent(archive, utc_text(moment), event_id, int.from_bytes(digest, signed=True))


def find_archived(db: Database, events: Iterable[ArchivedEvent]) -> set[ArchivedEvent]:
    """Return the events that their archive already contains."""
    query = (
        "select 1 from archived_events join archives using (archive_key)"
        " where uri = ? and event_time = ? and event_id = ? and digest = ?"
    )
    return {event for event in events if db.conn.execute(query, _stored(event)).fetchone()}


def save_archived(db: Database, events: Sequence[ArchivedEvent]) -> None:
    """Store the entries of events, in the caller's transaction."""
    uris = {event.archive for event in events}
    db.conn.executemany("insert or ignore into archives (uri) values (?)", [(u,) for u in uris])
    db.conn.executemany(
        "insert or ignore into archived_events"
        " select archive_key, ?2, ?3, ?4 from archives where uri = ?1",
        map(_stored, events),
    )


def forget_archived(db: Database, before: datetime) -> None:
    """Drop the entries of events that AWS no longer returns."""
    with db.atomic():
        db.conn.execute("delete from archived_events where event_time < ?", [utc_text(before)])


def _stored(event: ArchivedEvent) -> tuple[object, ...]:
    return event.archive, event.event_time, stored_id(event.event_id), event.digest
