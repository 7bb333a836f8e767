"""The speed and memory of ``load``, compared with other programs that read the same files.

    python -m bench.load [--events 200000] [--runs 3] [--memory-files 100 1000]

Whole processes run on the same log files, start and end included. They take turns, because a
machine is not equally busy all the time: the medians of the runs are compared, never times of
different days. Next to the seconds are the CPU seconds of all processes of a contender. Every
contender must find the same Bedrock calls and the same input tokens, or the benchmark stops.

Workloads: A, every event is a call; B, 95 % are other services' events, as in a trail of a whole
account. Both are gzip files of 2,000 events, read once before the first run.

Contenders: *baseline* is one process that unzips and parses every file and does nothing else
(``peers/parse_only.py``). *load* is the complete command, into a new warehouse. *DuckDB* is one
statement from the files to a table of the same columns (``peers/read_json.py``). *sqlite-utils* is
its ``insert`` of lines that are already unzipped, filtered and flattened; that work is not counted.
On B it gets one event in twenty, so its goal is for A. *trailscraper* is its ``select`` of
everything, with the JSON written to a file: it has no filter by service.

Memory: the whole tree of ``load``'s processes, in a separate run that is not timed. Every 20 ms the
proportional set size (PSS) of the processes is summed; it counts shared pages once. Shorter peaks
are missed; the sum of each process's own peak is the upper bound. Files: those of A, repeated with
other ids and days, so every event is new.

Slowness does not make the benchmark fail: goals are printed as met or missed.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from bench.logs import FEW_DAYS, log_files, write_logs
from bench.memory import GOAL_BYTES, peak_memory
from bench.peers.flatten import Calls, input_tokens_of, is_bedrock, write_flat
from bench.spent import Spent, median, spent

PEERS = Path(__file__).with_name("peers")
SETUP = "pip install --editable '.[bench]', or make bench"
OTHERS = {"A": 0.0, "B": 0.95}
# The CPU seconds of ``load``, all its processes together, in those of the baseline: at most.
CPU_GOALS = {"A": 3.2, "B": 0.8}


class Workload(NamedTuple):
    """Log files, their Bedrock calls as flat JSON lines, and the expected result."""

    name: str
    folder: Path
    flat: Path
    events: int
    expected: Calls


class Goal(NamedTuple):
    """The ratio to another contender's seconds: at most, or (for peers) at least."""

    limit: float
    of: str
    is_at_most: bool = False


class Contender(NamedTuple):
    """A program to time.

    ``command`` takes the workload and the database to create; ``found`` takes that database and the
    file of the standard output. ``missing`` says how to install a missing contender.
    """

    name: str
    what: str
    command: Callable[[Workload, Path], Sequence[str | Path]]
    found: Callable[[Path, Path], Calls] | None
    goals: dict[str, Goal]
    missing: str | None = None


def contenders(trailscraper: str | None) -> list[Contender]:
    """Return the programs in the order of the table."""
    python, at_least_4 = sys.executable, Goal(4, "load")
    duckdb = None if importlib.util.find_spec("duckdb") else SETUP
    return [
        Contender(
            "baseline",
            "gzip and orjson, nothing else",
            lambda w, _: [python, PEERS / "parse_only.py", w.folder],
            None,
            {},
        ),
        Contender(
            "load",
            "bedrock-usage load",
            lambda w, db: [*load_command(db), w.folder],
            lambda db, _: _in_warehouse(db),
            {"A": Goal(2.0, "baseline", True), "B": Goal(0.5, "baseline", True)},
        ),
        Contender(
            "DuckDB",
            "read_json, records = true",
            lambda w, db: [python, PEERS / "read_json.py", w.folder, db],
            lambda db, _: _in_duckdb(db),
            {"A": at_least_4, "B": at_least_4},
            duckdb,
        ),
        Contender(
            "DuckDB, columns only",
            "read_json",
            lambda w, db: [python, PEERS / "read_json.py", w.folder, db, "--columns-only"],
            lambda db, _: _in_duckdb(db),
            {},
            duckdb,
        ),
        Contender(
            "sqlite-utils",
            "insert, of flat lines",
            lambda w, db: [
                *(python, "-m", "sqlite_utils", "insert", db, "events", w.flat),
                *("--nl", "--pk", "event_id", "--silent"),
            ],
            lambda db, _: _in_sqlite(db, "events"),
            {"A": Goal(10, "load")},
        ),
        Contender(
            "trailscraper",
            "select, to JSON",
            lambda w, _: [
                *(str(trailscraper), "select", "--log-dir", w.folder, "--to", "2100-01-01"),
            ],
            lambda _, output: _in_records(output),
            {},
            None if trailscraper else "make bench, or pip install trailscraper, --trailscraper",
        ),
    ]


def load_command(database: Path) -> list[str | Path]:
    """Return the words of ``bedrock-usage load``, without the files to load."""
    return [sys.executable, "-m", "etl", "load", "--db", database]


def _in_warehouse(database: Path) -> Calls:
    calls, _ = _in_sqlite(database, "events", "null")
    return Calls(calls, _in_sqlite(database, "tokens").input_tokens)


