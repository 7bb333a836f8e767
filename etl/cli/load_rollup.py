"""``bedrock-usage load-rollup``: put the days of a rollup into the warehouse."""

from __future__ import annotations

from pathlib import Path

import click

from etl.cli.shared.loading import apply_configuration
from etl.cli.shared.options import again_option, config_option, db_option, profile_option
from etl.cli.shared.rolling_up import athena_rollup, find_rollup, loaded_lines, others_line
from etl.cli.shared.signals import stops
from etl.cli.shared.stores import Stores
from etl.clock import Clock
from etl.config import load_config
from etl.warehouse.database import open_warehouse
from etl.warehouse.demo import refuse_demo
from etl.warehouse.turns import Patience
from etl.warehouse.upkeep.rolled_up_days import load_rollup as load_days


@click.command(name="load-rollup")
@click.argument("uri", metavar="URI")
@click.option(
    "--athena",
    "is_athena",
    is_flag=True,
    help="URI is a result of the query for Athena: a CSV file, or a folder of Parquet files.",
)
@again_option("Also days that did not change, to apply other rules to them.")
@profile_option(" for s3:// addresses")
@click.option("--role-arn", help="The role to assume for s3:// addresses.")
@config_option
@db_option
def load_rollup(
    uri: str,
    is_athena: bool,
    is_again: bool,
    profile: str | None,
    role_arn: str | None,
    config: Path | None,
    db: Path,
) -> None:
    """Load a rollup that `rollup` made, or a result of Amazon Athena.

    URI is its folder or s3:// address. Replaces its days in the warehouse, all or none of them:
    their sums, not their calls. Reports, estimates and pages work as with `load`; single calls stay
    where the logs are. Rules, teams and aliases of the configuration are applied now, so other ones
    need only --again. Days that did not change are skipped.

    --athena loads what the query of `athena-sql` returned: it tells nothing of the tags of
    sessions, of operations that are no calls, and of CloudWatch's totals.
    """
    settings = load_config(config)
    clock = Clock()
    with stops(clock):
        places = Stores(clock, profile or settings.accounts.profile, role_arn)
        result = athena_rollup(settings, places, uri, clock.now()) if is_athena else None
        rollup = result.rollup if result else find_rollup(places, uri)
        with open_warehouse(db, create=True, patience=Patience(check=clock.check)) as warehouse:
            refuse_demo(warehouse, db)
            apply_configuration(warehouse, settings, config)
            loaded = load_days(warehouse, rollup, again=is_again)
    click.echo(loaded_lines(loaded), err=True)
    if result and result.callers_in_others:
        click.echo(others_line(result.callers_in_others), err=True)
