"""All processes of a load together use little memory, whatever the files contain."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

from bench.memory import GOAL_BYTES, peak_memory
from etl.load.decoder.pool import FEW_BYTES
from tests.bombs import BOMBS, packed
from tests.rounds import rounds
from tests.support import call, write_log

ROOT = Path(__file__).parents[2]

# Read whole, either would take half a gigabyte.
FEW = ("records that are numbers", "empty lines")

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="PSS is known on Linux only"
)


def filler(size: int) -> bytes:
    """Return bytes that need reading processes, and are refused at once."""
    return b"x" + random.Random(1).randbytes(size)


@pytest.mark.parametrize("kinds", [FEW] if rounds(1, 0) else [(kind,) for kind in BOMBS])
def test_a_load_of_bombs_with_processes_takes_little_memory(
    kinds: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a").write_bytes(filler(FEW_BYTES))
    write_log(folder / "b", [call(number) for number in range(100)])
    for kind in kinds:
        for number in range(rounds(1, 2)):
            data = packed(BOMBS[kind](rounds(5_000_000, 20_000_000)))
            (folder / f"{kind} {number}").write_bytes(data)
    words = [sys.executable, "-m", "etl", "load", "--db", tmp_path / "w.db", folder]
    peak = peak_memory(words, tmp_path, os.environ | {"PYTHONPATH": str(ROOT)}, (0, 1))
    assert peak.processes > 1
    assert peak.pss_bytes < GOAL_BYTES
