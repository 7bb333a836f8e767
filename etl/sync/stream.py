"""What streams have in common that are read window by window, page by page.

The windows are those of ``etl.sync.windows``. A stream defines where its pages come from, at which
end of a window they begin, how far each reaches, and what one of its events is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Generic, Protocol, Self, TypeVar

from etl.errors import RejectError
from etl.normalise.boundary import storable
from etl.normalise.cloudtrail import Parsed
from etl.sync import windows
from etl.sync.job import Job
from etl.sync.options import SyncOptions
from etl.sync.windows import Task
from etl.warehouse.bookmarks import StreamState
from etl.warehouse.write.batch import Batch, Reject


class AnyEvent(Protocol):
    """An item of a page."""

    @property
    def event_id(self) -> str: ...


One = TypeVar("One", bound=AnyEvent)
OneOfPage = TypeVar("OneOfPage", bound=AnyEvent, covariant=True)


class PageOf(Protocol[OneOfPage]):
    """Some events, and the times of the oldest and newest of them, None if it is empty."""

    @property
    def events(self) -> Sequence[OneOfPage]: ...
    @property
    def oldest(self) -> datetime | None: ...
    @property
    def newest(self) -> datetime | None: ...
    @property
    def is_last(self) -> bool: ...


class WindowedStream(ABC, Generic[One]):
    """The events of one account and region. Used by one thread."""

    def __init__(self, job: Job, options: SyncOptions) -> None:
        self._job, self._options = job, options
        self._as_of = job.place.clock.now()
        self._done, self._read = 0, 0
        self._state: StreamState

    @classmethod
    def catch_up(cls, job: Job, options: SyncOptions) -> Self:
        """Read everything new. Return the stream, which can then continue with older windows."""
        stream = cls(job, options)
        stream.read_new()
        return stream

    @property
    @abstractmethod
    def _horizon(self) -> datetime:
        """The oldest time that can still be requested."""

    @abstractmethod
    def _pages(self, task: Task) -> Iterator[PageOf[One]]:
        """Yield the pages of a time window."""

    @abstractmethod
    def _begin(self, task: Task) -> datetime:
        """Return the end of a window at which its pages begin."""

    @abstractmethod
    def _reach(self, before: datetime, oldest: datetime, newest: datetime) -> tuple[datetime, bool]:
        """Return how far the window is read after a page, and if the page follows the last one."""

    @abstractmethod
    def _after_page(self, task: Task, reached: datetime) -> StreamState:
        """Return the state once everything in a window up to this time is stored."""

    @abstractmethod
    def _parse(self, event: One) -> Iterable[Parsed]:
        """Read an event. Raises RejectError."""

    @abstractmethod
    def _take(self, page: PageOf[One], task: Task, reached: datetime, *, is_over: bool) -> None:
        """Store a page with the state that claims it, or hold it to be stored with others."""

    def _next_new(self) -> Task | None:
        return windows.next_new(self._state, self._as_of, self._options.settle)

    def _next_reread(self) -> Task | None:
        return windows.next_reread(self._state, self._as_of, self._horizon)

    def _next_history(self) -> Task | None:
        return windows.next_history(self._state, self._horizon)

    def _is_used_up(self, task: Task) -> bool:
        """Say whether a window may make no more requests after the one just made."""
        return False

    def read_new(self) -> None:
        """Read everything from the watermark to now."""
        while task := self._next_new():
            self._read_window(task)
            if task.end == self._as_of:
                break

    def read_older(self, deadline: float) -> bool:
        """Read what is due again, then history, until ``deadline`` (monotonic seconds).

        Returns whether anything is left for later.
        """
        return self._read_until(lambda: self._next_reread() or self._next_history(), deadline)

    def _read_until(self, next_task: Callable[[], Task | None], deadline: float) -> bool:
        """Read windows until the deadline. Return whether any is left."""
        while task := next_task():
            if not self._read_window(task, deadline):
                return True
        return False

    def _read_window(self, task: Task, deadline: float | None = None) -> bool:
        """Read a window to its end and return True; False if the deadline came first."""
        reached, is_ordered = self._begin(task), True
        for page in self._pages(task):
            if page.oldest and page.newest:
                # If the order is broken, a page says nothing about what comes after it.
                reached, is_next = self._reach(reached, page.oldest, page.newest)
                is_ordered = is_ordered and is_next
            is_over = page.is_last or self._is_used_up(task)
            if is_over:
                self._state = windows.after_task(self._state, task, self._as_of)
                self._done += 1
            elif is_ordered:
                self._state = self._after_page(task, reached)
            self._take(page, task, reached, is_over=is_over)
            self._read += len(page.events)
            self._report(task, reached, is_done=is_over)
            if is_over:
                return True
            if deadline and self._job.place.clock.monotonic() >= deadline:
                return False
        return True

    def _add(self, events: Sequence[One], batch: Batch) -> None:
        """Add events to a batch, each as its row, or as a reject with the reason."""
        for event in events:
            where = (str(self._job.stream), storable(event.event_id))
            batch.positions.append(where)
            try:
                for parsed in self._parse(event):
                    batch.rejects += (Reject(*where, complaint) for complaint in parsed.complaints)
                    if parsed.row is not None:
                        batch.add(parsed.row)
                    for more in (parsed.job, parsed.skipped):
                        if more is not None:
                            batch.add(more)
            except RejectError as error:
                batch.rejects.append(Reject(*where, str(error)))

    def _report(self, task: Task, reached: datetime, *, is_done: bool) -> None:
        span = (task.end - task.start).total_seconds() + 1
        behind = 1.0 if is_done else abs(reached - self._begin(task)).total_seconds() / span
        left = windows.windows_left(self._state, self._horizon) if task.kind == "history" else 0
        left = max(left, 0 if is_done else 1)
        total = self._done + left
        share = (self._done + (0 if is_done else behind)) / total if total else 1.0
        self._job.report(task.kind, done=self._done, left=left, read=self._read, share=share)
