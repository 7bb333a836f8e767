"""Where files are stored: local folders here, buckets in ``etl.sources.s3``, with one interface.

A folder is its full name as text, ending with ``/``. Nothing outside the requested folder is ever
listed. A file is identified by its folder and name. Its ``etag`` identifies its content, and the
etag that counts comes with the content, because a file may be replaced after it was listed.

Whatever cannot be read raises a ``BedrockUsageError`` and does not stop the rest: RejectError if
something is wrong with the file, the kinds of SourceError if AWS does not return it. In a folder
only regular files are read, because a device, a pipe or a socket may never end.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from etl.errors import BedrockUsageError, FileGoneError, RejectError
from etl.sources.layouts import is_skipped_file, is_skipped_folder
from etl.times import UTC_TEXT

# A larger file is never held in memory as a whole.
SMALL_BYTES = 4 << 20

_PIECE_BYTES = 1 << 18

Pieces = Callable[[], Iterator[bytes]]

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class StoredFile(NamedTuple):
    """A file as listed. ``size`` in bytes; ``modified``: when it was last written, UTC text.

    Copies of a file may be younger than what they copy.
    """

    folder: str
    name: str
    etag: str
    size: int
    modified: str | None = None

    @property
    def uri(self) -> str:
        return self.folder + self.name


class Content(NamedTuple):
    """A file's content and its etag.

    Above ``SMALL_BYTES``, ``data`` is a function that returns the bytes in pieces, from the start
    at each call. It raises RejectError if they are no longer available.
    """

    data: bytes | Pieces
    etag: str

    def pieces(self) -> Iterable[bytes]:
        """Return the file's bytes, in one or more pieces."""
        return (self.data,) if isinstance(self.data, bytes) else self.data()


class Listing(NamedTuple):
    """What a folder directly contains: its folders' names, sorted, and whether it has files."""

    folders: list[str]
    has_files: bool


class ListingProblem(NamedTuple):
    """A folder that could not be listed completely, and why."""

    folder: str
    error: BedrockUsageError


class Store(Protocol):
    """A place with folders and files. Several threads may use it at once.

    Skipped folders and files (``etl.sources.layouts``) are left out. Each method raises
    BedrockUsageError for what cannot be listed or read, and StoppedError.
    """

    def find(self, path: str) -> StoredFile | str:
        """Return the file that a path names, or the folder."""
        ...

    def list_folder(self, folder: str) -> Listing:
        """Return what a folder directly contains. An S3 prefix without keys is an empty folder."""
        ...

    def files(self, folder: str) -> Iterator[StoredFile]:
        """Yield the files directly in a folder, by name."""
        ...

    def files_below(
        self, folder: str, after: str = "", before: str | None = None
    ) -> Iterator[StoredFile]:
        """Yield all files below a folder whose URI is between two URIs, in order of URI.

        A part that cannot be listed does not stop the rest. The error is raised at the end.
        """
        ...

    def read(self, file: StoredFile) -> Content:
        """Return a file's content. Raises FileGoneError if it is no longer there."""
        ...


