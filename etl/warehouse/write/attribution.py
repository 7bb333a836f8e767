"""Store the rules and names of the configuration, and apply them.

- **An alias**, or the name of a project, is stored next to AWS's name, and views show it
  (``etl.warehouse.write.shown_names``).
- **A rule** decides ``events.user_key`` or ``events.application_key``, which the rollups are keyed
  by. What the event itself names moves to ``found_user_key`` or ``found_application_key``, and back
  when no rule matches any more. ``Attributor`` applies the rules to new calls, ``apply_config`` to
  stored calls when the rules change.

Kinds of rules are applied in their order: a rule for the application sees the user that a rule
gave. Rules are not matched against every stored call, but once for each distinct combination of the
names that they look at. The events are then updated day by day, so that memory holds one day, all
in one transaction.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlite_utils import Database

from etl.normalise.application import CONFIG_RULE, KeyNames
from etl.normalise.profiles import profile_application
from etl.normalise.rows import Event
from etl.normalise.rules import (
    KINDS,
    ApplicationRule,
    Rule,
    UserRule,
    compile_rules,
    evidence_of,
    find_rule,
    make_evidence,
)
from etl.warehouse.long_work import long_work
from etl.warehouse.pseudonyms import forgotten_in
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.rollup import add_calls, hours_of, renew, subtract_calls
from etl.warehouse.write.shown_names import (
    name_projects_by_tags,
    store_aliases,
    store_project_names,
    stored_aliases,
    stored_project_names,
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

# The table and name column of each key, in the order in which evidence is read.
_NAMES = {
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
) -> Attribution:
    """Replace the stored rules and names, and attribute every call by the new rules.

    ``rules``: of any kind, those of a kind in their order. ``aliases``: user, or a glob, to the
    name to show. ``projects``: the ARN or id of a project to its name. All of it is one
    transaction; if nothing differs, nothing is written.
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
    ):
        return Attribution()
    with db.atomic():
        # Written first, so that no other process writes between the next read and its change.
        users_renamed = store_aliases(db, aliases)
        store_project_names(db, projects)
        if tuple(rules) == stored_rules(db):
            return Attribution(users_renamed=users_renamed)
        store_rules(db, rules)
        return Attribution(_attribute(db, rules), users_renamed)


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
    """Decides the user and the application of new calls by some rules."""

    def __init__(self, names: Names, rules: Iterable[Rule]) -> None:
        self._names = names
        of_kind = {kind: [rule for rule in rules if type(rule) is kind] for kind in KINDS}
        self._rules = {kind: compile_rules(of_kind[kind]) for kind in KINDS}

    def keys(self, event: Event) -> tuple[int, int | None, int, int | None]:
        """Return the keys of the user and the application, each with what the event itself names.

        That is None where no rule decided.
        """
        names, user = self._names, self._ruled(UserRule, event)
        own_user = names.user(event.user_name)
        own = names.application(event.application, event.application_source)
        user_key = own_user
        if user is not None:
            event, user_key = event._replace(user_name=user), names.user(user)
        application = self._ruled(ApplicationRule, event)
        key = own if application is None else names.application(application, CONFIG_RULE)
        return (
            *(user_key, None if user_key == own_user else own_user),
            *(key, None if key == own else own),
        )

    def _ruled(self, kind: type[Rule], event: Event) -> str | None:
        rules = self._rules[kind]
        return find_rule(rules, evidence_of(event)) if rules else None


class _Decision(NamedTuple):
    """What rules of a kind decide of stored calls.

    ``hits``: a temporary table: a combination of ``keys``, and the key that a rule gives as
    ``ruled``. Without rules there is none.
    """

    kind: type[Rule]
    column: str
    rules: tuple[Rule, ...]
    keys: tuple[str, ...]

    @property
    def hits(self) -> str:
        return f"{self.kind.gives}_hits"

    @property
    def found(self) -> str:
        return f"found_{self.column}"

    @property
    def own(self) -> str:
        """What the event itself names."""
        return f"coalesce(events.{self.found}, events.{self.column})"

    @property
    def ruled(self) -> str:
        return f"{self.hits}.ruled" if self.rules else "null"

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


# In the order of ``KINDS``.
_COLUMNS = {UserRule: "user_key", ApplicationRule: "application_key"}


def _decision(kind: type[Rule], rules: Sequence[Rule]) -> _Decision:
    own = tuple(rule for rule in rules if type(rule) is kind)
    looked_at = {_KEYS[condition] for rule in own for condition in rule.conditions}
    return _Decision(kind, _COLUMNS[kind], own, tuple(key for key in _NAMES if key in looked_at))


