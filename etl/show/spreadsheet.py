"""Cells that are safe in a spreadsheet, which runs text that looks like a formula.

Names in a warehouse come from logs that callers can write to. A text is dangerous if a cell begins
with one of ``= + - @``, their wide forms, a tab or a line end, after any white space, quotes and
control characters. Some spreadsheets split at ``;``, tab, ``|`` or a line end even inside quotes:
for them a new cell begins after each of these too.

So an apostrophe is inserted where such a cell begins. ``original`` restores the text: it removes
one apostrophe before whatever is still dangerous. Numbers are never changed, so a column of costs
stays numeric. Only for files that people open, never for files that programs read.
https://owasp.org/www-community/attacks/CSV_Injection (2026-11)
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# White space, invisible characters, and quotes, including those of word processors. Not tab and
# line ends, which are dangerous themselves: so each character is matched once.
_SKIPPED = (
    r"[^\S\t\r\n]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]"
    r"|['\"`´\u2018-\u201f]"
)
# Applied to texts only: numbers stay numbers (DECISIONS 123).
_SIGNS = r"[=+\-@\t\r\n＝＋－＠﹦﹢﹣﹫−]"
_DANGER = re.compile(rf"(\A|[;|\t\r\n])(?=(?:{_SKIPPED})*{_SIGNS})")
_MARKED = re.compile(rf"(\A|[;|\t\r\n])'(?=(?:{_SKIPPED})*{_SIGNS})")


def harmless_cell(value: object) -> object:
    """Return a cell that no spreadsheet runs; anything but text is returned unchanged."""
    return _DANGER.sub(r"\1'", value) if isinstance(value, str) else value


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Return rows as CSV with a header; an empty cell where a row lacks a column.

    ``columns`` None: those of the first row, and nothing at all without rows.
    """
    header = columns if columns is not None else tuple(rows[0]) if rows else ()
    lines = (header, *([row.get(name) for name in header] for row in rows))
    return "\n".join(_csv_line(cells) for cells in lines)


def _csv_line(cells: Iterable[object]) -> str:
    text = io.StringIO()
    # Both characters, so that a cell with either is quoted; Python before 3.13 needs this.
    csv.writer(text, lineterminator="\r\n").writerow(map(harmless_cell, cells))
    return text.getvalue().removesuffix("\r\n")


def original(value: str) -> str:
    """Return the text that was passed to ``harmless_cell``."""
    return _MARKED.sub(r"\1", value)
