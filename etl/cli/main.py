"""The command ``bedrock-usage``, and how its errors are printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from etl.cli.shared.long_work import LongWork
from etl.cli.shared.signals import reported_stops
from etl.cli.shared.utf8 import refuse_bytes
from etl.errors import BedrockUsageError, ConfigError, OutputError
from etl.show.escaping import guarded_output, harmless
from etl.warehouse.long_work import observed

# In the order of first use. Each command is in the module of the same name, which is imported only
# when the command is called: a load does not wait for what a server needs, and listing the commands
# imports none of them. So the first line of each command's help is repeated here (DECISIONS 142).
COMMANDS = {
    "demo": "Build a sample warehouse from bundled logs, print its reports and serve it.",
    "sync": "Fetch new usage data from AWS.",
    "load": "Load CloudTrail logs, invocation logs and other saved data.",
    "rollup": "Count logs by hour and caller, into files that `load-rollup` loads.",
    "load-rollup": "Load a rollup that `rollup` made, or a result of Amazon Athena.",
    "athena-sql": "Print the SQL by which Amazon Athena counts logs for `load-rollup`.",
    "report": "Report usage and cost by user, application, team, model, region or day.",
    "reconcile": "Compare AWS's bill with our figures, and explain the difference.",
    "budgets": "Show what of each budget is spent, and whether it is exceeded.",
    "notify": "Send messages: a test, a digest, and what could not be sent before.",
    "export": "Write usage, team charges, FOCUS or prices to files, a month each.",
    "calibrate": "Share CloudWatch's totals by tokens per call.",
    "status": "Show how far AWS has been read, how fresh the data is, and what is missing.",
    "serve": "Serve the warehouse with Datasette; without a login, on this machine only.",
    "mcp": "Answer an agent's questions over stdin and stdout (Model Context Protocol).",
    "inspect": "Show how an event was interpreted, field by field.",
    "prices": "List prices and how they changed, check them, import your own, or take AWS's.",
    "policy": "Print the least-privilege IAM policy as JSON.",
    "doctor": "Check that AWS can be read, and explain how to fix what is wrong.",
    "check": "Check that the file is intact and its figures follow from its calls.",
    "vacuum": "Shrink the file; optionally drop old calls or forget a person.",
    "upgrade": "Upgrade a warehouse made by an earlier version.",
    "lab": "Send known calls and check that the warehouse reports them.",
    "monitor": "Show usage and cost live in CloudWatch: metrics, a dashboard, alarms.",
}


@contextmanager
def _on_one_line() -> Iterator[None]:
    """Keep an error that quotes the command line on one line."""
    try:
        yield
    except click.ClickException as error:
        error.message = harmless(error.message)  # type: ignore[misc]
        raise


@contextmanager
def _no_numpy() -> Iterator[None]:
    """Keep sqlite-utils from importing numpy and pandas, which only some commands need, later.

    It does so where they are installed, to store their types; no value here has one. Every command
    would start a tenth of a second later.
    """
    missing = [name for name in ("numpy", "pandas") if name not in sys.modules]
    # None makes an import fail as if the module were not installed.
    sys.modules.update(dict.fromkeys(missing))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


class _Group(click.Group):
    """Commands in the order of first use; the program's own errors have no traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            with _no_numpy():
                module = cmd_name.replace("-", "_")
                command = getattr(import_module(f"etl.cli.{module}"), module)
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
                # From printing a help text: what a command writes is handled below.
                click.echo(f"Error: {error}", err=True)
                sys.exit(1)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _on_one_line():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with (
                _on_one_line(),
                reported_stops(),
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
            raise  # click handles these
        except Exception as error:
            if os.environ.get("BEDROCK_USAGE_DEBUG") == "1":
                raise
            # Its type only: its message and the values in its traceback may be anyone's data.
            click.echo(
                f"Error: an unexpected error ({type(error).__name__}); what was committed is kept."
                " Please report it, with the output of the same command run with"
                " BEDROCK_USAGE_DEBUG=1. Check that output for private data first",
                err=True,
            )
            sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bedrock-usage")
def main() -> None:
    """Who, and which application, spends what on Amazon Bedrock?"""
