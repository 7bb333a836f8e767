"""The guard between the program and its streams."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from etl.errors import OutputError
from etl.show.escaping import guarded_output, harmless, json_text, show_csv
from etl.show.terminal import open_console, plain
from tests.rounds import crossed

ROOT = Path(__file__).parents[2]

# One of each kind that controls a terminal or hides text, and harmless characters.
HOSTILE = "\x00\x07\x08\t\r\x1b\x7f\x85\x9b\u00ad\u061c\u200b\u200e\u2028\u202e\u2066\ufeff\ud800\U000e0041"
TEXT = st.text(st.sampled_from(HOSTILE + "\n[red]/é漢\\") | st.characters(exclude_categories=[]))


def is_shown_whole(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


class Streams:
    """Two streams of a program, as they are of a process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8") -> None:
        self.raw = io.BytesIO()
        self.encoding = encoding
        for name in ("stdout", "stderr"):
            stream = io.TextIOWrapper(self.raw, encoding=encoding, write_through=True)
            monkeypatch.setattr(sys, name, stream)

    def text(self) -> str:
        return self.raw.getvalue().decode(self.encoding)


@given(TEXT)
def test_text_on_a_line_and_json_hold_nothing_that_steers(text: str) -> None:
    assert harmless(text).isprintable()
    written = json_text({"name": [text]})
    assert is_shown_whole(written)
    assert json.loads(written) == {"name": [text]}


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_whatever_is_written_is_harmless(encoding: str) -> None:
    """By print, click, logging, an error of click's or rich, in markup, a table or a panel."""

    @given(TEXT)
    def check(text: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            streams = Streams(patch, encoding)
            with guarded_output():
                print(text, file=sys.stdout)  # noqa: T201
                click.echo(text, err=True)
                logging.StreamHandler(sys.stderr).emit(
                    logging.LogRecord("x", 30, "x", 1, text, None, None)
                )
                click.UsageError(text).show()
                table = Table("name", text)
                table.add_row(text, Text(text), style="red")
                console = open_console()
                console.print(text, table, Panel(text, title=text), Text(f"x{text}"), plain(text))
            assert is_shown_whole(streams.text())

    check()


def test_an_escape_is_to_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    with guarded_output():
        open_console().print("[red]a\x1b[31m\u202e[/x]")
        open_console().print(plain("b\nc"))
    assert streams.text() == "[red]a\\x1b[31m\\u202e[/x]\nb\\nc\n"


def test_json_stays_json_where_the_encoding_lacks_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams = Streams(monkeypatch, "ascii")
    with guarded_output():
        click.echo(json_text({"é": "漢\U0001f600\x9b"}))
    assert json.loads(streams.text()) == {"é": "漢\U0001f600\x9b"}


def test_csv_is_exact_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    with guarded_output():
        show_csv("a\x1b,é")
    assert streams.text() == "a\x1b,é\n"
    streams = Streams(monkeypatch, "ascii")
    with guarded_output(), pytest.raises(OutputError, match="PYTHONIOENCODING=utf-8"):
        show_csv("é")
    streams = Streams(monkeypatch)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with guarded_output():
        show_csv("a\x1b,é")
    assert streams.text() == "a\\x1b,é\n"


class _Failing(io.RawIOBase):
    """A file on a full disk, or a pipe without a reader."""

    def __init__(self, code: int) -> None:
        self._code = code

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        raise OSError(self._code, os.strerror(self._code))


def _broken(code: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(_Failing(code)), encoding="utf-8")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EPIPE, errno.EIO])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_stdout_that_fails_late_ends_with_1(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", _broken(code))
    monkeypatch.setattr(sys, "stderr", said)
    with pytest.raises(SystemExit) as ended, guarded_output():
        show_csv("a,b")
    assert ended.value.code == 1
    said.seek(0)
    assert bool(said.read()) is (code != errno.EPIPE)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_stderr_that_fails_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", _broken(errno.ENOSPC))
    with guarded_output():
        for _ in range(3):
            click.echo("x" * 10_000, err=True)


def test_no_stream_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with guarded_output():
        click.echo("x")
        show_csv("x")
        open_console().print("x")


@pytest.mark.parametrize(
    ("command", "place"), crossed(["--help", "prices list"], ["/dev/full", "closed", "a pipe"])
)
def test_a_process_whose_stdout_takes_nothing(
    command: str, place: str, tmp_path: Path, empty_warehouse: Path
) -> None:
    """Whether or not Python buffers the output."""
    shutil.copy(empty_warehouse, tmp_path / "w.db")
    if place == "/dev/full" and not Path(place).exists():
        pytest.skip("no /dev/full here")
    line = (
        f"{sys.executable} -m etl {command} "
        + ({"/dev/full": "> /dev/full", "closed": ">&-", "a pipe": "| true"}[place])
    )
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "BEDROCK_USAGE_DB": str(tmp_path / "w.db"),
             "PYTHONUNBUFFERED": "1" if command == "--help" else ""},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode == (0 if place == "closed" else 1) or place == "a pipe"
    assert ("No space left" in done.stderr) is (place == "/dev/full")


def test_nothing_goes_past_the_guard() -> None:
    """No console but ours, and no stream below the guard; processes of their own have none, and
    before there is one, only a sentence of ours is written."""
    past = re.compile(r"\bConsole\(|sys\.__std|sys\.std(?:out|err)\.buffer|os\.write\([12]\b")
    found = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "etl").rglob("*.py")
        if past.search(file.read_text(encoding="utf-8"))
    }
    assert found == {"etl/__main__.py", "etl/load/decoder/process.py", "etl/web/vega_bundle.py"}
