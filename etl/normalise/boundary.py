"""The one boundary around everything that reads a record.

What is sent to us may hold anything, and no reader foresees all of it. So each is called through
``attempt``: whatever goes wrong costs the record, and is said in words that hold none of its
text. What comes back can be stored: no half of a surrogate pair, which UTF-8 has no bytes for, no
number beyond 64 bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from etl.errors import BedrockUsageError, RejectError, reason_of

_Given = ParamSpec("_Given")
_Wanted = TypeVar("_Wanted")


def attempt(
    parse: Callable[_Given, _Wanted], *args: _Given.args, **options: _Given.kwargs
) -> _Wanted:
    """Return what ``parse`` makes of a record. Raises RejectError for whatever it raises."""
    try:
        parsed = parse(*args, **options)
        _check(parsed)
    except BedrockUsageError:
        raise
    except Exception as error:
        reason = reason_of(error)
    else:
        return parsed
    # Out here, because an error that is being handled would hold the record.
    raise RejectError(reason)


def storable(name: str) -> str:
    """Return a name as it can be stored and printed: bytes that are no UTF-8 as escapes.

    A file of this machine may have such a name; Python holds each of those bytes as half of a
    surrogate pair.
    """
    if name.isascii():
        return name
    try:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return name.encode("utf-8", "backslashreplace").decode()


def _check(row: object) -> None:
    """Raise if a row holds what SQLite cannot; rows are tuples of tuples and plain values."""
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
