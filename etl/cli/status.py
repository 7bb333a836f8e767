"""``bedrock-usage status``: what the warehouse contains, and how fresh it is."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import click
from sqlite_utils import Database

from etl.cli.shared.option_types import Duration
from etl.cli.shared.options import db_option, format_option, region_option, source_option
from etl.clock import Clock
from etl.registry import sources_of
from etl.show.escaping import harmless
from etl.show.status import WarehouseStatus, stale_lines, to_json
from etl.show.status_table import print_table
from etl.show.terminal import open_console
from etl.warehouse.database import open_warehouse
from etl.warehouse.read.status import read_status


@click.command()
@click.option(
    "--max-age",
    type=Duration(),
    help="Exit with status 1 if any source was last read longer ago than this, e.g. 2h.",
)
@region_option("Only streams of this region; repeatable.")
@source_option
@format_option()
@db_option
def status(
    max_age: timedelta | None,
    region: tuple[str, ...],
    source: tuple[str, ...],
    format_: str,
    db: Path,
) -> None:
    """Show how far AWS has been read, how fresh the data is, and what is missing.

    Lag is the time since the newest complete moment. An hour is normal, because CloudTrail delivers
    late. The catalogue is read only once a day, so it may be a day older.
    """
    with open_warehouse(db) as warehouse:
        found = build_status(warehouse, Clock().now(), max_age)
    found = limited(found, region, source)
    if format_ == "json":
        click.echo(to_json(found))
    else:
        print_table(found, open_console())
    for line in stale_lines(found):
        click.echo(harmless(line), err=True)
    if found.is_fresh is False:
        sys.exit(1)


def build_status(db: Database, now: datetime, max_age: timedelta | None = None) -> WarehouseStatus:
    """Read the status at ``now`` from the warehouse."""
    return WarehouseStatus(checked_at=now, max_age=max_age, **read_status(db, now))


def limited(
    status: WarehouseStatus, regions: Collection[str], sources: Collection[str]
) -> WarehouseStatus:
    """Return the status with these streams only: one that is no longer read is not stale."""
    names = {name for source in sources_of(sources) for name in source.streams}
    streams = [
        stream
        for stream in status.streams
        if (not regions or stream["region"] in regions) and (not names or stream["source"] in names)
    ]
    return replace(status, streams=streams)
