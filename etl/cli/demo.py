"""``bedrock-usage demo``: the whole path on bundled logs, without AWS."""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

from etl.cli.loading import load_with_progress, summary
from etl.cli.options import db_option, serve_options
from etl.cli.serving import run_datasette
from etl.cli.signals import endless
from etl.demo import write_demo_logs
from etl.errors import BedrockUsageError
from etl.show.escaping import harmless
from etl.show.report import build_report, print_report
from etl.warehouse.database import open_warehouse
from etl.warehouse.demo import holds_data, is_demo, mark_demo
from etl.warehouse.lock import sync_lock
from etl.warehouse.paths import is_there, real_path
from etl.warehouse.read.reports import Filters


@click.command()
@click.option("--serve/--no-serve", default=True, show_default=True, help="Serve it afterwards.")
@serve_options
@db_option
def demo(serve: bool, host: str, port: int, db: Path) -> None:
    """Build a sample warehouse from bundled logs, print the report, serve it."""
    now = datetime.now(UTC)
    with sync_lock(db):
        _ensure_demo(db, now)
    with open_warehouse(db) as warehouse:
        print_report(build_report(warehouse, "applications", Filters()))
        print_report(build_report(warehouse, "users", Filters()))
    if serve:
        with endless():
            run_datasette(db, host, port)


def _ensure_demo(db: Path, now: datetime) -> None:
    """Build today's demo warehouse, unless it is there; never touch any other."""
    day = now.date().isoformat()
    if is_there(db):
        with open_warehouse(db) as warehouse:
            built_for, is_empty = is_demo(warehouse), not holds_data(warehouse)
        if built_for is None and not is_empty:
            raise BedrockUsageError(
                f"{db} holds data of your own: give the demo another file, --db demo.db"
            )
        if built_for == day:
            click.echo(f"{harmless(db)} holds today's demo already", err=True)
            return
        # The file last: what is beside it would be taken for a part of the next one.
        for suffix in ("-wal", "-shm", ""):
            Path(f"{real_path(db)}{suffix}").unlink(missing_ok=True)
    with (
        open_warehouse(db, create=True) as warehouse,
        tempfile.TemporaryDirectory(prefix="bedrock-usage-demo-") as folder,
    ):
        # Marked before anything is in it, so that a demo cut short is known for one.
        mark_demo(warehouse, "unfinished")
        write_demo_logs(Path(folder), now)
        # The files are gone in a moment; nobody will ask for them again.
        result = load_with_progress(warehouse, (Path(folder),), remember=False)
        click.echo(summary(result), err=True)
        if result.rejected:
            sys.exit(1)
        mark_demo(warehouse, day)
