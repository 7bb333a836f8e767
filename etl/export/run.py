"""Export months of the warehouse: to a file each, or one of them to stdout.

A manifest says what a file has: rows and sums, the days with usage and those without, what could
not be read, and the hash of the file. Everything but ``made_at`` depends on the warehouse alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from sqlite_utils import Database

from etl.errors import DataError
from etl.export.files import Draft, make_folder, refuse_changed, write_manifest
from etl.export.focus import focus
from etl.export.formats import WRITERS
from etl.export.months import Month
from etl.export.prices import prices
from etl.export.table import Column, Kind, Row, Table, decimal_text
from etl.export.teams import teams
from etl.export.usage import usage
from etl.times import utc_text
from etl.warehouse.read.exports import one_moment, stream
from etl.warehouse.read.reports import Filters, loaded_range

PRICES = "prices"

EXPORTS: Mapping[str, Callable[..., Table]] = {
    "usage": usage,
    "teams": teams,
    "focus": focus,
    PRICES: prices,
}


@dataclass(frozen=True)
class Wanted:
    """What to export. ``options``: those of the export, such as the rule of ``teams``."""

    export: str
    format_: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Written:
    """What a file has; ``manifest`` is the content of its manifest, without what names the file."""

    name: str
    manifest: dict[str, Any]


class _Counted:
    """Counts the rows of a table and sums its columns while they are read."""

    def __init__(self, table: Table) -> None:
        self.rows = 0
        self._summed = [at for at, column in enumerate(table.columns) if column.is_summed]
        self._columns = table.columns
        self._sums: dict[int, int | None] = dict.fromkeys(self._summed)
        self._ends = [at for at, column in enumerate(table.columns) if column.is_upper_end]
        self._unknown: set[int] = set()
        self._bounds = [
            at for at, column in enumerate(table.columns) if column.name == "is_lower_bound"
        ]
        self.is_lower_bound = False
        self.table = table._replace(rows=self._counted(table))

    def _counted(self, table: Table) -> Iterator[Row]:
        sums = self._sums
        for row in table.rows:
            self.rows += 1
            for at in self._summed:
                value = row[at]
                if value is not None:
                    sums[at] = (sums[at] or 0) + value
            self._unknown.update(at for at in self._ends if row[at] is None)
            self.is_lower_bound = self.is_lower_bound or any(row[at] for at in self._bounds)
            yield row

    def totals(self) -> dict[str, int | str | None]:
        """Return the sums by column, None where no row has a value, or an upper end is unknown."""
        return {
            self._columns[at].name: None if at in self._unknown else _shown(self._columns[at], n)
            for at, n in self._sums.items()
        }


def _shown(column: Column, value: int | None) -> int | str | None:
    return decimal_text(value) if value is not None and column.kind is Kind.DECIMAL else value


def export_to(
    db: Database, wanted: Wanted, month: Month, file: IO[bytes], now: datetime
) -> Written:
    """Write a month to an open file. Raises DataError if nothing is loaded of it."""
    with one_moment(db):
        _require(db, wanted, [month])
        return _write(db, wanted, month, file, now)


def export_files(
    db: Database,
    wanted: Wanted,
    months: Sequence[Month],
    folder: Path,
    *,
    now: datetime,
    force: bool = False,
) -> list[Written]:
    """Write a file for each month, and its manifest, and return what they have.

    Raises DataError if nothing is loaded of one, OutputError if a file cannot be written, or would
    replace one that was changed since it was exported, unless ``force``. Then nothing is replaced.
    """
    drafts: list[Draft] = []
    written: list[Written] = []
    try:
        with one_moment(db):
            _require(db, wanted, months)
            make_folder(folder)
            for month in months:

                def write(file: IO[bytes], month: Month = month) -> None:
                    written.append(_write(db, wanted, month, file, now))

                drafts.append(Draft(folder / _name(wanted, month), write))
        if not force:
            refuse_changed(drafts)
        for draft, one in zip(drafts, written, strict=True):
            draft.publish()
            place = {"file": draft.path.name, "bytes": draft.size, "sha256": draft.sha256}
            write_manifest(draft.path, place | one.manifest)
    finally:
        for draft in drafts:
            draft.discard()
    return written


def _name(wanted: Wanted, month: Month) -> str:
    return f"{wanted.export}-{month}.{wanted.format_}"


def _require(db: Database, wanted: Wanted, months: Sequence[Month]) -> None:
    """Raise DataError for a month before or after all usage. Prices need none."""
    if wanted.export == PRICES:
        return
    first, last = loaded_range(db, Filters())
    for month in months:
        if first is None or last is None:
            raise DataError("no usage is loaded: `bedrock-usage sync` or `load` reads it")
        if not first[:7] <= str(month) <= last[:7]:
            raise DataError(
                f"no usage of {month} is loaded: there is {first} to {last}. --month names a month"
            )


def _write(db: Database, wanted: Wanted, month: Month, file: IO[bytes], now: datetime) -> Written:
    counted = _Counted(EXPORTS[wanted.export](db, month, **wanted.options))
    WRITERS[wanted.format_](counted.table, file)
    manifest = {
        "export": wanted.export,
        "month": str(month),
        "format": wanted.format_,
        "options": dict(wanted.options),
        "rows": counted.rows,
        "totals": counted.totals(),
        "is_lower_bound": counted.is_lower_bound,
        "is_month_over": now.date().isoformat() > month.days[-1],
        **counted.table.more(),
        **({} if wanted.export == PRICES else _coverage(db, month)),
        "columns": {column.name: column.kind.value for column in counted.table.columns},
        "version": version("bedrock-usage"),
        "made_at": utc_text(now),
    }
    return Written(_name(wanted, month), manifest)


def _coverage(db: Database, month: Month) -> dict[str, Any]:
    """Return which days of a month have usage, and what of it was not read."""
    days = {day for (day,) in stream(db, "days", month.ends)[1]}
    columns, gaps = stream(db, "gaps", month.ends)
    return {
        "days_with_usage": len(days),
        "days_without_usage": [day for day in month.days if day not in days],
        "gaps": [dict(zip(columns, gap, strict=True)) for gap in gaps],
    }
