"""Which log files were read: the ledger that keeps ``load`` and ``sync`` from reading one twice.

Grain: a file, by folder and name. An entry is written in the transaction of the file's rows. A
file with a different ``etag`` was replaced, and a file read by an older reader may contain more
than that reader understood: both are read again, which does not change correct rows.

A *refused* file could not be read at all, or not completely because it is damaged. It stays refused
until it changes, or is accepted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlite_utils import Database

from etl.warehouse.pseudonyms import forgotten_in


class FileRead(NamedTuple):
    """A file that was read to its end. ``folder`` ends with a slash.

    ``accepted_on``: the day on which its rejects are accepted, None if they are not by this entry.
    """

    folder: str
    name: str
    etag: str
    reader: int
    is_refused: bool = False
    accepted_on: str | None = None


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


def refused_files(db: Database, folder: str, *, or_rejects: bool = False) -> dict[str, bool]:
    """Return the files of a folder that are refused and not accepted, each with True.

    ``or_rejects``: also those of which only parts were rejected, with False.
    """
    which = "is_refused = 1"
    if or_rejects:
        which = f"({which} or exists (select 1 from rejects where file = folder || file_name))"
    rows = db.execute(
        "select file_name, is_refused from log_files join log_folders using (folder_key)"
        f" where folder = ? and accepted_on is null and {which}",
        [forgotten_in(db).text(folder)],
    )
    return {name: bool(is_refused) for name, is_refused in rows.fetchall()}


def accepted_files(db: Database, folder: str) -> set[str]:
    """Return the files of a folder that are accepted."""
    rows = db.execute(
        "select file_name from log_files join log_folders using (folder_key)"
        " where folder = ? and accepted_on is not null",
        [forgotten_in(db).text(folder)],
    )
    return {name for (name,) in rows.fetchall()}


def first_reject(db: Database, uri: str) -> tuple[str, str]:
    """Return where and why a file was refused."""
    row = db.execute(
        "select position, reason from rejects where file = ? limit 1",
        [forgotten_in(db).text(uri)],
    ).fetchone()
    return row or ("file", "it could not be read")


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
            "insert into log_files values (?, ?, ?, ?, ?, ?) on conflict do update"
            " set etag = excluded.etag, reader = excluded.reader, is_refused = excluded.is_refused,"
            # A changed file is no longer accepted.
            " accepted_on = coalesce(iif(etag = excluded.etag, accepted_on, null),"
            " excluded.accepted_on)",
            [keys[file.folder], known.text(file.name), *file[2:]],
        )


def _folder_key(db: Database, folder: str) -> int:
    db.conn.execute("insert or ignore into log_folders (folder) values (?)", [folder])
    (key,) = db.conn.execute(
        "select folder_key from log_folders where folder = ?", [folder]
    ).fetchone()
    return int(key)
