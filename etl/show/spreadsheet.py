"""Cells that are safe in a spreadsheet, which runs text that it takes for a formula.

Names in a warehouse come from logs that callers can write to. A text is dangerous where a cell
begins with one of ``= + - @``, their wide forms, a tab or a line's end, white space, quotes and
control characters before it aside. Spreadsheets that split at ``;``, tab, ``|`` or the end of a
line, whatever quotes stand around, begin a cell after each of them as well.

So an apostrophe is put where such a cell begins. The original comes back by taking one apostrophe
away in front of whatever is still dangerous (``original``). Numbers are never touched, so that a
column of costs stays one. Only for files that people open, never for those that programs read.
https://owasp.org/www-community/attacks/CSV_Injection (2026-11)
"""

from __future__ import annotations

import re

# White space, what cannot be seen, and quotes, also those that word processors make.
# Without tab and line ends, which are dangerous themselves: so each is looked at once.
_SKIPPED = (
    r"[^\S\t\r\n]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]"
    r"|['\"`´\u2018-\u201f]"
)
_SIGNS = r"[=+\-@\t\r\n＝＋－＠﹦﹢﹣﹫−]"
_DANGER = re.compile(rf"(\A|[;|\t\r\n])(?=(?:{_SKIPPED})*{_SIGNS})")
_MARKED = re.compile(rf"(\A|[;|\t\r\n])'(?=(?:{_SKIPPED})*{_SIGNS})")


def harmless_cell(value: object) -> object:
    """Return a cell that no spreadsheet runs; anything but text as it is."""
    return _DANGER.sub(r"\1'", value) if isinstance(value, str) else value


def original(value: str) -> str:
    """Return the text that ``harmless_cell`` was given."""
    return _MARKED.sub(r"\1", value)
