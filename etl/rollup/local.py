"""The engine that needs no other machine: this process, as ``load`` would read the files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter

from etl.load.batches import add_file
from etl.load.decoder.pool import Workers
from etl.load.run import BATCH_ROWS
from etl.normalise.rollups import Row, Value, add, row_of_total
from etl.normalise.rows import Event
from etl.normalise.rows import Row as ReadRow
from etl.rollup.decode import FileSeen, is_general, read
from etl.rollup.job import Job
from etl.rollup.others import limited
from etl.rollup.output import FILE_ROWS, OutputFile, write_day
from etl.rollup.scratch import count
from etl.sources.archive import Archive
from etl.sources.stores import StoredFile
from etl.warehouse.read.rolled_up import found_calls
from etl.warehouse.scratch import open_scratch
from etl.warehouse.write.batch import Batch, Loader


class LocalEngine:
    """Reads and counts in one scratch warehouse. A context manager."""

    name = "local"

    def __init__(self, job: Job, template: bytes) -> None:
        self._job, self._template = job, template
        self._stack = ExitStack()
        self._totals: list[Row] = []
        self.general: list[ReadRow] = []
        self.callers_in_others = 0

    def __enter__(self) -> LocalEngine:
        self._db = self._stack.enter_context(open_scratch(self._template, self._job.secret))
        self._workers = self._stack.enter_context(Workers(self._job.keys))
        self._loader = Loader(self._db)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, files: Iterable[tuple[int, StoredFile]]) -> list[FileSeen]:
        """Read files; return what was seen of each."""
        seen: list[FileSeen] = []
        batch = Batch()
        for part in read(self._job, files, self._workers, seen):
            self.general += filter(is_general, part.decoded.rows)
            add_file(batch, part)
            self._totals += map(row_of_total, batch.metrics)
            batch.metrics.clear()
            if len(batch) >= BATCH_ROWS:
                self._loader.write(batch)
                batch = Batch()
        self._loader.write(batch)
        return seen

    def write(self, run: str, days: frozenset[str] | None) -> Iterator[OutputFile]:
        """Count what was read, and write the files of the days."""
        job = self._job.of_days(days)
        archive = job.open_places().archive_of(job.output)
        self.callers_in_others = 0
        totals = sorted(self._totals, key=itemgetter(1))
        totals_by_day = {day: list(rows) for day, rows in groupby(totals, key=itemgetter(1))}
        for day, counted in groupby(count(job, self._db), key=itemgetter(1)):
            # One day at a time: a day's rows fit into memory.
            found = [*counted, *totals_by_day.pop(day, ())]
            yield from self._write_day(archive, run, day, found)
        for day, found in totals_by_day.items():
            if days is None or day in days:
                yield from self._write_day(archive, run, day, found)

    def _write_day(
        self, archive: Archive, run: str, day: str, found: list[Row]
    ) -> Iterator[OutputFile]:
        kept, others = limited(summed(found), self._job.most_callers)
        self.callers_in_others += others
        rows = sorted(summed(kept), key=order_of)
        for table, of_table in groupby(rows, key=itemgetter(0)):
            listed = list(of_table)
            for part, start in enumerate(range(0, len(listed), FILE_ROWS)):
                some = listed[start : start + FILE_ROWS]
                yield write_day(archive, run, day, table, part, some)

    def find(self, day: str, name: str) -> list[Event]:
        """Return the calls of a day that somebody made, of what was read."""
        return found_calls(self._db, day, name)


def summed(rows: Iterable[Row]) -> Iterator[Row]:
    """Add up the rows with the same key."""
    sums: dict[tuple[str, str, tuple[Value, ...]], tuple[int, ...]] = {}
    for table, day, key, counts in rows:
        before = sums.get((table, day, key))
        sums[table, day, key] = counts if before is None else add(table, before, counts)
    for (table, day, key), counts in sums.items():
        yield table, day, key, counts


def order_of(row: Row) -> tuple[object, ...]:
    """Return a key by which rows are in the same order, whoever sorts them."""
    return row[0], row[1], [(value is not None, str(value)) for value in row[2]]
