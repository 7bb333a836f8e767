"""Forget a person: replace the name with a pseudonym wherever it appears; figures stay.

- **Names are searched in every column that may contain one** (``_COLUMNS``). The sessions and
  addresses found only in calls of a forgotten user are replaced too, whatever their name; aliases
  are removed.
  Names of things are left alone: models, regions, prices, the places ``sync`` has read. If a
  forgotten name still appears in such a column, or within a longer one, that is reported
  (``Forgetting.left``).
- **It is one transaction.** A trial is the same transaction, rolled back.
- **Nothing is merged.** Different texts get different pseudonyms, so every sum stays a sum over the
  same rows.
- **Overwritten text is gone from the file** once the file is compacted
  (``etl.warehouse.upkeep.vacuum.compact``); until then SQLite's ``secure_delete`` overwrites freed
  space.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlite_utils import Database

from etl.errors import DataError
from etl.warehouse.database import transaction
from etl.warehouse.long_work import long_work
from etl.warehouse.pseudonyms import (
    RESERVED,
    Forgotten,
    forgotten_in,
    is_pattern,
    part_count,
    replacing,
    trimmed,
)
from etl.warehouse.write.attribution import store_rules, stored_rules
from etl.warehouse.write.bill_cells import note_all, renew_bill_cells

# Where a person's name may appear. kind: text, or json if the texts are inside a JSON value.
_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("users", "user_name", "text"),
    ("users", "alias", "text"),
    ("principals", "principal_arn", "text"),
    ("sessions", "session_name", "text"),
    ("user_agents", "user_agent", "text"),
    ("request_metadata", "request_metadata", "json"),
    ("applications", "application", "text"),
    ("inference_profiles", "profile_name", "text"),
    ("inference_profiles", "application", "text"),
    ("inference_profiles", "tags", "json"),
    ("applications", "label", "text"),
    ("teams", "team", "text"),
    ("credentials", "tags", "json"),
    ("principal_tags", "principal_arn", "text"),
    ("principal_tags", "tags", "json"),
    ("account_names", "account_name", "text"),
    ("account_names", "unit_name", "text"),
    ("team_shares", "application", "text"),
    ("team_shares", "team", "text"),
    ("team_share_parts", "application", "text"),
    ("team_share_parts", "team", "text"),
    ("budgets", "budget", "text"),
    ("budgets", "users", "json"),
    ("budgets", "applications", "json"),
    ("budgets", "teams", "json"),
    ("budget_forecasts", "budget", "text"),
    ("budget_forecasts", "name", "text"),
    ("budget_crossings", "budget", "text"),
    ("budget_crossings", "name", "text"),
    ("deliveries", "target", "text"),
    ("projects", "project_name", "text"),
    ("projects", "application", "text"),
    ("projects", "tags", "json"),
    ("project_names", "application", "text"),
    ("source_addresses", "source_address", "text"),
    ("control_events", "resource", "text"),
    ("unknown_operations", "resource", "text"),
    ("attribution_rules", "name", "text"),
    ("forecasts", "name", "text"),
    ("agents", "agent", "text"),
    ("monitor_series", "application", "text"),
    ("monitor_limits", "application", "text"),
    ("rejects", "file", "text"),
    ("log_folders", "folder", "text"),
    ("log_files", "file_name", "text"),
    ("bill_exports", "export", "text"),
    ("bill_months", "source", "text"),
    ("sync_state", "error", "text"),
    ("sync_runs", "message", "text"),
)

# Names that belong to a person without containing the person's name.
_THEIRS = {"sessions": "session_name", "source_addresses": "source_address"}

# The tables with the keys of users and of such names; a bill has no addresses.
_CALLERS = ("events", "control_events", "unknown_operations")

# Tables of ids, times and amounts, most of them large, and of keys: none contains names.
_NOT_SEARCHED = frozenset(
    {
        *("events", "tokens", "pending_tokens", "cloudtrail_tokens", "jobs", "archived_events"),
        *("usage_hourly", "usage_daily", "usage_hours", "metric_totals", "metric_hourly"),
        *("metric_minutes", "call_minutes", "known_minutes", "stale_minutes"),
        *("uncalibrated_hours", "hour_shares", "daily_widths"),
        *("calibrations", "call_weights", "calibrated_until"),
        *("priced_daily", "priced_daily_by_user", "priced_daily_by_application"),
        *("priced_daily_by_model", "priced_rates", "rate_keys", "monitor_points", "prices"),
        *("skipped_operations", "team_settings", "messages", "alerts"),
        *("unwatched_days", "first_uses", "failed_hours", "failed_days", "cost_hours"),
        *("bill_accounts", "bill_callers", "bill_days", "bill_lines", "bill_tolerance"),
        # The names of users in it are computed again.
        *("bill_cells", "bill_reasons", "bill_cells_state", "bill_models"),
        "figures_before_bill",
        *("forgotten_patterns", "_sqlite_migrations", "seeds"),
    }
)

_MIN_LETTERS = 3
_LEFT_SHOWN = 20


@dataclass
class Forgetting:
    """The result: ``replaced`` counts texts by table, ``users`` the forgotten users.

    ``left``: (column, text) of each text that still contains a name as part of something else.
    """

    users: int = 0
    replaced: Counter[str] = field(default_factory=Counter)
    left: list[tuple[str, str]] = field(default_factory=list)


class _Trial(Exception):  # noqa: N818
    """Rolls a trial back."""


def check_name(name: str) -> str:
    """Return a name or pattern in the form to search for. Raises DataError if it is too broad."""
    if is_pattern(name):
        if sum(c.isalnum() for c in name) < _MIN_LETTERS:
            raise DataError(
                f"{name!r} matches nearly everything: use at least {_MIN_LETTERS} letters or digits"
            )
        return name
    found = trimmed(name)
    if not found:
        raise DataError(f"{name!r} has no letter or digit to search for")
    if found.casefold() in RESERVED:
        raise DataError(f"{found!r} is a word of AWS or of this program, not a person")
    return found


def forget(db: Database, names: Sequence[str], *, is_trial: bool = False) -> Forgetting:
    """Replace names and patterns with pseudonyms, now and in later loads.

    ``is_trial``: change nothing, only report. Raises DataError for a name that cannot be searched
    for. Until the file is compacted, replaced text may still be readable in its freed pages.
    """
    wanted = [check_name(name) for name in names]
    done = Forgetting()
    db.execute("pragma secure_delete = on")
    try:
        with long_work(db, "forgetting", can_stop=True) as note, transaction(db):
            known = _remember(db, wanted)
            done.users = _drop_aliases(db, known)
            note("sessions")
            for table, column in _THEIRS.items():
                done.replaced[table] += _replace_theirs(db, known, table, column)
            _drop_credentials(db, known)
            for table, column, kind in _COLUMNS:
                note(f"{table}.{column}")
                done.replaced[table] += _replace(db, known, table, column, kind)
            done.replaced["attribution_rules"] += _replace_rules(db, known)
            note_all(db)
            renew_bill_cells(db)
            done.left = list(_left(db, wanted))
            if is_trial:
                raise _Trial
    except _Trial:
        pass
    return done


def _remember(db: Database, wanted: Sequence[str]) -> Forgotten:
    """Store the names for later loads, with the user names that have one of them as alias."""
    conn = db.conn
    conn.execute("insert or ignore into forget_key values (1, ?)", [secrets.token_bytes(32)])
    conn.executemany(
        "insert or ignore into forgotten_patterns values (?)",
        [(name,) for name in wanted if is_pattern(name)],
    )
    known = _add_names(db, [name for name in wanted if not is_pattern(name)])
    aliases = conn.execute("select user_name, alias from users where alias is not null")
    shown = [user for user, alias in aliases.fetchall() if known.text(alias) != alias]
    return _add_names(db, [found for user in shown if (found := trimmed(user))])


def _add_names(db: Database, names: Sequence[str]) -> Forgotten:
    known = forgotten_in(db)
    db.conn.executemany(
        "insert or ignore into forgotten_names values (?, ?)",
        [(known.hash_of(name), part_count(name)) for name in names],
    )
    return forgotten_in(db)


def _drop_aliases(db: Database, known: Forgotten) -> int:
    """Drop the aliases of forgotten users; return how many users are now forgotten."""
    users = [
        (user,)
        for (user,) in db.conn.execute("select user_name from users").fetchall()
        if known.text(user) != user
    ]
    db.conn.executemany("update users set alias = null where user_name = ?", users)
    aliases = db.conn.execute("select user_name, alias from user_aliases").fetchall()
    dropped = [(user,) for user, alias in aliases if known.found_in(user, alias)]
    db.conn.executemany("delete from user_aliases where user_name = ?", dropped)
    return len(users)


def _replace_theirs(db: Database, known: Forgotten, table: str, column: str) -> int:
    """Replace the names in a table that appear only with forgotten users."""
    key = f"{column.removesuffix('_name')}_key"
    used = " union ".join(
        f"select distinct {key}, {user} as user_key from {source} where {key} is not null"
        for source in _CALLERS + ("bill_callers",) * (table == "sessions")
        for user in (("user_key", "found_user_key") if source == "events" else ("user_key",))
    )
    rows = db.conn.execute(
        f"select {column}, user_name from ({used}) join {table} using ({key})"
        " join users using (user_key)"
    )
    of_others, theirs = set[str](), set[str]()
    for name, user in rows:
        (theirs if known.is_forgotten(user) else of_others).add(name)
    changed = [
        (new, name) for name in sorted(theirs - of_others) if (new := known.pseudonym(name)) != name
    ]
    db.conn.executemany(f"update {table} set {column} = ? where {column} = ?", changed)
    return len(changed)


def _drop_credentials(db: Database, known: Forgotten) -> None:
    """Forget the credentials of forgotten users: nothing finds these sessions again."""
    users = [
        (user_key,)
        for user_key, name in db.conn.execute("select user_key, user_name from users").fetchall()
        if known.is_forgotten(name)
    ]
    db.conn.executemany(
        "update credentials set credential_hash = randomblob(16) where credential_key in"
        " (select credential_key from events where coalesce(found_user_key, user_key) = ?)",
        users,
    )


def _replace(db: Database, known: Forgotten, table: str, column: str, kind: str) -> int:
    """Replace the names in a column; return how many of its texts changed."""
    replaced = replacing(known, kind)
    rows = db.conn.execute(f"select distinct {column} from {table} where {column} is not null")
    changed = [(new, text) for (text,) in rows if (new := replaced(text)) != text]
    db.conn.executemany(f"update {table} set {column} = ? where {column} = ?", changed)
    return len(changed)


def _replace_rules(db: Database, known: Forgotten) -> int:
    rules = stored_rules(db)
    replaced = [known.rule(rule) for rule in rules]
    changed = sum(new != old for new, old in zip(replaced, rules, strict=True))
    if changed:
        store_rules(db, replaced)
    return changed


def _left(db: Database, wanted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield where a name, if given in full, still appears within another text."""
    names = [name for name in wanted if not is_pattern(name) and len(name) >= _MIN_LETTERS]
    columns = db.conn.execute(
        "select tables.name, columns.name from sqlite_master as tables"
        " join pragma_table_info(tables.name) as columns"
        " where tables.type = 'table' and lower(columns.type) in ('text', 'any')"
    ).fetchall()
    for table, column in columns:
        if table in _NOT_SEARCHED:
            continue
        for name in names:
            yield from (
                (f"{table}.{column}", text)
                for (text,) in db.conn.execute(
                    f"select distinct {column} from {table}"
                    f" where instr(lower({column}), lower(?)) limit {_LEFT_SHOWN}",
                    [name],
                )
            )
