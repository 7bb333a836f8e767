"""``bedrock-usage upgrade``: upgrade a warehouse made by an earlier version."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from etl.cli.shared.options import db_option, dry_run_option
from etl.show.escaping import harmless
from etl.show.numbers import count, size, span
from etl.show.terminal import open_console
from etl.warehouse.database import (
    is_current,
    open_unchanged,
    open_warehouse,
    refuse_foreign,
    view_sql,
)
from etl.warehouse.lock import sync_lock
from etl.warehouse.upkeep.upgrade import (
    UpgradePlan,
    back_up,
    backup_path,
    plan_upgrade,
    require_room,
)

_NEXT_TO_IT = "(next to it)"


@click.command()
@click.option(
    "--backup",
    is_flag=False,
    flag_value=_NEXT_TO_IT,
    metavar="[FILE]",
    help="Copy the old file first; without FILE, next to it.",
)
@dry_run_option("Only show what it would take.")
@db_option
def upgrade(backup: str | None, dry_run: bool, db: Path) -> None:
    """Upgrade a warehouse made by an earlier version.

    Any command that writes also upgrades it. This one first shows how long that may take and how
    much space it needs, and can keep a copy. The file changes only when all of the upgrade is done:
    stop it at any moment, and the next command starts it again.
    """
    with open_unchanged(db) as warehouse:
        refuse_foreign(warehouse, db)
        plan = plan_upgrade(warehouse)
        if is_current(warehouse, view_sql()):
            click.echo(f"{harmless(db)} is up to date", err=True)
            return
    target = (
        None if backup is None else backup_path(plan) if backup == _NEXT_TO_IT else Path(backup)
    )
    if dry_run:
        click.echo(plan_lines(plan, target))
        return
    with sync_lock(db):
        click.echo(plan_lines(plan, target), err=True)
        require_room(plan, backup_in=target and target.resolve().parent)
        if target is not None:
            _back_up(db, target)
        with open_warehouse(db):
            pass
    click.echo("Upgraded", err=True)


def plan_lines(plan: UpgradePlan, target: Path | None) -> str:
    """Say what will be done, how long it may take and how much space it needs."""
    begins = plan.version or "nothing"
    shape = f"{begins} to {plan.steps[-1].migration}" if plan.steps else "views only"
    lines = [
        f"Upgrade  {shape}, {count(plan.calls, 'call')}",
        *(
            f"         {step.migration}: {_time(step.seconds)},"
            f" {f'up to {size(step.needed)}' if step.needed else 'almost no space'}"
            for step in plan.steps
        ),
        f"Time     {_time(plan.seconds)}",
        f"Space    up to {size(plan.needed)} meanwhile; {size(plan.free)} free",
    ]
    if target is not None:
        lines.append(f"Backup   {size(plan.size)} in {harmless(target)}")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    return f"about {span(timedelta(seconds=seconds))}" if seconds >= 1 else "a moment"


def _back_up(db: Path, target: Path) -> None:
    with open_unchanged(db) as warehouse, open_console(stderr=True).status("Copying ...") as status:
        back_up(
            warehouse,
            target,
            lambda done, total: status.update(f"Copying {done:,} of {total:,} pages ..."),
        )
    click.echo(f"Copied   the old {harmless(db)} to {harmless(target)}", err=True)
