"""Store the application rules and user aliases of the configuration, and apply them.

- **An alias** is stored next to the user's name, and views show it: nothing else has to change.
- **A rule** decides ``events.application_key``, which the rollups are keyed by. The application
  that the event itself names moves to ``found_application_key``, and back when no rule matches any
  more. ``etl.warehouse.write.calls`` applies the rules to new calls. This module applies them to
  stored calls when the rules change.

Rules are not matched against every stored call, but once for each distinct combination of the names
that they look at. The events are then updated day by day, so that memory holds one day, all in one
transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlite_utils import Database

from etl.normalise.application import CONFIG_RULE
from etl.normalise.profiles import profile_application
from etl.normalise.rules import (
    CONDITIONS,
    ApplicationRule,
    compile_rules,
    find_rule,
    make_evidence,
)
from etl.warehouse.long_work import long_work
from etl.warehouse.pseudonyms import forgotten_in
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.rollup import add_calls, hours_of, renew, subtract_calls

# The event's key whose name each condition looks at.
_KEYS = {
    "role": "principal_key",
    "user": "user_key",
    "session": "session_key",
    "principal_arn": "principal_key",
    "user_agent": "user_agent_key",
    "account_id": "account_key",
    "region": "region_key",
    "model": "model_key",
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
}

_RULE_COLUMNS = ("application", *CONDITIONS)


class Attribution(NamedTuple):
    """What a configuration changed: calls with a new application, users with a new alias."""

    calls_changed: int = 0
    users_renamed: int = 0


# What the event itself says is kept (DECISIONS 29, 32).
def apply_config(
    db: Database, rules: Sequence[ApplicationRule], aliases: Mapping[str, str]
) -> Attribution:
    """Replace the stored rules and aliases, and attribute every call by the new rules.

    All of it is one transaction; if nothing differs, nothing is written.
    """
    known = forgotten_in(db)
    if known:
        rules = [known.rule(rule) for rule in rules]
        aliases = {u: alias for u, alias in aliases.items() if not known.found_in(u, alias)}
    if tuple(rules) == stored_rules(db) and dict(aliases) == stored_aliases(db):
        return Attribution()
    with db.atomic():
        # Written first, so that no other process writes between the next read and its change.
        users_renamed = _store_aliases(db, aliases)
        if tuple(rules) == stored_rules(db):
            return Attribution(users_renamed=users_renamed)
        store_rules(db, rules)
        return Attribution(_attribute(db, rules), users_renamed)


def apply_application_tag(db: Database, application_tag: str) -> int:
    """Name every application profile by this tag, else by its own name; return how many changed.

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
    return len(changed)


def stored_rules(db: Database) -> tuple[ApplicationRule, ...]:
    """Return the rules in force, in the order in which they are tried."""
    columns = ", ".join(_RULE_COLUMNS)
    rows = db.conn.execute(f"select {columns} from application_rules order by rule_number")
    return tuple(ApplicationRule(**dict(zip(_RULE_COLUMNS, row, strict=True))) for row in rows)


def stored_aliases(db: Database) -> dict[str, str]:
    """Return the alias of each user that has one."""
    return dict(db.conn.execute("select user_name, alias from users where alias is not null"))


def _store_aliases(db: Database, aliases: Mapping[str, str]) -> int:
    """Store the aliases, including those of users not seen yet; return how many changed."""
    conn = db.conn
    before = conn.total_changes
    conn.execute(
        "update users set alias = null"
        " where alias is not null and user_name not in (select key from json_each(?))",
        [json.dumps(aliases)],
    )
    conn.executemany(
        "insert into users (user_name, alias) values (?, ?)"
        " on conflict (user_name) do update set alias = excluded.alias"
        " where alias is not excluded.alias",
        aliases.items(),
    )
    return conn.total_changes - before


def store_rules(db: Database, rules: Iterable[ApplicationRule]) -> None:
    """Replace the stored rules; this does not attribute stored calls again."""
    db.conn.execute("delete from application_rules")
    db.conn.executemany(
        f"insert into application_rules (rule_number, {', '.join(_RULE_COLUMNS)})"
        f" values (?{', ?' * len(_RULE_COLUMNS)})",
        [
            (number, *(getattr(rule, column) for column in _RULE_COLUMNS))
            for number, rule in enumerate(rules, 1)
        ],
    )


def _attribute(db: Database, rules: Sequence[ApplicationRule]) -> int:
    """Attribute every stored call again; return how many have a different application now."""
    names = Names(db)
    looked_at = {_KEYS[condition] for rule in rules for condition in rule.conditions}
    keys = [key for key in _NAMES if key in looked_at]
    _find_hits(db, names, rules, keys)
    db.execute(
        "create temp table if not exists attributed_calls"
        " (event_time text, event_id blob, application_key integer, found_application_key integer)"
    )
    changed, hours = 0, set[str]()
    days = db.execute("select distinct day from usage_daily order by day").fetchall()
    with long_work(db, "applying the new rules to all calls", can_stop=True) as note:
        for number, (day,) in enumerate(days, 1):
            note(f"{day} ({number:,} of {len(days):,} days)")
            changed += _attribute_day(db, day, keys)
            hours |= hours_of(db, "attributed_calls")
        note("sums")
        renew(db, names, hours)
    db.execute("drop table attributed_calls")
    db.execute("drop table rule_hits")
    return changed


def _find_hits(
    db: Database, names: Names, rules: Sequence[ApplicationRule], keys: Sequence[str]
) -> None:
    """Create the temporary table ``rule_hits``: combination of keys -> the rule's application.

    A key of 0 stands for none: SQLite does not use an index to look up NULL in a left join.
    """
    db.execute("drop table if exists temp.rule_hits")
    columns = ", ".join(f"{key} integer" for key in (*keys, "application_key"))
    db.execute(f"create temp table rule_hits ({columns})")
    if not keys:
        return
    compiled = compile_rules(rules)
    distinct = ", ".join(f"coalesce({key}, 0) as {key}" for key in keys)
    texts = ", ".join(name if key in keys else "null" for key, (_, name) in _NAMES.items())
    joins = " ".join(f"left join {_NAMES[key][0]} using ({key})" for key in keys)
    combinations = db.conn.execute(
        f"select {texts}, {', '.join(keys)} from (select distinct {distinct} from events) {joins}"
    )
    evidence_fields = [name for _, name in _NAMES.values()]
    for row in combinations:
        texts_of = dict(zip(evidence_fields, row, strict=False))
        application = find_rule(compiled, make_evidence(**texts_of))
        if application is not None:
            db.conn.execute(
                f"insert into rule_hits values ({', '.join('?' * (len(keys) + 1))})",
                [*row[len(_NAMES) :], names.application(application, CONFIG_RULE)],
            )
    db.execute(f"create index temp.rule_hits_by_keys on rule_hits ({', '.join(keys)})")


def _attribute_day(db: Database, day: str, keys: Sequence[str]) -> int:
    """Attribute the calls of a day; the changed ones are then in ``attributed_calls``."""
    same = " and ".join(f"hits.{key} = coalesce(events.{key}, 0)" for key in keys) or "true"
    db.execute("delete from attributed_calls")
    db.execute(
        f"""
        insert into attributed_calls
        select event_time, event_id, coalesce(ruled, found), iif(ruled is null, null, found)
        from (
            select events.event_time, events.event_id, events.application_key as present,
                hits.application_key as ruled,
                coalesce(events.found_application_key, events.application_key) as found
            from events
            left join rule_hits as hits on {same}
            where events.event_time between ?1 and ?1 || 'T99'
        )
        where present <> coalesce(ruled, found)
        """,
        [day],
    )
    subtract_calls(db, "attributed_calls")
    changed = db.conn.execute(
        "update events set application_key = calls.application_key,"
        " found_application_key = calls.found_application_key"
        " from attributed_calls as calls"
        " where events.event_time = calls.event_time and events.event_id = calls.event_id"
    ).rowcount
    add_calls(db, "attributed_calls")
    return changed
