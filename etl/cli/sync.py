"""``bedrock-usage sync``: fetch new usage data from AWS."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from etl.cli.shared.calibrating import calibrate_after_sync
from etl.cli.shared.judging import judge_budgets
from etl.cli.shared.option_types import Duration
from etl.cli.shared.options import (
    archive_option,
    aws_options,
    config_option,
    db_option,
    since_option,
)
from etl.cli.shared.price_syncing import sync_prices_if_due
from etl.cli.shared.renewing import renew_after_changes
from etl.cli.shared.rolling_up import roll_up_after_sync
from etl.cli.shared.scope import choose
from etl.cli.shared.signals import endless, stops
from etl.cli.shared.syncing import sync_chosen
from etl.clock import Clock
from etl.config import load_config
from etl.errors import SourceError
from etl.monitor.after_sync import publish_after_sync
from etl.show.escaping import harmless
from etl.sync.run import SyncOutcome
from etl.sync.schedule import repeat
from etl.warehouse.database import open_warehouse
from etl.warehouse.lock import sync_lock
from etl.warehouse.turns import Patience


@click.command()
@since_option("90d", default="90d")
@click.option("--settle", type=Duration(), help="How late an event may arrive. [default: 60m]")
@click.option(
    "--every",
    type=Duration(least="1m", because="CloudTrail itself takes minutes to deliver"),
    help="Repeat at this interval, e.g. 15m.",
)
@archive_option(
    "Also keep the raw events here, as CloudTrail log files: a folder or s3://bucket/prefix."
)
@click.option(
    "--archive-bodies",
    is_flag=True,
    help="Keep prompts and answers there too, where an event has them.",
)
@aws_options
@config_option
@db_option
def sync(
    since: timedelta | datetime | None,
    settle: timedelta | None,
    every: timedelta | None,
    archive: str | None,
    archive_bodies: bool,
    config: Path | None,
    db: Path,
    **choice: Any,
) -> None:
    """Fetch new usage data from AWS.

    The first run reads the last day, then back to --since. Later runs read what is new since then.
    Stop it at any moment: the next run resumes where this one ended.
    """
    clock = Clock()
    run = partial(_run, db, clock, config, since, settle, archive, archive_bodies, choice)
    with endless() if every else nullcontext(), stops(clock), sync_lock(db):
        if every is None:
            done = run()
            clock.check()
            sys.exit(0 if done.outcome.is_complete and done.has_followed_up else 1)
        repeat(lambda: not run().outcome.may_pass, every, clock, _report_error)
        clock.check()


class _Done(NamedTuple):
    """The result of a sync, and whether all that follows it succeeded.

    As the file asks for it, a rollup is loaded, messages are sent and metrics are published.
    """

    outcome: SyncOutcome
    has_followed_up: bool = True


def _report_error(message: object) -> None:
    click.echo(f"Error: {harmless(message)}", err=True)


def _run(
    db: Path,
    clock: Clock,
    config_path: Path | None,
    since: timedelta | datetime | None,
    settle: timedelta | None,
    archive: str | None,
    archive_bodies: bool,
    choice: dict[str, Any],
) -> _Done:
    """Do one whole sync and what follows it; report both."""
    config = load_config(config_path)
    if archive_bodies:
        config = config.with_archive_bodies()
    chosen = choose(config, **choice)
    try:
        outcome = sync_chosen(db, clock, config, config_path, chosen, since, settle, archive)
    except SourceError:
        # Nothing was read, of which whoever has a budget must learn.
        with open_warehouse(db, patience=Patience(check=clock.check)) as warehouse:
            judge_budgets(warehouse, config, clock, chosen.profile, _report)
        raise
    if outcome.is_stopped:
        return _Done(outcome)
    with open_warehouse(db, patience=Patience(check=clock.check)) as warehouse:
        is_rolled_up = roll_up_after_sync(warehouse, config, config_path, clock, chosen.profile)
        calibrate_after_sync(warehouse, config, clock, _report)
        sync_prices_if_due(warehouse, config, clock, chosen.profile, _report)
        renew_after_changes(warehouse)
        is_sent = judge_budgets(warehouse, config, clock, chosen.profile, _report)
        is_published = not config.monitor.publish_after_sync or publish_after_sync(
            warehouse, config, clock, chosen.profile, _report
        )
        return _Done(outcome, is_rolled_up and is_sent and is_published)


def _report(line: str) -> None:
    click.echo(line, err=True)
