"""The rows of a Parquet file of events: Security Lake's, or a table that a query wrote.

It is read by pyarrow, or else by DuckDB, neither of which the rest of the program needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import IO, Any

MAGIC = b"PAR1"

NEEDS_READER = 'Parquet: to read it, pip install "bedrock-usage[parquet]"'
DAMAGED = "the Parquet data is damaged or truncated"

_BATCH_ROWS = 500

Row = dict[str, Any]


def read_rows(file: IO[bytes]) -> Iterator[Row | str]:
    """Yield the rows by column, ready to be written as JSON; a text says what is wrong."""
    try:
        import pyarrow.parquet
    except ImportError:
        yield from _by_duckdb(file)
        return
    try:
        parquet = pyarrow.parquet.ParquetFile(file, memory_map=False, pre_buffer=False)
        for batch in parquet.iter_batches(_BATCH_ROWS, use_threads=False):
            batch = _without_nanoseconds(batch)
            yield from map(_plain, batch.to_pylist(maps_as_pydicts="lossy"))
    except (pyarrow.ArrowException, OSError, ValueError):
        yield DAMAGED


def _without_nanoseconds(batch: Any) -> Any:
    """Cut times to microseconds: Python's have no more."""
    import pyarrow

    schema = pyarrow.schema(
        pyarrow.field(f.name, pyarrow.timestamp("us", f.type.tz))
        if pyarrow.types.is_timestamp(f.type)
        else f
        for f in batch.schema
    )
    return batch.cast(schema, safe=False)


def _by_duckdb(file: IO[bytes]) -> Iterator[Row | str]:
    try:
        import duckdb
    except ImportError:
        yield NEEDS_READER
        return
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".parquet") as named, duckdb.connect() as connection:
        while piece := file.read(1 << 20):
            named.write(piece)
        named.flush()
        try:
            connection.execute("set memory_limit = '200MB'; set threads = 1")
            found = connection.execute("select * from read_parquet(?)", [named.name])
            names = [column[0] for column in found.description]
            while rows := found.fetchmany(_BATCH_ROWS):
                yield from (_plain(dict(zip(names, row, strict=True))) for row in rows)
        except duckdb.Error:
            yield DAMAGED


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, Decimal) else value
