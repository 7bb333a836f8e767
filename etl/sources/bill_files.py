"""The data files of a bill's export: Parquet, and CSV in gzip or zip.

Of a whole organization's bill, one row in some hundred is Bedrock's. So of Parquet only the wanted
columns are decoded, and of those only the rows that can be Bedrock's: the sieve is the few columns
that say so. DuckDB reads it: pyarrow decodes every column of a row group, and takes twice as long.
A CSV is not parsed but searched, as what is Bedrock's has that word in its line, or is a charge of
the Marketplace that is no usage, such as a tax. What passes may still be other rows; what does not
is none of Bedrock's.

Memory holds some thousand rows, whatever the size of the file. Parquet is read in place, so a file
from elsewhere is kept on the disk meanwhile.
"""

from __future__ import annotations

import csv
import glob
import io
import re
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from zlib_ng import gzip_ng
from zlib_ng import zlib_ng as zlib

from etl.errors import RejectError
from etl.sources.parquet import DAMAGED
from etl.sources.stores import LocalStore, Store, StoredFile

NEEDS_READER = 'a bill in Parquet: to read it, pip install "bedrock-usage[bill]"'

_WORD, _SELLER, _USAGE = "edrock", "arketplace", "Usage"
_WORD_BYTES, _SELLER_BYTES = _WORD.encode(), _SELLER.encode()
# The type of a line.
_is_usage = re.compile(rf'(?:^|[,"]){_USAGE}(?:[,"]|$)'.encode()).search
_BLOCK_BYTES = 1 << 20
_BATCH_ROWS = 1_000

# Nothing is fetched, and what is read has no order.
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "memory_limit": "250MB",
    "preserve_insertion_order": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}

# No line of a bill is longer; a file that seems to have one is damaged.
_MAX_LINE_BYTES = 64 << 20

Rows = list[dict[str, Any]]
# The names of the columns in the file, to the columns to read and those that tell Bedrock's rows.
Wanted = Callable[[list[str]], tuple[Collection[str], Collection[str]]]


@contextmanager
def on_disk(store: Store, file: StoredFile) -> Iterator[Path]:
    """Yield a file of this machine with the content of a stored one."""
    if isinstance(store, LocalStore):
        yield Path(file.uri)
        return
    with tempfile.NamedTemporaryFile() as copy:
        for piece in store.read(file).pieces():
            copy.write(piece)
        copy.flush()
        yield Path(copy.name)


def read_table(path: Path, name: str, wanted: Wanted) -> Iterator[Rows]:
    """Yield the rows of a data file that may be Bedrock's, some at a time.

    ``name``: as the manifest has it; it says the format. Raises RejectError if the file is damaged
    or cut short, at the end at the latest.
    """
    if name.endswith(".parquet"):
        yield from _parquet(path, wanted)
        return
    try:
        with _unzipped(path, name) as opened:
            yield from _csv(opened, wanted)
    except (EOFError, OSError, zlib.error, zipfile.BadZipFile, csv.Error):
        raise RejectError("the file is damaged or cut short") from None


def _parquet(path: Path, wanted: Wanted) -> Iterator[Rows]:
    try:
        import duckdb
    except ImportError:
        raise RejectError(NEEDS_READER) from None
    try:
        with duckdb.connect(config=_SETTINGS) as connection:
            read = "from read_parquet(?, hive_partitioning = false)"
            # The address is a pattern there.
            file = [glob.escape(str(path))]
            head = connection.execute(f"select * {read} limit 0", file).description
            types = {name: str(kind) for name, kind, *_ in head}
            columns, sieve = wanted(list(types))
            texts = ", ".join(_text(name, types[name]) for name in sorted(columns))
            says = " or ".join(
                f"contains({_quoted(name)}, '{word}')"
                for name in sieve
                for word in (_WORD, _SELLER)
            )
            found = connection.execute(f"select {texts} {read} where {says}", file)
            while rows := found.fetchmany(_BATCH_ROWS):
                yield [dict(zip(sorted(columns), row, strict=True)) for row in rows]
    except duckdb.Error:
        raise RejectError(DAMAGED) from None


