"""Roll up ever more records with both engines: python -m bench.scale [--records N ...]

Nine of ten records are of other services, as in a trail. Both engines run as processes of their own
over the same files, Spark in as many threads as there are cores. CPU seconds are those of all
processes of a run, memory is the peak of all of them together, each sampled; shuffled bytes are
what Spark's tasks wrote for each other, compressed. Needs Linux, and the extra `spark`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.logs import write_logs
from bench.memory import _kilobytes, _session
from bench.workload import DAYS

RECORDS = (400_000, 1_200_000, 4_000_000)
OTHERS = 0.9
# The density of ten million calls in 90 days, and nine times as many other events.
DENSITY = 10_000_000 / DAYS / (1 - OTHERS)
_TICKS = os.sysconf("SC_CLK_TCK")
_SECONDS_BETWEEN_LOOKS = 0.1


class Ran(NamedTuple):
    """A run: wall seconds, CPU seconds and peak bytes of all its processes."""

    wall: float
    cpu: float
    memory: int


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=RECORDS)
    parser.add_argument("--engines", nargs="+", default=("local", "spark"))
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    columns = (
        *("records", "engine", "MB read", "wall s", "CPU s", "records per CPU s", "peak MB"),
        *("shuffled MB", "rollup rows", "rollup MB", "warehouse MB"),
    )
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for records in options.records:
        with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
            _measure(Path(folder), records, options.engines)


def _measure(folder: Path, records: int, engines: Sequence[str]) -> None:
    logs = folder / "logs"
    write_logs(logs, records, days=records / DENSITY, others=OTHERS)
    size = _size(logs)
    rows = {}
    for engine in engines:
        output, events = folder / engine, folder / f"{engine}-events"
        events.mkdir()
        settings = (
            f"--conf spark.eventLog.enabled=true --conf spark.eventLog.dir=file://{events}"
            " --conf spark.eventLog.compress=false --conf spark.eventLog.rolling.enabled=false"
        )
        command = ("-m", "etl", "rollup", "--engine", engine, "--input", logs, "--output", output)
        ran = run([sys.executable, *command], {"PYSPARK_SUBMIT_ARGS": f"{settings} pyspark-shell"})
        db = folder / f"{engine}.db"
        run([sys.executable, "-m", "etl", "load-rollup", output, "--db", db], {})
        manifest = json.loads((output / "manifest.json").read_text())
        rows[engine] = {day: found["digest"] for day, found in manifest["days"].items()}
        cells = (
            f"{records:,}",
            engine,
            f"{size / 1e6:,.0f}",
            f"{ran.wall:,.0f}",
            f"{ran.cpu:,.0f}",
            f"{records / ran.cpu:,.0f}",
            f"{ran.memory / 1e6:,.0f}",
            f"{_shuffled(events) / 1e6:,.1f}" if engine == "spark" else "",
            f"{manifest['counts']['rows']:,}",
            f"{sum(f['size'] for d in manifest['days'].values() for f in d['files']) / 1e6:,.1f}",
            f"{db.stat().st_size / 1e6:,.1f}",
        )
        print("| " + " | ".join(cells) + " |", flush=True)
    assert len({json.dumps(one, sort_keys=True) for one in rows.values()}) == 1, "they differ"


def run(command: Sequence[str | Path], environment: Mapping[str, str]) -> Ran:
    """Run a program in a session of its own. Raises RuntimeError if it fails."""
    with tempfile.TemporaryFile() as out:
        began = time.monotonic()
        program = subprocess.Popen(
            list(map(str, command)),
            stdout=out,
            stderr=out,
            env=os.environ | environment,
            start_new_session=True,
        )
        cpu: dict[int, float] = {}
        memory = 0
        while program.poll() is None:
            pids = list(_session(program.pid))
            cpu.update({pid: seconds for pid in pids if (seconds := _cpu(pid))})
            memory = max(memory, sum(_kilobytes(pid, "smaps_rollup", "Pss") for pid in pids))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        wall = time.monotonic() - began
        out.seek(0)
        if program.returncode:
            raise RuntimeError(out.read()[-2000:].decode(errors="replace"))
    return Ran(wall, sum(cpu.values()), memory * 1024)


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process itself, 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _shuffled(events: Path) -> int:
    """Return the bytes that tasks wrote for each other, from Spark's log of events."""
    total = 0
    for file in events.rglob("*"):
        if not file.is_file():
            continue
        for line in file.read_text(errors="replace").splitlines():
            if '"SparkListenerTaskEnd"' in line:
                metrics = json.loads(line).get("Task Metrics") or {}
                total += metrics.get("Shuffle Write Metrics", {}).get("Shuffle Bytes Written", 0)
    return total


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    main()
