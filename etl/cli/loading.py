"""What the commands that fill a warehouse share: a load that shows itself, and the file's rules."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
from sqlite_utils import Database

from etl.config import Config
from etl.load.decoder.pool import Workers
from etl.load.run import LoadResult, load_files
from etl.show.escaping import harmless
from etl.sources.stores import LocalStore, Store, StoredFile
from etl.warehouse.write.attribution import apply_application_tag, apply_config
from etl.warehouse.write.batch import Reject

MESSAGES_SHOWN = 20


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


def load_with_progress(
    warehouse: Database,
    paths: Iterable[str | Path],
    *,
    reread: bool = False,
    remember: bool = True,
    workers: Workers | None = None,
    store_of: Callable[[str], Store] = lambda path: LocalStore(),
    check: Callable[[], None] = lambda: None,
) -> LoadResult:
    """Load, with a count on a terminal; tell each of the first rejects on stderr."""
    shown = 0

    def tell(reject: Reject) -> None:
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
            workers=workers,
            on_reject=tell,
            check=check,
            on_file=display.step,
        )
    if shown > MESSAGES_SHOWN:
        click.echo(f"... and {shown - MESSAGES_SHOWN:,} more, all in the table rejects", err=True)
    return result


class _LoadDisplay(NamedTuple):
    """``say`` shows a line of text, ``step`` that a file was read."""

    say: Callable[[str], None]
    step: Callable[[StoredFile], None]


@contextmanager
def _display() -> Iterator[_LoadDisplay]:
    """Yield what shows a load on stderr: only a terminal has a count."""
    if not sys.stderr.isatty():
        yield _LoadDisplay(lambda text: click.echo(text, err=True), lambda file: None)
        return
    # Here, because it takes a moment, in which a scheduled load would show nothing.
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


def summary(result: LoadResult) -> str:
    """Say what a load came to."""
    written = result.written
    lines = [
        f"Files             {result.files:,}"
        + (f", {result.files_unchanged:,} read before" if result.files_unchanged else ""),
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
    if written.calls_logged:
        lines.insert(3, f"Invocation logs   {written.calls_logged:,} told of known calls")
    if written.calls_too_old:
        lines.insert(
            3, f"Too old           {written.calls_too_old:,} left out: they were dropped before"
        )
    return "\n".join(lines)
