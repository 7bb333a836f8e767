"""The command ``bedrock-usage`` and how its errors look."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from etl.errors import BedrockUsageError, ConfigError

# In the order of a first use. Each is the command of its name in the module of its name, imported
# when it is asked for: a load does not wait for what a server needs.
COMMANDS = (
    *("demo", "sync", "load", "report", "status", "serve"),
    *("inspect", "prices", "policy", "doctor", "check", "vacuum"),
    *("lab", "monitor"),
)


class _Group(click.Group):
    """Commands in the order of a first use; the program's own errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            self.add_command(getattr(import_module(f"etl.cli.{cmd_name}"), cmd_name))
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(2)
        except BedrockUsageError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(1)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click knows what to do
        except Exception as error:
            if os.environ.get("BEDROCK_USAGE_DEBUG") == "1":
                raise
            # Its kind only: its words, and the values on the way to it, may be anybody's.
            click.echo(
                f"Error: something that this program does not expect ({type(error).__name__});"
                " what was committed stands. Please report it with the output of the same command"
                " under BEDROCK_USAGE_DEBUG=1, after a look at what that shows",
                err=True,
            )
            sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bedrock-usage")
def main() -> None:
    """Who, and which application, spends what on Amazon Bedrock?"""
