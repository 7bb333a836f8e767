"""A fake AWS at a fixed virtual time, and boto3 clients that retry nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.aws import ACCOUNT, NOW, REGION, FakeAws, FakeClock

_ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=5)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def aws(clock: FakeClock) -> Iterator[FakeAws]:
    with FakeAws(clock) as fake:
        yield fake


@pytest.fixture(scope="session")
def _session() -> boto3.Session:
    """One session for all tests: reading the service models is slow."""
    return boto3.Session(aws_access_key_id="x", aws_secret_access_key="x")


@pytest.fixture
def client(_session: boto3.Session, aws: FakeAws) -> Iterator[Callable[..., Any]]:
    """Make clients: ``client("cloudtrail", region=..., account=..., read_timeout=...)``."""
    made = []

    def make(
        service: str,
        region: str = REGION,
        account: str = ACCOUNT,
        session: dict[str, Any] | None = None,
        **config: Any,
    ) -> Any:
        session = session or {"AccessKeyId": aws.accounts.access_key(account)}
        made.append(
            _session.client(
                service,
                region,
                endpoint_url=aws.url,
                aws_access_key_id=session["AccessKeyId"],
                aws_secret_access_key="secret",
                aws_session_token=session.get("SessionToken"),
                config=_ONCE.merge(Config(**config)),
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()
