"""The speed and memory of reading AWS's bill, beside plain DuckDB over the same files.

    python -m bench.bill [--rows 1000000] [--bedrock 2500] [--runs 3] [--form csv.gz] [--folder DIR]

The bill is a CUR 2.0 export of a whole organization, as Parquet and as csv.gz: of its rows one in
400 is Bedrock's, at random places, the others are of other services with products and tags of their
own. Whole processes read it, start and end included, in turns; the medians of their wall and CPU
seconds are compared. *load* is the command, into a new warehouse. *DuckDB* is one statement that
reads the same columns of Bedrock's rows. Both must find as many rows and the same sum of costs.

Memory: the peak of the process (its maximum resident set), from the same runs. Goals are for 20
million rows, so times are also shown in proportion: the reading of rows grows with their number,
and the start does not. Slowness does not make the benchmark fail.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

FORMATS = ("parquet", "csv.gz")
FILE_ROWS = 500_000
GOAL_ROWS, GOAL_SECONDS, GOAL_BYTES = 20_000_000, 60, 500 << 20

SERVICES = (
    "AmazonEC2",
    "AmazonS3",
    "AWSLambda",
    "AmazonRDS",
    "AmazonCloudWatch",
    "AWSDataTransfer",
)
BEDROCK = "lower(line_item_product_code) like '%bedrock%'"
COLUMNS = (
    *("bill_payer_account_id", "bill_billing_entity", "line_item_usage_account_id"),
    *("line_item_usage_start_date", "line_item_product_code", "line_item_usage_type"),
    *("line_item_line_item_type", "line_item_line_item_description", "line_item_resource_id"),
    *("line_item_usage_amount", "line_item_currency_code", "line_item_unblended_cost"),
    *("line_item_iam_principal", "pricing_unit", "product_region_code"),
    *("product_product_family", "product", "tags"),
)
PEER = """
import duckdb, sys
path, columns, where = sys.argv[1:]
connection = duckdb.connect()
connection.execute("set threads = 2; set memory_limit = '400MB'; set enable_progress_bar = false")
reader = "read_parquet('{}')" if path.endswith("parquet") else "read_csv('{}', all_varchar = true)"
read = reader.format(path)
rows = connection.execute(f"select {columns} from {read} where {where}").fetchall()
print(len(rows), round(sum(float(row[11]) for row in rows), 4))
"""


class Took(NamedTuple):
    """The wall and CPU seconds of a process, and its peak in bytes."""

    wall: float
    cpu: float
    peak: int
    found: str


def bill_rows(rows: int, bedrock: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a bill."""
    draw = random.Random(1)
    places = {draw.randrange(rows) for _ in range(bedrock)}
    for number in range(rows):
        is_bedrock = number in places
        service = "AmazonBedrock" if is_bedrock else draw.choice(SERVICES)
        day, quantity = 1 + number % 30, draw.randrange(1, 5_000)
        kind = "NovaPro-input-tokens" if is_bedrock else f"{service}-{number % 77}"
        caller = f"arn:aws:iam::1:user/u{number % 50}"
        product = (
            {"model": "Nova Pro", "provider": "Amazon", "feature": "On-demand Inference"}
            if is_bedrock
            else {"instance_type": f"m{number % 9}.large", "product_name": service}
        ) | {"location": "US East (N. Virginia)", "operating_system": "Linux", "tenancy": "Shared"}
        yield {
            "bill_payer_account_id": "999988887777",
            "bill_billing_entity": "AWS",
            "line_item_usage_account_id": f"{111122220000 + number % 400}",
            "line_item_usage_start_date": f"2026-10-{day:02d}T{number % 24:02d}:00:00.000Z",
            "line_item_product_code": service,
            "line_item_usage_type": f"USE1-{kind}",
            "line_item_line_item_type": "Usage",
            "line_item_line_item_description": f"${number % 999} per unit of {service} in US East",
            "line_item_resource_id": f"arn:aws:x:us-east-1:1:thing/{draw.getrandbits(64):016x}",
            "line_item_usage_amount": float(quantity),
            "line_item_currency_code": "USD",
            "line_item_unblended_cost": quantity * 0.0008,
            "line_item_iam_principal": caller if is_bedrock else None,
            "pricing_unit": "1K tokens" if is_bedrock else "Hrs",
            "product_region_code": "us-east-1",
            "product_product_family": "Amazon Bedrock" if is_bedrock else "Compute Instance",
            "product": product,
            "tags": {"resourceTags/user_team": f"team-{number % 40}", "accountTag/unit": "42"},
            "identity_line_item_id": f"{draw.getrandbits(128):032x}",
            "identity_time_interval": f"2026-10-{day:02d}T00:00:00Z/2026-10-{day:02d}T01:00:00Z",
        }  # fmt: skip


