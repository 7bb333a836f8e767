"""A month of a bill's export into one row for the warehouse: all of it, or an error.

The manifest says which files belong to the month. If one of them is missing, damaged or of other
columns, or if AWS replaces the export meanwhile, nothing of the month is used.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import timedelta
from itertools import groupby

from etl.errors import FileGoneError, RejectError
from etl.load.decoder.content import READER
from etl.normalise.bill_manifests import (
    BillFile,
    Manifest,
    bill_file,
    column_name,
    newest_run,
    parse_manifest,
    written_at,
)
from etl.normalise.bills import BillLines, BillMonth, Form, Meanings, form_of
from etl.normalise.boundary import attempt, storable
from etl.sources.bill_files import on_disk, read_table
from etl.sources.stores import Store, StoredFile
from etl.times import parse_utc, utc_text
from etl.warehouse.write.batch import Batch
from etl.warehouse.write.read_files import FileRead

# What an address has from the export's folder on.
_BELOW = re.compile(
    r"/((?:data/billing_period=|[0-9]{8}-[0-9]{8}/|(?:[^/]+/)?year=[0-9]{4}/).*)\Z", re.IGNORECASE
)

NO_MANIFEST = (
    "data of a bill's export without its manifest, which AWS writes last: nothing of it is read."
    " Load the export's whole folder"
)

# AWS replaces an export a few times a day, and copies are made faster.
_LATER = timedelta(hours=1)

_MAX_MANIFEST_BYTES = 64 << 20

# The fields of a line that say whether it can be Bedrock's.
_TELLING = ("family", "code", "service", "flat_names", "seller")


class Exports:
    """The exports of a bill among the files of a path."""

    def __init__(self) -> None:
        self._manifests: dict[BillFile, StoredFile] = {}
        self._unread: set[str] = set()
        # Months with data, and those with a manifest.
        self._months: dict[bool, set[tuple[str, str]]] = {False: set(), True: set()}

    def add(self, file: StoredFile, place: BillFile | None = None) -> bool:
        """Note a file, if it belongs to an export; return whether it is a manifest."""
        place = place or bill_file(file.uri)
        if place is None:
            return False
        self._months[place.is_manifest].add((place.root, place.month))
        if place.is_manifest:
            self._manifests[place] = file
        return place.is_manifest

    def note_unread(self, manifest: StoredFile) -> None:
        """Note that a manifest is new or changed."""
        self._unread.add(manifest.uri)

    @property
    def is_empty(self) -> bool:
        """Whether no export has been found."""
        return not any(self._months.values())

    def changed(self) -> list[StoredFile]:
        """Return the manifests to read: of the runs of a month only the newest counts.

        An earlier run is left out even if it was never read.
        """
        newest = []
        for _, group in groupby(sorted(self._manifests), key=lambda one: (one.root, one.month)):
            runs = {place: self._manifests[place].modified for place in group}
            newest.append(self._manifests[newest_run(runs)])
        return [file for file in newest if file.uri in self._unread]

    def without_manifest(self) -> list[str]:
        """Return where there is data of a month that has no manifest."""
        return [
            f"{root}{month}"
            for root, month in sorted(self._months[False] - self._months[True])
            if month
        ]


def add_month(batch: Batch, file: StoredFile, month: BillMonth) -> None:
    """Add a month to a batch, with the entry of its manifest in the ledger."""
    batch.bills.append(month)
    batch.files += (storable(file.uri), storable(f"{month.source}{month.month}"))
    batch.files_read.append(FileRead(storable(file.folder), storable(file.name), file.etag, READER))


def read_month(
    store: Store, file: StoredFile, meanings: Meanings, *, read_at: str | None = None
) -> BillMonth:
    """Read the month of a manifest. Raises BedrockUsageError with why it cannot be used."""
    place, content = bill_file(file.uri), store.read(file)
    if place is None or not place.is_manifest:
        raise RejectError("is no manifest of a bill's export in the folders that AWS writes")
    manifest = parse_manifest(_whole(content.pieces()))
    if not manifest.files:
        raise RejectError("the manifest names no file")
    form = form_of(manifest.columns, is_report=not manifest.export.startswith("arn:"))
    lines = BillLines(form, meanings)
    files = _files(store, place, file, manifest)
    for one in files:
        _read_file(store, one, form, lines)
    is_same = [_find(store, place, address) for address in manifest.files] == files
    if not is_same or store.read(file).etag != content.etag:
        raise RejectError("AWS replaced the export while it was read: load it again")
    return BillMonth(
        source=storable(place.root),
        export=_name_of(manifest),
        form=form.name,
        month=place.month,
        run=manifest.run,
        columns=tuple(sorted({*form.columns} & {*manifest.columns})),
        lines=lines.sums(),
        read_at=read_at,
        written_at=written_at(place, file.modified),
    )


def _whole(pieces: Iterable[bytes]) -> bytes:
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) > _MAX_MANIFEST_BYTES:
            raise RejectError("the manifest is too large")
    return bytes(content)


def _name_of(manifest: Manifest) -> str:
    """Return what identifies the export wherever it is copied to: its ARN, or its first folder."""
    if manifest.export.startswith("arn:"):
        return manifest.export
    return _BELOW.sub("", manifest.files[0])


def _files(
    store: Store, place: BillFile, manifest_file: StoredFile, manifest: Manifest
) -> list[StoredFile]:
    """Return the files of a manifest. Raises RejectError if AWS has begun to replace them."""
    files = [_find(store, place, address) for address in manifest.files]
    if place.run or manifest_file.modified is None:
        return files
    latest = utc_text(parse_utc(manifest_file.modified) + _LATER)
    if later := next((file for file in files if (file.modified or "") > latest), None):
        raise RejectError(
            f"{storable(later.name)} was written {later.modified}, long after the manifest that"
            f" names it ({manifest_file.modified}): AWS is replacing the export. Load it again once"
            " the manifest is newer; of a copy, copy the manifest last"
        )
    return files


def _find(store: Store, place: BillFile, address: str) -> StoredFile:
    """Return the file of an address, in the folder that the manifest is in."""
    below = _BELOW.search(address)
    problem = f"the manifest names {storable(address)}, which is not there: nothing of it is used"
    if below is None:
        raise RejectError(problem)
    try:
        found = store.find(place.root + below[1])
    except (RejectError, FileGoneError):
        raise RejectError(problem) from None
    if isinstance(found, str):
        raise RejectError(problem)
    return found


def _read_file(store: Store, file: StoredFile, form: Form, lines: BillLines) -> None:
    """Add the rows of a data file. Raises an error that names it."""

    def wanted(names: list[str]) -> tuple[Collection[str], Collection[str]]:
        written = {column_name(name): name for name in names}
        if missing := [name for name in form.columns if name not in written]:
            raise RejectError(
                f"it lacks the columns {', '.join(missing)}, which the manifest names"
            )
        # What the Marketplace sells, only the description may say then.
        more = () if "seller" in form.fields else ("description",)
        sieve = form.columns_of(*_TELLING, *more)
        return [written[name] for name in form.columns], [written[name] for name in sieve]

    try:
        with on_disk(store, file) as path:
            for rows in read_table(path, file.name, wanted):
                renamed = ({column_name(name): v for name, v in row.items()} for row in rows)
                attempt(lines.add, renamed)
    except RejectError as error:
        raise RejectError(f"{storable(file.name)}: {error}") from None
