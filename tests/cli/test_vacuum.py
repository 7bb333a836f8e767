"""``bedrock-usage vacuum``: old calls are dropped, their cost stays, and the file shrinks."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlite_utils import Database

from etl.normalise.cloudtrail import parse_event
from etl.normalise.rows import Event
from etl.show.numbers import size as size_text
from etl.warehouse.database import open_warehouse, view_sql
from etl.warehouse.lock import sync_lock
from etl.warehouse.upkeep.vacuum import CallRange, compact, cutoff, drop_calls, drop_unused_names
from etl.warehouse.write.batch import Batch, Loader
from etl.warehouse.write.watch import renew_watch
from tests.cli.running import ROOT, run
from tests.rounds import rounds, some
from tests.support import (  # fmt: skip
    HAIKU,
    call,
    dump,
    load,
    role_identity,
    rows,
    service_event,
    write_log,
    write_metrics,
)

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
BEFORE = "2026-11-05T00:00:00Z"
RUN = "2026-11-20T12:30:00Z"
DAYS = range(1, 11)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, empty_warehouse: Path) -> Path:
    """Ten days of calls (none on the 3rd), tokens that wait, and CloudWatch's totals."""
    folder = tmp_path_factory.mktemp("template")
    path = folder / "w.db"
    shutil.copy(empty_warehouse, path)
    with open_warehouse(path) as db:
        load(db, write_log(folder / "log.json", list(records())),
             write_metrics(folder / "m.csv", list(totals())))  # fmt: skip
        renew_watch(db)
        db.conn.execute("pragma wal_checkpoint(truncate)")
    return path


def records() -> Iterator[dict[str, Any]]:
    rng = random.Random(5)
    for number in range(400):
        day = rng.choice([day for day in DAYS if day != 3])
        moment = f"2026-11-{day:02}T{rng.randrange(24):02}:{rng.randrange(60):02}:00Z"
        session = f"session-{number}" if number % 3 else "often"
        yield call(
            number,
            eventTime=moment,
            userIdentity=role_identity(f"App{number % 4}-BedrockRole", session),
            tokens=(number, 7) if number % 2 else None,
            errorCode="ThrottlingException" if number % 17 == 0 else None,
        )
    for day in DAYS:
        yield service_event(1000 + day, 5000 + day, {"inputTokens": 3}, eventTime=f"2026-11-{day:02}T05:00:00Z")  # fmt: skip


def totals() -> Iterator[tuple[Any, ...]]:
    for day in DAYS:
        for hour in range(0, 24, 5):
            yield (
                HAIKU,
                "InputTokenCount",
                90_000 + hour,
                f"2026-11-{day:02}T{hour:02}:00:00Z",
                3600,
            )


@pytest.fixture
def path(tmp_path: Path, template: Path) -> Path:
    return Path(shutil.copy(template, tmp_path / "w.db"))


class Figures(NamedTuple):
    """Everything that a report or a view over usage can show; apart, single calls and the refused.

    ``refused``: the rows of throttled_calls, which counts calls that are there, by day.
    """

    usage: dict[str, list[tuple[Any, ...]]]
    calls: list[tuple[Any, ...]]
    refused: list[tuple[Any, ...]]


def figures(path: Path) -> Figures:
    with open_warehouse(path) as db:
        views = [
            name
            for name in view_sql()
            if name not in ("calls", "int_call_usage", "int_call_origins")
        ]
        usage = {name: sorted(rows(db, f"select * from {name}"), key=repr) for name in views}
        refused = usage.pop("throttled_calls")
        usage |= {
            name: rows(db, f"select * from {name}") for name in ("usage_hourly", "usage_daily")
        }
        calls = rows(db, "select * from calls order by event_time, event_id")
        return Figures(usage, calls, refused)


def is_sound(path: Path) -> bool:
    return run("check", "--db", path)[0] == 0


