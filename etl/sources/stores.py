"""Where files stand: a local folder here, a bucket in ``etl.sources.s3``; the same words for both.

A folder is a text that ends with ``/`` and names it fully. Nothing outside of the folder that was
asked for is ever listed. The identity of a file is its folder and its name; its ``etag`` tells one
content from another, and the one that counts comes with the content, because a file may be replaced
after it was listed.

What cannot be read is a ``BedrockUsageError`` of its own and does not stop the rest: RejectError
where something about the file is wrong, the kinds of SourceError where AWS does not give it. Of
what a folder holds only regular files are read; a device, a pipe or a socket may have no end.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from etl.errors import BedrockUsageError, FileGoneError, RejectError
from etl.sources.layouts import is_skipped_file, is_skipped_folder

# A larger file is never held as a whole.
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
    """A file as it was listed; ``size`` in bytes."""

    folder: str
    name: str
    etag: str
    size: int

    @property
    def uri(self) -> str:
        return self.folder + self.name


class Content(NamedTuple):
    """What a file holds, and the etag of just that.

    Of a file above ``SMALL_BYTES`` it is what gives its bytes in pieces, each time anew from the
    start; that raises RejectError if they are not to be had any more.
    """

    data: bytes | Pieces
    etag: str

    def pieces(self) -> Iterable[bytes]:
        """Return the file's bytes, in one or more pieces."""
        return (self.data,) if isinstance(self.data, bytes) else self.data()


class Listing(NamedTuple):
    """What is immediately in a folder: the names of its folders, sorted, and whether files are."""

    folders: list[str]
    has_files: bool


class ListingProblem(NamedTuple):
    """A folder that could not be listed, or not wholly, and why."""

    folder: str
    error: BedrockUsageError


class Store(Protocol):
    """A place with folders and files; several threads may use it at the same time.

    Skipped folders and files (``etl.sources.layouts``) are left out. Each method raises
    BedrockUsageError for what cannot be listed or read, and StoppedError.
    """

    def find(self, path: str) -> StoredFile | str:
        """Return the file that a path names, or else the folder."""
        ...

    def list_folder(self, folder: str) -> Listing:
        """Return what is immediately in a folder; an S3 prefix without keys is an empty one."""
        ...

    def files(self, folder: str) -> Iterator[StoredFile]:
        """Yield the files immediately in a folder, by name."""
        ...

    def files_below(
        self, folder: str, after: str = "", before: str | None = None
    ) -> Iterator[StoredFile]:
        """Yield all files in a folder and the folders in it, by URI: those between two URIs.

        A part that cannot be listed does not stop the rest; the error is raised at the end.
        """
        ...

    def read(self, file: StoredFile) -> Content:
        """Return a file's content; raise FileGoneError if it is no longer there."""
        ...


class LocalStore:
    """The files of this machine. Links to folders are not followed below the one asked for."""

    def find(self, path: str) -> StoredFile | str:
        """Return the file that a path names, or else the folder; raise RejectError for neither."""
        try:
            real = Path(path).resolve()
            if real.is_dir():
                return f"{real}/".replace("//", "/")
            if not real.exists():
                # A pipe of the shell, /dev/fd/63, leads to a name that is no path.
                real = Path(path).parent.resolve() / Path(path).name
            status = real.stat()
        except OSError as error:
            raise RejectError(f"{path} cannot be read: {error.strerror}") from None
        except (RuntimeError, ValueError):
            raise RejectError(
                f"{path} cannot be read: it is a link to itself, or no path"
            ) from None
        return StoredFile(
            f"{real.parent}/".replace("//", "/"), real.name, _etag(status), status.st_size
        )

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
                raise RejectError("is a link that leads nowhere") from None
            raise FileGoneError(f"{file.uri} is no longer there") from None
        except OSError as error:
            raise RejectError(f"cannot be read: {error.strerror}") from None
        return Content(data if len(data) <= SMALL_BYTES else partial(_pieces, file.uri), etag)


def _open(path: str) -> BinaryIO:
    """Open a regular file. Raises RejectError for anything else, without waiting for its writer."""
    kind = stat.S_IFMT(os.stat(path).st_mode)  # noqa: PTH116 (a path that may be no UTF-8)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise RejectError(f"is {_KINDS.get(kind, 'no file')}: only regular files are read")
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
    """Return what is in a folder, in the order of the names that S3 would have for it."""
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
    """Say whether it is to be read, or told that it cannot be: anything that is no folder."""
    try:
        is_folder = entry.is_dir()
    except OSError:
        is_folder = False  # a link to itself
    return not is_folder and not is_skipped_file(entry.name)


def _stored(folder: str, entry: os.DirEntry[str]) -> Iterator[StoredFile]:
    """Yield the file, or nothing if it was deleted meanwhile."""
    try:
        try:
            status = entry.stat()
        except OSError:
            status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    yield StoredFile(folder, entry.name, _etag(status), status.st_size)


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
