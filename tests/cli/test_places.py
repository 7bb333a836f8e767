"""``--db``: a name is only ever a path, and a file that is not a warehouse is not changed."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.cli import main
from etl.cli.main import COMMANDS
from etl.config import Serve
from etl.lab.sent_calls import open_ledger
from etl.sources.archive import LocalArchive
from etl.warehouse.database import open_unchanged, open_warehouse
from etl.warehouse.lock import sync_lock
from etl.warehouse.paths import is_there, uri_of
from etl.web.app import build_datasette
from etl.web.secret import signing_secret
from etl.web.sessions import Sessions
from tests.cli.running import run
from tests.rounds import rounds
from tests.support import call, load, rows, write_log
from tests.web.pages import open_pages

# Every command that has --db, with its other arguments.
WORDS = (
    ("load", "LOG"), ("sync", "--source", "cloudtrail", "--region", "us-east-1"), ("report", "days"),
    ("status",), ("check",), ("check", "--rebuild"), ("vacuum",), ("vacuum", "--dry-run"),
    ("serve", "--port", "0"), ("demo", "--no-serve"), ("inspect", "LOG"), ("prices", "list"),
    ("upgrade",), ("prices", "import", "LOG"), ("monitor", "publish"), ("monitor", "dashboard"),
    ("monitor", "remove"), ("lab", "verify", "--ledger", "LOG"), ("lab", "traffic", "--dry-run"),
    ("calibrate",), ("reconcile",), ("mcp",), ("prices", "check"), ("prices", "history", "any"), ("prices", "sync", "--from", "LOG"),
    ("budgets",), ("notify", "test"), ("notify", "send"), ("notify", "log"), ("notify", "digest", "--daily"),
    ("export", "usage"), ("export", "teams"), ("export", "focus"), ("export", "prices"),
    ("rollup", "--engine", "local", "--input", "LOG", "--output", "OUT"), ("load-rollup", "LOG"),
)  # fmt: skip


def test_every_command_that_has_a_warehouse_is_tried() -> None:
    tried = {
        words[:2] if words[0] in ("export", "prices", "monitor", "lab", "notify") else words[:1]
        for words in WORDS
    }

    def commands(group: object, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        names = COMMANDS if group is main else getattr(group, "commands", {})
        for name in names:
            command = group.get_command(None, name)  # type: ignore[attr-defined]
            if any(parameter.name == "db" for parameter in command.params):
                yield (*words, name)
            yield from commands(command, (*words, name))

    # The commands below these open it in the same way.
    assert {words for words in commands(main) if words[:2] not in {("monitor", "alarm")}} == tried


def foreign(*statements: str, wal: bool = False, crash: bool = False) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        script = (
            "import os, sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            + ("c.execute('pragma journal_mode = wal')\n" if wal else "")
            + "".join(f"c.execute({statement!r})\n" for statement in statements)
            + ("os._exit(0)" if crash else "c.close()")
        )
        if crash:
            subprocess.run([sys.executable, "-c", script, str(path)], check=True)
        else:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                for statement in (*(["pragma journal_mode = wal"] if wal else []), *statements):
                    connection.execute(statement)

    return make


KINDS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("dear diary\n" * 500),
    "empty": lambda path: path.touch(),
    "bytes": lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40),
    "folder": lambda path: path.mkdir(),
    "pipe": lambda path: os.mkfifo(path),
    "link to itself": lambda path: path.symlink_to(path),
    "device": lambda path: path.symlink_to("/dev/null"),
    "tables": foreign("create table notes (text)"),
    "views": foreign("create view calls as select 1 as x"),
    "views, wal": foreign("create view calls as select 1 as x", wal=True),
    "views, crashed": foreign("create view calls as select 1 as x", wal=True, crash=True),
    "virtual": foreign("create virtual table t using fts5(x)"),
    "marked": foreign("pragma application_id = 7"),
    "version": foreign("pragma user_version = 7"),
    "migrated": foreign("create table _sqlite_migrations (id, name)"),
}


def state(folder: Path) -> dict[str, tuple[object, ...]]:
    found = {}
    for path in sorted(folder.iterdir()):
        about = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(about.st_mode) else b""
        found[path.name] = (about.st_mode, about.st_mtime_ns, about.st_size, content)
    return found


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_is_no_warehouse_is_left_alone_by_every_command(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: pytest.fail("it serves"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    log = write_log(tmp_path / "log.json", [call(1)])
    folder = tmp_path / "there"
    folder.mkdir()
    KINDS[kind](folder / "w.db")
    before = state(folder)
    for words in WORDS:
        status, _, err = run(
            *(log if word == "LOG" else word for word in words), "--db", folder / "w.db"
        )
        assert status in (1, 2), words
        assert "Traceback" not in err
        assert state(folder) == before, words


def test_a_database_that_holds_nothing_may_become_one(tmp_path: Path) -> None:
    """As one that an older version left when it was killed."""
    foreign("create table x (y)", "drop table x", wal=True)(tmp_path / "w.db")
    assert is_there(tmp_path / "w.db")
    log = write_log(tmp_path / "log.json", [call(1)])
    assert run("load", log, "--db", tmp_path / "w.db")[0] == 0


def test_the_log_of_a_database_that_is_gone_is_not_joined(tmp_path: Path) -> None:
    foreign("create table x (y)", wal=True, crash=True)(tmp_path / "w.db")
    (tmp_path / "w.db").unlink()
    status, _, err = run("prices", "list", "--db", tmp_path / "w.db")
    assert status == 1
    assert "w.db-wal is left over from a deleted database" in err
    assert not (tmp_path / "w.db").exists()


@pytest.mark.parametrize("name", [":memory:", "./:memory:", "file:w.db", "file:w.db?mode=memory"])
def test_what_sqlite_would_take_for_no_file_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in WORDS:
        assert run(*("." if word == "LOG" else word for word in words), "--db", name)[0] == 2
    assert run("status", "--db", "w.db")[0] == 1
    monkeypatch.setenv("BEDROCK_USAGE_DB", name)
    assert run("status")[0] == 2
    assert list(tmp_path.iterdir()) == []


@contextmanager
def warehouse(path: Path, user: str) -> Iterator[Path]:
    with open_warehouse(path, create=True) as db:
        load(db, write_log(path.parent / "log.json", [call(1, user=user, tokens=(1, 1))]))
    yield path


NAMES = ("a%41.db", "a#b.db", "a?mode=memory.db", "a b&c.db", "%2e%2e.db", "ä.db", "a'b.db", "'.db")


@settings(max_examples=rounds(4, 200))
@given(
    name=st.one_of(
        st.sampled_from(NAMES), st.text("aA%?#&=:'\"\\é .;~+2514", min_size=1, max_size=9)
    )
)
def test_a_name_is_a_path(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Next to what it would mean as an address."""
    if name.strip(".") == "":
        name += "x"
    folder = tmp_path_factory.mktemp("names")
    decoys = {name.partition("?")[0], name.partition("#")[0], name.replace("%41", "A")} - {
        name,
        "",
        ".",
        "..",
    }
    path = folder / name
    with warehouse(path, "right"):
        for decoy in decoys:
            (folder / decoy).touch()
        with open_warehouse(path) as db:
            assert rows(db, "select user_name from calls") == [("right",)]
        with open_unchanged(path) as db:
            assert rows(db, "select user_name from calls") == [("right",)]
        with closing(sqlite3.connect(uri_of(path, "immutable=1"), uri=True)) as connection:
            connection.execute("select 1 from sqlite_master").fetchall()
        connection = build_datasette(path).get_database("bedrock_usage").connect()
        with closing(connection):
            assert connection.execute("select user_name from calls").fetchall() == [("right",)]
        with sync_lock(path):
            pass
    ours = {f"{name}{suffix}" for suffix in ("", "-wal", "-shm", ".lock", ".secret")}
    assert {file.name for file in folder.iterdir()} <= ours | decoys | {"log.json"}


