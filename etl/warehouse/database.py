"""Open the warehouse: pragmas, migrations, views, list prices.

Views are not migrated but replaced: every view is dropped before migrations run, and created again
afterwards from the files of ``VIEW_LAYERS``. If nothing changed, opening writes nothing.

Every SQLite error becomes a WarehouseError that says what to do next (``explain_sqlite``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from etl.errors import StoppedError, WarehouseError
from etl.sql_files import sql_names, sql_text
from etl.warehouse.long_work import long_work
from etl.warehouse.paths import (
    NOT_A_DATABASE,
    connect_readonly,
    foreign,
    is_foreign,
    is_there,
    make_file,
    real_path,
    uri_of,
)
from etl.warehouse.prices import ensure_list_prices
from etl.warehouse.schema import migrations
from etl.warehouse.turns import Patience, Warehouse, in_turn
from etl.warehouse.turns import transaction as transaction
from etl.warehouse.upkeep.upgrade import apply_migrations, plan_upgrade, require_room
from etl.warehouse.write.bill_cells import ensure_bill_cells
from etl.warehouse.write.input_forms import ensure_input_forms

VIEW_LAYERS = ("staging", "intermediate", "marts")

# How long to wait for another writer, by default.
_BUSY_SECONDS = 30

# What each primary error code of SQLite means, and the next step.
_ADVICE = {
    sqlite3.SQLITE_NOTADB: NOT_A_DATABASE,
    sqlite3.SQLITE_CANTOPEN: (
        "the file, or a file that SQLite needs next to it (-wal, -shm), cannot be opened;"
        " its folder must exist and be writable, with free space on the disk"
    ),
    sqlite3.SQLITE_READONLY: (
        "the file, its folder or the disk is read-only; make it writable, or copy the file"
        " to a writable place and name the copy with --db"
    ),
    sqlite3.SQLITE_BUSY: (
        f"another process has been writing for {_BUSY_SECONDS} s;"
        " wait for it, then run the same command again"
    ),
    sqlite3.SQLITE_FULL: (
        "the disk is full; committed data is safe: free some space and run the same command again"
    ),
    sqlite3.SQLITE_IOERR: (
        "the disk reported an error; committed data is safe: free some space if the disk is full,"
        " otherwise check the system log, then run the same command again"
    ),
    sqlite3.SQLITE_CORRUPT: (
        "the file is damaged; `bedrock-usage check` shows where. Restore a copy, recover what is"
        " left (`sqlite3 FILE .recover`), or delete the file and load or sync again"
    ),
}

# The errors of SQLite if it cannot keep a file next to the warehouse.
_NO_COMPANION = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)


@contextmanager
def open_warehouse(
    path: Path, *, create: bool = False, patience: Patience | None = None
) -> Iterator[Database]:
    """Open the warehouse for writing, brought up to date first.

    ``patience``: how to wait for other writers; by default for half a minute.
    Raises WarehouseError if there is no warehouse (unless ``create``), if the file is not one, if
    a newer version of the program wrote it, and for every SQLite error until it is closed.
    """
    _require(path, create=create)
    with _connection(path, "mode=rw", patience) as db:
        # Before the first pragma that writes: a database that is not ours stays unchanged.
        refuse_foreign(db, path)
        _set_up(db)
        ensure_schema(db)
        ensure_list_prices(db)
        ensure_input_forms(db)
        ensure_bill_cells(db)
        yield db


@contextmanager
def open_unchanged(path: Path) -> Iterator[Database]:
    """Open a warehouse read-only, as it is: nothing is migrated and nothing can be written.

    Its schema may be another version's, and the file may be damaged. Raises WarehouseError if
    there is no warehouse, and for every SQLite error.
    """
    _require(path, even_damaged=True)
    mode = "mode=ro" if _is_readable_beside_writers(path) else "immutable=1"
    with _connection(path, mode) as db:
        yield db


def _require(path: Path, *, create: bool = False, even_damaged: bool = False) -> None:
    """Raise WarehouseError if there is nothing to open; with ``create``, create it instead."""
    if is_there(path, even_damaged=even_damaged):
        return
    if not create:
        raise WarehouseError(
            f"there is no warehouse at {path}: create one with `bedrock-usage sync`, which reads"
            " AWS, or `bedrock-usage load PATH`, or try `bedrock-usage demo`"
        )
    with _explained(path):
        make_file(path, _new_content)


def _new_content() -> bytes:
    """Return the bytes of an empty warehouse: the schema and the list prices."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        db = Warehouse(connection, Patience())
        ensure_schema(db)
        ensure_list_prices(db)
        ensure_input_forms(db)
        return connection.serialize()


def _set_up(db: Database) -> None:
    """Set the journal mode of the file and the pragmas of the connection."""
    if db.execute("pragma journal_mode").fetchone() != ("wal",):
        in_turn(db, "pragma journal_mode = wal")
    for pragma in (
        "synchronous = normal",
        "foreign_keys = on",
        "temp_store = memory",
        "cache_size = -32768",
    ):
        db.execute(f"pragma {pragma}")


