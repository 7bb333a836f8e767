"""How far off the shares of a fit may be.

A caller's share is off for two reasons: the weights are estimates, and within a bucket the calls of
one caller may have been larger than usual and those of another smaller. Both follow from the same
scatter, so both are computed together: the share of a caller is nearly linear in what each bucket
has beyond its expectation. The model's error takes the scatter from the fit, the sandwich error
scales it by each bucket's own residual; the larger of the two counts.

The errors of all callers of a series add up to 0: their total is CloudWatch's. Bootstrap over days
is not used: it covers far less than it says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from etl.estimate.fit import CHUNK, Fit, Rows, predicted_variance
from etl.estimate.lag import Array

# Standard errors on each side of a normal interval of 90 %.
NINETY = 1.6448536269514722

# exp of more could overflow.
_ANYTHING = 27.0


class Interval(NamedTuple):
    """The lower and upper end for each caller, in tokens."""

    low: Array
    high: Array


class Sure(NamedTuple):
    """What is certain of each caller: at least, and at most, so many tokens."""

    least: Array
    most: Array


def standard_errors(found: Fit, equations: Rows) -> tuple[Array, Array]:
    """Return each caller's expected share of these buckets, and its standard error, in tokens."""
    weights = found.weights
    shares, slopes = _slopes(equations, weights)
    # How each share moves with each weight's logarithm, and that with each bucket's residual.
    gains = slopes @ found.covariance
    model, sandwich = np.zeros((2, len(weights)))
    for first in range(0, len(equations.tokens), CHUNK):
        calls = equations.calls[first : first + CHUNK]
        tokens = equations.tokens[first : first + CHUNK]
        scale = found.spread * predicted_variance(calls, weights)
        expected = calls * weights
        effect = expected / expected.sum(axis=1, keepdims=True)
        effect = effect + (expected / scale[:, None]) @ gains.T
        scatter = found.spread * expected * weights
        error = effect * effect * scale[:, None] - 2 * effect * scatter + scatter
        model += error.sum(axis=0)
        sandwich += (tokens - expected.sum(axis=1)) ** 2 / scale @ error
    # The evidence that is not in buckets: known calls, and what callers have in common.
    rest = np.eye(len(weights)) / found.difference
    rest += np.diag(equations.known_calls / found.spread)
    other = np.einsum("ij,jk,ik->i", gains, rest, gains)
    variance = np.maximum(model, sandwich) + other
    return shares, np.sqrt(np.maximum(variance, 0))


def expected_shares(weights: Array, equations: Rows) -> Array:
    """Return what each caller gets of these buckets by these weights."""
    return _slopes(equations, weights)[0]


def interval(shares: Array, errors: Array, sure: Sure | None = None) -> Interval:
    """Return log-normal intervals of 90 %, within what is sure."""
    factor = factors(shares, errors)
    low, high = shares / factor, shares * factor
    if sure is not None:
        low, high = np.maximum(low, sure.least), np.minimum(high, sure.most)
        low, high = np.minimum(low, shares), np.maximum(high, shares)
    return Interval(low, high)


def factors(shares: Array, errors: Array) -> Array:
    """Return the ends' distance from the shares, as factors; a very large one means anything."""
    exponents: Array = NINETY * errors / np.maximum(shares, 1e-300)
    return np.exp(np.minimum(exponents, _ANYTHING))


def single_callers(
    present: Array, invocations: Array, reach: int, is_settled: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the only caller that a bucket's tokens can belong to, -1 where there is none.

    ``present``: all successful calls (bucket x caller), also those with known tokens. Nobody else
    calls within ``reach`` buckets, and CloudWatch counts as many calls as there are events.
    """
    near = present > 0
    for tap in range(1, reach + 1):
        near[tap:] |= present[:-tap] > 0
        near[:-tap] |= present[tap:] > 0
    own = present.sum(axis=1)
    is_sure = (near.sum(axis=1) == 1) & (own > 0) & (own == invocations) & is_settled
    return np.where(is_sure, near.argmax(axis=1), -1)


def _slopes(equations: Rows, weights: Array) -> tuple[Array, Array]:
    """Return the shares, and how each (row) changes with the logarithm of each weight (column)."""
    shares, mixed = np.zeros(len(weights)), np.zeros((len(weights), len(weights)))
    for first in range(0, len(equations.tokens), CHUNK):
        expected = equations.calls[first : first + CHUNK] * weights
        tokens = equations.tokens[first : first + CHUNK]
        part = expected / expected.sum(axis=1, keepdims=True)
        shares += tokens @ part
        mixed += (part * tokens[:, None]).T @ part
    return shares, np.diag(shares) - mixed
