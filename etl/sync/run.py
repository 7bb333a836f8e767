"""Read every account and region at once, round by round.

A round reads what is new from every source of every place, then history until the round's time is
up. So the newest figures appear first and stay current while a long history is being read. One
thread works on a place at a time. A place that fails is reported and does not stop the others.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from sqlite_utils import Database

from etl.clock import Clock
from etl.errors import (
    BedrockUsageError,
    RetriableError,
    SourceError,
    StoppedError,
    TokenError,
    reason_of,
)
from etl.registry import Source, source_of
from etl.sources.aws import Place
from etl.sync.files import Root
from etl.sync.job import AbsentError, FilesJob, Job, StreamObserver, StreamProgress
from etl.sync.options import SyncOptions
from etl.sync.readers import FOLDER_READERS, PLACE_READERS, History
from etl.sync.writer import Writer
from etl.warehouse.bookmarks import StreamId, finish_run, save_error, start_run
from etl.warehouse.write.batch import Written

Result = TypeVar("Result")

# A stop is noticed this soon.
_LOOK_SECONDS = 0.25

# A stop waits this long for pending responses. What they bring is read again next time.
_GRACE_SECONDS = 5.0


@dataclass
class StreamProblem:
    """Why a stream was not read completely."""

    stream: StreamId
    message: str
    is_passing: bool


@dataclass
class SyncOutcome:
    """The result of a round. ``lost``: why some accounts or regions were not even tried."""

    written: Written = field(default_factory=Written)
    rejected: int = 0
    problems: list[StreamProblem] = field(default_factory=list)
    has_more: bool = False
    is_stopped: bool = False
    lost: Sequence[SourceError] = ()

    @property
    def is_complete(self) -> bool:
        """Whether everything was read, and nothing rejected."""
        return not (self.messages or self.rejected or self.is_stopped)

    @property
    def messages(self) -> list[str]:
        """What was not read, and why."""
        return [problem.message for problem in self.problems] + [str(error) for error in self.lost]

    @property
    def may_pass(self) -> bool:
        """Whether trying again soon may succeed."""
        passing = [problem.is_passing for problem in self.problems]
        return any((*passing, *map(is_passing, self.lost)))

    @property
    def name(self) -> str:
        """Its status in ``sync_runs``."""
        if self.is_stopped:
            return "stopped"
        return "incomplete" if self.messages else "done"

    def add(self, written: Written, rejected: int) -> None:
        """Add what one stream wrote."""
        self.written.add(written)
        self.rejected += rejected

    def follow(self, later: SyncOutcome) -> None:
        """Add a later round's outcome to this one."""
        self.add(later.written, later.rejected)
        self.problems, self.has_more = later.problems, later.has_more
        self.is_stopped = later.is_stopped


def sync_places(
    db: Database,
    places: Sequence[Place],
    clock: Clock,
    options: SyncOptions,
    observe: StreamObserver = lambda progress: None,
    *,
    lost: Sequence[SourceError] = (),
    roots: Sequence[Root] = (),
) -> SyncOutcome:
    """Read places and roots, round by round, until no history is left. Return the outcome.

    Its problems are those of the last round: one that was fixed since does not count. ``lost``: why
    some places are missing here. The run is not done without them.
    """
    total = SyncOutcome(lost=lost)
    while True:
        run_id = start_run(db, clock.now(), pid=os.getpid(), host=socket.gethostname())
        outcome = Round(db, clock, options, observe).run(places, roots)
        outcome.lost = lost
        finish_run(
            db,
            run_id,
            clock.now(),
            outcome.name,
            outcome.messages,
            calls_new=outcome.written.calls_new,
            calls_with_tokens=outcome.written.calls_with_tokens,
            late_events=outcome.written.late_events,
            metric_values=outcome.written.metric_values,
            rejected=outcome.rejected,
        )
        total.follow(outcome)
        if outcome.is_stopped or not outcome.has_more:
            return total


def is_passing(error: BedrockUsageError) -> bool:
    """Return whether an error may disappear when the same request is tried again."""
    return isinstance(error, (RetriableError, TokenError))


# What an unforeseen response may raise, as opposed to a failing disk or a stop.
_UNFORESEEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)


def _guard(read: Callable[[], Result]) -> Result:
    """Read a source. An unforeseen response is an error of that source alone."""
    try:
        return read()
    except _UNFORESEEN as error:
        reason = f"a response {reason_of(error).removeprefix('it ')}"
    raise RetriableError(f"{reason}; the other sources continue. Please report it")


