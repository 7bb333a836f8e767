"""``bedrock-usage export``: files for other programs, a month at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from etl.cli.shared.options import db_option, file_format_option, month_option
from etl.clock import Clock
from etl.export.formats import WRITERS
from etl.export.months import Month
from etl.export.run import Wanted, export_files, export_to
from etl.export.teams import LEAVE, RULES
from etl.show.escaping import exact_output
from etl.show.export import describe
from etl.warehouse.database import open_warehouse

_STDOUT = "-"


@click.group()
def export() -> None:
    """Write usage, team charges, FOCUS or prices to files, a month each.

    Money is exact decimal text. In a folder, each file has a manifest with its rows, sums and hash,
    the days that it covers and what could not be read (docs/exports.md).
    """


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that all exports have."""
    output = click.option(
        "--output",
        metavar="FOLDER",
        default=_STDOUT,
        show_default=True,
        help="The folder for a file a month, with its manifest; - writes one month to stdout.",
    )
    force = click.option(
        "--force",
        is_flag=True,
        help="Also replace files that were changed since they were exported.",
    )
    month = month_option("A month, UTC; repeatable. [default: the last one that is over]")
    for option in (db_option, force, output, file_format_option(*WRITERS), month):
        command = option(command)
    return command


@export.command("usage")
@_options
def usage_command(**options: Any) -> None:
    """Export usage and cost by day.

    A row for each day, account, region, model, user, application, team and data source, as in the
    view usage_cost_daily.
    """
    _export("usage", **options)


@export.command("teams")
@click.option(
    "--unallocated",
    type=click.Choice(RULES),
    default=LEAVE,
    show_default=True,
    help="Leave the cost of no team, or spread it over the teams by their costs or evenly.",
)
@_options
def teams_command(unallocated: str, **options: Any) -> None:
    """Export what each team owes: by team, application and user.

    The costs of (unattributed) and (no team) are rows of their own, or spread over the teams by
    --unallocated. What a row gets of each is in a column of its own; charge_usd is the cost with
    it, so charges add up to the cost of the month.
    """
    _export("teams", {"unallocated": unallocated}, **options)


@export.command("focus")
@_options
def focus_command(**options: Any) -> None:
    """Export cost as FOCUS 1.2, with users, applications and teams.

    Days that AWS's bill has for good have its charges; others have our costs. x_CostSource says
    which, and no row has an invoice.
    """
    _export("focus", **options)


@export.command("prices")
@_options
def prices_command(**options: Any) -> None:
    """Export the rates in force, for `prices import`."""
    _export("prices", **options)


def _export(
    name: str,
    chosen: dict[str, Any] | None = None,
    *,
    month: tuple[str, ...],
    format_: str,
    output: str,
    force: bool,
    db: Path,
) -> None:
    now = Clock().now()
    months = [Month.parse(one) for one in sorted(set(month))] or [Month.before(now.date())]
    wanted = Wanted(name, format_, chosen or {})
    if output == _STDOUT and len(months) > 1:
        raise click.UsageError("several months need files: name a folder with --output")
    with open_warehouse(db) as warehouse:
        if output == _STDOUT:
            with exact_output(is_text=format_ != "parquet") as file:
                written = [export_to(warehouse, wanted, months[0], file, now)]
        else:
            written = export_files(warehouse, wanted, months, Path(output), now=now, force=force)
    for one in written:
        for line in describe(one.name, one.manifest):
            click.echo(line, err=True)
