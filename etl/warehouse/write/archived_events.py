"""Which raw events an archive holds, so that reading them again does not write them again.

An event is known by its time, its id and a digest of its text: the same event with another text
(one that AWS completed later) is another. Corrections that AWS sends as events of their own have
ids of their own. An entry is committed with the rows of its event, after the archive has it; a
crash in between leaves an event that is written twice and counts once.

Entries last as long as AWS may give the event again, which is 90 days.
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
    """Return those of the events that their archive holds."""
    query = (
        "select 1 from archived_events join archives using (archive_key)"
        " where uri = ? and event_time = ? and event_id = ? and digest = ?"
    )
    return {event for event in events if db.conn.execute(query, _stored(event)).fetchone()}


def save_archived(db: Database, events: Sequence[ArchivedEvent]) -> None:
    """Note events in the transaction of the caller."""
    uris = {event.archive for event in events}
    db.conn.executemany("insert or ignore into archives (uri) values (?)", [(u,) for u in uris])
    db.conn.executemany(
        "insert or ignore into archived_events"
        " select archive_key, ?2, ?3, ?4 from archives where uri = ?1",
        map(_stored, events),
    )


def forget_archived(db: Database, before: datetime) -> None:
    """Drop the entries of events that AWS gives no more."""
    with db.atomic():
        db.conn.execute("delete from archived_events where event_time < ?", [utc_text(before)])


def _stored(event: ArchivedEvent) -> tuple[object, ...]:
    return event.archive, event.event_time, stored_id(event.event_id), event.digest
