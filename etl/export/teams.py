"""What each team owes for a month, by application and user.

``share_of_month`` is a row's part of the cost of the month; the parts add up to exactly 1. Cost of
no team, ``(unattributed)`` and ``(no team)``, is left in rows of its own, or spread over the rows
of the teams by a rule. What a row gets of each, or gives, is in a column of its own, and ``charge``
is the cost with them. So the sum of the charges is the sum of the costs, whatever the rule.

The rows are read twice, so that only their costs are in memory: a part depends on all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from sqlite_utils import Database

from etl.export.months import Month
from etl.export.table import Column, Kind, Row, Table, column_of, typed
from etl.normalise.identity import NO_TEAM, UNATTRIBUTED
from etl.normalise.parts import whole_parts
from etl.warehouse.read.exports import stream

# Who gets the cost of no team.
LEAVE, BY_COST, EVENLY = RULES = ("leave", "by-cost", "evenly")

# The teams that are none, each with the column for what is spread of it.
UNALLOCATED = {UNATTRIBUTED: "unattributed_part_usd", NO_TEAM: "no_team_part_usd"}

ADDED = (
    Column("share_of_month", Kind.DECIMAL),
    *(column_of(name) for name in UNALLOCATED.values()),
    column_of("charge_usd"),
    column_of("is_charge_lower_bound"),
)

_ONE = 10**12


class Cost(NamedTuple):
    """What the parts of a row depend on. ``cost``: in pico-dollars, None where none is known."""

    team: str
    cost: int | None
    is_lower_bound: bool


def teams(db: Database, month: Month, unallocated: str = LEAVE) -> Table:
    """Return the charges of a month; ``unallocated``: one of ``RULES``."""
    names, rows = stream(db, "teams", month.ends)
    columns = [column_of(name) for name in names]
    at = {name: names.index(name) for name in ("team", "cost_usd", "is_lower_bound")}
    costs = [
        Cost(row[at["team"]], row[at["cost_usd"]], row[at["is_lower_bound"]])
        for row in typed(columns, rows)
    ]
    added = _added(costs, unallocated)
    again = typed(columns, stream(db, "teams", month.ends)[1])
    month_column = Column("month", Kind.TEXT)
    return Table(
        [month_column, *columns, *ADDED],
        ((str(month), *row, *more) for row, more in zip(again, added, strict=True)),
    )


def _added(costs: Sequence[Cost], rule: str) -> Iterator[Row]:
    """Yield the values of ``ADDED`` for each row."""
    amounts = [one.cost or 0 for one in costs]
    total = sum(amounts)
    shares = whole_parts(_ONE, amounts) if total else [None] * len(costs)
    spread = [parts_of(costs, team, rule) for team in UNALLOCATED]
    is_spread = rule != LEAVE and any(one.team not in UNALLOCATED for one in costs)
    # What is not known of the cost of no team is not known of the charges either.
    lacks = is_spread and any(one.is_lower_bound for one in costs if one.team in UNALLOCATED)
    for one, share, *parts in zip(costs, shares, *spread, strict=True):
        gives = is_spread and one.team in UNALLOCATED
        is_unknown = one.cost is None and not any(parts)
        charge = None if is_unknown else (one.cost or 0) + sum(parts)
        yield (share, *parts, charge, not gives and (one.is_lower_bound or lacks))


def parts_of(costs: Sequence[Cost], team: str, rule: str) -> list[int]:
    """Return what each row gets of the cost of a team that is none; its own rows give it.

    The cost is split among the teams first, by their costs or evenly, and that of a team among its
    rows by their costs; evenly where none has a cost. ``costs`` are sorted by team.
    """
    amounts = [one.cost or 0 for one in costs]
    parts = [0] * len(costs)
    places = {
        name: [at for at, _ in rows]
        for name, rows in groupby(enumerate(costs), key=lambda row: row[1].team)
    }
    giving = places.get(team, [])
    receiving = [rows for name, rows in places.items() if name not in UNALLOCATED]
    if rule == LEAVE or not receiving:
        return parts
    for at in giving:
        parts[at] = -amounts[at]
    by_team = _weights([sum(amounts[at] for at in rows) for rows in receiving], rule)
    given = whole_parts(sum(amounts[at] for at in giving), by_team)
    for rows, amount in zip(receiving, given, strict=True):
        weights = _weights([amounts[at] for at in rows], BY_COST)
        for at, part in zip(rows, whole_parts(amount, weights), strict=True):
            parts[at] = part
    return parts


def _weights(costs: Sequence[int], rule: str) -> Sequence[int]:
    return costs if rule == BY_COST and any(costs) else [1] * len(costs)
