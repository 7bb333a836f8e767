"""``bedrock-usage doctor``: can AWS be read from here, and if not, what needs doing?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from etl.cli.shared.options import aws_options, config_option, format_option
from etl.cli.shared.scope import choose
from etl.clock import Clock
from etl.config import load_config
from etl.doctor.entry import examine
from etl.show.findings import FAILED, print_findings, to_json
from etl.show.terminal import open_console


@click.command()
@aws_options
@config_option
@format_option()
def doctor(config: Path | None, format_: str, **choice: Any) -> None:
    """Check that AWS can be read, and explain how to fix what is wrong.

    Makes the cheapest request for each permission, in each account and region, and writes nothing.
    """
    chosen = choose(load_config(config), **choice)
    console = open_console(stderr=True)
    with console.status("Checking AWS ..."):
        findings = examine(chosen, Clock())
    if format_ == "json":
        click.echo(to_json(findings))
    else:
        print_findings(findings, open_console())
    if any(finding.status == FAILED for finding in findings):
        sys.exit(1)
