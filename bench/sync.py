"""The speed of a backfill, and the cost of a sync that finds nothing new.

    python -m bench.sync [--events N] [--large N]

It uses the tests' fake AWS, which allows two LookupEvents per second, account and region, as AWS
does. 1: one region's backfill, as a share of AWS's maximum of 100 events a second, and how often it
was throttled. 2: four regions at once, as a multiple of the time of the largest alone. 3: a sync
with nothing new on a small and on a large warehouse: time and requests.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.reading import fill as fill_warehouse
from bench.spent import Spent, median, spent
from etl.times import utc_text
from tests.aws import ACCOUNT, FakeAws
from tests.support import call

REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1")
DAYS = 20


def fill(aws: FakeAws, region: str, events: int) -> None:
    """Deliver events evenly over the days."""
    now = datetime.now(UTC)
    for number in range(events):
        moment = now - timedelta(hours=2) - timedelta(days=DAYS - 1) * number / events
        aws.place(ACCOUNT, region).deliver(
            call(
                number + 10_000_000 * REGIONS.index(region),
                eventTime=utc_text(moment),
                awsRegion=region,
            )
        )


def sync(aws: FakeAws, database: Path, *regions: str, since: str = f"{DAYS}d") -> Spent:
    """Run the program; return its cost, start and end included.

    The fake AWS runs in this process: only ``children`` is the program's CPU time.
    """
    words = [sys.executable, "-m", "etl", "sync", "--since", since, "--db", str(database)]
    for region in regions:
        words += ["--region", region]
    before = spent()
    subprocess.run(words, env=os.environ | aws.environment(), check=True, capture_output=True)
    return spent().since(before)


def measure_backfill(folder: Path, events: int) -> None:
    """Print the rate of one region, and the cost of three smaller regions in addition."""
    with FakeAws() as aws:
        fill(aws, REGIONS[0], events)
        alone = sync(aws, folder / "one.db", REGIONS[0])
        print(
            f"one region          {events:>9,} events in {alone.wall:.1f} s"
            f" ({alone.children:.1f} s of CPU)"
        )
        print(f"  of 100 events/s   {events / alone.wall:>9.1f} %")
        print(f"  throttled         {aws.throttled:>9} times of {aws.count('LookupEvents')}")
        for part, region in enumerate(REGIONS[1:], 2):
            fill(aws, region, events // part)
        together = sync(aws, folder / "four.db", *REGIONS)
        print(f"four regions        {together.wall / alone.wall:>9.2f} times the largest alone")
        print(f"  throttled         {aws.throttled:>9} times")


def measure_nothing_new(folder: Path, large: int, runs: int = 7) -> None:
    """Print the time and the requests of a sync that finds nothing, for both warehouses.

    The two take turns, because a machine is not equally busy all the time.
    """
    databases = {events: folder / f"{events}.db" for events in (1000, large)}
    taken: dict[int, list[Spent]] = {events: [] for events in databases}
    for events, database in databases.items():
        fill_warehouse(database, events)
    with FakeAws() as aws:
        for database in databases.values():
            sync(aws, database, REGIONS[0], since="2d")
        asked = aws.count("LookupEvents")
        for _ in range(runs):
            for events, database in databases.items():
                taken[events].append(sync(aws, database, REGIONS[0], since="2d"))
        made = (aws.count("LookupEvents") - asked) / runs / len(databases)
    medians = {events: median(runs) for events, runs in taken.items()}
    for events, one in medians.items():
        cpu = f"{one.children:.2f} s of CPU"
        print(f"nothing new         {one.wall:>9.2f} s ({cpu}) with {events:,} calls")
    print(f"  large to small    {medians[large].wall / medians[1000].wall:>9.2f} times")
    print(f"  requests          {made:>9.1f} LookupEvents a run")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=12_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure_backfill(Path(folder), options.events)
        measure_nothing_new(Path(folder), options.large)


if __name__ == "__main__":
    main()
