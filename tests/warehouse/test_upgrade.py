"""A warehouse of an earlier version: an upgrade gives the same figures, and loses nothing."""

from __future__ import annotations

import functools
import lzma
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.cli.shared.long_work import LongWork, next_line, work_line
from etl.errors import STOPPED
from etl.sql_files import sql_names
from etl.warehouse.database import ensure_schema, open_unchanged, open_warehouse
from etl.warehouse.long_work import WorkProgress, long_work, observed
from etl.warehouse.schema import EFFORTS, Effort, migrations
from etl.warehouse.upkeep import upgrade
from etl.warehouse.upkeep.check import run_checks
from tests.cli.running import ROOT, run
from tests.rounds import IS_LONG, long, some
from tests.support import dump, load, rows
from tests.warehouse import earlier

EARLIER = Path(earlier.__file__).parent
SHAPES = ("m009", "m012", "m014")
# What users see; the keys behind it depend on the order of the files.
# The view of rejected files shows where they were.
MARTS = [name for name in sql_names("marts") if name != "rejected_files"]


def warehouse_of(shape: str, folder: Path) -> Path:
    path = folder / "w.db"
    path.write_bytes(lzma.decompress((EARLIER / f"{shape}.db.xz").read_bytes()))
    return path


def inputs(shape: str) -> list[Path]:
    """Return the files that the version with this schema could read."""
    files = [EARLIER / "input"]
    return sorted(f for f in files[0].iterdir() if f.is_file()) if shape == "m009" else files


