"""Spark, started once for all tests, and the cases, written once."""

from __future__ import annotations

import gc
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rollup.cases import CONFIG, write_cases
from tests.rollup.cluster import JAVA


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all cases; read it only."""
    folder = tmp_path_factory.mktemp("cases")
    write_cases(folder / "input")
    (folder / "config.toml").write_text(CONFIG)
    return folder


@pytest.fixture
def spark(spark_session: Any) -> Iterator[Any]:
    """Spark, whose sockets for results are left to the garbage collector."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
        yield spark_session
        gc.collect()


@pytest.fixture(scope="session")
def spark_session() -> Iterator[Any]:
    """Spark in two threads of this machine."""
    pytest.importorskip("pyspark", reason="Apache Spark is not installed: make spark")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    from etl.rollup.spark import open_session

    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patched:
        warnings.simplefilter("ignore")
        # It lives for a minute: compiling much costs more than it saves.
        patched.setenv(
            "PYSPARK_SUBMIT_ARGS", f"--conf 'spark.driver.extraJavaOptions={JAVA}' pyspark-shell"
        )
        session = open_session("local[2]")
        session.sparkContext.setLogLevel("ERROR")
        gateway = session.sparkContext._gateway
        yield session
        session.stop()
        # Its connections are closed by the garbage collector, in whose test it may run.
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait(30)
        gc.collect()
