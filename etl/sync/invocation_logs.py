"""Read one place's invocation logs from CloudWatch Logs, window by window, page by page.

The windows are those of the events (``etl.sync.windows``), but each is read from its start, because
CloudWatch Logs returns the oldest event first. So new data is claimed page by page, and of an older
window the part after the last page read is still open.

How far back a group goes is its own setting, which this program may not read: what it no longer has
is simply missing.

The files of invocation logs (``etl.sync.files``) are separate streams of the same places. These
have another name, so that neither moves the other's bookmarks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from etl.load.decoder.content import parse_message
from etl.normalise.cloudtrail import Parsed
from etl.sources.aws import NotFoundError
from etl.sources.invocation_logs import LogEvent, LogPage, filter_events
from etl.sync import windows
from etl.sync.job import AbsentError, Job
from etl.sync.options import SyncOptions
from etl.sync.stream import PageOf, WindowedStream
from etl.sync.windows import HISTORY_WINDOW, SECOND, Task
from etl.warehouse.bookmarks import StreamState, Window
from etl.warehouse.write.batch import Batch

DEFAULT_HISTORY = timedelta(days=90)

# Older than any invocation log.
BEGAN = datetime(2023, 9, 1, tzinfo=UTC)


class LogStream(WindowedStream[LogEvent]):
    """The invocation logs of CloudWatch Logs, which returns the oldest of a window first."""

    def __init__(self, job: Job, options: SyncOptions) -> None:
        super().__init__(job, options)
        self._log_group = options.log_group or ""
        state = for_group(job.state(), self._log_group)
        self._state = begin(state, self._as_of, since=options.since, settle=options.settle)

    @property
    def _horizon(self) -> datetime:
        return BEGAN

    def _next_history(self) -> Task | None:
        return next_history(self._state)

    def _pages(self, task: Task) -> Iterator[LogPage]:
        try:
            yield from filter_events(self._job.place, self._log_group, task.start, task.end)
        except NotFoundError as error:
            if self._job.state().log_group == self._log_group:
                raise  # it existed before
            raise AbsentError(str(error)) from error

    def _begin(self, task: Task) -> datetime:
        return task.start

    def _reach(self, before: datetime, oldest: datetime, newest: datetime) -> tuple[datetime, bool]:
        return max(before, newest), oldest >= before

    def _after_page(self, task: Task, reached: datetime) -> StreamState:
        return after_page(self._state, task, reached)

    def _take(
        self, page: PageOf[LogEvent], task: Task, reached: datetime, *, is_over: bool
    ) -> None:
        batch = Batch(state=self._state, is_reread=task.kind == "reread")
        self._add(page.events, batch)
        self._job.write(batch)

    def _parse(self, event: LogEvent) -> Iterable[Parsed]:
        return parse_message(event.message or "", self._options.keys)


def for_group(state: StreamState, log_group: str) -> StreamState:
    """Return the state for a log group: of another group nothing was read yet."""
    if state.log_group == log_group:
        return state
    state = replace(state, log_group=log_group, windows={})
    # The watermark must not move back, but everything before it is history again.
    return replace(state, covered_from=state.watermark + SECOND) if state.watermark else state


def begin(
    state: StreamState, as_of: datetime, *, since: datetime | None, settle: timedelta
) -> StreamState:
    """Return the state to continue from."""
    begun = windows.begin(
        state,
        as_of,
        since=max(since, BEGAN) if since else None,
        default_since=as_of - DEFAULT_HISTORY,
        settle=settle,
        horizon=BEGAN,
    )
    if begun.history_from != state.history_from:
        # The start of an open window depended on where history was to end: it is read again.
        begun = begun.with_window("history", None)
    return begun


def next_history(state: StreamState) -> Task | None:
    """Return the next window before what is covered; None when enough is."""
    task, window = windows.next_history(state, BEGAN), state.windows.get("history")
    if task is None or window is None:
        return task
    # The window now starts at its open part. Its original start follows from its end.
    begun_at = window.end - HISTORY_WINDOW + SECOND
    return task._replace(claim=max(begun_at, state.history_from or begun_at))


def after_page(state: StreamState, task: Task, newest: datetime) -> StreamState:
    """Return the state once all events of the task older than ``newest`` are stored."""
    if task.kind == "new":
        settled = max(state.watermark or newest, min(newest - SECOND, task.claim))
        return replace(state, watermark=settled)
    return state.with_window(task.kind, Window(max(task.start, newest), task.end, task.end))
