"""Ask before money is spent or something is deleted."""

from __future__ import annotations

import sys

import click

from etl.errors import BedrockUsageError


def is_agreed(question: str, yes: bool) -> bool:
    """Ask, unless ``yes`` has answered already; without a terminal the answer is no."""
    if yes:
        return True
    if not is_interactive():
        click.echo(f"{question} Not a terminal, so no one was asked: pass --yes to agree", err=True)
        return False
    try:
        return click.confirm(question, err=True)
    except click.Abort:  # Ctrl-C, or the end of the input
        click.echo("", err=True)
        return False


def require_consent(question: str, yes: bool) -> None:
    """Ask the same where nothing may be done without a yes.

    Raises UsageError without a terminal, BedrockUsageError for a no.
    """
    if not yes and not is_interactive():
        raise click.UsageError(f"{question} Not a terminal: pass --yes to agree")
    if not is_agreed(question, yes):
        raise BedrockUsageError("not agreed: nothing was done")


def is_interactive() -> bool:
    """Return whether a person can answer a question."""
    return sys.stdin.isatty()
