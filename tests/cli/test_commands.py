"""The other commands, and the program as a whole."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from etl.cli import main
from etl.cli.main import COMMANDS
from etl.errors import BedrockUsageError
from tests.cli.running import ROOT, run
from tests.rounds import long, some
from tests.support import call, dump, marked_demo, query, write_log


def test_help_of_every_command() -> None:
    status, out, _ = run("--help")
    assert status == 0
    for name in COMMANDS:
        assert f"\n  {name} " in out
        assert run(name, "--help")[0] == 0


def test_version() -> None:
    assert run("--version")[1].startswith("main, version ") or "version" in run("--version")[1]


@long
def test_the_demo_reports_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    db = tmp_path / "w.db"
    status, out, err = run("demo", "--no-serve", "--db", db)
    assert status == 0
    assert "Cost by application" in out
    assert "CustomerServiceApp" in out
    assert "Rejected          0" in err
    first = dump(db)
    status, again, err = run("demo", "--no-serve", "--db", db)
    assert (status, again) == (0, out)
    assert "already holds today's demo" in err
    assert dump(db) == first


@pytest.mark.parametrize("mark", some(["unfinished", "2001-01-01"], 1))
def test_an_old_or_unfinished_demo_is_built_again_and_ends_today(tmp_path: Path, mark: str) -> None:
    db = marked_demo(tmp_path / "w.db", mark)
    status, out, _ = run("demo", "--no-serve", "--db", db)
    assert status == 0
    assert "CustomerServiceApp" in out
    ((newest,),) = query(db, "select max(event_time) from events")
    age = datetime.now(UTC) - datetime.fromisoformat(newest)
    assert 0 <= age.total_seconds() < 86_400 + 60
    log = write_log(tmp_path / "log.json", [call(1)])
    assert "holds the demo's data" in run("load", log, "--db", db)[2]


@long
def test_a_demo_cut_short_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_short(*_: object, **__: object) -> None:
        raise BedrockUsageError("cut short")

    db = tmp_path / "w.db"
    with monkeypatch.context() as patch:
        patch.setattr("etl.cli.demo.load_with_progress", cut_short)
        assert run("demo", "--no-serve", "--db", db)[0] == 1
    assert run("demo", "--no-serve", "--db", db)[0] == 0


def test_prices_are_listed_and_imported_in_one_form(tmp_path: Path) -> None:
    db = tmp_path / "w.db"
    status, out, _ = run("prices", "list", "--model", "claude-3-haiku", "--db", db)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert status == 0
    assert {row["model_id"] for row in rows} == {"anthropic.claude-3-haiku-20240307-v1:0"}
    file = tmp_path / "own.csv"
    file.write_text(out)
    status, _, err = run("prices", "import", file, "--db", db)
    assert (status, err) == (0, f"{len(rows)} rates imported\n")


def test_a_wrong_price_file_is_status_1_and_says_the_line(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("a,b\n1,2\n")
    status, _, err = run("prices", "import", file, "--db", tmp_path / "w.db")
    assert status == 1
    assert "own.csv: no column model_id" in err


@pytest.mark.parametrize("width", [50, 80, 120])
def test_the_list_of_commands_says_what_the_commands_say(width: int) -> None:
    ctx = click.Context(main)
    formatters = [click.HelpFormatter(width=width), click.HelpFormatter(width=width)]
    main.format_commands(ctx, formatters[0])
    click.Group.format_commands(main, ctx, formatters[1])  # asks every command
    shown, own = (formatter.getvalue() for formatter in formatters)
    assert shown == own
    assert len(shown.splitlines()) > len(COMMANDS)


def test_help_imports_no_command_and_no_command_imports_what_it_may_not_need() -> None:
    """Datasette takes a second and makes tracebacks print variables; boto3 takes a third of one."""
    code = f"""
import sys
import click
from etl.cli import main

main(["--help"], standalone_mode=False)
COMMANDS = {list(COMMANDS)}
names = [f"etl.cli.{{name}}" for name in COMMANDS]
print("imported:", [name for name in names if name in sys.modules])
context = click.Context(main)
for name in COMMANDS:
    main.get_command(context, name)
heavy = ("boto3", "botocore", "datasette", "numpy", "urllib3", "uvicorn")
print("imported:", [name for name in sys.modules if name.startswith(heavy)])
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "  demo         Build a sample" in result.stdout
    assert re.findall("^imported: (.*)$", result.stdout, re.MULTILINE) == ["[]", "[]"]
