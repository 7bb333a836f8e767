"""The peak memory of all processes of a program together.

Every 20 ms the proportional set size (PSS) of the processes is summed; it counts shared pages once.
Shorter peaks are missed; the sum of each process's own peak is the upper bound. Needs Linux.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

GOAL_BYTES = 250_000_000
SECONDS_BETWEEN_LOOKS = 0.02


class Peak(NamedTuple):
    """The peak memory of a tree of processes, in bytes, and the number of processes."""

    pss_bytes: int
    bound_bytes: int
    processes: int


def peak_memory(
    words: Sequence[str | Path],
    scratch: Path,
    environment: Mapping[str, str],
    statuses: Sequence[int] = (0,),
) -> Peak:
    """Run a program in a new session; return the peak of all processes of the session.

    ``statuses``: the allowed exit statuses. Raises RuntimeError for any other.
    """
    pss_bytes, processes = 0, 0
    own_peaks: dict[int, int] = {}
    with (scratch / "output.txt").open("wb") as out:
        program = subprocess.Popen(
            words, stdout=out, stderr=out, cwd=scratch, env=environment, start_new_session=True
        )
    while program.poll() is None:
        pids = list(_session(program.pid))
        now = sum(_kilobytes(pid, "smaps_rollup", "Pss") for pid in pids)
        pss_bytes, processes = max(pss_bytes, now * 1024), max(processes, len(pids))
        for pid in pids:
            own_peaks[pid] = max(own_peaks.get(pid, 0), _kilobytes(pid, "status", "VmHWM"))
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if program.returncode not in statuses:
        raise RuntimeError((scratch / "output.txt").read_text()[-2000:])
    return Peak(pss_bytes, sum(own_peaks.values()) * 1024, processes)


def _session(leader: int) -> Iterator[int]:
    """Yield the processes of a session, regardless of their parent."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == leader:
                yield int(stat.parent.name)


def _kilobytes(pid: int, file: str, name: str) -> int:
    """Return one figure of a process, 0 if it has ended."""
    with suppress(OSError):
        found = re.search(
            rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE
        )
        return int(found[1]) if found else 0
    return 0