def at(monkeypatch: pytest.MonkeyPatch, now: datetime = NOW) -> None:
    monkeypatch.setattr("etl.clock.Clock.now", lambda self: now)


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_calls_go_and_every_figure_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch)
    before = figures(path)
    old = [one for one in before.calls if one[0] < BEFORE]
    assert 100 < len(old) < 300
    status, out, err = run("vacuum", "--keep-calls", "15d", "--db", path)
    assert (status, out) == (0, "")
    assert err.startswith(
        f"Dropped  {len(old)} calls before 2026-11-05 UTC ({old[0][0]} to {old[-1][0]})\n"
    )
    after = figures(path)
    assert after.usage == before.usage
    assert after.calls == [one for one in before.calls if one[0] >= BEFORE]
    assert after.refused == [one for one in before.refused if one[0] >= BEFORE[:10]]
    assert 0 < len(after.refused) < len(before.refused)
    assert query(path, "select * from dropped_calls") == [
        (RUN, BEFORE, len(old), old[0][0], old[-1][0])
    ]
    assert is_sound(path)


def test_nothing_of_them_is_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "insert into cloudtrail_tokens (event_time, event_id, token_source_key, input_tokens)"
            " select event_time, event_id, 2, 1 from tokens;"
            "insert into jobs select event_time, event_id, 'batch', null from events"
        )
    at(monkeypatch)
    assert run("vacuum", "--keep-calls", "15d", "--db", path)[0] == 0
    for table in ("events", "tokens", "cloudtrail_tokens", "jobs", "pending_tokens"):
        assert query(path, f"select min(event_time) from {table}") >= [(BEFORE,)]
    assert query(path, "select count(*) from pending_tokens") == [(6,)]
    # The names of sessions that ended, too, but none that the sums need.
    kept = {f"session-{n}" for (n,) in query(path, "select input_tokens from tokens") if n % 3}
    names = {name for (name,) in query(path, "select session_name from sessions")}
    assert kept < names
    assert query(path, "select count(*) from sessions where session_key not in"
                       " (select session_key from events)") == [(0,)]  # fmt: skip
    assert b"session-" in path.read_bytes()
    gone = next(f"session-{n}" for n in range(100, 400) if n % 3 and f"session-{n}" not in names)
    assert gone.encode() not in path.read_bytes()


@pytest.mark.parametrize(("keep", "day"), [("1d", "19"), ("24h", "19"), ("36h", "19"), ("37h", "18"), ("2d", "18")])  # fmt: skip
def test_the_days_are_whole_and_never_fewer_than_asked_for(keep: str, day: str) -> None:
    unit = {"d": "days", "h": "hours"}[keep[-1]]
    moment = cutoff(NOW, timedelta(**{unit: int(keep[:-1])}))
    assert moment == f"2026-11-{day}T00:00:00Z"


def test_the_call_of_that_very_moment_stays(db: Database, tmp_path: Path) -> None:
    times = ("2026-11-04T23:59:59Z", BEFORE)
    load(db, write_log(tmp_path / "log.json", [call(n, eventTime=t) for n, t in enumerate(times)]))
    assert drop_calls(db, BEFORE, dropped_at=RUN) == CallRange(1, times[0], times[0])
    assert rows(db, "select event_time from events") == [(BEFORE,)]


def test_a_dry_run_says_what_would_go_and_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch)
    before = path.read_bytes()
    old = [one for one in figures(path).calls if one[0] < BEFORE]
    status, out, err = run("vacuum", "--keep-calls", "15d", "--dry-run", "--db", path)
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert (
        lines[0]
        == f"Would drop  {len(old)} calls before 2026-11-05 UTC ({old[0][0]} to {old[-1][0]})"
    )
    assert lines[1] == f"Would keep  {400 - len(old)} calls, and the usage and cost of all"
    assert [line.split()[0] for line in lines[2:]] == ["Size", "Space"]
    assert path.read_bytes() == before


