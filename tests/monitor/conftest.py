"""The world of the sync tests, used to publish what was synchronised."""

from __future__ import annotations

import pytest

from tests.monitor.support import Live
from tests.sync.conftest import new_world, own, shared_aws, world
from tests.sync.support import World

__all__ = ["live", "new_world", "own", "shared_aws", "world"]


@pytest.fixture
def live(world: World) -> Live:
    return Live(world)
