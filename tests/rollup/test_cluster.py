"""On a real cluster: other processes, a packed environment, and an executor that is killed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from scripts.pack_environment import pack_environment, pack_project
from tests.rollup.cluster import open_cluster, runs_tasks, wait_for
from tests.rollup.rolling import manifest_of, roll_up, tables_of

ROOT = Path(__file__).parents[2]
LIMIT = 240
# So few that callers have to be put together, on both grounds.
MOST = 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks at /proc")
def test_a_job_survives_the_death_of_an_executor(cases: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="Apache Spark is not installed: make spark")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    config, parts = cases / "config.toml", ("copies", "corrections", "sessions", "joined", "odd")
    inputs = [cases / "input" / part for part in parts]
    roll_up(inputs, tmp_path / "local", config=config, most_callers=MOST)
    environment, project = tmp_path / "environment.tar.gz", tmp_path / "project.zip"
    pack_environment(environment, level=0)
    pack_project(project)
    output = tmp_path / "rollup"
    with open_cluster(tmp_path / "cluster") as cluster:
        job = cluster.submit(
            *("--archives", f"{environment}#environment", "--py-files", project),
            ROOT / "etl" / "rollup" / "submit.py",
            *("rollup", "--engine", "spark", "--config", config, "--output", output),
            *("--most-callers", str(MOST)),
            *(word for path in inputs for word in ("--input", path)),
            spark_pyspark_python="./environment/bin/python",
        )
        try:

            def busy() -> list[int]:
                ended = [] if job.poll() is None else [0]
                return [pid for pid in cluster.executors() if runs_tasks(pid)] or ended

            victims = wait_for(busy, LIMIT)
            assert job.poll() is None, job.communicate()[0]
            assert victims
            os.kill(victims[0], signal.SIGKILL)
            said, _ = job.communicate(timeout=LIMIT)
        finally:
            job.kill()
            job.wait()
    # What cannot be read is reported.
    assert job.returncode == 1, said
    assert "Traceback" not in said.partition("Files  ")[2]
    manifest = manifest_of(output)
    assert manifest.engine.startswith("spark ")
    assert manifest.counts == manifest_of(tmp_path / "local").counts
    assert manifest.counts["callers_in_others"] > 0
    expected, found = tables_of(tmp_path / "local"), tables_of(output)
    assert found.keys() == expected.keys()
    assert {key for key in expected if found[key] != expected[key]} == set()
