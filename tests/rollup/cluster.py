"""A standalone cluster of Spark on this machine: a master and two workers, each with one core."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

# Started for a minute: compiling much costs more than it saves.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
WORKERS = 2
T = TypeVar("T")


class Cluster:
    """``url``: of the master; ``home``: of Spark."""

    def __init__(self, folder: Path) -> None:
        import pyspark

        self.home = Path(pyspark.__file__).parent
        self._folder, self._port = folder, _free_port()
        self.url = f"spark://127.0.0.1:{self._port}"
        self._all: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> dict[str, str]:
        """The environment of everything that is started; all of it stays on this machine."""
        return os.environ | {
            "SPARK_HOME": str(self.home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": JAVA,
        }

    def start(self) -> None:
        self._folder.mkdir(parents=True)
        base = "org.apache.spark.deploy"
        place = ("--host", "127.0.0.1")
        quiet = ("--webui-port", "0")
        self._start(f"{base}.master.Master", *place, "--port", str(self._port), *quiet)
        for number in range(WORKERS):
            work = self._folder / f"worker-{number}"
            work.mkdir(parents=True)
            size = ("--cores", "1", "--memory", "700m", "--work-dir", str(work))
            self._start(f"{base}.worker.Worker", *place, *quiet, *size, self.url)

    def _start(self, name: str, *arguments: str) -> None:
        log = (self._folder / f"{len(self._all)}.log").open("wb")
        command = [str(self.home / "bin" / "spark-class"), name, *arguments]
        with log:
            self._all.append(
                subprocess.Popen(
                    command, env=self.environment, stdout=log, stderr=log, start_new_session=True
                )
            )

    def executors(self) -> list[int]:
        """Return the processes of the executors that run now."""
        workers = {one.pid for one in self._all[1:]}
        return [
            pid for pid, parent, words in processes() if parent in workers and EXECUTOR in words
        ]

    def submit(self, *arguments: object, **settings: str) -> subprocess.Popen[str]:
        """Start a job. ``settings``: of Spark, with ``_`` for ``.``."""
        both = {
            "spark_driver_host": "127.0.0.1",
            "spark_driver_bindAddress": "127.0.0.1",
            "spark_driver_extraJavaOptions": JAVA,
            "spark_executor_extraJavaOptions": JAVA,
            "spark_executor_memory": "512m",
            "spark_ui_enabled": "false",
            "spark_pyspark_driver_python": sys.executable,
        }
        words = [f"{key.replace('_', '.')}={value}" for key, value in (both | settings).items()]
        command = [str(self.home / "bin" / "spark-submit"), "--master", self.url]
        for word in words:
            command += ["--conf", word]
        return subprocess.Popen(
            [*command, *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def stop(self) -> None:
        for one in reversed(self._all):
            one.terminate()
        for one in self._all:
            one.wait(20)


EXECUTOR = "CoarseGrainedExecutorBackend"


@contextmanager
def open_cluster(folder: Path) -> Iterator[Cluster]:
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def processes() -> Iterator[tuple[int, int, str]]:
    """Yield every process: its id, its parent's, its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                )
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            yield int(entry.name), int(parent), words


def runs_tasks(pid: int) -> bool:
    """Return whether an executor has started the Python that runs its tasks."""
    return any(parent == pid and "pyspark.daemon" in words for _, parent, words in processes())


def wait_for(condition: Callable[[], T], seconds: float = 60) -> T | None:
    """Wait until a function returns something true, and return that; None: it did not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    return None


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
