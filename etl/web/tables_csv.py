"""CSV of a query of ``sql/pages``: the whole table, as a file.

Datasette's own CSV of a query ends at the rows that a page may show, without a word, and has a
column for each dimension, asked for or not. Here the columns follow from the question alone, and
all rows are written, or none: a file that would be too large is refused before it begins.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import IO, Any
from urllib.parse import parse_qsl

from datasette.app import Datasette
from datasette.utils import sqlite3
from datasette.utils.asgi import AsgiStream, Request
from datasette.views.base import DatasetteError

from etl.errors import DataError
from etl.show.spreadsheet import harmless_cell
from etl.warehouse.visitor_sql.limits import stopping_after
from etl.web import queries
from etl.web.site import DATABASE

_SECONDS = 30
_MAX_BYTES = 50 << 20
# Kept in memory; longer ones are in a file.
_IN_MEMORY = 1 << 20
_CHUNK = 1 << 16
# Rows between two looks at the size.
_ROWS_BETWEEN = 1000

# A name of a file that every system takes.
_ODD = re.compile(r"[^A-Za-z0-9.@_]+")
_LONGEST_NAME = 150


async def answer(request: Request, datasette: Datasette) -> AsgiStream:
    """Answer with all rows of a query."""
    name = request.url_vars["query"]
    await datasette.ensure_permissions(
        request.actor, [("view-query", (DATABASE, name)), ("view-instance", None)]
    )
    given = _given(request, name)
    write = partial(
        _write,
        sql=queries.sql_of(name),
        parameters=queries.bound(
            datasette, request.actor, dict.fromkeys(queries.parameters_of(name), "") | given
        ),
        left_out=_not_asked_for(name, given),
    )
    try:
        file = await datasette.get_database(DATABASE).execute_fn(write)
    except DataError as error:
        raise DatasetteError(str(error), status=400) from None

    async def send(writer: Any) -> None:
        with file:
            while chunk := file.read(_CHUNK):
                await writer.write(chunk)

    return AsgiStream(
        send,
        headers={"content-disposition": disposition(file_name(name, given))},
        content_type="text/csv; charset=utf-8",
    )


def _given(request: Request, name: str) -> dict[str, str]:
    """Return the query's parameters in the address, of each the last."""
    wanted = queries.parameters_of(name)
    return {key: value for key, value in parse_qsl(request.query_string) if key in wanted}


def _not_asked_for(name: str, given: Mapping[str, str]) -> frozenset[str]:
    """Return the columns of dimensions that are not asked for, and so always empty."""
    if name not in ("usage", "hours"):
        return frozenset()
    return frozenset(
        column for flag, column in queries.DIMENSIONS.items() if given.get(flag) in (None, "", "0")
    )


def _write(
    connection: sqlite3.Connection,
    *,
    sql: str,
    parameters: Mapping[str, object],
    left_out: frozenset[str],
) -> IO[str]:
    """Write the rows to a temporary file and return it; raise DataError if that is too much."""
    file = tempfile.SpooledTemporaryFile(  # noqa: SIM115  # closed once it is sent
        _IN_MEMORY, "w+", encoding="utf-8", newline=""
    )
    try:
        with stopping_after(connection, _SECONDS):
            cursor = connection.cursor()
            # Plain tuples: rows of pages are limited in size all together.
            cursor.row_factory = None
            cursor.execute(sql, dict(parameters))
            _write_rows(file, [column[0] for column in cursor.description], cursor, left_out)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _write_rows(
    file: IO[str],
    columns: Sequence[str],
    rows: Iterator[Sequence[object]],
    left_out: frozenset[str],
) -> None:
    kept = [index for index, column in enumerate(columns) if column not in left_out]
    writer = csv.writer(file)
    writer.writerow([columns[index] for index in kept])
    for number, row in enumerate(rows):
        writer.writerow([harmless_cell(row[index]) for index in kept])
        if number % _ROWS_BETWEEN == 0 and file.tell() > _MAX_BYTES:
            raise DataError(
                f"The table is larger than {_MAX_BYTES >> 20} MB; choose fewer days or names"
            )


def file_name(name: str, given: Mapping[str, str]) -> str:
    """Return a name for the file, with what it is of: dimensions, days, names chosen."""
    by = [flag.removeprefix("by_") for flag in queries.DIMENSIONS if given.get(flag)]
    parts = [f"{name}-by-{'-'.join(by)}" if by else name]
    parts += [given[key] for key in ("since", "until") if given.get(key)]
    parts += [
        f"{key.removesuffix('s')}-{given[key].strip('[]')}"
        for key in queries.FILTERS
        if key not in ("since", "until") and given.get(key)
    ]
    return "_".join(map(safe_name, parts))[:_LONGEST_NAME] + ".csv"


def safe_name(text: str) -> str:
    """Return a text as a part of a file's name."""
    return _ODD.sub("-", text).strip("-.")[:_LONGEST_NAME]


def disposition(name: str) -> str:
    """Return the header that makes a browser store the answer under this name."""
    return f'attachment; filename="{name}"'
