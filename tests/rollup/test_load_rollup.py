"""The days of a rollup in a warehouse: replaced whole, named by the rules of today."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlite_utils import Database

from etl.cli import main
from etl.cli.shared.loading import apply_configuration, reading_keys
from etl.cli.shared.rolling_up import make_job, make_template
from etl.config import load_config
from etl.errors import DataError, WarehouseError
from etl.load.decoder.pool import Workers
from etl.rollup.run import find_calls
from etl.warehouse.database import open_warehouse
from etl.warehouse.upkeep.check import run_checks
from etl.warehouse.upkeep.rolled_up_days import fetch_calls
from tests.checks import failed_checks
from tests.rollup.cases import copies, joined, sessions
from tests.rollup.rolling import figures, load_it, local, manifest_of, roll_up, tables_of
from tests.rounds import rounds
from tests.support import call, load, rows, uuid_of, write_log

OTHER_RULES = """
team_metadata_key = "team"
team_tag = "costcenter"
[user_aliases]
"u3" = "Three"
[[application_rules]]
application = "all of {who}"
user = "u{who}"
[[team_rules]]
team = "haiku"
model = "*haiku*"
[metadata]
keys = ["tenant"]
"""

New = Callable[[], AbstractContextManager[Database]]


@pytest.fixture(scope="module")
def rolled_up(cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("local") / "rollup"
    roll_up([cases / "input"], output, config=cases / "config.toml")
    return output


def test_other_rules_are_applied_without_the_logs(
    new_warehouse: New, cases: Path, rolled_up: Path, tmp_path: Path
) -> None:
    config = tmp_path / "other.toml"
    config.write_text(OTHER_RULES)
    settings = load_config(config)
    with new_warehouse() as loaded, new_warehouse() as db:
        apply_configuration(loaded, settings, config)
        load(loaded, cases / "input", workers=Workers(reading_keys(settings)))
        load_it(db, rolled_up)
        apply_configuration(db, settings, config)
        assert figures(db) != figures(loaded)
        assert load_it(db, rolled_up).days == []
        load_it(db, rolled_up, again=True)
        expected, found = figures(loaded), figures(db)
        assert {name for name in expected if found[name] != expected[name]} == set()
        assert failed_checks(db) == {}


def test_loading_again_changes_nothing_and_neither_do_the_logs(
    db: Database, cases: Path, rolled_up: Path
) -> None:
    first = load_it(db, rolled_up)
    before = figures(db)
    assert (first.unchanged, len(first.days)) == (0, len(manifest_of(rolled_up).days))
    again = load_it(db, rolled_up)
    assert (again.unchanged, again.days) == (len(first.days), [])
    assert load(db, cases / "input").written.calls_new == 0
    assert rows(db, "select count(*) from events") == [(0,)]
    after = figures(db)
    assert {name for name in before if before[name] != after[name]} == set()
    load_it(db, rolled_up, again=True)
    assert failed_checks(db) == {}


def test_all_days_are_replaced_or_none(db: Database, rolled_up: Path, tmp_path: Path) -> None:
    output = tmp_path / "rollup"
    roll_up([write_log(tmp_path / "a.json", [call(1, tokens=(7, 7))])], output)
    load_it(db, output)
    before = figures(db)
    manifest = manifest_of(rolled_up)
    last = max(manifest.days)
    damaged = next(file for file in manifest.days[last] if file.table == "usage")
    content = (rolled_up / damaged.path).read_bytes()
    (rolled_up / damaged.path).write_bytes(content[:-100])
    try:
        with pytest.raises(DataError, match="damaged"):
            load_it(db, rolled_up)
    finally:
        (rolled_up / damaged.path).write_bytes(content)
    assert figures(db) == before


def test_calls_of_its_days_are_replaced_and_others_refuse_it(db: Database, tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.json", [call(1, tokens=(7, 7)), call(2)])
    output = tmp_path / "rollup"
    roll_up([log], output)
    load(db, log, write_log(tmp_path / "b.json", [call(3, eventTime="2026-11-09T00:00:00Z")]))
    before = figures(db)
    assert load_it(db, output).calls_replaced == 2
    assert {name for name, found in figures(db).items() if found != before[name]} == set()
    assert rows(db, "select event_time from events") == [("2026-11-09T00:00:00Z",)]
    assert failed_checks(db) == {}
    assert load(db, log).written.calls_too_old == 2
    later = tmp_path / "later"
    roll_up([write_log(tmp_path / "c.json", [call(4, eventTime="2026-11-12T00:00:00Z")])], later)
    with pytest.raises(WarehouseError, match="2026-11-09"):
        load_it(db, later)


def test_the_commands(tmp_path: Path, cases: Path) -> None:
    def run(*words: object) -> Any:
        return CliRunner().invoke(main, [str(word) for word in words])

    output, db = tmp_path / "rollup", tmp_path / "a.db"
    result = run("rollup", "--input", cases / "input" / "odd", "--output", output)
    assert result.exit_code == 1
    assert "Rejected" in result.stderr
    result = run("rollup", "--input", cases / "input" / "odd", "--output", output)
    assert (result.exit_code, result.stderr[:11]) == (0, "Nothing new")
    result = run("load-rollup", output, "--db", db)
    assert (result.exit_code, result.stderr[:4]) == (0, "Days")
    with open_warehouse(db) as warehouse:
        assert rows(warehouse, "select count(*) from rejects") > [(2,)]
    fetch = ("rollup", "--output", output, "--calls", "bob", "--day", "2026-11-02", "--db", db)
    result = run(*fetch)
    assert (result.exit_code, result.stderr[:12]) == (0, "0 calls foun")
    assert run(*fetch[:-2]).exit_code == 2
    result = run("load-rollup", tmp_path, "--db", db)
    assert result.exit_code == 1
    assert "bedrock-usage rollup" in result.stderr
    result = run("rollup", "--input", cases / "nowhere", "--output", output)
    assert result.exit_code == 1


def test_calls_are_fetched_to_look_at_and_change_no_sum(
    db: Database, cases: Path, rolled_up: Path
) -> None:
    load_it(db, rolled_up)
    before = figures(db)
    settings = load_config(cases / "config.toml")
    template = make_template(settings, cases / "config.toml", None)
    job = make_job(settings, str(rolled_up), None, None)
    found = find_calls(job, local(template), "2026-11-02", "One, Inc.")
    assert {event.user_name for event in found} == {"u1"}
    assert fetch_calls(db, "2026-11-02", found) == len(found) > 50
    assert fetch_calls(db, "2026-11-02", found) == 0
    one = find_calls(job, local(template), "2026-11-02", uuid_of(1_004_002))
    assert [(one.tokens.input, one.tokens.cache_read) for one in one if one.tokens] == [(100, 5)]
    assert fetch_calls(db, "2026-11-02", one) == 1
    shown = rows(db, "select sum(input_tokens) from calls where user_name = 'u1'")
    assert shown == [(sum(event.tokens.input or 0 for event in found if event.tokens),)]
    assert {name for name, found in figures(db).items() if found != before[name]} == set()
    assert failed_checks(db) == {}
    assert [one.status for one in run_checks(db) if one.check == "dropped_calls"] == ["ok"]
    apply_configuration(db, settings, cases / "config.toml")
    assert failed_checks(db) == {}
    load_it(db, rolled_up, again=True)
    assert rows(db, "select count(*) from fetched_calls") == [(0,)]
    with pytest.raises(WarehouseError, match="load-rollup"):
        fetch_calls(db, "2026-12-02", found)


def test_what_is_secret_stays_where_the_logs_are(cases: Path, rolled_up: Path) -> None:
    found = json.dumps([list(map(repr, rows)) for rows in tables_of(rolled_up).values()])
    assert "team" in found
    assert "ASIA" not in found
    assert "t1" in found
    assert "secret" not in found
    everything = b"".join(file.read_bytes() for file in rolled_up.rglob("*") if file.is_file())
    assert b"ASIA" not in everything


@pytest.mark.parametrize("seed", range(rounds(3, 60)))
def test_the_same_copy_counts_whatever_comes_first(
    new_warehouse: New, tmp_path: Path, seed: int
) -> None:
    parts = [*copies(), *joined(), *sessions()]
    with new_warehouse() as one, new_warehouse() as other:
        load(one, write_log(tmp_path / "all.json", _flat(parts)))
        random.Random(seed).shuffle(parts)
        for number, part in enumerate(parts):
            load(other, write_log(tmp_path / f"{number}.json", _flat([part])))
        expected, found = figures(one), figures(other)
        assert {name for name in expected if found[name] != expected[name]} == set()


def _flat(parts: list[Any]) -> list[Any]:
    return [one for part in parts for one in (part if isinstance(part, list) else [part])]
