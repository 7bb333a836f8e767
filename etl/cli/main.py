"""The command ``bedrock-usage`` and how its errors look."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from etl.cli.long_work import LongWork
from etl.cli.signals import told_of_stops
from etl.cli.utf8 import refuse_bytes
from etl.errors import BedrockUsageError, ConfigError, OutputError
from etl.show.escaping import guarded_output, harmless
from etl.warehouse.long_work import observed

# In the order of a first use. Each is the command of its name in the module of its name, which is
# imported when it is called and not before: a load does not wait for what a server needs, and the
# list of all commands for none of them. So the first line of its help stands here as well.
COMMANDS = {
    "demo": "Build a sample warehouse from bundled logs, print the report, serve it.",
    "sync": "Fetch what is new from AWS.",
    "load": "Load CloudTrail logs, invocation logs and other saved data.",
    "report": "Report usage and cost by user, application, model, region or day.",
    "status": "Show how far AWS was read, how fresh that is, and what is missing.",
    "serve": "Serve the warehouse with Datasette, on this machine only unless there is a login.",
    "inspect": "Show how an event was understood, field by field.",
    "prices": "List the prices in use, or import your own.",
    "policy": "Print the least-privilege IAM policy, as JSON.",
    "doctor": "Check that AWS can be read, and say how to mend what is wrong.",
    "check": "Check that the file is whole and that its figures follow from its calls.",
    "vacuum": "Make the file smaller; drop the single calls of long ago, or forget a person,"
    " if asked to.",
    "upgrade": "Bring a warehouse that an earlier version made to this version's shape.",
    "lab": "Send known calls, and check that the warehouse tells them.",
    "monitor": "Show the figures live in CloudWatch: metrics, a dashboard, alarms.",
}


@contextmanager
def _on_one_line() -> Iterator[None]:
    """Let no word of the command line that an error quotes begin a line of its own."""
    try:
        yield
    except click.ClickException as error:
        error.message = harmless(error.message)  # type: ignore[misc]
        raise


class _Group(click.Group):
    """Commands in the order of a first use; the program's own errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            command = getattr(import_module(f"etl.cli.{cmd_name}"), cmd_name)
            refuse_bytes(command)
            self.add_command(command)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        stubs = [click.Command(name, help=text) for name, text in COMMANDS.items()]
        with formatter.section("Commands"):
            formatter.write_dl([(str(one.name), one.get_short_help_str(limit)) for one in stubs])

    def main(self, *args: Any, **options: Any) -> Any:
        with guarded_output():
            try:
                return super().main(*args, **options)
            except OutputError as error:
                # Of a help text: what a command writes is handled below.
                click.echo(f"Error: {error}", err=True)
                sys.exit(1)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _on_one_line():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with (
                _on_one_line(),
                told_of_stops(),
                observed(LongWork(lambda line: click.echo(line, err=True))),
            ):
                return super().invoke(ctx)
        except ConfigError as error:
            click.echo(f"Error: {harmless(error)}", err=True)
            sys.exit(2)
        except BedrockUsageError as error:
            for line in (f"Error: {error}", *getattr(error, "details", ())):
                click.echo(harmless(line), err=True)
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
