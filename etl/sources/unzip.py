"""A file's content, piece by piece, gzip or not.

A megabyte of gzip may hold a gigabyte. A content within ``WHOLE_BYTES`` comes as one piece, which
is fastest. For a larger one no piece exceeds ``PIECE_BYTES``, so memory does not grow with it. If
the data is damaged, everything before the damage is yielded, and ``damage`` says afterwards what is
wrong.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

WHOLE_BYTES = 4 << 20
PIECE_BYTES = 1 << 17

_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 16


class Unzipped:
    """Iterate over it once for the content. Then ``damage`` says what is wrong at its end, if
    anything.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.damage: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        pieces = filter(None, self._pieces)
        first = next(pieces, b"")
        while len(first) < len(_MAGIC) and (more := next(pieces, b"")):
            first += more
        if not first.startswith(_MAGIC):
            return chain([first], pieces) if first else pieces
        if content := _at_once(first):
            return chain([content], self._unzip(_chunks(pieces), is_begun=False))
        return self._unzip(_chunks(chain([first], pieces)), is_begun=True)

    def _unzip(self, chunks: Iterator[bytes], *, is_begun: bool) -> Iterator[bytes]:
        # By hand, because gzip.open returns nothing of a truncated member.
        member = zlib.decompressobj(wbits=31)
        chunk = next(chunks, b"")
        while chunk:
            if not is_begun:
                # Zeros after the last member are padding.
                if not (chunk := chunk.lstrip(b"\0")):
                    chunk = next(chunks, b"")
                    continue
                member, is_begun = zlib.decompressobj(wbits=31), True
            before = None if len(chunk) == 1 else member.copy()
            try:
                piece = member.decompress(chunk, PIECE_BYTES)
            except zlib.error:
                if before is not None:
                    yield from _until_damage(before, chunk)
                self.damage = "the gzip data is damaged; everything before that was read"
                return
            if piece:
                yield piece
            chunk = member.unconsumed_tail
            if member.eof:
                is_begun = False
                chunk = member.unused_data
            chunk = chunk or next(chunks, b"")
        if is_begun:
            self.damage = "the gzip data is truncated; everything before that was read"


def _until_damage(member: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    """Unzip byte by byte, because an error loses all of the chunk it is in."""
    for at in range(len(chunk)):
        byte = chunk[at : at + 1]
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
        content = member.decompress(data, WHOLE_BYTES)
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
