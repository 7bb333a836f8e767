"""What commands that fill a warehouse share: a load with progress, and the file's rules."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import click
from sqlite_utils import Database

from etl.cli.shared.calibrating import report_waiting
from etl.cli.shared.judging import apply_configured_budgets
from etl.config import Config
from etl.load.decoder.content import Keys
from etl.load.decoder.pool import Workers
from etl.load.run import LoadResult, load_files
from etl.normalise.rules import keys_of_tags
from etl.show.escaping import harmless
from etl.show.numbers import count
from etl.sources.stores import LocalStore, Store, StoredFile
from etl.warehouse.write.attribution import apply_application_tag, apply_config
from etl.warehouse.write.batch import Reject
from etl.warehouse.write.bills import apply_tolerance
from etl.warehouse.write.discounts import apply_discounts
from etl.warehouse.write.metadata_keys import apply_metadata_keys
from etl.warehouse.write.team_shares import apply_team_shares

MESSAGES_SHOWN = 20


def apply_configuration(warehouse: Database, config: Config, file: Path | None) -> None:
    """Apply the file's rules, names, discounts and budgets; report what that changed.

    Without a file (None) the warehouse keeps those it has.
    """
    if file is None:
        return
    apply_metadata_keys(warehouse, config.metadata.keys, config.metadata.max_values)
    changed = apply_rules(warehouse, config)
    if changed:
        click.echo(f"{count(changed, 'call')} reattributed: the rules changed", err=True)
        report_waiting(warehouse, lambda text: click.echo(text, err=True))
    if apply_team_shares(warehouse, config.team_shares):
        click.echo(
            f"{count(len(config.team_shares), 'shared application')} split by team", err=True
        )
    tolerated = config.reconcile
    apply_tolerance(warehouse, tolerated.millionths, tolerated.picodollars)
    if apply_discounts(warehouse, config.discounts):
        click.echo(
            f"{count(len(config.discounts), 'discount')} in force: costs have changed", err=True
        )
    apply_configured_budgets(warehouse, config, file)


def apply_rules(warehouse: Database, config: Config) -> int:
    """Apply the file's rules and names; return how many calls are attributed otherwise now."""
    apply_application_tag(warehouse, config.application_tag)
    return apply_config(
        warehouse,
        config.rules,
        config.user_aliases,
        config.project_names,
        config.team_settings,
    ).calls_changed


def reading_keys(config: Config) -> Keys:
    """Return how the file says to read."""
    return Keys(
        config.application_tag,
        config.application_metadata_key,
        config.source_addresses,
        config.team_metadata_key,
        (*config.metadata.keys, *keys_of_tags(config.rules)),
    )


def load_with_progress(
    warehouse: Database,
    paths: Iterable[str | Path],
    *,
    reread: bool = False,
    remember: bool = True,
    accept_on: str | None = None,
    workers: Workers | None = None,
    store_of: Callable[[str], Store] = lambda path: LocalStore(),
    check: Callable[[], None] = lambda: None,
    now: datetime | None = None,
) -> LoadResult:
    """Load, with a count on a terminal; report the first rejects on stderr."""
    shown = 0

    def report(reject: Reject) -> None:
        nonlocal shown
        shown += 1
        if shown <= MESSAGES_SHOWN:
            display.say(harmless(f"{reject.file}, {reject.position}: {reject.reason}"))

    with _display() as display:
        result = load_files(
            warehouse,
            paths,
            store_of=store_of,
            reread=reread,
            remember=remember,
            accept_on=accept_on,
            workers=workers,
            on_reject=report,
            check=check,
            on_file=display.step,
            now=now,
        )
    if shown > MESSAGES_SHOWN:
        click.echo(
            f"... and {shown - MESSAGES_SHOWN:,} more; all of them are in the table rejects",
            err=True,
        )
    return result


class _LoadDisplay(NamedTuple):
    """``say`` shows a line of text, ``step`` counts a file."""

    say: Callable[[str], None]
    step: Callable[[StoredFile], None]


@contextmanager
def _display() -> Iterator[_LoadDisplay]:
    """Yield the display of a load on stderr; only a terminal gets a count."""
    if not sys.stderr.isatty():
        yield _LoadDisplay(lambda text: click.echo(text, err=True), lambda file: None)
        return
    # Imported here: it takes a moment, and a scheduled load does not need it.
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from etl.show.terminal import open_console

    console = open_console(stderr=True)
    columns = (
        TextColumn("Loading"),
        SpinnerColumn(),
        TextColumn("{task.completed:,.0f} files"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[folder]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, folder="")
        yield _LoadDisplay(
            lambda text: console.print(text, soft_wrap=True),
            lambda file: progress.update(task, advance=1, folder=harmless(file.folder)),
        )
