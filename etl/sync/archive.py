"""Keep the raw events of the event history as a trail's log files.

**Before the bookmark.** The files of a batch are written before the transaction that stores its
rows and moves the bookmark past them, so whatever is claimed is in the archive. After a crash in
between, the next run writes the same events again; ``load`` counts them once.

**Once.** Every sync reads the last hour again, and once a day the last two days. An event whose
text is archived is not written again. An event with a different text is, because nothing that AWS
corrects may be lost (``etl.warehouse.write.archived_events``). All that LookupEvents returns is
kept, including what this version does not count as a call, each event byte for byte as it came.
Only invalid JSON is left out: it would corrupt the file, and it is in ``rejects``.

**Without bodies,** unless they are requested: what a caller wrote, or got as a response, is
replaced by a mark, except for known ids, counts and settings (``etl.normalise.bodies``). An event
is still identified by its whole text.

**Files.** They are named as CloudTrail names its own, but a file's day and minute are those of its
newest event, and no file spans two days. So an event is found by its time, and days load in order.
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


def archive_events(
    archive: Archive, job: Job, events: Iterable[LookedUp], *, bodies: bool = False
) -> list[ArchivedEvent]:
    """Write the events of a place that the archive lacks. Return the entries of just those.

    ``bodies``: keep prompts and responses, where an event has them. Raises SourceError if it cannot
    be written. Then none of it may be claimed.
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
    # Half of a surrogate pair has no UTF-8 encoding. JSON has an escape for it.
    records = ",".join(texts).encode("utf-8", "backslashreplace")
    return gzip.compress(b'{"Records":[' + records + b"]}", mtime=0)
