"""Messages to people: recorded before they are sent, and sent until they arrive.

A message is to one or more targets of the configuration. A try to deliver it is committed before
it begins (``sending``) and after it ended (``sent``, or ``pending`` again). So a process that is
killed in between leaves a delivery that the next one takes up, marked as a possible repeat. Nothing
here knows how messages look or travel.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.times import utc_text
from etl.warehouse.turns import transaction

PENDING, SENDING, SENT, FAILED = "pending", "sending", "sent", "failed"

# After these many tries, over two days, it is given up.
MOST_TRIES = 12
_FIRST_PAUSE = timedelta(minutes=5)
_LONGEST_PAUSE = timedelta(hours=12)


class Delivery(NamedTuple):
    """A message that has to be sent to a target.

    ``delivered``: hashes of its addresses that have it. ``may_be_repeated``: an earlier try ended
    without anyone knowing how.
    """

    message_key: int
    topic: str
    subject: str
    created_at: str
    target: str
    tries: int
    delivered: tuple[str, ...]
    may_be_repeated: bool


def add_message(
    db: Database, topic: str, now: datetime, targets: Collection[str], subject: str = ""
) -> int | None:
    """Add a message to each target and return its key; None if this subject had one before.

    The caller holds the transaction, which also has what the message tells of.
    """
    row = db.conn.execute(
        "insert or ignore into messages (topic, subject, created_at) values (?, ?, ?)"
        " returning message_key",
        [topic, subject, utc_text(now)],
    ).fetchone()
    if row is None:
        return None
    db.conn.executemany(
        "insert into deliveries (message_key, target, state) values (?, ?, ?)",
        [(row[0], target, PENDING) for target in targets],
    )
    return int(row[0])


def add_targets(db: Database, topic: str, subject: str, targets: Collection[str]) -> bool:
    """Have a message sent also to those of these targets that it was not for; return if any.

    The caller holds the transaction.
    """
    (key,) = db.conn.execute(
        "select message_key from messages where topic = ? and subject = ?", [topic, subject]
    ).fetchone()
    cursor = db.conn.executemany(
        "insert or ignore into deliveries (message_key, target, state) values (?, ?, ?)",
        [(key, target, PENDING) for target in targets],
    )
    return cursor.rowcount > 0


def hold(db: Database, topic: str, subject: str, until: datetime | None) -> bool:
    """Have a message that nobody tried to send wait until a time, or no longer (None).

    Return whether there is one; the caller holds the transaction.
    """
    cursor = db.conn.execute(
        "update deliveries set retry_at = ? where state = ? and tries = 0 and message_key ="
        " (select message_key from messages where topic = ? and subject = ?)",
        [until and utc_text(until), PENDING, topic, subject],
    )
    return bool(cursor.rowcount)


def again(db: Database, topic: str, subject: str, targets: Collection[str]) -> None:
    """Have a message sent again, to these targets; the caller holds the transaction."""
    (key,) = db.conn.execute(
        "select message_key from messages where topic = ? and subject = ?", [topic, subject]
    ).fetchone()
    db.conn.executemany(
        "insert or replace into deliveries (message_key, target, state) values (?, ?, ?)",
        [(key, target, PENDING) for target in targets],
    )


def due_deliveries(db: Database, now: datetime) -> list[Delivery]:
    """Return what has to be sent now, the oldest first. Only one process may send at a time."""
    rows = db.conn.execute(
        "select message_key, topic, subject, created_at, target, tries, delivered,"
        " may_be_repeated or state = ? from deliveries join messages using (message_key)"
        " where state = ? or (state = ? and coalesce(retry_at, '') <= ?)"
        " order by message_key, target",
        [SENDING, SENDING, PENDING, utc_text(now)],
    )
    return [
        Delivery(*row[:6], tuple(json.loads(row[6])), bool(row[7]))  # type: ignore[call-arg]
        for row in rows.fetchall()
    ]


def latest_deliveries(db: Database, last: int) -> list[dict[str, Any]]:
    """Return the latest deliveries, the newest first: rows of ``messages`` and ``deliveries``."""
    sql = (
        "select * from deliveries join messages using (message_key)"
        " order by message_key desc, target limit ?"
    )
    return list(db.query(sql, [last]))


def begin_delivery(db: Database, one: Delivery, now: datetime) -> None:
    """Record that a try begins."""
    _update(db, one, state=SENDING, tries=one.tries + 1, tried_at=utc_text(now),
            may_be_repeated=int(one.may_be_repeated))  # fmt: skip


def note_delivered(db: Database, one: Delivery, delivered: Sequence[str]) -> None:
    """Record which addresses of the target have the message."""
    _update(db, one, delivered=json.dumps(list(delivered)))


def end_delivery(
    db: Database,
    one: Delivery,
    now: datetime,
    reason: str | None,
    *,
    is_unknown: bool = False,
    is_final: bool = False,
) -> str:
    """Record how a try ended, and return the state; ``reason`` None: it arrived.

    ``is_unknown``: nobody knows whether it arrived. ``is_final``: no other try can help.
    """
    is_last = is_final or one.tries + 1 >= MOST_TRIES
    state = SENT if reason is None else FAILED if is_last else PENDING
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(one.tries, 20))
    _update(
        db,
        one,
        state=state,
        reason=reason,
        retry_at=utc_text(now + pause) if state == PENDING else None,
        may_be_repeated=int(one.may_be_repeated or is_unknown),
    )
    return state


def _update(db: Database, one: Delivery, **values: Any) -> None:
    with transaction(db):
        db.conn.execute(
            f"update deliveries set {', '.join(f'{column} = ?' for column in values)}"
            " where message_key = ? and target = ?",
            [*values.values(), one.message_key, one.target],
        )