@contextmanager
def _connection(path: Path, mode: str, patience: Patience | None = None) -> Iterator[Database]:
    # Autocommit: transactions begin and end only where the code says so.
    options: Any = {"timeout": _BUSY_SECONDS, "isolation_level": None}
    with (
        _explained(path),
        closing(sqlite3.connect(uri_of(path, mode), uri=True, **options)) as connection,
    ):
        yield Warehouse(connection, patience or Patience(limit=_BUSY_SECONDS))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn SQLite errors into errors of ours."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if isinstance(error, UnicodeDecodeError) and not quotes_damage(error):
            raise
        if isinstance(error, sqlite3.Error) and primary_code(error) == sqlite3.SQLITE_INTERRUPT:
            raise StoppedError("interrupted") from error
        raise WarehouseError(f"{path}: {explain_sqlite(error)}") from error


def _is_readable_beside_writers(path: Path) -> bool:
    """Return whether the file can be read while others write.

    Readers need a file next to the warehouse (-shm). In a folder that is not writable, or on a full
    disk, they cannot have it and must read the warehouse as a file that does not change. That is
    correct only if there is no write-ahead log (-wal).
    """
    try:
        with closing(connect_readonly(path)) as connection:
            connection.execute("pragma schema_version").fetchone()
    except sqlite3.Error as error:
        wal = Path(f"{real_path(path)}-wal")
        return primary_code(error) not in _NO_COMPANION or (wal.exists() and wal.stat().st_size > 0)
    return True


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary code of an error, 0 if it did not come from SQLite."""
    # The low byte is the primary code; advice does not need the rest.
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def quotes_damage(error: UnicodeDecodeError) -> bool:
    """Return whether this is an SQLite message that quotes damaged text of the schema.

    Python cannot decode such a message, and raises only this error.
    """
    return error.object.startswith((b"malformed database schema", b"near ", b"no such "))


def explain_sqlite(error: sqlite3.Error | UnicodeDecodeError) -> str:
    """Return what an SQLite error means and what to do next."""
    if isinstance(error, UnicodeDecodeError):
        return _ADVICE[sqlite3.SQLITE_CORRUPT]
    code = primary_code(error)
    advice = _ADVICE.get(code)
    if advice is None:
        return f"{error}; `bedrock-usage check` shows whether the file is damaged"
    # The exact disk error helps when reading the system log.
    return f"{advice} ({error.sqlite_errorname})" if code == sqlite3.SQLITE_IOERR else advice


def refuse_foreign(db: Database, path: Path) -> None:
    """Raise WarehouseError if the database is another program's, or a newer version's."""
    if is_foreign(db):
        raise foreign(path)
    _, unknown = schema_difference(db)
    if unknown:
        raise WarehouseError(
            f"{path} was written by a newer bedrock-usage (it has {', '.join(unknown)}):"
            " upgrade this program"
        )


def schema_difference(db: Database) -> tuple[list[str], list[str]]:
    """Return the migrations that the database lacks, and those unknown to this program."""
    applied = {migration.name for migration in migrations.applied(db)}
    known = {migration.name for migration in migrations._migrations}
    return sorted(known - applied), sorted(applied - known)


@cache
def view_sql() -> Mapping[str, str]:
    """Return the statement of every view by name, from the first layer to the last."""
    return {
        view: f"create view {view} as\n{sql_text(f'{layer}/{view}').rstrip()}"
        for layer in VIEW_LAYERS
        for view in sql_names(layer)
    }


def ensure_schema(db: Database) -> None:
    """Bring tables and views up to date, in one transaction; write nothing if they already are.

    A kill or a stop at any moment leaves everything as it was. Raises WarehouseError, before
    anything is changed, if the disk lacks the space, and StoppedError.
    """
    wanted = view_sql()
    if is_current(db, wanted):
        return
    plan = plan_upgrade(db)
    require_room(plan)
    with (
        long_work(db, plan.title, expected_seconds=plan.seconds or None, can_stop=True) as note,
        _without_foreign_keys(db),
        transaction(db),
    ):
        # Another process may have upgraded it meanwhile.
        if not is_current(db, wanted):
            _upgrade(db, wanted, note)


@contextmanager
def _without_foreign_keys(db: Database) -> Iterator[None]:
    """A migration may replace a table that others refer to. Outside a transaction only."""
    (before,) = db.execute("pragma foreign_keys").fetchone()
    db.conn.execute("pragma foreign_keys = off")
    try:
        yield
    finally:
        db.conn.execute(f"pragma foreign_keys = {before}")


def is_current(db: Database, wanted: Mapping[str, str]) -> bool:
    """Return whether no migration is pending and the views equal ``wanted``."""
    present = dict(db.execute("select name, sql from sqlite_master where type = 'view'").fetchall())
    # SQLite stores the statement with its first two words in capitals.
    current = {name: sql.replace("CREATE VIEW", "create view", 1) for name, sql in present.items()}
    return current == wanted and not migrations.pending(db)


def _upgrade(db: Database, wanted: Mapping[str, str], note: Callable[[str], None]) -> None:
    """Run migrations and replace the views, in the caller's transaction."""
    for (name,) in db.execute("select name from sqlite_master where type = 'view'").fetchall():
        db.execute(f'drop view "{name}"')
    apply_migrations(db, note)
    for statement in wanted.values():
        db.execute(statement)
    for name in wanted:
        # SQLite accepts a view over a missing column and fails only when the view is read. Asking
        # for its columns is enough, and takes a quarter of the time of preparing to read it.
        db.execute(f"pragma table_info({name})")
