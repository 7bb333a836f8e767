"""A rollup says what ``load`` says of the same input, whichever engine made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.logs import write_logs
from etl.cli.shared.loading import apply_configuration, reading_keys
from etl.cli.shared.rolling_up import make_job, make_template
from etl.config import load_config
from etl.load.decoder.pool import Workers
from etl.rollup.run import find_calls
from tests.checks import failed_checks
from tests.rollup.rolling import (
    MakeEngine,
    figures,
    load_it,
    local,
    manifest_of,
    roll_up,
    tables_of,
)
from tests.rounds import long
from tests.support import load, uuid_of


@pytest.fixture(scope="module")
def local_rollup(cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("local") / "rollup"
    roll_up([cases / "input"], output, config=cases / "config.toml")
    return output


def test_a_loaded_rollup_equals_a_load(new_warehouse: Any, cases: Path, local_rollup: Path) -> None:
    config = cases / "config.toml"
    settings = load_config(config)
    with new_warehouse() as loaded, new_warehouse() as rolled_up:
        apply_configuration(loaded, settings, config)
        load(loaded, cases / "input", workers=Workers(reading_keys(settings)))
        apply_configuration(rolled_up, settings, config)
        load_it(rolled_up, local_rollup)
        expected, found = figures(loaded), figures(rolled_up)
        for name, rows in expected.items():
            assert rows, name
            assert found[name] == rows, name
        assert failed_checks(rolled_up) == {}


def in_spark(session: Any) -> MakeEngine:
    from etl.rollup.spark import SparkEngine

    return lambda template: lambda job: SparkEngine(job, template, session)


def test_spark_gives_the_same_rows(
    spark: Any, cases: Path, local_rollup: Path, tmp_path: Path
) -> None:
    engine = in_spark(spark)
    output = tmp_path / "rollup"
    result = roll_up([cases / "input"], output, engine, cases / "config.toml")
    expected, found = tables_of(local_rollup), tables_of(output)
    assert found.keys() == expected.keys()
    for key, rows in expected.items():
        assert found[key] == rows, key
    mine, other = manifest_of(local_rollup), manifest_of(output)
    assert {d: mine.digest_of(d) for d in mine.days} == {d: other.digest_of(d) for d in other.days}
    assert mine.counts == other.counts
    assert result.rejected == mine.counts["rejected"] > 0


@long
def test_a_large_trail(spark: Any, new_warehouse: Any, tmp_path: Path) -> None:
    """400,000 records, nine of ten of other services."""
    logs = tmp_path / "logs"
    write_logs(logs, 400_000, days=3, others=0.9)
    roll_up([logs], tmp_path / "local")
    roll_up([logs], tmp_path / "spark", in_spark(spark))
    mine, other = manifest_of(tmp_path / "local"), manifest_of(tmp_path / "spark")
    assert {d: mine.digest_of(d) for d in mine.days} == {d: other.digest_of(d) for d in other.days}
    with new_warehouse() as loaded, new_warehouse() as rolled_up:
        load(loaded, logs)
        load_it(rolled_up, tmp_path / "spark")
        expected, found = figures(loaded), figures(rolled_up)
        assert {name for name in expected if found[name] != expected[name]} == set()


def test_spark_finds_the_same_calls(spark: Any, cases: Path, tmp_path: Path) -> None:
    config = cases / "config.toml"
    inputs = [cases / "input" / part for part in ("sessions", "joined", "copies")]
    roll_up(inputs, tmp_path / "rollup", config=config)
    settings = load_config(config)
    template = make_template(settings, config, None)
    job = make_job(settings, str(tmp_path / "rollup"), None, None)
    for name in ("carol", uuid_of(1_004_002)):
        found = find_calls(job, in_spark(spark)(template), "2026-11-02", name)
        assert sorted(found) == sorted(find_calls(job, local(template), "2026-11-02", name))
        assert found
