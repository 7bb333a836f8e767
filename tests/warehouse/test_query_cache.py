"""Results are cached until something is committed, and no longer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from etl.warehouse.read.query_cache import Answers

ALL = "select name from names where :like is null or name like :like order by name"
EVERY: dict[str, object] = {"like": None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "names.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table names (name text)")
        connection.execute("insert into names values ('a'), ('b')")
        connection.commit()
    return path


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection:
        yield connection


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


class Asked:
    """Wraps a connection, and counts its statements."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection, self.statements = connection, 0

    def execute(self, sql: str, parameters: Any) -> Any:
        self.statements += 1
        return self._connection.execute(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def names(answers: Answers, connection: Any, **parameters: object) -> list[str]:
    rows = answers.fetch(connection, ALL, EVERY | parameters, seconds=10)
    return [name for (name,) in rows]


def test_what_was_asked_is_not_asked_again(path: Path, connection: sqlite3.Connection) -> None:
    answers, asked = Answers(path), Asked(connection)
    assert names(answers, asked) == names(answers, asked) == ["a", "b"]
    assert asked.statements == 1


def test_other_parameters_are_another_question(path: Path, connection: sqlite3.Connection) -> None:
    answers, asked = Answers(path), Asked(connection)
    assert names(answers, asked) == ["a", "b"]
    assert names(answers, asked, like="b") == ["b"]
    assert asked.statements == 2


def test_a_commit_is_seen_at_once(
    path: Path, connection: sqlite3.Connection, other: sqlite3.Connection
) -> None:
    answers = Answers(path)
    assert names(answers, connection) == ["a", "b"]
    other.execute("insert into names values ('c')")
    assert names(answers, connection) == ["a", "b", "c"]
    other.execute("delete from names where name = 'a'")
    assert names(answers, connection) == ["b", "c"]


def test_what_is_not_committed_is_not_seen(
    path: Path, connection: sqlite3.Connection, other: sqlite3.Connection
) -> None:
    answers = Answers(path)
    other.execute("begin immediate")
    other.execute("insert into names values ('c')")
    assert names(answers, connection) == ["a", "b"]
    other.execute("commit")
    assert names(answers, connection) == ["a", "b", "c"]


def test_a_commit_while_a_statement_runs_is_not_missed(
    path: Path, connection: sqlite3.Connection, other: sqlite3.Connection
) -> None:
    """The rows are older than a commit that came before they were stored."""
    answers = Answers(path)

    class Late(Asked):
        def execute(self, sql: str, parameters: Any) -> Any:
            rows = super().execute(sql, parameters).fetchall()
            other.execute("insert into names values ('c')")
            # Another thread sees the commit before these rows arrive.
            assert names(answers, connection, like="c") == ["c"]
            return SimpleNamespace(fetchall=lambda: rows)

    assert names(answers, Late(connection)) == ["a", "b"]
    assert names(answers, connection) == ["a", "b", "c"]


def test_the_answers_not_asked_for_longest_go_first(
    path: Path, connection: sqlite3.Connection
) -> None:
    answers, asked = Answers(path, max_rows=3), Asked(connection)
    names(answers, asked, like="a")
    names(answers, asked, like="b")
    names(answers, asked, like="a")
    names(answers, asked)  # two rows: four are too many
    assert asked.statements == 3
    assert names(answers, asked, like="a") == ["a"]
    assert asked.statements == 3
    assert names(answers, asked, like="b") == ["b"]
    assert asked.statements == 4


def test_nothing_is_kept_while_nothing_is_known(
    path: Path, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, asked = Answers(path), Asked(connection)

    def locked() -> sqlite3.Connection:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(answers, "_connection", locked)
    assert names(answers, asked) == names(answers, asked) == ["a", "b"]
    assert asked.statements == 2


def test_they_can_be_forgotten(path: Path, connection: sqlite3.Connection) -> None:
    answers, asked = Answers(path), Asked(connection)
    names(answers, asked)
    answers.forget()
    names(answers, asked)
    assert asked.statements == 2
