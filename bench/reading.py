"""How long a person waits: every query, report and view over one million calls and over ten.

    python -m bench.reading [--events 1000000 10000000] [--database FILE ...] [--rounds 5]

Both have the same 90 days, people, applications, models and regions, and CloudWatch's totals of
every hour, so the second only has more calls behind each figure. Existing databases are measured as
they are; others are built, which takes a minute per million calls.

Prints milliseconds of wall and CPU time, as the median of several rounds with a warm cache. The
databases take turns, with connections like Datasette's. The ratio compares the last database with
the first. Next to the times are thousands of steps of SQLite's virtual machine, which do not depend
on how busy the machine is. To compare two versions of a view, run this in a checkout of each, over
a copy of the same database, and compare the steps.

Views with as many rows as there are calls or hours are read like pages: the first hundred rows in
the page's order, of all, of a day and of an hour. Last come the bytes per call, including all
tables and indexes.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from datasette.utils import parse_metadata
from sqlite_utils import Database

from bench.spent import Spent, median, spent
from bench.workload import ACCOUNT, DAYS, MODELS, REGIONS, START, Call, calls
from etl import resources
from etl.normalise.rows import Event, MetricValue, Tokens
from etl.show.report import KINDS, build_report
from etl.times import utc_text
from etl.warehouse.database import open_warehouse, view_sql
from etl.warehouse.read.reports import Filters
from etl.warehouse.read.status import read_status
from etl.warehouse.write.batch import Batch, Loader
from etl.web.site import DATABASE

BATCH = 20_000
# SQLite's steps are counted in units of this many.
STEPS = 100
# One more than the page shows, as Datasette does.
PAGE = 101
BREAKDOWNS = ("users", "applications")
BLANK = {"date_from": "", "date_to": "", "regions": "", "models": ""}

# A call of the workload has 4,550 input tokens and 455 output tokens on average.
METRICS = (("InputTokenCount", 4_550), ("OutputTokenCount", 455))
# A model with CloudWatch totals but no calls.
UNCALLED = "amazon.titan-text-lite-v1"


def fill(path: Path, count: int) -> None:
    """Build a warehouse with ``count`` calls, spread over all days, and CloudWatch's totals."""
    with open_warehouse(path, create=True) as db:
        loader = Loader(db)
        events = (_event(call) for call in calls(count))
        while part := list(islice(events, BATCH)):
            loader.write(Batch(events=part))
        totals = _totals(count)
        while values := list(islice(totals, BATCH)):
            loader.write(Batch(metrics=values))
        db.execute("pragma wal_checkpoint(truncate)")


def _event(call: Call) -> Event:
    role = f"team-{call.user}-role"
    return Event(
        event_time=utc_text(call.moment),
        event_id=call.event_id,
        request_id=call.request_id,
        shared_event_id=None,
        account_id=ACCOUNT,
        region=call.region,
        event_source="bedrock.amazonaws.com",
        event_name=call.operation,
        model_id=call.model,
        principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}",
        principal_type="AssumedRole",
        session_name=f"i-{call.user:017x}",
        user_agent=f"Boto3/1.42.97 App{call.application}/1.{call.application % 3}",
        user_name=role,
        application=f"App{call.application}",
        application_source="user agent",
        error_code=call.error_code,
        inference_region="us-east-2",
        service_tier=None,
        is_home_copy=True,
        is_correction=False,
        tokens=Tokens("additionalEventData", *call.tokens)
        if call.tokens and not call.error_code
        else None,
    )


def _totals(count: int) -> Iterator[MetricValue]:
    """Yield hourly totals close to what all calls of an hour use, with known tokens or not."""
    rng = random.Random(2)
    calls_of_series = count / (DAYS * 24 * len(MODELS) * len(REGIONS))
    for hour in range(DAYS * 24):
        start = f"{START + timedelta(hours=hour):%Y-%m-%dT%H:00:00Z}"
        for model in MODELS:
            for region in REGIONS:
                for metric, tokens in METRICS:
                    value = int(calls_of_series * tokens * rng.uniform(0.9, 1.2))
                    yield MetricValue(ACCOUNT, region, model, metric, start, 3600, value)
        yield MetricValue(
            ACCOUNT, REGIONS[0], UNCALLED, METRICS[0][0], start, 3600, rng.randrange(1_000)
        )


class Taken(NamedTuple):
    """The cost of a question on one warehouse; ``steps``: of SQLite's virtual machine."""

    spent: Spent
    steps: int


def measure(paths: list[Path], rounds: int) -> Iterator[tuple[str, list[Taken]]]:
    """Yield each question's name and its cost on each warehouse; the warehouses take turns."""
    with ExitStack() as stack:
        dbs = [stack.enter_context(_opened(path)) for path in paths]
        asked = [_questions(db) for db in dbs]
        for name in asked[0]:
            asks = [questions[name] for questions in asked]
            # This also warms the cache.
            steps = [_steps(db, ask) for db, ask in zip(dbs, asks, strict=True)]
            rows = [[_take(ask) for ask in asks] for _ in range(rounds)]
            medians = [median(runs) for runs in zip(*rows, strict=True)]
            yield name, [Taken(*taken) for taken in zip(medians, steps, strict=True)]