def _attribute(db: Database, rules: Sequence[Rule]) -> int:
    """Attribute every stored call again; return how many have another user or application now."""
    names, decisions = Names(db), [_decision(kind, rules) for kind in KINDS]
    joins, now = "", dict[str, str]()
    for decision in decisions:
        _find_hits(db, names, decision, joins, now)
        joins += decision.join(now)
        if decision.rules:
            now[decision.column] = f"coalesce({decision.ruled}, {decision.own})"
        else:
            now[decision.column] = decision.own
    db.execute(
        "create temp table if not exists attributed_calls (event_time text, event_id blob,"
        f" {', '.join(f'{d.column} integer, {d.found} integer' for d in decisions)})"
    )
    changed, hours = 0, set[str]()
    days = db.execute("select distinct day from usage_daily order by day").fetchall()
    with long_work(db, "applying the new rules to all calls", can_stop=True) as note:
        for number, (day,) in enumerate(days, 1):
            note(f"{day} ({number:,} of {len(days):,} days)")
            changed += _attribute_day(db, day, decisions, joins)
            hours |= hours_of(db, "attributed_calls")
        note("sums")
        renew(db, names, hours)
    for table in ("attributed_calls", *(decision.hits for decision in decisions)):
        db.execute(f"drop table if exists temp.{table}")
    return changed


def _find_hits(
    db: Database, names: Names, decision: _Decision, joins: str, now: Mapping[str, str]
) -> None:
    """Create the table of a decision; ``joins``: those of the earlier ones."""
    hits, keys = decision.hits, decision.keys
    db.execute(f"drop table if exists temp.{hits}")
    if not decision.rules:
        return
    columns = ", ".join(f"{key} integer" for key in (*keys, "ruled"))
    db.execute(f"create temp table {hits} ({columns})")
    compiled = compile_rules(decision.rules)
    distinct = ", ".join(f"coalesce({_now(key, now)}, 0) as {key}" for key in keys)
    texts = ", ".join(name if key in keys else "null" for key, (_, name) in _NAMES.items())
    tables = " ".join(f"left join {_NAMES[key][0]} using ({key})" for key in keys)
    combinations = db.conn.execute(
        f"select {texts}, {', '.join(keys)}"
        f" from (select distinct {distinct} from events{joins}) {tables}"
    )
    evidence_fields = [name for _, name in _NAMES.values()]
    for row in combinations:
        texts_of = dict(zip(evidence_fields, row, strict=False))
        ruled = find_rule(compiled, make_evidence(**texts_of))
        if ruled is not None:
            db.conn.execute(
                f"insert into {hits} values ({', '.join('?' * (len(keys) + 1))})",
                [*row[len(_NAMES) :], _key_of(names, decision.kind, ruled)],
            )
    db.execute(f"create index temp.{hits}_by_keys on {hits} ({', '.join(keys)})")


def _key_of(names: Names, kind: type[Rule], ruled: str) -> int:
    return names.user(ruled) if kind is UserRule else names.application(ruled, CONFIG_RULE)


def _attribute_day(db: Database, day: str, decisions: Sequence[_Decision], joins: str) -> int:
    """Attribute the calls of a day; the changed ones are then in ``attributed_calls``."""
    ruled = ", ".join(
        f"{d.ruled} as ruled_{d.column}, {d.own} as own_{d.column}, events.{d.column}"
        for d in decisions
    )
    decided = ", ".join(
        f"coalesce(ruled_{d.column}, own_{d.column}),"
        f" iif(ruled_{d.column} <> own_{d.column}, own_{d.column}, null)"
        for d in decisions
    )
    differs = " or ".join(
        f"{d.column} <> coalesce(ruled_{d.column}, own_{d.column})" for d in decisions
    )
    db.execute("delete from attributed_calls")
    db.execute(
        f"""
        insert into attributed_calls
        select event_time, event_id, {decided}
        from (
            select events.event_time, events.event_id, {ruled}
            from events{joins}
            where events.event_time between ?1 and ?1 || 'T99'
        )
        where {differs}
        """,
        [day],
    )
    subtract_calls(db, "attributed_calls")
    columns = [column for d in decisions for column in (d.column, d.found)]
    changed = db.conn.execute(
        f"update events set {', '.join(f'{column} = calls.{column}' for column in columns)}"
        " from attributed_calls as calls"
        " where events.event_time = calls.event_time and events.event_id = calls.event_id"
    ).rowcount
    add_calls(db, "attributed_calls")
    return changed
