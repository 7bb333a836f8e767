"""The file of a warehouse: what a name means, what is there, and how a new one comes to be.

- **A name is a path and nothing else.** SQLite reads ``:memory:``, ``file:``, ``?``, ``#`` and
  ``%`` in names its own way, so it is only ever given whole, escaped addresses (``uri_of``).
- **What is no warehouse stays as it is**, and nothing is put beside it: ``is_there`` looks at a
  file as one that nobody changes, before it is opened in earnest.
- **A new warehouse appears whole**: it is made in memory, written under another name in the same
  folder and then given its own. Whoever is killed leaves none, or one that is complete.
- **Nobody else may read it.** SQLite gives the files beside it (-wal, -shm) the mode of the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from etl.errors import WarehouseError
from etl.warehouse.schema import migrations

NOT_A_DATABASE = (
    "the file is not a SQLite database, or its first page is damaged;"
    " choose another with --db, or restore a copy"
)

# What stands beside a warehouse: of SQLite, of who synchronises, and of the pages.
_BESIDE = ("-wal", "-shm", ".lock", ".secret", ".sessions")

# Rights of what holds names and costs; whoever wants fewer sets a umask.
PRIVATE = 0o600

_MAGIC = b"SQLite format 3\0"

# Where SQLite's header says how changes are written, and its word for a log beside the file.
_JOURNAL_MODE, _WAL = slice(18, 20), b"\2\2"


def real_path(path: Path) -> Path:
    """Return the path without links: SQLite keeps its files beside what a link points to."""
    # Path.resolve raises where a link points to itself.
    return Path(os.path.realpath(path))


def files_of(path: Path) -> set[Path]:
    """Return the files that a warehouse consists of, and those that may stand beside it."""
    return {real_path(Path(f"{path}{suffix}")) for suffix in ("", *_BESIDE)}


def size_of(path: Path) -> int:
    """Return the bytes of a warehouse and of the log beside it."""
    return sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())


def uri_of(path: Path, query: str) -> str:
    """Return the address under which SQLite opens this very file; ``query``: like ``mode=ro``."""
    return f"{real_path(path).as_uri()}?{query}"


def connect_readonly(path: Path, *, timeout: float = 5.0) -> sqlite3.Connection:
    """Return a connection that only reads, for any thread."""
    return sqlite3.connect(
        uri_of(path, "mode=ro"), uri=True, timeout=timeout, check_same_thread=False
    )


def is_there(path: Path, *, even_damaged: bool = False) -> bool:
    """Return whether there is a database that is ours, or holds nothing yet; False: no file.

    Raises WarehouseError for anything else; but a file that is damaged is left to whoever opens it,
    at its very beginning only with ``even_damaged``.
    """
    try:
        found = real_path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise WarehouseError(f"{path} is not a regular file; choose another with --db")
    if not found.st_size:
        raise WarehouseError(
            f"there is no warehouse at {path}, only an empty file: delete it, or choose another"
            " with --db"
        )
    is_database = _beginning(path) == _MAGIC
    try:
        if is_database and _looks_foreign(real_path(path)):
            raise foreign(path)
    except sqlite3.DatabaseError as error:
        # Of any other error whoever opens it finds out: it is damaged, or changed at this moment.
        is_database = getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_NOTADB
    except UnicodeDecodeError:
        pass
    if not is_database and not even_damaged:
        raise WarehouseError(f"{path}: {NOT_A_DATABASE}")
    return True


def foreign(path: Path) -> WarehouseError:
    """Return the error for another program's database."""
    return WarehouseError(f"{path} is another program's database; choose another with --db")


def is_foreign(db: Database) -> bool:
    """Return whether anything is in the database, and no sign that this program put it there."""
    tables = {name for (name,) in db.execute("select name from sqlite_master where type = 'table'")}
    if migrations.migrations_table in tables:
        try:
            if migrations.applied(db):
                return False
        except (sqlite3.OperationalError, KeyError):
            return True  # a table of that name with other columns
    marks = ("application_id", "user_version")
    is_marked = any(db.execute(f"pragma {mark}").fetchone()[0] for mark in marks)
    return is_marked or not _is_empty(db)


