"""Runs ``bedrock-usage export`` and reads what it wrote, in every format."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet

from tests.cli.running import run

FORMATS = ("csv", "json", "parquet")


def export(db: Path, kind: str, month: str, folder: Path, *words: object) -> Path:
    """Export a month and return the file."""
    known = set(folder.iterdir()) if folder.exists() else set()
    status, out, err = run("export", kind, "--month", month, "--output", folder, "--db", db, *words)
    assert (status, out) == (0, ""), err
    format_ = words[words.index("--format") + 1] if "--format" in words else "csv"
    file = folder / f"{kind}-{month}.{format_}"
    assert {file, manifest_path(file)} | known == set(folder.iterdir())
    return file


def manifest_path(file: Path) -> Path:
    return file.with_name(f"{file.name}.manifest.json")


def manifest(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manifest_path(file).read_text())
    return found


def read(file: Path) -> list[dict[str, Any]]:
    """Return the rows of a file with the types that its manifest names."""
    kinds = manifest(file)["columns"]
    if file.suffix == ".parquet":
        rows = pyarrow.parquet.read_table(file).to_pylist()
    elif file.suffix == ".json":
        rows = json.loads(file.read_text())
    else:
        rows = list(csv.DictReader(file.read_text().splitlines(keepends=True)))
    return [{name: _value(value, kinds[name]) for name, value in row.items()} for row in rows]


def _value(value: Any, kind: str) -> Any:
    if value in ("", None):
        return None
    if kind == "decimal":
        assert not isinstance(value, float)
        return Decimal(value).normalize()
    if kind == "integer":
        return int(value)
    if kind == "boolean":
        return {"true": True, "false": False}.get(value, value)
    return value


def total(rows: Iterable[dict[str, Any]], column: str) -> Decimal:
    """Return the sum of what is known in a column."""
    return sum((Decimal(row[column]) for row in rows if row[column] is not None), Decimal(0))


def usd(picodollars: int) -> Decimal:
    """Return pico-dollars as dollars, exactly."""
    return Decimal(picodollars).scaleb(-12)
