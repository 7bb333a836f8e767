"""``bedrock-usage mcp``: the reports as tools for an agent, over stdin and stdout."""

from __future__ import annotations

from pathlib import Path

import click

from etl.cli.shared.options import db_option
from etl.cli.shared.serving import run_agents
from etl.cli.shared.signals import endless
from etl.warehouse.database import open_warehouse


@click.command()
@db_option
def mcp(db: Path) -> None:
    """Answer an agent's questions over stdin and stdout (Model Context Protocol).

    Read only: costs, how they are calculated, coverage, gaps, the bill, and SQL. An agent starts
    this itself; `serve` also answers agents, from elsewhere too (docs/agents.md).
    """
    with endless():
        with open_warehouse(db):
            pass  # brings views and prices up to date before the first question
        run_agents(db)
