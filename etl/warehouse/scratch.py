"""A temporary warehouse for trials: no calls, but the prices, rules and names of another.

Data loaded into it is interpreted and priced as in the other one, and deleted afterwards. A
rollup counts parts of its input in copies of one, a *scratch* warehouse each, as another process
made it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlite_utils import Database

from etl.warehouse.database import open_warehouse
from etl.warehouse.paths import write_new
from etl.warehouse.secret import copy_secret
from etl.warehouse.turns import Patience, Warehouse
from etl.warehouse.visitor_sql.authorizer import SECRET_TABLES

# The tables that decide how an event is interpreted and priced, referenced tables first.
_TABLES = (
    *("models", "model_price_ids", "inference_profiles", "foundation_models"),
    *("input_forms", "model_input_forms"),
    *("prices", "context_bands", "discounts"),
    *("attribution_rules", "user_aliases", "project_names", "projects"),
    *("team_settings", "principal_tags", "account_names"),
    *SECRET_TABLES,
)

# It is never read after a crash.
_PRAGMAS = (
    *("journal_mode = off", "synchronous = off", "temp_store = memory", "cache_size = -65536"),
    "locking_mode = exclusive",
)


@contextmanager
def open_trial(like: Database | None = None) -> Iterator[Database]:
    """Open a warehouse without calls, with the prices, rules, aliases and profiles of ``like``.

    Without ``like`` it equals a new warehouse, with list prices. It is deleted when closed.
    """
    with (
        TemporaryDirectory(prefix="bedrock-usage-") as folder,
        open_warehouse(Path(folder) / "trial.db", create=True) as db,
    ):
        if like is not None:
            copy_secret(like, db)
            with db.atomic():
                # Rows refer to rows of their own table, which come in any order.
                db.conn.execute("pragma defer_foreign_keys = on")
                _copy(like, db)
        yield db


def _copy(source: Database, target: Database) -> None:
    for table in _TABLES:
        columns = [row[1] for row in source.conn.execute(f"pragma table_info({table})")]
        rows = source.conn.execute(f"select {', '.join(columns)} from {table}").fetchall()
        target.conn.execute(f"delete from {table}")
        target.conn.executemany(
            f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})",
            rows,
        )
    aliases = source.conn.execute("select user_name, alias from users where alias is not null")
    target.conn.executemany("insert into users (user_name, alias) values (?, ?)", aliases)
    _copy_sessions(source, target)
    _copy_credentials(source, target)


def _copy_credentials(source: Database, target: Database) -> None:
    """Copy what events of STS told of sessions, and who made those."""
    columns = "credential_key, credential_hash, told_at, parent_key, tags, transitive_keys"
    target.conn.executemany(
        f"insert into credentials ({columns}) values (?, ?, ?, ?, ?, ?)",
        source.conn.execute(
            f"select {columns} from credentials where told_at is not null or credential_key in"
            " (select parent_key from credentials)"
        ),
    )


def _copy_sessions(source: Database, target: Database) -> None:
    """Copy what CloudTrail told of sessions."""
    rows = source.conn.execute(
        "select principal_arn, principal_type, session_name, user_name from session_users"
        " join principals using (principal_key) join sessions using (session_key)"
        " join users using (user_key)"
    ).fetchall()
    for names, columns in (
        ({row[:2] for row in rows}, "principals (principal_arn, principal_type)"),
        ({row[2:3] for row in rows}, "sessions (session_name)"),
        ({row[3:] for row in rows}, "users (user_name)"),
    ):
        marks = ", ".join("?" * (columns.count(",") + 1))
        target.conn.executemany(f"insert or ignore into {columns} values ({marks})", names)
    target.conn.executemany(
        "insert into session_users select principal_key, session_key, user_key"
        " from principals, sessions, users where principal_arn = ? and principal_type = ?"
        " and session_name = ? and user_name = ?",
        rows,
    )


def template_of(db: Database) -> bytes:
    """Return the bytes of a warehouse to copy: without prices, which count nothing."""
    with closing(sqlite3.connect(":memory:")) as copy:
        db.conn.backup(copy)
        copy.execute("delete from prices")
        for table in ("price_list_versions", "price_list_changes", "session_users", "credentials"):
            copy.execute(f"delete from {table}")
        copy.commit()
        copy.execute("vacuum")
        return copy.serialize()


@contextmanager
def open_scratch(template: bytes, secret: str) -> Iterator[Database]:
    """Open a copy of a template, with the secret of a warehouse. It is deleted when closed."""
    with TemporaryDirectory(prefix="bedrock-usage-") as folder:
        path = Path(folder) / "scratch.db"
        path.write_bytes(template)
        write_new(Path(f"{path}.secret"), secret.encode())
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            db = Warehouse(connection, Patience())
            for pragma in _PRAGMAS:
                db.execute(f"pragma {pragma}")
            yield db