def test_what_stands_beside_a_warehouse_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(tmp_path / "log.json", [call(1)])
    path = tmp_path / "w.db"
    Sessions(Path(f"{path}.sessions")).begin("alice")
    signing_secret(path, Serve())
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        status, _, err = run("load", ".", "--db", "w.db")
        assert (status, "rejects" in err) == (0, False), err
    with open_warehouse(path) as db:
        assert rows(db, "select count(*) from log_files") == [(1,)]


def test_the_pages_show_the_file_that_was_named(tmp_path: Path) -> None:
    with (
        warehouse(tmp_path / "aA.db", "wrong"),
        warehouse(tmp_path / "a%41.db", "right") as path,
        open_pages(path) as pages,
    ):
        assert {row["user_name"] for row in pages.rows("cost_by_user")} == {"right"}


def modes(folder: Path) -> dict[str, int]:
    return {
        str(file.relative_to(folder)): stat.S_IMODE(file.lstat().st_mode)
        for file in folder.rglob("*")
    }


@contextmanager
def with_umask(umask: int) -> Iterator[None]:
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("umask", [0o000, 0o277])
def test_only_the_owner_may_read_and_a_stricter_umask_is_kept(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if umask == 0o277 and os.geteuid():
        pytest.skip("what is read-only is that for everybody but root")
    monkeypatch.chdir(tmp_path)
    path = Path("w.db")
    with with_umask(umask):
        with open_ledger(Path("l.jsonl")):
            pass
        LocalArchive("kept").write("a/b.json.gz", b"x")
        signing_secret(path, Serve())
        with open_warehouse(path, create=True) as db, sync_lock(path):
            db.execute("insert into accounts (account_id) values ('1')")
            found = modes(tmp_path)
    assert {
        "w.db",
        "w.db-wal",
        "w.db-shm",
        "w.db.lock",
        "w.db.secret",
        "l.jsonl",
        "kept/a/b.json.gz",
    } <= set(found)
    for name, mode in found.items():
        wanted = (0o700 if name in ("kept", "kept/a") else 0o600) & ~umask
        assert oct(mode) == oct(wanted), name


def test_files_that_are_there_keep_their_mode(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    with open_warehouse(path, create=True), sync_lock(path):
        pass
    for file in (path, tmp_path / "w.db.lock"):
        file.chmod(0o660)
    with open_warehouse(path) as db, sync_lock(path):
        db.execute("insert into accounts (account_id) values ('1')")
        assert set(modes(tmp_path).values()) == {0o660}
    LocalArchive(str(tmp_path)).check()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
