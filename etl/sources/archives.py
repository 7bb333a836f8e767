"""The members of an archive, one after the other: tar and zip.

A tar is read as it comes, by hand: of its headers only sizes count, and Python's own reader takes
as much memory as a header asks for. A zip has its directory at its end, so it is first copied to a
temporary file without a name, as compressed as it is. Members that hold no records by their names
(folders, hidden files, what a Mac adds) are passed over. A damaged member costs only itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, NamedTuple

from etl.sources.split import Unreadable

if TYPE_CHECKING:
    # Importing what few files need would take a tenth of the time that a process takes to start.
    import zipfile

_BLOCK = 512
_PIECE_BYTES = 1 << 17
# A smaller archive stays in memory.
_IN_MEMORY = 4 << 20
# The directory of a zip takes some hundred bytes for each member.
_MAX_MEMBERS = 200_000

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_FILES = (b"0", b"\0", b"7")


class Member(NamedTuple):
    """A file in an archive. ``position``: its number, because its name is text of the archive."""

    position: str
    content: Iterator[bytes]


def format_of(head: bytes) -> str | None:
    """Return "tar" or "zip" for the first bytes of an archive."""
    if head.startswith(_ZIP):
        return "zip"
    return "tar" if head[257:262] == b"ustar" else None


def members(kind: str, content: Iterable[bytes]) -> Iterator[Member | Unreadable]:
    """Yield the files of an archive. Each must be read, or left, before the next is taken."""
    return _zip(content) if kind == "zip" else _tar(content)


def spooled(content: Iterable[bytes]) -> IO[bytes]:
    """Return a file with the content, in memory if it is small, that is gone once it is closed."""
    import tempfile

    # The caller closes it.
    file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
    for piece in content:
        file.write(piece)
    file.seek(0)
    return file


def _is_skipped(name: str) -> bool:
    from etl.sources.layouts import is_skipped_file

    return is_skipped_file(name.rpartition("/")[2])


class _Stream:
    """Pieces, read by size."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._rest = iter(pieces), b""

    def exactly(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end."""
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def up_to(self, size: int) -> Iterator[bytes]:
        """Yield so many bytes, in pieces."""
        while size > 0 and (piece := self.exactly(min(size, _PIECE_BYTES))):
            size -= len(piece)
            yield piece


class _Part:
    """The content of a member. ``left``: how much of it has not been read."""

    def __init__(self, stream: _Stream, size: int) -> None:
        self._stream, self.left = stream, size

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream.up_to(self.left):
            self.left -= len(piece)
            yield piece


def _tar(content: Iterable[bytes]) -> Iterator[Member | Unreadable]:
    stream, number, is_ended = _Stream(content), 0, False
    while len(header := stream.exactly(_BLOCK)) == _BLOCK:
        if not header.strip(b"\0"):
            is_ended = True
            continue
        size = _size(header)
        if size is None or _checksum(header) != _octal(header[148:156]):
            yield Unreadable(f"member {number + 1}", "the tar is damaged; what follows is lost")
            return
        part = _Part(stream, size)
        name = header[:100].rstrip(b"\0").decode("utf-8", "replace")
        if header[156:157] in _FILES and not _is_skipped(name):
            number += 1
            yield Member(f"member {number}", iter(part))
        for _ in part:
            pass
        if part.left:
            break
        stream.exactly(-size % _BLOCK)
    if not is_ended:
        yield Unreadable("file", "the tar is truncated; everything before that was read")


def _size(header: bytes) -> int | None:
    field = header[124:136]
    return int.from_bytes(field[1:]) if field[0] == 0x80 else _octal(field)


def _octal(field: bytes) -> int | None:
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        return None


def _checksum(header: bytes) -> int:
    return sum(header) - sum(header[148:156]) + 8 * ord(" ")


def _zip(content: Iterable[bytes]) -> Iterator[Member | Unreadable]:
    import zipfile

    with spooled(content) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, EOFError, OSError):
            yield Unreadable("file", "the zip is damaged or truncated")
            return
        infos = [i for i in archive.infolist() if not i.is_dir() and not _is_skipped(i.filename)]
        for number, info in enumerate(infos[:_MAX_MEMBERS], 1):
            yield from _member(archive, info, f"member {number}")
        if len(infos) > _MAX_MEMBERS:
            yield Unreadable("file", f"more than {_MAX_MEMBERS:,} members; the others are not read")


def _member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, position: str
) -> Iterator[Member | Unreadable]:
    import zipfile
    import zlib

    if info.flag_bits & 1:
        yield Unreadable(position, "encrypted: unpack it first")
        return
    problems: list[str] = []

    def pieces() -> Iterator[bytes]:
        try:
            with archive.open(info) as opened:
                while piece := opened.read(_PIECE_BYTES):
                    yield piece
        except NotImplementedError:
            problems.append("compressed in a way that Python cannot read: unpack it first")
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError):
            problems.append("damaged; everything before that was read")

    yield Member(position, pieces())
    yield from (Unreadable(position, problem) for problem in problems)
