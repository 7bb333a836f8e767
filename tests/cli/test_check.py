"""``bedrock-usage check``: every fault is named with its fix; nothing is written."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.sql_files import sql_names, sql_text
from etl.warehouse.database import open_warehouse
from etl.warehouse.schema import migrations
from etl.warehouse.upkeep.check import question_of
from tests.cli.running import run
from tests.rounds import rounds, some
from tests.support import HAIKU, call, dump, load, write_log, write_metrics

SQL_CHECKS = set(sql_names("checks"))
DAMAGE = {
    "rollup_matches_events": "update usage_hourly set calls = calls + 1",
    "days_add_up": "update usage_daily set input_tokens = input_tokens + 1",
    "estimates_are_current": "update usage_hourly set estimated_input_tokens = estimated_input_tokens + 1",
    "metric_hours_are_current": "update metric_hourly set value = value + 1",
    "metric_hours_are_current ": "delete from metric_hourly",
    "model_input_forms_are_current": "insert into model_input_forms select max(model_key), 1, 0 from models",
    "marts_add_up": "update priced_daily_by_user set calls = calls + 1",
    "days_add_up ": "delete from usage_daily",
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, empty_warehouse: Path) -> Path:
    """A warehouse with calls of every kind and CloudWatch's totals."""
    folder = tmp_path_factory.mktemp("loaded")
    path = folder / "w.db"
    shutil.copy(empty_warehouse, path)
    calls = [call(1, tokens=(2_000, 5)), call(2, user="bob"), call(3, errorCode="AccessDenied")]
    calls += [call(n, eventTime=f"2026-11-0{n - 1}T08:00:00Z", tokens=(n, 1)) for n in range(4, 9)]
    with open_warehouse(path) as db:
        load(db, write_log(folder / "log.json", calls),
             write_metrics(folder / "m.csv", [(HAIKU, "InputTokenCount", 5_000)]))  # fmt: skip
    return path


@pytest.fixture
def path(tmp_path: Path, loaded: Path) -> Path:
    return Path(shutil.copy(loaded, tmp_path))


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)


