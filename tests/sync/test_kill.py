"""Killed at any moment and run again: every event once, with hardly any extra request."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.aws import FakeAws
from tests.rounds import rounds
from tests.support import call, dump, service_event, uuid_of
from tests.sync.support import utc

# Only the limiter is not real: the test would last a minute.
SYNC = """
import sys
from pathlib import Path
from etl.clock import Clock
from etl.sources import limiter
from etl.sources.accounts import find_places, open_own_account
from etl.sync.run import SyncOptions, sync_places
from etl.warehouse.database import open_warehouse
from etl.config import parse_duration
limiter.LOOKUP_SECONDS = 0.0
clock = Clock()
places, _ = find_places([open_own_account(None, clock)], ["us-east-1"], clock)
options = SyncOptions(sources=("cloudtrail",), since=clock.now() - parse_duration("20d"))
with open_warehouse(Path(sys.argv[1]), create=True) as db:
    print("ready", flush=True)
    sync_places(db, places, clock, options)
"""
KILLS = rounds(2, 8)
CALLS = rounds(800, 3000)


def start(aws: FakeAws, database: Path) -> subprocess.Popen[bytes]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return subprocess.Popen(
        [sys.executable, "-c", SYNC, str(database)], cwd=Path(__file__).parents[2],
        env=environment | aws.environment(), stdout=subprocess.PIPE,
    )  # fmt: skip


def finish(aws: FakeAws, database: Path) -> None:
    process = start(aws, database)
    process.communicate(timeout=120)
    assert process.returncode == 0


def content(database: Path) -> dict[str, object]:
    """Return what was read; the bookmarks hold the time of the run."""
    return {name: rows for name, rows in dump(database).items() if not name.startswith("sync_")}


def test_killed_at_random_moments(tmp_path: Path) -> None:
    rng = random.Random(3)
    with FakeAws() as aws:
        aws.lookup_rate = None
        now = datetime.now(UTC)
        for number in range(CALLS):
            moment = now - timedelta(seconds=rng.uniform(7200, 20 * 86_400 - 3600))
            aws.place().deliver(
                call(number, eventTime=utc(moment), tokens=(1, 2) if number % 2 else None)
            )
            if number % 10 == 0:
                tokens = service_event(
                    10_000 + number, number, {"inputTokens": 5}, eventTime=utc(moment)
                )
                aws.place().deliver(tokens)
        finish(aws, tmp_path / "clean.db")
        needed = aws.count("LookupEvents")
        killed = tmp_path / "killed.db"
        kills = 0
        for _ in range(KILLS):
            process = start(aws, killed)
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0.02, 0.35))
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills += process.returncode == -signal.SIGKILL
        assert kills >= KILLS // 3
        finish(aws, killed)
        made = aws.count("LookupEvents") - needed
    assert needed > CALLS // 50
    assert made <= 1.3 * needed
    found = content(killed)
    assert len(found["events"]) == CALLS
    assert found == content(tmp_path / "clean.db")
    assert uuid_of(1)
