"""The one boundary around everything that parses a record.

Input may hold anything, and no parser foresees all of it. So each is called through ``attempt``: a
failure rejects only that record, and the message holds none of its text. The result can be stored:
it has no half of a surrogate pair, which UTF-8 cannot encode, and no number beyond 64 bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from etl.errors import BedrockUsageError, RejectError, reason_of

_Args = ParamSpec("_Args")
_Parsed = TypeVar("_Parsed")


def attempt(parse: Callable[_Args, _Parsed], *args: _Args.args, **options: _Args.kwargs) -> _Parsed:
    """Return what ``parse`` makes of a record. Raises RejectError for any error it raises."""
    try:
        parsed = parse(*args, **options)
        _check(parsed)
    except BedrockUsageError:
        raise
    except Exception as error:
        reason = reason_of(error)
    else:
        return parsed
    # Outside the handler, because a handled error would keep the record alive.
    raise RejectError(reason)


# NUL is replaced, because SQLite's functions end there (DECISIONS 116).
def storable(name: str) -> str:
    """Return a name that can be stored and printed: bytes that are not UTF-8 become escapes.

    A local file may have such a name. Python represents each such byte as half of a surrogate pair.
    """
    if name.isascii():
        return name
    try:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return name.encode("utf-8", "backslashreplace").decode()


def _check(row: object) -> None:
    """Raise if SQLite cannot store a row. Rows are tuples of tuples and plain values."""
    for value in row if isinstance(row, tuple) else ():
        kind = type(value)
        if kind is str:
            if not value.isascii():
                value.encode()
        elif kind is int:
            if not -(2**63) <= value < 2**63:
                raise OverflowError
        elif isinstance(value, tuple):
            _check(value)
