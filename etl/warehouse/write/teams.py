"""Which team a call belongs to, by all that the warehouse knows.

A rule comes first, then the kinds of evidence in ``_KINDS``. Every kind may become known after the
call: sessions and tags arrive later, and the configuration changes. ``Teams`` decides for calls
that are written, by all but the tags of their sessions, which few calls have; for stored ones,
``etl.warehouse.write.attribution`` joins the tables that ``fill_evidence`` makes, one for each kind
of evidence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlite_utils import Database

from etl.normalise.application import CONFIG_RULE, INFERENCE_PROFILE, REQUEST_METADATA
from etl.normalise.fields import text
from etl.normalise.model_ids import parse_model_id
from etl.normalise.profiles import named_by
from etl.normalise.rules import Evidence, Rule, TeamRule, compile_rules, find_rule, pairs_of
from etl.normalise.teams import (
    ACCOUNT_NAME,
    ACCOUNT_UNIT,
    PRINCIPAL_TAG,
    RESERVED_TEAMS,
    SESSION_TAG,
    TeamSettings,
)
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.role_sessions import credentials_with_tags

_APPLIED = "applied"

# A team and the evidence for it.
_Team = tuple[str, str] | None


class Profile(NamedTuple):
    """What an application inference profile tells: the names that rules match, and its tags."""

    names: tuple[str, ...] = ()
    application: str | None = None
    tags: Mapping[str, str] = {}


NO_PROFILE = Profile()
NO_TAGS: Mapping[str, str] = {}


def stored_settings(db: Database) -> TeamSettings:
    """Return what may name a team, as configured last."""
    rows = db.conn.execute("select name, value from team_settings")
    stored = {name: json.loads(value) for name, value in rows if name != _APPLIED}
    if not stored:
        return TeamSettings()
    return TeamSettings(tuple(stored["tags"]), tuple(stored["metadata"]), stored["account"])


def store_settings(db: Database, settings: TeamSettings) -> None:
    """Store what may name a team; this does not attribute stored calls again."""
    db.conn.executemany(
        "insert or replace into team_settings values (?, ?)",
        [(name, json.dumps(value)) for name, value in settings._asdict().items()],
    )


def stored_units(db: Database) -> dict[str, str]:
    """Return the organizational units of accounts, as far as any are known."""
    return dict(
        db.conn.execute(
            "select account_id, unit_name from account_names where unit_name is not null"
        ).fetchall()
    )


class Teams:
    """Decides the team of calls by what the warehouse knows now. Lives for one batch at most."""

    def __init__(self, names: Names, rules: Sequence[Rule]) -> None:
        self._names, self._db = names, names.db
        self._rules = compile_rules(rule for rule in rules if isinstance(rule, TeamRule))
        self._settings = stored_settings(self._db)
        self._profiles: dict[str | None, Profile] = {None: NO_PROFILE}
        self._principals: dict[str, _Team] = {}
        self._accounts: dict[str | None, _Team] = {}

    def key(
        self,
        evidence: Evidence,
        application: str,
        source_rank: int,
        session: Mapping[str, str] = NO_TAGS,
    ) -> int:
        """Return the key of a call's team. ``application``: what the call itself or a rule says.

        ``session``: the tags of its session, where they are known already.
        """
        profile = self._profile(evidence.model_id)
        if self._rules:
            complete = completed(evidence, application, source_rank, profile, session)
            ruled = find_rule(self._rules, complete)
            if ruled is not None:
                return self._names.team(ruled, CONFIG_RULE)
        for kind in _KINDS:
            found = kind.of_call(self, evidence, profile, session)
            if found is not None:
                return self._names.team(*found)
        return 0

    def by_session(self, evidence: Evidence, profile: Profile, session: Mapping[str, str]) -> _Team:
        """Return the team that the session's tags name; those of calls are looked up later."""
        return _team_by(SESSION_TAG, session, self._settings.tags)

    def by_metadata(
        self, evidence: Evidence, profile: Profile, session: Mapping[str, str]
    ) -> _Team:
        """Return the team that the request metadata names."""
        metadata, keys = evidence.request_metadata, self._settings.metadata
        return _team_by(REQUEST_METADATA, json.loads(metadata), keys) if metadata else None

    def by_profile(self, evidence: Evidence, profile: Profile, session: Mapping[str, str]) -> _Team:
        """Return the team that the tags of the inference profile name."""
        return _team_by(INFERENCE_PROFILE, profile.tags, self._settings.tags)

    def by_principal(
        self, evidence: Evidence, profile: Profile, session: Mapping[str, str]
    ) -> _Team:
        """Return the team that the tags of the role or user name."""
        arn = evidence.principal_arn
        if arn is None:
            return None
        if arn not in self._principals:
            row = self._db.conn.execute(
                "select tags from principal_tags where principal_arn = ?", [arn]
            ).fetchone()
            tags = json.loads(row[0]) if row else {}
            self._principals[arn] = _team_by(PRINCIPAL_TAG, tags, self._settings.tags)
        return self._principals[arn]

    def by_account(self, evidence: Evidence, profile: Profile, session: Mapping[str, str]) -> _Team:
        """Return the team that the account's name or unit is."""
        account_id = evidence.account_id
        if account_id not in self._accounts:
            row = self._db.conn.execute(
                "select account_name, unit_name from account_names where account_id = ?",
                [account_id],
            ).fetchone()
            self._accounts[account_id] = team_of_account(row, self._settings.account)
        return self._accounts[account_id]

    def _profile(self, model_id: str | None) -> Profile:
        if model_id not in self._profiles:
            self._profiles[model_id] = profile_of(self._db, parse_model_id(model_id).model_tail)
        return self._profiles[model_id]


