"""Files from a store into batches for the warehouse: the part that ``load`` and ``sync`` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from etl.errors import BedrockUsageError
from etl.load.decoder.content import READER, Decoded
from etl.load.decoder.pool import Workers
from etl.normalise.boundary import storable
from etl.sources.prefetch import fetch_ahead
from etl.sources.stores import Content, Pieces, Store, StoredFile
from etl.warehouse.write.batch import Batch, Reject
from etl.warehouse.write.read_files import FileRead


@dataclass(frozen=True)
class ReadFile:
    """A file and its rows, or part of them. ``etag``: of the content read."""

    file: StoredFile
    etag: str
    decoded: Decoded


def read_files(
    store: Store,
    files: Iterable[StoredFile],
    workers: Workers,
    on_fetched: Callable[[StoredFile, BedrockUsageError | None], None],
) -> Iterator[ReadFile]:
    """Fetch and decode files, several at a time, and yield them in order, some in parts.

    ``on_fetched`` gets each file as soon as it is fetched, or with why it cannot be. Such a file is
    not yielded. An error raised there ends the reading.
    """

    def fetched() -> Iterator[tuple[tuple[StoredFile, str], bytes | Pieces]]:
        for file, content in fetch_ahead(store, files):
            if isinstance(content, Content):
                on_fetched(file, None)
                yield (file, content.etag), content.data
            else:
                on_fetched(file, content)

    for (file, etag), decoded in workers.decode(fetched()):
        yield ReadFile(file, etag, decoded)


def add_file(batch: Batch, read: ReadFile, *, accepted_on: str | None = None) -> None:
    """Add a file's rows to a batch, with its rejects and its entry for the ledger.

    The entry goes with the last part: until that is written, the file is read again from its start.
    ``accepted_on``: the day on which its rejects are accepted.
    """
    file, decoded = read.file, read.decoded
    uri = storable(file.uri)
    if decoded.is_first:
        batch.files.append(uri)
    if decoded.is_last and decoded.is_read:
        batch.files_read.append(
            FileRead(
                *(storable(file.folder), storable(file.name), read.etag, READER),
                is_refused=decoded.is_refused,
                accepted_on=accepted_on,
            )
        )
    batch.calls += decoded.calls
    batch.shapes += decoded.shapes
    if decoded.first_shape is not None:
        batch.first_shapes.append(decoded.first_shape)
    for row in decoded.rows:
        batch.add(row)
    batch.rejects += (Reject(uri, *reject) for reject in decoded.rejects)


def refuse_file(batch: Batch, uri: str, position: str, error: BedrockUsageError) -> Reject:
    """Note in a batch that a file or folder could not be read. Return the reject.

    It has no entry in the ledger, so the next run tries it again.
    """
    reject = Reject(storable(uri), position, storable(str(error)))
    batch.files.append(reject.file)
    batch.rejects.append(reject)
    return reject
