"""``bedrock-usage prices``: list prices, and import your own rates."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import click

from etl.cli.shared.options import db_option
from etl.show.escaping import show_csv
from etl.sources.accounts import known_regions
from etl.warehouse.database import open_warehouse
from etl.warehouse.price_file import OWN_COLUMNS
from etl.warehouse.prices import import_prices, list_prices


@click.group()
def prices() -> None:
    """List the prices in use, or import your own."""


@prices.command("list")
@click.option("--model", help="Only models whose id contains this.")
@db_option
def list_command(model: str | None, db: Path) -> None:
    """Print prices as CSV, in the format that import reads.

    usd_per_mtok is in micro-dollars per million tokens: 3300000 is $3.30.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(OWN_COLUMNS)
    with open_warehouse(db, create=True) as warehouse:
        writer.writerows(list_prices(warehouse, model))
    show_csv(text.getvalue().rstrip("\n"))


@prices.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--force-new", is_flag=True, help="Also import rates of unknown models.")
@db_option
def import_command(file: Path, force_new: bool, db: Path) -> None:
    """Import your own rates from a file; they override list prices.

    FILE is CSV, YAML or TOML (docs/prices.md) and has the columns below. All rows are imported, or
    none.

    \b
    model_id          without the prefix us., eu. or global.
    region            where the call is made; * for all but GovCloud
    scope             regional, or global if the id sent begins with global.
    service_tier      standard, batch, flex, priority or latency
    token_kind        input, output, cache_read, cache_write_5m,
                      cache_write_1h or image
    min_input_tokens  0, or: only for requests with more input than this
    usd_per_mtok      micro-dollars per million tokens (or images):
                      3300000 is $3.30
    usd_per_million   or this instead: in dollars, 3.30
    effective_from    first day, UTC, e.g. 2026-01-31
    effective_to      the day after the last day; empty if still valid
    source            where the rate comes from
    checked_on        the day you checked it
    rate_class        negotiated (also if empty), or list: it corrects a
                      list price, so the list cost has it too

    `bedrock-usage prices list --model ID` prints rows to start from.
    """
    with open_warehouse(db, create=True) as warehouse:
        count = import_prices(warehouse, file, regions=known_regions(), force_new=force_new)
    click.echo(f"{count:,} rates imported", err=True)
