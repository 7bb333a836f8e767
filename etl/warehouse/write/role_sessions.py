"""The sessions of roles, and the tags of their calls.

An event of STS tells which access key it made and which tags its calls have; a call tells with
which access key it was made. Neither is kept as an id, only as a keyed hash, and the key is not in
the database: who has the file alone can neither find an id nor try one.

It does not matter which comes first: a call stores the hash of its key, and once the event of its
session arrives, it is attributed again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from sqlite_utils import Database

from etl.normalise.rows import RoleSession
from etl.warehouse.write.dimensions import Names

# AWS allows no deep chains; a loop in damaged events ends here.
_MOST_LINKS = 16


def write_sessions(db: Database, names: Names, sessions: Iterable[RoleSession]) -> set[int]:
    """Store what events tell of sessions; return the keys of credentials with other tags now.

    Sessions made by these are among them. Of copies of the event, whose tags may differ, one that
    has tags stays, then the first by time, whichever comes first: another account's may say less.
    """
    told = set[int]()
    for session in sessions:
        key = names.credential(session.access_key_id)
        parent = names.credential(session.parent)
        known = names.forgotten
        if (
            key is not None
            and db.conn.execute(
                "update credentials set told_at = ?, parent_key = ?, tags = ?, transitive_keys = ?"
                " where credential_key = ? and (told_at is null or (tags = '{}', told_at, tags,"
                " transitive_keys) > (?3 = '{}', ?1, ?3, ?4))",
                [
                    session.event_time,
                    parent if parent != key else None,
                    known.json(session.tags),
                    known.json(session.transitive_keys),
                    key,
                ],
            ).rowcount
        ):
            told.add(key)
    return told | _made_by(db, told)


def _made_by(db: Database, keys: Iterable[int]) -> set[int]:
    """Return the sessions that these made, and those that they made."""
    found: set[int] = set()
    fresh = set(keys)
    for _ in range(_MOST_LINKS):
        fresh = {
            child
            for key in fresh
            for (child,) in db.conn.execute(
                "select credential_key from credentials where parent_key = ?", [key]
            )
        } - found
        if not fresh:
            break
        found |= fresh
    return found


def tags_of(db: Database, credential_key: int | None) -> Mapping[str, str]:
    """Return the tags of a session: its own, and the transitive ones of those that led to it."""
    tags: dict[str, str] = {}
    for link in range(_MOST_LINKS):
        row = db.conn.execute(
            "select parent_key, tags, transitive_keys from credentials where credential_key = ?",
            [credential_key],
        ).fetchone()
        if row is None or row[1] is None:
            break
        credential_key, own, passed_on = row[0], json.loads(row[1]), json.loads(row[2])
        if link:
            own = {key: value for key, value in own.items() if key in passed_on}
        tags = own | tags
        if credential_key is None:
            break
    return tags


def credentials_with_tags(db: Database, condition: str) -> dict[int, Mapping[str, str]]:
    """Return the tags of the sessions that have any; ``condition``: SQL, of their keys."""
    keys = db.conn.execute(
        "select credential_key from credentials"
        f" where (tags <> '{{}}' or parent_key is not null) and {condition}"
    ).fetchall()
    found = {key: tags_of(db, key) for (key,) in keys}
    return {key: tags for key, tags in found.items() if tags}