class LocalStore:
    """The files of this machine. Below the requested folder, links to folders are not followed."""

    def find(self, path: str) -> StoredFile | str:
        """Return the file that a path names, or the folder. Raises RejectError if neither."""
        try:
            real = Path(path).resolve()
            if real.is_dir():
                return f"{real}/".replace("//", "/")
            if not real.exists():
                # A shell pipe, /dev/fd/63, resolves to a name that is not a path.
                real = Path(path).parent.resolve() / Path(path).name
            status = real.stat()
        except OSError as error:
            raise RejectError(f"{path} cannot be read: {error.strerror}") from None
        except (RuntimeError, ValueError):
            raise RejectError(
                f"{path} cannot be read: it is a link to itself, or not a path"
            ) from None
        return _stored_file(f"{real.parent}/".replace("//", "/"), real.name, status)

    def list_folder(self, folder: str) -> Listing:
        entries = _scan(folder)
        folders = [entry.name for entry in entries if _is_folder(entry, folder)]
        return Listing(folders, any(_is_file(entry) for entry in entries))

    def files(self, folder: str) -> Iterator[StoredFile]:
        for entry in _scan(folder):
            if _is_file(entry):
                yield from _stored(folder, entry)

    def files_below(
        self, folder: str, after: str = "", before: str | None = None
    ) -> Iterator[StoredFile]:
        problems: list[RejectError] = []
        yield from _walk_files(folder, after, before, problems)
        if problems:
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            raise RejectError(f"{problems[0]}{more}")

    def read(self, file: StoredFile) -> Content:
        try:
            with _open(file.uri) as opened:
                etag = _etag(os.fstat(opened.fileno()))
                data = opened.read(SMALL_BYTES + 1)
        except FileNotFoundError:
            if os.path.lexists(file.uri):
                raise RejectError("is a broken link") from None
            raise FileGoneError(f"{file.uri} is no longer there") from None
        except OSError as error:
            raise RejectError(f"cannot be read: {error.strerror}") from None
        return Content(data if len(data) <= SMALL_BYTES else partial(_pieces, file.uri), etag)


# There is no telling whether a pipe ends (DECISIONS 121).
def _open(path: str) -> BinaryIO:
    """Open a regular file. Raises RejectError for anything else, without waiting for a writer."""
    kind = stat.S_IFMT(os.stat(path).st_mode)  # noqa: PTH116 (the path may not be UTF-8)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise RejectError(f"is {_KINDS.get(kind, 'not a file')}: only regular files are read")
    opened = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise RejectError("is no longer a regular file")
    return opened


def _pieces(path: str) -> Iterator[bytes]:
    try:
        with _open(path) as opened:
            while piece := opened.read(_PIECE_BYTES):
                yield piece
    except OSError as error:
        raise RejectError(f"cannot be read: {error.strerror}") from None


def _etag(status: os.stat_result) -> str:
    return f"{status.st_size:x}-{status.st_mtime_ns:x}"


def _scan(folder: str) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, in the order that S3 would list their names."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entries,
                key=lambda entry: entry.name + "/" * entry.is_dir(follow_symlinks=False),
            )
    except OSError as error:
        raise RejectError(f"the folder {folder} cannot be read: {error.strerror}") from None


def _is_folder(entry: os.DirEntry[str], folder: str) -> bool:
    return entry.is_dir(follow_symlinks=False) and not is_skipped_folder(f"{folder}{entry.name}/")


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Say whether an entry is to be read or reported as unreadable: anything but a folder."""
    try:
        is_folder = entry.is_dir()
    except OSError:
        is_folder = False  # a link to itself
    return not is_folder and not is_skipped_file(entry.name)


def _stored_file(folder: str, name: str, status: os.stat_result) -> StoredFile:
    try:
        modified = time.strftime(UTC_TEXT, time.gmtime(status.st_mtime))
    except (OverflowError, ValueError, OSError):
        modified = None
    return StoredFile(folder, name, _etag(status), status.st_size, modified)


def _stored(folder: str, entry: os.DirEntry[str]) -> Iterator[StoredFile]:
    """Yield the file, or nothing if it has been deleted meanwhile."""
    try:
        try:
            status = entry.stat()
        except OSError:
            status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    yield _stored_file(folder, entry.name, status)


def _walk_files(
    folder: str, after: str, before: str | None, problems: list[RejectError]
) -> Iterator[StoredFile]:
    try:
        entries = _scan(folder)
    except RejectError as problem:
        problems.append(problem)
        return
    for entry in entries:
        is_folder = entry.is_dir(follow_symlinks=False)
        uri = folder + entry.name + "/" * is_folder
        if before is not None and uri >= before:
            return
        if is_folder:
            is_within = uri > after or after.startswith(uri)
            if is_within and not is_skipped_folder(uri):
                yield from _walk_files(uri, after, before, problems)
        elif _is_file(entry) and uri > after:
            yield from _stored(folder, entry)
