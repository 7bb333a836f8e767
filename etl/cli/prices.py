"""``bedrock-usage prices``: list prices, check them, show how they changed, import your own."""

from __future__ import annotations

import csv
import io
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from etl.cli.prices_sync import sync_command
from etl.cli.shared.options import (
    as_of_option,
    db_option,
    format_option,
    other_db_option,
    region_option,
)
from etl.cli.shared.renewing import renew_after_changes
from etl.clock import Clock
from etl.price_check.book import read_seed
from etl.price_check.other_lists import read_lists
from etl.price_check.run import check_prices
from etl.show import price_check
from etl.show.escaping import show_csv
from etl.show.numbers import count as counted
from etl.show.prices import print_history
from etl.show.terminal import open_console
from etl.sources.accounts import known_regions
from etl.warehouse.database import open_warehouse
from etl.warehouse.price_file import OWN_COLUMNS
from etl.warehouse.prices import import_prices, list_prices, rates_by_origin
from etl.warehouse.read.prices import price_history


@click.group()
def prices() -> None:
    """List prices and how they changed, check them, import your own, or take AWS's."""


prices.add_command(sync_command)


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
    service_tier      standard, batch, flex, priority, latency or ultrafast
    token_kind        input, output, cache_read, cache_write_5m,
                      cache_write_30m, cache_write_1h, image,
                      search_unit, video_second or guardrail_POLICY
    min_input_tokens  0, or: only for requests with more input than this
    usd_per_mtok      micro-dollars per million tokens (or units):
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
        renew_after_changes(warehouse)
    click.echo(f"{counted(count, 'rate')} imported", err=True)


_LIST_FILE = click.Path(exists=True, path_type=Path)


@prices.command("check")
@click.option("--litellm", type=_LIST_FILE, help="litellm's prices: a wheel, folder or data file.")
@click.option("--genai", type=_LIST_FILE, help="Likewise those of genai-prices.")
@other_db_option("Check the rates of this warehouse. [default: the list prices of this release]")
@as_of_option("The day for which to check. [default: today]")
@format_option("csv")
def check_command(
    litellm: Path | None, genai: Path | None, db: Path | None, as_of: datetime | None, format_: str
) -> None:
    """Compare the list prices with other lists, with rules, and with the calendar.

    Finds rates that differ from litellm's or genai-prices' by more than 0.1 %,
    rates that are missing, rates that contradict each other, gaps between dated
    rates, and rates that nobody checked for 90 days. Negotiated rates are left
    out, and so are disagreements that were reviewed. Exits with 1 if anything
    else is found.
    """
    day = (as_of or datetime.now(UTC)).date()
    lists = read_lists(litellm, genai, day.isoformat())
    if db:
        with open_warehouse(db) as warehouse:
            origins = rates_by_origin(warehouse)
    else:
        origins = [read_seed()]
    outcome = check_prices(origins, lists, day, is_seed=db is None)
    if format_ == "json":
        click.echo(price_check.to_json(outcome))
    elif format_ == "csv":
        show_csv(price_check.to_csv(outcome))
    else:
        price_check.print_outcome(outcome, open_console())
    if outcome.findings:
        sys.exit(1)


@prices.command("history")
@click.argument("model")
@region_option("Only rates that apply in this region; repeatable.")
@format_option("csv")
@db_option
def history_command(model: str, region: tuple[str, ...], format_: str, db: Path) -> None:
    """Show every dated rate of MODEL, the oldest first, and which is in force today.

    MODEL may be any of the model's ids. Rates that a correction replaced are shown too, and so are
    rates that one of a higher origin supersedes: import, then price_list, then seed.
    """
    with open_warehouse(db, create=True) as warehouse:
        rows = price_history(warehouse, model, regions=region, today=Clock().now().date())
        print_history(model, rows, format_)
