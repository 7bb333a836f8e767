"""One stream at work: where it reads from, where its rows go, who is told."""

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
    """How far a stream is. ``phase``: new, history, reread, whole (it is read anew), done or
    failed; or note, for a ``message`` about what is not as expected and does not stop it.

    ``windows_done`` and ``windows_left`` count windows of this round; ``read`` is what it has read
    in it (events, totals or profiles); ``share`` how much of the windows' time is behind it.
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
    """A place never had what is read: no failure, as long as another place has it."""


@dataclass(frozen=True)
class _StreamJob:
    """What every kind of job does. ``count`` is told what each batch came to, and was refused."""

    writer: Writer
    observe: StreamObserver
    count: Callable[[Written, int], None]

    def write(self, batch: Batch) -> Written:
        """Commit a batch with its state."""
        written = self.writer.write(batch)
        self.count(written, len(batch.rejects))
        return written

    def ask(self, question: Callable[[Database], Result]) -> Result:
        """Ask the warehouse something."""
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

    def tell(
        self, phase: str, *, done: int = 0, left: int = 0, read: int = 0, share: float = 0.0
    ) -> None:
        """Tell how far it is."""
        self.observe(StreamProgress(self.stream, phase, done, left, read, share))

    def note(self, message: str) -> None:
        """Say something that does not stop the stream."""
        self.observe(StreamProgress(self.stream, "note", message=message))


@dataclass(frozen=True)
class FilesJob(_StreamJob):
    """The files of one root, of as many accounts and regions as it holds.

    ``name`` stands for all of its streams where progress is told. ``fail`` is told of the streams
    that could not be read to their end.
    """

    name: StreamId
    clock: Clock
    fail: Callable[[StreamId, BedrockUsageError], None]

    def state(self, stream: StreamId) -> StreamState:
        """Return how far a stream has come."""
        return self.ask(lambda db: load_state(db, stream))

    def tell(self, phase: str, *, read: int = 0, share: float = 0.0) -> None:
        """Tell how far it is."""
        self.observe(StreamProgress(self.name, phase, read=read, share=share))