class Round:
    """One round over some places."""

    def __init__(
        self, db: Database, clock: Clock, options: SyncOptions, observe: StreamObserver
    ) -> None:
        self._clock, self._options, self._observe = clock, options, observe
        self._writer = Writer(db)
        self._outcome, self._lock = SyncOutcome(), threading.Lock()
        self._crash: BaseException | None = None
        self._working = 0
        # For sources that not every place has: those found somewhere, and the first place that
        # never had one.
        self._present: set[Source] = set()
        self._absent: dict[Source, tuple[StreamId, AbsentError]] = {}
        self._deadline = clock.monotonic() + options.round_seconds

    def run(self, places: Iterable[Place], roots: Iterable[Root] = ()) -> SyncOutcome:
        """Read places and roots. Return when all are done, or soon after a stop request."""
        jobs: queue.SimpleQueue[Place | Root] = queue.SimpleQueue()
        for root in roots:
            jobs.put(root)
        for place in places:
            jobs.put(place)
        threads = [
            # Daemons: a response that never comes must not keep the program from exiting.
            threading.Thread(target=self._work, args=(jobs,), daemon=True)
            for _ in range(min(self._options.threads, jobs.qsize()))
        ]
        self._working = len(threads)
        for thread in threads:
            thread.start()
        try:
            self._serve()
        finally:
            # If the database failed, the threads learn of it when they next submit work.
            self._writer.close()
        if self._crash:
            raise self._crash
        for source, (stream, error) in list(self._absent.items()):
            if source not in self._present:
                self._note(stream, error)
        self._outcome.is_stopped = self._clock.stop.is_set()
        return self._outcome

    def _serve(self) -> None:
        stopping_since = None
        while self._working and not self._crash:
            try:
                self._writer.serve(_LOOK_SECONDS)
            except StoppedError:
                return  # while another process was writing
            if self._clock.stop.is_set():
                stopping_since = stopping_since or self._clock.monotonic()
                if self._clock.monotonic() - stopping_since > _GRACE_SECONDS:
                    return

    def _work(self, jobs: queue.SimpleQueue[Place | Root]) -> None:
        try:
            while not self._clock.stop.is_set():
                job = jobs.get_nowait()
                if isinstance(job, Root):
                    self._sync_files(job)
                else:
                    self._sync(job)
        except (queue.Empty, StoppedError):
            pass
        except BaseException as error:
            # No place can cause this. It is a bug, and the whole run must show it.
            self._crash = error
        finally:
            with self._lock:
                self._working -= 1
            self._writer.wake()

    def _sync(self, place: Place) -> None:
        """Read what is new of every source, then the history of those that have one."""
        histories: list[tuple[Source, History]] = []
        for source in map(source_of, PLACE_READERS):
            if self._options.reads(source):
                history = self._read(source, place, partial(self._read_new, source))
                histories += [(source, history)] if history else []
        for source, history in histories:
            self._read(source, place, partial(self._read_older, history))

    def _read_new(self, source: Source, job: Job) -> History | None:
        return PLACE_READERS[source.name](job, self._options)

    def _read_older(self, history: History, _: Job) -> None:
        if history.read_older(self._deadline):
            self._outcome.has_more = True

    def _read(
        self, source: Source, place: Place, read: Callable[[Job], History | None]
    ) -> History | None:
        """Read a source. Return what is left of it. A failure is recorded and stops no other."""
        job = Job(self._writer, self._observe, self._count, source.stream, place)
        try:
            history = _guard(lambda: read(job))
        except AbsentError as error:
            self._absent.setdefault(source, (job.stream, error))
            return None
        except SourceError as error:
            self._fail(job.stream, error)
            return None
        self._present.add(source)
        if history is None:
            job.report("done", share=1.0)
        return history

    def _sync_files(self, root: Root) -> None:
        """Read what is new of a root's files, then their history."""
        if root.kind not in self._options.sources:
            return
        name = StreamId(root.kind, "files", root.uri)
        job = FilesJob(self._writer, self._observe, self._count, name, self._clock, self._fail)
        read = FOLDER_READERS[root.kind]
        try:
            if _guard(lambda: read(job, root, self._options, self._deadline)):
                self._outcome.has_more = True
        except StoppedError:
            raise
        except BedrockUsageError as error:
            self._note(name, error)
        else:
            job.report("done", share=1.0)

    def _count(self, written: Written, rejected: int) -> None:
        with self._lock:
            self._outcome.add(written, rejected)

    def _fail(self, stream: StreamId, error: BedrockUsageError) -> None:
        message, now = str(error), self._clock.now()
        self._writer.read(lambda db: save_error(db, stream, message, now))
        self._note(stream, error)

    def _note(self, stream: StreamId, error: BedrockUsageError) -> None:
        with self._lock:
            self._outcome.problems.append(StreamProblem(stream, str(error), is_passing(error)))
        self._observe(StreamProgress(stream, "failed", message=str(error)))