def _steps(db: Database, ask: Callable[[], Any]) -> int:
    counted = 0

    def count() -> None:
        nonlocal counted
        counted += STEPS

    db.conn.set_progress_handler(count, STEPS)
    ask()
    db.conn.set_progress_handler(None, 0)
    return counted


@contextmanager
def _opened(path: Path) -> Iterator[Database]:
    with open_warehouse(path):
        pass  # upgrade the schema, as `serve` does
    # Like Datasette: read-only, with SQLite's small default cache.
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        yield Database(connection)


def _questions(db: Database) -> dict[str, Callable[[], Any]]:
    return {**_queries(db), **_reports(db), **_views(db)}


def _take(ask: Callable[[], Any]) -> Spent:
    before = spent()
    ask()
    return spent().since(before)


def _metadata() -> dict[str, Any]:
    metadata = parse_metadata(resources.METADATA.read_text(encoding="utf-8"))
    database: dict[str, Any] = metadata["databases"][DATABASE]
    return database


def _queries(db: Database) -> dict[str, Callable[[], Any]]:
    return {
        f"query {name}": lambda sql=query["sql"]: db.execute(sql, BLANK).fetchall()
        for name, query in _metadata()["queries"].items()
    }


def _reports(db: Database) -> dict[str, Callable[[], Any]]:
    last = date.fromisoformat(db.execute("select max(day) from usage_daily").fetchone()[0])
    month = Filters(since=(last - timedelta(days=29)).isoformat())
    questions: dict[str, Callable[[], Any]] = {}
    for kind in KINDS:
        for range_, filters in (("30 days", month), ("all", Filters())):
            questions[f"report {kind}, {range_}"] = lambda kind=kind, filters=filters: build_report(
                db, kind, filters
            )
    for kind in BREAKDOWNS:
        questions[f"report {kind} --breakdown, all"] = lambda kind=kind: build_report(
            db, kind, Filters(), breakdown=True
        )
    now = datetime(last.year, last.month, last.day, tzinfo=UTC)
    questions["status"] = lambda: read_status(db, now)
    return questions


def _views(db: Database) -> dict[str, Callable[[], Any]]:
    (hour,) = db.execute("select hour from usage_hourly order by hour desc limit 1").fetchone()
    tables = _metadata()["tables"]
    questions: dict[str, Callable[[], Any]] = {}
    for view in view_sql():
        columns = {name for _, name, *_ in db.execute(f"pragma table_info({view})")}
        sort = tables.get(view, {}).get("sort_desc")
        page = f"{f' order by {sort} desc' if sort in columns else ''} limit {PAGE}"
        parts = {"page": page}
        if "day" in columns:
            parts["page of a day"] = f" where day = '{hour[:10]}'{page}"
        if "hour" in columns:
            parts["page of an hour"] = f" where hour = '{hour}'{page}"
        if "event_time" in columns:
            times = f"event_time between '{hour[:13]}' and '{hour[:13]}:99'"
            parts["page of an hour"] = f" where {times}{page}"
        if not _is_large(view):
            parts = {"all": ""}
        for part, sql in parts.items():
            questions[f"view {view}, {part}"] = lambda text=f"select * from {view}{sql}": (
                db.execute(text).fetchall()
            )
    return questions


def _is_large(view: str) -> bool:
    """Return whether a view has about as many rows as there are calls, hours or days of use."""
    return view.startswith(("stg_", "int_", "usage_cost", "daily_costs_by")) or view == "calls"


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--database", type=Path, nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = options.database or [Path(folder) / f"{count}.db" for count in options.events]
        for path, count in zip(paths, options.events, strict=False):
            if not path.exists():
                fill(path, count)
        _print(paths, options.rounds)


def _print(paths: list[Path], rounds: int) -> None:
    counts = [_count(path) for path in paths]
    heads = "".join(f"{count:>13,}{'CPU':>10}{'k steps':>10}" for count in counts)
    print(f"{'calls':<52}{heads}   ratio")
    for name, taken in measure(paths, rounds):
        ratio = taken[-1].spent.wall / taken[0].spent.wall
        cells = map(_cells, taken)
        print(f"{name:<52}" + "".join(cells) + f"{ratio:>8.2f}")
    sizes = [path.stat().st_size / count for path, count in zip(paths, counts, strict=True)]
    print(f"{'bytes a call':<52}" + "".join(f"{size:>13,.0f}{'':>20}" for size in sizes))


def _cells(taken: Taken) -> str:
    wall, cpu, _ = (1000 * seconds for seconds in taken.spent)
    return f"{wall:>10,.1f} ms{cpu:>10,.1f}{taken.steps / 1000:>10,.1f}"


def _count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute(
            "select sum(calls + failed_calls) from usage_daily"
        ).fetchone()
    return int(count)


if __name__ == "__main__":
    main()
