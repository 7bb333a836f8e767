"""Which engine does the work. Spark is imported only where it does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from etl.rollup.job import Job
from etl.rollup.local import LocalEngine
from etl.rollup.run import Engine

ENGINES = ("local", "spark")


def engine_for(name: str, template: bytes) -> Callable[[Job], AbstractContextManager[Engine]]:
    """Return what opens an engine. Raises ConfigError if what it needs is not installed.

    ``template``: of the warehouses that parts are counted in.
    """
    if name == "local":
        return lambda job: LocalEngine(job, template)
    from etl.rollup.spark import SparkEngine, require_spark

    require_spark()
    return lambda job: SparkEngine(job, template)
