"""Nonsense command lines: status 0, 1 or 2, a message, and never a traceback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.cli import main
from etl.clock import Clock
from etl.errors import StoppedError
from tests.rounds import rounds

NUMBERS = [
    "",
    "-1",
    "0",
    "1",
    "9" * 40,
    "1e9",
    "0.5",
    "nan",
    "Infinity",
    "1_000",
    "٣",
    "１",
    "0x10",
]
DAYS = [
    "2026-02-30",
    "0000-01-01",
    "0001-01-01",
    "9999-12-31",
    "2026-11-01",
    "20261101",
    "tomorrow",
]
SPANS = ["-5d", "0d", "5d", "30m", "99999999d", "1w", "d", "3660d", "3661d"]
PLACES = ["", ".", "..", "/", "/dev/null", "/dev/zero", "no/such", "no.db", "folder", "empty",
          "binary", "text", "own.db", "x" * 5000, "~", "a\nb", "\udcff", "s3://", "s3://B!/x"]  # fmt: skip
WORDS = ["", " ", "*", "all", "us-east-1", "a=b", "=", "[red]", "\x1b[31m", "é", "%s", "{}", "--",
         "0.0.0.0/1", "::1", "0.0.0.0", "999.1.1.1", "arn:aws:iam::1:role/x",
         "arn:aws:iam::111122223333:role/x", "table", "json"]  # fmt: skip
VALUES = st.sampled_from([*NUMBERS, *DAYS, *SPANS, *PLACES, *WORDS])

# Those that would serve, or go on for ever, once everything else is right.
ENDLESS = {("serve",): ["--port", "70000"], ("demo",): ["--port", "70000"]}


def commands(
    command: click.Command = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(click.Context(command)):
        below = command.get_command(click.Context(command), name)
        assert below is not None
        yield from commands(below, (*path, name))


COMMANDS = list(commands())


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Draw a command, some of its options and arguments as it declares them, with any values."""
    path, command = draw(st.sampled_from(COMMANDS))
    line = list(path)
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            most = 3 if parameter.nargs == -1 else 1
            line += draw(st.lists(value_of(parameter), max_size=most))
        elif isinstance(parameter, click.Option) and draw(st.integers(0, 2)) == 0:
            if parameter.name == "every":
                continue
            line.append(draw(st.sampled_from([*parameter.opts, *parameter.secondary_opts])))
            if not parameter.is_flag:
                line.append(draw(value_of(parameter)))
    return line + ENDLESS.get(path, [])


def value_of(parameter: click.Parameter) -> st.SearchStrategy[str]:
    if isinstance(parameter.type, click.Choice):
        return st.sampled_from(list(map(str, parameter.type.choices))) | VALUES
    if isinstance(parameter.type, click.Path):
        return st.sampled_from(PLACES) | VALUES
    return VALUES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, empty_warehouse: Path) -> Iterator[Path]:
    """A folder with everything that a path may lead to, and no AWS to reach."""
    place = tmp_path_factory.mktemp("lines")
    (place / "folder").mkdir()
    (place / "empty").touch()
    (place / "binary").write_bytes(bytes(range(256)) * 10)
    (place / "text").write_text("[a\n{'b'\n")
    shutil.copy(empty_warehouse, place / "own.db")

    def no_sleep(*_: Any) -> None:
        raise StoppedError("stopped")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(Clock, "sleep", no_sleep)
        for name, value in {
            "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1", "HOME": str(place), "BEDROCK_USAGE_DB": "no.db",
        }.items():  # fmt: skip
            patch.setenv(name, value)
        yield place


@settings(max_examples=rounds(25, 400), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=command_lines())
def test_any_command_line_ends_with_a_status_and_a_message(folder: Path, line: list[str]) -> None:
    for left in folder.glob("no.db*"):
        left.unlink()
    result = CliRunner().invoke(main, line)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 1, 2)
    said = result.stdout + result.stderr
    assert "Traceback" not in said
    assert all(one.isprintable() for one in said.split("\n"))
    if result.exit_code:
        assert result.stderr.strip() or said.strip()
    assert list((folder / "folder").iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        ["inspect", "\udcff"],
        ["report", "users", "--user", "\udcff"],
        ["lab", "traffic", "--dry-run", "--model", "\udcff=x"],
        ["prices", "list", "--model", "\udcff"],
        ["policy", "--trust", "\udcff"],
    ],
)
def test_bytes_that_are_no_text_are_refused(folder: Path, line: list[str]) -> None:
    result = CliRunner().invoke(main, [*line, *([] if line[0] == "policy" else ["--db", "own.db"])])
    assert result.exit_code == 2
    assert "\\udcff" in result.stderr


def test_days_after_all_that_is_loaded_make_a_range(folder: Path) -> None:
    line = ["report", "users", "--db", "own.db", "--since", "9999-12-31"]
    assert CliRunner().invoke(main, line).exit_code == 0
