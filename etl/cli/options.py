"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from etl.config import DEFAULT_PATH, check_archive
from etl.errors import ConfigError
from etl.registry import NAMES

DEFAULT_DB = "bedrock_usage.db"


class WarehousePath(click.Path):
    """The path of a warehouse. What SQLite would take for something else is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(str(super().convert(value, param, ctx)))
        if str(path) == ":memory:":
            self.fail(f"{path}: a warehouse is a file, and not kept in memory", param, ctx)
        if str(path).startswith("file:"):
            self.fail(f"{path}: name the file by its path, without file:", param, ctx)
        return path


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


def _folder(_: click.Context, __: click.Parameter, uri: str | None) -> str | None:
    try:
        return uri if uri is None else check_archive(uri)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


def archive_option(help_: str) -> Callable[..., Any]:
    """Add where raw events are kept."""
    return click.option("--archive", metavar="FOLDER", callback=_folder, help=help_)


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


_CHOICES = {
    "region": click.option("--region", multiple=True, help='Repeatable; or "all". [default: all]'),
    "source": click.option(
        "--source", multiple=True, type=click.Choice(NAMES), help="Only this source; repeatable."
    ),
    "profile": click.option("--profile", help="A profile of the AWS configuration."),
    "role_arn": click.option(
        "--role-arn", multiple=True, help="Read the account of this role instead; repeatable."
    ),
    "organization": click.option("--organization", is_flag=True, help="Read every account of it."),
    "role_name": click.option("--role-name", help="The role to assume in each account of it."),
}


def aws_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add which accounts, regions and sources of AWS to read; ``etl.cli.places`` takes them."""
    for option in reversed(_CHOICES.values()):
        command = option(command)
    return command


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same without the sources, for a command that asks one of them."""
    for name, option in reversed(_CHOICES.items()):
        command = command if name == "source" else option(command)
    return command


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same without the credentials, for a command that asks nothing of AWS."""
    for name, option in reversed(_CHOICES.items()):
        command = command if name == "profile" else option(command)
    return command
