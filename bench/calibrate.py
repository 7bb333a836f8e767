"""How long does `calibrate` take, and how much memory? python -m bench.calibrate

Fills a warehouse with a simulated fleet (``bench.attribution``): each user calls each model between
``--low`` and ``--high`` times an hour, and no call tells its tokens. CloudWatch counts input,
output and calls every 300 s, and by the minute in the last 15 days. Calls go straight into the
sums by hour and by minute, because loading them one by one would take far longer than what is
measured; everything else goes the way that ``sync`` goes. Then the program runs twice: over all
days from nothing, as after an upgrade, and after one more day, the last of a window of 14.

Prints wall and CPU seconds and the peak memory of each run. What the first costs in SQLite alone,
``--profile`` tells.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from bench.attribution import BASE, DAY, Calls, Fleet, simulate
from bench.memory import peak_memory
from bench.spent import spent
from bench.workload import ACCOUNT, REGIONS
from etl.normalise.token_kinds import COUNT_COLUMNS, KINDS, UNKNOWN_CALLS
from etl.warehouse.database import open_warehouse
from etl.warehouse.turns import transaction
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.rollup import add_usage, renew

import numpy as np  # isort: skip  after etl.estimate has set its threads
from numpy.typing import NDArray
from sqlite_utils import Database

# Windows of 14 days end on a Thursday: 61 days after this one, one does.
LAST = datetime(2026, 10, 8, tzinfo=UTC)
FINE_DAYS = 15
HOUR = 3600
METRICS = {"InputTokenCount": "input", "OutputTokenCount": "output", "Invocations": "calls"}
MODELS = (
    "amazon.nova-lite-v1:0", "amazon.nova-micro-v1:0", "amazon.nova-pro-v1:0",
    "amazon.nova-premier-v1:0", "amazon.titan-text-express-v1", "amazon.titan-text-lite-v1",
    "anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-5-haiku-20241022-v1:0",
    "anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic.claude-3-5-sonnet-20241022-v2:0",
    "deepseek.r1-v1:0", "deepseek.v3-v1:0", "google.gemma-3-12b-it", "google.gemma-3-27b-it",
    "google.gemma-3-4b-it", "meta.llama3-1-405b-instruct-v1:0", "meta.llama3-1-70b-instruct-v1:0",
    "meta.llama3-1-8b-instruct-v1:0", "meta.llama3-3-70b-instruct-v1:0",
    "meta.llama3-70b-instruct-v1:0",
)  # fmt: skip


class Model(NamedTuple):
    """A model's calls, and CloudWatch's values of each of its metrics for each call."""

    name: str
    calls: Calls
    values: dict[str, NDArray[np.int64]]


def models(fleet: Fleet, count: int) -> list[Model]:
    """Simulate a number of models, all used by all callers."""
    return [_model(fleet, number) for number in range(count)]


def _model(fleet: Fleet, number: int) -> Model:
    calls, rng = simulate(fleet, number), np.random.default_rng(number)
    ratio = rng.lognormal(-2, 0.8, fleet.callers)[calls.caller]
    tokens = np.maximum(np.rint(calls.tokens), 1).astype(np.int64)
    output = np.maximum(np.rint(calls.tokens * ratio * rng.lognormal(0, 0.5, tokens.size)), 1)
    values = {"input": tokens, "output": output.astype(np.int64), "calls": np.ones_like(tokens)}
    return Model(MODELS[number], calls, values)


def fill(db: Database, fleet: list[Model], first: datetime, days: range) -> None:
    """Add the calls and totals of days, counted from the first one."""
    names = Names(db)
    span = days.start * DAY, days.stop * DAY
    with transaction(db):
        for model in fleet:
            _fill_calls(db, names, model, first, span)
            _fill_totals(db, names, model, first, span)
        db.execute(
            "insert into metric_hourly select * from int_metric_hours where hour >= ?",
            [_text(first, span[0])],
        )
    with transaction(db):
        # The costs that there are before a calibration, of estimates by calls.
        renew(db, names, {_text(first, at)[:13] for at in range(*span, HOUR)})
        db.execute("delete from stale_minutes")


def _fill_calls(
    db: Database, names: Names, model: Model, first: datetime, span: tuple[int, int]
) -> None:
    keys = (names.account(ACCOUNT), names.region(REGIONS[0]), names.model(model.name))
    is_now = (model.calls.second >= span[0]) & (model.calls.second < span[1])
    caller, minute = model.calls.caller[is_now], model.calls.second[is_now].astype(int) // 60
    who = [
        (names.user(f"user-{n}"), names.application(f"app-{n % 25}", "user agent"))
        for n in range(int(model.calls.caller.max()) + 1)
    ]
    count = len(who)
    place, calls = np.unique((minute // 60 * count + caller) * 60 + minute % 60, return_counts=True)
    by_hour: dict[int, dict[int, int]] = defaultdict(dict)
    for at, number in zip(place.tolist(), calls.tolist(), strict=True):
        by_hour[at // 60][at % 60] = number
    db.execute("drop table if exists temp.simulated")
    db.execute(
        "create temp table simulated (hour text, account_key integer, region_key integer,"
        " model_key integer, user_key integer, application_key integer, calls integer)"
    )
    db.conn.executemany(
        "insert into simulated values (?, ?, ?, ?, ?, ?, ?)",
        (
            (_text(first, at // count * HOUR), *keys, *who[at % count], sum(minutes.values()))
            for at, minutes in by_hour.items()
        ),
    )
    counts = ", ".join(f"null as {column}" for column in COUNT_COLUMNS)
    unknown = ", ".join(f"calls as {column}" for column in UNKNOWN_CALLS)
    add_usage(
        db,
        "(select *, 0 as token_source_key, 'standard' as service_tier, 0 as min_input_tokens,"
        f" '' as variant, 0 as failed_calls, 0 as input_contradictions, {counts}, {unknown}"
        " from simulated)",
    )
    (rate,) = db.execute("select rate_key from rate_keys where model_key = ?", keys[2:]).fetchone()
    all_kinds = (1 << len(KINDS)) - 1
    db.conn.executemany(
        "insert into call_minutes values (?, ?, ?, ?, ?, ?, ?, null)",
        (
            (_text(first, at // count * HOUR), keys[0], rate, *who[at % count], all_kinds,
             _json(minutes))
            for at, minutes in by_hour.items()
        ),
    )  # fmt: skip


def _fill_totals(
    db: Database, names: Names, model: Model, first: datetime, span: tuple[int, int]
) -> None:
    is_now = (model.calls.stamped >= span[0]) & (model.calls.stamped < span[1])
    stamped = model.calls.stamped[is_now].astype(int)
    fine_from = int((LAST - first).total_seconds()) - FINE_DAYS * DAY
    for metric, kind in METRICS.items():
        series = names.series(
            names.account(ACCOUNT), names.region(REGIONS[0]), names.model(model.name), metric, kind
        )
        values = model.values[kind][is_now]
        db.conn.executemany(
            "insert into metric_totals values (?, ?, 300, ?, 0)",
            ((series, _text(first, at), value) for at, value in _sums(stamped, values, 300)),
        )
        hours: dict[int, dict[int, int]] = defaultdict(dict)
        for at, value in _sums(stamped, values, 60):
            if at >= fine_from:
                hours[at // HOUR][at % HOUR // 60] = value
        db.conn.executemany(
            "insert into metric_minutes values (?, ?, ?)",
            ((series, _text(first, at * HOUR), _json(minutes)) for at, minutes in hours.items()),
        )


def _sums(
    stamped: NDArray[np.int64], values: NDArray[np.int64], size: int
) -> Iterator[tuple[int, int]]:
    """Yield the seconds at which periods with values begin, and the sums of these."""
    sums = np.bincount(stamped // size, values)
    at = np.flatnonzero(sums)
    yield from zip((at * size).tolist(), sums[at].astype(int).tolist(), strict=True)


def _json(values: dict[int, int]) -> str:
    return json.dumps(values, separators=(",", ":"))


def _text(first: datetime, seconds: int) -> str:
    return f"{first + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def measure(path: Path, scratch: Path, title: str) -> None:
    """Run the program over a warehouse; print what it takes."""
    words = [sys.executable, "-m", "etl", "calibrate", "--time-limit", "3h", "--db", path]
    before = spent()
    peak = peak_memory(words, scratch, {"PYTHONPATH": str(Path.cwd())})
    taken = spent().since(before)
    said = (scratch / "output.txt").read_text().strip().splitlines()[-1]
    print(
        f"{title}: {taken.children:.1f} s (CPU), {taken.wall:.1f} s, peak"
        f" {peak.pss_bytes / 1e6:.0f} MB. {said}",
        flush=True,
    )


def profile(path: Path) -> None:
    """Run a calibration in this process; print where the time goes."""
    import cProfile
    import pstats

    from etl.calibrate.run import calibrate_all

    profiler = cProfile.Profile()
    with open_warehouse(path) as db:
        profiler.runcall(calibrate_all, db)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    """Fill, calibrate, add a day, calibrate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--low", type=float, default=0.05, help="least calls per user, model, hour")
    parser.add_argument("--high", type=float, default=3.0, help="most calls per user, model, hour")
    parser.add_argument("--profile", action="store_true", help="where the time goes, instead")
    parser.add_argument("--keep", type=Path, help="a file for the warehouse; may exist")
    options = parser.parse_args()
    days = options.days + 1
    fleet = replace(BASE, callers=options.users, low=options.low, high=options.high, days=days)
    first = LAST - timedelta(days=days)
    simulated = models(fleet, options.models)
    print(f"{sum(one.calls.caller.size for one in simulated):,} calls", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = options.keep or Path(folder) / "warehouse.db"
        run = (
            (lambda title: profile(path))
            if options.profile
            else (lambda title: measure(path, Path(folder), title))
        )
        for title, part in (
            ("from nothing", range(days - 1)),
            ("one more day", range(days - 1, days)),
        ):
            with open_warehouse(path, create=True) as db:
                fill(db, simulated, first, part)
                db.execute("pragma wal_checkpoint(truncate)")
            run(title)
        print(f"{path.stat().st_size / 1e6:.0f} MB on disk")


if __name__ == "__main__":
    main()
