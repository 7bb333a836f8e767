"""Read what CloudTrail's event history tells of sessions: the events of STS.

They come the same way as Bedrock's, in a stream of their own, because LookupEvents looks for one
service at a time. A place may have many: they are read only on request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from etl.normalise.teams import STS
from etl.sources.cloudtrail import EventPage, lookup_events
from etl.sync.cloudtrail import EventStream
from etl.sync.job import Job
from etl.sync.options import SyncOptions
from etl.sync.windows import Task


class SessionStream(EventStream):
    """The events of STS. They are not archived: they contain credentials' ids."""

    def __init__(self, job: Job, options: SyncOptions) -> None:
        super().__init__(job, replace(options, archive=None))

    def _pages(self, task: Task) -> Iterator[EventPage]:
        return lookup_events(self._job.place, task.start, task.end, STS)
