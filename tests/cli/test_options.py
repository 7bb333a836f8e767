"""An option that several commands have is declared once, and takes the same everywhere."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from etl.cli import main
from etl.cli.shared.option_types import Day, Duration, HowFarBack
from tests.cli.running import ROOT, run

# One name for different things: a model of a report, part of a price's, OLD=NEW of the lab; many
# regions or the one of CloudWatch; many roles or one; many applications or the alarm's.
DIFFERENT = {
    "--accept",
    "--application",
    "--model",
    "--region",
    "--role-arn",
}
# The first day of a report, or how far back: both take 7d, a date and words.
DIFFERENT_TYPES = {*DIFFERENT, "--since"}

ACCEPTED = {
    Duration: "is not a duration; write a number with s, m, h or d, like 36h",
    HowFarBack: "is neither a duration like 90d (or s, m, h) nor a date like 2026-09-01",
    Day: "is not a date like 2026-09-01",
}


def declared(file: Path) -> set[str]:
    """Return the options that a file declares itself."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    return {
        word.value.partition("/")[0]
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "option"
        for word in call.args[:1]
        if isinstance(word, ast.Constant)
    }


def test_an_option_is_declared_in_one_file() -> None:
    files = defaultdict(set)
    for file in (ROOT / "etl" / "cli").rglob("*.py"):
        for option in declared(file):
            files[option].add(file.name)
    assert len(files) > 40
    assert {option for option, names in files.items() if len(names) > 1} == DIFFERENT


def options(
    command: click.Command = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Option]]:
    """Yield every option of every command, with the words of the command."""
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield path, parameter
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            below = command.get_command(click.Context(command), name)
            assert below is not None
            yield from options(below, (*path, name))


def test_what_two_commands_call_alike_takes_the_same() -> None:
    found: dict[str, set[Any]] = defaultdict(set)
    for _, option in options():
        kind = (type(option.type).__name__, option.is_flag, option.multiple)
        found[option.opts[0]].add(kind)
    assert {name for name, kinds in found.items() if len(kinds) > 1} <= DIFFERENT_TYPES


@pytest.mark.parametrize("kind", ACCEPTED)
def test_a_time_that_is_none_is_refused_with_what_is_accepted(kind: type) -> None:
    timed = [(path, option) for path, option in options() if type(option.type) is kind]
    assert len(timed) > 1
    for path, option in timed:
        (name,) = option.opts
        status, out, err = run(*path, name, "soon")
        assert (status, out) == (2, ""), path
        complaint = f"Error: Invalid value for '{name}': 'soon' {ACCEPTED[kind]}"
        assert err.splitlines()[-1].startswith(complaint)


def test_a_duration_may_have_a_least_and_says_why() -> None:
    for words in (("sync", "--every", "59s"), ("vacuum", "--keep-calls", "23h")):
        status, _, err = run(*words)
        assert status == 2
        assert f"Invalid value for '{words[1]}': must be at least 1" in err
