"""A small warehouse of its own, in which a part of the rows is counted and then forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from sqlite_utils import Database

from etl.load.run import BATCH_ROWS
from etl.normalise.packed import Shapes, next_range
from etl.normalise.rollups import Row
from etl.normalise.rows import RoleSession
from etl.rollup.decode import Told, unpacked
from etl.rollup.job import Job
from etl.warehouse.read.rolled_up import rolled_up_rows
from etl.warehouse.write.batch import Batch, Loader
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.sessions import tell_sessions


def count(job: Job, db: Database) -> Iterator[Row]:
    """Yield what a scratch warehouse counts, day by day, for the days of the job."""
    return rolled_up_rows(db, job.kept_keys, job.days)


class Counter:
    """Counts the parts that belong together, in a scratch warehouse.

    First comes what other rows tell of sessions: users and tags.
    """

    def __init__(self, db: Database) -> None:
        self._db, self._loader = db, Loader(db)
        self._shapes = Shapes(next_range())
        self._batch = Batch()
        self._told: list[Told] = []

    def add(self, kind: str, blob: bytes) -> None:
        """Add a part, or what CloudTrail tells of a session: kinds told, session and part."""
        if kind == "told":
            told: Told = unpacked(blob)
            self._told.append(told)
        elif kind == "session":
            session: RoleSession = unpacked(blob)
            self._batch.sessions.append(session)
        else:
            self._add_part(blob)

    def _add_part(self, blob: bytes) -> None:
        if self._told:
            tell_sessions(self._db, Names(self._db), self._told)
            self._told.clear()
        shapes, calls, rows = unpacked(blob)
        # Each process that decodes has numbers of its own.
        numbers = {number: self._shapes.number_of(shape) for number, shape in shapes.items()}
        batch = self._batch
        batch.calls += [(*call[:4], numbers[call[4]], *call[5:]) for call in calls]
        for _, row in rows:
            batch.add(row)
        if len(batch) >= BATCH_ROWS:
            self._write()

    def finish(self) -> None:
        """Write the rest."""
        self._write()

    def _write(self) -> None:
        batch, self._batch = self._batch, Batch()
        batch.shapes = self._shapes.take_new()
        if self._shapes.is_full:
            batch.first_shapes.append(self._shapes.forget())
        self._loader.write(batch)