def test_a_run_with_nothing_to_drop_claims_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older calls may still be loaded: none of them was ever counted."""
    at(monkeypatch)
    status, _, err = run("vacuum", "--keep-calls", "400d", "--db", path)
    assert status == 0
    assert "Dropped  0 calls before 2025-10-16 UTC\n" in err
    assert query(path, "select count(*) from dropped_calls") == [(0,)]


def test_each_run_has_a_row_of_its_own(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = figures(path).usage
    for day in (20, 21, 24):
        at(monkeypatch, NOW.replace(day=day))
        assert run("vacuum", "--keep-calls", "15d", "--db", path)[0] == 0
        assert is_sound(path)
    assert query(path, "select dropped_at, dropped_before from dropped_calls") == [
        (f"2026-11-{day}T12:30:00Z", f"2026-11-{day - 15:02}T00:00:00Z") for day in (20, 21, 24)
    ]
    assert query(path, "select sum(calls) + (select count(*) from events) from dropped_calls") == [
        (400,)
    ]
    assert figures(path).usage == before


def test_totals_that_come_later_are_shared_as_if_nothing_had_gone(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copy(path, tmp_path / "other.db"))
    at(monkeypatch)
    assert run("vacuum", "--keep-calls", "15d", "--db", path)[0] == 0
    late = write_metrics(tmp_path / "late.csv", [
        (HAIKU, "OutputTokenCount", 70_001, "2026-11-02T05:00:00Z", 3600),
        (HAIKU, "InputTokenCount", 99_999, "2026-11-04T10:00:00Z", 3600),
    ])  # fmt: skip
    for database in (path, other):
        assert run("load", late, "--db", database)[0] == 0
    # `path` was vacuumed: the key of a name may be another, the name is not.
    assert figures(path).usage["usage_cost"] == figures(other).usage["usage_cost"]
    assert is_sound(path)


def test_sums_that_are_wrong_are_not_made_final(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "update usage_hourly set calls = calls + 1 where hour < '2026-11-03'"
        )
    before = dump(path)
    at(monkeypatch)
    status, _, err = run("vacuum", "--keep-calls", "15d", "--db", path)
    assert status == 1
    assert "nothing was dropped" in err
    assert "check --rebuild" in err
    assert dump(path) == before
    assert run("check", "--rebuild", "--db", path)[0] == 0
    assert run("vacuum", "--keep-calls", "15d", "--db", path)[0] == 0


def test_names_are_kept_as_long_as_anything_refers_to_them(db: Database, tmp_path: Path) -> None:
    log = [call(n, userAgent=f"agent{n}/1", eventTime=f"2026-11-0{n}T10:00:00Z") for n in (4, 6)]
    load(db, write_log(tmp_path / "log.json", log))
    db.execute(
        "create table notes (note text, user_agent_key integer references user_agents (user_agent_key))"
    )
    foreign_keys = rows(db, "pragma foreign_keys")
    assert drop_unused_names(db) == 0
    db.execute(
        "insert into notes select 'kept', user_agent_key from events where event_time < '2026-11-05'"
    )
    drop_calls(db, BEFORE, dropped_at=RUN)
    assert drop_unused_names(db) == 0
    db.execute("delete from notes")
    assert drop_unused_names(db) == 1
    assert rows(db, "select user_agent from user_agents") == [("agent6/1",)]
    assert rows(db, "pragma foreign_keys") == foreign_keys


class CutShortError(Exception):
    """Represents anything that ends a run."""


@pytest.mark.parametrize("days_done", some([1, 2, 3], 1))
def test_cut_short_after_any_day_it_is_sound_and_goes_on(
    path: Path, tmp_path: Path, days_done: int
) -> None:
    before = figures(path)
    whole = Path(shutil.copy(path, tmp_path / "whole.db"))
    with open_warehouse(whole) as db:
        drop_calls(db, BEFORE, dropped_at=RUN)
    done: list[str] = []

    def on_day(day: str) -> None:
        done.append(day)
        if len(done) == days_done:
            raise CutShortError

    with open_warehouse(path) as db, pytest.raises(CutShortError):
        drop_calls(db, BEFORE, dropped_at=RUN, on_day=on_day)
    after = figures(path)
    assert after.usage == before.usage
    assert len(after.calls) < len(before.calls)
    assert query(path, "select dropped_before, calls from dropped_calls") == [
        # The 3rd had no calls.
        (
            ("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z", BEFORE)[days_done - 1],
            400 - len(after.calls),
        )
    ]
    assert is_sound(path)
    with open_warehouse(path) as db:
        drop_calls(db, BEFORE, dropped_at="2026-11-20T12:31:00Z")
    ours, theirs = dump(path), dump(whole)
    claims = ours.pop("dropped_calls"), theirs.pop("dropped_calls")
    assert ours == theirs
    assert [(max(c[1] for c in claim), sum(c[2] for c in claim)) for claim in claims] == [
        (BEFORE, 400 - len(query(whole, "select 1 from events")))
    ] * 2


@pytest.mark.parametrize(
    "step",
    [
        "delete on main.events when old.event_time > '2026-11-02T12'",
        "insert on main.dropped_calls when new.dropped_before > '2026-11-02T12'",
    ],
)
def test_a_day_that_fails_half_way_is_as_if_never_begun(path: Path, step: str) -> None:
    """No call is dropped without a record of it, and none recorded as dropped is still there."""
    with open_warehouse(path) as db:
        db.execute(f"create temp trigger cut before {step} begin select raise(abort, 'cut'); end")
        with pytest.raises(sqlite3.IntegrityError):
            drop_calls(db, BEFORE, dropped_at=RUN)
    ((claimed, calls),) = query(path, "select dropped_before, calls from dropped_calls")
    assert claimed == "2026-11-02T00:00:00Z"
    assert query(path, "select min(event_time) >= '2026-11-02' from events") == [(1,)]
    assert query(path, "select count(*) from events") == [(400 - calls,)]
    assert query(path, "select count(*) from tokens where (event_time, event_id)"
                       " not in (select event_time, event_id from events)") == [(0,)]  # fmt: skip
    assert is_sound(path)


VACUUM = """
import sys
from pathlib import Path
from etl.warehouse.database import open_warehouse
from etl.warehouse.upkeep.vacuum import compact, drop_calls, drop_unused_names
with open_warehouse(Path(sys.argv[1])) as db:
    print("ready", flush=True)
    drop_calls(db, sys.argv[2], dropped_at=sys.argv[3])
    drop_unused_names(db)
    compact(db)
