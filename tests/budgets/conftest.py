"""A warehouse to spend in, and servers that receive messages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.warehouse.database import open_warehouse
from tests.aws import FakeAws
from tests.budgets.support import Mailbox, Spending, Webhook
from tests.sync.support import environment


@pytest.fixture
def spending(tmp_path: Path) -> Iterator[Spending]:
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        yield Spending(db, tmp_path)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook().running() as webhook:
        yield webhook


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox().running() as mailbox:
        yield mailbox


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    """A fake AWS in real time, its credentials in the environment, and a folder of its own."""
    monkeypatch.chdir(tmp_path)
    with FakeAws() as fake, environment(fake.environment()):
        yield fake
