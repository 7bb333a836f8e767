"""Look a warehouse over: is the file whole, and do its figures follow from its calls?

- **file**: SQLite's own look at every page and index.
- **schema**: tables and views are this version's. Others are looked over as far as it goes.
- **keys**: every row finds the rows that it refers to. SQLite does not look while `load` is busy.
- **every file of** ``sql/checks``: each returns a row for whatever is wrong. They read the views
  that are in the file.

Nothing is written, so that a damaged file stays as it is. In a damaged file nothing else is looked
at, because it would only tell the damage again in other words.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Literal, NamedTuple

from sqlite_utils import Database

from etl.errors import WarehouseError
from etl.sql_files import sql_names, sql_text
from etl.warehouse.database import (
    primary_code,
    schema_difference,
    view_sql,
)
from etl.warehouse.long_work import long_work, make_interruptible
from etl.warehouse.paths import is_foreign
from etl.warehouse.turns import transaction
from etl.warehouse.write.rollup import rebuild_rollups

CheckStatus = Literal["ok", "warning", "failed", "not checked"]

# Of what is wrong, the first rows are shown.
ROWS_SHOWN = 3

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_RESTORE = (
    "Restore a copy; or salvage what is left with `sqlite3 FILE .recover`; or delete the file and"
    " load or sync again: all comes back that the logs and AWS still have. Calls that `vacuum`"
    " dropped are counted in this file only."
)
_UPDATE = "`bedrock-usage status`, or any other command that may write, brings it up to date."
_REBUILD = (
    "`bedrock-usage check --rebuild` makes the sums anew; if it does not help, this is a defect of"
    " bedrock-usage: please report it."
)
_DEFECT = "If bedrock-usage is up to date, this is a defect of it: please report it."
_PRICES = (
    "`bedrock-usage prices list` shows the rates; `bedrock-usage prices import` puts yours right."
)
_FIXES = {
    "prices_do_not_overlap": _PRICES,
    "money_is_whole": _PRICES,
    "usage_cost_has_its_grain": _DEFECT,
}


class CheckResult(NamedTuple):
    """What came of one check. ``rows``: the first of the ``row_count`` rows that are wrong."""

    check: str
    status: CheckStatus
    detail: str
    fix: str | None = None
    rows: tuple[dict[str, Any], ...] = ()
    row_count: int = 0


class Check(NamedTuple):
    """One thing to look at. ``run`` may raise sqlite3.Error."""

    name: str
    run: Callable[[Database], CheckResult]


def all_checks() -> list[Check]:
    """Return every check, in the order in which they make sense."""
    return [
        Check("file", _check_file),
        Check("schema", _check_schema),
        Check("keys", _check_keys),
        *(Check(name, partial(_check_sql, name=name)) for name in sql_names("checks")),
        Check("dropped_calls", _check_dropped_calls),
    ]


def run_checks(
    db: Database, *, on_check: Callable[[str], None] = lambda name: None
) -> Iterator[CheckResult]:
    """Look the warehouse over; yield what came of each check. ``on_check`` is told each name first.

    Raises WarehouseError if it is another program's database, sqlite3.Error if it cannot be read
    for another reason than damage.
    """
    _prepare(db)
    is_damaged = False
    for check in all_checks():
        if is_damaged:
            yield CheckResult(check.name, "not checked", "the file is damaged")
            continue
        on_check(check.name)
        try:
            result = check.run(db)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            result = _not_run(check.name, error)
        is_damaged = check.name == "file" and result.status == "failed"
        yield result


def rebuild(db: Database) -> None:
    """Make all sums anew: of the totals by hour, of the calls by hour and by day.

    What `vacuum` dropped stays in them. One transaction.
    """
    columns = (
        "hour, account_key, region_key, endpoint, cloudwatch_model_id, metric_kind, model_key,"
        " value, is_provisional"
    )
    with long_work(db, "making the sums anew"), transaction(db):
        db.conn.execute("delete from metric_hourly")
        db.conn.execute(
            f"insert into metric_hourly ({columns}) select {columns} from int_metric_hours"
        )
        rebuild_rollups(db)


def differing_rows(db: Database, check: str) -> int:
    """Return how many rows a file of ``sql/checks`` finds wrong."""
    return _check_sql(db, name=check).row_count


def _prepare(db: Database) -> None:
    make_interruptible(db)
    try:
        db.conn.execute("pragma cache_size = -65536")
        foreign = is_foreign(db)
    except (sqlite3.Error, UnicodeDecodeError):
        return  # the first check tells
    if foreign:
        raise WarehouseError("this is another program's database; choose another with --db")


def _not_run(name: str, error: sqlite3.Error | UnicodeDecodeError) -> CheckResult:
    """Turn an error into what came of the check; raise those that are no answer to it."""
    if isinstance(error, UnicodeDecodeError):
        words = error.object.decode(errors="replace")
        return CheckResult(name, "failed", f"SQLite says: {words}", _RESTORE)
    if primary_code(error) in _DAMAGED or "decode to UTF-8" in str(error):
        return CheckResult(name, "failed", f"SQLite says: {error}", _RESTORE)
    if primary_code(error) == sqlite3.SQLITE_ERROR:
        # A table or a column that this version of the schema does not have.
        return CheckResult(name, "not checked", str(error), _UPDATE)
    raise error


def _check_file(db: Database) -> CheckResult:
    found = db.conn.execute("pragma integrity_check").fetchall()
    problems = [
        {"problem": line}
        for (text,) in found
        for line in str(text).splitlines()
        if line != "ok" and not line.startswith("***")
    ]
    if not problems:
        return CheckResult("file", "ok", "Every page and every index is as it should be.")
    shown = tuple(problems[:ROWS_SHOWN])
    return CheckResult("file", "failed", "The file is damaged.", _RESTORE, shown, len(problems))


def _check_schema(db: Database) -> CheckResult:
    missing, unknown = schema_difference(db)
    if unknown:
        detail = f"A newer bedrock-usage wrote it: it has {', '.join(unknown)}."
        return CheckResult("schema", "warning", detail, "Upgrade this one.")
    if missing:
        detail = f"An older bedrock-usage wrote it: it lacks {', '.join(missing)}."
        return CheckResult("schema", "warning", detail, _UPDATE)
    views = dict(db.conn.execute("select name, sql from sqlite_master where type = 'view'"))
    if {name: _body(sql) for name, sql in views.items()} != {
        name: _body(sql) for name, sql in view_sql().items()
    }:
        return CheckResult("schema", "warning", "The views are another version's.", _UPDATE)
    return CheckResult("schema", "ok", "Tables and views are this version's.")


def _body(statement: str) -> str:
    # SQLite stores the statement with its first two words in capitals.
    return statement[len("create view") :]


def _check_keys(db: Database) -> CheckResult:
    rows = db.conn.execute(
        'select "table", parent, count(*) from pragma_foreign_key_check group by 1, 2 order by 1, 2'
    ).fetchall()
    if not rows:
        return CheckResult("keys", "ok", "Every row finds what it refers to.")
    shown = tuple({"table": a, "missing_in": b, "rows": n} for a, b, n in rows[:ROWS_SHOWN])
    total = sum(n for _, _, n in rows)
    return CheckResult("keys", "failed", f"{_count(total)} with a dead end.", _DEFECT, shown, total)


def _check_sql(db: Database, *, name: str) -> CheckResult:
    text = sql_text(f"checks/{name}")
    cursor = db.conn.execute(text)
    names = [column[0] for column in cursor.description]
    rows = (dict(zip(names, row, strict=True)) for row in cursor)
    shown = tuple(islice(rows, ROWS_SHOWN))
    # Counted one by one: where a sum is wrong everywhere, they are as many as the sums.
    total = len(shown) + sum(1 for _ in rows)
    if not total:
        return CheckResult(name, "ok", question_of(text))
    fix = _FIXES.get(name, _REBUILD)
    detail = f"{question_of(text)} No: {_count(total)}."
    return CheckResult(name, "failed", detail, fix, shown, total)


def _check_dropped_calls(db: Database) -> CheckResult:
    calls, before = db.conn.execute(
        "select coalesce(sum(calls), 0), max(dropped_before) from dropped_calls"
    ).fetchone()
    if before is None:
        return CheckResult("dropped_calls", "ok", "No calls were ever dropped.")
    (late,) = db.conn.execute(
        "select count(*) from events where event_time < ?", [before]
    ).fetchone()
    detail = f"{calls:,} calls before {before[:10]} are kept in the sums only."
    if not late:
        return CheckResult("dropped_calls", "ok", detail)
    return CheckResult(
        "dropped_calls",
        "failed",
        f"{detail} {_count(late)} of that time came back: they may be counted twice.",
        _DEFECT,
        row_count=late,
    )


def question_of(text: str) -> str:
    """Return the question that the comment on top of a check asks."""
    comment = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        comment.append(line.removeprefix("--").strip())
    question, mark, _ = " ".join(comment).partition("?")
    return question + mark


def _count(rows: int) -> str:
    return f"{rows:,} row{'' if rows == 1 else 's'}"