def figures(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    return {mart: sorted(rows(db, f"select * from {mart}"), key=repr) for mart in MARTS}


@pytest.fixture(scope="module")
def loaded(
    new_warehouse: Callable[[], AbstractContextManager[Database]],
) -> Callable[[list[Path]], dict[str, list[tuple[Any, ...]]]]:
    """Return the figures of files loaded by today's code, once for all schemas."""

    @functools.cache
    def figures_of(files: tuple[Path, ...]) -> dict[str, list[tuple[Any, ...]]]:
        with new_warehouse() as db:
            load(db, *files)
            return figures(db)

    return lambda files: figures_of(tuple(files))


@pytest.mark.parametrize("shape", some(SHAPES, 1))
def test_it_comes_to_the_figures_of_a_new_one(
    shape: str, tmp_path: Path, loaded: Callable[[list[Path]], dict[str, list[tuple[Any, ...]]]]
) -> None:
    path, expected = warehouse_of(shape, tmp_path), loaded(inputs(shape))
    with open_warehouse(path) as db:
        assert figures(db) == expected
        if IS_LONG or shape == "m009":
            assert [c for c in run_checks(db) if c.status != "ok"] == []
        written = db.conn.total_changes
        ensure_schema(db)
        assert db.conn.total_changes == written
    assert run("upgrade", "--db", path) == (
        0,
        "",
        f"{path} is up to date\n",
    )
    assert len(expected["calls"]) > 100


def test_every_migration_says_what_it_takes() -> None:
    """Next to ``@migrations()``: ``@takes()``, or ``@takes(seconds=..., megabytes=..., per=...)``."""
    names = {migration.name for migration in migrations._migrations}
    assert set(EFFORTS) == names
    tables = {effort.per for effort in EFFORTS.values()}
    of_calls = {"events", "tokens", "usage_hourly", "usage_daily", "metric_totals"}
    assert tables <= of_calls | {"bill_lines"}


def test_whatever_ends_it_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = warehouse_of("m009", tmp_path)
    before, apply = dump(path), upgrade.apply_migrations
    pending = len(migrations._migrations) - 9
    for number in range(1, pending + 2) if IS_LONG else (1, 3, pending + 1):

        def stopped(db: Database, note: object, number: int = number) -> None:
            seen: list[str] = []

            def count(name: str) -> None:
                seen.append(name)
                if len(seen) == number:
                    raise KeyboardInterrupt

            apply(db, count)
            raise KeyboardInterrupt  # all of them are applied, and nothing is committed

        monkeypatch.setattr("etl.warehouse.database.apply_migrations", stopped)
        with pytest.raises(KeyboardInterrupt), open_warehouse(path):
            pass
        assert dump(path) == before
    monkeypatch.undo()
    with open_warehouse(path) as db:
        assert not migrations.pending(db)


# It waits inside SQLite, with every migration applied and none committed.
HELD = """
import sys
from etl.cli import main
from etl.warehouse import database
from etl.warehouse.upkeep import upgrade
def apply(db, note):
    upgrade.apply_migrations(db, note)
    print("there", flush=True)
    db.execute("with recursive n (n) as (select 1 union all select n + 1 from n) select max(n) from n")
database.apply_migrations = apply
main()
"""


@pytest.mark.parametrize(
    ("number", "words", "status", "told"),
    some([
        (signal.SIGKILL, ("status",), -signal.SIGKILL, ""),
        (signal.SIGTERM, ("load", EARLIER / "input"), 1, f"{STOPPED}\n"),
        pytest.param(signal.SIGINT, ("upgrade",), 1, "", marks=long),
    ], 2),
)  # fmt: skip
def test_a_signal_in_the_middle(
    number: int, words: tuple[object, ...], status: int, told: str, tmp_path: Path
) -> None:
    path = warehouse_of("m014", tmp_path)
    before = dump(path)
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, *map(str, words), "--db", str(path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert told in err
    assert "Traceback" not in err
    assert dump(path) == before
    with open_warehouse(path) as db:
        assert not migrations.pending(db)


@pytest.fixture
def costly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a migration take a minute and a gigabyte for these small warehouses."""
    monkeypatch.setitem(EFFORTS, "m015_create_monitor", Effort(500_000, 8_000_000, "events"))
    yield


@pytest.mark.usefixtures("costly")
def test_it_says_what_it_takes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = warehouse_of("m014", tmp_path)
    before = dump(path)
    status, out, err = run("upgrade", "--dry-run", "--db", path)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("Upgrade  m014_create_archive to m0")
    assert lines[0].endswith(", 128 calls")
    assert lines[1] == "         m015_create_monitor: about 1 min, up to 1.0 GB"
    assert lines[-2] == "Time     about 1 min"
    assert lines[-1].startswith("Space    up to 1.0 GB meanwhile; ")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 0, 10**8))
    for words in (("upgrade",), ("status",), ("load", EARLIER / "input")):
        status, _, err = run(*words, "--db", path)
        assert status == 1
        assert "free some space and run the same command again; nothing was changed" in err
    assert dump(path) == before


def test_a_backup_is_the_old_file(tmp_path: Path) -> None:
    path = warehouse_of("m012", tmp_path)
    before = dump(path)
    status, _, err = run("upgrade", "--backup", "--db", path)
    copy = tmp_path / "w.db.m012.backup"
    assert status == 0
    assert f"Copied   the old {path} to {copy}" in err
    assert dump(copy) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not list(tmp_path.glob("*.part*"))
    with open_warehouse(path) as db:
        assert not migrations.pending(db)
    # The backup is a warehouse that can be upgraded too; an existing file is left alone.
    status, _, err = run("upgrade", "--backup", path, "--db", copy)
    assert (status, f"{path} already exists" in err) == (1, True)
    status, _, err = run("upgrade", "--backup", tmp_path / "no" / "w.db", "--db", copy)
    assert (status, "is not a folder" in err) == (1, True)
    assert run("upgrade", "--db", copy)[0] == 0


def test_its_name_need_not_be_text(tmp_path: Path) -> None:
    old = warehouse_of("m014", tmp_path)
    path = old.rename(tmp_path / os.fsdecode(b"\xff\n.db"))
    status, _, err = run("upgrade", "--backup", "--db", path)
    assert (status, err.splitlines()[-1]) == (0, "Upgraded")
    assert (tmp_path / os.fsdecode(b"\xff\n.db.m014.backup")).is_file()


def test_a_copy_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    path, target = warehouse_of("m014", tmp_path), tmp_path / "copy.db"

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with open_unchanged(path) as db, pytest.raises(KeyboardInterrupt):
        upgrade.back_up(db, target, stop)
    assert {file.name for file in tmp_path.iterdir()} - {"w.db-shm", "w.db-wal"} == {"w.db"}


def test_long_work_is_reported_now_and_then(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.warehouse.long_work._REPORT_SECONDS", 0.0)
    said: list[str] = []
    display = LongWork(said.append)
    for tenths in range(1000):
        display(WorkProgress("upgrading", "m011 (2 of 3)", tenths / 10, 50.0))
    display(WorkProgress("pricing", "", 0.5, None))
    assert said == [
        "Upgrading: m011 (2 of 3), 2 s of about 50 s ...",
        "Upgrading: m011 (2 of 3), 10 s of about 50 s ...",
        "Upgrading: m011 (2 of 3), 30 s of about 50 s ...",
        "Upgrading: m011 (2 of 3), 1 min so far ...",
        "Upgrading: m011 (2 of 3), 1 min so far ...",
    ]
    assert next_line(2.0) == 10.0
    assert work_line(WorkProgress("a", "", 3, None)) == "A, 3 s so far ..."
    seen: list[WorkProgress] = []
    with observed(seen.append), long_work(db, "outer"), long_work(db, "counting") as note:
        note("to a million")
        db.execute("with recursive n (n) as (select 1 union all select n + 1 from n limit 100000)"
                   " select max(n) from n")  # fmt: skip
    assert {progress[:2] for progress in seen} == {("counting", "to a million")}
