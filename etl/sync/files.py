"""Read the log files that AWS delivers to a bucket or folder: a trail's, or invocation logs.

File names end at random, so no key is ever "the last". New files are those that the ledger lacks in
the days from two hours before the watermark on. The last two days are listed again once a day, the
last month once a week; anything found then came late. A file's rows and its ledger entry are one
transaction. A stream's state follows when every file of its days is stored.

A *stream* is one account and region of a root. All of a root's streams are read together, in the
order in which their files were delivered, so that rows enter the warehouse in time order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial

from etl.errors import (
    AccessError,
    BedrockUsageError,
    FileGoneError,
    RejectError,
    SourceError,
)
from etl.load.batches import ReadFile, add_file, read_files, refuse_file
from etl.load.decoder.content import READER
from etl.load.decoder.pool import Workers
from etl.normalise.boundary import storable
from etl.sources.layouts import LogDelivery, day_of
from etl.sources.listing import by_delivery, find_streams, stream_files
from etl.sources.prefetch import prefetch
from etl.sources.stores import Store, StoredFile
from etl.sync.job import FilesJob
from etl.sync.options import SyncOptions
from etl.warehouse.bookmarks import StreamId, StreamState
from etl.warehouse.write.batch import Batch
from etl.warehouse.write.read_files import files_read, has_files_below

# How long a file may appear after the time in its name.
OVERLAP = timedelta(hours=2)
FIRST = timedelta(days=1)

# How far back and how often to list again for late files.
DAILY, DAILY_REACH = timedelta(days=1), timedelta(days=2)
WEEKLY, WEEKLY_REACH = timedelta(days=7), timedelta(days=31)

DEFAULT_HISTORY = timedelta(days=90)

_HISTORY_WINDOW = timedelta(days=7)
_BATCH_ROWS = 50_000
_LISTS_AHEAD = 16


@dataclass(frozen=True)
class Root:
    """Where files of one kind are delivered. The kind is the name of the source."""

    kind: str
    uri: str
    store: Store


@dataclass
class _Stream:
    """A stream in a round: the day from which it is listed, and its state once that is read.

    ``has_access``: one of its files was read. ``is_denied``: access to its first file was denied,
    so the others are not requested.
    """

    logs: LogDelivery
    state: StreamState
    since: date
    after: StreamState
    error: BedrockUsageError | None = None
    has_access: bool = False
    is_denied: bool = False
    late_events: int = 0


class FileReader:
    """The files of one root, in one round. Used by one thread."""

    def __init__(
        self,
        job: FilesJob,
        root: Root,
        workers: Workers,
        *,
        since: datetime | None,
    ) -> None:
        self._job, self._root, self._workers = job, root, workers
        self._as_of = job.clock.now()
        self._history_from = since or self._as_of - DEFAULT_HISTORY
        self._is_since_given = since is not None
        self._streams: list[_Stream] = []
        self._events = 0
        self._begin_batch()

    def read_new(self) -> None:
        """Read what was delivered since the last time, and what is due to be listed again.

        Raises an error that prevents the root from being read at all.
        """
        folder = self._root.store.find(self._root.uri)
        if isinstance(folder, StoredFile):
            raise RejectError(f"{self._root.uri} is a file; name the folder that AWS delivers to")
        found, problems = find_streams(self._root.store, folder)
        self._streams = [self._begin(logs) for logs in found if logs.kind == self._root.kind]
        self._read({stream.logs: (stream.since, None) for stream in self._streams}, "new")
        for stream in self._streams:
            if stream.error is None:
                self._save(stream, stream.after)
        if problems:
            raise problems[0].error
        if not self._streams:
            raise RejectError(
                f"no {self._root.kind} files below {self._root.uri}: name the bucket and prefix"
                " that contain the folder AWSLogs"
            )

    def read_older(self, deadline: float) -> bool:
        """Read history, newest first. Return whether any is left at ``deadline``."""
        while open_streams := [s for s in self._streams if self._has_history(s)]:
            newest = max(_covered_from(stream) for stream in open_streams)
            start = max(newest - _HISTORY_WINDOW, self._history_from)
            window = [stream for stream in open_streams if _covered_from(stream) > start]
            self._read({s.logs: (start.date(), _covered_from(s).date()) for s in window}, "history")
            for stream in window:
                if stream.error is None:
                    self._save(stream, replace(stream.state, covered_from=start))
            if self._job.clock.monotonic() >= deadline:
                # At least one window is read, so that every round makes progress.
                return any(map(self._has_history, self._streams))
        return False

    def _begin(self, logs: LogDelivery) -> _Stream:
        """Return a stream with the day from which to list it now."""
        state = self._job.state(self._id(logs))
        if not self._job.ask(lambda db: has_files_below(db, logs.prefix)):
            # Never read, or read from another root, which says nothing about the files in this one.
            state = replace(state, covered_from=None)
        if self._is_since_given or state.history_from is None:
            state = replace(state, history_from=self._history_from)
        after = replace(state, watermark=self._as_of, read_at=self._as_of)
        if state.watermark is None or state.covered_from is None:
            since = max(self._as_of - FIRST, self._history_from).date()
            after = replace(after, reread_at=self._as_of, relisted_at=self._as_of)
            return _Stream(logs, state, since, replace(after, covered_from=self._start_of(since)))
        start = state.watermark - OVERLAP
        if _is_due(state.reread_at, DAILY, self._as_of):
            start = min(start, self._as_of - DAILY_REACH)
            after = replace(after, reread_at=self._as_of)
        if _is_due(state.relisted_at, WEEKLY, self._as_of):
            start = min(start, self._as_of - WEEKLY_REACH)
            after = replace(after, relisted_at=self._as_of)
        return _Stream(logs, state, max(start, state.covered_from).date(), after)

    def _start_of(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self._as_of.tzinfo)

    def _has_history(self, stream: _Stream) -> bool:
        return stream.error is None and _covered_from(stream) > self._history_from

    def _read(self, days: dict[LogDelivery, tuple[date, date | None]], phase: str) -> None:
        """Read the files of some streams from one day to another (None: to the last)."""
        streams = self._listed(days)
        files = sorted(streams, key=by_delivery)
        wanted = (file for file in files if not streams[file].is_denied)
        self._begin_batch()

        def note_fetched(file: StoredFile, error: BedrockUsageError | None) -> None:
            self._note_fetched(file, error, streams[file])

        reads = read_files(self._root.store, wanted, self._workers, note_fetched)
        number = 0
        for read in reads:
            self._job.clock.check()
            self._take(read, streams[read.file])
            number += read.decoded.is_last
            self._report(phase, number / len(files))
        self._commit()

    def _listed(
        self, days: dict[LogDelivery, tuple[date, date | None]]
    ) -> dict[StoredFile, _Stream]:
        """Return the files that were not read yet, each with its stream."""
        by_logs = {stream.logs: stream for stream in self._streams}

        def list_stream(logs: LogDelivery) -> list[StoredFile]:
            since, until = days[logs]
            return list(stream_files(self._root.store, logs, since=since, until=until))

        files: dict[StoredFile, _Stream] = {}
        for logs, listed in prefetch(list_stream, days, ahead=_LISTS_AHEAD):
            if isinstance(listed, BedrockUsageError):
                self._fail(by_logs[logs], listed)
            else:
                files |= dict.fromkeys(self._unread(listed), by_logs[logs])
        return files

    def _unread(self, files: Iterable[StoredFile]) -> Iterator[StoredFile]:
        folder, known = "", dict[str, str]()
        for file in files:
            if file.folder != folder:
                folder = file.folder
                stored = storable(folder)
                known = self._job.ask(partial(files_read, folder=stored, reader=READER))
            if known.get(storable(file.name)) != file.etag:
                yield file

    def _take(self, read: ReadFile, stream: _Stream) -> None:
        """Add a file to the current batch. A stream's late files have a batch of their own."""
        late = stream if self._is_late(stream, read.file) else None
        if late is not self._late or len(self._batch) >= _BATCH_ROWS:
            self._commit()
            self._begin_batch(late)
        add_file(self._batch, read)
        self._events += read.decoded.events_read

    def _note_fetched(
        self, file: StoredFile, error: BedrockUsageError | None, stream: _Stream
    ) -> None:
        """Record a fetched file, or why it could not be fetched. Then its stream is not claimed.

        A file that no longer exists will never come back: it is reported and holds nothing up.
        """
        if error is None:
            stream.has_access = True
            return
        refuse_file(self._batch, file.uri, "file", error)
        if isinstance(error, SourceError) and not isinstance(error, FileGoneError):
            stream.is_denied = isinstance(error, AccessError) and not stream.has_access
            self._fail(stream, error)

    def _begin_batch(self, late: _Stream | None = None) -> None:
        self._batch, self._late = Batch(is_reread=late is not None), late

    def _commit(self) -> None:
        written = self._job.write(self._batch)
        if self._late:
            self._late.late_events += written.late_events

    def _is_late(self, stream: _Stream, file: StoredFile) -> bool:
        """Whether a file is in a day that was read completely before."""
        state, day = stream.state, day_of(file.folder)
        if state.covered_from is None or state.watermark is None or day is None:
            return False
        return state.covered_from.date() <= day < (state.watermark - OVERLAP).date()

    def _fail(self, stream: _Stream, error: BedrockUsageError) -> None:
        """Record why a stream cannot be claimed. What was read of it is kept."""
        if stream.error is None:
            stream.error = error
            self._job.fail(self._id(stream.logs), error)

    def _save(self, stream: _Stream, state: StreamState) -> None:
        stream.state = state
        self._job.write(Batch(state=state, late_events=stream.late_events))
        stream.late_events = 0

    def _id(self, logs: LogDelivery) -> StreamId:
        return StreamId(self._root.kind, logs.account_id or "unknown", logs.region)

    def _report(self, phase: str, share: float) -> None:
        self._job.report(phase, read=self._events, share=share)


def read_files_of(job: FilesJob, root: Root, options: SyncOptions, deadline: float) -> bool:
    """Read what is new of a root's files, then history. Return whether any of that is left."""
    with Workers(options.keys) as workers:
        reader = FileReader(job, root, workers, since=options.since)
        reader.read_new()
        return reader.read_older(deadline)


def _covered_from(stream: _Stream) -> datetime:
    if stream.state.covered_from is None:
        raise AssertionError("read_new() comes first")
    return stream.state.covered_from


def _is_due(last: datetime | None, period: timedelta, now: datetime) -> bool:
    return last is None or last + period <= now
