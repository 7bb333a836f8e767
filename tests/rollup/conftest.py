"""Spark, started once for all tests, and the cases, written once."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rollup.cases import CONFIG, write_cases


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all cases; read it only."""
    folder = tmp_path_factory.mktemp("cases")
    write_cases(folder / "input")
    (folder / "config.toml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """Spark in two threads of this machine."""
    pytest.importorskip("pyspark", reason="Apache Spark is not installed: make spark")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    from etl.rollup.spark import open_session

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = open_session("local[2]")
        session.sparkContext.setLogLevel("ERROR")
        yield session
        session.stop()
