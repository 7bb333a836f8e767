"""Fixtures that every test may use."""

from __future__ import annotations

import functools
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import botocore.session
import pytest
from hypothesis import HealthCheck, settings
from sqlite_utils import Database

from etl.warehouse import database
from etl.warehouse.database import open_warehouse

# The same examples in every run; a shared machine's pauses are not the code's.
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

# Every command in a test has a session of its own, which would read anew what AWS's services are
# like: a quarter of a second.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

# A warehouse takes 150 ms to make, and the tests make two thousand: what a new one holds is made once
# in this process. Processes that a test starts make theirs as everybody's do.
database._new_content = functools.cache(database._new_content)


def pytest_report_header() -> str:
    return f"SQLite {sqlite3.sqlite_version}"


@pytest.fixture(scope="session")
def empty_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty warehouse with the list prices; to be copied, not written to."""
    path = tmp_path_factory.mktemp("empty") / "warehouse.db"
    with open_warehouse(path, create=True) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    return path


@pytest.fixture
def db(tmp_path: Path, empty_warehouse: Path) -> Iterator[Database]:
    """A warehouse of one's own."""
    path = tmp_path / "warehouse.db"
    shutil.copy(empty_warehouse, path)
    with open_warehouse(path) as warehouse:
        yield warehouse


@pytest.fixture(scope="session")
def new_warehouse(
    tmp_path_factory: pytest.TempPathFactory, empty_warehouse: Path
) -> Callable[[], AbstractContextManager[Database]]:
    """Make any number of warehouses, for property tests."""

    def make() -> AbstractContextManager[Database]:
        path = tmp_path_factory.mktemp("new") / "warehouse.db"
        shutil.copy(empty_warehouse, path)
        return open_warehouse(path)

    return make