def write_bill(folder: Path, form: str, rows: int, bedrock: int) -> Path:
    """Write the export; return the folder of its data."""
    root = folder / form / "org"
    data, meta = (root / part / "BILLING_PERIOD=2026-10" for part in ("data", "metadata"))
    data.mkdir(parents=True)
    meta.mkdir(parents=True)
    files, block, names = [], [], ["none"]

    def flush() -> None:
        name = f"org-{len(files) + 1:05d}.{'snappy.parquet' if form == 'parquet' else form}"
        (_write_parquet if form == "parquet" else _write_csv)(data / name, block)
        files.append(f"s3://bucket/org/data/BILLING_PERIOD=2026-10/{name}")
        names[:] = list(block[0])
        block.clear()

    for row in bill_rows(rows, bedrock):
        block.append(row)
        if len(block) == FILE_ROWS:
            flush()
    if block:
        flush()
    manifest = {
        "executionId": "run-1",
        "exportArn": "arn:aws:bcm-data-exports:us-east-1:999988887777:export/org",
        "columns": [{"name": name, "type": "String"} for name in names],
        "dataFiles": files,
    }
    (meta / "org-Manifest.json").write_text(json.dumps(manifest))
    return data


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    text, pairs = pyarrow.string(), pyarrow.map_(pyarrow.string(), pyarrow.string())
    columns = {}
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        if isinstance(first, dict):
            columns[name] = pyarrow.array([sorted(value.items()) for value in values], pairs)
        else:
            kind = pyarrow.float64() if isinstance(first, float) else text
            columns[name] = pyarrow.array(values, kind)
    pyarrow.parquet.write_table(
        pyarrow.table(columns), path, compression="snappy", row_group_size=100_000
    )


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with gzip.open(path, "wt", compresslevel=3, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(json.dumps(v) if isinstance(v, dict) else v for v in row.values())


def timed(command: list[str], found: Callable[[str], str]) -> Took:
    """Run a process to its end."""
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _resident(process.pid))
        time.sleep(0.02)
    out, error = process.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 0, error
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(time.monotonic() - start, cpu, peak, found(out))


def _resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return sizes[0] * 1024 if sizes else 0


def load(data: Path, folder: Path) -> Took:
    """Measure the command."""
    database = folder / "w.db"
    for file in folder.glob("w.db*"):
        file.unlink()

    def found(_: str) -> str:
        with closing(sqlite3.connect(database)) as connection:
            lines, pico = connection.execute(
                "select sum(lines), sum(cost_pico) from bill_lines"
            ).fetchone()
        return f"{lines} {round(pico / 1e12, 4)}"

    root = data.parents[2]
    return timed([sys.executable, "-m", "etl", "load", str(root), "--db", str(database)], found)


def duckdb(data: Path, folder: Path) -> Took | None:
    """Measure one statement; None if it fails, as it does where its memory is too small."""
    suffix = "parquet" if next(data.iterdir()).name.endswith("parquet") else "csv.gz"
    command = [sys.executable, "-c", PEER, f"{data}/*.{suffix}", ", ".join(COLUMNS), BEDROCK]
    try:
        return timed(command, str.strip)
    except AssertionError as error:
        print(f"  DuckDB fails: {str(error).strip().splitlines()[-1]}")
        return None


def main() -> None:
    """Measure both formats, and print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--bedrock", type=int, default=2_500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--form", choices=FORMATS, action="append", help="only this; repeatable")
    parser.add_argument("--folder", type=Path, help="where to write; deleted at the end")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        for form in options.form or FORMATS:
            data = write_bill(folder, form, options.rows, options.bedrock)
            size = sum(file.stat().st_size for file in data.iterdir()) / 1e6
            print(f"{form}: {options.rows:,} rows, {options.bedrock:,} of Bedrock, {size:,.0f} MB")
            runs = [(load(data, folder), duckdb(data, folder)) for _ in range(options.runs)]
            _show(runs, options.rows)
    finally:
        shutil.rmtree(folder)


def _show(runs: list[tuple[Took, Took | None]], rows: int) -> None:
    for name, some in zip(("load", "DuckDB"), zip(*runs, strict=True), strict=True):
        took = [one for one in some if one]
        if not took:
            continue
        wall, cpu = (
            statistics.median(getattr(one, part) for one in took) for part in ("wall", "cpu")
        )
        peak = max(one.peak for one in took)
        scaled = wall * GOAL_ROWS / rows
        print(
            f"  {name:8} {wall:6.1f} s, {cpu:6.1f} s of CPU, {peak / 2**20:5.0f} MB,"
            f" at most {scaled:5.0f} s for {GOAL_ROWS / 1e6:.0f} M rows ({took[0].found})"
        )
    assert len({one.found for pair in runs for one in pair if one}) == 1, (
        "they found different rows"
    )


if __name__ == "__main__":
    main()
