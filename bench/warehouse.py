"""How fast, how large, how quick to read: a warehouse of made-up calls.

    python -m bench.warehouse [EVENTS] [--database FILE]

The workload is 90 days of ten million calls, cut to the given number at the same density: 60 users
over 25 applications, 8 models, 2 regions, half of the calls with tokens, CloudWatch totals for all.
Prints rows a second into the warehouse (normalised rows in, rollup kept), bytes a call with every
table and index counted, and the time of each view.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from etl.normalise.rows import Event, MetricValue, Tokens
from etl.warehouse.database import open_warehouse
from etl.warehouse.load import Batch, Loader

ACCOUNT = "111122223333"
START = datetime(2026, 8, 1, tzinfo=UTC)
SECONDS_A_CALL = 90 * 86_400 / 10_000_000
BATCH = 20_000
MODELS = (
    "anthropic.claude-3-haiku-20240307-v1:0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "global.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-opus-4-5-20251101-v1:0",
    "amazon.nova-lite-v1:0",
    "amazon.nova-micro-v1:0",
    "us.amazon.nova-pro-v1:0",
)
REGIONS = ("us-east-1", "us-west-2")
VIEWS = (
    "user_costs", "application_costs", "model_costs", "region_costs", "daily_costs",
    "user_breakdown", "token_coverage", "discovered_models", "unpriced_usage", "reconciliation",
)  # fmt: skip


def calls(count: int, rng: random.Random) -> Iterator[Event]:
    """Yield calls in the order of their time."""
    uses = [
        (user, rng.randrange(25), rng.choice(MODELS), rng.choice(REGIONS))
        for user in range(60)
        for _ in range(58)
    ]
    for number in range(count):
        user, application, model, region = rng.choice(uses)
        moment = START + timedelta(seconds=int(number * SECONDS_A_CALL))
        tokens = Tokens("additionalEventData", rng.randrange(100, 9_000), rng.randrange(10, 900))
        yield Event(
            event_time=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            event_id=_uuid(rng),
            request_id=_uuid(rng),
            shared_event_id=None,
            account_id=ACCOUNT,
            region=region,
            event_source="bedrock.amazonaws.com",
            event_name="InvokeModel",
            model_id=model,
            principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/role-{user}",
            principal_type="AssumedRole",
            session_name=f"i-{user:017x}",
            user_agent=f"Boto3/1.42.97 md/Botocore#1.42.97 App{application}/1.0",
            user_name=f"role-{user}",
            application=f"App{application}",
            application_source="user agent",
            error_code="ThrottlingException" if rng.random() < 0.02 else None,
            inference_region="us-east-2",
            service_tier=None,
            is_home_copy=True,
            is_correction=False,
            tokens=tokens if rng.random() < 0.5 else None,
        )


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128)))


def metrics(count: int) -> Iterator[MetricValue]:
    """Yield hourly totals of every model and region over the calls' time."""
    for hour in range(int(count * SECONDS_A_CALL / 3600) + 1):
        start = (START + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:00:00Z")
        for model in MODELS:
            for region in REGIONS:
                for metric, value in (
                    ("InputTokenCount", 2_000_000),
                    ("OutputTokenCount", 200_000),
                ):
                    yield MetricValue(ACCOUNT, region, model, metric, start, 3600, value)


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--database", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(options.events, options.database or Path(folder) / "bench.db")


def measure(count: int, path: Path) -> None:
    """Fill the warehouse at ``path`` and print what it took."""
    source = calls(count, random.Random(1))
    with open_warehouse(path, create=True) as db:
        loader, seconds = Loader(db), 0.0
        for start in range(0, count, BATCH):
            batch = Batch(events=[next(source) for _ in range(min(BATCH, count - start))])
            began = time.perf_counter()
            loader.write(batch)
            seconds += time.perf_counter() - began
        loader.write(Batch(metrics=list(metrics(count))))
        db.execute("pragma wal_checkpoint(truncate)")
        (hours,) = db.execute("select count(*) from usage_hourly").fetchone()
        print(f"calls              {count:>12,}")
        print(f"calls a second     {count / seconds:>12,.0f}")
        print(f"bytes a call       {path.stat().st_size / count:>12,.0f}")
        print(f"rows of the rollup {hours:>12,}")
        for view in VIEWS:
            began = time.perf_counter()
            db.execute(f"select * from {view}").fetchall()
            print(f"{view:<18} {(time.perf_counter() - began) * 1000:>9,.0f} ms")


if __name__ == "__main__":
    main()
