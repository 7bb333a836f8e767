"""A warehouse, a fake AWS and a clock that advances only when something waits."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from etl.sources.accounts import find_places, open_own_account
from etl.sources.aws import Account, Place
from etl.sync.job import StreamProgress
from etl.sync.run import SyncOptions, SyncOutcome, sync_places
from etl.warehouse.database import open_warehouse
from tests.aws import ACCOUNT, REGION, FakeAws, FakeClock
from tests.checks import failed_checks
from tests.support import call, query

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EVENTS = f"cloudtrail/{ACCOUNT}/{REGION}"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a while; AWS's own are unset meanwhile."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith("AWS_"):
            del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class World:
    """One fake AWS with a warehouse that is synchronised with it, in virtual time."""

    def __init__(self, aws: FakeAws, own: Account, template: Path, folder: Path) -> None:
        self.clock = FakeClock(NOW)
        aws.reset(self.clock)
        self.aws, self.own = aws, own
        self.path = folder / "warehouse.db"
        shutil.copy(template, self.path)
        self.seen: list[StreamProgress] = []

    @property
    def place(self) -> Any:
        return self.aws.place(ACCOUNT, REGION)

    def deliver(
        self, number: int, ago: timedelta, *, late: timedelta = timedelta(), **fields: Any
    ) -> dict[str, Any]:
        """Deliver a call made ``ago`` before now, visible ``late`` after it was made."""
        moment = self.clock.now() - ago
        record = call(number, eventTime=utc(moment), **fields)
        self.place.deliver(record, moment + late)
        return record

    def places(self, *regions: str) -> list[Place]:
        found, problems = find_places([self.own], regions or (REGION,), self.clock)
        assert problems == []
        return found

    def sync(self, *regions: str, db: Database | None = None, **options: Any) -> SyncOutcome:
        """Do one sync of the events, unless other sources are given."""
        chosen = SyncOptions(**({"sources": ("cloudtrail",)} | options))
        if db is not None:
            return sync_places(db, self.places(*regions), self.clock, chosen, self.seen.append)
        with open_warehouse(self.path) as warehouse:
            return sync_places(
                warehouse, self.places(*regions), self.clock, chosen, self.seen.append
            )

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return query(self.path, sql, parameters)

    def failed_checks(self) -> dict[str, list[tuple[Any, ...]]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return failed_checks(Database(connection))

    def event_ids(self) -> list[str]:
        return [event_id for (event_id,) in self.rows("select event_id from calls order by 1")]

    def state(self, stream: str = EVENTS) -> dict[str, Any]:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            sql = "select * from sync_state where stream = ?"
            return dict(connection.execute(sql, [stream]).fetchone() or {})

    def lookups(self) -> int:
        return self.aws.count("LookupEvents")


def open_own(aws: FakeAws) -> Account:
    """Return the account of the fake's credentials; its clients stay for all tests of a session."""
    with environment(aws.environment()):
        own = open_own_account(None, FakeClock(NOW))
        for service in ("cloudtrail", "cloudwatch", "logs", "bedrock", "ec2"):
            own.client(service, REGION)
    return own
