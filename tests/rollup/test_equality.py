"""A rollup says what ``load`` says of the same input, whichever engine made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from etl.cli.shared.loading import apply_configuration, reading_keys
from etl.config import load_config
from etl.load.decoder.pool import Workers
from tests.checks import failed_checks
from tests.rollup.rolling import EngineOf, figures, load_it, manifest_of, roll_up, tables_of
from tests.support import load


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


def test_spark_gives_the_same_rows(
    spark: Any, cases: Path, local_rollup: Path, tmp_path: Path
) -> None:
    from etl.rollup.spark import SparkEngine

    def engine(template: bytes) -> EngineOf:
        return lambda job: SparkEngine(job, template, spark)

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
