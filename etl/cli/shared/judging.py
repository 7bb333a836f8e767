"""Judge the budgets and send what is due: after a sync, and by ``budgets`` itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from sqlite_utils import Database

from etl.clock import Clock
from etl.config import Config
from etl.errors import BedrockUsageError, StoppedError
from etl.forecast.budgets import budget_forecast
from etl.notify.run import send_due, targets_for
from etl.show.budgets import crossing_line, most_of_each, without_usage
from etl.show.escaping import harmless
from etl.show.numbers import count
from etl.warehouse.alerts import ANOMALIES, record_alerts
from etl.warehouse.read.budgets import BUDGETS, unknown_names
from etl.warehouse.write.budgets import apply_budgets, record_budgets


def apply_configured_budgets(warehouse: Database, config: Config, file: Path | None) -> None:
    """Store the file's budgets; without a file the warehouse keeps those it has."""
    if file is not None and apply_budgets(warehouse, config.budgets):
        click.echo(f"{count(len(config.budgets), 'budget')} in force", err=True)


def judge_budgets(
    warehouse: Database,
    config: Config,
    clock: Clock,
    profile: str | None,
    report: Callable[[str], None],
    *,
    sends: bool = True,
) -> bool:
    """Record what is new of the budgets, and what is unusual; send it and what waits; report both.

    Returns whether every message that was due arrived. A failure here does not affect a sync.
    """
    targets = targets_for(config, BUDGETS)
    new = record_budgets(warehouse, clock.now(), budget_forecast(warehouse), targets)
    for row in most_of_each([one._asdict() for one in new]):
        report(harmless(f"Budget            {crossing_line(row)}"))
    for line in without_usage(unknown_names(warehouse)):
        report(harmless(line))
    unusual = record_alerts(warehouse, clock.now(), targets_for(config, ANOMALIES))
    if unusual:
        report(f"Unusual           {count(unusual, 'new finding')} (docs/watch.md)")
    if not sends:
        return True
    try:
        return send_due(warehouse, config, clock, profile, lambda line: report(harmless(line)))
    except StoppedError:
        raise
    except BedrockUsageError as error:
        report(harmless(f"Not sent          {error}"))
        return False
