"""Files from a store into batches for the warehouse; what ``load`` and ``sync`` have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from etl.errors import BedrockUsageError
from etl.load.decoder.content import READER, Decoded
from etl.load.decoder.pool import Workers
from etl.normalise.boundary import storable
from etl.sources.prefetch import download
from etl.sources.stores import Content, Pieces, Store, StoredFile
from etl.warehouse.write.batch import Batch, Reject
from etl.warehouse.write.read_files import FileRead


@dataclass(frozen=True)
class ReadFile:
    """A file and what it holds, or a part of that. ``etag``: of what was read."""

    file: StoredFile
    etag: str
    decoded: Decoded


def read_files(
    store: Store,
    files: Iterable[StoredFile],
    workers: Workers,
    on_fetched: Callable[[StoredFile, BedrockUsageError | None], None],
) -> Iterator[ReadFile]:
    """Fetch and decode files, several at a time, and yield them in their order, some in parts.

    ``on_fetched`` is told of each file as soon as it is there, or why it cannot be had; that one is
    not among those yielded. What it raises ends the reading.
    """

    def fetched() -> Iterator[tuple[tuple[StoredFile, str], bytes | Pieces]]:
        for file, content in download(store, files):
            if isinstance(content, Content):
                on_fetched(file, None)
                yield (file, content.etag), content.data
            else:
                on_fetched(file, content)

    for (file, etag), decoded in workers.decode(fetched()):
        yield ReadFile(file, etag, decoded)


def add_file(batch: Batch, read: ReadFile) -> None:
    """Put what a file holds into a batch, with what was refused, and its entry for the ledger.

    The entry goes with the last part: until that is written, the file is read again from its start.
    """
    file, decoded = read.file, read.decoded
    uri = storable(file.uri)
    if decoded.is_first:
        batch.files.append(uri)
    if decoded.is_last and decoded.is_read:
        entry = FileRead(storable(file.folder), storable(file.name), read.etag, READER)
        batch.files_read.append(entry)
    batch.calls += decoded.calls
    batch.shapes += decoded.shapes
    if decoded.first_shape is not None:
        batch.first_shapes.append(decoded.first_shape)
    for row in decoded.rows:
        batch.add(row)
    batch.rejects += (Reject(uri, *reject) for reject in decoded.rejects)


def refuse_file(batch: Batch, uri: str, position: str, error: BedrockUsageError) -> Reject:
    """Note in a batch that a file, or a folder, could not be read; return what was noted.

    It has no entry in the ledger: the next time, it is tried again.
    """
    reject = Reject(storable(uri), position, storable(str(error)))
    batch.files.append(reject.file)
    batch.rejects.append(reject)
    return reject
