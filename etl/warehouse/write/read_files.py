"""Which log files were read: the ledger that keeps ``load`` and ``sync`` from reading one twice.

Grain: a file, by folder and name. An entry is written in the transaction of the file's rows. A
file with a different ``etag`` was replaced, and a file read by an older reader may contain more
than that reader understood: both are read again, which does not change correct rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlite_utils import Database

from etl.warehouse.pseudonyms import forgotten_in


class FileRead(NamedTuple):
    """A file that was read to its end. ``folder`` ends with a slash."""

    folder: str
    name: str
    etag: str
    reader: int


def files_read(db: Database, folder: str, *, reader: int) -> dict[str, str]:
    """Return the etag of each file of a folder that this or a later version of the reader has read.

    A forgotten name is not found: its file is read again, which changes nothing.
    """
    rows = db.execute(
        "select file_name, etag from log_files join log_folders using (folder_key)"
        " where folder = ? and reader >= ?",
        [forgotten_in(db).text(folder), reader],
    )
    return dict(rows.fetchall())


def has_files_below(db: Database, folder: str) -> bool:
    """Return whether any file in a folder or below it was ever read."""
    folder = forgotten_in(db).text(folder)
    row = db.execute(
        "select 1 from log_folders where folder >= ? and folder < ? limit 1",
        [folder, f"{folder}\U0010ffff"],
    ).fetchone()
    return row is not None


def save_files(db: Database, files: Iterable[FileRead]) -> None:
    """Add files to the ledger, in the caller's transaction."""
    keys: dict[str, int] = {}
    known = forgotten_in(db)
    for file in files:
        if file.folder not in keys:
            keys[file.folder] = _folder_key(db, known.text(file.folder))
        db.conn.execute(
            "insert into log_files values (?, ?, ?, ?) on conflict do update"
            " set etag = excluded.etag, reader = excluded.reader",
            [keys[file.folder], known.text(file.name), file.etag, file.reader],
        )


def _folder_key(db: Database, folder: str) -> int:
    db.conn.execute("insert or ignore into log_folders (folder) values (?)", [folder])
    (key,) = db.conn.execute(
        "select folder_key from log_folders where folder = ?", [folder]
    ).fetchone()
    return int(key)
