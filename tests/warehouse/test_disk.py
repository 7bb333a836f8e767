"""Disks that are full, fail or are read-only; files that are damaged.

Whatever happens: no committed data is lost, the message says what failed and what to do, and once
the cause is gone, the same command results in the database of an undisturbed run.

The faults are real, and where there is one, the commands run as processes, so that a crash would be
noticed. If this user may not mount a small disk, a limit on the size of files replaces the full one.
"""

from __future__ import annotations

import ctypes
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.warehouse.database import explain_sqlite, open_warehouse
from tests.aws import FakeAws
from tests.cases import cases
from tests.cli.running import ROOT, run
from tests.rounds import long, rounds, some
from tests.support import call, dump, load, write_log
from tests.sync.support import utc

# Only the rate limiter is not real: a test would take a minute.
PROGRAM = """
from etl.sources import limiter
limiter.LOOKUP_SECONDS = 0.0
from etl.cli import main
main()
"""
# The space is free when it is checked, and then another process takes it.
UNLIMITED = """
import shutil
shutil.disk_usage = lambda _: shutil._ntuple_diskusage(9**12, 0, 9**12)
"""
READERS = (("report", "users"), ("status",), ("serve", "--port", "0"), ("check",))
FILLER = "filler"
# More than the disk has space for.
CALLS = rounds(700, 3_000)


@dataclass
class Ended:
    """How a command ended; ``told`` is its stderr."""

    status: int
    told: str


def command(
    *words: object,
    env: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
    program: str = PROGRAM,
) -> Ended:
    """Run a command as a process; it may fail, but must not crash or print a traceback."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ended = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], cwd=ROOT, env=clean | (env or {}),
        preexec_fn=before, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode in (0, 1), (ended.returncode, ended.stderr)
    return Ended(ended.returncode, ended.stderr)


def copy_of(path: Path, folder: Path) -> Path:
    """Copy a warehouse with its log: what the next process that opens it will find."""
    folder.mkdir(exist_ok=True)
    for suffix in ("", "-wal"):
        if Path(f"{path}{suffix}").exists():
            shutil.copy(f"{path}{suffix}", folder)
    return folder / path.name


def content(path: Path, folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return what is committed, without opening the file itself."""
    return dump(copy_of(path, folder))


