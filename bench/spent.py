"""The cost of a piece of work: wall seconds and CPU seconds.

On a busy machine wall seconds say little. CPU seconds count every process, our own and those that
were started and have ended, and hardly depend on what else runs.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterable
from typing import NamedTuple


class Spent(NamedTuple):
    """Wall seconds, and CPU seconds of all processes; ``children``: without our own process."""

    wall: float
    cpu: float
    children: float

    def since(self, before: Spent) -> Spent:
        """Return the difference to an earlier moment."""
        return Spent(*(now - then for now, then in zip(self, before, strict=True)))


def spent() -> Spent:
    """Return the total so far of this process and its finished children.

    A child of a child counts once its parent has waited for it.
    """
    own, children = (
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    return Spent(time.perf_counter(), own + children, children)


def median(runs: Iterable[Spent]) -> Spent:
    """Return the median of each figure; they may come from different runs."""
    return Spent(*map(statistics.median, zip(*runs, strict=True)))
