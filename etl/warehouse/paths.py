"""The file of a warehouse: what a name means, what is there, and how a new one is created.

- **A name is a path and nothing else.** SQLite gives ``:memory:``, ``file:``, ``?``, ``#`` and
  ``%`` in names a meaning of its own, so it only ever gets complete, escaped URIs (``uri_of``).
- **A file that is not a warehouse stays as it is**, and no file is created next to it: ``is_there``
  first reads it as a file that does not change.
- **A new warehouse appears whole**: it is built in memory, written under another name in the same
  folder, and gets its name when it is complete. A killed process leaves no warehouse, or a complete
  one. The same is true of the secret next to it.
- **Only its owner may read it.** SQLite gives the files next to it (-wal, -shm) the same mode.
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

# The files next to a warehouse: SQLite's, the lock of a sync, and those of the pages.
_COMPANIONS = ("-wal", "-shm", ".lock", ".secret", ".sessions")

# The mode of files with names and costs; a umask can only restrict it further.
PRIVATE = 0o600

# For a rename of another process, which takes none.
_TURN_SECONDS = 10

# An empty file is not a warehouse (DECISIONS 96).
_MAGIC = b"SQLite format 3\0"

# Where SQLite's header says how changes are written, and the value for a write-ahead log.
_JOURNAL_MODE, _WAL = slice(18, 20), b"\2\2"


def real_path(path: Path) -> Path:
    """Return the path without links: SQLite keeps its files next to the target of a link."""
    # Path.resolve raises if a link points to itself.
    return Path(os.path.realpath(path))


def files_of(path: Path) -> set[Path]:
    """Return the file of a warehouse and those that may exist next to it."""
    return {real_path(Path(f"{path}{suffix}")) for suffix in ("", *_COMPANIONS)}


def size_of(path: Path) -> int:
    """Return the size of a warehouse and of its log, in bytes."""
    return sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())


def uri_of(path: Path, query: str) -> str:
    """Return the URI with which SQLite opens exactly this file; ``query``: such as ``mode=ro``."""
    return f"{real_path(path).as_uri()}?{query}"


def connect_readonly(path: Path, *, timeout: float = 5.0) -> sqlite3.Connection:
    """Return a read-only connection that any thread may use."""
    return sqlite3.connect(
        uri_of(path, "mode=ro"), uri=True, timeout=timeout, check_same_thread=False
    )


def is_there(path: Path, *, even_damaged: bool = False) -> bool:
    """Return whether there is a database that is ours, or empty; False if there is no file.

    Raises WarehouseError for anything else. Damage is left to the caller to find when it opens the
    file; damage to the first bytes only with ``even_damaged``.
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
        # The caller finds any other error when it opens the file: damage, or a change just now.
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
    """Return whether the database has content, and no sign that this program wrote it."""
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
    """Create a new database file, unless another process is faster. ``image``: its content.

    Raises WarehouseError if it cannot be written.
    """
    real = real_path(path)
    try:
        if not real.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        content = bytearray(image())
        content[_JOURNAL_MODE] = _WAL
        _refuse_leftover(path, real)
        write_new(real, content)
    except OSError as error:
        raise WarehouseError(f"{path}: {_advice(error)}") from None


def _advice(error: OSError) -> str:
    """Return what the error means and what to do next, worded as for SQLite's errors."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full: free some space and run the same command again"
    if error.errno in (errno.EIO, errno.EFBIG):
        return (
            f"the disk reported an error ({error.strerror}): check the system log, then run the"
            " same command again"
        )
    return f"{error.strerror}; its folder must exist and be writable, with free space on the disk"


def write_new(real: Path, content: bytes | bytearray) -> None:
    """Create a file for its owner alone, unless there is one: then that stays as it is.

    It appears whole, whatever other processes do, and whenever this one is killed. Raises OSError.
    """
    # Not exists(): a link to nothing has the name, too.
    while not os.path.lexists(real):
        _remove_unfinished(real)
        # mkstemp lets only the owner read the file.
        handle, name = tempfile.mkstemp(prefix=f".{real.name}.", suffix=".new", dir=real.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # Missing if another process that creates the same file removed it as unfinished.
            with contextlib.suppress(FileNotFoundError):
                _publish(name, real)
        finally:
            Path(name).unlink(missing_ok=True)


def _publish(name: str, real: Path) -> None:
    """Give a complete file its name, unless another has it."""
    try:
        os.link(name, real)
    except FileExistsError:
        return
    except FileNotFoundError:
        raise  # the complete file is gone: without links it would be, too
    except OSError:
        # There are file systems without links: exFAT, some network mounts.
        _publish_in_turn(name, real)


def _publish_in_turn(name: str, real: Path) -> None:
    """Do the same without a link. Renaming replaces: so only one process at a time may look."""
    from filelock import FileLock, Timeout  # slow, and hardly ever needed

    lock = FileLock(real.parent / f".{real.name}.lock", timeout=_TURN_SECONDS, mode=PRIVATE)
    try:
        lock.acquire()
    except Timeout:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
    try:
        if not os.path.lexists(real):
            Path(name).rename(real)
    finally:
        lock.release()
        # Whoever waits for it, or creates it again, finds the file that is there now.
        Path(lock.lock_file).unlink(missing_ok=True)


def _remove_unfinished(real: Path) -> None:
    """Remove the files left by processes that were killed while writing a new warehouse."""
    start, end = f".{real.name}.", ".new"
    for file in real.parent.iterdir():
        letters = file.name.removeprefix(start).removesuffix(end)
        if file.name == f"{start}{letters}{end}" and letters.replace("_", "").isalnum():
            file.unlink(missing_ok=True)


def _refuse_leftover(path: Path, real: Path) -> None:
    """Refuse a new database next to the log of a deleted one: SQLite would mix the two."""
    for suffix in ("-wal", "-journal"):
        leftover = Path(f"{real}{suffix}")
        if leftover.exists() and leftover.stat().st_size and not real.exists():
            raise WarehouseError(
                f"{path}{suffix} is left over from a deleted database: restore {path.name}, or"
                f" delete {path.name}{suffix}"
            )


def _beginning(path: Path) -> bytes:
    try:
        # Without waiting, in case it has become a pipe.
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
        f"{path}: {error.strerror}; make it readable, or choose another with --db"
    )


def _looks_foreign(real: Path) -> bool:
    """Return whether a database is another program's; leaves no trace."""
    # Read as a file that does not change: otherwise readers create files next to it.
    if _has(real, is_foreign):
        return True
    return _has_log(real) and _has(real, _is_empty) and _looks_foreign_with_log(real)


def _looks_foreign_with_log(real: Path) -> bool:
    """Return the same if its whole content is still in its log; reads a copy, as reading writes."""
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
