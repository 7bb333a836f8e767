"""``bedrock-usage report``: the numbers in a terminal."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click
from sqlite_utils import Database

from etl.cli.options import db_option
from etl.output import show_csv
from etl.report import KINDS, Report, print_table, to_csv, to_json
from etl.terminal import open_console
from etl.warehouse.database import open_warehouse
from etl.warehouse.read import Filters, loaded_range, usage

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.option("--since", type=_DAY, help="First day, UTC.")
@click.option("--until", type=_DAY, help="Last day, UTC, included.")
@click.option("--region", multiple=True, help="Only this region; repeatable.")
@click.option("--model", multiple=True, help="Only this model, by any of its ids; repeatable.")
@click.option("--user", multiple=True, help="Only this user; repeatable.")
@click.option("--application", multiple=True, help="Only this application; repeatable.")
@click.option("--breakdown", is_flag=True, help="Regions and models under each name.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
)
@db_option
def report(
    kind: str,
    since: datetime | None,
    until: datetime | None,
    region: tuple[str, ...],
    model: tuple[str, ...],
    user: tuple[str, ...],
    application: tuple[str, ...],
    breakdown: bool,
    format_: str,
    db: Path,
) -> None:
    """Report usage and cost by user, application, model, region or day.

    Without dates a report covers all that is loaded. Costs are list prices in USD.
    """
    if breakdown and kind not in ("users", "applications"):
        raise click.UsageError("--breakdown goes with users and applications")
    if since and until and since > until:
        raise click.UsageError("--since is after --until")
    filters = Filters(
        since=since.date().isoformat() if since else None,
        until=until.date().isoformat() if until else None,
        regions=region,
        models=model,
        users=user,
        applications=application,
    )
    with open_warehouse(db) as warehouse:
        print_report(build_report(warehouse, kind, filters, breakdown=breakdown), format_)


def build_report(db: Database, kind: str, filters: Filters, *, breakdown: bool = False) -> Report:
    """Read one report from the warehouse."""
    dimensions = KINDS[kind][1]
    totals = usage(db, filters)
    return Report(
        kind=kind,
        range=_range(db, filters),
        rows=usage(db, filters, by=dimensions),
        total=totals[0] if totals else None,
        details=usage(db, filters, by=(*dimensions, "region", "model_id")) if breakdown else [],
    )


def print_report(report: Report, format_: str = "table") -> None:
    """Print to stdout; say on stderr why there is nothing to print."""
    if format_ == "table":
        print_table(report, open_console())
    elif format_ == "json":
        click.echo(to_json(report))
    else:
        show_csv(to_csv(report))
    if not report.rows:
        click.echo(
            "No calls match. Look at what is loaded with `bedrock-usage report days`; CloudTrail"
            " delivers events about 15 minutes late.",
            err=True,
        )


def _range(db: Database, filters: Filters) -> str:
    first, last = loaded_range(db)
    if first is None or last is None:
        return "nothing is loaded"
    start, end = filters.since or first, filters.until or last
    if start > end:
        # Nothing is loaded of it: what was asked for stands alone.
        start, end = filters.since or end, filters.until or start
    is_all = filters.since is None and filters.until is None
    return f"{start} to {end} UTC" + (", all that is loaded" if is_all else "")
