"""Which team a call belongs to, by all that the warehouse knows.

The order of the evidence is that of ``etl.normalise.teams``. Every kind may become known after the
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


class Profile(NamedTuple):
    """What an application inference profile tells: the names that rules match, and its tags."""

    names: tuple[str, ...] = ()
    application: str | None = None
    tags: Mapping[str, str] = {}


NO_PROFILE = Profile()


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


class Teams:
    """Decides the team of calls by what the warehouse knows now. Lives for one batch at most."""

    def __init__(self, names: Names, rules: Sequence[Rule]) -> None:
        self._names, self._db = names, names.db
        self._rules = compile_rules(rule for rule in rules if isinstance(rule, TeamRule))
        self._settings = stored_settings(self._db)
        self._profiles: dict[str | None, Profile] = {None: NO_PROFILE}
        self._principals: dict[str, str | None] = {}
        self._accounts: dict[str, _Team] = {}

    def key(self, evidence: Evidence, application: str, source_rank: int) -> int:
        """Return the key of a call's team. ``application``: what the call itself or a rule says."""
        profile = self._profile(evidence.model_id)
        if self._rules:
            complete = completed(evidence, application, source_rank, profile, {})
            ruled = find_rule(self._rules, complete)
            if ruled is not None:
                return self._names.team(ruled, CONFIG_RULE)
        found = next(self._found(evidence, profile), None)
        return 0 if found is None else self._names.team(*found)

    def _found(self, evidence: Evidence, profile: Profile) -> Iterator[tuple[str, str]]:
        keys = self._settings.tags
        for name, source in (
            (self._of_metadata(evidence.request_metadata), REQUEST_METADATA),
            (team_named(profile.tags, keys), INFERENCE_PROFILE),
            (self._of_principal(evidence.principal_arn), PRINCIPAL_TAG),
        ):
            if name:
                yield name, source
        account = self._of_account(evidence.account_id)
        if account:
            yield account

    def _of_metadata(self, metadata: str | None) -> str | None:
        return team_named(json.loads(metadata), self._settings.metadata) if metadata else None

    def _of_principal(self, arn: str | None) -> str | None:
        if arn is None:
            return None
        if arn not in self._principals:
            row = self._db.conn.execute(
                "select tags from principal_tags where principal_arn = ?", [arn]
            ).fetchone()
            tags = json.loads(row[0]) if row else {}
            self._principals[arn] = team_named(tags, self._settings.tags)
        return self._principals[arn]

    def _of_account(self, account_id: str | None) -> tuple[str, str] | None:
        if account_id not in self._accounts:
            row = self._db.conn.execute(
                "select account_name, unit_name from account_names where account_id = ?",
                [account_id],
            ).fetchone()
            self._accounts[account_id or ""] = team_of_account(row, self._settings.account)
        return self._accounts[account_id or ""]

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


# Each kind of evidence but rules, in order: the key of events that it hangs on.
EVIDENCE_KEYS = (
    "credential_key",
    "request_metadata_key",
    "model_key",
    "principal_key",
    "account_key",
)


def fill_evidence(db: Database, names: Names, calls: str | None = None) -> list[str]:
    """Create a temporary table for each kind of evidence that names a team; return their keys.

    ``team_by_KEY`` has the key of events and the team that it names, without rules. ``calls``: a
    relation of calls, the only ones that it is for; None for all.
    """
    settings, filled = stored_settings(db), []
    for key, rows in zip(EVIDENCE_KEYS, _evidence(db, settings, calls), strict=True):
        db.execute(f"drop table if exists temp.team_by_{key}")
        teams = [(one, names.team(*found)) for one, found in rows if found is not None]
        if teams:
            db.execute(f"create temp table team_by_{key} ({key} integer primary key, team_key)")
            db.conn.executemany(f"insert or ignore into team_by_{key} values (?, ?)", teams)
            filled.append(key)
    return filled


# A team and the evidence for it.
_Team = tuple[str, str] | None
_Rows = Iterator[tuple[int, _Team]]


def _evidence(db: Database, settings: TeamSettings, calls: str | None) -> Sequence[_Rows]:
    """Return the rows of each kind of evidence, in the order of ``EVIDENCE_KEYS``."""
    run = db.conn.execute

    def used(key: str) -> str:
        return f"{key} in (select {key} from {calls})" if calls else "true"

    def by(source: str, keys: tuple[str, ...]) -> Callable[[Mapping[str, object]], _Team]:
        return lambda tags: (name, source) if (name := team_named(tags, keys)) else None

    in_tags = by(SESSION_TAG, settings.tags)
    in_metadata = by(REQUEST_METADATA, settings.metadata)
    in_profile = by(INFERENCE_PROFILE, settings.tags)
    in_principal = by(PRINCIPAL_TAG, settings.tags)
    sessions = credentials_with_tags(db, used("credential_key"))
    # As the key is in the JSON text, unless it has an escape.
    mention = " or ".join("instr(request_metadata, ?)" for _ in settings.metadata)
    words = [json.dumps(key, ensure_ascii=False) for key in settings.metadata]
    return (
        ((key, in_tags(tags)) for key, tags in sessions.items()),
        (
            (key, in_metadata(json.loads(metadata)))
            for key, metadata in run(
                "select request_metadata_key, request_metadata from request_metadata"
                f" where ({mention}) and {used('request_metadata_key')}",
                words,
            ).fetchall()
        ),
        (
            (key, in_profile(profile_of(db, tail).tags))
            for key, tail in run(
                "select model_key, model_tail from models where model_tail in"
                " (select profile_id from inference_profiles where tags is not null)"
            ).fetchall()
        ),
        (
            (key, in_principal(json.loads(tags)))
            for key, tags in run(
                "select principal_key, tags from principals join principal_tags"
                " using (principal_arn)"
            ).fetchall()
        ),
        (
            (key, team_of_account((name, unit), settings.account))
            for key, name, unit in run(
                "select account_key, account_name, unit_name from accounts"
                " join account_names using (account_id)"
            ).fetchall()
        ),
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
