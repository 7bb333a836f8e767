"""Keeps a day's callers to a number, however many there are: the smallest count together.

A role whose sessions have a name of their own for each run makes a caller of each. Where a day has
more than so many callers, those with the fewest calls become ``(others)``: first those of each role
or user and application together, then, if these are too many as well, those of each account, region
and model. Sums stay exact; a name is lost only for the smallest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from etl.normalise.rollups import NAMED, TABLES, Caller, Row, Value

OTHERS = "(others)"

_NO_NAMES = (OTHERS,) + (None,) * (len(NAMED) - 1)


def _of_role_and_application(caller: Caller) -> Caller:
    return caller._replace(
        session_name=None,
        user_agent=None,
        user_name=OTHERS,
        request_metadata=None,
        session_tags=None,
    )


def _of_model(caller: Caller) -> Caller:
    return _of_role_and_application(caller)._replace(
        principal_arn="",
        principal_type="",
        application=OTHERS,
        application_source="unknown",
        provider=None,
        project=None,
    )


# One after the other; with how many times the most callers are allowed before it applies. What the
# first step made counts in the second, so twice as many and those of the last step remain.
STEPS: tuple[tuple[Callable[[Caller], Caller], int], ...] = (
    (_of_role_and_application, 1),
    (_of_model, 2),
)

# Where a row has its caller's id, for the tables that have one.
CALLER_AT = {
    name: table.key.index("caller_id") for name, table in TABLES.items() if "caller_id" in table.key
}


def other_of(step: int, key: Sequence[Value]) -> tuple[Value, ...]:
    """Return the row of the callers' table that a caller's row becomes."""
    caller = STEPS[step][0](Caller(*key[1 : 1 + len(Caller._fields)]))  # type: ignore[arg-type]
    return (caller.caller_id, *caller, *_NO_NAMES)


def limited(rows: Iterable[Row], most: int) -> tuple[list[Row], int]:
    """Return summed rows with at most so many callers a day, and how many are now in others.

    Rows of the same key may occur several times again.
    """
    listed, gone = list(rows), 0
    for step, (_, times) in enumerate(STEPS):
        becomes: dict[tuple[str, Value], tuple[Value, ...]] = {}
        smallest = set(_smallest(listed, most * times))
        for table, day, key, _ in listed:
            if table == "callers" and (day, key[0]) in smallest:
                becomes[day, key[0]] = other_of(step, key)
        gone += len(becomes)
        listed = [_moved(row, becomes) for row in listed] if becomes else listed
    return listed, gone


def _smallest(rows: Iterable[Row], most: int) -> list[tuple[str, Value]]:
    """Return the day and id of the callers that are too many."""
    calls: dict[str, dict[Value, int]] = defaultdict(lambda: defaultdict(int))
    for table, day, key, sums in rows:
        if table == "usage":
            calls[day][key[CALLER_AT[table]]] += calls_of(sums)
    return [
        (day, caller)
        for day, of_day in calls.items()
        if len(of_day) > most
        for caller in sorted(of_day, key=lambda one: (-of_day[one], one))[most:]
    ]


def calls_of(sums: Sequence[int]) -> int:
    """Return the calls of a row of usage, failed ones included."""
    return sums[0] + sums[1]


def _moved(row: Row, becomes: dict[tuple[str, Value], tuple[Value, ...]]) -> Row:
    table, day, key, sums = row
    at = CALLER_AT.get(table)
    other = None if at is None else becomes.get((day, key[at]))
    if at is None or other is None:
        return row
    if table == "callers":
        return table, day, other, sums
    return table, day, (*key[:at], other[0], *key[at + 1 :]), sums
