"""What each operation of Bedrock is: a call, nothing to count, or not known yet.

The table ``sql/seeds/operations.csv`` says so. An operation that it does not name is judged by the
event: a data event is an operation of a runtime, so it is *not known yet*; so is a management event
whose name begins with none of the control plane's verbs. Neither is dropped.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from enum import Enum
from functools import cache, lru_cache

from etl.normalise.seeds import seed_rows


class Role(Enum):
    """The column ``role`` of the table.

    KEPT: of the control plane, and kept because it matters for security.
    """

    CALL = "call"
    NO_CALL = "no call"
    KEPT = "kept"
    CONTROL_PLANE = "control plane"
    UNKNOWN = "unknown"


def calls() -> frozenset[tuple[str, str]]:
    """Return the operations that are calls: (event source, event name)."""
    return frozenset(
        (row["event_source"], row["event_name"])
        for row in seed_rows("operations")
        if row["role"] == Role.CALL.value
    )


@lru_cache(maxsize=4096)
def find_operation(event_source: str, event_name: str, *, is_data: bool) -> tuple[Role, str]:
    """Return an operation's role and what it does, empty if not known.

    ``is_data``: CloudTrail calls it a data event.
    """
    named = _named().get((event_source, event_name))
    if named is not None:
        return named
    for source, glob, found in _patterns():
        is_of_source = source == event_source or (source == "*" and not is_data)
        if is_of_source and fnmatch.fnmatchcase(event_name, glob):
            return found
    return Role.UNKNOWN, ""


@cache
def _named() -> Mapping[tuple[str, str], tuple[Role, str]]:
    return {
        (row["event_source"], row["event_name"]): (Role(row["role"]), row["what"])
        for row in seed_rows("operations")
        if "*" not in row["event_name"]
    }


@cache
def _patterns() -> tuple[tuple[str, str, tuple[Role, str]], ...]:
    return tuple(
        (row["event_source"], row["event_name"], (Role(row["role"]), row["what"]))
        for row in seed_rows("operations")
        if "*" in row["event_name"]
    )
