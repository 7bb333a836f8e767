"""Read AWS's bill from a folder: the months of its exports that AWS wrote anew.

A month is one transaction, with the entry of its manifest in the ledger: it is replaced as a whole,
or stays as it is and is tried again next time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from etl.errors import BedrockUsageError, RejectError, StoppedError
from etl.load.batches import refuse_file
from etl.load.bills import NO_MANIFEST, Exports, add_month, read_month
from etl.load.decoder.content import READER
from etl.normalise.boundary import storable
from etl.sources.stores import StoredFile
from etl.sync.files import Root
from etl.sync.job import FilesJob
from etl.sync.options import SyncOptions
from etl.times import utc_text
from etl.warehouse.write.batch import Batch
from etl.warehouse.write.bills import bill_meanings
from etl.warehouse.write.read_files import files_read


def sync_bill(job: FilesJob, root: Root, options: SyncOptions, deadline: float) -> bool:
    """Read the months that are new or changed. Return False: a bill has no other history.

    A month that cannot be read is reported, and the others are read. Raises an error that prevents
    all from being read.
    """
    exports = _listed(job, root)
    changed = exports.changed()
    read_at = utc_text(job.clock.now())
    refused: list[tuple[str, BedrockUsageError]] = [
        (place, RejectError(NO_MANIFEST)) for place in exports.without_manifest()
    ]
    if changed:
        meanings = job.ask(partial(bill_meanings, published_at=read_at))
    for number, file in enumerate(changed):
        job.clock.check()
        job.report("new", read=number, share=number / len(changed))
        try:
            month = read_month(root.store, file, meanings, read_at=read_at)
        except StoppedError:
            raise
        except BedrockUsageError as error:
            refused.append((file.uri, error))
        else:
            batch = Batch()
            add_month(batch, file, month)
            job.write(batch)
    for uri, reason in refused:
        _refuse(job, uri, reason)
    if not refused:
        job.write(Batch(state=replace(job.state(job.name), read_at=job.clock.now())))
    return False


def _refuse(job: FilesJob, uri: str, error: BedrockUsageError) -> None:
    """Report a month that stays as it is."""
    batch = Batch()
    refuse_file(batch, uri, "export", error)
    job.write(batch)
    job.fail(job.name, RejectError(f"{uri}: {error}"))


def _listed(job: FilesJob, root: Root) -> Exports:
    """Return the exports below a root. Raises RejectError if there is none."""
    folder = root.store.find(root.uri)
    if isinstance(folder, StoredFile):
        raise RejectError(f"{root.uri} is a file; name the folder that AWS delivers exports to")
    exports = Exports()
    ledger: dict[str, Mapping[str, str]] = {}
    for file in root.store.files_below(folder):
        job.clock.check()
        if exports.add(file) and file.folder not in ledger:
            stored = storable(file.folder)
            ledger[file.folder] = job.ask(partial(files_read, folder=stored, reader=READER))
        if file.folder in ledger and ledger[file.folder].get(storable(file.name)) != file.etag:
            exports.note_unread(file)
    if exports.is_empty:
        raise RejectError(
            f"no export of a bill below {root.uri}: name the folder that AWS delivers exports to"
        )
    return exports