def answer(path: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the exit status, and each check's result by its name."""
    status, out, _ = run("check", "--format", "json", "--db", path)
    found = json.loads(out)
    assert found["is_ok"] == (status == 0)
    return status, {one["check"]: one for one in found["checks"]}


def statuses(path: Path) -> dict[str, str]:
    return {name: one["status"] for name, one in answer(path)[1].items()}


def test_a_good_warehouse_passes_every_check(path: Path) -> None:
    status, found = answer(path)
    assert status == 0
    assert set(found) == {"file", "schema", "keys", "dropped_calls"} | SQL_CHECKS
    assert {one["status"] for one in found.values()} == {"ok"}


def test_it_is_told_line_by_line(path: Path) -> None:
    status, out, err = run("check", "--db", path)
    assert (status, err) == (0, "")
    assert " ok           rollup_matches_events          Does the rollup match the events?" in out
    assert out.splitlines()[-1] == f"{len(SQL_CHECKS) + 4} ok"


def test_nothing_is_written(path: Path) -> None:
    before = path.read_bytes()
    assert run("check", "--db", path)[0] == 0
    assert path.read_bytes() == before


def test_it_sees_what_is_in_the_log_only_and_waits_for_nobody(path: Path, tmp_path: Path) -> None:
    with open_warehouse(path) as db:
        load(db, write_log(tmp_path / "more.json", [call(50)]))
        db.conn.execute("update usage_hourly set failed_calls = 7")
        db.conn.execute("begin immediate")
        assert statuses(path)["rollup_matches_events"] == "failed"
        db.conn.execute("rollback")


def test_the_title_of_a_check_is_the_question_on_top_of_it() -> None:
    assert question_of("-- Is it\n-- so? Each row is not.\nselect 1") == "Is it so?"
    for name in SQL_CHECKS:
        assert question_of(sql_text(f"checks/{name}")).endswith("?")


@pytest.mark.parametrize("check", some(DAMAGE, 4))
def test_wrong_figures_are_named_and_a_rebuild_mends_them(path: Path, check: str) -> None:
    good = dump(path)
    change(path, DAMAGE[check])
    status, found = answer(path)
    one = found[check.strip()]
    assert (status, one["status"]) == (1, "failed")
    assert one["row_count"] >= len(one["rows"]) > 0
    assert "check --rebuild" in one["fix"]
    assert run("check", "--rebuild", "--db", path)[0] == 0
    assert dump(path) == good


def test_the_first_rows_are_shown_and_the_rest_counted(path: Path) -> None:
    change(path, "update usage_hourly set failed_calls = failed_calls + 2")
    status, out, _ = run("check", "--db", path)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    at = lines.index("failed rollup_matches_events Does the rollup match the events? No: 8 rows.")
    assert status == 1
    assert lines[at + 1].startswith("hour 2026-11-02T10:00:00Z, account_key 1,")
    assert lines[at + 1].endswith("failed_calls 2")
    assert lines[at + 4] == "and 5 more"
    assert lines[at + 5].startswith("`bedrock-usage check --rebuild`")


def test_a_reference_that_leads_nowhere(path: Path) -> None:
    change(path, "pragma foreign_keys = off; delete from user_agents")
    status, found = answer(path)
    assert (status, found["keys"]["status"], found["keys"]["row_count"]) == (1, "failed", 8)
    assert found["keys"]["rows"] == [{"table": "events", "missing_in": "user_agents", "rows": 8}]
    assert found["rollup_matches_events"]["status"] == "ok"


def test_dropped_calls_are_told_and_a_rebuild_keeps_them(path: Path) -> None:
    """The sums of their time can no longer be made from calls."""
    change(path, "insert into dropped_calls values ('2026-11-20T00:00:00Z', '2026-11-05T00:00:00Z', 5, '', '');"
                 " delete from tokens where event_time < '2026-11-05'; delete from events where event_time < '2026-11-05'")  # fmt: skip
    status, found = answer(path)
    assert (status, found["dropped_calls"]["status"]) == (0, "ok")
    assert found["dropped_calls"]["detail"] == "5 calls before 2026-11-05 remain only in the sums."
    before = dump(path)
    assert run("check", "--rebuild", "--db", path)[0] == 0
    assert dump(path) == before


def test_dropped_calls_that_came_back_are_told(path: Path) -> None:
    change(
        path,
        "insert into dropped_calls values ('2026-11-20T00:00:00Z', '2026-11-05T00:00:00Z', 5, '', '')",
    )
    status, found = answer(path)
    assert (status, found["dropped_calls"]["status"]) == (1, "failed")
    assert "may be counted twice" in found["dropped_calls"]["detail"]


def test_an_older_schema_is_told_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old = Database(path)
    migrations.apply(old, stop_before="m024_add_discounts")
    old.close()
    status, found = answer(path)
    assert status == 1
    assert found["schema"]["status"] == "warning"
    assert "lacks m024_add_discounts" in found["schema"]["detail"]
    assert "bedrock-usage status" in found["schema"]["fix"]
    assert found["file"]["status"] == found["prices_do_not_overlap"]["status"] == "ok"
    assert found["marts_add_up"]["status"] == "not checked"
    assert "account_discounts" not in dump(path)


def test_a_newer_schema_is_told_and_looked_over(path: Path) -> None:
    change(path, "insert into _sqlite_migrations (migration_set, name, applied_at)"
                 " values ('bedrock_usage', 'm999_from_the_future', '')")  # fmt: skip
    status, found = answer(path)
    assert (status, found["schema"]["status"]) == (0, "warning")
    detail = found["schema"]["detail"]
    assert "by a newer bedrock-usage: it has m999_from_the_future" in detail


def test_the_views_of_the_file_are_the_ones_that_are_checked(path: Path) -> None:
    change(path, "drop view user_costs; create view user_costs as"
                 " select 0 as calls, failed_calls, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, list_cost_usd, cost_usd, unpriced_calls,"
                 " unpriced_tokens, list_unpriced_tokens, calls_without_tokens, is_lower_bound from application_costs")  # fmt: skip
    status, found = answer(path)
    assert (status, found["schema"]["status"], found["marts_add_up"]["status"]) == (
        1,
        "warning",
        "failed",
    )
    assert run("status", "--db", path)[0] == 0
    assert answer(path)[0] == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no warehouse at"),
        (lambda path: path.touch(), "there is no warehouse at"),
        (lambda path: change(path, "create table notes (text)"), "another program's database"),
    ],
)
def test_what_is_no_warehouse(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "other.db"
    make(path)
    status, out, err = run("check", "--db", path)
    assert (status, out) == (1, "")
    assert message in err


def overwrite(path: Path, offset: int, length: int, seed: int = 1) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(random.Random(seed).randbytes(length))


def page_of(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute(
            "select rootpage from sqlite_master where name = ?", [table]
        ).fetchone()
        (size,) = connection.execute("pragma page_size").fetchone()
    return int(page - 1) * int(size)


def test_a_damaged_page_is_named_and_nothing_else_is_looked_at(path: Path) -> None:
    overwrite(path, page_of(path, "events"), 4096)
    before = path.read_bytes()
    status, found = answer(path)
    assert (status, found["file"]["status"]) == (1, "failed")
    assert "page" in str(found["file"]["rows"]) or "malformed" in found["file"]["detail"]
    assert "Restore a copy" in found["file"]["fix"]
    assert {one["status"] for name, one in found.items() if name != "file"} == {"not checked"}
    assert path.read_bytes() == before


def test_an_index_that_lost_an_entry(path: Path) -> None:
    change(path, "pragma writable_schema = on; update sqlite_master set rootpage = (select rootpage from sqlite_master"
                 " where name = 'events_only_logged') where name = 'inference_profiles_by_id'")  # fmt: skip
    assert answer(path)[1]["file"]["status"] == "failed"


@pytest.mark.parametrize("length", [16, 100, 4096])
def test_a_damaged_header(path: Path, length: int) -> None:
    overwrite(path, 0, length)
    status, found = answer(path)
    assert (status, found["file"]["status"]) == (1, "failed")
    assert "not a database" in found["file"]["detail"]


def test_a_file_cut_short(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert answer(path)[1]["file"]["status"] == "failed"


def test_words_of_sqlite_that_are_no_text(path: Path) -> None:
    """SQLite's message quotes the damaged bytes, and Python then raises no SQLite error."""
    sql = path.read_bytes()
    at = sql.index(b"CREATE VIEW user_costs")
    path.write_bytes(sql[:at] + b"CREATE VIEW \xff\xfe\xfd" + sql[at + 15 :])
    status, found = answer(path)
    assert (status, found["file"]["status"]) == (1, "failed")
    assert "SQLite reports: malformed database schema" in found["file"]["detail"]
    status, _, err = run("report", "users", "--db", path)
    assert (status, f"Error: {path}: the file is damaged" in err) == (1, True)


def test_whatever_is_damaged_no_command_ends_in_a_traceback(path: Path, tmp_path: Path) -> None:
    rng = random.Random(7)
    damaged = tmp_path / "damaged.db"
    seen = set()
    for seed in range(rounds(4, 100)):
        shutil.copy(path, damaged)
        overwrite(damaged, rng.randrange(path.stat().st_size), rng.choice((1, 40, 4000)), seed)
        for words in (("check",), ("report", "users"), ("status",), ("vacuum",)):
            status, _, err = run(*words, "--db", damaged)
            assert status in (0, 1), err
            assert status == 0 or words == ("check",) or f"{damaged}: " in err
            seen.add((words[0], status))
    assert {(name, 0) for name in ("check", "report", "status", "vacuum")} < seen
    assert ("check", 1) in seen
