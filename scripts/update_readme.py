"""Write what the README quotes from the program: every command's help, a report, the IAM policy.

    python -m scripts.update_readme [--check]

Each stands between a marker comment and the end of the block after it. ``--check`` writes nothing
and fails if anything is out of date; a test does the same.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from click.testing import CliRunner
from rich.console import Console

from etl.cli import main as program
from etl.cli.report import build_report
from etl.demo import write_demo_logs
from etl.load import load_files
from etl.report import print_table
from etl.warehouse.database import open_warehouse
from etl.warehouse.read import Filters

README = Path(__file__).parents[1] / "README.md"

# The day the demo in the README ends on; any would do.
DEMO_NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

_REPORT = re.compile(r"(?<=<!-- demo report -->\n\n)```text\n.*?```", re.DOTALL)
_POLICY = re.compile(r"(?<=<!-- policy -->\n\n)```json\n.*?```", re.DOTALL)
_HELP = re.compile(r"(?<=<!-- help -->\n\n).*?(?=\n\n## )", re.DOTALL)


def updated(text: str) -> str:
    """Return the README with the help texts and the report of today."""
    text = _REPORT.sub(lambda _: f"```text\n{_demo_report()}\n```", text)
    text = _POLICY.sub(lambda _: f"```json\n{_policy()}\n```", text)
    return _HELP.sub(lambda _: "\n\n".join(_help_texts()), text)


def _demo_report() -> str:
    shown = io.StringIO()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "logs"
        write_demo_logs(folder, DEMO_NOW)
        with open_warehouse(Path(name) / "demo.db", create=True) as db:
            load_files(db, [folder])
            report = build_report(db, "applications", Filters())
    print_table(report, Console(file=shown, width=114, highlight=False))
    lines = ("$ bedrock-usage report applications", *shown.getvalue().strip().splitlines())
    return "\n".join(line.rstrip() for line in lines)


def _policy() -> str:
    return CliRunner().invoke(program, ["policy"]).stdout.strip()


def _help_texts() -> Iterator[str]:
    root = click.Context(
        program,
        info_name="bedrock-usage",
        terminal_width=90,
        max_content_width=90,
        **program.context_settings,
    )
    yield _block(root)
    for name in program.list_commands(root):
        yield from _help_of(program.get_command(root, name) or program, name, root)


def _help_of(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    yield _block(context)
    for sub, subcommand in getattr(command, "commands", {}).items():
        yield from _help_of(subcommand, sub, context)


def _block(context: click.Context) -> str:
    return f"```text\n$ {context.command_path} --help\n{context.get_help()}\n```"


def main() -> None:
    """Update the README, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = README.read_text(encoding="utf-8")
    if parser.parse_args().check:
        sys.exit(text != updated(text) and "README.md is out of date: make docs")
    README.write_text(updated(text), encoding="utf-8")


if __name__ == "__main__":
    main()
