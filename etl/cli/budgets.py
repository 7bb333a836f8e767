"""``bedrock-usage budgets``: what of each budget is spent, and is it exceeded?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from etl.cli.shared.judging import apply_configured_budgets, judge_budgets
from etl.cli.shared.options import config_option, db_option, format_option, profile_option
from etl.clock import Clock
from etl.config import load_config
from etl.show.budgets import not_judged, print_budgets
from etl.show.escaping import harmless
from etl.warehouse.database import open_warehouse
from etl.warehouse.read.budgets import CANNOT_BE_JUDGED, EXCEEDED, budget_states


@click.command()
@click.option("--no-send", is_flag=True, help="Send no messages; a later run sends what is new.")
@profile_option(" for SNS")
@format_option("csv")
@config_option
@db_option
def budgets(
    no_send: bool, profile: str | None, format_: str, config: Path | None, db: Path
) -> None:
    """Show what of each budget is spent, and whether it is exceeded.

    Budgets are [[budgets]] in the configuration (docs/budgets.md). What is new is recorded, and
    messages about it are sent; `bedrock-usage sync` does the same. Exit status 3: a budget is
    exceeded. 1: one cannot be judged, because what it needs to know is missing or old, or a message
    could not be sent.
    """
    settings, clock = load_config(config), Clock()
    with open_warehouse(db) as warehouse:
        apply_configured_budgets(warehouse, settings, config)
        is_sent = judge_budgets(warehouse, settings, clock, profile, _report, sends=not no_send)
        states = budget_states(warehouse, clock.now())
    if not states and format_ == "table":
        click.echo("No budgets: add [[budgets]] to the configuration (docs/budgets.md)", err=True)
        return
    print_budgets(states, format_)
    for line in not_judged(states):
        _report(line)
    current = {one["state"] for one in states if one["is_current"]}
    if EXCEEDED in current:
        sys.exit(3)
    sys.exit(1 if CANNOT_BE_JUDGED in current or not is_sent else 0)


def _report(line: str) -> None:
    click.echo(harmless(line), err=True)
