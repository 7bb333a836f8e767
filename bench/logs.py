"""Write the workload as the log files of a trail, in the layout of its bucket.

python -m bench.logs FOLDER [CALLS] [--others 0.95] [--days 90]
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench.workload import ACCOUNT, DAYS, REGIONS, Call, calls, cloudtrail_record, other_record

RECORDS_A_FILE = 2_000

# 200,000 calls at the density of ten million in 90 days.
FEW_DAYS = 1.8


def write_logs(
    folder: Path, count: int, *, days: float = DAYS, others: float = 0.0, seed: int = 1
) -> int:
    """Write ``count`` events, a share ``others`` from other services; return the file count."""
    rng = random.Random(seed)
    waiting: dict[str, list[dict[str, Any]]] = {region: [] for region in REGIONS}
    files = 0
    for call in calls(count, days=days, seed=seed):
        is_other = rng.random() < others
        part = waiting[call.region]
        part.append(other_record(call, rng) if is_other else cloudtrail_record(call))
        if len(part) == RECORDS_A_FILE:
            files += _write(folder, call, part, rng)
    for region, part in waiting.items():
        if part:
            files += _write(folder, call._replace(region=region), part, rng)
    return files


def _write(folder: Path, last: Call, records: list[dict[str, Any]], rng: random.Random) -> int:
    """Write a file as CloudTrail delivers it: some minutes later, and unordered."""
    delivered: datetime = last.moment + timedelta(minutes=5)
    rng.shuffle(records)
    name = f"{ACCOUNT}_CloudTrail_{last.region}_{delivered:%Y%m%dT%H%MZ}_{rng.getrandbits(64):016x}"
    path = folder / (
        f"AWSLogs/{ACCOUNT}/CloudTrail/{last.region}/{delivered:%Y/%m/%d}/{name}.json.gz"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"Records": records}, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), compresslevel=6, mtime=0))
    records.clear()
    return 1


def log_files(folder: Path) -> Iterator[Path]:
    """Yield the written files, ordered by name."""
    yield from sorted(folder.rglob("*.json.gz"))


def main() -> None:
    """Write the files, and print their number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("calls", type=int, nargs="?", default=200_000)
    parser.add_argument("--others", type=float, default=0.0)
    parser.add_argument("--days", type=float, default=FEW_DAYS)
    options = parser.parse_args()
    files = write_logs(options.folder, options.calls, days=options.days, others=options.others)
    print(f"{files:,} files, {options.calls:,} events")


if __name__ == "__main__":
    main()
