"""Check a warehouse: is the file intact, and do its figures follow from its calls?

- **file**: SQLite's own check of every page and index.
- **schema**: tables and views are this version's. Another version is checked as far as possible.
- **keys**: every reference finds its row. SQLite does not verify this while `load` writes.
- **every file of** ``sql/checks``: each returns one row for each problem. They read the views that
  are stored in the file.

Nothing is written, so a damaged file stays as it is. If the file is damaged, the other checks are
skipped, because they would only report the same damage again.
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

# How many of the wrong rows a result shows.
ROWS_SHOWN = 3

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_RESTORE = (
    "Restore a copy; or recover what is left with `sqlite3 FILE .recover`; or delete the file and"
    " load or sync again, which restores everything that the logs and AWS still have. Only this"
    " file counts the calls that `vacuum` dropped."
)
_UPDATE = "`bedrock-usage status`, or any other command that writes, brings it up to date."
_REBUILD = (
    "`bedrock-usage check --rebuild` rebuilds the sums; if that does not help, this is a bug in"
    " bedrock-usage: please report it."
)
_DEFECT = "If bedrock-usage is up to date, this is a bug in it: please report it."
_PRICES = "`bedrock-usage prices list` shows the rates; `bedrock-usage prices import` fixes yours."
_FIXES = {
    "prices_do_not_overlap": _PRICES,
    "money_is_whole": _PRICES,
    "usage_cost_has_its_grain": _DEFECT,
}


class CheckResult(NamedTuple):
    """The result of one check. ``rows``: the first of the ``row_count`` rows that are wrong."""

    check: str
    status: CheckStatus
    detail: str
    fix: str | None = None
    rows: tuple[dict[str, Any], ...] = ()
    row_count: int = 0


class Check(NamedTuple):
    """One check. ``run`` may raise sqlite3.Error."""

    name: str
    run: Callable[[Database], CheckResult]


def all_checks() -> list[Check]:
    """Return every check, in the order in which to run them."""
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
    """Check the warehouse; yield the result of each check. ``on_check`` gets each name first.

    Raises WarehouseError if it is another program's database, and sqlite3.Error if it cannot be
    read for a reason other than damage.
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
    """Rebuild all sums: CloudWatch totals by hour, and calls by hour and day.

    They still count the calls that `vacuum` dropped. One transaction.
    """
    columns = (
        "hour, account_key, region_key, endpoint, cloudwatch_model_id, metric_kind, model_key,"
        " value, is_provisional"
    )
    with long_work(db, "rebuilding the sums"), transaction(db):
        db.conn.execute("delete from metric_hourly")
        db.conn.execute(
            f"insert into metric_hourly ({columns}) select {columns} from int_metric_hours"
        )
        rebuild_rollups(db)


def differing_rows(db: Database, check: str) -> int:
    """Return how many wrong rows a file of ``sql/checks`` finds."""
    return _check_sql(db, name=check).row_count


def _prepare(db: Database) -> None:
    make_interruptible(db)
    try:
        db.conn.execute("pragma cache_size = -65536")
        foreign = is_foreign(db)
    except (sqlite3.Error, UnicodeDecodeError):
        return  # the first check reports it
    if foreign:
        raise WarehouseError("this is another program's database; choose another with --db")


def _not_run(name: str, error: sqlite3.Error | UnicodeDecodeError) -> CheckResult:
    """Turn an error into the result of the check; raise errors that say nothing about it."""
    if isinstance(error, UnicodeDecodeError):
        words = error.object.decode(errors="replace")
        return CheckResult(name, "failed", f"SQLite reports: {words}", _RESTORE)
    if primary_code(error) in _DAMAGED or "decode to UTF-8" in str(error):
        return CheckResult(name, "failed", f"SQLite reports: {error}", _RESTORE)
    if primary_code(error) == sqlite3.SQLITE_ERROR:
        # The file's schema is another version's and lacks a table or column.
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
        return CheckResult("file", "ok", "Every page and every index is intact.")
    shown = tuple(problems[:ROWS_SHOWN])
    return CheckResult("file", "failed", "The file is damaged.", _RESTORE, shown, len(problems))


def _check_schema(db: Database) -> CheckResult:
    missing, unknown = schema_difference(db)
    if unknown:
        detail = f"Written by a newer bedrock-usage: it has {', '.join(unknown)}."
        return CheckResult("schema", "warning", detail, "Upgrade this program.")
    if missing:
        detail = f"Written by an older bedrock-usage: it lacks {', '.join(missing)}."
        return CheckResult("schema", "warning", detail, _UPDATE)
    views = dict(db.conn.execute("select name, sql from sqlite_master where type = 'view'"))
    if {name: _body(sql) for name, sql in views.items()} != {
        name: _body(sql) for name, sql in view_sql().items()
    }:
        return CheckResult("schema", "warning", "The views are from another version.", _UPDATE)
    return CheckResult("schema", "ok", "Tables and views are from this version.")


def _body(statement: str) -> str:
    # SQLite stores the statement with its first two words in capitals.
    return statement[len("create view") :]


# Keys are not enforced while loading (DECISIONS 43).
def _check_keys(db: Database) -> CheckResult:
    rows = db.conn.execute(
        'select "table", parent, count(*) from pragma_foreign_key_check group by 1, 2 order by 1, 2'
    ).fetchall()
    if not rows:
        return CheckResult("keys", "ok", "Every reference finds its row.")
    shown = tuple({"table": a, "missing_in": b, "rows": n} for a, b, n in rows[:ROWS_SHOWN])
    total = sum(n for _, _, n in rows)
    detail = f"{_count(total)} with a reference to a missing row."
    return CheckResult("keys", "failed", detail, _DEFECT, shown, total)


def _check_sql(db: Database, *, name: str) -> CheckResult:
    text = sql_text(f"checks/{name}")
    cursor = db.conn.execute(text)
    names = [column[0] for column in cursor.description]
    rows = (dict(zip(names, row, strict=True)) for row in cursor)
    shown = tuple(islice(rows, ROWS_SHOWN))
    # Counted one by one, not kept: if a sum is wrong everywhere, there are as many as sums.
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
        "select count(*) from events where event_time < ?"
        " and (event_time, event_id) not in (select event_time, event_id from fetched_calls)",
        [before],
    ).fetchone()
    detail = f"{calls:,} calls before {before[:10]} remain only in the sums."
    if not late:
        return CheckResult("dropped_calls", "ok", detail)
    return CheckResult(
        "dropped_calls",
        "failed",
        f"{detail} {_count(late)} from that time were loaded again and may be counted twice.",
        _DEFECT,
        row_count=late,
    )


def question_of(text: str) -> str:
    """Return the question in the comment at the top of a check."""
    comment = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        comment.append(line.removeprefix("--").strip())
    question, mark, _ = " ".join(comment).partition("?")
    return question + mark


def _count(rows: int) -> str:
    return f"{rows:,} row{'' if rows == 1 else 's'}"
