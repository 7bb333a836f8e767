"""A file's content, piece by piece, with one compression undone: gzip, bzip2, xz, zstd, or none.

A megabyte of gzip may hold a gigabyte. A content within ``WHOLE_BYTES`` comes as one piece, which
is fastest. For a larger one no piece exceeds ``PIECE_BYTES``, so memory does not grow with it. If
the data is damaged, everything before the damage is yielded, and ``damage`` says afterwards what is
wrong.

Compressed data within compressed data could expand without limit. A ``Budget`` counts what all
layers of a file yield: no more than a single layer of gzip could.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple, Protocol

# As Python's own, and twice as fast.
from zlib_ng import zlib_ng as zlib

WHOLE_BYTES = 4 << 20
PIECE_BYTES = 1 << 17

_CHUNK_BYTES = 1 << 16
_XZ_BYTES = 80 << 20

# Deflate expands by at most 1,032.
_MAX_RATIO = 1100
_FREE_BYTES = 16 << 20
TOO_MUCH = f"it expands to more than {_MAX_RATIO:,} times its size; everything before that was read"

NO_ZSTD = "compressed with zstd, which this Python cannot read: pip install backports.zstd"


class Budget:
    """What the layers of one file may yield, given what was read of it."""

    def __init__(self) -> None:
        self._read = self._made = 0

    def reading(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces of the file itself, counted."""
        for piece in pieces:
            self._read += len(piece)
            yield piece

    def allows(self, size: int) -> bool:
        """Count what a layer yields. Return whether that is still allowed."""
        self._made += size
        return self._made <= _FREE_BYTES + _MAX_RATIO * self._read