def completed(
    evidence: Evidence,
    application: str,
    source_rank: int,
    profile: Profile,
    session: Mapping[str, str],
) -> Evidence:
    """Return evidence with what only rules of teams look at."""
    if profile.application is not None and source_rank > PROFILE_RANK:
        application = profile.application
    return evidence._replace(
        application=application,
        profiles=profile.names,
        tags=(*pairs_of(session), *pairs_of(profile.tags)),
    )


# As sql/macros/names.sql has it.
PROFILE_RANK = 3


def team_named(tags: Mapping[str, object], keys: tuple[str, ...]) -> str | None:
    """Return the team that tags name by the first of the keys that they have."""
    name = named_by(tags, keys)
    return None if name in RESERVED_TEAMS else name


def _team_by(source: str, tags: Mapping[str, object], keys: tuple[str, ...]) -> _Team:
    name = team_named(tags, keys)
    return (name, source) if name else None


def team_of_account(row: tuple[str, str | None] | None, setting: str) -> tuple[str, str] | None:
    """Return the team of an account, and the evidence; ``row``: its name and its unit's."""
    if row is None or setting == "off":
        return None
    name, source = (row[0], ACCOUNT_NAME) if setting == "name" else (row[1], ACCOUNT_UNIT)
    team = text(name)
    return None if team is None or team in RESERVED_TEAMS else (team, source)


def profile_of(db: Database, model_tail: str) -> Profile:
    """Return what the application profile with this id tells, as ``int_models`` chooses it."""
    row = db.conn.execute(
        "select profile_name, profile_id, profile_arn, application, tags from inference_profiles"
        " where profile_id = ? and application is not null order by profile_arn limit 1",
        [model_tail],
    ).fetchone()
    if row is None:
        return NO_PROFILE
    return Profile(tuple(filter(None, row[:3])), row[3], json.loads(row[4] or "{}"))


def fill_evidence(db: Database, names: Names, calls: str | None = None) -> dict[str, str]:
    """Create a temporary table for each kind of evidence that names a team.

    Returns their names, each with the key of events that is its own key; ``team_key``: the team
    that it names, without rules. ``calls``: a relation of calls, the only ones that it is for; None
    for all.
    """
    settings, filled = stored_settings(db), dict[str, str]()
    for key, _, rows_of in _KINDS:
        used = f"{key} in (select {key} from {calls})" if calls else "true"
        table = f"team_by_{key}"
        db.execute(f"drop table if exists temp.{table}")
        teams = [(one, names.team(*found)) for one, found in rows_of(db, settings, used) if found]
        if teams:
            db.execute(f"create temp table {table} ({key} integer primary key, team_key)")
            db.conn.executemany(f"insert or ignore into {table} values (?, ?)", teams)
            filled[table] = key
    return filled


_Rows = Iterator[tuple[int, _Team]]


def _sessions(db: Database, settings: TeamSettings, used: str) -> _Rows:
    for key, tags in credentials_with_tags(db, used).items():
        yield key, _team_by(SESSION_TAG, tags, settings.tags)


