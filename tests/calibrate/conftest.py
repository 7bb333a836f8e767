"""A module's fleet, loaded once: loading takes longer than calibrating."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlite_utils import Database

from tests.fleets import used_by_user, write_fleet
from tests.support import load


@pytest.fixture(scope="module")
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_warehouse: Any
) -> Iterator[tuple[Database, dict[str, int]]]:
    """Load the calls of the module's ``fleet()``; also return the tokens of each user."""
    calls = request.module.fleet()
    with new_warehouse() as warehouse:
        load(warehouse, *write_fleet(tmp_path_factory.mktemp("fleet"), calls))
        yield warehouse, used_by_user(calls)


@pytest.fixture
def truth(db: Database, loaded: tuple[Database, dict[str, int]]) -> dict[str, int]:
    """Copy that warehouse to the test's, and return the tokens of each user."""
    loaded[0].conn.backup(db.conn)
    return loaded[1]
