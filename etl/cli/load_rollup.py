"""``bedrock-usage load-rollup``: put the days of a rollup into the warehouse."""

from __future__ import annotations

from pathlib import Path

import click

from etl.cli.shared.loading import apply_configuration
from etl.cli.shared.options import config_option, db_option, profile_option
from etl.cli.shared.rolling_up import load_into, loaded_lines, require_rollup
from etl.cli.shared.signals import stops
from etl.cli.shared.stores import Stores
from etl.clock import Clock
from etl.config import load_config
from etl.warehouse.database import open_warehouse
from etl.warehouse.demo import refuse_demo
from etl.warehouse.turns import Patience


@click.command(name="load-rollup")
@click.argument("uri", metavar="URI")
@click.option(
    "--again", is_flag=True, help="Also days that did not change, to apply other rules to them."
)
@profile_option(" for s3:// addresses")
@click.option("--role-arn", help="The role to assume for s3:// addresses.")
@config_option
@db_option
def load_rollup(
    uri: str,
    again: bool,
    profile: str | None,
    role_arn: str | None,
    config: Path | None,
    db: Path,
) -> None:
    """Load a rollup that `rollup` made.

    URI is its folder or s3:// address. Replaces its days in the warehouse, all or none of them:
    their sums, not their calls. Reports, estimates and pages work as with `load`; single calls stay
    where the logs are. Rules, teams and aliases of the configuration are applied now, so other ones
    need only --again. Days that did not change are skipped.
    """
    settings = load_config(config)
    clock = Clock()
    with stops(clock):
        places = Stores(clock, profile or settings.accounts.profile, role_arn)
        require_rollup(places, uri)
        with open_warehouse(db, create=True, patience=Patience(check=clock.check)) as warehouse:
            refuse_demo(warehouse, db)
            apply_configuration(warehouse, settings, config)
            loaded = load_into(warehouse, places, uri, again=again)
    click.echo(loaded_lines(loaded), err=True)
