"""``bedrock-usage prices``: what a token costs, and rates of one's own."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import click

from etl.cli.options import db_option
from etl.warehouse.database import open_warehouse
from etl.warehouse.prices import COLUMNS, import_prices, list_prices


@click.group()
def prices() -> None:
    """List the prices in use, or import your own."""


@prices.command("list")
@click.option("--model", help="Only models whose id contains this.")
@db_option
def list_command(model: str | None, db: Path) -> None:
    """Print prices as CSV, in the form that import reads.

    usd_per_mtok is in micro-dollars per million tokens: 3300000 is $3.30.
    """
    with open_warehouse(db, create=True) as warehouse:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(list_prices(warehouse, model))


@prices.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@db_option
def import_command(file: Path, db: Path) -> None:
    """Import your own rates from a CSV; they win over list prices."""
    with open_warehouse(db, create=True) as warehouse:
        count = import_prices(warehouse, file)
    click.echo(f"{count:,} rates imported", err=True)
