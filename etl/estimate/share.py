"""Share tokens between callers in whole tokens, so that the shares add up to them exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from etl.estimate.lag import Array

Whole = NDArray[np.int64]


def parts(due: Array, tokens: Array) -> Array:
    """Share each bucket's tokens in proportion to ``due`` (bucket x caller), in fractions."""
    total = due.sum(axis=1)
    found: Array = due * np.where(total > 0, tokens / np.where(total > 0, total, 1), 0)[:, None]
    return found


def share(due: Array, tokens: Whole) -> Whole:
    """Share each bucket's tokens in proportion to ``due`` (bucket x caller): calls x weights.

    Each share is rounded down; the tokens left go one each to the largest remainders, and to the
    first of equal ones. A bucket with nothing due to anyone is shared to nobody.
    """
    total = due.sum(axis=1)
    exact = due * (tokens / np.where(total > 0, total, 1))[:, None]
    whole: Whole = np.floor(exact).astype(np.int64)
    left = np.where(total > 0, tokens - whole.sum(axis=1), 0)
    # Only callers to whom something is due; rounding errors can leave less than nothing.
    remainder = np.where(due > 0, exact - whole, -1)
    order = np.argsort(-remainder, axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    whole += rank < left[:, None]
    over = np.minimum(left, 0)
    whole[np.arange(len(whole)), whole.argmax(axis=1)] += over
    return whole


def share_one(due: Array, tokens: int) -> Whole:
    """Share the tokens of one bucket."""
    whole: Whole = share(due[None, :], np.array([tokens]))[0]
    return whole
