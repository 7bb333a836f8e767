"""Read one place's events from CloudTrail, window by window, page by page.

Every page is committed with the state that claims it. Whatever happens, the next run goes on from
the oldest page that was committed; what it reads twice is the same event to the warehouse.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from etl.errors import RejectError
from etl.normalise.cloudtrail import parse_event
from etl.sources.cloudtrail import RETENTION, LookedUp, Page, lookup_events
from etl.sync import windows
from etl.sync.job import Job
from etl.sync.windows import Task
from etl.warehouse.load import Batch, Reject

SOURCE = "cloudtrail"


class EventStream:
    """The events of one account and region. Used by one thread."""

    def __init__(
        self, job: Job, *, since: datetime | None, settle: timedelta, metadata_key: str
    ) -> None:
        self._job, self._settle, self._metadata_key = job, settle, metadata_key
        self._as_of = job.place.clock.now()
        self._horizon = self._as_of - RETENTION
        self._state = windows.begin(
            job.state(),
            self._as_of,
            since=since,
            default_since=self._horizon,
            settle=settle,
            horizon=self._horizon,
        )
        self._done, self._read = 0, 0

    def read_new(self) -> None:
        """Read everything from the watermark to now."""
        while task := windows.next_new(self._state, self._as_of, self._settle):
            self._read_window(task)
            if task.end == self._as_of:
                break

    def read_older(self, deadline: float) -> bool:
        """Read what is due again, then history, until ``deadline`` (monotonic seconds).

        Returns whether anything is left for later.
        """
        while task := self._next_older():
            if not self._read_window(task, deadline):
                return True
        return False

    def _next_older(self) -> Task | None:
        return windows.next_reread(self._state, self._as_of, self._horizon) or windows.next_history(
            self._state, self._horizon
        )

    def _read_window(self, task: Task, deadline: float | None = None) -> bool:
        """Read a window to its end, which is True; False if the deadline came first."""
        place = self._job.place
        lowest, is_ordered = task.end, True
        for page in lookup_events(place, task.start, task.end):
            if page.oldest and page.newest:
                # Where the order does not hold, a page says nothing of what comes after it.
                is_ordered = is_ordered and page.newest <= lowest
                lowest = min(lowest, page.oldest)
            if page.is_last:
                self._state = windows.after_task(self._state, task, self._as_of)
                self._done += 1
            elif is_ordered:
                self._state = windows.after_page(self._state, task, lowest)
            self._commit(page, task)
            self._tell(task, lowest, is_done=page.is_last)
            if deadline and not page.is_last and place.clock.monotonic() >= deadline:
                return False
        return True

    def _commit(self, page: Page, task: Task) -> None:
        batch = Batch(state=self._state, is_reread=task.kind == "reread")
        for event in page.events:
            self._add(event, batch)
        self._job.write(batch)
        self._read += len(page.events)

    def _add(self, event: LookedUp, batch: Batch) -> None:
        where = (str(self._job.stream), event.event_id)
        batch.positions.append(where)
        if event.record is None:
            batch.rejects.append(Reject(*where, "CloudTrailEvent is no JSON"))
            return
        try:
            parsed = parse_event(event.record, metadata_key=self._metadata_key)
        except RejectError as error:
            batch.rejects.append(Reject(*where, str(error)))
            return
        batch.rejects += (Reject(*where, complaint) for complaint in parsed.complaints)
        if parsed.row is not None:
            batch.add(parsed.row)
        if parsed.job is not None:
            batch.add(parsed.job)

    def _tell(self, task: Task, lowest: datetime, *, is_done: bool) -> None:
        span = (task.end - task.start).total_seconds() + 1
        behind = 1.0 if is_done else (task.end - lowest).total_seconds() / span
        left = 0 if task.kind != "history" else windows.windows_left(self._state, self._horizon)
        left = max(left, 0 if is_done else 1)
        total = self._done + left
        share = (self._done + (0 if is_done else behind)) / total if total else 1.0
        self._job.tell(task.kind, done=self._done, left=left, read=self._read, share=share)
