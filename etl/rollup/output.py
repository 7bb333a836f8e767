"""The files of a rollup, and the manifest that makes them valid.

Files have the run in their names and are written once. What counts is the manifest, which is
written last and whole: a run that ends early changes nothing, and whoever reads by the manifest
sees one run or the other. Of each day it names the files, one or more for each table.

    manifest.json
    day=2026-10-01/usage-RUN-0.parquet
    inputs-RUN.parquet      the files read, with what is known of each
    rejects-RUN.parquet     what could not be read
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from etl.errors import ConfigError, DataError, FileGoneError, RejectError
from etl.normalise.rollups import FORMAT, TABLES, Row
from etl.rollup.job import Places
from etl.sources.archive import Archive

MANIFEST = "manifest.json"
NEEDS_ARROW = 'a rollup needs Parquet: pip install "bedrock-usage[spark]"'

# The most rows of a file.
FILE_ROWS = 1_000_000


class OutputFile(NamedTuple):
    """A file of a day. ``digest``: of its rows; ``calls``, ``failed_calls``: of usage, else 0."""

    day: str
    table: str
    path: str
    rows: int
    size: int
    digest: str
    calls: int = 0
    failed_calls: int = 0


@dataclass
class InputFile:
    """What is known of a file that was read; see ``etl.rollup.decode.FileSeen``."""

    uri: str
    etag: str
    size: int
    days: list[str]
    reaches_back: bool
    has_sessions: bool
    is_general: bool
    events_read: int
    events_skipped: int
    rejected: int


@dataclass
class Manifest:
    """What a rollup has. ``days``: the files of each day.

    ``config``: a digest of what decides rows; ``kept_keys``: the keys of request metadata and tags
    that callers have. ``roots``: what was asked for. ``profiles``: the inference profiles read, as
    rows. ``counts``: of the last run.
    """

    rollup_id: str
    made_at: str
    version: str
    engine: str
    config: str
    kept_keys: list[str]
    roots: list[str]
    inputs: str
    rejects: str
    days: dict[str, list[OutputFile]] = field(default_factory=dict)
    profiles: list[list[Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    format: int = FORMAT

    def digest_of(self, day: str) -> str:
        """Return a hash of what a day has, whichever run wrote it."""
        parts = sorted((file.table, file.digest) for file in self.days[day] if file.rows)
        return hashlib.sha256(json.dumps([self.config, parts]).encode()).hexdigest()[:16]

    def calls_of(self, day: str) -> int:
        """Return how many calls a day has, failed ones included."""
        return sum(file.calls + file.failed_calls for file in self.days[day])

    def paths(self) -> set[str]:
        """Return the files that it names."""
        days = {file.path for files in self.days.values() for file in files}
        return days | {self.inputs, self.rejects}

    def as_json(self) -> bytes:
        """Return the text of the file."""
        plain = vars(self) | {
            "days": {
                day: {
                    "digest": self.digest_of(day),
                    "files": [file._asdict() for file in self.days[day]],
                }
                for day in sorted(self.days)
            }
        }
        return json.dumps(plain, indent=1, sort_keys=True).encode()


def read_manifest(places: Places, uri: str) -> Manifest | None:
    """Return the manifest of a rollup; None if there is none.

    Raises DataError if it is another program's, or a later version's.
    """
    try:
        content = read_bytes(places, uri, MANIFEST)
    except (RejectError, FileGoneError):
        return None
    try:
        plain = json.loads(content)
        if plain["format"] > FORMAT:
            raise DataError(f"{uri}: a newer bedrock-usage wrote it; upgrade this one")
        days = plain.pop("days")
        manifest = Manifest(**plain)
        for day, of_day in days.items():
            manifest.days[day] = [OutputFile(**file) for file in of_day["files"]]
    except (ValueError, TypeError, KeyError):
        raise DataError(f"{uri}/{MANIFEST} is not the manifest of a rollup") from None
    return manifest


def folder_of(uri: str) -> str:
    """Return an address as a folder."""
    return f"{uri.rstrip('/')}/"


def read_bytes(places: Places, uri: str, path: str) -> bytes:
    """Return the bytes of a file of a rollup."""
    store = places.store_of(uri)
    found = store.find(folder_of(uri) + path)
    if isinstance(found, str):
        raise RejectError(f"{found} is a folder")
    return b"".join(store.read(found).pieces())


def parquet() -> Any:
    """Return pyarrow's module for Parquet. Raises ConfigError if it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(NEEDS_ARROW) from None
    return pyarrow.parquet


