"""Run ``bedrock-usage`` as a user does, within the process of the tests."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from etl.cli import main

# Where ``python -m etl`` is started from.
ROOT = Path(__file__).parents[2]


def run(*words: object) -> tuple[int, str, str]:
    """Return a command's exit status, stdout and stderr; errors it does not handle are raised."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr
