"""Run the checks of ``sql/checks`` over a warehouse.

SQLite takes half a second to prepare them, views being large, and a few milliseconds to run them
over little data. So one connection for the whole process keeps them prepared: a copy of each
warehouse takes the place of the one before in its file.
"""

from __future__ import annotations

import functools
import itertools
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from etl.sql_files import sql_names, sql_text

# Parts of a database's header: https://www.sqlite.org/fileformat.html#the_database_header
_FORMAT, _CHANGES, _SCHEMA, _VALID_FOR = slice(18, 20), slice(24, 28), slice(40, 44), slice(92, 96)

_numbers = itertools.count(1)
_schemas: dict[tuple[Any, ...], int] = {}


def failed_checks(
    db: Database, names: Iterable[str] | None = None
) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of each check that fails, and of broken references as ``keys``.

    ``names``: of the checks; None for all of them.
    """
    copy = _copy_of(db.conn)
    texts = {name: sql_text(f"checks/{name}") for name in names or sql_names("checks")}
    texts["keys"] = "pragma foreign_key_check"
    found = {name: copy.execute(text).fetchall() for name, text in texts.items()}
    return {name: wrong for name, wrong in found.items() if wrong}


def _copy_of(conn: sqlite3.Connection) -> sqlite3.Connection:
    """Return a connection to the current content, which the next call replaces."""
    image = bytearray(conn.serialize())
    # A journal of its own would be another file. A new number tells SQLite to read the pages again;
    # statements stay prepared for each schema that has the number of the last one.
    image[_FORMAT] = b"\1\1"
    image[_CHANGES] = image[_VALID_FOR] = next(_numbers).to_bytes(4, "big")
    schema = tuple(conn.execute("select rootpage, sql from sqlite_master").fetchall())
    image[_SCHEMA] = _schemas.setdefault(schema, len(_schemas) + 1).to_bytes(4, "big")
    path, copy = _place()
    with path.open("r+b") as file:
        file.write(image)
        file.truncate()
    return copy


@functools.cache
def _place() -> tuple[Path, sqlite3.Connection]:
    folder = Path(tempfile.mkdtemp(prefix="checked-"))
    path = folder / "copy.db"
    path.touch()
    return path, sqlite3.connect(path, isolation_level=None, cached_statements=256)
