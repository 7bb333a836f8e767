"""New files appear whole and once, on file systems with links and without."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from etl.errors import BedrockUsageError
from etl.warehouse import paths
from etl.warehouse.database import open_warehouse
from etl.warehouse.secret import ensure_secret
from tests.rounds import rounds
from tests.support import call, load, rows, write_log


def no_links(*_: object) -> None:
    """Refuse as exFAT does."""
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture(params=[True, False], ids=["links", "no links"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(os, "link", no_links)


def at_once(work: Callable[[], object], number: int) -> None:
    """Do the same in several threads, which begin together."""
    start = threading.Barrier(number)

    def one() -> None:
        start.wait(timeout=30)
        work()

    threads = [threading.Thread(target=one) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("links")
def test_all_who_begin_at_once_have_one_secret_and_see_it_whole(tmp_path: Path) -> None:
    for number in range(rounds(5, 200)):
        db, secrets, seen = tmp_path / f"{number}.db", list[str](), set[int]()
        file = Path(f"{db}.secret")

        def work(
            db: Path = db, file: Path = file, secrets: Any = secrets, seen: Any = seen
        ) -> None:
            for _ in range(20):
                if file.exists():
                    seen.add(file.stat().st_size)
            secrets.append(ensure_secret(db))

        at_once(work, 5)
        assert (len(secrets), len(set(secrets)), seen - {64}) == (5, 1, set())
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {path.suffix for path in tmp_path.iterdir()} == {".secret"}


def test_processes_agree_on_a_secret_without_links(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib\nfrom etl.warehouse.secret import ensure_secret\n"
        "def link(*_): raise OSError(95, 'no')\nos.link = link\nprint(end='x', flush=True)\n"
        "sys.stdin.read(1)\nprint(ensure_secret(pathlib.Path(sys.argv[1])))"
    )
    others = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "w.db")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for other in others:
        assert other.stdout is not None
        assert other.stdout.read(1) == "x"
    found = {other.communicate("go", timeout=60)[0] for other in others}
    assert found == {(tmp_path / "w.db.secret").read_text() + "\n"}
    assert [path.name for path in tmp_path.iterdir()] == ["w.db.secret"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("links", "killed_in"),
    [(True, "os.fsync"), (True, "os.link"), (False, "os.fsync"), (False, "pathlib.Path.rename")],
    indirect=["links"],
)
@pytest.mark.parametrize("cleans_up", [True, False])
@pytest.mark.usefixtures("links")
def test_killed_while_it_creates_a_file_it_leaves_none(
    killed_in: str, cleans_up: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise Killed

    db, file = tmp_path / "w.db", tmp_path / "w.db.secret"
    with monkeypatch.context() as dying:
        dying.setattr(killed_in, kill)
        if not cleans_up:
            dying.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            ensure_secret(db)
    assert not file.exists()
    secret = ensure_secret(db)
    assert ensure_secret(db) == secret == file.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["w.db.secret"]


@pytest.mark.usefixtures("links")
def test_a_warehouse_is_created_and_loaded(tmp_path: Path) -> None:
    path, log = tmp_path / "w.db", write_log(tmp_path / "log.json", [call(1), call(2)])

    def create() -> None:
        with open_warehouse(path, create=True) as db:
            rows(db, "select 1 from calls")

    at_once(create, 3)
    with open_warehouse(path) as db:
        load(db, log)
        assert rows(db, "select count(*) from calls") == [(2,)]
    left = {file.name for file in tmp_path.iterdir()} - {"log.json"}
    assert left <= {"w.db", "w.db.secret", "w.db-wal", "w.db-shm"}


def test_a_name_that_is_a_link_to_nothing_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "w.db.secret").symlink_to(tmp_path / "nowhere")
    with pytest.raises((BedrockUsageError, FileNotFoundError)):
        ensure_secret(tmp_path / "w.db")


def test_who_cannot_have_a_turn_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(paths, "_TURN_SECONDS", 0.01)
    with (
        FileLock(tmp_path / ".w.db.secret.lock"),
        pytest.raises(BedrockUsageError, match=r"w\.db\.secret: Connection timed out"),
    ):
        ensure_secret(tmp_path / "w.db")


@pytest.mark.usefixtures("links")
def test_a_file_that_another_process_took_for_unfinished_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fsync, removed = tmp_path / "w.db", os.fsync, list[int]()

    def remove_once(handle: int) -> None:
        fsync(handle)
        if not removed:
            removed.append(handle)
            paths._remove_unfinished(real)

    monkeypatch.setattr(os, "fsync", remove_once)
    paths.write_new(real, b"whole")
    assert (real.read_bytes(), len(removed)) == (b"whole", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["w.db"]
