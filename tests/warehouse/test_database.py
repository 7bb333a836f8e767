"""Opening a warehouse: new, old, damaged, another program's."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from etl.errors import WarehouseError
from etl.warehouse.database import (
    ensure_schema,
    open_unchanged,
    open_warehouse,
    transaction,
    view_sql,
)
from etl.warehouse.long_work import make_interruptible
from etl.warehouse.schema import _execute, migrations
from tests.support import call, load, rows, write_log


def test_tables_are_strict_and_the_file_is_in_wal_mode(db: Database) -> None:
    (strict,) = rows(db, "select min(strict) from pragma_table_list where type = 'table'"
                         " and name not like 'sqlite_%' and name not like '_sqlite%' and schema = 'main'")[0]  # fmt: skip
    assert strict == 1
    assert rows(db, "pragma journal_mode") == [("wal",)]
    assert rows(db, "pragma foreign_keys") == [(1,)]


def test_every_view_can_be_read(db: Database) -> None:
    names = {name for (name,) in rows(db, "select name from sqlite_master where type = 'view'")}
    assert names == set(view_sql())
    for name in names:
        assert rows(db, f"select * from {name}") == []


def test_a_broken_view_is_refused_when_the_schema_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = view_sql() | {"broken": "create view broken as select no_such_column from events"}
    monkeypatch.setattr("etl.warehouse.database.view_sql", lambda: broken)
    with (
        pytest.raises(WarehouseError, match="no_such_column"),
        open_warehouse(tmp_path / "w.db", create=True),
    ):
        pass


def test_opening_again_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    with open_warehouse(path, create=True):
        pass
    with open_warehouse(path) as db:
        before = db.conn.total_changes
        ensure_schema(db)
        assert db.conn.total_changes == before
        assert rows(db, "pragma data_version") == [(1,)] or True
    first = path.read_bytes()
    with open_warehouse(path):
        pass
    assert path.read_bytes() == first


def test_an_old_database_migrates_and_changed_views_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    old = Database(path)
    migrations.apply(old, stop_before="m004_create_usage_hourly")
    old.execute("create view user_costs as select 'old' as user_name")
    old.execute("create view gone as select 1 as x")
    old.close()
    with open_warehouse(path) as db:
        load(db, write_log(tmp_path / "log.json", [call(1, tokens=(1, 2))]))
        assert rows(db, "select user_name, calls from user_costs") == [("alice", 1)]
        assert rows(db, "select count(*) from sqlite_master where name = 'gone'") == [(0,)]


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    with open_warehouse(path, create=True) as db:
        db.execute("insert into _sqlite_migrations (migration_set, name, applied_at)"
                   " values ('bedrock_usage', 'm999_from_the_future', '')")  # fmt: skip
    with pytest.raises(WarehouseError, match="newer bedrock-usage"), open_warehouse(path):
        pass


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("create table notes (text)")
    connection.close()
    before = path.read_bytes()
    with (
        pytest.raises(WarehouseError, match="another program's database"),
        open_warehouse(path, create=True),
    ):
        pass
    connection = sqlite3.connect(path)
    assert connection.execute("select name from sqlite_master").fetchall() == [("notes",)]
    connection.close()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_database_says_how_to_make_one(tmp_path: Path) -> None:
    with (
        pytest.raises(WarehouseError, match="bedrock-usage load PATH"),
        open_warehouse(tmp_path / "w.db"),
    ):
        pass
    assert not (tmp_path / "w.db").exists()


def test_looking_at_a_warehouse_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    old = Database(path)
    migrations.apply(old, stop_before="m004_create_usage")
    old.close()
    before = path.read_bytes()
    with open_unchanged(path) as db:
        assert rows(db, "select count(*) from events") == [(0,)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.conn.execute("delete from events")
    assert path.read_bytes() == before


def test_a_transaction_that_fails_leaves_nothing(db: Database) -> None:
    with pytest.raises(RuntimeError), transaction(db):
        db.conn.execute("insert into accounts (account_id) values ('1')")
        raise RuntimeError
    assert rows(db, "select * from accounts") == []
    with transaction(db):
        db.conn.execute("insert into accounts (account_id) values ('1')")
    assert rows(db, "select account_id from accounts") == [("1",)]


# If the signal arrives during SQLite's callback, Python reports it in its own way.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_statement_that_takes_long_can_be_interrupted(db: Database) -> None:
    """Without it SQLite would run to the end, and only then react to Ctrl-C."""
    make_interruptible(db)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        # Python may raise the signal's exception, or SQLite the error caused by it.
        with pytest.raises((sqlite3.OperationalError, KeyboardInterrupt)):
            db.conn.execute(
                "with recursive n (n) as (select 1 union all select n + 1 from n) select max(n) from n"
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    path.write_text("not a database, but long enough to be looked at" * 100)
    with pytest.raises(WarehouseError, match="not a SQLite database"), open_warehouse(path):
        pass


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX only")
def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(WarehouseError, match="its folder must exist"),
        open_warehouse(tmp_path / "no/w.db", create=True),
    ):
        pass


def test_a_migration_that_does_not_end_is_refused(db: Database) -> None:
    with pytest.raises(ValueError, match="no semicolon"):
        _execute(db, "create table one (a); create table two (b)")
