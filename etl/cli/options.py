"""Options that several commands share, each declared once.

What differs from command to command is its help: what the option does there. An option of one name
that means different things (``--model`` of a report, of a price list, of the lab) is its command's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from etl.cli.option_types import ArchiveFolder, HowFarBack, WarehousePath
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
    help="The warehouse.",
)


def _or_default(_: click.Context, __: click.Parameter, file: Path | None) -> Path | None:
    """Return the file that was named, else the one in this folder, else None: there is none."""
    return file or (DEFAULT_PATH if DEFAULT_PATH.exists() else None)


config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_or_default,
    envvar="BEDROCK_USAGE_CONFIG",
    show_default=f"{DEFAULT_PATH}, if there is one",
    show_envvar=True,
    help="The configuration.",
)


def archive_option(help_: str) -> Decorator:
    """Add where raw events are kept."""
    return click.option("--archive", metavar="FOLDER", type=ArchiveFolder(), help=help_)


def format_option(*more: str) -> Decorator:
    """Add how an answer is printed: as a table or JSON, or in one of the forms that are named."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(["table", "json", *more]),
        default="table",
        show_default=True,
    )


def since_option(example: str, default: str) -> Decorator:
    """Add how far back to go; ``default`` is that of a first run."""
    text = f"How far back: {example}, or 2026-09-01. [default of the first run: {default}]"
    return click.option("--since", type=HowFarBack(), help=text)


def dry_run_option(help_: str) -> Decorator:
    """Add whether only to say what would be done."""
    return click.option("--dry-run", is_flag=True, help=help_)


def yes_option(help_: str) -> Decorator:
    """Add whether to go on without a question; ``etl.cli.consent`` asks it."""
    return click.option("--yes", is_flag=True, help=help_)


def profile_option(use: str = "") -> Decorator:
    """Add whose credentials are used; ``use``: what for, if not for all of the command."""
    return click.option("--profile", help=f"A profile of the AWS configuration{use}.")


def region_option(help_: str) -> Decorator:
    """Add one or more regions; each command says what it is about them."""
    return click.option("--region", multiple=True, help=help_)


source_option = click.option(
    "--source", multiple=True, type=click.Choice(NAMES), help="Only this source; repeatable."
)


def serve_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add where to serve."""
    host = click.option(
        "--host",
        default="127.0.0.1",
        show_default=True,
        help="An address of this machine; others than loopback need a login.",
    )
    port = click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=8001,
        show_default=True,
        help="0: any free one.",
    )
    return host(port(command))


_CHOICES: dict[str, Decorator] = {
    "region": region_option('Repeatable; or "all". [default: all]'),
    "source": source_option,
    "profile": profile_option(),
    "role_arn": click.option(
        "--role-arn", multiple=True, help="Read the account of this role instead; repeatable."
    ),
    "organization": click.option("--organization", is_flag=True, help="Read every account of it."),
    "role_name": click.option("--role-name", help="The role to assume in each account of it."),
}


def aws_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add which accounts, regions and sources of AWS to read; ``etl.cli.scope`` takes them."""
    return _choice_of(command, without=None)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same without the sources, for a command that asks one of them."""
    return _choice_of(command, without="source")


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same without the credentials, for a command that asks nothing of AWS."""
    return _choice_of(command, without="profile")


def _choice_of(command: Callable[..., Any], *, without: str | None) -> Callable[..., Any]:
    for name, option in reversed(_CHOICES.items()):
        command = command if name == without else option(command)
    return command
