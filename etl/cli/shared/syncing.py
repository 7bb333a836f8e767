"""One whole sync of the selection, shown while it runs; ``sync`` and ``lab verify`` share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import click
from sqlite_utils import Database

from etl.cli.shared.loading import apply_configuration, reading_keys
from etl.cli.shared.option_types import moment_of
from etl.cli.shared.progress import progress_display
from etl.cli.shared.results import sync_lines
from etl.cli.shared.scope import open_places
from etl.cli.shared.stores import Stores, open_roots
from etl.clock import Clock
from etl.config import Choice, Config, parse_duration, parse_since
from etl.normalise.rows import AccountName
from etl.show.terminal import open_console
from etl.sources.archive import Archive
from etl.sources.aws import Place
from etl.sync.options import SyncOptions
from etl.sync.run import SyncOutcome, sync_places
from etl.warehouse.database import open_warehouse
from etl.warehouse.demo import refuse_demo
from etl.warehouse.turns import Patience
from etl.warehouse.write.batch import Batch, Loader, Written
from etl.warehouse.write.teams import stored_units


def sync_chosen(
    db: Path,
    clock: Clock,
    config: Config,
    config_path: Path | None,
    chosen: Choice,
    since: timedelta | datetime | None = None,
    settle: timedelta | None = None,
    archive: str | None = None,
) -> SyncOutcome:
    """Do one whole sync of the selection, and show it. The caller holds the lock."""
    options = _options(config, chosen, since, settle, clock.now())
    with open_warehouse(db, create=True, patience=Patience(check=clock.check)) as warehouse:
        refuse_demo(warehouse, db)
        options = replace(options, archive=_open_archive(archive, config, chosen, clock))
        apply_configuration(warehouse, config, config_path)
        roots = open_roots(chosen, clock)
        places, lost = open_places(chosen, clock) if chosen.asked else ([], [])
        named = _store_account_names(warehouse, places)
        console = open_console(stderr=True)
        with progress_display(console) as display:
            outcome = sync_places(
                warehouse, places, clock, options, display, lost=lost, roots=roots
            )
    outcome.add(named, rejected=0)
    for line in sync_lines(outcome):
        click.echo(line, err=True)
    return outcome


def _store_account_names(warehouse: Database, places: Sequence[Place]) -> Written:
    """Store the names that an organization gives to its accounts: they may name teams.

    A unit that was not read stays as it is known.
    """
    accounts = {place.account_id: place.account for place in places}
    units = stored_units(warehouse)
    rows = [
        AccountName(
            account_id,
            account.name,
            units.get(account_id) if account.unit is None else account.unit or None,
        )
        for account_id, account in sorted(accounts.items())
        if account.name is not None
    ]
    return Loader(warehouse).write(Batch(renewed={"account_names": rows})) if rows else Written()


def _open_archive(
    named: str | None, config: Config, choice: Choice, clock: Clock
) -> Archive | None:
    """Return where to keep raw events, after checking that it works; None for nowhere.

    The archive that the file names applies to runs that read the event history.
    """
    if "cloudtrail" not in choice.sources:
        if named:
            raise click.UsageError(
                "--archive keeps events of the event history: add --source cloudtrail"
            )
        return None
    folder = named or config.sync.archive
    if folder is None:
        return None
    archive = Stores(clock, choice.profile).archive_of(folder)
    archive.check()
    return archive


def _options(
    config: Config,
    choice: Choice,
    since: timedelta | datetime | None,
    settle: timedelta | None,
    now: datetime,
) -> SyncOptions:
    if since is None and config.sync.since is not None:
        since = parse_since(config.sync.since)
    return SyncOptions(
        sources=choice.sources,
        since=moment_of(since, now),
        settle=parse_duration(config.sync.settle) if settle is None else settle,
        keys=reading_keys(config),
        log_group=choice.place_settings.get("log_group"),
        archive_bodies=config.sync.archive_bodies,
    )
