"""Read single values out of raw dicts that may hold anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from etl.errors import RejectError
from etl.times import utc_text

# No call uses a million million tokens. A larger number is corrupt, and would overflow a sum.
MAX_COUNT = 10**12

# The longest name that AWS allows, for its ARNs. Longer text is cut: the call still counts.
MAX_LETTERS = 2048

_WHOLE = re.compile(r"\.0+\Z")

# Stored text holds no NUL: some SQLite functions treat it as the end of the text, and two names
# would look the same. Other control characters are ordinary characters to SQLite.
NUL, SHOWN_NUL = "\0", "\N{SYMBOL FOR NULL}"


def mapping(value: object) -> Mapping[str, Any]:
    """Return a dict unchanged, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def listing(value: object) -> list[Any]:
    """Return a list unchanged, and an empty one for anything else."""
    return value if isinstance(value, list) else []


def text(value: object) -> str | None:
    """Return a non-empty string without surrounding whitespace, or None.

    Lone surrogates, which JSON allows and UTF-8 does not, become question marks. A NUL becomes its
    symbol. Text longer than ``MAX_LETTERS`` is cut.
    """
    if not isinstance(value, str):
        return None
    stripped = value.strip()
    if NUL in stripped:
        stripped = stripped.replace(NUL, SHOWN_NUL)
    if len(stripped) > MAX_LETTERS:
        stripped = stripped[:MAX_LETTERS].strip()
    if not stripped.isascii():
        stripped = stripped.encode("utf-8", "replace").decode("utf-8")
    return stripped or None


def account(value: object) -> object:
    """Return an account id that a table keeps as a number, with its zeros; else the value."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**12
    return f"{value:012d}" if is_number else value


def count(value: object) -> int | None:
    """Return a token count given as a number or a string; None stays None.

    Raises ValueError for anything except a whole number from 0 to ``MAX_COUNT``.
    """
    if value is None:
        return None
    if isinstance(value, str) and len(value) <= 20:
        # Where some rows of a table have no count, programs write the others as 1000.0.
        written = _WHOLE.sub("", value.strip())
        value = int(written) if written.isdecimal() else value
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_COUNT:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise ValueError("not a whole number of tokens")
    return value


def utc_time(value: object, name: str, *, is_utc: bool = False) -> str:
    """Return a time as ``YYYY-MM-DDTHH:MM:SSZ``, without fractions of a second.

    ``is_utc``: a time without a zone is UTC. Raises RejectError if it is missing, not a time, or
    has no time zone.
    """
    if not isinstance(value, str) or not value.strip():
        raise RejectError(f"no {name}")
    try:
        moment = datetime.fromisoformat(value.strip()) if len(value) <= MAX_LETTERS else None
    except ValueError:
        moment = None
    if moment is None:
        raise RejectError(f"{name} is not a time") from None
    if moment.tzinfo is None and is_utc:
        moment = moment.replace(tzinfo=UTC)
    if moment.tzinfo is None:
        raise RejectError(f"{name} has no time zone")
    if not 2000 <= moment.year < 3000:
        raise RejectError(f"{name} is outside the years 2000 to 2999")
    return utc_text(moment)