def _text(name: str, kind: str) -> str:
    """Return how a column is selected: a time as text in UTC, whatever the zone of the machine."""
    quoted = _quoted(name)
    if not kind.startswith("TIMESTAMP"):
        return quoted
    return f"cast(make_timestamp(epoch_us({quoted})) as varchar)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _unzipped(path: Path, name: str) -> Iterator[IO[bytes]]:
    if name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            if len(archive.namelist()) != 1:
                raise RejectError("the archive has more than one file")
            with archive.open(archive.namelist()[0]) as opened:
                yield opened
        return
    with gzip_ng.open(path, "rb") as opened:
        yield opened


def _csv(opened: IO[bytes], wanted: Wanted) -> Iterator[Rows]:
    blocks = _blocks(opened)
    first = next(blocks, b"")
    head, _, rest = first.partition(b"\n")
    names = next(csv.reader([head.decode("utf-8-sig", "replace")]), [])
    columns, _ = wanted(names)
    places = [(name, at) for at, name in enumerate(names) if name in columns]
    for block in (part for parts in ([rest], blocks) for part in parts):
        if rows := [_row(line, names, places) for line in _lines(block)]:
            yield rows


def _row(line: list[str], names: list[str], places: list[tuple[str, int]]) -> dict[str, str]:
    if len(line) != len(names):
        raise RejectError(f"a line has {len(line)} fields, and the head has {len(names)}")
    return {name: line[at] for name, at in places}


def _blocks(opened: IO[bytes]) -> Iterator[bytes]:
    """Yield whole lines, about a megabyte at a time: an even number of quotes ends none within."""
    rest = b""
    while piece := opened.read(_BLOCK_BYTES):
        rest += piece
        end = rest.rfind(b"\n") + 1
        if end and rest.count(b'"', 0, end) % 2 == 0:
            yield rest[:end]
            rest = rest[end:]
        elif len(rest) > _MAX_LINE_BYTES:
            raise RejectError("the file is damaged: a line has no end")
    if rest.count(b'"') % 2:
        raise RejectError("the file is damaged or cut short")
    if rest:
        yield rest


def _lines(block: bytes) -> Iterator[list[str]]:
    """Yield the fields of the lines that may be Bedrock's."""
    at = 0
    for found in _found_words(block):
        if found < at:
            continue
        begin, end = block.rfind(b"\n", 0, found) + 1, block.find(b"\n", found) + 1 or len(block)
        if block.count(b'"', at, begin) % 2 or block.count(b'"', begin, end) % 2:
            # A field has a line break. Lines up to here are whole, and some are read already.
            text = io.StringIO(block[at:].decode("utf-8", "replace"), newline="")
            yield from (fields for fields in csv.reader(text) if _may_be_ours(fields))
            return
        line = block[begin:end]
        if _WORD_BYTES in line or not _is_usage(line):
            yield from csv.reader([line.decode("utf-8", "replace")])
        at = end


def _found_words(block: bytes) -> Iterator[int]:
    """Yield where one of the words stands, in order."""
    # To search for each is five times as fast as a pattern of both.
    ours, sold = block.find(_WORD_BYTES), block.find(_SELLER_BYTES)
    while ours >= 0 or sold >= 0:
        if sold < 0 or 0 <= ours < sold:
            yield ours
            ours = block.find(_WORD_BYTES, ours + 1)
        else:
            yield sold
            sold = block.find(_SELLER_BYTES, sold + 1)


def _may_be_ours(fields: list[str]) -> bool:
    is_sold = any(_SELLER in field for field in fields) and _USAGE not in fields
    return is_sold or any(_WORD in field for field in fields)
