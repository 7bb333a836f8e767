"""Open the warehouse: pragmas, migrations, views, list prices.

Views are not migrated but replaced: before migrations run, every view goes; afterwards every file
of ``VIEW_LAYERS`` comes back. Where nothing changed, opening writes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from etl import resources
from etl.errors import WarehouseError
from etl.warehouse.prices import ensure_list_prices
from etl.warehouse.schema import migrations

VIEW_LAYERS = ("staging", "intermediate", "marts")

_BUSY_SECONDS = 30


@contextmanager
def open_warehouse(path: Path, *, create: bool = False) -> Iterator[Database]:
    """Open the warehouse for writing, brought up to date first.

    Raises WarehouseError if there is none (unless ``create``), if the file is not one, or if a
    newer version of the program wrote it.
    """
    with _connect(path, create=create) as db:
        _refuse_foreign(db, path)
        ensure_schema(db)
        ensure_list_prices(db)
        yield db


@contextmanager
def _connect(path: Path, *, create: bool) -> Iterator[Database]:
    if not create and not path.exists():
        raise WarehouseError(
            f"there is no warehouse at {path}: make one with `bedrock-usage load PATH`,"
            " or try `bedrock-usage demo`"
        )
    connection = None
    try:
        # Autocommit: transactions begin and end where the code says so.
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma foreign_keys = on")
        connection.execute("pragma temp_store = memory")
        connection.execute("pragma cache_size = -65536")
        yield Database(connection)
    except sqlite3.Error as error:
        raise WarehouseError(f"{path}: {_explain(error)}") from error
    finally:
        if connection is not None:
            connection.close()


def _explain(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    advice = {
        sqlite3.SQLITE_NOTADB: "the file is not a SQLite database; choose another with --db",
        sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; its folder must exist and be writable",
        sqlite3.SQLITE_READONLY: "the file or its folder is read-only",
        sqlite3.SQLITE_BUSY: f"another process has been writing for {_BUSY_SECONDS} s; try again",
        sqlite3.SQLITE_FULL: "the disk is full; what was committed is safe, load again with room",
        sqlite3.SQLITE_CORRUPT: "the file is damaged; restore a copy, or load into a new one",
    }
    # The low byte is the primary code; the rest says more than advice needs.
    return advice.get((code or 0) & 0xFF, f"{error}")


def _refuse_foreign(db: Database, path: Path) -> None:
    applied = {migration.name for migration in migrations.applied(db)}
    if not applied and db.table_names():
        raise WarehouseError(f"{path} is another program's database; choose another with --db")
    unknown = applied - {migration.name for migration in migrations._migrations}
    if unknown:
        raise WarehouseError(
            f"{path} was written by a newer bedrock-usage (it has {', '.join(sorted(unknown))}):"
            " upgrade this one"
        )


def files_of(db: Database) -> set[Path]:
    """Return the files that the open warehouse itself consists of, and the lock beside them."""
    main = db.conn.execute("pragma database_list").fetchone()[2]
    return {Path(f"{main}{suffix}").resolve() for suffix in ("", "-wal", "-shm", ".lock")}


def view_sql() -> dict[str, str]:
    """Return every view's statement by name, layers first to last."""
    files = (
        file for layer in VIEW_LAYERS for file in sorted((resources.SQL / layer).glob("*.sql"))
    )
    return {file.stem: f"create view {file.stem} as\n{_body(file)}" for file in files}


def _body(file: Path) -> str:
    return file.read_text(encoding="utf-8").rstrip()


def ensure_schema(db: Database) -> None:
    """Bring tables and views up to date, in one transaction; write nothing if they are."""
    wanted = view_sql()
    present = dict(db.execute("select name, sql from sqlite_master where type = 'view'"))
    # SQLite stores the statement with its first two words in capitals.
    current = {name: sql.replace("CREATE VIEW", "create view", 1) for name, sql in present.items()}
    if current == wanted and not migrations.pending(db):
        return
    with db.atomic():
        for name in present:
            db.execute(f'drop view "{name}"')
        migrations.apply(db)
        for statement in wanted.values():
            db.execute(statement)
        for name in wanted:
            # SQLite accepts a view over a missing column and fails only when it is read.
            db.execute(f"select * from {name} limit 0")
