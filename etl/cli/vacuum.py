"""``bedrock-usage vacuum``: drop old calls but keep their cost, forget names, shrink the file."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from sqlite_utils import Database

from etl.cli.shared.consent import require_consent
from etl.cli.shared.option_types import Duration
from etl.cli.shared.options import db_option, dry_run_option, yes_option
from etl.clock import Clock
from etl.errors import DataError, WarehouseError
from etl.show.escaping import harmless
from etl.show.numbers import count, size
from etl.show.terminal import open_console
from etl.times import utc_text
from etl.warehouse.database import open_warehouse
from etl.warehouse.lock import sync_lock
from etl.warehouse.upkeep.forget import Forgetting, check_name, forget
from etl.warehouse.upkeep.vacuum import (
    VacuumPlan,
    compact,
    cutoff,
    drop_calls,
    drop_unused_names,
    plan_vacuum,
    require_room,
    size_of,
)

LEFT_SHOWN = 20


def _names(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(map(check_name, names))
    except DataError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option(
    "--keep-calls",
    type=Duration(least="1d", because="a younger call may still get its tokens"),
    help="Drop calls older than this, e.g. 400d; their usage and cost stay. [default: keep all]",
)
@click.option(
    "--forget",
    "names",
    multiple=True,
    metavar="USER",
    callback=_names,
    help="Permanently replace this name with a pseudonym everywhere; repeatable. A name as shown or"
    " as in AWS, a session, an address, or a pattern (*, ?). The pattern itself is stored.",
)
@dry_run_option("Only show what would change.")
@yes_option("Forget without asking.")
@db_option
def vacuum(
    keep_calls: timedelta | None, names: tuple[str, ...], dry_run: bool, yes: bool, db: Path
) -> None:
    """Shrink the file; optionally drop old calls or forget a person.

    Reports stay the same to the cent, because they read sums; only the view calls loses the dropped
    calls. Dropped calls are never loaded again, and a forgotten name stays forgotten in whatever is
    loaded later. No sync may run at the same time.
    """
    now = Clock().now()
    before = cutoff(now, keep_calls) if keep_calls else None
    with open_warehouse(db) as warehouse:
        if dry_run:
            click.echo(plan_lines(plan_vacuum(warehouse, before)))
            if names:
                click.echo(forgetting_lines(forget(warehouse, names, is_trial=True), is_done=False))
            return
        with sync_lock(db):
            if names:
                _ask(warehouse, names, yes)
            is_done = _vacuum(warehouse, before, now, names)
    if names and not is_done:
        raise WarehouseError(
            "the names may still be readable in the file's log (-wal), because another process is"
            " reading: run `bedrock-usage vacuum` again when it has finished"
        )


def _ask(warehouse: Database, names: tuple[str, ...], yes: bool) -> None:
    """Show what would be replaced; raise BedrockUsageError, or UsageError, without a yes."""
    require_room(warehouse)
    if not yes:
        click.echo(
            forgetting_lines(forget(warehouse, names, is_trial=True), is_done=False), err=True
        )
    require_consent("Replace them with pseudonyms? This cannot be undone.", yes)


def forgetting_lines(found: Forgetting, *, is_done: bool) -> str:
    """Say which names are replaced, and where some remain."""
    what = ", ".join(
        f"{table.replace('_', ' ')} {number:,}"
        for table, number in found.replaced.items()
        if number
    )
    lines = [
        f"{'Forgot' if is_done else 'Would forget':14} {count(found.users, 'user')}",
        f"{'Replaced' if is_done else 'Would replace':14} {what or 'nothing: no such name'}",
        *(
            f"Still there    {harmless(text)} ({column}): a different name"
            for column, text in found.left[:LEFT_SHOWN]
        ),
    ]
    if len(found.left) > LEFT_SHOWN:
        lines.append(f"               and {len(found.left) - LEFT_SHOWN:,} more")
    return "\n".join(lines)


def plan_lines(plan: VacuumPlan) -> str:
    """Say what would be dropped, how large the file is, and how much space is needed."""
    lines = []
    if plan.before:
        range_ = f" ({plan.calls.first} to {plan.calls.last})" if plan.calls.total else ""
        lines = [
            f"Would drop  {count(plan.calls.total, 'call')} before {plan.before[:10]} UTC{range_}",
            f"Would keep  {count(plan.calls_kept, 'call')}, and the usage and cost of all",
        ]
    lines += [
        f"Size        {size(plan.size)}, {size(plan.unused)} of it unused",
        f"Space       compacting needs up to {size(plan.needed)}; {size(plan.free)} free",
    ]
    return "\n".join(lines)


def _vacuum(warehouse: Database, before: str | None, now: datetime, names: tuple[str, ...]) -> bool:
    """Do it; report each step when done, as the next may fail. False: something is left."""
    console = open_console(stderr=True)
    size_before = size_of(warehouse)
    if before:
        _drop(warehouse, before, now, console)
    if names:
        click.echo(forgetting_lines(forget(warehouse, names), is_done=True), err=True)
    with console.status("Compacting ..."):
        is_done = compact(warehouse)
    click.echo(f"Size     {size(size_before)} before, {size(size_of(warehouse))} now", err=True)
    if not is_done:
        click.echo("         it will shrink further when another process stops reading", err=True)
    return is_done


def _drop(warehouse: Database, before: str, now: datetime, console: Console) -> None:
    with console.status("Comparing sums with calls ...") as status:
        dropped = drop_calls(
            warehouse,
            before,
            dropped_at=utc_text(now),
            on_day=lambda day: status.update(f"Dropped {day} ..."),
        )
        status.update("Dropping names that no call uses any more ...")
        names = drop_unused_names(warehouse)
    range_ = f" ({dropped.first} to {dropped.last})" if dropped.total else ""
    click.echo(
        f"Dropped  {count(dropped.total, 'call')} before {before[:10]} UTC{range_}\n"
        f"         {count(names, 'name')} that no call uses any more",
        err=True,
    )
