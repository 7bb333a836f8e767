"""``bedrock-usage sync``: fetch what is new from AWS."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl.cli.load import apply_configuration, refuse_demo
from etl.cli.options import archive_option, aws_options, config_option, db_option
from etl.cli.since import moment_of
from etl.cli.stops import endless, stops
from etl.clock import Clock
from etl.config import Config, load_config, parse_duration
from etl.errors import ConfigError
from etl.figures import count
from etl.output import harmless
from etl.sync.schedule import repeat
from etl.terminal import open_console
from etl.warehouse.database import open_warehouse
from etl.warehouse.lock import sync_lock
from etl.warehouse.turns import Patience

if TYPE_CHECKING:
    from etl.config import Choice
    from etl.sources.archive import Archive
    from etl.sync.options import SyncOptions
    from etl.sync.run import Outcome

SHORTEST_PERIOD = timedelta(minutes=1)


@click.command()
@click.option("--since", help="How far back: 90d, or 2026-09-01. [default of the first run: 90d]")
@click.option("--settle", help="How late an event may be delivered. [default: 60m]")
@click.option("--every", help="Go on for ever, so often: 15m.")
@archive_option(
    "Keep the raw events here as CloudTrail log files: a folder, or s3://bucket/prefix."
)
@click.option(
    "--archive-bodies", is_flag=True, help="Keep prompts and answers there too, where events have."
)
@aws_options
@config_option
@db_option
def sync(
    since: str | None,
    settle: str | None,
    every: str | None,
    archive: str | None,
    archive_bodies: bool,
    config: Path | None,
    db: Path,
    **choice: Any,
) -> None:
    """Fetch what is new from AWS.

    The first run reads the last day, then back to --since; a later run reads what came since. It
    may be stopped at any moment and goes on where it was.
    """
    period = _period(every)
    clock = Clock()
    with endless() if period else nullcontext(), stops(clock), sync_lock(db):
        if period is None:
            outcome, is_published = _run(
                db, clock, config, since, settle, archive, archive_bodies, choice
            )
            clock.check()
            sys.exit(0 if outcome.is_complete and is_published else 1)

        def run() -> bool:
            outcome, _ = _run(db, clock, config, since, settle, archive, archive_bodies, choice)
            return not outcome.may_pass

        repeat(
            run, period, clock, lambda message: click.echo(f"Error: {harmless(message)}", err=True)
        )
        clock.check()


def _period(text: str | None) -> timedelta | None:
    if text is None:
        return None
    period = parse_duration(text)
    if period < SHORTEST_PERIOD:
        raise ConfigError("--every must be at least 1m: CloudTrail itself takes minutes to deliver")
    return period


def _run(
    db: Path,
    clock: Clock,
    config_path: Path | None,
    since: str | None,
    settle: str | None,
    archive: str | None,
    archive_bodies: bool,
    choice: dict[str, Any],
) -> tuple[Outcome, bool]:
    """Do one whole sync, and publish where the file says so; tell what it came to.

    Returns whether what is published is complete as well.
    """
    from etl.cli.places import choose

    config = load_config(config_path)
    if archive_bodies:
        config = config.with_archive_bodies()
    chosen = choose(config, **choice)
    outcome = sync_chosen(db, clock, config, config_path, chosen, since, settle, archive)
    if outcome.is_stopped or not config.monitor.publish_after_sync:
        return outcome, True
    # Imported here because nearly nobody publishes.
    from etl.cli.monitor import publish_after_sync

    with open_warehouse(db, patience=Patience(check=clock.check)) as warehouse:
        return outcome, publish_after_sync(warehouse, config, clock, chosen.profile)


def sync_chosen(
    db: Path,
    clock: Clock,
    config: Config,
    config_path: Path | None,
    chosen: Choice,
    since: str | None = None,
    settle: str | None = None,
    archive: str | None = None,
) -> Outcome:
    """Do one whole sync of what is chosen, and show it. Who calls holds the lock."""
    # Imported here because boto3 takes longer to import than a report takes to print.
    from etl.cli.places import open_places
    from etl.cli.progress import progress_display
    from etl.cli.stores import open_roots
    from etl.sync.run import sync_places

    options = _options(config, chosen, since, settle, clock.now())
    with open_warehouse(db, create=True, patience=Patience(check=clock.check)) as warehouse:
        refuse_demo(warehouse, db)
        options = replace(options, archive=_open_archive(archive, config, chosen, clock))
        apply_configuration(warehouse, config, config_path)
        roots = open_roots(chosen, clock)
        places, lost = open_places(chosen, clock) if chosen.asked else ([], [])
        console = open_console(stderr=True)
        with progress_display(console) as display:
            outcome = sync_places(
                warehouse, places, clock, options, display, lost=lost, roots=roots
            )
    _tell(outcome)
    return outcome


def _open_archive(
    named: str | None, config: Config, choice: Choice, clock: Clock
) -> Archive | None:
    """Return where raw events are to be kept, once it is known that they can; None for nowhere.

    What the file names is for those runs that read the event history.
    """
    from etl.cli.stores import Stores

    if "cloudtrail" not in choice.sources:
        if named:
            raise click.UsageError(
                "--archive keeps what the event history gives: add --source cloudtrail"
            )
        return None
    folder = named or config.sync.archive
    if folder is None:
        return None
    archive = Stores(clock, choice.profile).archive_of(folder)
    archive.check()
    return archive


def _options(
    config: Config, choice: Choice, since: str | None, settle: str | None, now: datetime
) -> SyncOptions:
    from etl.sync.options import SyncOptions

    return SyncOptions(
        sources=choice.sources,
        since=moment_of(since or config.sync.since, now),
        settle=parse_duration(settle or config.sync.settle),
        application_tag=config.application_tag,
        metadata_key=config.application_metadata_key,
        log_group=choice.place_settings.get("log_group"),
        archive_bodies=config.sync.archive_bodies,
    )


def _tell(outcome: Outcome) -> None:
    """Say on stderr what a sync came to and what is left to do."""
    written = outcome.written
    lines = [
        f"Bedrock calls     {written.calls_new:,} new ({written.calls_with_tokens:,} with tokens)",
        f"CloudWatch values {written.metric_values:,} new or changed",
        f"Profiles, models  {written.profiles + written.models:,} new or changed",
    ]
    if written.events_archived:
        lines.append(f"Archived          {count(written.events_archived, 'event')}")
    if written.late_events:
        lines.append(f"Late              {written.late_events:,} came after the settle time")
    if outcome.rejected:
        lines.append(f"Rejected          {outcome.rejected:,} (table rejects says where and why)")
    lines += [f"Not read          {message}" for message in outcome.messages]
    for line in lines:
        click.echo(harmless(line), err=True)
