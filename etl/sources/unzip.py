"""A file's content, piece by piece, whether it is gzip or not.

A megabyte of gzip may hold a gigabyte: no piece that is yielded is larger than ``PIECE_BYTES``,
whatever the file, so memory does not grow with it. Of damaged data, what stands before the damage
is given, and ``damage`` says afterwards what is wrong.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

PIECE_BYTES = 1 << 17

_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 16


class Unzipped:
    """Iterate over it once for the content; then ``damage`` is what is wrong with its end, if
    anything."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.damage: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        chunks = _chunks(self._pieces)
        first = next(chunks, b"")
        while len(first) < len(_MAGIC) and (more := next(chunks, b"")):
            first += more
        if first.startswith(_MAGIC):
            return self._unzip(first, chunks)
        return _plain(first, chunks)

    def _unzip(self, chunk: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
        # By hand, because gzip.open gives nothing of a member that is cut off.
        member = zlib.decompressobj(wbits=31)
        is_begun = True
        while chunk:
            before = None if len(chunk) == 1 else member.copy()
            try:
                piece = member.decompress(chunk, PIECE_BYTES)
            except zlib.error:
                if before is not None:
                    yield from _until_damage(before, chunk)
                self.damage = "the gzip data are damaged; what stood before was read"
                return
            if piece:
                yield piece
            chunk = member.unconsumed_tail
            if member.eof:
                is_begun = False
                chunk = member.unused_data
            chunk = chunk or next(chunks, b"")
            # Zeros after the last member are padding.
            while not is_begun and chunk and not (chunk := chunk.lstrip(b"\0")):
                chunk = next(chunks, b"")
            if not is_begun and chunk:
                member, is_begun = zlib.decompressobj(wbits=31), True
        if is_begun:
            self.damage = "the gzip data are cut off; what is there was read"


def _until_damage(member: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    """Unzip byte by byte, because an error gives nothing of the chunk it is in."""
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


def _plain(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from chunks


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in chunks that are small enough to be unzipped twice."""
    for piece in pieces:
        if len(piece) <= _CHUNK_BYTES:
            if piece:
                yield piece
            continue
        for start in range(0, len(piece), _CHUNK_BYTES):
            yield piece[start : start + _CHUNK_BYTES]
