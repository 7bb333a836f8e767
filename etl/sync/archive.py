"""Keep the raw events of the event history as a trail's log files.

**Before the bookmark.** The files of a batch are written before the transaction that stores its
rows and moves the bookmark over them, so whatever is claimed is in the archive. A crash in between
leaves events that the next run writes once more; ``load`` counts them once.

**Once.** The last hour is read by every sync, the last two days once a day. An event whose text the
archive has is not written again; with another text it is, because nothing that AWS says later may
be lost (``etl.warehouse.write.archived_events``). All that LookupEvents gives is kept, also what
this version takes for no call, and each event as it came, byte for byte. Only what is no JSON is
left out: it would spoil the file, and stands in ``rejects``.

**Without bodies,** unless they are asked for: what a caller wrote, or was answered, is replaced by
a mark but for what is known to be an id, a count or a setting (``etl.normalise.bodies``). What the
event is known by is still its whole text.

**Files.** As CloudTrail names its own, but a file's day and minute are those of its newest event,
and no file spans two days: so an event is found by its time, and days load in their order.
"""

from __future__ import annotations

import gzip
import secrets
import string
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime

from etl.normalise.bodies import without_bodies
from etl.sources.archive import Archive
from etl.sources.cloudtrail import LookedUp
from etl.sources.layouts import trail_file
from etl.sync.job import Job
from etl.warehouse.write.archived_events import ArchivedEvent, archived_event, find_archived

_RANDOM_LETTERS = 16


def keep(
    archive: Archive, job: Job, events: Iterable[LookedUp], *, bodies: bool = False
) -> list[ArchivedEvent]:
    """Write what the archive lacks of a place's events; return the entries of just that.

    ``bodies``: with what was asked and answered, where an event has it.
    Raises SourceError if it cannot be written; then nothing of it may be claimed.
    """
    now = job.place.clock.now()
    entries = {
        archived_event(archive.uri, event.moment or now, event.event_id, event.text): event
        for event in events
        if event.record is not None
    }
    known = job.ask(lambda db: find_archived(db, entries))
    new = {entry: event for entry, event in entries.items() if entry not in known}
    days: dict[date, list[LookedUp]] = defaultdict(list)
    for event in new.values():
        days[(event.moment or now).date()].append(event)
    for of_day in days.values():
        newest = max(event.moment or now for event in of_day)
        kept = (e.text if bodies else without_bodies(e.text, e.record) for e in of_day)
        archive.write(_name(job, newest), log_file(kept))
    return list(new)


def _name(job: Job, moment: datetime) -> str:
    letters = string.ascii_letters + string.digits
    unique = "".join(secrets.choice(letters) for _ in range(_RANDOM_LETTERS))
    return trail_file(job.place.account_id, job.place.region, moment, unique)


def log_file(texts: Iterable[str]) -> bytes:
    """Return events, each as CloudTrail wrote it, as the content of one of its log files."""
    # Half a surrogate pair has no bytes; JSON has an escape for it.
    records = ",".join(texts).encode("utf-8", "backslashreplace")
    return gzip.compress(b'{"Records":[' + records + b"]}", mtime=0)
