"""Ask before money is spent or something is deleted."""

from __future__ import annotations

import sys

import click

from etl.errors import BedrockUsageError


def is_agreed(question: str, yes: bool) -> bool:
    """Ask, unless the answer was given before (``yes``); nobody who can answer is a no."""
    if yes:
        return True
    if not is_interactive():
        click.echo(f"{question} Nobody is there to ask: --yes agrees", err=True)
        return False
    try:
        return click.confirm(question, err=True)
    except click.Abort:  # Ctrl-C, or the end of what was typed
        click.echo("", err=True)
        return False


def require_consent(question: str, yes: bool) -> None:
    """Ask the same of who may do nothing without a yes.

    Raises UsageError where nobody can be asked, BedrockUsageError for a no.
    """
    if not yes and not is_interactive():
        raise click.UsageError(f"{question} Nobody is there to ask: say --yes")
    if not is_agreed(question, yes):
        raise BedrockUsageError("not agreed: nothing was done")


def is_interactive() -> bool:
    """Return whether somebody can answer a question."""
    return sys.stdin.isatty()
