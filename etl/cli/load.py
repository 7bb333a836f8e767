"""``bedrock-usage load``: load files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from etl.cli.shared.loading import (
    apply_configuration,
    load_with_progress,
    reading_keys,
)
from etl.cli.shared.options import config_option, db_option, profile_option
from etl.cli.shared.renewing import renew_after_changes
from etl.cli.shared.results import load_lines
from etl.cli.shared.signals import stops
from etl.cli.shared.stores import Stores, is_s3
from etl.clock import Clock
from etl.config import load_config
from etl.errors import ConfigError
from etl.load.decoder.pool import Workers
from etl.sources.layouts import parse_s3_uri
from etl.warehouse.database import open_warehouse
from etl.warehouse.demo import refuse_demo
from etl.warehouse.turns import Patience


class _PathOrAddress(click.Path):
    """A path that exists, or an s3:// address."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        if is_s3(str(value)):
            try:
                parse_s3_uri(str(value))
            except ConfigError as error:
                self.fail(str(error), param, ctx)
            return str(value)
        return str(super().convert(str(value), param, ctx))


@click.command()
@click.argument("paths", nargs=-1, required=True, type=_PathOrAddress(exists=True))
@click.option(
    "--accept",
    is_flag=True,
    help="Accept what cannot be read of these files: no longer report it until they change.",
)
@click.option("--reread", is_flag=True, help="Also read files that were read before.")
@profile_option(" for s3:// addresses")
@click.option("--role-arn", help="The role to assume for s3:// addresses.")
@config_option
@db_option
def load(
    paths: tuple[str, ...],
    accept: bool,
    reread: bool,
    profile: str | None,
    role_arn: str | None,
    config: Path | None,
    db: Path,
) -> None:
    """Load CloudTrail logs, invocation logs and other saved data.

    PATHS are files, folders and s3:// addresses. Reads CloudTrail log files, Bedrock's invocation
    logs, saved lookup-events pages, CloudWatch totals (a GetMetricData response or a CSV) and
    inference profiles. The format is recognised from the content, and so is what wraps it:
    EventBridge, CloudWatch Logs, SQS, Splunk, Athena, archives and more. Exports of the AWS bill
    (CUR 2.0, legacy CUR, FOCUS) are read by their manifests, each month as a whole. Files read
    before are skipped, and loading the same data again changes nothing. A file that cannot be
    read at all, or not completely because it is damaged, is reported by every load until it changes
    or is accepted.
    """
    settings = load_config(config)
    clock = Clock()
    with stops(clock):
        stores = Stores(clock, profile or settings.accounts.profile, role_arn)
        workers = Workers(reading_keys(settings))
        if any(is_s3(path) or Path(path).is_dir() for path in paths):
            # They take a moment to start; the warehouse is opened meanwhile.
            workers.start()
        patience = Patience(check=clock.check)
        with workers, open_warehouse(db, create=True, patience=patience) as warehouse:
            refuse_demo(warehouse, db)
            apply_configuration(warehouse, settings, config)
            result = load_with_progress(
                warehouse,
                paths,
                workers=workers,
                reread=reread,
                accept_on=clock.now().date().isoformat() if accept else None,
                store_of=stores.store_of,
                check=clock.check,
                now=clock.now(),
            )
            renew_after_changes(warehouse)
    for line in load_lines(result):
        click.echo(line, err=True)
    if not result.is_complete:
        sys.exit(1)
