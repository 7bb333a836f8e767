"""Find the mean tokens per call of each caller.

A bucket's tokens are its calls times their callers' means, its weights, and scatter around that.
Calls scatter in proportion to their mean, so a bucket's variance is ``spread`` x calls x weight
squared. Weights are positive and differ by factors, so what is fitted is their logarithm.

Callers resemble each other: their logarithms scatter around a common one with a variance that the
same data tell (empirical Bayes). This decides how far a caller with little evidence may be from the
others, and with no evidence at all the result is the plain share by calls. A fixed number of
average calls instead, by the multiplicative steps of EM, needs to stop early to be as good, takes
longer, and is further off with few days or many callers (``bench/attribution.py``
runs both).

A round costs one product of the matrix with itself; few rounds suffice, and fewer from a start that
is close, such as the weights from coarser buckets. A step is Newton's, which where a weight falls
is shorter than that of least squares: with that one alone, weights near 0 go up and down for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from etl.estimate.lag import Array

# Rounds with new variances of the buckets, and steps of each. They end when the logarithms move by
# less than this part of their standard errors.
_ROUNDS, _DIRECT, _SETTLED = 20, 2, 0.05
_STEPS, _PRECISE = 5, 0.01

# The first guesses of the variances, and their least values: with perfect agreement, both are 0.
_DIFFERENCE, _SPREAD = 1.0, 1.0
_LEAST = 1e-3

# How many calls' worth of evidence the first guess of the spread has.
_SPREAD_CALLS = 2.0

# Rows multiplied at a time: those of many callers fit in a processor's cache.
CHUNK = 1024


@dataclass(frozen=True)
class Rows:
    """Equations: ``calls`` (bucket x caller, also fractions), and each bucket's ``tokens``.

    ``known_calls``, ``known_tokens``: per caller, further calls, whose tokens are known.
    """

    calls: Array
    tokens: Array
    known_calls: Array
    known_tokens: Array


@dataclass(frozen=True)
class Fit:
    """Mean tokens per call of each caller (``weights``), and of all of them together.

    ``covariance``: of the weights' logarithms. ``spread``: the variance of a call's tokens relative
    to its caller's mean squared. ``difference``: the variance between callers' logarithms.
    """

    weights: Array
    average: float
    covariance: Array
    spread: float
    difference: float


def rows(calls: Array, tokens: Array, known: tuple[Array, Array] | None = None) -> Rows:
    """Return the equations of the buckets with calls; ``known``: known calls and their tokens."""
    none = np.zeros(calls.shape[1])
    seen = calls.sum(axis=1) > 0
    if not seen.all():
        calls, tokens = calls[seen], tokens[seen]
    return Rows(calls, tokens, *(known or (none, none)))


def average(equations: Rows) -> float:
    """Return the mean tokens per call over all callers; 0 without calls."""
    calls = float(equations.calls.sum() + equations.known_calls.sum())
    tokens = float(equations.tokens.sum() + equations.known_tokens.sum())
    return max(tokens / calls, 0.0) if calls > 0 else 0.0


def fit(equations: Rows, start: Fit | None = None) -> Fit:
    """Return the weights of the callers; ``start``: a fit of the same callers."""
    mean, callers = average(equations), equations.calls.shape[1]
    if mean <= 0:
        return Fit(np.zeros(callers), 0.0, np.eye(callers) * _DIFFERENCE, _SPREAD, _DIFFERENCE)
    logs, difference = np.full(callers, np.log(mean)), _DIFFERENCE
    covariance = np.eye(callers) * difference
    if start is not None and start.average > 0:
        logs, difference, covariance = np.log(start.weights), start.difference, start.covariance
    center, spread = float(logs.mean()), _SPREAD
    seen = len(equations.tokens) + np.count_nonzero(equations.known_calls)
    before = logs
    for number in range(_ROUNDS):
        # A caller alone in its buckets may go up and down with their variances: then halfway.
        at = logs if number < _DIRECT else (logs + before) / 2
        before = logs
        matrix, target, residual = _normal(equations, np.exp(at))
        for _ in range(_STEPS):
            last = logs
            decided = float(np.sum(1 - np.diag(covariance) / difference))
            spread = (residual + _SPREAD * _SPREAD_CALLS) / max(seen - decided + _SPREAD_CALLS, 1)
            slope = _slope(matrix / spread, target / spread, logs, center, difference)
            covariance = np.linalg.inv(slope.curve).astype(float)
            logs = _moved(logs, slope)
            center = float(logs.mean())
            around = float(np.mean((logs - center) ** 2 + np.diag(covariance)))
            difference = max(around, _LEAST)
            if _distance(logs - last, covariance) < _PRECISE:
                break
        if _distance(logs - before, covariance) < _SETTLED:
            break
    return Fit(np.exp(logs), mean, covariance, float(spread), difference)


def without(found: Fit, equations: Rows, parts: Sequence[NDArray[np.bool_]]) -> Iterator[Fit]:
    """Yield, for each part of the buckets, the fit to all others; the parts are all buckets.

    It takes the variances and the covariance from the whole fit, so that all of them together cost
    one round.
    """
    none, weights = np.zeros(len(found.weights)), found.weights
    if found.average <= 0:
        yield from (found for _ in parts)
        return
    separate = [replace(equations, calls=equations.calls[:0], tokens=equations.tokens[:0])]
    separate += [Rows(equations.calls[part], equations.tokens[part], none, none) for part in parts]
    normal = [_normal(one, weights) for one in separate]
    matrix, target = (sum(one[n] for one in normal) for n in range(2))
    calls = equations.calls.sum(axis=1)
    all_calls = float(calls.sum() + equations.known_calls.sum())
    all_tokens = float(equations.tokens.sum() + equations.known_tokens.sum())
    for part, (own_matrix, own_target, _) in zip(parts, normal[1:], strict=True):
        logs = np.log(weights)
        center = float(logs.mean())
        for _ in range(_STEPS):
            before = logs
            slope = _slope(
                (matrix - own_matrix) / found.spread,
                (target - own_target) / found.spread,
                logs,
                center,
                found.difference,
            )
            logs = _moved(logs, slope)
            if _distance(logs - before, found.covariance) < _SETTLED:
                break
        left = all_calls - float(calls[part].sum())
        mean = (all_tokens - float(equations.tokens[part].sum())) / left if left > 0 else 0.0
        yield Fit(np.exp(logs), max(mean, 0.0), found.covariance, found.spread, found.difference)


def predicted_variance(calls: Array, weights: Array) -> Array:
    """Return the variance of each bucket, for a spread of 1."""
    return np.maximum(calls @ (weights * weights), 1e-300)


def _normal(equations: Rows, weights: Array) -> tuple[Array, Array, float]:
    """Return the normal equations (matrix and right side), and the sum of squared residuals."""
    square = weights * weights
    matrix = np.diag(equations.known_calls / square)
    target = equations.known_tokens / square
    known = np.maximum(equations.known_calls, 1e-300)
    surplus = (equations.known_tokens - equations.known_calls * weights) ** 2 / (known * square)
    residual = float(surplus.sum())
    for first in range(0, len(equations.tokens), CHUNK):
        calls = equations.calls[first : first + CHUNK]
        tokens = equations.tokens[first : first + CHUNK]
        # A product of a matrix with itself is half the work of one with another.
        scale = 1 / np.sqrt(predicted_variance(calls, weights))
        scaled, seen = calls * scale[:, None], tokens * scale
        matrix += scaled.T @ scaled
        target = target + seen @ scaled
        residual += float(((seen - scaled @ weights) ** 2).sum())
    return matrix, target, residual


class _Slope(NamedTuple):
    """Which way better logarithms are, the inverse of their covariance, and what steepens it."""

    upwards: Array
    curve: Array
    steeper: Array


def _slope(matrix: Array, target: Array, logs: Array, center: float, difference: float) -> _Slope:
    weights = np.exp(logs)
    pull = weights * (target - matrix @ weights)
    curve = weights[:, None] * matrix * weights
    curve[np.diag_indices(len(logs))] += 1 / difference
    return _Slope(pull - (logs - center) / difference, curve, np.maximum(-pull, 0))


def _moved(logs: Array, slope: _Slope) -> Array:
    """Return better logarithms, at most a factor of e away."""
    step = np.linalg.solve(slope.curve + np.diag(slope.steeper), slope.upwards)
    moved: Array = logs + np.clip(step, -1, 1)
    return moved


def _distance(step: Array, covariance: Array) -> float:
    """Return the length of a step in standard errors: their root mean square."""
    return float(np.sqrt(np.mean(step * step / np.diag(covariance))))
