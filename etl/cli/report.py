"""``bedrock-usage report``: the numbers in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import click
from sqlite_utils import Database

from etl.cli.shared.options import (
    against_option,
    days_options,
    db_option,
    format_option,
    region_option,
)
from etl.show import numbers
from etl.show.movers import print_movers
from etl.show.prices import print_gaps
from etl.show.quotas import print_quotas
from etl.show.report import KINDS, build_metadata_report, build_report, print_report
from etl.show.savings import print_savings
from etl.warehouse.database import open_warehouse
from etl.warehouse.read.prices import price_gaps
from etl.warehouse.read.reports import Filters, guardrails, movers, quotas, savings

GAPS, MOVERS = "gaps", "movers"


def _report_gaps(warehouse: Database, filters: Filters, format_: str) -> None:
    used = guardrails(warehouse, filters)
    lacks = used["unpriced_units"] or used["unknown_calls"]
    words = numbers.guardrails(used) if lacks else ""
    print_gaps(price_gaps(warehouse, filters), format_, words)


def _report_savings(warehouse: Database, filters: Filters, format_: str) -> None:
    print_savings(savings(warehouse, filters), format_)


def _report_quotas(warehouse: Database, filters: Filters, format_: str) -> None:
    print_quotas(*quotas(warehouse, filters), format_)


# What has other rows than costs.
OTHERS: Mapping[str, Callable[[Database, Filters, str], None]] = {
    GAPS: _report_gaps,
    "savings": _report_savings,
    "quotas": _report_quotas,
}


@click.command()
@click.argument("kind", type=click.Choice([*KINDS, *OTHERS, MOVERS]), required=False)
@click.option(
    "--by",
    metavar="NAME",
    help="Instead of KIND, metadata:KEY: by the values of a key of the request metadata ([metadata]"
    " in the configuration). With movers: application, user, team or model, only those.",
)
@days_options
@against_option
@region_option("Only this region; repeatable.")
@click.option(
    "--model", multiple=True, help="Only this model, by its name or any of its ids; repeatable."
)
@click.option("--user", multiple=True, help="Only this user; repeatable.")
@click.option("--application", multiple=True, help="Only this application; repeatable.")
@click.option("--team", multiple=True, help="Only this team; repeatable.")
@click.option("--breakdown", is_flag=True, help="Also show regions and models under each name.")
@click.option("--list", "with_list", is_flag=True, help="Also show the cost at list price.")
@click.option("--billed", "with_billed", is_flag=True, help="Also show what AWS billed.")
@format_option("csv")
@db_option
def report(
    kind: str | None,
    by: str | None,
    since: datetime | None,
    until: datetime | None,
    against: datetime | None,
    region: tuple[str, ...],
    model: tuple[str, ...],
    user: tuple[str, ...],
    application: tuple[str, ...],
    team: tuple[str, ...],
    breakdown: bool,
    with_list: bool,
    with_billed: bool,
    format_: str,
    db: Path,
) -> None:
    """Report usage and cost by user, application, team, model, region or day.

    Without dates, a report covers everything loaded; movers, the last seven days that are over.
    Costs are in USD, with your own rates and discounts. --list puts the list cost, and what you
    save, next to them; JSON and CSV always have it, in list_cost_usd. --by metadata:tenant reports
    by a key of the request metadata. gaps is the usage without a price, with the price that it
    nearly matches and what would price it. movers is what changed between two periods, cut into
    calls, tokens a call, their mix and prices. savings is what caching saved, and what other
    models, scopes and tiers would have cost; quotas is how near models are to their limits
    (docs/savings.md). --billed puts what AWS's bill charges next to the costs (docs/bill.md).
    """
    if since and until and since > until:
        raise click.UsageError("--since is after --until")
    filters = Filters(
        since=since.date().isoformat() if since else None,
        until=until.date().isoformat() if until else None,
        regions=region,
        models=model,
        users=user,
        applications=application,
        teams=team,
    )
    if kind == MOVERS:
        _refuse_with_movers(by, breakdown or with_list or with_billed)
        with open_warehouse(db) as warehouse:
            start = against.date().isoformat() if against else None
            print_movers(movers(warehouse, filters, by=by, against=start), format_)
        return
    key = _key_of(kind, by)
    _refuse_together(kind, key, against, breakdown=breakdown, listed=with_list, billed=with_billed)
    if kind == GAPS and (user or application or team):
        raise click.UsageError("gaps has no users, no applications and no teams")
    with open_warehouse(db) as warehouse:
        if kind is not None and kind in OTHERS:
            OTHERS[kind](warehouse, filters, format_)
        elif key is not None:
            built = build_metadata_report(warehouse, key, filters, with_list=with_list)
            print_report(built, format_)
        else:
            built = build_report(
                warehouse,
                str(kind),
                filters,
                breakdown=breakdown,
                with_list=with_list,
                with_billed=with_billed,
            )
            print_report(built, format_)


def _refuse_with_movers(by: str | None, has_others: bool) -> None:
    if by is not None and by not in numbers.MOVED:
        raise click.UsageError(f"--by {by}: with movers it is one of {', '.join(numbers.MOVED)}")
    if has_others:
        raise click.UsageError("movers has no --breakdown, --list and --billed")


def _key_of(kind: str | None, by: str | None) -> str | None:
    """Return the key of the request metadata that ``--by`` names instead of a kind, else None."""
    if (kind is None) == (by is None):
        raise click.UsageError(
            "Missing argument 'KIND'" if by is None else "--by replaces KIND, except for movers"
        )
    if by is None:
        return None
    name, colon, key = by.partition(":")
    if name != "metadata" or not colon or not key.strip():
        raise click.UsageError(f"--by {by}: name a key of the request metadata, metadata:tenant")
    return key.strip()


def _refuse_together(
    kind: str | None,
    key: str | None,
    against: datetime | None,
    *,
    breakdown: bool,
    listed: bool,
    billed: bool,
) -> None:
    """Refuse options that do not work with a report other than movers."""
    if against:
        raise click.UsageError("--against works only with movers")
    if breakdown and kind not in ("users", "applications", "teams"):
        raise click.UsageError("--breakdown works only with users, applications and teams")
    has_costs = kind not in ("coverage", *OTHERS)
    if listed and not has_costs:
        raise click.UsageError(f"--list does not work with {kind}, which has no costs")
    if billed and (key or not has_costs):
        raise click.UsageError(
            f"--billed does not work with coverage, {', '.join(OTHERS)} and --by"
        )
