"""``bedrock-usage report``: the numbers in a terminal."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from etl.cli.shared.option_types import Day
from etl.cli.shared.options import db_option, format_option, region_option
from etl.show import numbers
from etl.show.prices import print_gaps
from etl.show.report import KINDS, build_report, print_report
from etl.warehouse.database import open_warehouse
from etl.warehouse.read.prices import price_gaps
from etl.warehouse.read.reports import Filters, guardrails

GAPS = "gaps"


@click.command()
@click.argument("kind", type=click.Choice([*KINDS, GAPS]))
@click.option("--since", type=Day(), metavar="DATE", help="First day, UTC.")
@click.option("--until", type=Day(), metavar="DATE", help="Last day, UTC (included).")
@region_option("Only this region; repeatable.")
@click.option("--model", multiple=True, help="Only this model, by any of its ids; repeatable.")
@click.option("--user", multiple=True, help="Only this user; repeatable.")
@click.option("--application", multiple=True, help="Only this application; repeatable.")
@click.option("--breakdown", is_flag=True, help="Also show regions and models under each name.")
@click.option("--list", "with_list", is_flag=True, help="Also show the cost at list price.")
@format_option("csv")
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
    with_list: bool,
    format_: str,
    db: Path,
) -> None:
    """Report usage and cost by user, application, model, region or day.

    Without dates, a report covers everything loaded. Costs are in USD, with your own rates and
    discounts. --list puts the list cost, and what you save, next to them; JSON and CSV always have
    it, in list_cost_usd. gaps is the usage without a price, with the price that it nearly matches
    and what would price it.
    """
    if breakdown and kind not in ("users", "applications"):
        raise click.UsageError("--breakdown works only with users and applications")
    if with_list and kind in ("coverage", GAPS):
        raise click.UsageError(f"--list does not work with {kind}, which has no costs")
    if kind == GAPS and (user or application):
        raise click.UsageError("gaps has no users and no applications")
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
        if kind == GAPS:
            rows = price_gaps(warehouse, filters)
            print_gaps(rows, format_, numbers.guardrails(guardrails(warehouse, filters)))
            return
        built = build_report(warehouse, kind, filters, breakdown=breakdown, with_list=with_list)
        print_report(built, format_)
