"""``bedrock-usage prices sync``: take prices from AWS's Price List."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from etl.cli.shared.options import (
    as_of_option,
    config_option,
    db_option,
    dry_run_option,
    profile_option,
    region_option,
)
from etl.cli.shared.price_syncing import (
    PriceListChoice,
    PriceReport,
    regions_of,
    summary_lines,
    sync_price_list,
)
from etl.cli.shared.renewing import renew_after_changes
from etl.cli.shared.signals import stops
from etl.clock import Clock
from etl.config import load_config
from etl.show.escaping import harmless
from etl.show.numbers import count
from etl.show.price_sync import print_sync
from etl.show.terminal import open_console
from etl.sources.accounts import known_regions
from etl.warehouse.database import open_warehouse
from etl.warehouse.turns import Patience


@click.command("sync")
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, path_type=Path),
    help="Read offer files (.json, .json.gz) from a folder, or one file, instead of AWS.",
)
@as_of_option("Read the prices that were published by the end of this day, e.g. 2026-03-31.")
@region_option(
    'A region, or "all"; repeatable. [default: the regions read, or of the calls; all with --from]'
)
@click.option("--api", is_flag=True, help="Read through AWS's API, which needs permissions.")
@profile_option(" with --api")
@dry_run_option("Show what would change, and write nothing.")
@click.option("--accept", is_flag=True, help="Also make the changes that are held back.")
@click.option("--details", is_flag=True, help="Show all changes, and every price that is not used.")
@config_option
@db_option
def sync_command(
    folder: Path | None,
    as_of: datetime | None,
    region: tuple[str, ...],
    api: bool,
    profile: str | None,
    dry_run: bool,
    accept: bool,
    details: bool,
    config: Path | None,
    db: Path,
) -> None:
    """Take prices from AWS's Price List.

    They come after your own rates and before the prices of this release, and apply from the day of
    their publication. Reads AWS's public files, without credentials.

    A change to more than twice or less than half the price, and a price that is no longer listed,
    are held back. Exits with 1 if something was, could not be read, or is not clear for a model in
    use.
    """
    if folder and (as_of or api):
        raise click.UsageError("--from cannot be combined with --as-of or --api")
    # A user's own files are read whole.
    named = _regions(region or (("all",) if folder else ()))
    settings, clock = load_config(config), Clock()
    if profile and not (api or settings.prices.api):
        raise click.UsageError("--profile needs --api: the public files need no credentials")
    with stops(clock), open_warehouse(
        db, create=not dry_run, patience=Patience(check=clock.check)
    ) as warehouse:  # fmt: skip
        choice = PriceListChoice(
            named if region or folder else regions_of(warehouse, settings),
            folder,
            api or settings.prices.api,
            as_of.date() if as_of else None,
            profile or settings.accounts.profile,
        )
        report = sync_price_list(warehouse, choice, clock, accept=accept, dry_run=dry_run)
        if not dry_run:
            renew_after_changes(warehouse)
    print_sync(report.synced, report.problems, open_console(), details=details)
    _summarise(report, dry_run=dry_run)
    sys.exit(0 if report.is_complete else 1)


def _regions(named: tuple[str, ...]) -> set[str] | None:
    """Return the regions named, None for all."""
    if "all" in named:
        if len(named) > 1:
            raise click.UsageError("--region all cannot be combined with other regions")
        return None
    if named and (unknown := sorted(set(named) - known_regions())):
        raise click.UsageError(f"{unknown[0]} is not an AWS region")
    return set(named)


def _summarise(report: PriceReport, *, dry_run: bool) -> None:
    lines = [
        f"Read              {count(report.files, 'file')}:"
        f" {harmless(', '.join(report.versions)) or '–'}"
    ]
    lines += summary_lines(report)
    if dry_run:
        lines.append("Written           nothing (--dry-run)")
    for line in lines:
        click.echo(line, err=True)
