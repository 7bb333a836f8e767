"""A fake AWS for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws import FakeAws
from tests.sync.support import environment


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    """A fake AWS in real time, its credentials in the environment, and a folder of its own."""
    monkeypatch.chdir(tmp_path)
    with FakeAws() as fake, environment(fake.environment()):
        yield fake
