"""Read one place's invocation logs from CloudWatch Logs, window by window, page by page.

The windows are those of the events (``etl.sync.windows``), but each is read from its start, because
CloudWatch Logs gives the oldest event first. So what is new is claimed page by page, and what is
still open of an older window is what follows its start.

How far back a group goes is its own setting, which nothing here may ask for: what it no longer has
is simply not there.

The files of invocation logs (``etl.sync.files``) are streams of their own, of the same places:
these have another name, so that neither moves the other's bookmarks.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from etl.errors import RejectError
from etl.normalise.boundary import attempt, storable
from etl.normalise.invocation_log import parse_logged_call
from etl.sources.logs import PERMISSION_CHECK, LogEvent, Page, filter_events
from etl.sync import windows
from etl.sync.job import Job
from etl.sync.windows import HISTORY_WINDOW, SECOND, Task
from etl.warehouse.bookmarks import StreamState, Window
from etl.warehouse.load import Batch, Reject

SOURCE = "log_group"

DEFAULT_HISTORY = timedelta(days=90)

# Older than any invocation log.
BEGAN = datetime(2023, 9, 1, tzinfo=UTC)


class LogStream:
    """The invocation logs of one account and region. Used by one thread."""

    def __init__(
        self,
        job: Job,
        log_group: str,
        *,
        since: datetime | None,
        settle: timedelta,
        metadata_key: str,
    ) -> None:
        self._job, self._log_group = job, log_group
        self._settle, self._metadata_key = settle, metadata_key
        self._as_of = job.place.clock.now()
        state = of_group(job.state(), log_group)
        self._state = begin(state, self._as_of, since=since, settle=settle)
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
        return windows.next_reread(self._state, self._as_of, BEGAN) or next_history(self._state)

    def _read_window(self, task: Task, deadline: float | None = None) -> bool:
        """Read a window to its end, which is True; False if the deadline came first."""
        place = self._job.place
        highest, is_ordered = task.start, True
        for page in filter_events(place, self._log_group, task.start, task.end):
            if page.oldest and page.newest:
                # Where the order does not hold, a page says nothing of what comes after it.
                is_ordered = is_ordered and page.oldest >= highest
                highest = max(highest, page.newest)
            if page.is_last:
                self._state = windows.after_task(self._state, task, self._as_of)
                self._done += 1
            elif is_ordered:
                self._state = after_page(self._state, task, highest)
            self._commit(page, task)
            self._tell(task, highest, is_done=page.is_last)
            if deadline and not page.is_last and place.clock.monotonic() >= deadline:
                return False
        return True

    def _commit(self, page: Page, task: Task) -> None:
        batch = Batch(state=self._state, is_reread=task.kind == "reread")
        for event in page.events:
            self._add(event, batch)
        self._job.write(batch)
        self._read += len(page.events)

    def _add(self, event: LogEvent, batch: Batch) -> None:
        message = event.message or ""
        if message.strip() == PERMISSION_CHECK:
            return
        where = (str(self._job.stream), storable(event.event_id))
        batch.positions.append(where)
        try:
            parsed = attempt(
                parse_logged_call,
                message.encode("utf-8", "replace"),
                metadata_key=self._metadata_key,
            )
        except RejectError as error:
            batch.rejects.append(Reject(*where, str(error)))
            return
        batch.rejects += (Reject(*where, complaint) for complaint in parsed.complaints)
        if parsed.row is not None:
            batch.add(parsed.row)

    def _tell(self, task: Task, highest: datetime, *, is_done: bool) -> None:
        span = (task.end - task.start).total_seconds() + 1
        behind = 1.0 if is_done else (highest - task.start).total_seconds() / span
        left = windows.windows_left(self._state, BEGAN) if task.kind == "history" else 0
        left = max(left, 0 if is_done else 1)
        total = self._done + left
        share = (self._done + (0 if is_done else behind)) / total if total else 1.0
        self._job.tell(task.kind, done=self._done, left=left, read=self._read, share=share)


def of_group(state: StreamState, log_group: str) -> StreamState:
    """Return the state as it counts for a group: of another one nothing was read yet."""
    if state.log_group == log_group:
        return state
    state = replace(state, log_group=log_group, windows={})
    # The watermark may not fall, but all before it is history again.
    return replace(state, covered_from=state.watermark + SECOND) if state.watermark else state


def begin(
    state: StreamState, as_of: datetime, *, since: datetime | None, settle: timedelta
) -> StreamState:
    """Return the state to go on from."""
    begun = windows.begin(
        state,
        as_of,
        since=max(since, BEGAN) if since else None,
        default_since=as_of - DEFAULT_HISTORY,
        settle=settle,
        horizon=BEGAN,
    )
    if begun.history_from != state.history_from:
        # Where the window in hand began was told by where history was to end: it is read anew.
        begun = begun.with_window("history", None)
    return begun


def next_history(state: StreamState) -> Task | None:
    """Return the next stretch before what is covered, None when enough is."""
    task, window = windows.next_history(state, BEGAN), state.windows.get("history")
    if task is None or window is None:
        return task
    # The window begins at what is still open; what it was cut to begin at follows from its end.
    begun_at = window.end - HISTORY_WINDOW + SECOND
    return task._replace(claim=max(begun_at, state.history_from or begun_at))


def after_page(state: StreamState, task: Task, newest: datetime) -> StreamState:
    """Return the state when all events of the task older than ``newest`` are stored."""
    if task.kind == "new":
        settled = max(state.watermark or newest, min(newest - SECOND, task.claim))
        return replace(state, watermark=settled)
    return state.with_window(task.kind, Window(max(task.start, newest), task.end, task.end))
