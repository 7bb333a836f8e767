"""Whom the lines of a bill are charged for: users, applications and teams, as those of calls.

A line names a principal as an invocation log does, by its ARN. It becomes an event without a call,
and whatever decides for a logged event decides for it: who is behind the session, rules, aliases,
forgotten names, what names a team. Its tags stand where rules look for ``tag``, each under the full
name that the bill gives it. When rules or evidence change, all callers are decided again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sqlite_utils import Database

from etl.normalise.application import find_application
from etl.normalise.bills import Caller
from etl.normalise.identity import find_identity_of_arn
from etl.normalise.rows import INVOCATION_LOG, NO_CALL, Event
from etl.normalise.rules import role_name_of
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.sessions import SessionUsers

# The keys of the user and the application of an event, each before what it names itself.
KeysOf = Callable[[Event], tuple[int, int | None, int, int | None]]

_EVIDENCE = (
    *("account_key", "region_key", "principal_key", "session_key", "model_key"),
    "request_metadata_key",
)


class _Stored(NamedTuple):
    """A stored caller, as the texts of its evidence; ``principal_arn`` has no session."""

    key: int
    account_id: str | None
    region: str | None
    principal_arn: str | None
    principal_type: str | None
    session_name: str | None
    profile: str | None
    tags: str | None


def event_of(caller: Caller) -> Event:
    """Return a caller as an event of no call."""
    identity, _ = find_identity_of_arn(caller.principal)
    return _event(
        _Stored(
            0,
            caller.account_id,
            caller.region,
            identity.principal_arn,
            identity.principal_type,
            identity.session_name,
            caller.profile or None,
            caller.tags or None,
        )
    )


def _event(caller: _Stored) -> Event:
    arn, session = caller.principal_arn or "", caller.session_name
    identity, _ = find_identity_of_arn(f"{arn}/{session}" if session else arn)
    application, source = find_application(
        role_name=identity.role_name or role_name_of(arn), request_parameters={}, user_agent=None
    )
    return NO_CALL._replace(
        account_id=caller.account_id or "",
        region=caller.region or "",
        model_id=caller.profile,
        principal_arn=arn,
        principal_type=caller.principal_type or identity.principal_type,
        session_name=session,
        user_name=identity.user_name,
        application=application,
        application_source=source,
        request_metadata=caller.tags,
        reported_by=INVOCATION_LOG,
    )


class BillCallers:
    """The keys of callers, in the caller's transaction."""

    def __init__(self, db: Database, names: Names, keys_of: KeysOf) -> None:
        self._db, self._names, self._keys_of = db, names, keys_of
        self._sessions = SessionUsers(db, names)
        self._known: dict[Caller, int] = {}

    def key(self, caller: Caller) -> int:
        """Return the key of a caller, stored if it is new."""
        if caller not in self._known:
            self._known[caller] = self._stored(event_of(caller))
        return self._known[caller]

    def decide(self, event: Event) -> tuple[Event, int, int]:
        """Return an event without forgotten names, and the keys of its user and application."""
        event = self._names.forgotten.event(self._sessions.name_user(event))
        user, _, application, _ = self._keys_of(event)
        return event, user, application

    def _stored(self, event: Event) -> int:
        names = self._names
        event, *decided = self.decide(event)
        evidence = (
            names.account(event.account_id) if event.account_id else None,
            names.region(event.region) if event.region else None,
            names.principal(event.principal_arn, event.principal_type),
            names.session(event.session_name),
            names.model(event.model_id) if event.model_id else None,
            names.request_metadata(event.request_metadata),
        )
        same = " and ".join(f"{column} is ?" for column in _EVIDENCE)
        found = self._db.conn.execute(
            f"select caller_key from bill_callers where {same}", evidence
        ).fetchone()
        if found:
            return int(found[0])
        columns = (*_EVIDENCE, "user_key", "application_key")
        key = self._db.conn.execute(
            f"insert into bill_callers ({', '.join(columns)})"
            f" values ({', '.join('?' * len(columns))})",
            [*evidence, *decided],
        ).lastrowid
        return int(key or 0)


def attribute_bill(db: Database, names: Names, keys_of: KeysOf) -> int:
    """Decide the users and applications of all callers again; return how many have others."""
    rows = db.conn.execute(
        "select caller_key, account_id, region, principal_arn, principal_type, session_name,"
        " model_id, request_metadata from bill_callers"
        " left join accounts using (account_key) left join regions using (region_key)"
        " left join principals using (principal_key) left join sessions using (session_key)"
        " left join models using (model_key)"
        " left join request_metadata using (request_metadata_key)"
    ).fetchall()
    callers = BillCallers(db, names, keys_of)
    decided = []
    for row in rows:
        stored = _Stored(*row)
        _, user, application = callers.decide(_event(stored))
        decided.append((user, application, stored.key, user, application))
    return (
        db.conn.executemany(
            "update bill_callers set user_key = ?, application_key = ? where caller_key = ?"
            " and (user_key, application_key) is not (?, ?)",
            decided,
        ).rowcount
        if decided
        else 0
    )