def _in_sqlite(database: Path, table: str, tokens: str = "input_tokens") -> Calls:
    with closing(sqlite3.connect(database)) as connection:
        (found,) = connection.execute(f"select count(*), sum({tokens}) from {table}")
    return Calls(*found)


def _in_duckdb(database: Path) -> Calls:
    import duckdb

    with duckdb.connect(str(database), read_only=True) as connection:
        found = connection.execute("select count(*), sum(input_tokens) from events").fetchone()
    return Calls(*(int(number) for number in found or ()))


def _in_records(output: Path) -> Calls:
    records = json.loads(output.read_bytes())["Records"]
    tokens = [input_tokens_of(record) or 0 for record in records if is_bedrock(record)]
    return Calls(len(tokens), sum(tokens))


def make_workload(name: str, folder: Path, events: int) -> Workload:
    """Write the log files of a workload and its flat lines."""
    logs, flat = folder / name, folder / f"{name}.jsonl"
    days = FEW_DAYS * events / 200_000
    write_logs(logs, events, days=days, others=OTHERS[name])
    return Workload(name, logs, flat, events, write_flat(logs, flat))


def run(words: Sequence[str | Path], output: Path, scratch: Path) -> Spent:
    """Run a program; return the time it took. Stops the benchmark if it fails."""
    errors = scratch / "errors.txt"
    with output.open("wb") as out, errors.open("wb") as err:
        before = spent()
        done = subprocess.run(words, stdout=out, stderr=err, cwd=scratch, env=_environment())
        taken = spent().since(before)
    if done.returncode:
        raise SystemExit(f"{_words(words)} failed:\n{errors.read_text(errors='replace')[-2000:]}")
    return taken


