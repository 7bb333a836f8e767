"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

DEFAULT_DB = "bedrock_usage.db"

db_option = click.option(
    "--db",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_DB,
    envvar="BEDROCK_USAGE_DB",
    show_default=True,
    show_envvar=True,
    help="The warehouse.",
)


def serve_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add where to serve."""
    host = click.option(
        "--host", default="127.0.0.1", show_default=True, help="A loopback address."
    )
    port = click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=8001,
        show_default=True,
        help="0: any free one.",
    )
    return host(port(command))
