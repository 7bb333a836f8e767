"""``bedrock-usage check``: can the warehouse be trusted, and if not, what needs doing?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from etl.cli.shared.calibrating import report_waiting
from etl.cli.shared.options import db_option, format_option
from etl.show.escaping import json_text
from etl.show.findings import FAILED, NOT_CHECKED, Finding, print_below, print_lines, summary
from etl.show.terminal import open_console, plain
from etl.warehouse.database import open_unchanged, open_warehouse
from etl.warehouse.lock import sync_lock
from etl.warehouse.upkeep.check import CheckResult, all_checks, rebuild, run_checks


@click.command()
@click.option("--rebuild", "is_rebuild", is_flag=True, help="Recompute all sums first.")
@format_option()
@db_option
def check(is_rebuild: bool, format_: str, db: Path) -> None:
    """Check that the file is intact and its figures follow from its calls.

    Writes nothing without --rebuild. Takes minutes with millions of calls.
    """
    console = open_console(stderr=True)
    if is_rebuild:
        with (
            open_warehouse(db) as warehouse,
            sync_lock(db),
            console.status("Recomputing the sums ..."),
        ):
            rebuild(warehouse)
            report_waiting(warehouse, lambda text: click.echo(text, err=True))
    results = _run(db, console)
    if format_ == "json":
        click.echo(to_json(results))
    else:
        _print(results, open_console())
    if any(result.status in (FAILED, NOT_CHECKED) for result in results):
        sys.exit(1)


def _run(db: Path, console: Console) -> list[CheckResult]:
    """Run the checks; show on a terminal which one is running."""
    total = len(all_checks())
    with open_unchanged(db) as warehouse, console.status("Checking ...") as status:
        started = 0

        def show(name: str) -> None:
            nonlocal started
            started += 1
            status.update(f"Checking {name} ({started} of {total}) ...")

        return list(run_checks(warehouse, on_check=show))


def to_json(results: Sequence[CheckResult]) -> str:
    """Return the results as one JSON object; ids that are not text are shown as hex."""
    answer = {
        "is_ok": not any(result.status in (FAILED, NOT_CHECKED) for result in results),
        "checks": [result._asdict() for result in results],
    }
    return json_text(answer, default=_shown)


def _print(results: Sequence[CheckResult], console: Console) -> None:
    """Print each check on a line, with the first wrong rows and the fix below it."""
    findings = [Finding(result.check, result.status, result.detail) for result in results]
    for result, finding in zip(results, findings, strict=True):
        print_lines([finding], console)
        for row in result.rows:
            # A 0 is a column that does not differ.
            shown = (
                f"{name} {_shown(value)}" for name, value in row.items() if value not in (0, None)
            )
            print_below(plain(", ".join(shown), "dim"), console)
        if len(result.rows) < result.row_count and result.rows:
            print_below(plain(f"and {result.row_count - len(result.rows):,} more", "dim"), console)
        if result.fix:
            print_below(plain(result.fix), console)
    console.print(f"\n{summary(findings)}")


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
