"""``bedrock-usage rollup``: count logs where they are, as files to load elsewhere."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from etl.cli.shared.option_types import Day
from etl.cli.shared.options import config_option, other_db_option, output_option, profile_option
from etl.cli.shared.rolling_up import make_job, make_template, report_rollup
from etl.cli.shared.signals import stops
from etl.clock import Clock
from etl.config import load_config
from etl.normalise.rollups import MOST_CALLERS
from etl.rollup.engines import ENGINES, engine_for
from etl.rollup.output import parquet
from etl.rollup.run import TRAILING_DAYS, find_calls, run_rollup
from etl.show.numbers import count
from etl.warehouse.database import open_warehouse
from etl.warehouse.turns import Patience
from etl.warehouse.upkeep.rolled_up_days import fetch_calls


@click.command()
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="PATH",
    help="A file, folder or s3:// address to read. Can be repeated.",
)
@output_option("DIR", "The folder or s3:// address of the rollup.")
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="local",
    help="What counts: this process, or Apache Spark.",
    show_default=True,
)
@click.option("--full", is_flag=True, help="Count every day again, not only those with new files.")
@click.option(
    "--trailing-days",
    type=click.IntRange(min=0),
    default=TRAILING_DAYS,
    show_default=True,
    metavar="DAYS",
    help="How many days before the last one are searched for late files.",
)
@click.option(
    "--most-callers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep the names of the N callers of each day with the most calls; the rest are (others)."
    f"  [default: {MOST_CALLERS}, or most_callers of the configuration]",
)
@click.option(
    "--calls",
    metavar="NAME",
    help="Instead, fetch the calls of a user or an application, or the one with an id, into the"
    " warehouse of --db; needs --day.",
)
@click.option("--day", type=Day(), help="The day of --calls.")
@profile_option(" for s3:// addresses")
@click.option("--role-arn", help="The role to assume for s3:// addresses.")
@config_option
@other_db_option("A warehouse whose inference profiles and prices apply.")
def rollup(
    inputs: tuple[str, ...],
    output: str,
    engine: str,
    full: bool,
    trailing_days: int,
    most_callers: int | None,
    calls: str | None,
    day: datetime | None,
    profile: str | None,
    role_arn: str | None,
    config: Path | None,
    db: Path | None,
) -> None:
    """Count logs by hour and caller, into files that `load-rollup` loads.

    For more logs than one machine should read: the work is done where the logs are, and only sums
    come back. Both engines give the same rows, and the same sums as `load` would. Reads what `load`
    reads, but bills. The output is Parquet, by day, with a manifest that is written last: whatever
    happens before, the rollup stays what it was. A second run counts only days with new files.

    --calls looks at single calls of a day: it reads that day's files again, and puts what somebody
    called into the warehouse. The sums, which count these calls already, do not change.
    """
    settings = load_config(config)
    clock = Clock()
    parquet()
    opened = engine_for(engine, make_template(settings, config, db))
    if calls is not None:
        if day is None or db is None:
            raise click.UsageError("--calls needs --day, and the warehouse as --db")
        with stops(clock):
            job = make_job(settings, output, profile, role_arn)
            found = find_calls(job, opened, f"{day:%Y-%m-%d}", calls)
            with open_warehouse(db, patience=Patience(check=clock.check)) as warehouse:
                new = fetch_calls(warehouse, f"{day:%Y-%m-%d}", found)
        click.echo(f"{count(len(found), 'call')} found, {new:,} new in {db}", err=True)
        return
    if not inputs:
        raise click.UsageError("name at least one --input")
    with stops(clock):
        result = run_rollup(
            make_job(
                settings, output, profile, role_arn, most_callers or settings.rollup.most_callers
            ),
            inputs,
            opened,
            clock.now(),
            full=full,
            trailing_days=trailing_days,
            check=clock.check,
        )
    report_rollup(result)
    if not result.is_complete:
        sys.exit(1)
