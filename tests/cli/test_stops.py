"""SIGTERM gives the same message and status wherever it arrives."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlite_utils import Database

from etl.errors import STOPPED
from tests.cli.running import ROOT, run
from tests.rounds import rounds
from tests.support import call, write_log

# How to be struck at once: in the middle of whatever the command does first of all.
_AT = {
    "load": "etl.cli.load.load_config",
    "sync": "etl.cli.sync.load_config",
    "vacuum": "etl.cli.vacuum.plan_vacuum",
    "check": "etl.cli.check.run_checks",
    "demo": "etl.cli.demo.write_demo_logs",
    "report": "etl.show.report.usage",
    "status": "etl.cli.status.read_status",
    "serve": "etl.cli.serve.load_config",
    "serve ": "uvicorn.Server.run",
}
WORDS = {
    "load": ("load", "."), "sync": ("sync",), "vacuum": ("vacuum", "--dry-run"), "check": ("check",),
    "demo": ("demo", "--no-serve"), "report": ("report", "users"), "status": ("status",),
    "serve": ("serve", "--port", "0"), "serve ": ("serve", "--port", "0"),
}  # fmt: skip


@pytest.mark.parametrize("command", sorted(_AT))
def test_one_sentence_and_one_status(
    command: str, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.close()
    path = tmp_path / ("demo.db" if command == "demo" else "warehouse.db")

    def strike(*_: object, **__: object) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        from etl.config import Config

        return Config()

    monkeypatch.chdir(ROOT / "docs")
    monkeypatch.setattr(_AT[command], strike)
    before = signal.getsignal(signal.SIGTERM)
    status, out, err = run(*WORDS[command], "--db", path)
    assert signal.getsignal(signal.SIGTERM) is before
    # A server never ends by itself: a stop is its normal end.
    assert (status, out) == (0 if command.startswith("serve") else 1, "")
    assert err.splitlines()[-1] == STOPPED


def test_a_load_that_is_struck_at_any_moment_with_its_readers(tmp_path: Path) -> None:
    """As a system sends it: to every process of the group at once."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for part in range(18):
        write_log(
            folder / f"{part}.json", [call(part * 1000 + n, tokens=(n, 1)) for n in range(900)]
        )
    rng = random.Random(2)
    ends = set()
    count = rounds(3, 100)
    for attempt in range(count):
        process = subprocess.Popen(
            [sys.executable, "-m", "etl", "load", "--reread", str(folder), "--db", str(tmp_path / "w.db")],
            cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        time.sleep(0.15 + 1.35 * (attempt + rng.random()) / count)
        os.killpg(process.pid, signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        ends.add((process.returncode, err.splitlines()[-1] if process.returncode else ""))
    assert ends <= {(1, STOPPED), (0, "")}
    assert (1, STOPPED) in ends


def test_a_stop_that_comes_when_all_is_said_is_no_failure() -> None:
    """Python takes its last moments without our handlers."""
    ends = set()
    for attempt in range(rounds(4, 60)):
        process = subprocess.Popen(
            [sys.executable, "-m", "etl", "--version"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.0005 * attempt)
        process.terminate()
        _, err = process.communicate(timeout=60)
        ends.add((process.returncode, err))
    assert ends <= {(0, ""), (1, f"{STOPPED}\n")}