"""


def test_killed_at_random_moments(path: Path, tmp_path: Path) -> None:
    rng = random.Random(11)
    before = figures(path)
    kills = 0
    for attempt in range(rounds(2, 30)):
        killed = Path(shutil.copy(path, tmp_path / "killed.db"))
        command = [sys.executable, "-c", VACUUM, str(killed), BEFORE, RUN]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.08) * (attempt > 0))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        after = figures(killed)
        assert after.usage == before.usage
        claimed = query(
            killed,
            "select coalesce(max(dropped_before), ''), coalesce(sum(calls), 0) from dropped_calls",
        )
        assert [one for one in before.calls if one[0] >= claimed[0][0]] == after.calls
        assert claimed[0][1] == len(before.calls) - len(after.calls)
        assert is_sound(killed)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{killed}{suffix}").unlink(missing_ok=True)
    assert kills >= 1


def test_the_file_becomes_smaller_and_holds_the_same(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "create table ballast as select randomblob(500000) as b; drop table ballast"
        )
    before, size = dump(path), path.stat().st_size
    status, out, err = run("vacuum", "--db", path)
    assert (status, out) == (0, "")
    assert path.stat().st_size < size - 500_000
    assert err == f"Size     {size_text(size)} before, {size_text(path.stat().st_size)} now\n"
    assert dump(path) == before
    assert query(path, "pragma freelist_count") == [(0,)]
    assert not Path(f"{path}-wal").exists()
    assert is_sound(path)


def test_others_may_read_meanwhile_what_was_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch)
    size = path.stat().st_size
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("begin")
        assert reader.execute("select count(*) from events").fetchone() == (400,)
        monkeypatch.setattr("etl.warehouse.database._BUSY_SECONDS", 0.2)
        status, _, err = run("vacuum", "--keep-calls", "15d", "--db", path)
        assert status == 0
        assert "it will shrink further when another process stops reading" in err
        assert reader.execute("select count(*) from events").fetchone() == (400,)
        reader.execute("commit")
        assert reader.execute("select count(*) from events").fetchone() < (400,)
    assert path.stat().st_size < size
    assert is_sound(path)


def test_without_room_it_says_how_much_and_what_was_dropped_stays_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(
            "shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 100_000)
        )
        status, _, err = run("vacuum", "--keep-calls", "15d", "--db", path)
    assert status == 1
    assert "Dropped  " in err
    assert " bytes in " in err
    assert "100,000 are free: free some space and run `bedrock-usage vacuum` again" in err
    assert is_sound(path)
    assert run("vacuum", "--db", path)[0] == 0
    assert query(path, "pragma freelist_count") == [(0,)]


def test_its_copy_is_on_the_disk_and_not_in_memory(
    path: Path,
) -> None:
    """Of ten million calls it would fill the memory of a small machine."""
    seen: list[str] = []
    with open_warehouse(path) as db:
        db.conn.set_trace_callback(seen.append)
        assert compact(db)
        db.conn.set_trace_callback(None)
        at_work = seen.index("vacuum")
        assert "pragma temp_store = file" in seen[:at_work]
        assert "pragma temp_store = memory" in seen[at_work:]
        assert rows(db, "pragma temp_store_directory") == []


def test_no_sync_meanwhile(path: Path) -> None:
    before = dump(path)
    with sync_lock(path):
        status, _, err = run("vacuum", "--keep-calls", "1d", "--db", path)
    assert status == 1
    assert "is being synced by another process" in err
    assert dump(path) == before


def test_a_process_that_writes_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch)
    monkeypatch.setattr("etl.warehouse.database._BUSY_SECONDS", 0.2)
    before = dump(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("begin immediate")
        status, _, err = run("vacuum", "--keep-calls", "15d", "--db", path)
        assert status == 1
        assert "another process has been writing" in err
        writer.execute("rollback")
    assert dump(path) == before
    assert run("vacuum", "--keep-calls", "15d", "--db", path)[0] == 0


def test_a_load_that_goes_on_beside_it_uses_no_name_that_is_gone(path: Path) -> None:
    """A writer caches the keys of names; a dropped name comes back with a new key."""

    def batch(number: int, day: str) -> Batch:
        event = parse_event(
            call(number, userAgent="visitor/1", eventTime=f"2026-11-{day}T09:00:00Z")
        )
        assert isinstance(event.row, Event)
        return Batch(events=[event.row])

    with open_warehouse(path) as db:
        loader = Loader(db)
        loader.write(batch(9001, "04"))
        with open_warehouse(path) as other:
            drop_calls(other, BEFORE, dropped_at=RUN)
            drop_unused_names(other)
        loader.write(batch(9002, "12"))
    assert query(path, "select user_agent from calls where event_time like '2026-11-12%'") == [
        ("visitor/1",)
    ]
    assert is_sound(path)


@pytest.mark.parametrize(
    ("keep", "message"),
    [("23h", "must be at least 1d"), ("0d", "must be at least 1d"), ("soon", "not a duration")],
)
def test_durations_that_are_refused(path: Path, keep: str, message: str) -> None:
    before = dump(path)
    status, _, err = run("vacuum", "--keep-calls", keep, "--db", path)
    assert status == 2
    assert message in err
    assert dump(path) == before


def test_without_a_warehouse_it_leaves_nothing_behind(tmp_path: Path) -> None:
    status, _, err = run("vacuum", "--db", tmp_path / "w.db")
    assert status == 1
    assert "there is no warehouse at" in err
    assert list(tmp_path.iterdir()) == []
