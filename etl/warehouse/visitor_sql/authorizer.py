"""Restrict a connection that runs visitors' statements to reading, and nothing else.

Opening the file read-only is not enough: a statement could still attach another database, create
temporary tables, or call a function that sets a pointer in the process (``fts3_tokenizer`` with two
arguments: SQLite has a switch against it, but a bound parameter bypasses it). So everything allowed
is listed, and SQLite asks the authorizer when it prepares a statement. It does not ask about
functions called by a view of a foreign database; ``trusted_schema`` covers those.

https://www.sqlite.org/c3ref/set_authorizer.html
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import NoReturn

_TEXT = """
    -> ->> char coalesce concat concat_ws format glob hex ifnull if iif instr length like likelihood
    likely lower ltrim max min nullif octet_length printf quote replace rtrim soundex
    sqlite_version substr substring trim typeof unhex unicode unistr unistr_quote unlikely upper
    random randomblob zeroblob
"""
_DATES = """
    current_date current_time current_timestamp date datetime julianday strftime time timediff
    unixepoch
"""
_AGGREGATES = """
    avg count cume_dist dense_rank first_value group_concat lag last_value lead max median min
    nth_value ntile percent_rank percentile percentile_cont percentile_disc rank row_number
    string_agg sum total
"""
_NUMBERS = """
    abs acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10
    log2 mod pi pow power radians round sign sin sinh sqrt tan tanh trunc
"""
_JSON = """
    json json_array json_array_length json_error_position json_extract json_group_array
    json_group_object json_insert json_object json_patch json_pretty json_quote json_remove
    json_replace json_set json_type json_valid
"""

# Includes functions that an older SQLite does not have.
# A list of what is allowed, not of what is denied (DECISIONS 89).
FUNCTIONS = frozenset(" ".join((_TEXT, _DATES, _AGGREGATES, _NUMBERS, _JSON)).split())

# The pragmas that Datasette runs, and lets visitors run. With a value most would change something;
# those that take the name of a table or an index have True.
PRAGMAS = {
    "database_list": False,
    "foreign_key_list": True,
    "function_list": False,
    "index_info": True,
    "index_list": True,
    "index_xinfo": True,
    "page_count": False,
    "page_size": False,
    "schema_version": False,
    "table_info": True,
    "table_list": True,
    "table_xinfo": True,
}

# The useful table-valued functions. Pragmas are also checked under their own names.
_TABLES = {"json_each", "json_tree"}

# With the key, anyone could test which name a pseudonym stands for; the other tables show who was
# forgotten. No page needs them.
SECRET_TABLES = frozenset({"forget_key", "forgotten_names", "forgotten_patterns"})

_DANGEROUS = "fts3_tokenizer"


def allow_only_reading(connection: sqlite3.Connection) -> None:
    """Let a connection only read, with the listed functions and pragmas."""
    modules = {name.lower() for (name,) in connection.execute("pragma module_list")}
    # Replaces SQLite's function: if a call ever gets past the list, this raises.
    for arguments in (1, 2):
        connection.create_function(_DANGEROUS, arguments, _refuse)
    _set_up_virtual_tables(connection)
    connection.execute("pragma query_only = on")
    connection.execute("pragma trusted_schema = off")
    _defend(connection)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_authorizer(_Authorizer(SECRET_TABLES | (modules - _TABLES)))


def _set_up_virtual_tables(connection: sqlite3.Connection) -> None:
    """Let SQLite create its virtual tables now: the authorizer would deny that later."""
    for name in (*sorted(_TABLES), *(f"pragma_{pragma}" for pragma in PRAGMAS)):
        # An old SQLite does not have all of them.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute(f"select * from {name} limit 0").close()


def _refuse(*_: object) -> NoReturn:
    raise PermissionError(_DANGEROUS)


def _defend(connection: sqlite3.Connection) -> None:
    """Turn on SQLite's defences against hostile SQL, if Python supports them (3.12)."""
    switches = {
        "SQLITE_DBCONFIG_DEFENSIVE": True,
        "SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER": False,
        "SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION": False,
    }
    for name, value in switches.items():
        switch = getattr(sqlite3, name, None)
        if switch is not None:
            connection.setconfig(switch, value)  # type: ignore[attr-defined, unused-ignore]


class _Authorizer:
    """SQLite's authorizer callback; denies everything it does not know."""

    def __init__(self, denied_tables: frozenset[str]) -> None:
        self._denied_tables = denied_tables

    def __call__(
        self, action: int, first: str | None, second: str | None, schema: object, source: object
    ) -> int:
        # By far the most frequent question, once for each column.
        if action == sqlite3.SQLITE_READ:
            name = (first or "").lower()
            is_allowed = name not in self._denied_tables or name.startswith("pragma_")
        elif action == sqlite3.SQLITE_FUNCTION:
            is_allowed = (second or "").lower() in FUNCTIONS
        elif action == sqlite3.SQLITE_PRAGMA:
            takes_value = PRAGMAS.get((first or "").lower())
            is_allowed = takes_value is not None and (takes_value or second is None)
        else:
            is_allowed = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE)
        return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY
