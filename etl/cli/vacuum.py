"""``bedrock-usage vacuum``: drop old calls, keep what they cost, make the file smaller."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from sqlite_utils import Database

from etl.cli.options import db_option
from etl.clock import Clock
from etl.config import parse_duration
from etl.errors import ConfigError
from etl.figures import count, size
from etl.terminal import open_console
from etl.warehouse.database import open_warehouse
from etl.warehouse.lock import sync_lock
from etl.warehouse.vacuum import (
    Plan,
    compact,
    cutoff,
    drop_calls,
    drop_unused_names,
    plan_vacuum,
    size_of,
)

SHORTEST_KEEP = timedelta(days=1)


def _keep(_: click.Context, __: click.Parameter, text: str | None) -> timedelta | None:
    if text is None:
        return None
    try:
        keep = parse_duration(text)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None
    if keep < SHORTEST_KEEP:
        raise click.BadParameter("at least 1d: what is younger may still get its tokens")
    return keep


@click.command()
@click.option(
    "--keep-calls",
    callback=_keep,
    help="Drop calls that are older: 400d. Their usage and cost stay. [default: keep all]",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@db_option
def vacuum(keep_calls: timedelta | None, dry_run: bool, db: Path) -> None:
    """Make the file smaller; drop the single calls of long ago, if asked to.

    Reports stay as they are to the last cent: they read sums. Only the view calls ends with the
    oldest call that is kept. What was dropped is never loaded again. No sync may run meanwhile.
    """
    now = Clock().now()
    before = cutoff(now, keep_calls) if keep_calls else None
    with open_warehouse(db) as warehouse:
        if dry_run:
            click.echo(plan_lines(plan_vacuum(warehouse, before)))
            return
        with sync_lock(db):
            _vacuum(warehouse, before, now)


def plan_lines(plan: Plan) -> str:
    """Say what would go, how large the file is, and how much room is needed."""
    lines = []
    if plan.before:
        range_ = f" ({plan.calls.first} to {plan.calls.last})" if plan.calls.total else ""
        lines = [
            f"Would drop  {count(plan.calls.total, 'call')} before {plan.before[:10]} UTC{range_}",
            f"Would keep  {count(plan.calls_kept, 'call')}, and the usage and cost of all",
        ]
    lines += [
        f"Size        {size(plan.size)}, {size(plan.unused)} of it unused",
        f"Room        compacting takes up to {size(plan.needed)}; {size(plan.free)} are free",
    ]
    return "\n".join(lines)


def _vacuum(warehouse: Database, before: str | None, now: datetime) -> None:
    """Do it; tell each step once it is done, because the next may fail."""
    console = open_console(stderr=True)
    size_before = size_of(warehouse)
    if before:
        _drop(warehouse, before, now, console)
    with console.status("Compacting ..."):
        is_done = compact(warehouse)
    click.echo(f"Size     {size(size_before)} before, {size(size_of(warehouse))} now", err=True)
    if not is_done:
        click.echo("         smaller still when another process has ended its reading", err=True)


def _drop(warehouse: Database, before: str, now: datetime, console: Console) -> None:
    with console.status("Comparing sums with calls ...") as status:
        dropped = drop_calls(
            warehouse,
            before,
            dropped_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            on_day=lambda day: status.update(f"Dropped {day} ..."),
        )
        status.update("Dropping names that no call has any more ...")
        names = drop_unused_names(warehouse)
    range_ = f" ({dropped.first} to {dropped.last})" if dropped.total else ""
    click.echo(
        f"Dropped  {count(dropped.total, 'call')} before {before[:10]} UTC{range_}\n"
        f"         {count(names, 'name')} that no call has any more",
        err=True,
    )
