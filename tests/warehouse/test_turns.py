"""Writers take turns: none gives up, none is kept out, nothing is lost or counted twice."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from etl.errors import StoppedError, WarehouseError
from etl.normalise.cloudtrail import parse_event
from etl.normalise.rows import Event
from etl.normalise.rules import ApplicationRule
from etl.warehouse import turns
from etl.warehouse.database import open_warehouse
from etl.warehouse.turns import Patience, transaction
from etl.warehouse.upkeep.check import rebuild
from etl.warehouse.upkeep.vacuum import compact, drop_unused_names
from etl.warehouse.write.attribution import apply_config
from etl.warehouse.write.batch import Batch, Loader
from tests.rounds import rounds
from tests.support import call, dump, load, rows, write_log

ROOT = Path(__file__).parents[2]


def batch(number: int) -> Batch:
    day = 1 + number % 5
    event = parse_event(
        call(number, user=f"u{number % 3}", userAgent=f"a/{number}", tokens=(number, 1),
             eventTime=f"2026-11-{day:02}T09:00:00Z")
    )  # fmt: skip
    assert isinstance(event.row, Event)
    return Batch(events=[event.row])


def told(path: Path) -> object:
    """Return what users see of the calls, independent of the keys of names."""
    with open_warehouse(path) as db:
        return {
            name: sorted(rows(db, f"select * from {name}"), key=repr)
            for name in ("calls", "user_costs", "application_costs", "daily_costs")
        }


def rules(db: Database) -> None:
    apply_config(db, [ApplicationRule(application="Search", user="u1")], {"u2": "zoe"})


BESIDE: dict[str, Callable[[Database], object]] = {
    "vacuum": lambda db: (drop_unused_names(db), compact(db)),
    "check --rebuild": rebuild,
    "rules": rules,
    "a load": lambda db: Loader(db).write(batch(7)),
}


@pytest.mark.parametrize("seed", range(rounds(1, 60)))
def test_between_two_batches_others_may_have_written_anything(tmp_path: Path, seed: int) -> None:
    """Two loaders in turn, and commands in between; a loader's caches are never wrong."""
    rng = random.Random(seed)
    numbers = [7, *(rng.randrange(40) for _ in range(24))]
    with (
        open_warehouse(tmp_path / "w.db", create=True) as one,
        open_warehouse(tmp_path / "w.db") as other,
        open_warehouse(tmp_path / "w.db") as third,
    ):
        loaders = [Loader(one), Loader(other)]
        for number in numbers:
            rng.choice(loaders).write(batch(number))
            if rng.random() < 0.3:
                BESIDE[rng.choice(sorted(BESIDE))](third)
        rules(third)
        assert rows(third, "pragma foreign_key_check") == []
    with open_warehouse(tmp_path / "clean.db", create=True) as db:
        rules(db)
        for number in numbers:
            Loader(db).write(batch(number))
    assert told(tmp_path / "w.db") == told(tmp_path / "clean.db")


def test_two_loads_at_once_on_a_warehouse_that_is_not_there_yet(tmp_path: Path) -> None:
    logs = [
        write_log(tmp_path / f"{part}.json", [call(n, tokens=(n, 1)) for n in numbers])
        for part, numbers in (("a", range(0, 150)), ("b", range(100, 250)))
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "etl", "load", str(log), "--db", str(tmp_path / "w.db")],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )
        for log in logs
    ]  # fmt: skip
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]
    assert [status for _, status in ends] == [0, 0], ends
    with open_warehouse(tmp_path / "clean.db", create=True) as db:
        load(db, *logs)
    with open_warehouse(tmp_path / "w.db") as db, open_warehouse(tmp_path / "clean.db") as clean:
        for name in ("calls", "daily_costs"):
            assert sorted(rows(db, f"select * from {name}"), key=repr) == sorted(
                rows(clean, f"select * from {name}"), key=repr
            )


