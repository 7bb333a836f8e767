"""``bedrock-usage demo``: the whole path, from bundled logs, without AWS."""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

from etl.calibrate.outcome import calibrate_now
from etl.cli.shared.loading import load_with_progress
from etl.cli.shared.options import db_option, serve_options
from etl.cli.shared.renewing import renew_after_changes
from etl.cli.shared.results import load_lines
from etl.cli.shared.serving import run_datasette
from etl.cli.shared.signals import endless
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
@click.option(
    "--serve/--no-serve", default=True, show_default=True, help="Serve the warehouse afterwards."
)
@serve_options
@db_option
def demo(serve: bool, host: str, port: int, db: Path) -> None:
    """Build a sample warehouse from bundled logs, print its reports and serve it."""
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
    """Build today's demo warehouse unless it exists; never touch any other warehouse."""
    day = now.date().isoformat()
    if is_there(db):
        with open_warehouse(db) as warehouse:
            built_for, is_empty = is_demo(warehouse), not holds_data(warehouse)
        if built_for is None and not is_empty:
            raise BedrockUsageError(
                f"{db} holds your own data: use another file for the demo, --db demo.db"
            )
        if built_for == day:
            click.echo(f"{harmless(db)} already holds today's demo", err=True)
            return
        # The file last: a -wal left next to it would be taken as part of the new one.
        for suffix in ("-wal", "-shm", ""):
            Path(f"{real_path(db)}{suffix}").unlink(missing_ok=True)
    with (
        open_warehouse(db, create=True) as warehouse,
        tempfile.TemporaryDirectory(prefix="bedrock-usage-demo-") as folder,
    ):
        # Marked while still empty, so that an interrupted demo is recognised as one.
        mark_demo(warehouse, "unfinished")
        write_demo_logs(Path(folder), now)
        # The files are deleted in a moment and never loaded again.
        result = load_with_progress(warehouse, (Path(folder),), remember=False)
        for line in load_lines(result):
            click.echo(line, err=True)
        if result.rejected:
            sys.exit(1)
        calibrate_now(warehouse, now=now, is_late=lambda: False)
        renew_after_changes(warehouse)
        mark_demo(warehouse, day)
