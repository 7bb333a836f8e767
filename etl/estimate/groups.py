"""Callers who nearly always call together: no bucket tells them apart, so a fit takes them as one.

The same goes for those with the fewest calls where callers are many: a fit takes time with the cube
of their number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from etl.estimate.lag import Array

# The least cosine between two callers' calls per bucket at which they count as one.
TOGETHER = 0.995

# The most callers that are fitted, the rest counted as one.
MOST = 300


def groups(calls: Array) -> NDArray[np.int64]:
    """Return the number of each caller's group, from 0 in the order of their first members.

    Callers are in a group if their calls (bucket x caller) go together, or if both go with a third;
    so are those with the fewest calls, beyond the first ``MOST`` callers.
    """
    first = np.arange(calls.shape[1])
    most = first
    if len(first) > MOST:
        by_calls = np.argsort(-calls.sum(axis=0), kind="stable")
        most, rest = np.sort(by_calls[: MOST - 1]), by_calls[MOST - 1 :]
        first[rest] = rest.min()
    first[most] = most[_together(calls[:, most])]
    return np.unique(first, return_inverse=True)[1].astype(np.int64)


def _together(calls: Array) -> NDArray[np.int64]:
    """Return the first caller that each goes together with, perhaps by way of others."""
    length = np.sqrt((calls * calls).sum(axis=0))
    scaled = calls / np.where(length > 0, length, 1)
    linked = scaled.T @ scaled >= TOGETHER
    np.fill_diagonal(linked, val=True)
    first = np.arange(len(linked))
    while True:
        smallest = np.where(linked, first, len(first)).min(axis=1)
        if (smallest == first).all():
            return first
        first = smallest


def joined(values: Array, group: NDArray[np.int64]) -> Array:
    """Return the sums of callers' values (the last axis) over each group."""
    count = int(group.max()) + 1 if len(group) else 0
    if count == len(group) and (group == np.arange(count)).all():
        return values
    sums: Array = values @ (group[:, None] == np.arange(count)).astype(float)
    return sums
