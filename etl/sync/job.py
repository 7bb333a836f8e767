"""One stream being read: where it reads from, where its rows go, and who gets its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from sqlite_utils import Database

from etl.clock import Clock
from etl.errors import AccessError, BedrockUsageError
from etl.sources.aws import Place
from etl.sync.writer import Writer
from etl.warehouse.bookmarks import StreamId, StreamState, load_state
from etl.warehouse.write.batch import Batch, Written

Result = TypeVar("Result")


class StreamProgress(NamedTuple):
    """How far a stream is.

    ``phase``: new, history, reread, whole (all of it is read again), done or failed; or note, for a
    ``message`` about something unexpected that does not stop it.

    ``windows_done`` and ``windows_left`` count windows of this round. ``read`` is what it has read
    in this round (events, totals or profiles). ``share`` is the part of the windows' time that is
    done.
    """

    stream: StreamId
    phase: str
    windows_done: int = 0
    windows_left: int = 0
    read: int = 0
    share: float = 0.0
    message: str = ""


StreamObserver = Callable[[StreamProgress], None]


class AbsentError(AccessError):
    """A place never had this source. Not a failure, as long as another place has it."""


@dataclass(frozen=True)
class _StreamJob:
    """What every kind of job does. ``count`` gets what each batch wrote, and how many rejects it
    had.
    """

    writer: Writer
    observe: StreamObserver
    count: Callable[[Written, int], None]

    def write(self, batch: Batch) -> Written:
        """Commit a batch with its state."""
        written = self.writer.write(batch)
        self.count(written, len(batch.rejects))
        return written

    def ask(self, question: Callable[[Database], Result]) -> Result:
        """Query the warehouse."""
        return self.writer.read(question)


@dataclass(frozen=True)
class Job(_StreamJob):
    """A source of a place."""

    source: str
    place: Place

    @property
    def stream(self) -> StreamId:
        return StreamId(self.source, self.place.account_id, self.place.region)

    def state(self) -> StreamState:
        """Return how far the stream has come."""
        return self.ask(lambda db: load_state(db, self.stream))

    def report(
        self, phase: str, *, done: int = 0, left: int = 0, read: int = 0, share: float = 0.0
    ) -> None:
        """Report progress."""
        self.observe(StreamProgress(self.stream, phase, done, left, read, share))

    def note(self, message: str) -> None:
        """Report something that does not stop the stream."""
        self.observe(StreamProgress(self.stream, "note", message=message))


@dataclass(frozen=True)
class FilesJob(_StreamJob):
    """The files of one root, for all the accounts and regions it holds.

    ``name`` represents all of its streams in progress reports. ``fail`` gets each stream that could
    not be read completely.
    """

    name: StreamId
    clock: Clock
    fail: Callable[[StreamId, BedrockUsageError], None]

    def state(self, stream: StreamId) -> StreamState:
        """Return how far a stream has come."""
        return self.ask(lambda db: load_state(db, stream))

    def report(self, phase: str, *, read: int = 0, share: float = 0.0) -> None:
        """Report progress."""
        self.observe(StreamProgress(self.name, phase, read=read, share=share))
