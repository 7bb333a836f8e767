"""Callers who always call together: no bucket tells them apart, so they are one caller of a fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from etl.estimate.lag import Array

# The least cosine between two callers' calls per bucket at which they count as one.
TOGETHER = 0.995


def groups(calls: Array) -> NDArray[np.int64]:
    """Return the number of each caller's group, from 0 in the order of their first members.

    Callers are in a group if their calls (bucket x caller) go together, or if both go with a third.
    """
    length = np.sqrt((calls * calls).sum(axis=0))
    scaled = calls / np.where(length > 0, length, 1)
    linked = scaled.T @ scaled >= TOGETHER
    np.fill_diagonal(linked, val=True)
    first = np.arange(len(linked))
    while True:
        smallest = np.where(linked, first, len(first)).min(axis=1)
        if (smallest == first).all():
            break
        first = smallest
    return np.unique(first, return_inverse=True)[1].astype(np.int64)


def joined(values: Array, group: NDArray[np.int64]) -> Array:
    """Return the sums of callers' values (the last axis) over each group."""
    count = int(group.max()) + 1 if len(group) else 0
    if count == len(group) and (group == np.arange(count)).all():
        return values
    sums: Array = values @ (group[:, None] == np.arange(count)).astype(float)
    return sums
