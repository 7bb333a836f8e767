"""Does a fit predict buckets that it has not seen, and better than equal weights?

Time is divided into blocks, and each fifth block is predicted from all others. What is compared is
the deviance of Poisson's distribution, which weighs small and large buckets alike. A gain counts if
it is more than twice its standard error over the blocks: with few blocks, nothing is proved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etl.estimate.fit import Fit, Rows, without
from etl.estimate.lag import Array

FOLDS, BLOCKS, LEAST_BLOCKS = 5, 40, 10

# How many standard errors a gain must exceed.
_ERRORS = 2

_HOUR = 3600


@dataclass(frozen=True)
class Evidence:
    """What held-out blocks say: each block's deviance with the fit and with equal weights.

    ``gain``: the part of the deviance with equal weights that the fit saves; at most 1.
    ``is_better``: the fit saves more than chance would.
    """

    fitted: Array
    equal: Array

    @property
    def gain(self) -> float:
        """Return the part of the deviance that the fit saves."""
        total = float(self.equal.sum())
        return 1 - float(self.fitted.sum()) / total if total > 0 else 0.0

    @property
    def is_better(self) -> bool:
        """Return whether the fit saves more than twice its standard error."""
        saved = self.equal - self.fitted
        if len(saved) < LEAST_BLOCKS:
            return False
        error = saved.std(ddof=1) * len(saved) ** 0.5
        return bool(saved.sum() > _ERRORS * error)


def blocks(starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the block of each bucket by its start (seconds): whole hours, at most ``BLOCKS``."""
    if not len(starts):
        return starts
    hours = starts // _HOUR
    hours = hours - hours.min()
    length = max(-(-int(hours.max() + 1) // BLOCKS), 1)
    numbers: NDArray[np.int64] = hours // length
    return numbers


def held_out(
    found: Fit,
    train: Rows,
    train_blocks: NDArray[np.int64],
    test: Rows,
    test_blocks: NDArray[np.int64],
) -> Evidence:
    """Return what a fit to ``train``, without the block in question, predicts of ``test``.

    Both have the same callers and blocks, and may have buckets of different sizes. ``found``: the
    fit to all of ``train``.
    """
    count = int(test_blocks.max()) + 1 if len(test_blocks) else 0
    fitted, equal = np.zeros(count), np.zeros(count)
    parts = [train_blocks % FOLDS == fold for fold in range(FOLDS)]
    for fold, part in enumerate(without(found, train, parts)):
        unseen = test_blocks % FOLDS == fold
        if parts[fold].all() or not unseen.any():
            continue
        calls, tokens = test.calls[unseen], test.tokens[unseen]
        for sums, predicted in (
            (fitted, calls @ part.weights),
            (equal, calls.sum(axis=1) * part.average),
        ):
            np.add.at(sums, test_blocks[unseen], _deviance(tokens, predicted))
    has_rows = np.bincount(test_blocks, minlength=count) > 0
    return Evidence(fitted[has_rows], equal[has_rows])


def _deviance(tokens: Array, predicted: Array) -> Array:
    """Return Poisson's deviance of each bucket; never negative."""
    tokens, predicted = np.maximum(tokens, 0), np.maximum(predicted, 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(tokens > 0, tokens * np.log(tokens / predicted), 0)
    return 2 * (logs - tokens + predicted)
