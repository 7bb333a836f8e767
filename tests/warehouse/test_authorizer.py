"""A visitor's SQL may only read. Connections here are not read-only, which alone would ensure it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from etl.warehouse.database import open_warehouse
from etl.warehouse.visitor_sql.authorizer import (
    FUNCTIONS,
    PRAGMAS,
    SECRET_TABLES,
    allow_only_reading,
)
from tests.cases import cases


def bare() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("create table t (a, b)")
    connection.execute("insert into t values (1, 'x')")
    connection.execute("create index of_t on t (a)")
    connection.execute("create view v as select a, upper(b) as c from t")
    return connection


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(bare()) as connection:
        allow_only_reading(connection)
        yield connection


def names(pragma: str) -> list[str]:
    with closing(bare()) as connection:
        return sorted({name for (name, *_) in connection.execute(f"pragma {pragma}_list")})


def functions() -> list[tuple[str, int, str]]:
    """Return name, number of arguments and kind (s, a, w) of all functions of this SQLite."""
    with closing(bare()) as connection:
        rows = connection.execute("select distinct name, narg, type from pragma_function_list")
        return [(name, number, kind) for name, number, kind in rows if name != "match"]


def call(name: str, count: int, kind: str) -> str:
    if name.startswith("current_"):
        return name
    words = ", ".join(["0.5", "'x'", "0.25"][: max(count, 1) if count else 0])
    if name == "likelihood":
        words = "1, 0.5"
    elif name in ("->", "->>"):
        return f"'{{}}' {name} 'x'"
    over = " over (order by 1)" if kind == "w" and name not in ("min", "max") else ""
    return f'"{name}"({words}){over}'


def refusal(connection: sqlite3.Connection, sql: str) -> str:
    try:
        connection.execute(sql).fetchall()
    except sqlite3.Error as error:
        return str(error)
    return ""


@pytest.mark.parametrize("is_listed", [True, False])
def test_the_functions_of_the_list_can_be_called_and_no_others(
    connection: sqlite3.Connection, is_listed: bool
) -> None:
    known = [row for row in functions() if (row[0] in FUNCTIONS) == is_listed]
    assert len(known) > 15
    for name, count, kind in known:
        said = refusal(connection, f"explain select {call(name, count, kind)}")
        assert ("not authorized" in said) == (not is_listed), (name, count, said)
    assert {"load_extension", "fts3_tokenizer", "sqlite_log"}.isdisjoint(FUNCTIONS)


STATEMENTS = (
    *("insert into t values (2, 'y')", "replace into t values (2, 'y')", "update t set a = 2"),
    *("delete from t", "with x as (select 1) delete from t", "insert into t select * from t"),
    *("create table u (a)", "create temp table u (a)", "create table u as select 1"),
    *("create view u as select 1", "create temp view u as select 1", "create index i on t (a)"),
    *("create trigger r after insert on t begin select 1; end", "alter table t rename to u"),
    *("drop table t", "drop view v", "reindex", "analyze", "vacuum", "vacuum into ':memory:'"),
    *("attach ':memory:' as other", "attach '/etc/passwd' as other", "detach main"),
    *("begin", "begin immediate", "savepoint s", "rollback", "commit"),
    *("update sqlite_master set sql = ''", "delete from sqlite_master"),
    *("explain delete from t", "explain query plan insert into t values (1, 1)"),
)


@cases("sql", STATEMENTS)
def test_a_statement_that_is_more_than_reading_is_refused(
    connection: sqlite3.Connection, sql: str
) -> None:
    assert refusal(connection, sql)
    assert connection.execute("select count(*), min(a) from t").fetchall() == [(1, 1)]
    assert not connection.in_transaction
    assert [row[1] for row in connection.execute("pragma database_list")] == ["main"]


def test_a_pragma_tells_and_never_changes_anything(connection: sqlite3.Connection) -> None:
    known = names("pragma")
    assert len(known) > 40
    for name in known:
        takes_value = PRAGMAS.get(name)
        said = refusal(connection, f"pragma {name}")
        assert ("not authorized" in said) == (takes_value is None), name
        said = refusal(connection, f"pragma {name} = t")
        assert ("not authorized" in said) == (not takes_value), name
        said = refusal(connection, f"select * from pragma_{name}")
        assert takes_value is not None or said, name


def test_of_tables_without_a_file_only_those_of_json_are_read(
    connection: sqlite3.Connection,
) -> None:
    modules = {name for name in names("module") if not name.startswith("pragma_")}
    assert {"json_each", "json_tree", "fts3tokenize"} <= modules
    for name in modules - {"json_each", "json_tree"}:
        for columns in ("*", "count(*)", "1"):
            assert refusal(connection, f"select {columns} from {name}"), name
        for place in ("", "temp."):
            said = refusal(connection, f"create virtual table {place}u using {name} (a)")
            assert "not authorized" in said, name
    assert connection.execute("select sum(value) from json_each('[1, 2]')").fetchall() == [(3,)]
    assert connection.execute("select count(*) from json_tree('[[1], 2]')").fetchall() == [(4,)]


# If Datasette is imported, Python also prints the error in the function.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_function_that_sets_a_pointer_raises_even_past_the_list(
    connection: sqlite3.Connection,
) -> None:
    connection.set_authorizer(None)
    for sql, words in (
        ("select fts3_tokenizer('simple', x'4141414141414141')", ()),
        ("select fts3_tokenizer(?, ?)", ("simple", b"AAAAAAAA")),
        ("select fts3_tokenizer(?)", ("simple",)),
    ):
        with pytest.raises(sqlite3.OperationalError, match="raised exception"):
            connection.execute(sql, words)


def test_a_schema_is_not_trusted() -> None:
    with closing(bare()) as connection:
        connection.execute("create view w as select load_extension('x') as a")
        allow_only_reading(connection)
        connection.set_authorizer(None)
        assert "unsafe use" in refusal(connection, "select * from w")


READING = (
    *("select * from {}", "select count(*) from main.{}", "select 1 from [{}] limit 0"),
    *("select exists (select 1 from {})", "select 1 where 1 in {}", "explain select * from {}"),
    *("with x as (select * from {}) select count(*) from x", "select 1 union select 1 from {}"),
    *("select count(*) from users left join {}", "select rowid from {} not indexed"),
    *("select sum(1) over () from {}", "select (select 1 from {}) from users"),
)


def test_nobody_reads_who_was_forgotten_or_the_key_of_the_pseudonyms(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        allow_only_reading(db.conn)
        stored = {name for (name,) in db.execute("select name from sqlite_master")}
        assert {name for name in stored if re.match("forg[eo]t", name)} == SECRET_TABLES
        for table in SECRET_TABLES:
            for sql in READING:
                for name in (table, table.upper()):
                    said = refusal(db.conn, sql.format(name))
                    assert re.search("prohibited|not authorized|no such column: rowid$", said), (
                        sql.format(name)
                    )


def test_reading_stays_what_it_was(connection: sqlite3.Connection) -> None:
    sql = (
        "with recursive n (n) as (select 1 union all select n + 1 from n limit 3)"
        " select n, v.c, row_number() over (order by n desc) from n, v where c like 'x%'"
    )
    assert sorted(connection.execute(sql)) == [(1, "X", 3), (2, "X", 2), (3, "X", 1)]
