"""Read the log files that AWS delivers to a bucket or folder: a trail's, or invocation logs.

Names of files end at random, so no key is ever "the last": what is new is what the ledger lacks in
the days from two hours before the watermark on. Once a day the last two days are listed again,
once a week the last month; what that finds came late. A file's rows and its entry in the ledger are
one transaction, a stream's state follows when every file of its days is in.

A *stream* is one account and region of a root; all of a root's streams are read together, in the
order in which their files were delivered, so that rows enter the warehouse in the order of time.
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

# How long after its time in the name a file may appear.
OVERLAP = timedelta(hours=2)
FIRST = timedelta(days=1)

# What is listed again for what came late, and how often.
DAILY, DAILY_REACH = timedelta(days=1), timedelta(days=2)
WEEKLY, WEEKLY_REACH = timedelta(days=7), timedelta(days=31)

DEFAULT_HISTORY = timedelta(days=90)

_HISTORY_WINDOW = timedelta(days=7)
_BATCH_ROWS = 50_000
_LISTS_AHEAD = 16


@dataclass(frozen=True)
class Root:
    """Where files of one kind are delivered to; the kind is the name of the source."""

    kind: str
    uri: str
    store: Store


@dataclass
class _Stream:
    """A stream in a round: from which day it is listed, and its state once that is read.

    ``is_let_in``: one of its files was read; ``is_refused``: not even the first may be, so that the
    others are not asked for.
    """

    logs: LogDelivery
    state: StreamState
    since: date
    after: StreamState
    error: BedrockUsageError | None = None
    is_let_in: bool = False
    is_refused: bool = False
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

        Raises what keeps the root from being read at all.
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
                " that hold the folder AWSLogs"
            )

    def read_older(self, deadline: float) -> bool:
        """Read history, newest first; return whether any is left when ``deadline`` has come."""
        while open_streams := [s for s in self._streams if self._has_history(s)]:
            newest = max(_covered_from(stream) for stream in open_streams)
            start = max(newest - _HISTORY_WINDOW, self._history_from)
            window = [stream for stream in open_streams if _covered_from(stream) > start]
            self._read({s.logs: (start.date(), _covered_from(s).date()) for s in window}, "history")
            for stream in window:
                if stream.error is None:
                    self._save(stream, replace(stream.state, covered_from=start))
            if self._job.clock.monotonic() >= deadline:
                # One window is read in any case, so that every round gets on.
                return any(map(self._has_history, self._streams))
        return False

    def _begin(self, logs: LogDelivery) -> _Stream:
        """Return a stream with the day from which it is to be listed now."""
        state = self._job.state(self._id(logs))
        if not self._job.ask(lambda db: has_files_below(db, logs.prefix)):
            # Never read, or read from another root, which says nothing of what stands in this one.
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
        """Read the files of some streams from a day to another (None: to the last)."""
        streams = self._listed(days)
        files = sorted(streams, key=by_delivery)
        wanted = (file for file in files if not streams[file].is_refused)
        self._begin_batch()

        def judge(file: StoredFile, error: BedrockUsageError | None) -> None:
            self._judge(file, error, streams[file])

        reads = read_files(self._root.store, wanted, self._workers, judge)
        number = 0
        for read in reads:
            self._job.clock.check()
            self._take(read, streams[read.file])
            number += read.decoded.is_last
            self._tell(phase, number / len(files))
        self._commit()

    def _listed(
        self, days: dict[LogDelivery, tuple[date, date | None]]
    ) -> dict[StoredFile, _Stream]:
        """Return the files that were not read yet, and whose they are."""
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
        """Put a file into the batch in hand. What comes late has one of its own a stream."""
        late = stream if self._is_late(stream, read.file) else None
        if late is not self._late or len(self._batch) >= _BATCH_ROWS:
            self._commit()
            self._begin_batch(late)
        add_file(self._batch, read)
        self._events += read.decoded.events_read

    def _judge(self, file: StoredFile, error: BedrockUsageError | None, stream: _Stream) -> None:
        """See what a file says of its stream: one with a file that cannot be had is not claimed.

        A file that is gone will never be there again: it is told, and holds nothing up.
        """
        if error is None:
            stream.is_let_in = True
            return
        refuse_file(self._batch, file.uri, "file", error)
        if isinstance(error, SourceError) and not isinstance(error, FileGoneError):
            stream.is_refused = isinstance(error, AccessError) and not stream.is_let_in
            self._fail(stream, error)

    def _begin_batch(self, late: _Stream | None = None) -> None:
        self._batch, self._late = Batch(is_reread=late is not None), late

    def _commit(self) -> None:
        written = self._job.write(self._batch)
        if self._late:
            self._late.late_events += written.late_events

    def _is_late(self, stream: _Stream, file: StoredFile) -> bool:
        """Whether a file stands in a day that was read to its end before."""
        state, day = stream.state, day_of(file.folder)
        if state.covered_from is None or state.watermark is None or day is None:
            return False
        return state.covered_from.date() <= day < (state.watermark - OVERLAP).date()

    def _fail(self, stream: _Stream, error: BedrockUsageError) -> None:
        """Note why a stream cannot be claimed; what was read of it stands."""
        if stream.error is None:
            stream.error = error
            self._job.fail(self._id(stream.logs), error)

    def _save(self, stream: _Stream, state: StreamState) -> None:
        stream.state = state
        self._job.write(Batch(state=state, late_events=stream.late_events))
        stream.late_events = 0

    def _id(self, logs: LogDelivery) -> StreamId:
        return StreamId(self._root.kind, logs.account_id or "unknown", logs.region)

    def _tell(self, phase: str, share: float) -> None:
        self._job.tell(phase, read=self._events, share=share)


def read_files_of(job: FilesJob, root: Root, options: SyncOptions, deadline: float) -> bool:
    """Read what is new of a root's files, then what is old; return whether any of that is left."""
    with Workers(options.keys) as workers:
        reader = FileReader(job, root, workers, since=options.since)
        reader.read_new()
        return reader.read_older(deadline)


def _covered_from(stream: _Stream) -> datetime:
    if stream.state.covered_from is None:
        raise AssertionError("history is read after what is new")
    return stream.state.covered_from


def _is_due(last: datetime | None, period: timedelta, now: datetime) -> bool:
    return last is None or last + period <= now
