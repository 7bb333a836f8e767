"""Write a table as CSV, JSON or Parquet, row by row: memory does not grow with the rows.

- CSV: UTF-8, a heading, lines end with a line feed, unknown is empty, true and false. It is for
  programs, so no cell is changed for spreadsheets (``etl.show.spreadsheet``).
- JSON: an array with an object on each line; decimal numbers are text.
- Parquet: text, 64-bit integers, decimal128(30, 12). Needs pyarrow.

The same table gives the same bytes, with the same version of pyarrow.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import IO, Any

from etl.errors import OutputError
from etl.export.table import PRECISION, SCALE, Column, Kind, Row, Table, decimal_text

NEEDS_PYARROW = 'Parquet: to write it, pip install "bedrock-usage[parquet]"'

_GROUP_ROWS = 20_000


def write_csv(table: Table, file: IO[bytes]) -> None:
    """Write a table as CSV."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in table.columns)
    writer.writerows(_plain(table, {True: "true", False: "false"}))
    text.detach()


def write_json(table: Table, file: IO[bytes]) -> None:
    """Write a table as JSON; whatever is not ASCII is escaped."""
    names = [column.name for column in table.columns]
    before = b"[\n"
    for row in _plain(table, {}):
        file.write(before + json.dumps(dict(zip(names, row, strict=True))).encode())
        before = b",\n"
    file.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def _plain(table: Table, flags: Mapping[bool, str]) -> Iterator[Row]:
    """Yield rows with decimal numbers as text; ``flags``: the words for true and false."""
    exact = [at for at, column in enumerate(table.columns) if column.kind is Kind.DECIMAL]
    boolean = [at for at, column in enumerate(table.columns) if column.kind is Kind.BOOLEAN]
    for row in table.rows:
        values = list(row)
        for at in exact:
            values[at] = None if values[at] is None else decimal_text(values[at])
        for at in boolean:
            values[at] = flags.get(values[at], values[at])
        yield tuple(values)


def write_parquet(table: Table, file: IO[bytes]) -> None:
    """Write a table as Parquet. Raises OutputError if pyarrow is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise OutputError(NEEDS_PYARROW) from None
    types = {
        Kind.TEXT: pyarrow.string(),
        Kind.INTEGER: pyarrow.int64(),
        Kind.BOOLEAN: pyarrow.bool_(),
        Kind.DECIMAL: pyarrow.decimal128(PRECISION, SCALE),
    }
    schema = pyarrow.schema([(column.name, types[column.kind]) for column in table.columns])
    rows = iter(table.rows)
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        while some := list(islice(rows, _GROUP_ROWS)):
            arrays = [
                pyarrow.array(_cells(column, values), types[column.kind])
                for column, values in zip(table.columns, zip(*some, strict=True), strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _cells(column: Column, values: Sequence[Any]) -> Sequence[Any]:
    if column.kind is not Kind.DECIMAL:
        return values
    return [None if value is None else Decimal(decimal_text(value)) for value in values]


WRITERS: Mapping[str, Callable[[Table, IO[bytes]], None]] = {
    "csv": write_csv,
    "json": write_json,
    "parquet": write_parquet,
}
