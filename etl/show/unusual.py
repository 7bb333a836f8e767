"""What to say of unusual use, the same in a message and on a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from etl.show.numbers import Row, count, dollars


class Unusual(NamedTuple):
    """A view of unusual use: the title of its rows, its headings, and a row's cells."""

    title: str
    headings: tuple[str, ...]
    cells: Callable[[Row], tuple[str, ...]]


# By view, the gravest first.
UNUSUAL: Mapping[str, Unusual] = {
    "suspicious_errors": Unusual(
        "Errors and probing typical of stolen keys",
        ("Caller", "What", "When", "To look further"),
        lambda row: (
            f"{row['user_name']} ({row['principal_arn']}), account {row['account_id']}",
            f"{row['kind']}: {count(row['event_count'], 'event')}, {row['what']}",
            row["hour"],
            row["next_step"],
        ),
    ),
    "new_principals": Unusual(
        "New callers, and what is new to known ones",
        ("Caller", "What", "When", "To look further"),
        lambda row: (
            f"{row['user_name']} ({row['principal_arn']})",
            f"new {row['kind']}{'' if row['kind'] == 'principal' else ' ' + str(row['value'])}:"
            f" {row['why']}; {count(row['calls'], 'call')},"
            f" {'unpriced' if row['cost_usd'] is None else dollars(row['cost_usd'], 2)}",
            row["first_time"],
            row["next_step"],
        ),
    ),
    "cost_spikes": Unusual(
        "Costs far above what is usual",
        ("Of", "What", "When", "To look further"),
        lambda row: (
            f"{row['dimension']} {row['name']}",
            f"{dollars(row['cost_usd'], 2)} in a{'n' if row['period'] == 'hour' else ''}"
            f" {row['period']}, usually {dollars(row['usual_cost_usd'] or 0, 2)}",
            row["period_start"],
            row["next_step"],
        ),
    ),
}