def undisturbed(path: Path, *logs: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a load makes where nothing is wrong, or nothing is wrong any more."""
    assert run("load", *logs, "--db", path)[0] == 0
    return dump(path)


def is_sound(path: Path) -> bool:
    return run("check", "--db", path)[0] == 0


def logs_of(folder: Path, *sizes: int) -> list[Path]:
    """Write logs with this many calls each."""
    files: list[Path] = []
    number = 0
    folder.mkdir(exist_ok=True)
    for size in sizes:
        records = [
            call(n, user=f"user{n % 50}", tokens=(n, 1),
                 userAgent=f"agent-{n}/1.0 that has a long name, so that a call takes some room {'.' * 200}")
            for n in range(number, number + size)
        ]  # fmt: skip
        files.append(write_log(folder / f"{len(files)}.json", records))
        number += size
    return files


class SmallDisk:
    """A separate file system, in memory."""

    complaint = "space"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._mount("size=16m")

    def _mount(self, options: str) -> None:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], capture_output=True, text=True
        )  # fmt: skip
        if mounted.returncode:
            pytest.skip(f"no right to mount a disk ({mounted.stderr.strip()}); the limit stands in")

    def leave(self, room: int) -> None:
        """Fill the disk, leaving this many bytes free."""
        free = shutil.disk_usage(self.folder).free
        with suppress(OSError), (self.folder / FILLER).open("wb", buffering=0) as file:
            file.write(bytes(max(0, free - room)))

    def make_room(self) -> None:
        (self.folder / FILLER).unlink()

    def limit(self) -> None:
        """Called in the process of the command."""

    def make_read_only(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", self.folder], check=True)

    def allow_writing(self) -> None:
        subprocess.run(["mount", "-o", "remount,rw", self.folder], check=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", self.folder], check=False)


class LimitedFiles:
    """A folder with a limit on the size of files: to SQLite a disk error."""

    complaint = "the disk reported an error"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._largest = resource.RLIM_INFINITY

    def leave(self, room: int) -> None:
        sizes = [file.stat().st_size for file in self.folder.iterdir()]
        self._largest = max(sizes, default=0) + room

    def make_room(self) -> None:
        self._largest = resource.RLIM_INFINITY

    def limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._largest, self._largest))

    def close(self) -> None:
        pass


Disk = SmallDisk | LimitedFiles


# Both only in a long run: they differ only in SQLite's error code.
@pytest.fixture(params=some([SmallDisk, LimitedFiles], 1))
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    disk = request.param(tmp_path / "disk")
    yield disk
    disk.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk")
    yield disk
    disk.close()


@pytest.mark.parametrize("kind", some([SmallDisk, LimitedFiles], 1))
def test_a_load_that_runs_out_of_room_goes_on_later(kind: type[Disk], tmp_path: Path) -> None:
    with closing(kind(tmp_path / "disk")) as disk:
        load_without_room(disk, tmp_path)


def load_without_room(disk: Disk, tmp_path: Path) -> None:
    first, second = logs_of(tmp_path / "logs", 20, CALLS)
    wanted = undisturbed(tmp_path / "clean.db", first, second)
    path = disk.folder / "w.db"
    committed = undisturbed(path, first)
    disk.leave(150_000)
    for _ in range(rounds(1, 3)):
        ended = command("load", first, second, "--db", path, before=disk.limit)
        assert ended.status == 1
        assert f"Error: {path}: " in ended.told
        assert disk.complaint in ended.told
        assert "run the same command again" in ended.told
        found = content(path, tmp_path / "copy")
        assert len(found["events"]) < CALLS + 20
        assert set(committed["events"]) <= set(found["events"])
        assert is_sound(tmp_path / "copy" / "w.db")
    disk.make_room()
    assert undisturbed(path, first, second) == wanted


@long
def test_no_room_for_a_new_warehouse(disk: Disk, tmp_path: Path) -> None:
    (log,) = logs_of(tmp_path / "logs", 20)
    wanted = undisturbed(tmp_path / "clean.db", log)
    path = disk.folder / "w.db"
    for room in some((0, 5_000, 100_000), 2):
        disk.leave(room)
        ended = command("load", log, "--db", path, before=disk.limit)
        assert (ended.status, disk.complaint in ended.told) == (1, True), ended.told
        disk.make_room()
    assert undisturbed(path, log) == wanted


@long
def test_a_sync_that_runs_out_of_room_goes_on_later(disk: Disk, tmp_path: Path) -> None:
    def synced(path: Path, **how: Any) -> Ended:
        return command("sync", "--region", "us-east-1", "--since", "2d", "--source", "cloudtrail",
                       "--db", path, env=aws.environment(), **how)  # fmt: skip

    def shown(path: Path) -> list[list[tuple[Any, ...]]]:
        # The bookmarks have the time of the run, and names get their keys in order of arrival.
        with closing(sqlite3.connect(copy_of(path, tmp_path / "copy"))) as connection:
            return [
                sorted(connection.execute(f"select * from {view}"), key=repr)
                for view in ("calls", "usage_cost")
            ]

    with FakeAws() as aws:
        aws.lookup_rate = None
        for n in range(CALLS // 2):
            moment = datetime.now(UTC) - timedelta(hours=2 + 80 * n / CALLS)
            aws.place().deliver(
                call(n, eventTime=utc(moment), tokens=(n, 1), userAgent=f"a{n}/{'.' * 300}")
            )
        assert synced(tmp_path / "clean.db").status == 0
        path = disk.folder / "w.db"
        with open_warehouse(path, create=True):
            pass
        disk.leave(150_000)
        ended = synced(path, before=disk.limit)
        assert ended.status == 1
        assert disk.complaint in ended.told
        assert len(shown(path)[0]) < CALLS // 2
        assert is_sound(tmp_path / "copy" / "w.db")
        disk.make_room()
        assert synced(path, before=disk.limit).status == 0
    assert len(shown(path)[0]) == CALLS // 2
    assert shown(path) == shown(tmp_path / "clean.db")


@long
def test_a_vacuum_that_runs_out_of_room_goes_on_later(
    small_disk: SmallDisk, tmp_path: Path
) -> None:
    path = small_disk.folder / "w.db"
    undisturbed(path, *logs_of(tmp_path / "logs", 1_000))
    before = dump(path)
    small_disk.leave(300_000)
    ended = command("vacuum", "--db", path)
    assert (ended.status, "compacting needs" in ended.told) == (1, True)
    ended = command("vacuum", "--db", path, program=UNLIMITED + PROGRAM)
    assert (ended.status, "the disk is full" in ended.told) == (1, True)
    assert content(path, tmp_path / "copy") == before
    small_disk.make_room()
    assert run("vacuum", "--db", path)[0] == 0
    assert dump(path) == before
    assert is_sound(path)


def test_reading_on_a_full_disk_says_so_or_works(small_disk: SmallDisk, tmp_path: Path) -> None:
    path = small_disk.folder / "w.db"
    before = undisturbed(path, *logs_of(tmp_path / "logs", 20))
    small_disk.leave(0)
    assert shutil.disk_usage(small_disk.folder).free == 0
    for words in READERS:
        ended = command(*words, "--db", path)
        # Only `check` can do without the file that SQLite keeps next to the warehouse.
        assert ended.status == 0 if words == ("check",) else "free some space" in ended.told
    small_disk.make_room()
    assert dump(path) == before
    assert run("report", "users", "--db", path)[0] == 0


class ReadOnlyDisk:
    """A disk that is mounted read-only."""

    def __init__(self, folder: Path) -> None:
        self._disk = SmallDisk(folder)
        self.folder = folder

    def close_to_writing(self, path: Path) -> None:
        self._disk.make_read_only()

    def open_to_writing(self, path: Path) -> None:
        self._disk.allow_writing()

    def before(self) -> None:
        pass

    def close(self) -> None:
        self._disk.close()


class Permissions:
    """File and folder that this user may only read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def close_to_writing(self, path: Path) -> None:
        path.chmod(0o444)
        self.folder.chmod(0o555)

    def open_to_writing(self, path: Path) -> None:
        self.folder.chmod(0o755)
        path.chmod(0o644)

    def before(self) -> None:
        """Make permissions apply to root too: drop the right to bypass them in the next process."""
        if os.geteuid() == 0:
            pr_capbset_drop, cap_dac_override, cap_dac_read_search = 24, 1, 2
            for capability in (cap_dac_override, cap_dac_read_search):
                assert ctypes.CDLL(None).prctl(pr_capbset_drop, capability, 0, 0, 0) == 0

    def close(self) -> None:
        self.folder.chmod(0o755)


class FilePermission(Permissions):
    """Only the file: its folder is writable."""

    def close_to_writing(self, path: Path) -> None:
        path.chmod(0o444)


class Immutable(Permissions):
    """A file that not even root may change."""

    def close_to_writing(self, path: Path) -> None:
        done = subprocess.run(["chattr", "+i", path], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(
                f"no files that cannot be changed ({done.stderr.strip()}); permissions stand in"
            )

    def open_to_writing(self, path: Path) -> None:
        subprocess.run(["chattr", "-i", path], check=True)

    def before(self) -> None:
        pass


ReadOnly = ReadOnlyDisk | Permissions


@pytest.fixture(params=some([ReadOnlyDisk, Immutable, Permissions, FilePermission], 1))
def read_only(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReadOnly]:
    place = request.param(tmp_path / "place")
    yield place
    place.close()


@long
def test_what_may_only_be_read(read_only: ReadOnly, tmp_path: Path) -> None:
    first, second = logs_of(tmp_path / "logs", 20, 30)
    wanted = undisturbed(tmp_path / "clean.db", first, second)
    path = read_only.folder / "w.db"
    before = undisturbed(path, first)
    files = sorted(read_only.folder.iterdir())
    read_only.close_to_writing(path)
    try:
        ended = command("load", second, "--db", path, before=read_only.before)
        assert (ended.status, "writ" in ended.told) == (1, True), ended.told
        with FakeAws() as aws:
            ended = command("sync", "--db", path, env=aws.environment(), before=read_only.before)
        assert (ended.status, "writ" in ended.told) == (1, True), ended.told
        assert command("vacuum", "--db", path, before=read_only.before).status == 1
        for words in (("report", "users"), ("status",)):
            ended = command(*words, "--db", path, before=read_only.before)
            assert ended.status == 0 or "writ" in ended.told, ended.told
        ended = command("check", "--db", path, before=read_only.before)
        assert ended.status == 0, ended.told
    finally:
        read_only.open_to_writing(path)
    assert dump(path) == before
    assert [file for file in files if not file.exists()] == []
    assert undisturbed(path, second) == wanted


@long
@pytest.mark.parametrize("place", some([ReadOnlyDisk, Permissions], 1))
def test_serving_from_a_folder_that_is_read_only_says_so(
    place: type[ReadOnly], tmp_path: Path
) -> None:
    where = place(tmp_path / "place")
    path = where.folder / "w.db"
    undisturbed(path, *logs_of(tmp_path / "logs", 20))
    where.close_to_writing(path)
    try:
        ended = command("serve", "--port", "0", "--db", path, before=where.before)
    finally:
        where.open_to_writing(path)
        where.close()
    assert (ended.status, "writ" in ended.told) == (1, True)


def test_a_folder_that_may_not_be_looked_into(tmp_path: Path) -> None:
    place = Permissions(tmp_path / "place")
    (place.folder / "w.db").touch()
    place.folder.chmod(0)
    ended = command("report", "users", "--db", place.folder / "w.db", before=place.before)
    place.close()
    assert ended.status == 1
    assert "w.db: Permission denied; make it readable, or choose another" in ended.told


def damage_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(random.Random(1).randbytes(100))


def damage_pages(path: Path) -> None:
    """Overwrite everything behind the header, like a disk that lost all but the first block."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(path.stat().st_size - 4096))


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace_by_text(path: Path) -> None:
    path.write_text("notes of somebody else\n" * 1000)


@pytest.mark.parametrize(
    "damage", some([damage_pages, replace_by_text, cut_short, damage_header], 1)
)
def test_a_damaged_file(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Every command reports it; after the copy is restored, the same command continues."""
    first, second = logs_of(tmp_path / "logs", 300, 30)
    wanted = undisturbed(tmp_path / "clean.db", first, second)
    path = tmp_path / "w.db"
    undisturbed(path, first)
    shutil.copy(path, tmp_path / "copy.db")
    damage(path)
    damaged = path.read_bytes()
    for words in (("load", second), ("sync",), ("vacuum",), *READERS):
        if words[0] == "serve":
            ended = command(*words, "--db", path)  # which would never end if it served
        else:
            status, out, told = run(*words, "--db", path)
            ended = Ended(status, told or out)
        assert ended.status == 1, words
        assert "the file is " in ended.told.lower() or "not a database" in ended.told, words
        assert "restore a copy" in ended.told.lower(), words
        assert path.read_bytes() == damaged
    shutil.copy(tmp_path / "copy.db", path)
    assert undisturbed(path, second) == wanted


def in_the_log(tmp_path: Path, *logs: Path) -> Path:
    """Return a warehouse whose process was killed: each load is in its log (-wal) only."""
    path = tmp_path / "killed" / "w.db"
    with open_warehouse(tmp_path / "live.db", create=True) as db:
        db.conn.execute("pragma wal_checkpoint(truncate)")
        db.conn.execute("pragma wal_autocheckpoint = 0")
        for log in logs:
            load(db, log)
        copied = copy_of(tmp_path / "live.db", path.parent)
        for suffix in ("", "-wal"):
            Path(f"{copied}{suffix}").rename(f"{path}{suffix}")
    return path


@long
def test_a_log_of_changes_that_was_deleted(tmp_path: Path) -> None:
    """What was only in it is lost; the same load restores it."""
    logs = logs_of(tmp_path / "logs", 30, 30)
    wanted = undisturbed(tmp_path / "clean.db", *logs)
    path = in_the_log(tmp_path, *logs)
    Path(f"{path}-wal").unlink()
    assert is_sound(path)
    assert dump(path)["events"] == []
    assert undisturbed(path, *logs) == wanted


def test_a_log_of_changes_that_is_torn(tmp_path: Path) -> None:
    """A crash of the machine may leave part of it: only complete transactions count."""
    logs = logs_of(tmp_path / "logs", 30, 30, 30)
    wanted = undisturbed(tmp_path / "clean.db", *logs)
    whole = in_the_log(tmp_path, *logs)
    length = Path(f"{whole}-wal").stat().st_size
    rng = random.Random(2)
    counts = set()
    for attempt in range(rounds(4, 16)):
        path = copy_of(whole, tmp_path / f"torn{attempt}")
        wal = Path(f"{path}-wal")
        if attempt % 2:
            os.truncate(wal, rng.randrange(length))
        else:
            with wal.open("r+b") as file:
                file.seek(rng.randrange(length))
                file.write(rng.randbytes(64))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
            counts.add(connection.execute("select count(*) from events").fetchone()[0])
        with open_warehouse(path) as db:
            for log in logs:
                load(db, log)
        assert dump(path) == wanted
    assert counts <= {0, 30, 60, 90}
    assert len(counts) > 1


@cases(
    ("code", "next_step"),
    [
        (sqlite3.SQLITE_FULL, "free some space and run the same command again"),
        (sqlite3.SQLITE_IOERR_WRITE, "check the system log, then run the same command again (SQLITE_IOERR_WRITE)"),
        (sqlite3.SQLITE_CORRUPT, "Restore a copy"),
        (sqlite3.SQLITE_CORRUPT_VTAB, "Restore a copy"),
        (sqlite3.SQLITE_NOTADB, "choose another with --db, or restore a copy"),
        (sqlite3.SQLITE_READONLY, "make it writable, or copy the file"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "make it writable, or copy the file"),
        (sqlite3.SQLITE_CANTOPEN, "its folder must exist and be writable"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "wait for it, then run the same command again"),
    ],
)  # fmt: skip
def test_every_failure_has_a_next_step(code: int, next_step: str) -> None:
    error = sqlite3.OperationalError("SQLite's own words")
    error.sqlite_errorcode = code
    error.sqlite_errorname = next(
        name
        for name, value in vars(sqlite3).items()
        if name.startswith("SQLITE_") and value == code
    )
    assert next_step in explain_sqlite(error)


def test_other_errors_keep_sqlites_own_message() -> None:
    message = explain_sqlite(sqlite3.IntegrityError("UNIQUE constraint failed"))
    assert message.startswith("UNIQUE constraint failed; `bedrock-usage check`")
