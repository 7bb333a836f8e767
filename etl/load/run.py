"""Organize the work of ``load``: files are found, fetched, decoded, and written in batches.

Memory holds some files and one batch, whatever the number and size of the files. A batch is
committed whole, with the ledger entries of the files that end in it. So a load that was killed can
simply be run again and continues where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlite_utils import Database

from etl.errors import AccessError, BedrockUsageError, RejectError, SourceError, StoppedError
from etl.load.batches import ReadFile, add_file, read_files, refuse_file
from etl.load.bills import NO_MANIFEST, Exports, add_month, read_month
from etl.load.decoder.content import READER, Keys
from etl.load.decoder.pool import Workers
from etl.normalise.bill_manifests import bill_file
from etl.normalise.bills import Meanings
from etl.normalise.boundary import storable
from etl.sources.listing import FolderListing, each_file, survey
from etl.sources.stores import LocalStore, Store, StoredFile
from etl.times import utc_text
from etl.warehouse.paths import files_of
from etl.warehouse.turns import path_of
from etl.warehouse.write.batch import Batch, Loader, Reject, Written
from etl.warehouse.write.bills import bill_meanings
from etl.warehouse.write.read_files import (
    FileRead,
    accepted_files,
    files_read,
    first_reject,
    refused_files,
)

BATCH_ROWS = 50_000

# A day's files come from as many folders as there are accounts and regions.
_FOLDERS_REMEMBERED = 500


@dataclass
class LoadResult:
    """The counts of a load. ``files_unchanged``: read before, so skipped.

    ``files_refused``: nothing of them could be read, or not all because they are damaged;
    ``files_still_refused``: those of them that are unchanged, so not read again.
    ``files_accepted``: those whose rejects are accepted now. ``rejected_open``: the rejects that
    are not accepted.
    """

    files: int = 0
    files_unchanged: int = 0
    events_read: int = 0
    events_skipped: int = 0
    metrics_skipped: int = 0
    rejected: int = 0
    rejected_open: int = 0
    files_refused: int = 0
    files_still_refused: int = 0
    files_accepted: int = 0
    written: Written = field(default_factory=Written)

    @property
    def is_complete(self) -> bool:
        """Whether everything was read, but for what is accepted."""
        return not (self.rejected_open or self.files_still_refused)


def load_files(
    db: Database,
    paths: Iterable[object],
    *,
    store_of: Callable[[str], Store] = lambda path: LocalStore(),
    reread: bool = False,
    remember: bool = True,
    accept_on: str | None = None,
    workers: Workers | None = None,
    on_reject: Callable[[Reject], None] = lambda reject: None,
    on_file: Callable[[StoredFile], None] = lambda file: None,
    check: Callable[[], None] = lambda: None,
    batch_rows: int = BATCH_ROWS,
    now: datetime | None = None,
) -> LoadResult:
    """Load every file under the paths. Return the counts.

    The exports of a bill among them are read by their manifests only, after the other files.

    ``store_of`` returns the store of a path. ``reread``: also read files that the ledger lists as
    read. ``remember``: enter the files read in the ledger. ``accept_on``: today, to accept what is
    rejected of these files until they change. ``workers``: the decoding processes,
    with the keys that name applications. ``now``: when a bill is read. ``on_reject`` gets each
    reject once it is committed, ``on_file`` each file read. ``check`` is called before each file
    and may raise StoppedError. A path that does not exist does not stop the others; if none exists,
    the error of the first is raised. Raises AccessError if access to the very first file is denied.
    """
    load = _Load(
        db, on_reject, on_file, batch_rows, reread=reread, remember=remember, accept_on=accept_on
    )
    read_at = utc_text(now) if now else None
    with workers or Workers(Keys()) as decoding:
        for path in map(str, paths):
            store = store_of(path)
            found = FolderListing()
            try:
                target = store.find(path)
            except (RejectError, SourceError) as error:
                load.refuse_path(path, error)
                continue
            files = load.unread(_files(store, target, found))
            for read in read_files(store, files, decoding, load.note_fetched):
                check()
                load.add(read)
            for problem in found.problems:
                load.refuse(problem.folder, "folder", problem.error)
            load.add_bills(store, check, read_at)
            load.has_path = True
    load.finish()
    return load.result


def _files(store: Store, target: StoredFile | str, found: FolderListing) -> Iterator[StoredFile]:
    """Yield a file, or those of a folder; ``found`` gets the folders that cannot be listed."""
    if isinstance(target, StoredFile):
        yield target
        return
    surveyed = survey(store, target)
    found.problems = surveyed.problems
    yield from each_file(store, surveyed)


class _KnownFiles(NamedTuple):
    """What the ledger says of the files of a folder, by name; see the functions that read it."""

    etags: dict[str, str]
    refused: dict[str, bool]
    accepted: set[str]


class _Load:
    """A load in progress: its current batch and its counts."""

    def __init__(
        self,
        db: Database,
        on_reject: Callable[[Reject], None],
        on_file: Callable[[StoredFile], None],
        batch_rows: int,
        *,
        reread: bool,
        remember: bool,
        accept_on: str | None,
    ) -> None:
        self._db, self._loader, self._batch = db, Loader(db), Batch()
        self._on_reject, self._on_file = on_reject, on_file
        self._batch_rows, self._reread, self._remember = batch_rows, reread, remember
        self._accept_on = accept_on
        # Those that are read again although they did not change.
        self._accepted: set[str] = set()
        self._rejected_of_file = 0
        self._has_access = False
        self._own_files = {str(path) for path in files_of(path_of(db))}
        self._refused: list[BedrockUsageError] = []
        self.has_path = False
        self.result = LoadResult()
        self._exports = Exports()
        self._meanings: Meanings | None = None

    def unread(self, files: Iterable[StoredFile]) -> Iterator[StoredFile]:
        """Leave out files read before, and the warehouse itself (for `load .` in its folder)."""
        folders: dict[str, _KnownFiles] = {}
        for file in files:
            if file.uri in self._own_files:
                continue
            bill = bill_file(file.uri)
            if bill and not self._exports.add(file, bill):
                continue
            if file.folder not in folders:
                if len(folders) >= _FOLDERS_REMEMBERED:
                    folders.clear()
                folders[file.folder] = self._known_files(storable(file.folder))
            known, name = folders[file.folder], storable(file.name)
            if bill and (known.etags.get(name) != file.etag or self._reread):
                self._exports.note_unread(file)
            elif known.etags.get(name) != file.etag:
                yield file
            elif self._reread:
                if name in known.accepted:
                    self._accepted.add(file.uri)
                yield file
            else:
                self._has_access = True
                self._leave_out(file, known.refused.get(name))

    def _known_files(self, folder: str) -> _KnownFiles:
        return _KnownFiles(
            files_read(self._db, folder, reader=READER),
            refused_files(self._db, folder, or_rejects=self._accept_on is not None),
            accepted_files(self._db, folder) if self._reread else set(),
        )

    def _leave_out(self, file: StoredFile, is_refused: bool | None) -> None:
        """Note a file that is not read again. ``is_refused``: None if it has no open rejects."""
        self.result.files_unchanged += 1
        if is_refused is None:
            return
        if self._accept_on:
            self.result.files_accepted += 1
            names = (storable(file.folder), storable(file.name))
            self._batch.files_read.append(
                FileRead(*names, file.etag, READER, is_refused, self._accept_on)
            )
            return
        self.result.files_refused += 1
        self.result.files_still_refused += 1
        uri = storable(file.uri)
        position, reason = first_reject(self._db, uri)
        self._on_reject(Reject(uri, position, f"refused before, and unchanged: {reason}"))

    def add(self, read: ReadFile) -> None:
        """Add a file, or a part of it, to the batch. Commit once that is large enough."""
        result, decoded = self.result, read.decoded
        self._rejected_of_file += decoded.rejected
        add_file(self._batch, read, accepted_on=self._accept_on if self._rejected_of_file else None)
        result.files += decoded.is_last
        result.events_read += decoded.events_read
        result.events_skipped += decoded.events_skipped
        result.metrics_skipped += decoded.metrics_skipped
        result.rejected += decoded.rejected
        if decoded.is_last:
            self._judge(read)
        if len(self._batch) >= self._batch_rows:
            self.commit()
        if decoded.is_last:
            self._on_file(read.file)

    def _judge(self, read: ReadFile) -> None:
        """Count what was rejected of a file that is read to its end."""
        rejected, self._rejected_of_file = self._rejected_of_file, 0
        is_accepted = read.file.uri in self._accepted
        if rejected and self._accept_on and read.decoded.is_read:
            self.result.files_accepted += not is_accepted
        elif rejected and not is_accepted:
            self.result.rejected_open += rejected
            self.result.files_refused += read.decoded.is_refused

    def note_fetched(self, file: StoredFile, error: BedrockUsageError | None) -> None:
        """Note a file that was fetched or cannot be. Raises the error if there is no access."""
        if error:
            self.refuse(file.uri, "file", error)
        self._has_access = True

    def refuse(self, uri: str, position: str, error: BedrockUsageError) -> None:
        """Note what could not be read; raise it if access is denied before anything was read."""
        if isinstance(error, AccessError) and not self._has_access:
            raise error
        refuse_file(self._batch, uri, position, error)
        self._count_refused()

    def refuse_path(self, path: str, error: BedrockUsageError) -> None:
        """Note a path that does not exist."""
        self._refused.append(error)
        refuse_file(self._batch, path, "path", error)
        self._count_refused()

    def _count_refused(self) -> None:
        self.result.rejected += 1
        self.result.rejected_open += 1

    def add_bills(self, store: Store, check: Callable[[], None], read_at: str | None) -> None:
        """Read the exports of a bill that were found, each month as a whole."""
        exports, self._exports = self._exports, Exports()
        for file in exports.changed():
            check()
            self._add_bill(store, file, read_at)
        for place in exports.without_manifest():
            self.refuse(place, "export", RejectError(NO_MANIFEST))

    def _add_bill(self, store: Store, file: StoredFile, read_at: str | None) -> None:
        """Replace a month of a bill, or note why it stays as it is."""
        if self._meanings is None:
            self._meanings = bill_meanings(self._db, read_at or "9999")
        try:
            month = read_month(store, file, self._meanings, read_at=read_at)
        except StoppedError:
            raise
        except BedrockUsageError as error:
            self.refuse(file.uri, "export", error)
            return
        self._has_access = True
        self.commit()
        # A month that did not change is only read again because the user asked for it.
        add_month(self._batch, file, month._replace(is_wanted=self._reread))
        self.result.files += 1
        self.commit()
        self._on_file(file)

    def finish(self) -> None:
        """Write the last batch. Raises the error of the first path if no path was good."""
        if self._refused and not self.has_path:
            raise self._refused[0]
        self.commit()

    def commit(self) -> None:
        """Write the current batch."""
        batch, self._batch = self._batch, Batch()
        if not self._remember:
            batch.files_read.clear()
        self.result.written.add(self._loader.write(batch))
        for reject in batch.rejects:
            self._on_reject(reject)
