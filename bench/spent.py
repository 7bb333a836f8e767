"""What a piece of work took: seconds on the wall, and of the processors.

On a machine that does other things too the first says little; the second counts every process, our
own and those that were started and have ended, and hardly changes with what else runs.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterable
from typing import NamedTuple


class Spent(NamedTuple):
    """Seconds on the wall, and CPU seconds of all processes; ``children``: without our own."""

    wall: float
    cpu: float
    children: float

    def since(self, before: Spent) -> Spent:
        """Return what was spent since then."""
        return Spent(*(now - then for now, then in zip(self, before, strict=True)))


def spent() -> Spent:
    """Return what this process and its children that have ended took so far.

    A child of a child counts once its parent has waited for it.
    """
    own, children = (
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    return Spent(time.perf_counter(), own + children, children)


def median(runs: Iterable[Spent]) -> Spent:
    """Return the median of each, which need not be of one run."""
    return Spent(*map(statistics.median, zip(*runs, strict=True)))
