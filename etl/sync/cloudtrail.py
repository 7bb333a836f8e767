"""Read one place's events from CloudTrail, window by window, page by page.

Every page is committed with the state that claims it. Whatever happens, the next run continues from
the oldest committed page. The warehouse treats an event that is read twice as the same event.

With an archive several pages share a commit, so that a file holds more than fifty events: up to
``_ARCHIVE_EVENTS`` of one window, or the events of a minute of reading. On a stop or failure, the
pages in hand are still archived and committed.

**Late events** are looked for once a day and once a week (``windows``), with at most a quarter of
the requests that AWS allows in the time since the last look, and with a quarter of a round while
history is left. The rest is not read again: ``sync_rereads`` shows that, and how much each look
found.

**The edge.** CloudTrail may refuse to go back as far as it should. Then the time from which it does
respond is searched for, everything before it is a gap, and reading continues.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from etl.errors import BedrockUsageError, RejectError, TooOldError
from etl.load.decoder.content import read_event
from etl.normalise.boundary import attempt
from etl.normalise.cloudtrail import Parsed
from etl.sources.cloudtrail import LAST_REACH, REACH, EventPage, LookedUp, find_edge, lookup_events
from etl.sources.limiter import LOOKUP_SECONDS
from etl.sync import windows
from etl.sync.archive import archive_events
from etl.sync.job import Job
from etl.sync.options import SyncOptions
from etl.sync.stream import PageOf, WindowedStream
from etl.sync.windows import Task
from etl.warehouse.bookmarks import Reread, StreamState
from etl.warehouse.write.archived_events import forget_archived
from etl.warehouse.write.batch import Batch

# How many events a file of an archive may hold, and how long it may wait for them.
_ARCHIVE_EVENTS, _ARCHIVE_SECONDS = 2000, 60.0

# The share of AWS's request limit, and of a round, that the search for late events may take.
REREAD_SHARE = 0.25


class _InHand:
    """What was read but is not committed yet."""

    def __init__(self, batch: Batch, since: float) -> None:
        self.batch, self.since = batch, since
        self.events: list[LookedUp] = []

    def is_due(self, now: float) -> bool:
        return len(self.events) >= _ARCHIVE_EVENTS or now - self.since >= _ARCHIVE_SECONDS


class EventStream(WindowedStream[LookedUp]):
    """The events of CloudTrail, which returns the newest of a window first."""

    def __init__(self, job: Job, options: SyncOptions) -> None:
        super().__init__(job, options)
        self._archive = options.archive
        self._in_hand: _InHand | None = None
        self._edge = self._as_of - REACH
        self._state = windows.begin(
            job.state(),
            self._as_of,
            since=options.since,
            default_since=self._horizon,
            settle=options.settle,
            horizon=self._horizon,
        )
        if options.archive:
            job.ask(lambda db: forget_archived(db, self._horizon))

    @property
    def _horizon(self) -> datetime:
        """The oldest time that can still be requested. It moves while the stream is read."""
        return max(self._edge, self._job.place.clock.now() - LAST_REACH)

    def read_older(self, deadline: float) -> bool:
        """Read what is due again, for part of the time if history is left; then history."""
        now, share = self._job.place.clock.monotonic(), 1.0
        if self._next_history():
            share = REREAD_SHARE
        is_left = self._read_until(self._next_reread, now + (deadline - now) * share)
        return self._read_until(self._next_history, deadline) or is_left

    def _next_new(self) -> Task | None:
        self._state = windows.lose(self._state, self._horizon)
        return super()._next_new()

    def _next_reread(self) -> Task | None:
        task = windows.next_reread(self._state, self._as_of, self._horizon, is_weekly=True)
        if task and ("reread" not in self._state.windows or self._state.reread is None):
            # What is too old by now is not read again either, and is recorded as such.
            wanted = windows.reread_from(self._state, self._as_of, is_weekly=True)
            reread = Reread(self._as_of, min(wanted, task.start), task.end, task.end)
            self._state = replace(self._state, reread=reread)
        return task

    def _next_history(self) -> Task | None:
        self._state = windows.lose(self._state, self._horizon)
        return super()._next_history()

    def _read_window(self, task: Task, deadline: float | None = None) -> bool:
        """Read a window to its end, or to the edge, and return True; False at the deadline."""
        try:
            is_read = super()._read_window(task, deadline)
        except TooOldError as error:
            self._commit()
            self._move_edge(task, error)
            return True
        except BedrockUsageError:
            self._commit()
            raise
        self._commit()
        return is_read

    def _move_edge(self, task: Task, error: TooOldError) -> None:
        """Give up what CloudTrail refuses. Raises the error if the time was not its cause."""
        edge = find_edge(self._job.place, task.start, self._as_of)
        if edge is None or edge <= self._edge:
            raise error
        self._edge = edge
        self._state = windows.give_up(self._state, edge)
        if task.kind == "reread":
            self._state = windows.after_task(self._state, task, self._as_of)
            self._count(task, edge, is_over=True)
        self._job.note(f"{error}: continuing from {edge:%Y-%m-%d %H:%M} UTC")
        self._job.write(Batch(state=self._state))

    def _pages(self, task: Task) -> Iterator[EventPage]:
        return lookup_events(self._job.place, task.start, task.end)

    def _begin(self, task: Task) -> datetime:
        return task.end

    def _reach(self, before: datetime, oldest: datetime, newest: datetime) -> tuple[datetime, bool]:
        return min(before, oldest), newest <= before

    def _after_page(self, task: Task, reached: datetime) -> StreamState:
        return windows.after_page(self._state, task, reached)

    def _is_used_up(self, task: Task) -> bool:
        """Say whether a reread may make no more requests after the one just made."""
        reread = self._state.reread
        if task.kind != "reread" or reread is None:
            return False
        since = reread.started_at - (self._state.reread_at or reread.started_at)
        allowed = max(since, windows.REREAD_EVERY).total_seconds() / LOOKUP_SECONDS
        return reread.requests + 1 >= allowed * REREAD_SHARE

    def _count(self, task: Task, reached: datetime, *, is_over: bool) -> None:
        """Record how far a reread has come, and in how many requests."""
        reread = self._state.reread
        if task.kind == "reread" and reread:
            self._state = replace(
                self._state,
                reread=reread._replace(
                    reached=reached, requests=reread.requests + 1, is_done=is_over
                ),
            )

    def _take(
        self, page: PageOf[LookedUp], task: Task, reached: datetime, *, is_over: bool
    ) -> None:
        """Add a page to what is in hand, and commit that when it is due."""
        self._count(task, task.start if page.is_last else reached, is_over=is_over)
        now = self._job.place.clock.monotonic()
        if self._in_hand is None:
            self._in_hand = _InHand(Batch(is_reread=task.kind == "reread"), now)
        self._in_hand.batch.state = self._state
        self._add(page.events, self._in_hand.batch)
        self._in_hand.events += page.events
        if self._archive is None or self._in_hand.is_due(now):
            self._commit()

    def _commit(self) -> None:
        """Archive what is in hand, then store it with the state that claims it."""
        # Cleared first, so that a failed commit is not tried again on the way out.
        in_hand, self._in_hand = self._in_hand, None
        if in_hand is None:
            return
        if self._archive:
            in_hand.batch.archived = archive_events(
                self._archive, self._job, in_hand.events, bodies=self._options.archive_bodies
            )
        self._job.write(in_hand.batch)

    def _parse(self, event: LookedUp) -> Iterable[Parsed]:
        if event.record is None:
            raise RejectError("CloudTrailEvent is not JSON")
        return [attempt(read_event, event.record, self._options.keys)]
