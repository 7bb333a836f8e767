"""An account to try the lab in: virtual time, and a separate folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws import NOW, FakeAws, FakeClock
from tests.sync.support import environment


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The time of the commands and of the fake AWS: it passes only while something waits."""
    clock = FakeClock(NOW)
    for module in ("lab", "monitor"):
        monkeypatch.setattr(f"etl.cli.{module}.Clock", lambda: clock)
    return clock


@pytest.fixture
def aws(clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    monkeypatch.chdir(tmp_path)
    with FakeAws(clock) as fake, environment(fake.environment()):
        yield fake