def write_day(
    archive: Archive, run: str, day: str, table: str, part: int, rows: Sequence[Row]
) -> OutputFile:
    """Write rows of a table and a day, in their order; return the file."""
    shape = TABLES[table]
    digest = hashlib.blake2b(digest_size=12)
    for _, _, key, sums in rows:
        digest.update(json.dumps([key, sums]).encode())
    columns: dict[str, list[Any]] = {name: [] for name in shape.columns}
    for at, name in enumerate(shape.key):
        columns[name] = [row[2][at] for row in rows]
    for at, name in enumerate(shape.sums):
        columns[name] = [row[3][at] for row in rows]
    path = f"day={day}/{table}-{run}-{part}.parquet"
    data = to_parquet(columns, {*shape.numbers, *shape.sums})
    archive.write(path, data)
    calls = [sum(columns[c]) if table == "usage" else 0 for c in _CALLS] if rows else [0, 0]
    return OutputFile(day, table, path, len(rows), len(data), digest.hexdigest(), *calls)


_CALLS = ("calls", "failed_calls")


def to_parquet(columns: dict[str, list[Any]], numbers: Iterable[str]) -> bytes:
    """Return columns as a Parquet file; those that are not numbers are text."""
    arrow = parquet()
    import pyarrow as pa

    types = {name: pa.int64() if name in set(numbers) else pa.string() for name in columns}
    table = pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})
    buffer = io.BytesIO()
    arrow.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def rows_of(data: bytes, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a Parquet file. Raises DataError if it is damaged."""
    arrow = parquet()
    import pyarrow as pa

    try:
        file = arrow.ParquetFile(io.BytesIO(data))
        for batch in file.iter_batches(50_000, columns=list(columns)):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
    except (pa.ArrowException, OSError, ValueError, KeyError):
        raise DataError("a file of the rollup is damaged: run `rollup --full` again") from None


_INPUT_FLAGS = ("reaches_back", "has_sessions", "is_general")
_INPUT_NUMBERS = ("size", *_INPUT_FLAGS, "events_read", "events_skipped", "rejected")
_INPUT_COLUMNS = ("uri", "etag", "days", *_INPUT_NUMBERS)
REJECT_COLUMNS = ("file", "position", "reason")


def write_inputs(archive: Archive, path: str, files: Iterable[InputFile]) -> None:
    """Write what is known of the files that were read."""
    columns: dict[str, list[Any]] = {name: [] for name in _INPUT_COLUMNS}
    for file in files:
        for name, values in columns.items():
            value = getattr(file, name)
            values.append(json.dumps(value) if name == "days" else value)
        for name in _INPUT_FLAGS:
            columns[name][-1] = int(columns[name][-1])
    archive.write(path, to_parquet(columns, _INPUT_NUMBERS))


def read_inputs(places: Places, uri: str, manifest: Manifest) -> dict[str, InputFile]:
    """Return what is known of the files of a rollup, by URI."""
    data = read_bytes(places, uri, manifest.inputs)
    found = {}
    for row in rows_of(data, _INPUT_COLUMNS):
        plain = dict(zip(_INPUT_COLUMNS, row, strict=True))
        plain["days"] = json.loads(plain["days"])
        plain |= {name: bool(plain[name]) for name in _INPUT_FLAGS}
        found[row[0]] = InputFile(**plain)
    return found


def write_rejects(archive: Archive, path: str, rejects: Iterable[tuple[str, str, str]]) -> None:
    """Write what could not be read."""
    columns = {name: list(values) for name, values in _transposed(REJECT_COLUMNS, rejects)}
    archive.write(path, to_parquet(columns, ()))


def _transposed(
    names: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> Iterator[tuple[str, list[Any]]]:
    listed = list(rows)
    for at, name in enumerate(names):
        yield name, [row[at] for row in listed]


def read_rejects(places: Places, uri: str, manifest: Manifest) -> list[tuple[str, str, str]]:
    """Return what could not be read."""
    data = read_bytes(places, uri, manifest.rejects)
    return [(row[0], row[1], row[2]) for row in rows_of(data, REJECT_COLUMNS)]
