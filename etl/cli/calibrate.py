"""``bedrock-usage calibrate``: find tokens per call, and share CloudWatch's totals by them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from etl.calibrate.outcome import calibrate_now, share_by_calls
from etl.cli.shared.calibrating import outcome_line
from etl.cli.shared.option_types import Duration
from etl.cli.shared.options import config_option, db_option
from etl.cli.shared.renewing import renew_after_changes
from etl.clock import Clock
from etl.config import load_config
from etl.show.terminal import open_console
from etl.warehouse.database import open_warehouse
from etl.warehouse.lock import sync_lock


@click.command()
@click.option(
    "--time-limit",
    type=Duration(),
    default=timedelta(minutes=10),
    show_default="10m",
    help="Start no new series or span of 14 days after this time; those left keep their"
    " earlier sizes.",
)
@config_option
@db_option
def calibrate(time_limit: timedelta, config: Path | None, db: Path) -> None:
    """Share CloudWatch's totals by tokens per call.

    Tokens that no call reports are shared equally among calls or, where CloudWatch's totals show
    that some callers' calls are larger, by their size. Sizes are used only where they predict hours
    that they were not taken from. With allocation = "calls" under [estimate], they are dropped.
    """
    is_off = load_config(config).estimate.allocation == "calls"
    clock = Clock()
    with open_warehouse(db) as warehouse, sync_lock(db):
        if is_off:
            changed = share_by_calls(warehouse)
            renew_after_changes(warehouse)
            click.echo("Shared by calls" + ("" if changed else ", as before"), err=True)
            return
        end = clock.monotonic() + time_limit.total_seconds()
        with open_console(stderr=True).status("Calibrating ..."):
            outcome = calibrate_now(
                warehouse, now=clock.now(), is_late=lambda: clock.monotonic() >= end
            )
            renew_after_changes(warehouse)
    click.echo(outcome_line(outcome), err=True)
