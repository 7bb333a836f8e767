"""Store the rules and names of the configuration, and apply them.

- **An alias**, or the name of a project, is stored next to AWS's name, and views show it
  (``etl.warehouse.write.shown_names``).
- **A rule** decides ``events.user_key`` or ``events.application_key``, which the rollups are keyed
  by. What the event itself names moves to ``found_user_key`` or ``found_application_key``, and back
  when no rule matches any more. ``Attributor`` applies the rules to new calls, ``apply_config`` to
  stored calls when the rules change.
- **A team** is decided by a rule, or by other evidence (``etl.warehouse.write.teams``). It is part
  of the application's key: the rollups have no key more, and only as many more rows as there are
  applications that several teams use.

Kinds of rules are applied in their order: a rule for the application sees the user that a rule
gave, a rule for the team sees both. Rules are not matched against every stored call, but once for
each distinct combination of the names that they look at. The events are then updated day by day, so
that memory holds one day, all in one transaction.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlite_utils import Database

from etl.normalise.application import CONFIG_RULE, KeyNames
from etl.normalise.model_ids import parse_model_id
from etl.normalise.profiles import profile_application
from etl.normalise.rows import Event
from etl.normalise.rules import (
    KINDS,
    ApplicationRule,
    Evidence,
    Rule,
    TeamRule,
    UserRule,
    compile_rules,
    evidence_of,
    find_rule,
    make_evidence,
)
from etl.normalise.teams import TeamSettings
from etl.warehouse.long_work import long_work
from etl.warehouse.pseudonyms import forgotten_in
from etl.warehouse.write.bill_callers import attribute_bill
from etl.warehouse.write.bill_cells import note_all, renew_bill_cells
from etl.warehouse.write.bill_figures import keep_figures_again
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.role_sessions import tags_of
from etl.warehouse.write.rollup import COUNTED_FROM, add_calls, hours_of, renew, subtract_calls
from etl.warehouse.write.shown_names import (
    name_projects_by_tags,
    store_aliases,
    store_project_names,
    stored_aliases,
    stored_project_names,
)
from etl.warehouse.write.teams import (
    NO_TAGS,
    Teams,
    applied_state,
    completed,
    evidence_state,
    fill_evidence,
    profile_of,
    store_applied,
    store_settings,
    stored_settings,
)

# The event's key whose name each condition looks at.
_KEYS = {
    "role": "principal_key",
    "user": "user_key",
    "session": "session_key",
    "provider": "provider_key",
    "principal_arn": "principal_key",
    "user_agent": "user_agent_key",
    "account_id": "account_key",
    "region": "region_key",
    "model": "model_key",
    "project": "project_key",
    "tag": "request_metadata_key",
}

# Those that rules of teams look at in addition.
_KEYS_OF_TEAMS = {
    "application": ("application_key", "model_key"),
    "profile": ("model_key",),
    "tag": ("request_metadata_key", "model_key", "credential_key"),
}

# The table and name column of each key, in the order in which evidence is read.
_NAMES: Mapping[str, tuple[str, str | None]] = {
    "account_key": ("accounts", "account_id"),
    "region_key": ("regions", "region"),
    "principal_key": ("principals", "principal_arn"),
    "session_key": ("sessions", "session_name"),
    "user_key": ("users", "user_name"),
    "user_agent_key": ("user_agents", "user_agent"),
    "model_key": ("models", "model_id"),
    "provider_key": ("providers", "provider"),
    "project_key": ("projects", "project"),
    "request_metadata_key": ("request_metadata", "request_metadata"),
    # By which credentials a call was made is no evidence; the tags of their session are.
    "credential_key": ("credentials", None),
    "application_key": ("applications", None),
}


class Attribution(NamedTuple):
    """What a configuration changed: calls with a new application, users with a new alias."""

    calls_changed: int = 0
    users_renamed: int = 0


# What the event itself says is kept (DECISIONS 29, 32).
def apply_config(
    db: Database,
    rules: Sequence[Rule],
    aliases: Mapping[str, str],
    projects: Mapping[str, str] | None = None,
    settings: TeamSettings | None = None,
) -> Attribution:
    """Replace the stored rules and names, and attribute every call by the new rules.

    ``rules``: of any kind, those of a kind in their order. ``aliases``: user, or a glob, to the
    name to show. ``projects``: the ARN or id of a project to its name. ``settings``: what may name
    a team; None for what is stored. All of it is one transaction; if nothing differs, nothing is
    written.
    """
    rules, aliases = _in_order(rules), dict(aliases)
    projects = dict(projects or {})
    known = forgotten_in(db)
    if known:
        rules = [known.rule(rule) for rule in rules]
        aliases = {u: alias for u, alias in aliases.items() if not known.found_in(u, alias)}
        projects = {p: known.text(name) for p, name in projects.items()}
    if (
        tuple(rules) == stored_rules(db)
        and list(aliases.items()) == list(stored_aliases(db).items())
        and projects == stored_project_names(db)
        and (settings is None or settings == stored_settings(db))
        and applied_state(db) == evidence_state(db, rules)
    ):
        return Attribution()
    with db.atomic():
        # Written first, so that no other process writes between the next read and its change.
        users_renamed = store_aliases(db, aliases)
        store_project_names(db, projects)
        if settings is not None:
            store_settings(db, settings)
        names = Names(db)
        if tuple(rules) == stored_rules(db):
            changed = renew_teams(db, names)
        else:
            store_rules(db, rules)
            changed = attribute_all(db, names, rules)
        if users_renamed:
            note_all(db)
            renew_bill_cells(db)
        return Attribution(changed, users_renamed)


def _in_order(rules: Iterable[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: KINDS.index(type(rule)))


def apply_application_tag(db: Database, application_tag: KeyNames) -> int:
    """Name every application profile by its tag, else by its own name; return how many changed.

    Projects are named by the same tags. ``application_tag``: the key, or several in order.

    The tags are stored, so nothing has to be read from AWS again; views look up the name.
    """
    rows = db.execute(
        "select profile_arn, tags, profile_name, application from inference_profiles"
        " where application is not null"
    ).fetchall()
    changed = [
        (named, arn)
        for arn, tags, name, application in rows
        if (named := profile_application(json.loads(tags or "{}"), name, application_tag))
        != application
    ]
    with db.atomic():
        db.conn.executemany(
            "update inference_profiles set application = ? where profile_arn = ?", changed
        )
    return len(changed) + name_projects_by_tags(db, application_tag)


def stored_rules(db: Database) -> tuple[Rule, ...]:
    """Return the rules in force, of all kinds, in the order in which they are tried."""
    rows = db.conn.execute(
        "select rule_kind, name, conditions from attribution_rules order by rule_number"
    )
    kinds = {kind.gives: kind for kind in KINDS}
    rules = [
        kinds[kind](**{kind: name}, **json.loads(conditions)) for kind, name, conditions in rows
    ]
    return tuple(_in_order(rules))


def store_rules(db: Database, rules: Iterable[Rule]) -> None:
    """Replace the stored rules; this does not attribute stored calls again."""
    db.conn.execute("delete from attribution_rules")
    numbers = {kind: itertools.count(1) for kind in KINDS}
    db.conn.executemany(
        "insert into attribution_rules (rule_kind, rule_number, name, conditions)"
        " values (?, ?, ?, ?)",
        [
            (rule.gives, next(numbers[type(rule)]), rule.name, json.dumps(dict(rule.conditions)))
            for rule in rules
        ],
    )


class Attributor:
    """Decides the user, the application and the team of new calls, by some rules."""

    def __init__(self, names: Names, rules: Sequence[Rule]) -> None:
        self._names = names
        of_kind = {kind: [rule for rule in rules if type(rule) is kind] for kind in KINDS}
        self._rules = {kind: compile_rules(of_kind[kind]) for kind in KINDS}
        self._teams = Teams(names, rules)

    def keys(
        self, event: Event, session: Mapping[str, str] = NO_TAGS
    ) -> tuple[int, int | None, int, int | None]:
        """Return the keys of the user and the application, each with what the event itself names.

        That is None where no rule decided. The application's key is that of its team as well, as
        far as that is known without the tags of the call's session, or with those in ``session``.
        """
        names, user = self._names, self._ruled(UserRule, event)
        own_user = names.user(event.user_name)
        own = names.application(event.application, event.application_source)
        user_key = own_user
        if user is not None:
            event, user_key = event._replace(user_name=user), names.user(user)
        ruled = self._ruled(ApplicationRule, event)
        application = (
            (event.application, event.application_source) if ruled is None else (ruled, CONFIG_RULE)
        )
        base = names.application(*application)
        team_key = self._teams.key(
            evidence_of(event),
            names.shown_application(base),
            names.rank_of(application[1]),
            session,
        )
        return (
            *(user_key, None if user_key == own_user else own_user),
            names.application(*application, team_key) if team_key else base,
            None if base == own else own,
        )

    def _ruled(self, kind: type[Rule], event: Event) -> str | None:
        rules = self._rules[kind]
        return find_rule(rules, evidence_of(event)) if rules else None


class _Decision(NamedTuple):
    """What rules of a kind decide of stored calls.

    ``own``: what a call has without them, as an SQL expression. ``hits``: a temporary table: a
    combination of ``keys``, and the key that a rule gives as ``ruled``. Without rules there is
    none.
    """

    kind: type[Rule]
    column: str
    own: str
    rules: tuple[Rule, ...]
    keys: tuple[str, ...]

    @property
    def hits(self) -> str:
        return f"{self.kind.gives}_hits"

    @property
    def ruled(self) -> str:
        return f"{self.hits}.ruled" if self.rules else "null"

    @property
    def decided(self) -> str:
        return f"coalesce({self.ruled}, {self.own})"

    def join(self, now: Mapping[str, str]) -> str:
        """Return the join of events with the hits. ``now``: keys that earlier kinds have decided.

        A key of 0 stands for none: SQLite does not use an index to look up NULL in a left join.
        """
        if not self.rules:
            return ""
        same = [f"{self.hits}.{key} = coalesce({_now(key, now)}, 0)" for key in self.keys]
        return f" left join {self.hits} on {' and '.join(same)}"


def _now(key: str, now: Mapping[str, str]) -> str:
    return now.get(key, f"events.{key}")


# In the order of ``KINDS``. A team is no column of events: it is part of the application's key.
_COLUMNS = {UserRule: "user_key", ApplicationRule: "application_key", TeamRule: "team_key"}

_OWN = {
    "user_key": "coalesce(events.found_user_key, events.user_key)",
    "application_key": "coalesce(events.found_application_key, stored.base_key,"
    " events.application_key)",
}

_STORED = " join applications as stored on stored.application_key = events.application_key"


def _decision(kind: type[Rule], own: str, rules: Sequence[Rule]) -> _Decision:
    of_kind = tuple(rule for rule in rules if type(rule) is kind)
    looked_at = {
        key for rule in of_kind for condition in rule.conditions for key in _keys(kind, condition)
    }
    keys = tuple(key for key in _NAMES if key in looked_at)
    return _Decision(kind, _COLUMNS[kind], own, of_kind, keys)


def _keys(kind: type[Rule], condition: str) -> tuple[str, ...]:
    of_teams = _KEYS_OF_TEAMS.get(condition) if kind is TeamRule else None
    return of_teams or (_KEYS[condition],)


def attribute_calls(db: Database, names: Names, keys: str) -> tuple[int, set[str]]:
    """Attribute the calls in the table ``keys`` again; return how many changed, and their hours."""
    calls = (
        f"(select events.* from {keys} as keys cross join events"
        " on events.event_time = keys.event_time and events.event_id = keys.event_id) as events"
    )
    stage = _Stage(db, names, stored_rules(db), calls)
    changed = stage.attribute()
    hours = hours_of(db, "attributed_calls")
    stage.drop()
    return changed, hours


def attribute_all(db: Database, names: Names, rules: Sequence[Rule]) -> int:
    """Attribute every stored call again; return how many have another user, application or team."""
    stage = _Stage(db, names, rules, "events")
    changed, hours = 0, set[str]()
    days = db.execute("select distinct day from usage_daily order by day").fetchall()
    with long_work(db, "attributing all calls again", can_stop=True) as note:
        for number, (day,) in enumerate(days, 1):
            note(f"{day} ({number:,} of {len(days):,} days)")
            changed += stage.attribute(day)
            hours |= hours_of(db, "attributed_calls")
        note("sums")
        renew(db, names, hours)
    stage.drop()
    if attribute_bill(db, names, Attributor(names, rules).keys):
        keep_figures_again(db)
    store_applied(db, evidence_state(db, rules))
    return changed


def renew_teams(db: Database, names: Names) -> int:
    """Attribute all calls again if what names teams has changed; return how many changed."""
    rules = stored_rules(db)
    state = evidence_state(db, rules)
    if state == applied_state(db):
        return 0
    if db.execute("select 1 from events limit 1").fetchone() is None:
        if attribute_bill(db, names, Attributor(names, rules).keys):
            note_all(db)
            renew_bill_cells(db)
        store_applied(db, state)
        return 0
    return attribute_all(db, names, rules)


class _Stage:
    """The temporary tables with which calls are attributed: what each rule and evidence decides.

    ``calls``: the relation of the calls, under the name events.
    """

    def __init__(self, db: Database, names: Names, rules: Sequence[Rule], calls: str) -> None:
        self._db, self._names, self._calls = db, names, calls
        # Calls before are only to look at: the sums do not follow from them.
        (self._counted_from,) = db.execute(f"select {COUNTED_FROM}").fetchone()
        self._evidence = fill_evidence(db, names, None if calls == "events" else calls)
        self._joins = _STORED + "".join(
            f" left join {table} on {table}.{key} = events.{key}"
            for table, key in self._evidence.items()
        )
        named = ", ".join(f"{table}.team_key" for table in self._evidence)
        own = {**_OWN, "team_key": f"coalesce({named}, 0)" if named else "0"}
        self._decisions = [_decision(kind, own[_COLUMNS[kind]], rules) for kind in KINDS]
        now: dict[str, str] = {}
        for decision in self._decisions:
            self._find_hits(decision, now)
            self._joins += decision.join(now)
            now[decision.column] = decision.decided
        db.execute(
            "create temp table if not exists attributed_calls (event_time text, event_id blob,"
            " user_key integer, found_user_key integer, application_key integer,"
            " found_application_key integer, team_key integer)"
        )

    def drop(self) -> None:
        """Drop the tables."""
        hits = (decision.hits for decision in self._decisions)
        for table in ("attributed_calls", *hits, *self._evidence):
            self._db.execute(f"drop table if exists temp.{table}")

    def attribute(self, day: str | None = None) -> int:
        """Attribute the calls, or those of a day; the changed ones are in ``attributed_calls``."""
        db = self._db
        user, application, team = self._decisions
        db.execute("delete from attributed_calls")
        db.execute(
            f"""
            insert into attributed_calls
            select event_time, event_id,
                user_key, iif(user_key <> own_user, own_user, null),
                application_key, iif(application_key <> own_application, own_application, null),
                team_key
            from (
                select events.event_time, events.event_id,
                    {user.decided} as user_key, {user.own} as own_user,
                    {application.decided} as application_key,
                    {application.own} as own_application,
                    {team.decided} as team_key,
                    events.user_key as old_user,
                    coalesce(stored.base_key, stored.application_key) as old_application,
                    stored.team_key as old_team
                from {self._calls}{self._joins}
                {"" if day is None else "where events.event_time between ?1 and ?2"}
            )
            where user_key <> old_user or application_key <> old_application
                or team_key <> old_team
            """,
            [] if day is None else [max(day, self._counted_from), f"{day}T99"],
        )
        self._name_applications()
        subtract_calls(db, "attributed_calls")
        columns = ("user_key", "found_user_key", "application_key", "found_application_key")
        changed = db.conn.execute(
            f"update events set {', '.join(f'{column} = calls.{column}' for column in columns)}"
            " from attributed_calls as calls"
            " where events.event_time = calls.event_time and events.event_id = calls.event_id"
        ).rowcount
        add_calls(db, "attributed_calls")
        return changed

    def _name_applications(self) -> None:
        """Replace the applications of ``attributed_calls`` by those of their teams."""
        self._db.execute(
            "insert or ignore into applications (application, application_source, source_rank,"
            " label, base_key, team_key)"
            " select application, application_source, source_rank, label, application_key,"
            " calls.team_key from (select distinct application_key, team_key"
            " from attributed_calls where team_key <> 0) as calls"
            " join applications using (application_key)"
        )
        self._db.execute(
            "update attributed_calls set application_key = applications.application_key"
            " from applications where applications.base_key = attributed_calls.application_key"
            " and applications.team_key = attributed_calls.team_key"
            " and attributed_calls.team_key <> 0"
        )

    def _find_hits(self, decision: _Decision, now: Mapping[str, str]) -> None:
        """Create the table of a decision; ``now``: what the earlier ones decide."""
        db, hits, keys = self._db, decision.hits, decision.keys
        db.execute(f"drop table if exists temp.{hits}")
        if not decision.rules:
            return
        columns = ", ".join(f"{key} integer" for key in (*keys, "ruled"))
        db.execute(f"create temp table {hits} ({columns})")
        compiled = compile_rules(decision.rules)
        for evidence, values in self._combinations(decision, now):
            ruled = find_rule(compiled, evidence)
            if ruled is not None:
                db.conn.execute(
                    f"insert into {hits} values ({', '.join('?' * (len(keys) + 1))})",
                    [*values, _key_of(self._names, decision.kind, ruled)],
                )
        db.execute(f"create index temp.{hits}_by_keys on {hits} ({', '.join(keys)})")

    def _combinations(
        self, decision: _Decision, now: Mapping[str, str]
    ) -> Iterator[tuple[Evidence, tuple[int, ...]]]:
        """Yield each combination of a decision's keys that occurs, with its evidence."""
        keys = decision.keys
        named = {key: (table, name) for key, (table, name) in _NAMES.items() if name}
        distinct = ", ".join(f"coalesce({_now(key, now)}, 0) as {key}" for key in keys)
        texts = ", ".join(name if key in keys else "null" for key, (_, name) in named.items())
        tables = " ".join(
            f"left join {named[key][0]} using ({key})" for key in keys if key in named
        )
        rows = self._db.conn.execute(
            f"select {texts}, {', '.join(keys)}"
            f" from (select distinct {distinct} from {self._calls}{self._joins}) {tables}"
        )
        fields = [name for _, name in named.values()]
        complete = _Completion(self._db, self._names) if decision.kind is TeamRule else None
        for row in rows.fetchall():
            evidence = make_evidence(**dict(zip(fields, row, strict=False)))
            values = row[len(named) :]
            if complete:
                evidence = complete.of(evidence, dict(zip(keys, values, strict=True)))
            yield evidence, values


class _Completion:
    """Completes evidence by what only rules of teams look at."""

    def __init__(self, db: Database, names: Names) -> None:
        self._db, self._names = db, names

    def of(self, evidence: Evidence, keys: Mapping[str, int]) -> Evidence:
        tail = parse_model_id(evidence.model_id).model_tail if evidence.model_id else ""
        application, rank = "", 0
        if key := keys.get("application_key"):
            application = self._names.shown_application(key)
            (rank,) = self._db.conn.execute(
                "select source_rank from applications where application_key = ?", [key]
            ).fetchone()
        return completed(
            evidence,
            application,
            rank,
            profile_of(self._db, tail),
            tags_of(self._db, keys.get("credential_key")),
        )


def _key_of(names: Names, kind: type[Rule], ruled: str) -> int:
    if kind is UserRule:
        return names.user(ruled)
    name_of = names.team if kind is TeamRule else names.application
    return name_of(ruled, CONFIG_RULE)
