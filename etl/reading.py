"""Files from a store into batches for the warehouse; what ``load`` and ``sync`` have in common."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from etl.decode.content import READER, Decoded
from etl.decode.workers import File, Workers
from etl.errors import BedrockUsageError
from etl.sources.download import download
from etl.sources.stores import Content, Store, StoredFile
from etl.warehouse.ledger import FileRead
from etl.warehouse.load import Batch, Reject


@dataclass(frozen=True)
class ReadFile:
    """A file with what it holds, or why it could not be read. ``etag``: of what was read."""

    file: StoredFile
    etag: str
    result: Decoded | BedrockUsageError


def read_files(store: Store, files: Iterable[StoredFile], workers: Workers) -> Iterator[ReadFile]:
    """Fetch and decode files, several at a time, and yield them about in their order."""
    failed: deque[ReadFile] = deque()

    def fetched() -> Iterator[tuple[tuple[StoredFile, str], File]]:
        for file, content in download(store, files):
            if isinstance(content, Content):
                yield (file, content.etag), File(content.data)
            else:
                failed.append(ReadFile(file, file.etag, content))

    for (file, etag), decoded in workers.decode(fetched()):
        while failed:
            yield failed.popleft()
        yield ReadFile(file, etag, decoded)
    yield from failed


def add_file(batch: Batch, read: ReadFile) -> None:
    """Put what a file holds into a batch, with its entry for the ledger and what was refused.

    A file that could not be fetched has no entry: the next time, it is tried again.
    """
    file = read.file
    batch.files.append(file.uri)
    if isinstance(read.result, BedrockUsageError):
        batch.rejects.append(Reject(file.uri, "file", str(read.result)))
        return
    decoded = read.result
    batch.files_read.append(FileRead(file.folder, file.name, read.etag, READER))
    batch.calls += decoded.calls
    batch.shapes += decoded.shapes
    if decoded.first_shape is not None:
        batch.first_shapes.append(decoded.first_shape)
    for row in decoded.rows:
        batch.add(row)
    batch.rejects += (Reject(file.uri, *reject) for reject in decoded.rejects)