def _environment() -> dict[str, str]:
    """Return an environment in which ``load`` has its defaults, and Python finds our code.

    Python may store compiled modules, as it does for an installed program.
    """
    kept = {name: v for name, v in os.environ.items() if not name.startswith("BEDROCK_USAGE_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    paths = [kept.get("PYTHONPATH"), str(PEERS.parent.parent)]
    return kept | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _words(words: Sequence[str | Path]) -> str:
    return " ".join(str(word) for word in words)


def time_once(contender: Contender, workload: Workload, scratch: Path) -> Spent:
    """Time a contender and check what it found."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    database, output = scratch / "made.db", scratch / "output.txt"
    taken = run(contender.command(workload, database), output, scratch)
    _check(contender, workload, database, output)
    return taken


def _check(contender: Contender, workload: Workload, database: Path, output: Path) -> None:
    """Stop the benchmark if the contender did not find exactly the expected calls."""
    found: Calls | int
    expected: Calls | int
    if contender.found is None:
        found, expected = int(output.read_text()), workload.events
    else:
        found, expected = contender.found(database, output), workload.expected
    if found != expected:
        raise SystemExit(f"{contender.name} found {found} in {workload.name}, not {expected}")


def time_all(
    present: Sequence[Contender], workload: Workload, scratch: Path, runs: int
) -> dict[str, list[Spent]]:
    """Return the times of each contender's runs; the contenders take turns."""
    taken: dict[str, list[Spent]] = {contender.name: [] for contender in present}
    for number in range(1, runs + 1):
        for contender in present:
            _report(f"{workload.name}, run {number} of {runs}: {contender.name}")
            taken[contender.name].append(time_once(contender, workload, scratch))
    return taken


def _report(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="\r", file=sys.stderr, flush=True)


def print_times(
    workload: Workload, programs: Sequence[Contender], taken: dict[str, list[Spent]]
) -> None:
    """Print the table of one workload."""
    files = list(log_files(workload.folder))
    size = sum(file.stat().st_size for file in files)
    print(
        f"\n{workload.name}: {workload.events:,} events, {workload.expected.calls:,} of them calls"
        f" of Bedrock, in {len(files):,} files, {size / 1e6:.1f} MB in total"
    )
    print(f"{'':<46}{'seconds':>9}{'range':>16}{'CPU':>8}{'x baseline':>12}{'x load':>9}  goal")
    medians = {name: median(runs) for name, runs in taken.items()}
    walls = {name: one.wall for name, one in medians.items()}
    for contender in programs:
        title = f"{contender.name}: {contender.what}"
        if contender.missing:
            print(f"{title:<46}  not measured, not installed: {contender.missing}")
            continue
        runs, middle = [one.wall for one in taken[contender.name]], medians[contender.name]
        print(
            f"{title:<46}{middle.wall:>9.2f}{f'{min(runs):.2f} - {max(runs):.2f}':>16}"
            f"{middle.children:>8.2f}{middle.wall / walls['baseline']:>12.2f}"
            f"{middle.wall / walls['load']:>9.2f}"
            f"  {_verdict(contender.goals.get(workload.name), middle.wall, walls)}".rstrip()
        )

    ratio = medians["load"].children / medians["baseline"].children
    is_met = "met" if ratio <= CPU_GOALS[workload.name] else "missed"
    goal = f"at most {CPU_GOALS[workload.name]:g}: {is_met}"
    print(f"CPU seconds of load: {ratio:.2f} x baseline; {goal}")


def _verdict(goal: Goal | None, wall: float, walls: dict[str, float]) -> str:
    if goal is None:
        return ""
    ratio = wall / walls[goal.of]
    is_met = ratio <= goal.limit if goal.is_at_most else ratio >= goal.limit
    bound = "at most" if goal.is_at_most else "at least"
    return f"{bound} {goal.limit:g} x {goal.of}: {'met' if is_met else 'missed'}"


_ID = re.compile(rb'("(?:eventID|requestID)":")[0-9a-f]{4}')
_DAY = re.compile(rb'("eventTime":")(\d{4}-\d\d-\d\d)')


def multiply(source: Path, target: Path, files: int) -> None:
    """Write ``files`` log files: those of ``source``, repeated with other ids and later days."""
    originals = list(log_files(source))
    for number in range(files):
        original, copy = originals[number % len(originals)], number // len(originals)
        path = target / original.relative_to(source)
        path = path.with_name(f"{path.name[: -len('0000.json.gz')]}{copy:04x}.json.gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_renewed(original.read_bytes(), copy) if copy else original.read_bytes())


def _renewed(data: bytes, copy: int) -> bytes:
    def later(match: re.Match[bytes]) -> bytes:
        day = date.fromisoformat(match[2].decode()) + timedelta(days=copy)
        return match[1] + day.isoformat().encode()

    text = _ID.sub(rb"\g<1>%04x" % copy, gzip.decompress(data))
    return gzip.compress(_DAY.sub(later, text), compresslevel=1, mtime=0)


def measure_memory(workload: Workload, folder: Path, counts: Sequence[int]) -> None:
    """Print the peak of ``load`` for each number of files."""
    print(f"\nMemory of load: {'files':>8}{'calls':>12}{'processes':>11}{'peak MB':>9}{'bound':>8}")
    peaks = []
    for files in counts:
        _report(f"memory: {files:,} files")
        logs, scratch = folder / "many", folder / "scratch"
        for path in (logs, scratch):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        multiply(workload.folder, logs, files)
        database = scratch / "made.db"
        peak = peak_memory([*load_command(database), logs], scratch, _environment())
        calls = _in_warehouse(database).calls
        peaks.append(peak.pss_bytes)
        print(
            f"{'':<16}{files:>8,}{calls:>12,}{peak.processes:>11}"
            f"{peak.pss_bytes / 1e6:>9.0f}{peak.bound_bytes / 1e6:>8.0f}"
        )
    verdict = "met" if max(peaks) < GOAL_BYTES else "missed"
    print(
        f"  goal: less than {GOAL_BYTES / 1e6:.0f} MB: {verdict};"
        f" the last peak is {peaks[-1] / peaks[0]:.2f} times the first"
    )


def describe_machine(trailscraper: str | None) -> str:
    """Describe the machine and the versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [f"{_processor()}, {cores} cores", f"Python {platform.python_version()}"]
    parts.append(f"SQLite {sqlite3.sqlite_version}")
    for name in ("orjson", "duckdb", "sqlite-utils"):
        with suppress(importlib.metadata.PackageNotFoundError):
            parts.append(f"{name} {importlib.metadata.version(name)}")
    if trailscraper:
        words = [trailscraper, "--version"]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        parts.append(f"trailscraper {said[-1]}")
    if hasattr(os, "getloadavg"):
        parts.append(f"load average before {os.getloadavg()[0]:.1f}")
    return ", ".join(parts)


def _processor() -> str:
    with suppress(OSError):
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def find_trailscraper() -> str | None:
    """Return the program: in the separate environment of ``make bench``, or on the PATH."""
    own = Path(sys.prefix) / "trailscraper/bin/trailscraper"
    return str(own) if own.exists() else shutil.which("trailscraper")


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=200_000, help="of each workload")
    parser.add_argument("--runs", type=int, default=3, help="of each contender")
    parser.add_argument(
        "--memory-files", type=int, nargs="*", default=[100, 1000], help="none: not measured"
    )
    parser.add_argument("--trailscraper", default=find_trailscraper(), help="the program")
    return parser.parse_args()


def main() -> None:
    """Write the files, measure, print."""
    options = parse_options()
    print(describe_machine(options.trailscraper))
    programs = contenders(options.trailscraper)
    present = [contender for contender in programs if not contender.missing]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for workload_name in OTHERS:
            _report(f"{workload_name}: writing the files")
            workload = make_workload(workload_name, folder, options.events)
            taken = time_all(present, workload, folder / "scratch", options.runs)
            _report("")
            print_times(workload, programs, taken)
            if workload_name == "A" and options.memory_files:
                if Path("/proc/self/smaps_rollup").exists():
                    measure_memory(workload, folder, options.memory_files)
                else:
                    print("\nMemory of load: not measured; it needs /proc/PID/smaps_rollup (Linux)")
            shutil.rmtree(workload.folder)


if __name__ == "__main__":
    main()
