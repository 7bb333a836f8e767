"""Exports of AWS's bill: where their files are, and what their manifests say.

    PREFIX/NAME/data/BILLING_PERIOD=2026-10/[RUN/]NAME-00001.snappy.parquet        Data Exports
    PREFIX/NAME/metadata/BILLING_PERIOD=2026-10/[RUN/]NAME-Manifest.json
    PREFIX/NAME/20261001-20261101/[ASSEMBLY/]NAME-Manifest.json                    legacy report
    PREFIX/NAME/20261001-20261101/ASSEMBLY/NAME-00001.csv.gz
    PREFIX/NAME/NAME/year=2026/month=10/NAME-00001.snappy.parquet

AWS writes the manifest last. Only the files that it names belong to the export: beside them may be
those of earlier runs, or of one that is not finished. ``RUN`` of Data Exports begins with a time.
An export may have been changed from one file for all runs to a folder for each, or back.

Source: Data Exports user guide, "Understanding export delivery" and "Manifest file reference"; Cost
and Usage Reports user guide, "Report versioning" (checked 2026-11-29).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from etl.errors import RejectError

_EXPORT = re.compile(
    r"(?P<root>.*/)(?P<part>data|metadata)/billing_period=(?P<month>[0-9]{4}-[0-9]{2})/"
    r"(?P<run>[^/]+/)?(?P<name>[^/]+)",
    re.IGNORECASE | re.DOTALL,
)
_REPORT = re.compile(
    r"(?P<root>.*/)(?P<year>[0-9]{4})(?P<month>[0-9]{2})01-[0-9]{6}01/(?P<run>[^/]+/)?"
    r"(?P<name>[^/]+(?P<part>Manifest\.json|\.csv\.gz|\.csv\.zip|\.parquet|\.sql))",
    re.DOTALL,
)
_REPORT_TABLE = re.compile(
    r".*/(?P<name>[^/]+)/(?:(?P=name)/)?year=[0-9]{4}/month=[0-9]{1,2}/(?P=name)-[0-9]+"
    r"\.snappy\.parquet",
    re.DOTALL,
)
_MANIFEST = "Manifest.json"
_TIME = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})T([0-9]{2})[:-]?([0-9]{2})(?:[:-]?([0-9]{2}))?", re.ASCII
)

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


_Kind = TypeVar("_Kind")


class BillFile(NamedTuple):
    """A file of an export. ``root``: the export's folder; empty where the path does not tell it.

    ``run``: the folder of one run, where each has its own. ``is_report``: of a legacy report.
    """

    root: str
    month: str
    run: str
    is_manifest: bool
    is_report: bool = False


class Manifest(NamedTuple):
    """What belongs to one month of an export. ``columns``: named as ``column_name`` has them.

    ``export``: its ARN, or the name of a legacy report; ``run``: which execution wrote it;
    ``files``: addresses in the bucket that AWS wrote to.
    """

    export: str
    run: str
    columns: tuple[str, ...]
    files: tuple[str, ...]


class _Column(msgspec.Struct):
    name: str
    category: str = ""


class _Export(msgspec.Struct):
    run: str = msgspec.field(name="executionId")
    export: str = msgspec.field(name="exportArn")
    columns: list[_Column]
    files: list[str] = msgspec.field(name="dataFiles")


class _Report(msgspec.Struct):
    run: str = msgspec.field(name="assemblyId")
    export: str = msgspec.field(name="reportName")
    columns: list[_Column]
    bucket: str
    keys: list[str] = msgspec.field(name="reportKeys")


def bill_file(uri: str) -> BillFile | None:
    """Return what a file of an export is, from its path alone; None for any other file."""
    if found := _EXPORT.fullmatch(uri):
        is_manifest = found["part"].lower() == "metadata" and found["name"].endswith(_MANIFEST)
        return BillFile(found["root"], found["month"], found["run"] or "", is_manifest)
    if found := _REPORT.fullmatch(uri):
        month = f"{found['year']}-{found['month']}"
        is_manifest = found["part"] == _MANIFEST
        return BillFile(found["root"], month, found["run"] or "", is_manifest, is_report=True)
    return BillFile("", "", "", False, is_report=True) if _REPORT_TABLE.fullmatch(uri) else None


def written_at(file: BillFile, modified: str | None) -> str | None:
    """Return when AWS wrote the month of a manifest, UTC text; None if it is not known.

    A run's folder tells even of a copy. ``modified``: when the manifest was written, or copied.
    """
    if found := _TIME.match("" if file.is_report else file.run):
        year, month, day, hour, minute, second = found.groups("00")
        return f"{year}-{month}-{day}T{hour}:{minute}:{second}Z"
    return modified


def newest_run(files: Mapping[BillFile, str | None]) -> BillFile:
    """Return the manifest that counts of several of one month, by when each was written.

    A legacy report has a copy of the newest above those of the runs.
    """

    def age(file: BillFile) -> tuple[bool, str, str]:
        return (file.is_report and not file.run, written_at(file, files[file]) or "", file.run)

    return max(files, key=age)


def parse_manifest(content: bytes) -> Manifest:
    """Read a manifest of either kind. Raises RejectError for anything else, or without files."""
    if export := _decoded(content, _Export):
        return Manifest(
            export.export, export.run, _column_names(export.columns), tuple(export.files)
        )
    if report := _decoded(content, _Report):
        files = [f"s3://{report.bucket}/{key.lstrip('/')}" for key in report.keys]
        return Manifest(report.export, report.run, _column_names(report.columns), tuple(files))
    raise RejectError("is not the manifest of a bill's export: it may be cut short")


def _decoded(content: bytes, kind: type[_Kind]) -> _Kind | None:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _column_names(columns: Sequence[_Column]) -> tuple[str, ...]:
    return tuple(
        column_name(f"{one.category}/{one.name}" if one.category else one.name) for one in columns
    )


def column_name(written: str) -> str:
    """Return the name of a column as CUR 2.0 and Parquet files have it; FOCUS's stay theirs.

    ``lineItem/UsageAccountId`` is ``line_item_usage_account_id``.
    """
    if "/" not in written:
        return written
    return re.sub(r"[^a-z0-9]+", "_", _WORD.sub("_", written).lower())
