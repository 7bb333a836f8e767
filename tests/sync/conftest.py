"""One fake AWS for all tests of the sync, emptied for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etl.sources.aws import Account
from tests.aws import FakeAws
from tests.sync.support import World, environment, open_own


@pytest.fixture(scope="session")
def shared_aws() -> Iterator[FakeAws]:
    with FakeAws() as aws, environment(aws.environment()):
        yield aws


@pytest.fixture(scope="session")
def own(shared_aws: FakeAws) -> Account:
    return open_own(shared_aws)


@pytest.fixture(scope="session")
def new_world(
    shared_aws: FakeAws,
    own: Account,
    empty_warehouse: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[], World]:
    """Make any number of worlds, one after the other, for property tests."""
    return lambda: World(shared_aws, own, empty_warehouse, tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(new_world: Callable[[], World]) -> World:
    return new_world()
