"""The result of the query for Athena, as a rollup to load: see ``etl.normalise.athena``.

Athena writes a result as one CSV file, or with UNLOAD as Parquet files in a folder. Both have the
names of the columns in them, by which a result is recognised.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any

from etl.errors import ConfigError, DataError
from etl.load.decoder.content import Keys
from etl.normalise.application import key_names
from etl.normalise.athena import COLUMNS, AthenaResult, ResultRow
from etl.normalise.rollups import MOST_CALLERS, Row
from etl.rollup.job import Places
from etl.rollup.local import summed
from etl.rollup.others import limited
from etl.sources.parquet import MAGIC, read_rows
from etl.sources.stores import Content, StoredFile
from etl.sql_files import sql_text_with
from etl.times import utc_text
from etl.warehouse.upkeep.rolled_up_days import Rollup, RollupDay

# What there is: two tables, and the query over both.
STATEMENTS = ("trail", "logs", "usage")

_NOT_TOLD = ("totals", "operations")

_GZIP = b"\x1f\x8b"

_NEVER_NULL = {"is_in_trail", "is_in_log", "token_source_key", "calls"}

# Athena writes them beside a result.
_NO_RESULTS = (".metadata", "-manifest.csv")


def query_text(name: str, keys: Keys) -> str:
    """Return a statement for Athena. ``keys``: of the request metadata to read.

    Raises ConfigError for a key that a JSON path of Athena's cannot name.
    """
    named = sorted(wanted_metadata(keys))
    for key in named:
        if set(key) & set("'\"\\\n"):
            raise ConfigError(f"Athena cannot be asked for the metadata key {key!r}")
    return sql_text_with(f"athena/{name}", ["athena", "columns"], metadata_keys=named)


def wanted_metadata(keys: Keys) -> set[str]:
    """Return the keys of request metadata that names and teams depend on."""
    return {*key_names(keys.metadata), *keys.stored}


@dataclass
class Read:
    """A result. ``callers_in_others``: of the days whose rows were read, see ``limited``."""

    rollup: Rollup
    result: AthenaResult
    callers_in_others: int = 0


def read_result(
    places: Places, uri: str, keys: Keys, now: datetime, most_callers: int = MOST_CALLERS
) -> Read:
    """Return a result as a rollup, and what else was found in it.

    Raises DataError if it is no result of the query.
    """
    result = AthenaResult(keys.metadata, keys.stored)
    for file in _files(places, uri):
        _read(places, file, result)
    days = [RollupDay(day, result.digest(day), result.calls(day)) for day in result.days()]
    if not days:
        raise DataError(f"{uri} has no calls: choose other days in the query")
    run = hashlib.blake2b("".join(day.digest for day in days).encode(), digest_size=4).hexdigest()

    # Days are loaded one after the other, each by its tables.
    @lru_cache(maxsize=1)
    def summed_day(day: str) -> list[Row]:
        kept, others = limited(summed(result.rows(day)), most_callers)
        read.callers_in_others += others
        return list(summed(kept))

    def rows_of(table: str, day: str) -> Iterator[tuple[Any, ...]]:
        told = () if table in _NOT_TOLD else summed_day(day)
        return ((*row[2], *row[3]) for row in told if row[0] == table)

    rollup = Rollup(uri, f"athena-{run}", utc_text(now), days, rows_of, has_operations=False)
    read = Read(rollup, result)
    return read


def _files(places: Places, uri: str) -> Iterator[StoredFile]:
    store = places.store_of(uri)
    found = store.find(uri)
    if isinstance(found, StoredFile):
        yield found
        return
    for file in store.files(found):
        if not file.name.endswith(_NO_RESULTS):
            yield file


def _read(places: Places, file: StoredFile, result: AthenaResult) -> None:
    rows = _rows(places.store_of(file.folder).read(file), file)
    for number, row in enumerate(rows, 1):
        try:
            result.add(row)
        except DataError as error:
            raise DataError(f"{file.uri}, row {number}: {error}") from None


def _rows(content: Content, file: StoredFile) -> Iterator[ResultRow]:
    pieces = iter(content.pieces())
    first = next(pieces, b"")
    if first.startswith(MAGIC):
        for row in read_rows(io.BytesIO(b"".join([first, *pieces]))):
            if isinstance(row, str):
                raise DataError(f"{file.uri}: {row}")
            _require(_NEVER_NULL, row, file)
            # A column is left out where it is null.
            yield dict.fromkeys(COLUMNS) | row
        return
    if first.startswith(_GZIP):
        first, pieces = gzip.decompress(b"".join([first, *pieces])), iter(())
    try:
        reader = csv.DictReader(_lines(chain([first], pieces)), restval="")
        _require(COLUMNS, reader.fieldnames or (), file)
        yield from reader
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"{file.uri} is neither CSV nor Parquet") from None


def _require(wanted: Set[str], columns: Iterable[str], file: StoredFile) -> None:
    if missing := wanted - set(columns):
        raise DataError(
            f"{file.uri} is no result of the query: it has no column"
            f" {', '.join(sorted(missing)[:3])}; `bedrock-usage athena-sql usage` prints the query"
        )


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield lines with their ends."""
    rest = ""
    for text in codecs.iterdecode(pieces, "utf-8"):
        *lines, rest = (rest + text).split("\n")
        yield from (f"{line}\n" for line in lines)
    if rest:
        yield rest
