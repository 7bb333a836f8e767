"""Who is behind a session, where only CloudTrail tells.

An invocation log knows a caller by the ARN of the session. CloudTrail may know more: the source
identity, the provider of a web identity. So that one person is one user, whoever tells of the call,
the table ``session_users`` keeps each user that CloudTrail tells of a session: the one that the ARN
names too, as calls of the role itself may have the same session name. A logged call of a session
with one user is that user's. With two it is the role's: the session name does not tell which.

It does not matter which comes first: once CloudTrail has told, the logged calls before it are
attributed again (``etl.warehouse.write.calls``).
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlite_utils import Database

from etl.normalise.identity import user_of_log, user_of_session
from etl.normalise.rows import CLOUDTRAIL, INVOCATION_LOG, NO_CALL, Event
from etl.warehouse.write.dimensions import Names

# Sessions may be as many as the calls.
_MAX_KNOWN = 50_000

# Principal ARN, principal type, session name.
Session = tuple[str, str, str]


def session_of(event: Event) -> Session | None:
    """Return the session of a call; None for a caller without one."""
    if event.session_name is None:
        return None
    return event.principal_arn, event.principal_type, event.session_name


def tell_sessions(db: Database, names: Names, told: Iterable[tuple[str, str, str, str]]) -> None:
    """Store who is behind sessions, as CloudTrail told elsewhere.

    ``told``: principal ARN, principal type, session name and user.
    """
    users = SessionUsers(db, names)
    with db.atomic():
        users.learn(
            NO_CALL._replace(
                principal_arn=arn, principal_type=kind, session_name=session, user_name=user
            )
            for arn, kind, session, user in told
        )


class SessionUsers:
    """What CloudTrail tells of sessions, in the tables and since. Call ``forget`` after a rollback.

    Names are those of the events: forgotten ones too.
    """

    def __init__(self, db: Database, names: Names) -> None:
        self._db, self._names = db, names
        self._known: set[tuple[Session, str]] = set()
        self._identified: list[Session] = []

    def forget(self) -> None:
        """Look at the tables again."""
        self._known.clear()
        self._identified.clear()

    def learn(self, events: Iterable[Event]) -> list[Session]:
        """Store who is behind the sessions of events; return those whose logs have another user."""
        identified = []
        for event in events:
            session = session_of(event)
            if session is None or not event.reported_by & CLOUDTRAIL:
                continue
            if (session, event.user_name) in self._known:
                continue
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known.add((session, event.user_name))
            if self._store(event) and self._differs_from_arn(event):
                self._identify(event)
                identified.append(session)
        return identified

    def take_identified(self) -> list[Session]:
        """Return the sessions whose user was identified since the last call."""
        identified, self._identified = self._identified, []
        return identified

    def name_user(self, event: Event) -> Event:
        """Return a call with its user, where only CloudTrail tells the user of its session."""
        if event.reported_by != INVOCATION_LOG or event.session_name is None:
            return event
        users = self._users_of(event)
        told = [user for user, _ in users]
        user = user_of_log(event.principal_arn, event.session_name, told)
        if user is None:
            return event
        session_name = users[0][1] if len(users) == 1 else event.session_name
        return event._replace(user_name=user, session_name=session_name)

    def _store(self, event: Event) -> bool:
        """Store who is behind the session of an event; return whether that is new."""
        names = self._names
        event = names.forgotten.event(event)
        principal_key = names.principal(event.principal_arn, event.principal_type)
        user_key = names.user(event.user_name)
        is_new = self._db.conn.execute(
            "insert or ignore into session_users values (?, ?, ?)",
            [principal_key, names.session(event.session_name), user_key],
        ).rowcount
        return bool(is_new)

    def _differs_from_arn(self, event: Event) -> bool:
        """Return whether an event's session has any user but the one that the ARN names."""
        by_arn = user_of_session(event.principal_arn, event.session_name)
        return event.user_name != by_arn or len(self._users_of(event)) > 1

    def _identify(self, event: Event) -> None:
        known, session_name = self._names.forgotten, event.session_name
        # Logs of a forgotten user's session may have it under its own name.
        for stored in {known.event(event).session_name, known.text_or_none(session_name)}:
            self._identified.append((event.principal_arn, event.principal_type, stored or ""))

    def _users_of(self, event: Event) -> list[tuple[str, str]]:
        """Return the users of a call's session, and the session's name as it is stored."""
        known, session = self._names.forgotten, event.session_name or ""
        # Of a forgotten user, the name of the session is replaced as well.
        stored = {known.text(session), known.pseudonym(session)} if known else {session}
        return self._db.conn.execute(
            "select user_name, session_name from session_users"
            " join principals using (principal_key) join sessions using (session_key)"
            " join users using (user_key)"
            " where principal_arn = ? and principal_type = ?"
            f" and session_name in ({', '.join('?' * len(stored))}) order by user_name",
            [known.text(event.principal_arn), event.principal_type, *sorted(stored)],
        ).fetchall()
