"""Order the work of ``load``: files are read, their events normalised, and written in batches.

Memory holds one file and one batch. A batch is committed whole and says nothing about progress that
is not in it, so a load that was killed is simply run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlite_utils import Database

from etl.errors import RejectError
from etl.normalise.application import APPLICATION_KEY
from etl.normalise.cloudtrail import parse_event
from etl.normalise.cloudwatch import parse_csv_row, parse_results
from etl.normalise.profiles import parse_profile
from etl.normalise.rows import Event, MetricValue, ServiceTokens
from etl.sources.files import Item, Unreadable, read_items, walk_files
from etl.warehouse.database import files_of
from etl.warehouse.load import Batch, Loader, Reject, Row, Written

BATCH_ROWS = 20_000


@dataclass
class LoadResult:
    """The counts that a load ends with."""

    files: int = 0
    events_read: int = 0
    events_skipped: int = 0
    metrics_skipped: int = 0
    rejected: int = 0
    written: Written = field(default_factory=Written)


def load_files(
    db: Database,
    paths: Iterable[Path],
    *,
    on_reject: Callable[[Reject], None] = lambda reject: None,
    on_file: Callable[[Path], None] = lambda path: None,
    batch_rows: int = BATCH_ROWS,
    application_tag: str = APPLICATION_KEY,
) -> LoadResult:
    """Load every file under the paths; return what was found.

    ``application_tag``: the key of the tag that names an inference profile's application.
    ``on_reject`` is told of each reject once it is committed, ``on_file`` of each file read.
    """
    result, batch, loader = LoadResult(), Batch(), Loader(db)

    def commit() -> None:
        nonlocal batch
        result.written.add(loader.write(batch))
        for reject in batch.rejects:
            on_reject(reject)
        batch = Batch()

    own_files = files_of(db)
    for path in walk_files(paths):
        if isinstance(path, Unreadable):
            batch.files.append(path.position)
            _reject(Reject(path.position, "folder", path.reason), batch, result)
            continue
        if path.resolve() in own_files:
            continue  # `load .` where the warehouse stands
        name = str(path.resolve())
        batch.files.append(name)
        for item in read_items(path):
            for row in _rows(item, name, batch, result, application_tag):
                batch.add(row)
            if len(batch) >= batch_rows:
                commit()
        result.files += 1
        on_file(path)
    commit()
    return result


def _rows(
    item: Item | Unreadable, file: str, batch: Batch, result: LoadResult, application_tag: str
) -> Iterator[Row]:
    """Turn one raw item into its rows; count what is skipped, keep what is refused."""
    if isinstance(item, Unreadable):
        _reject(Reject(file, item.position, item.reason), batch, result)
        return
    result.events_read += item.kind == "event"
    try:
        if item.kind == "event":
            yield from _event_rows(item, file, batch, result)
        elif item.kind == "profile":
            yield parse_profile(item.value, application_key=application_tag)
        else:
            yield from _metric_rows(item, file, batch, result)
    except RejectError as error:
        _reject(Reject(file, item.position, str(error)), batch, result)


def _event_rows(
    item: Item, file: str, batch: Batch, result: LoadResult
) -> Iterator[Event | ServiceTokens]:
    parsed = parse_event(item.value)
    for complaint in parsed.complaints:
        _reject(Reject(file, item.position, complaint), batch, result)
    if parsed.row is None:
        result.events_skipped += 1
    else:
        yield parsed.row


def _metric_rows(item: Item, file: str, batch: Batch, result: LoadResult) -> Iterator[MetricValue]:
    values = (
        parse_results(item.value) if item.kind == "metric answer" else [parse_csv_row(item.value)]
    )
    for value in values:
        if isinstance(value, MetricValue):
            yield value
        elif value is None:
            result.metrics_skipped += 1
        else:
            _reject(Reject(file, item.position, str(value)), batch, result)


def _reject(reject: Reject, batch: Batch, result: LoadResult) -> None:
    result.rejected += 1
    batch.rejects.append(reject)
