"""Publish after a sync, without asking: only what the configuration agrees to."""

from __future__ import annotations

from collections.abc import Callable

from sqlite_utils import Database

from etl.clock import Clock
from etl.config import Config
from etl.errors import BedrockUsageError
from etl.monitor.cloudwatch import open_place
from etl.monitor.publish import Publisher, agree
from etl.monitor.show import result_lines
from etl.show.escaping import harmless


def publish_after_sync(
    warehouse: Database,
    config: Config,
    clock: Clock,
    profile: str | None,
    report: Callable[[str], None],
) -> bool:
    """Publish as configured; report the result, and return whether everything was published.

    A failure here does not affect the sync.
    """
    try:
        publisher = Publisher(warehouse, open_place(config, clock, profile=profile), config.monitor)
        plan = agree(publisher, publisher.plan(), None)
        result = publisher.run(plan)
    except BedrockUsageError as error:
        report(f"Not published     {harmless(error)}")
        return False
    for line in result_lines(plan, result):
        report(line)
    return not (result.left or plan.left_out)
