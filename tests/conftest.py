"""Fixtures that every test may use."""

from __future__ import annotations

import functools
import gc
import inspect
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import botocore.hooks
import botocore.session
import pytest
from hypothesis import HealthCheck, settings
from sqlite_utils import Database

from etl.warehouse import database, paths
from etl.warehouse.database import open_warehouse

# The same examples in every run; pauses of a shared machine are not the code's fault.
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

# Every command in a test has its own session, which would read the service models again: a quarter
# of a second.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)
# It would also work out the names and aliases of its hooks again.
_alias_event_name = botocore.hooks.EventAliaser._alias_event_name
_aliases: dict[str, str] = {}


def _remembered_alias(aliaser: botocore.hooks.EventAliaser, name: str) -> str:
    if name not in _aliases:
        _aliases[name] = _alias_event_name(aliaser, name)
    return _aliases[name]


botocore.hooks.EventAliaser._alias_event_name = _remembered_alias


# For each session and client it would look at the signatures of all its hooks, and copy the tree of
# them with general means.
_accepts_kwargs = botocore.hooks.accepts_kwargs


def _has_kwargs(function: Any) -> Any:
    code = getattr(function, "__code__", None)
    return code.co_flags & inspect.CO_VARKEYWORDS if code else _accepts_kwargs(function)


def _copy_of_tree(trie: object, node: Any) -> dict[Any, Any]:
    copied = {}
    for key, value in node.items():
        if isinstance(value, botocore.hooks.NodeList):
            value = botocore.hooks.NodeList(*(handlers[:] for handlers in value))
        elif isinstance(value, dict):
            value = _copy_of_tree(trie, value)
        copied[key] = value
    return copied


botocore.hooks.accepts_kwargs = _has_kwargs
botocore.hooks._PrefixTrie._recursive_copy = _copy_of_tree

# Do not search long-lived objects for garbage again and again.
gc.set_threshold(100_000, 50, 100)

# A new warehouse takes 300 ms, and the tests make two thousand: its initial content is built once in
# this process. Processes that a test starts build theirs in the ordinary way.
database._new_content = functools.cache(database._new_content)

# Whether a file is another program's is read on a connection of its own, which takes as long as the
# rest of opening a warehouse. It is asked once for files with the same beginning (schema version,
# numbers of pages and changes) and a schema; opening asks again by itself.
_looks_foreign = paths._looks_foreign
_ours: set[bytes] = set()


def _remembered_foreign(real: Path) -> bool:
    with real.open("rb") as file:
        beginning = file.read(100)
    if beginning in _ours:
        return False
    is_foreign = _looks_foreign(real)
    if not is_foreign and any(beginning[40:44]):
        _ours.add(beginning)
    return is_foreign


paths._looks_foreign = _remembered_foreign


# Tests that start servers, browsers or processes, simulate all of AWS, or fill many warehouses.
# `make check` and the second Python leave them out.
SLOW = """
agents aws calibrate demo examples export lab monitor sync web
cli/test_archive cli/test_check cli/test_doctor cli/test_hostile_names cli/test_inspect
cli/test_places cli/test_policy cli/test_prices_sync cli/test_s3 cli/test_stops cli/test_sync
cli/test_vacuum inspect/test_explain inspect/test_survey load/test_linear load/test_memory
load/test_poison load/test_pool load/test_refused_files prices/test_price_sync show/test_escaping
rollup sources/test_s3 sql/test_estimates sql/test_metadata_report sql/test_one_event_one_name
sql/test_price_gaps sql/test_sums_of_known_costs test_docs test_soak
warehouse/test_attribution warehouse/test_control_characters warehouse/test_corrections
warehouse/test_disk warehouse/test_forget warehouse/test_input_forms
warehouse/test_invocation_logs warehouse/test_load warehouse/test_rollup warehouse/test_sessions
warehouse/test_teams warehouse/test_turns warehouse/test_upgrade
warehouse/test_visitor_processes
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder, slow = Path(__file__).parent, tuple(SLOW.split())
    for item in items:
        if str(item.path.relative_to(folder)).startswith(slow):
            item.add_marker(pytest.mark.slow)


def pytest_report_header() -> str:
    return f"SQLite {sqlite3.sqlite_version}"


@pytest.fixture
def unpaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests for events do not wait for each other in this test, and do in the next."""
    monkeypatch.setattr("etl.sources.limiter.LOOKUP_SECONDS", 0.0)
    monkeypatch.setattr("etl.sources.limiter._limiters", {})


@pytest.fixture(scope="session")
def empty_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty warehouse with the list prices; copy it, do not write to it."""
    path = tmp_path_factory.mktemp("empty") / "warehouse.db"
    with open_warehouse(path, create=True) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    return path


@pytest.fixture
def db(tmp_path: Path, empty_warehouse: Path) -> Iterator[Database]:
    """A separate warehouse."""
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