def _metadata(db: Database, settings: TeamSettings, used: str) -> _Rows:
    # As the key is in the JSON text, unless it has an escape.
    mention = " or ".join("instr(request_metadata, ?)" for _ in settings.metadata)
    rows = db.conn.execute(
        "select request_metadata_key, request_metadata from request_metadata"
        f" where ({mention}) and {used}",
        [json.dumps(key, ensure_ascii=False) for key in settings.metadata],
    )
    for key, metadata in rows.fetchall():
        yield key, _team_by(REQUEST_METADATA, json.loads(metadata), settings.metadata)


def _profiles(db: Database, settings: TeamSettings, used: str) -> _Rows:
    rows = db.conn.execute(
        "select model_key, model_tail from models where model_tail in"
        " (select profile_id from inference_profiles where tags is not null)"
    )
    for key, tail in rows.fetchall():
        yield key, _team_by(INFERENCE_PROFILE, profile_of(db, tail).tags, settings.tags)


def _principals(db: Database, settings: TeamSettings, used: str) -> _Rows:
    rows = db.conn.execute(
        "select principal_key, tags from principals join principal_tags using (principal_arn)"
    )
    for key, tags in rows.fetchall():
        yield key, _team_by(PRINCIPAL_TAG, json.loads(tags), settings.tags)


def _accounts(db: Database, settings: TeamSettings, used: str) -> _Rows:
    rows = db.conn.execute(
        "select account_key, account_name, unit_name from accounts"
        " join account_names using (account_id)"
    )
    for key, name, unit in rows.fetchall():
        yield key, team_of_account((name, unit), settings.account)


class _Kind(NamedTuple):
    """A kind of evidence: the key of events that it hangs on, and the teams that it names.

    ``of_call``: of a call that is written; ``of_keys``: of stored ones, by the key. Its last
    argument is a condition on the key, for evidence of which there is as much as of calls.
    """

    key: str
    of_call: Callable[[Teams, Evidence, Profile, Mapping[str, str]], _Team]
    of_keys: Callable[[Database, TeamSettings, str], _Rows]


# The order is the precedence, after rules.
_KINDS = (
    _Kind("credential_key", Teams.by_session, _sessions),
    _Kind("request_metadata_key", Teams.by_metadata, _metadata),
    _Kind("model_key", Teams.by_profile, _profiles),
    _Kind("principal_key", Teams.by_principal, _principals),
    _Kind("account_key", Teams.by_account, _accounts),
)


def evidence_state(db: Database, rules: Sequence[Rule]) -> str:
    """Return a hash of what decides the teams of stored calls, besides sessions and metadata.

    Those arrive with their calls and are attributed then.
    """
    settings = stored_settings(db)
    team_rules = [rule for rule in rules if isinstance(rule, TeamRule)]
    run = db.conn.execute
    parts: list[object] = [settings, [(rule.name, dict(rule.conditions)) for rule in team_rules]]
    parts.append(
        [
            (arn, name, application, tags) if team_rules else (arn, _team_in(tags, settings.tags))
            for arn, name, application, tags in run(
                "select profile_arn, profile_name, application, tags from inference_profiles"
                " where application is not null order by profile_arn"
            )
            if team_rules or _team_in(tags, settings.tags)
        ]
    )
    parts.append(
        [
            (arn, team)
            for arn, tags in run("select * from principal_tags order by principal_arn")
            if (team := _team_in(tags, settings.tags))
        ]
    )
    parts.append(
        [
            (account, of_account)
            for account, *names in run("select * from account_names order by account_id")
            if (of_account := team_of_account((names[0], names[1]), settings.account))
        ]
    )
    if any("application" in rule.conditions for rule in team_rules):
        parts.append(
            run(
                "select application_key, label from applications where label is not null"
                " and base_key is null order by 1"
            ).fetchall()
        )
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _team_in(tags: str | None, keys: tuple[str, ...]) -> str | None:
    return team_named(json.loads(tags), keys) if tags else None


def applied_state(db: Database) -> str | None:
    """Return the state that the stored calls were attributed by last; None before any."""
    row = db.conn.execute("select value from team_settings where name = ?", [_APPLIED]).fetchone()
    return row[0] if row else None


def store_applied(db: Database, state: str) -> None:
    """Record the state that the stored calls are attributed by."""
    db.conn.execute("insert or replace into team_settings values (?, ?)", [_APPLIED, state])