def make_file(path: Path, image: Callable[[], bytes]) -> None:
    """Put a new database in place, unless another process is first. ``image``: its content.

    Raises WarehouseError where it cannot be written.
    """
    real = real_path(path)
    try:
        if not real.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        content = bytearray(image())
        content[_JOURNAL_MODE] = _WAL
        while not real.exists():
            _refuse_leftover(path, real)
            _remove_unfinished(real)
            # Gone: another process that creates this warehouse took it for unfinished.
            with contextlib.suppress(FileNotFoundError):
                _put(real, content)
    except OSError as error:
        raise WarehouseError(f"{path}: {_advice(error)}") from None


def _advice(error: OSError) -> str:
    """Say what the system complains of and what to do next, in the words for SQLite's errors."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full: make room and run the same command again"
    if error.errno in (errno.EIO, errno.EFBIG):
        return (
            f"the disk gave an error ({error.strerror}): look into the system's log, then run the"
            " same command again"
        )
    return f"{error.strerror}; its folder must exist and be writable, with room on the disk"


def _put(real: Path, content: bytearray) -> None:
    # mkstemp gives the file to its owner alone.
    handle, name = tempfile.mkstemp(prefix=f".{real.name}.", suffix=".new", dir=real.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, real)
    finally:
        Path(name).unlink(missing_ok=True)


def _remove_unfinished(real: Path) -> None:
    """Remove what processes left that were killed while they wrote a new warehouse."""
    start, end = f".{real.name}.", ".new"
    for file in real.parent.iterdir():
        letters = file.name.removeprefix(start).removesuffix(end)
        if file.name == f"{start}{letters}{end}" and letters.replace("_", "").isalnum():
            file.unlink(missing_ok=True)


def _refuse_leftover(path: Path, real: Path) -> None:
    """Refuse to join a new database with the log of one that is gone: SQLite would mix the two."""
    for suffix in ("-wal", "-journal"):
        beside = Path(f"{real}{suffix}")
        if beside.exists() and beside.stat().st_size and not real.exists():
            raise WarehouseError(
                f"{path}{suffix} is left of a database that is gone: restore {path.name}, or delete"
                f" {path.name}{suffix}"
            )


def _beginning(path: Path) -> bytes:
    try:
        # Without waiting, should it be a pipe by now.
        handle = os.open(real_path(path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        return os.read(handle, len(_MAGIC))
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(handle)


def _unreadable(path: Path, error: OSError) -> WarehouseError:
    return WarehouseError(
        f"{path}: {error.strerror}; allow reading it, or choose another with --db"
    )


def _looks_foreign(real: Path) -> bool:
    """Return whether a database is another program's, without a trace of having looked."""
    # As a file that nobody changes: else readers put files beside it.
    if _has(real, is_foreign):
        return True
    return _has_log(real) and _has(real, _is_empty) and _looks_foreign_with_log(real)


def _looks_foreign_with_log(real: Path) -> bool:
    """Return the same where all that it holds is still in its log: in a copy, for it changes."""
    with tempfile.TemporaryDirectory(prefix="bedrock-usage-") as folder:
        copy = Path(folder) / "copy.db"
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{real}{suffix}", f"{copy}{suffix}")
        with closing(sqlite3.connect(copy)) as connection:
            return is_foreign(Database(connection, execute_plugins=False))


def _has(real: Path, condition: Callable[[Database], bool]) -> bool:
    with closing(sqlite3.connect(uri_of(real, "immutable=1"), uri=True)) as connection:
        return condition(Database(connection, execute_plugins=False))


def _has_log(real: Path) -> bool:
    wal = Path(f"{real}-wal")
    return wal.exists() and wal.stat().st_size > 0


def _is_empty(db: Database) -> bool:
    return db.execute("select 1 from sqlite_master limit 1").fetchone() is None
