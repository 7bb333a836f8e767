"""The command ``bedrock-usage`` and how its errors look."""

from __future__ import annotations

import sys
from typing import Any

import click

from etl.cli.check import check
from etl.cli.demo import demo
from etl.cli.doctor import doctor
from etl.cli.load import load
from etl.cli.policy import policy
from etl.cli.prices import prices
from etl.cli.report import report
from etl.cli.serve import serve
from etl.cli.status import status
from etl.cli.sync import sync
from etl.cli.vacuum import vacuum
from etl.errors import BedrockUsageError, ConfigError


class _Group(click.Group):
    """Commands in the order of a first use; the program's own errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(2)
        except BedrockUsageError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bedrock-usage")
def main() -> None:
    """Who, and which application, spends what on Amazon Bedrock?"""


for _command in (demo, sync, load, report, status, serve, prices, policy, doctor, check, vacuum):
    main.add_command(_command)