def test_one_who_writes_without_a_pause_lets_others_in(db: Database, tmp_path: Path) -> None:
    """A writer that retried as seldom as SQLite does would wait for minutes."""
    has_begun, is_over = threading.Event(), threading.Event()

    def write() -> None:
        with open_warehouse(tmp_path / "warehouse.db", patience=Patience()) as own:
            while not is_over.is_set():
                with transaction(own):
                    has_begun.set()
                    time.sleep(0.2)  # a batch is written in about as much
                time.sleep(0.015)  # and put together in no less

    thread = threading.Thread(target=write)
    thread.start()
    try:
        # Opening the file may take longer than all that follows.
        assert has_begun.wait(60)
        loader = Loader(db)
        began = time.monotonic()
        for number in range(5):
            loader.write(batch(number))
        assert time.monotonic() - began < 20
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize("is_long", [False, True])
def test_who_is_waited_for_is_said_once_and_a_stop_ends_it(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_long: bool
) -> None:
    monkeypatch.setattr(turns, "_REPORT_AFTER_SECONDS", 0.0 if is_long else 60.0)
    path = tmp_path / "warehouse.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", "import sqlite3, sys\n"
         "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
         "c.execute('begin immediate')\nprint('x', flush=True)\nsys.stdin.read()", str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert writer.stdout is not None
    writer.stdout.readline()
    said: list[str] = []
    looks = 0

    def check() -> None:
        nonlocal looks
        looks += 1
        if looks > 5:
            raise StoppedError("stopped")

    try:
        db.patience = Patience(check=check, report=said.append)  # type: ignore[attr-defined]
        with pytest.raises(StoppedError):
            Loader(db).write(batch(1))
        assert len(said) == is_long
        if is_long and sys.platform == "linux":
            assert f"process {writer.pid}" in said[0]
        monkeypatch.setattr("etl.warehouse.database._BUSY_SECONDS", 0.1)
        with (
            pytest.raises(WarehouseError, match="another process has been writing"),
            open_warehouse(path) as other,
        ):
            rules(other)
    finally:
        writer.communicate(timeout=30)
    looks = 0
    assert Loader(db).write(batch(1)).calls_new == 1


def test_a_transaction_that_reads_first_still_waits(db: Database, tmp_path: Path) -> None:
    """SQLite refuses such a write at once; our transaction waits its turn first."""
    with open_warehouse(tmp_path / "warehouse.db") as other:
        with db.atomic():
            rows(db, "select count(*) from accounts")
            with (
                closing(sqlite3.connect(tmp_path / "warehouse.db", timeout=0)) as third,
                pytest.raises(sqlite3.OperationalError, match="locked"),
            ):
                third.execute("insert into accounts (account_id) values ('3')")
            db.execute("insert into accounts (account_id) values ('1')")
            with db.atomic():
                db.execute("insert into accounts (account_id) values ('2')")
        assert rows(other, "select account_id from accounts order by 1") == [("1",), ("2",)]


def test_killed_in_the_first_second_it_leaves_nothing_or_a_warehouse(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.json", [call(n, tokens=(n, 1)) for n in range(20)])
    rng = random.Random(5)
    path = tmp_path / "folder" / "w.db"
    path.parent.mkdir()
    words = [sys.executable, "-m", "etl", "load", str(log), "--db", str(path)]
    for _ in range(rounds(2, 80)):
        process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.2, 1.2))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if path.exists():
            with open_warehouse(path) as db:
                assert rows(db, "pragma integrity_check") == [("ok",)]
            for file in path.parent.iterdir():
                file.unlink()
    # The next process removes what a process killed while writing a new file left behind.
    (path.parent / ".w.db.abcd_123.new").write_bytes(b"SQLite")
    (path.parent / ".w.db.not-ours.new").write_bytes(b"")
    assert subprocess.run(words, cwd=ROOT, stderr=subprocess.DEVNULL, check=False).returncode == 0
    assert sorted(file.name for file in path.parent.iterdir()) == [".w.db.not-ours.new", "w.db"]
    assert len(dump(path)["events"]) == 20
