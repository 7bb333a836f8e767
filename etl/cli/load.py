"""``bedrock-usage load``: ingest files."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlite_utils import Database

from etl.cli.options import config_option, db_option
from etl.config import Config, load_config
from etl.errors import BedrockUsageError
from etl.load import LoadResult, load_files
from etl.sources.files import walk_files
from etl.warehouse.attribution import apply_application_tag, apply_config
from etl.warehouse.database import open_warehouse
from etl.warehouse.demo import is_demo
from etl.warehouse.load import Reject

MESSAGES_SHOWN = 20

DEFAULTS = Config()


class _PathOrRefusal(click.Path):
    """A path that exists; an s3:// address gets an answer that helps."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        if str(value).startswith("s3://"):
            self.fail(f"copy it first: aws s3 sync {value} FOLDER, then load FOLDER", param, ctx)
        return Path(str(super().convert(str(value), param, ctx)))


@click.command()
@click.argument("paths", nargs=-1, required=True, type=_PathOrRefusal(exists=True))
@config_option
@db_option
def load(paths: tuple[Path, ...], config: Path | None, db: Path) -> None:
    """Load CloudTrail logs and other saved data from files and folders.

    Reads CloudTrail log files, saved lookup-events pages, CloudWatch totals (a GetMetricData
    answer or a CSV) and inference profiles; the format is told from the content. Loading the same
    thing again changes nothing.
    """
    settings = load_config(config)
    with open_warehouse(db, create=True) as warehouse:
        refuse_demo(warehouse, db)
        apply_configuration(warehouse, settings, config)
    result = load_with_progress(paths, db, settings)
    click.echo(summary(result), err=True)
    if result.rejected:
        sys.exit(1)


def refuse_demo(warehouse: Database, db: Path) -> None:
    """Raise BedrockUsageError if the warehouse holds the demo, which nothing else may join."""
    if is_demo(warehouse):
        raise BedrockUsageError(
            f"{db} holds the demo's data: delete it first, or load into another file with --db"
        )


def apply_configuration(warehouse: Database, config: Config, file: Path | None) -> None:
    """Make the file's rules and aliases those of the warehouse; tell what that changed.

    Without a file (None) the warehouse keeps what it has.
    """
    if file is None:
        return
    apply_application_tag(warehouse, config.application_tag)
    changed = apply_config(warehouse, config.application_rules, config.user_aliases).calls_changed
    if changed:
        calls = "1 call" if changed == 1 else f"{changed:,} calls"
        click.echo(f"{calls} attributed anew: the application rules changed", err=True)


def load_with_progress(paths: tuple[Path, ...], db: Path, config: Config = DEFAULTS) -> LoadResult:
    """Load with a progress bar if stderr is a terminal; tell each of the first rejects there."""
    console = Console(stderr=True, highlight=False)
    shown = 0

    def tell(reject: Reject) -> None:
        nonlocal shown
        shown += 1
        if shown <= MESSAGES_SHOWN:
            console.print(
                f"{reject.file}, {reject.position}: {reject.reason}", markup=False, soft_wrap=True
            )

    columns = (
        TextColumn("Loading"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files"),
        TimeRemainingColumn(),
    )
    with (
        open_warehouse(db, create=True) as warehouse,
        Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as progress,
    ):
        total = sum(1 for _ in walk_files(paths)) if console.is_terminal else None
        task = progress.add_task("", total=total)
        result = load_files(
            warehouse,
            paths,
            on_reject=tell,
            on_file=lambda _: progress.advance(task),
            application_tag=config.application_tag,
        )
    if shown > MESSAGES_SHOWN:
        console.print(f"... and {shown - MESSAGES_SHOWN:,} more, all in the table rejects")
    return result


def summary(result: LoadResult) -> str:
    """Say what a load came to."""
    written = result.written
    lines = [
        f"Files             {result.files:,}",
        f"Events read       {result.events_read:,}",
        f"Bedrock calls     {written.calls_new:,} new ({written.calls_with_tokens:,} with tokens),"
        f" {written.calls_known:,} already known",
        f"Tokens attached   {written.tokens_attached:,} from service events"
        + (
            f", {written.tokens_pending:,} wait for their call"
            if written.tokens_pending > 0
            else ""
        ),
        f"Other events      {result.events_skipped:,} skipped",
        f"CloudWatch values {written.metric_values:,} new or changed"
        + (
            f", {result.metrics_skipped:,} of other metrics skipped"
            if result.metrics_skipped
            else ""
        ),
        f"Profiles          {written.profiles:,} new or changed",
        f"Rejected          {result.rejected:,}"
        + (" (table rejects says where and why)" if result.rejected else ""),
    ]
    return "\n".join(lines)
