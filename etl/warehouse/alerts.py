"""Unusual use that people are told of: each row of its views once.

A row is known by a hash of what it is of, never of what was counted: counts grow. So no name is
stored twice, and what a message says is read from the views when it is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.times import utc_text
from etl.warehouse.messages import add_message
from etl.warehouse.turns import transaction

# The topic of their messages.
ANOMALIES = "anomalies"

# Events arrive up to a week late; what is older is no news.
_NEWS = timedelta(days=7)


class Watched(NamedTuple):
    """A view of unusual use: the column with a row's time, and those that say what it is of."""

    view: str
    time: str
    identity: tuple[str, ...]


VIEWS = (
    Watched(
        "suspicious_errors", "hour", ("kind", "hour", "account_id", "principal_arn", "user_name")
    ),
    Watched("new_principals", "first_time", ("kind", "value", "principal_arn", "user_name")),
    Watched("cost_spikes", "period_start", ("dimension", "name", "period", "period_start")),
)


def record_alerts(db: Database, now: datetime, targets: Sequence[str]) -> int:
    """Record what is new in a message to these targets; return how much. Without targets: nothing.

    The message is recorded in the same transaction.
    """
    if not targets:
        return 0
    since = utc_text(now - _NEWS)
    found = [(one.view, row_hash) for one in VIEWS for row_hash, _ in _rows(db, one, since)]
    with transaction(db):
        told = {*db.conn.execute("select view, row_hash from alerts").fetchall()}
        new = [row for row in dict.fromkeys(found) if row not in told]
        if new:
            message_key = add_message(db, ANOMALIES, now, targets)
            db.conn.executemany(
                "insert into alerts values (?, ?, ?, ?)",
                [(*row, utc_text(now), message_key) for row in new],
            )
    return len(new)


def alerts_of(db: Database, message_key: int) -> dict[str, list[dict[str, Any]]]:
    """Return the rows that a message tells of, by view, the latest first."""
    rows = db.conn.execute(
        "select view, row_hash from alerts where message_key = ?", [message_key]
    ).fetchall()
    told = {*rows}
    return {
        one.view: [row for row_hash, row in _rows(db, one, "") if (one.view, row_hash) in told]
        for one in VIEWS
        if any(view == one.view for view, _ in told)
    }


def _rows(db: Database, one: Watched, since: str) -> Iterator[tuple[str, dict[str, Any]]]:
    sql = f"select * from {one.view} where {one.time} >= ? order by {one.time} desc"
    for row in db.query(sql, [since]):
        identity = json.dumps([row[column] for column in one.identity])
        yield hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32], row
