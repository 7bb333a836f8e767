"""Options that several commands share, each declared once.

Only the help differs between commands: it says what the option does there. An option that shares a
name but not a meaning (``--model`` of a report, a price list, the lab) is declared by its command.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from etl.cli.shared.option_types import (
    ArchiveFolder,
    Day,
    HowFarBack,
    Month,
    WarehousePath,
)
from etl.config import DEFAULT_PATH
from etl.registry import NAMES

DEFAULT_DB = "bedrock_usage.db"

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

db_option = click.option(
    "--db",
    type=WarehousePath(dir_okay=False, path_type=Path),
    default=DEFAULT_DB,
    envvar="BEDROCK_USAGE_DB",
    show_default=True,
    show_envvar=True,
    help="The warehouse file.",
)


def other_db_option(help_: str) -> Decorator:
    """Add the warehouse for a command that needs none; the help says what it is used for."""
    type_ = WarehousePath(dir_okay=False, path_type=Path)
    return click.option("--db", type=type_, help=help_)


def _or_default(_: click.Context, __: click.Parameter, file: Path | None) -> Path | None:
    """Return the file named, else the one in this folder, else None."""
    return file or (DEFAULT_PATH if DEFAULT_PATH.exists() else None)


config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_or_default,
    envvar="BEDROCK_USAGE_CONFIG",
    show_default=f"{DEFAULT_PATH}, if it exists",
    show_envvar=True,
    help="The configuration file.",
)


def archive_option(help_: str) -> Decorator:
    """Add the option for where raw events are kept."""
    return click.option("--archive", metavar="FOLDER", type=ArchiveFolder(), help=help_)


def format_option(*more: str) -> Decorator:
    """Add the output format: table, json, and any others named."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(["table", "json", *more]),
        default="table",
        show_default=True,
        help="Output format.",
    )


def file_format_option(*formats: str) -> Decorator:
    """Add the format of a file; the first one is the default."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Format of the file.",
    )


def month_option(help_: str) -> Decorator:
    """Add one or more months; the help says what the command does without any."""
    return click.option("--month", type=Month(), multiple=True, metavar="YYYY-MM", help=help_)


def since_option(example: str, default: str) -> Decorator:
    """Add how far back to go; ``default`` applies to a first run."""
    text = (
        f"How far back: {example}, 2026-09-01, yesterday, last-week or last-month."
        f" [default on the first run: {default}]"
    )
    return click.option("--since", type=HowFarBack(), help=text)


def as_of_option(help_: str) -> Decorator:
    """Add the day to which prices are read or checked."""
    return click.option("--as-of", type=Day(is_last=True), metavar="DATE", help=help_)


against_option = click.option(
    "--against",
    type=Day(),
    metavar="DATE",
    help="With movers: the first of as many days to compare with.  [default: those just before]",
)


def days_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the first and the last day, with the ranges in words that ``Day`` takes."""
    since = click.option(
        "--since",
        type=Day(),
        metavar="DATE",
        help="First day, UTC: 2026-09-01, 7d (with today), yesterday, last-week, last-month.",
    )
    until = click.option(
        "--until",
        type=Day(is_last=True),
        metavar="DATE",
        help="Last day, UTC (included): a date, or the end of yesterday, last-week, last-month.",
    )
    return since(until(command))


def dry_run_option(help_: str) -> Decorator:
    """Add the flag to show what would be done and do nothing."""
    return click.option("--dry-run", is_flag=True, help=help_)


def yes_option(help_: str) -> Decorator:
    """Add the flag that answers yes in advance; ``etl.cli.shared.consent`` asks the question."""
    return click.option("--yes", is_flag=True, help=help_)


def profile_option(use: str = "") -> Decorator:
    """Add the AWS profile; ``use``: what for, if not for the whole command."""
    return click.option("--profile", help=f"The AWS profile to use{use}.")


def region_option(help_: str) -> Decorator:
    """Add one or more regions; the help says what the command does with them."""
    return click.option("--region", multiple=True, help=help_)


def output_option(metavar: str, help_: str, default: str | None = None) -> Decorator:
    """Add the place that files are written to; without a default it must be named."""
    return click.option(
        "--output",
        metavar=metavar,
        default=default,
        required=default is None,
        show_default=default is not None,
        help=help_,
    )


def again_option(help_: str) -> Decorator:
    """Add a flag to do what was done before; the help says what that is."""
    return click.option("--again", "is_again", is_flag=True, help=help_)


source_option = click.option(
    "--source", multiple=True, type=click.Choice(NAMES), help="Only this source; repeatable."
)


def serve_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the address and port to serve on."""
    host = click.option(
        "--host",
        default="127.0.0.1",
        show_default=True,
        help="The address to listen on; anything but loopback needs a login.",
    )
    port = click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=8001,
        show_default=True,
        help="The port to listen on; 0 picks a free one.",
    )
    return host(port(command))


_CHOICES: dict[str, Decorator] = {
    "region": region_option('A region, or "all"; repeatable. [default: all]'),
    "source": source_option,
    "profile": profile_option(),
    "role_arn": click.option(
        "--role-arn",
        multiple=True,
        help="Assume this role and read its account instead; repeatable.",
    ),
    "organization": click.option(
        "--organization", is_flag=True, help="Read every account of the organisation."
    ),
    "role_name": click.option(
        "--role-name", help="The role to assume in each account of the organisation."
    ),
}


def aws_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the AWS accounts, regions and sources to read; ``etl.cli.shared.scope`` resolves them."""
    return _choice_of(command, without=None)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same without the sources, for a command that reads only one of them."""
    return _choice_of(command, without="source")


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same without the credentials, for a command that makes no AWS requests."""
    return _choice_of(command, without="profile")


def _choice_of(command: Callable[..., Any], *, without: str | None) -> Callable[..., Any]:
    for name, option in reversed(_CHOICES.items()):
        command = command if name == without else option(command)
    return command
