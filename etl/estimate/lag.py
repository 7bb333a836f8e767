"""Move calls to the buckets in which CloudWatch counts them.

CloudWatch stamps a call later than CloudTrail does: when it ends, or later. By how much, both sides
tell together: ``Invocations`` of a bucket are the calls of that bucket and of those before it, each
times the share that arrives so late. These shares are the kernel, found by least squares without
negative shares.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# How much later than its event a call may be counted, in seconds, at least one bucket.
REACH = 600

_SWEEPS, _PRECISE = 1000, 1e-9

# The part of the calls that may be counted beyond a kernel's reach.
_NEGLIGIBLE = 0.005


def taps(size: int) -> int:
    """Return how many buckets of ``size`` seconds a call may be counted in, its own included."""
    return max(REACH // size, 1) + 1


def kernel(events: Array, invocations: Array, count: int) -> Array:
    """Return the share of calls that arrive 0, 1, … ``count - 1`` buckets after their event.

    Without evidence, all arrive in their own bucket.
    """
    lagged = np.stack([_later(events, tap) for tap in range(count)])
    shares = _least_squares(lagged @ lagged.T, lagged @ invocations)
    total = float(shares.sum())
    return shares / total if total > 0 else np.eye(count)[0]


def reach(shares: Array) -> int:
    """Return how many buckets later practically all calls are counted, at least one."""
    missing = 1 - np.cumsum(shares)
    return max(int(np.argmax(missing < _NEGLIGIBLE)), 1)


def shifted(values: Array, shares: Array) -> Array:
    """Return ``values`` (rows are buckets) moved by a kernel.

    What would arrive after the last bucket stays in the last, so that sums are kept.
    """
    moved: Array = values * shares[0]
    for tap in range(1, len(shares)):
        if shares[tap] == 0:
            continue
        tap_share = shares[tap]
        moved[tap:] += tap_share * values[: max(len(values) - tap, 0)]
        moved[-1] += tap_share * values[max(len(values) - tap, 0) :].sum(axis=0)
    return moved


def _later(events: Array, tap: int) -> Array:
    late = np.zeros_like(events)
    late[tap:] = events[: max(len(events) - tap, 0)]
    return late


def _least_squares(gram: Array, target: Array) -> Array:
    """Minimise a quadratic form without negative values, one value after the other.

    ``gram`` has a row per tap, a handful: a solver of its own costs less than a dependency.
    """
    found = np.zeros(len(target))
    for _ in range(_SWEEPS):
        before = found.copy()
        for tap, scale in enumerate(np.diag(gram)):
            if scale > 0:
                found[tap] = max(0.0, found[tap] + (target[tap] - gram[tap] @ found) / scale)
        if np.abs(found - before).max() < _PRECISE:
            break
    return found