class _Member(Protocol):
    """A decompressor of one member, as the standard library's for bzip2."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class _Gzip:
    """One member of gzip."""

    def __init__(self) -> None:
        self._member: Any = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return bool(self._member.eof)

    @property
    def needs_input(self) -> bool:
        return not self._member.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        unused: bytes = self._member.unused_data
        return unused

    def decompress(self, data: bytes, max_length: int = PIECE_BYTES, /) -> bytes:
        data = self._member.unconsumed_tail + data
        before = self._member.copy() if len(data) > 1 else None
        try:
            content: bytes = self._member.decompress(data, max_length)
        except zlib.error:
            raise _DamageError(_until_damage(before, data) if before else ()) from None
        return content


class _DamageError(Exception):
    """Compressed data cannot be read on: ``state`` says why. ``rest``: the content before that."""

    def __init__(self, rest: Iterable[bytes] = (), state: str = "is damaged") -> None:
        super().__init__(state)
        self.rest, self.state = rest, state


# In the errors of lzma and zstd, which have no codes.
_TOO_LARGE = re.compile(r"memory usage limit|too much memory", re.IGNORECASE)


def _bzip2() -> _Member:
    import bz2

    return bz2.BZ2Decompressor()


def _xz() -> _Member:
    import lzma

    # More than `xz -9` needs; a file may ask for four gigabytes.
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_BYTES)


def _zstd() -> _Member:
    """Return a decompressor. Raises ImportError before Python 3.14 without ``backports.zstd``."""
    try:
        from compression import zstd
    except ImportError:
        from backports import zstd
    member: _Member = zstd.ZstdDecompressor()
    return member


class _Format(NamedTuple):
    """A way to compress, recognised by ``magic``."""

    name: str
    magic: bytes
    member: Callable[[], _Member]


_GZIP = _Format("gzip", b"\x1f\x8b", _Gzip)
_FORMATS = (
    _GZIP,
    _Format("bzip2", b"BZh", _bzip2),
    _Format("xz", b"\xfd7zXZ\0", _xz),
    _Format("zstd", b"\x28\xb5\x2f\xfd", _zstd),
)
_MAGIC_BYTES = max(len(one.magic) for one in _FORMATS)


def is_compressed(head: bytes) -> bool:
    """Say whether bytes begin like compressed data."""
    return _format_of(head) is not None


def _format_of(head: bytes) -> _Format | None:
    return next((one for one in _FORMATS if head.startswith(one.magic)), None)


class Unzipped:
    """Iterate over it once for the content. Then ``damage`` says what is wrong at its end, if
    anything. ``name``: how it was compressed, None if it was not.
    """

    def __init__(self, pieces: Iterable[bytes], budget: Budget | None = None) -> None:
        self._pieces = pieces
        self._budget = budget or Budget()
        self.damage: str | None = None
        self.name: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        pieces = filter(None, self._pieces)
        first = next(pieces, b"")
        while len(first) < _MAGIC_BYTES and (more := next(pieces, b"")):
            first += more
        form = _format_of(first)
        if form is None:
            return chain([first], pieces) if first else pieces
        self.name = form.name
        content = _at_once(first) if form is _GZIP else None
        if content is None:
            members = self._members(_chunks(chain([first], pieces)), form)
        else:
            members = chain([content], self._members(_chunks(pieces), form))
        return self._within_budget(members)

    def _within_budget(self, content: Iterator[bytes]) -> Iterator[bytes]:
        for piece in content:
            if not self._budget.allows(len(piece)):
                self.damage = TOO_MUCH
                return
            yield piece

    # By hand, because gzip.open returns nothing of a truncated member.
    def _members(self, chunks: Iterator[bytes], form: _Format) -> Iterator[bytes]:
        """Yield the content of one member after the other."""
        chunk = next(chunks, b"")
        while True:
            # Zeros after a member are padding.
            while chunk and not (chunk := chunk.lstrip(b"\0")):
                chunk = next(chunks, b"")
            if not chunk:
                return
            try:
                chunk = yield from _member(form.member(), chunk, chunks)
            except ImportError:
                self.damage = NO_ZSTD
                return
            except _DamageError as error:
                yield from error.rest
                self.damage = f"the {form.name} data {error.state}; everything before that was read"
                return


def _member(
    member: _Member, chunk: bytes, chunks: Iterator[bytes]
) -> Generator[bytes, None, bytes]:
    """Yield the content of a member. Return what follows it. Raises _DamageError."""
    while not member.eof:
        try:
            piece = member.decompress(chunk, PIECE_BYTES)
        except _DamageError:
            raise
        except Exception as error:  # each format has an error of its own
            raise _DamageError(state=_state_of(error)) from None
        if piece:
            yield piece
        chunk = b""
        if member.needs_input and not member.eof and not (chunk := next(chunks, b"")):
            raise _DamageError(state="is truncated")
    return member.unused_data or next(chunks, b"")


def _state_of(error: Exception) -> str:
    """Say why data cannot be read on, and what to do if it is sound."""
    if _TOO_LARGE.search(str(error)):
        return "takes too much memory to unpack here: unpack it first"
    return "is damaged"


def _until_damage(member: Any, data: bytes) -> Iterator[bytes]:
    """Unzip byte by byte, because an error loses all of the chunk it is in."""
    for at in range(len(data)):
        byte = data[at : at + 1]
        while byte:
            try:
                piece = member.decompress(byte, PIECE_BYTES)
            except zlib.error:
                return
            if piece:
                yield piece
            byte = member.unconsumed_tail


def _at_once(data: bytes) -> bytes | None:
    """Return the content of data that is one whole member; None if it is not, or is too long."""
    member = zlib.decompressobj(wbits=31)
    try:
        content: bytes = member.decompress(data, WHOLE_BYTES)
    except zlib.error:
        return None
    return content if member.eof and not member.unused_data else None


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in chunks small enough to be unzipped twice."""
    for piece in pieces:
        if len(piece) <= _CHUNK_BYTES:
            yield piece
            continue
        for start in range(0, len(piece), _CHUNK_BYTES):
            yield piece[start : start + _CHUNK_BYTES]
