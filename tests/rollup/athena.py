"""The query for Athena, run by DuckDB over the same files, as its tables would show them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp

from etl.load.decoder.content import Keys
from etl.rollup.athena import query_text

FIRST, LAST = "2026-10-01", "2026-12-31"


_SETTINGS = """
set timezone = 'UTC';
create macro athena_scalar(json, path) as
    case when json_type(json, path) not in ('OBJECT', 'ARRAY') then json ->> path end;
"""


@cache
def statement(name: str, keys: Keys | None = None) -> exp.Expression:
    """Parse a statement. Raises ParseError if it is not Athena's SQL."""
    text = query_text(name, keys or Keys())
    (parsed,) = sqlglot.parse(text, dialect="athena", error_level=sqlglot.ErrorLevel.RAISE)
    assert parsed is not None
    return parsed


def columns_of(name: str) -> dict[str, exp.DataType]:
    """Return the columns that a table reads from files, without those of its partitions."""
    table = statement(name)
    assert isinstance(table, exp.Create)
    return {column.name: column.kind for column in table.this.expressions}


def records_in(*paths: Path) -> list[Any]:
    """Return the records of files as CloudTrail and Bedrock write them, in folders or not."""
    found: list[Any] = []
    for path in paths:
        for file in sorted(path.rglob("*.json.gz")) if path.is_dir() else [path]:
            found += _records(file.read_bytes())
    return found


def _records(data: bytes) -> Iterator[Any]:
    text = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    try:
        parsed = json.loads(text)
    except ValueError:
        yield from map(json.loads, text.splitlines())
        return
    yield from parsed.get("Records", [parsed])


def run_query(
    records: Iterable[Any],
    output: Path,
    keys: Keys | None = None,
    first: str = FIRST,
    last: str = LAST,
) -> Path:
    """Write the result of the query over records: CSV, or Parquet by the name of the file."""
    events: list[Any] = []
    logs: list[Any] = []
    for record in records:
        if isinstance(record, dict):
            (logs if "schemaType" in record else events).append(record)
    query = (
        statement("usage", keys)
        .transform(_as_athena)
        .sql("duckdb")
        .replace("FIRST_DAY", first)
        .replace("LAST_DAY", last)
    )
    with duckdb.connect() as db:
        db.execute(_SETTINGS)
        _fill(db, "bedrock_trail", columns_of("trail"), events, output, "log_day", "eventTime")
        _fill(db, "bedrock_logs", columns_of("logs"), logs, output, "log_hour", "timestamp")
        kind = "parquet" if output.suffix == ".parquet" else "csv, header, force_quote *"
        db.execute(f"copy ({query}) to '{output}' (format {kind})")
    return output


def _as_athena(node: exp.Expression) -> exp.Expression:
    """Make DuckDB do as Athena does: the scalar of an object or an array is null."""
    if isinstance(node, exp.JSONExtractScalar):
        return exp.Anonymous(this="athena_scalar", expressions=[node.this, node.expression])
    return node


def _fill(
    db: duckdb.DuckDBPyConnection,
    table: str,
    columns: dict[str, exp.DataType],
    records: Iterable[dict[str, Any]],
    output: Path,
    partition: str,
    time: str,
) -> None:
    rows = output.with_suffix(f".{table}")
    readers = {name: _reader(kind) for name, kind in columns.items()}
    with rows.open("w") as file:
        for record in records:
            row = {name: read(_field(record, name)) for name, read in readers.items()}
            moment = str(record.get(time))
            parts = [
                moment[:10].replace("-", "/"),
                *([moment[11:13]] if "hour" in partition else []),
            ]
            file.write(f"{json.dumps(row | {partition: '/'.join(parts)})}\n")
    types = {name: kind.sql("duckdb") for name, kind in columns.items()} | {partition: "varchar"}
    listed = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
    db.execute(
        f"create table {table} as select * from read_json('{rows}',"
        f" format = 'newline_delimited', columns = {{{listed}}})"
    )


def _field(record: Any, name: str) -> Any:
    """Return a field as Athena finds it, whatever its case."""
    if not isinstance(record, dict):
        return None
    return next((value for key, value in record.items() if key.lower() == name), None)


def _reader(kind: exp.DataType) -> Callable[[Any], Any]:
    """Return what shows a value as a column of that type does; null for another one."""
    inner = [_reader(one.args.get("kind") or one) for one in kind.expressions]
    if kind.this is exp.DType.STRUCT:
        fields = list(zip((one.name for one in kind.expressions), inner, strict=True))

        def read_object(value: Any) -> Any:
            if not isinstance(value, dict):
                return None
            return {name: read(_field(value, name)) for name, read in fields}

        return read_object
    if kind.this is exp.DType.ARRAY:
        return lambda value: list(map(inner[0], value)) if isinstance(value, list) else None
    return _text


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()
