"""``bedrock-usage vacuum``: drop old calls, keep what they cost, make the file smaller."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from sqlite_utils import Database

from etl.cli.consent import require_consent
from etl.cli.option_types import Duration
from etl.cli.options import db_option, dry_run_option, yes_option
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
    type=Duration(least="1d", because="what is younger may still get its tokens"),
    help="Drop calls that are older: 400d. Their usage and cost stay. [default: keep all]",
)
@click.option(
    "--forget",
    "names",
    multiple=True,
    metavar="USER",
    callback=_names,
    help="Put a pseudonym in the place of this name everywhere, for ever; repeatable. A name as"
    " shown or as AWS has it, a session, an address; or a pattern (*, ?), which is itself kept.",
)
@dry_run_option("Only say what would go.")
@yes_option("Forget without asking.")
@db_option
def vacuum(
    keep_calls: timedelta | None, names: tuple[str, ...], dry_run: bool, yes: bool, db: Path
) -> None:
    """Make the file smaller; drop the single calls of long ago, or forget a person, if asked to.

    Reports stay as they are to the last cent: they read sums. Only the view calls ends with the
    oldest call that is kept. What was dropped is never loaded again, and who was forgotten stays
    so in whatever is loaded later. No sync may run meanwhile.
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
            "the names may still be read in the file's log (-wal), because another process is"
            " reading: run `bedrock-usage vacuum` once it has ended"
        )


def _ask(warehouse: Database, names: tuple[str, ...], yes: bool) -> None:
    """Show what would be replaced; raise BedrockUsageError, or UsageError, without a yes."""
    require_room(warehouse)
    if not yes:
        click.echo(
            forgetting_lines(forget(warehouse, names, is_trial=True), is_done=False), err=True
        )
    require_consent("Put pseudonyms in their place? It cannot be undone.", yes)


def forgetting_lines(found: Forgetting, *, is_done: bool) -> str:
    """Say which names are replaced, and where some still stand."""
    what = ", ".join(
        f"{table.replace('_', ' ')} {number:,}"
        for table, number in found.replaced.items()
        if number
    )
    lines = [
        f"{'Forgot' if is_done else 'Would forget':14} {count(found.users, 'user')}",
        f"{'Replaced' if is_done else 'Would replace':14} {what or 'nothing: nobody has the name'}",
        *(
            f"Still there    {harmless(text)} ({column}): another name"
            for column, text in found.left[:LEFT_SHOWN]
        ),
    ]
    if len(found.left) > LEFT_SHOWN:
        lines.append(f"               and {len(found.left) - LEFT_SHOWN:,} more")
    return "\n".join(lines)


def plan_lines(plan: VacuumPlan) -> str:
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


def _vacuum(warehouse: Database, before: str | None, now: datetime, names: tuple[str, ...]) -> bool:
    """Do it; tell each step once it is done, because the next may fail. False: not all is gone."""
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
        click.echo("         smaller still when another process has ended its reading", err=True)
    return is_done


def _drop(warehouse: Database, before: str, now: datetime, console: Console) -> None:
    with console.status("Comparing sums with calls ...") as status:
        dropped = drop_calls(
            warehouse,
            before,
            dropped_at=utc_text(now),
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
