"""Calibrate one series: which buckets, which lag, which weights, and whether to use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etl.estimate import groups, held_out, lag
from etl.estimate.fit import Fit, Rows, fit, rows
from etl.estimate.lag import Array

# Buckets of different sizes are compared by what they predict of buckets of this size, or the next
# larger one: in smaller ones, an error in the lag would look like one in the weights.
_COMPARED_AT = 300


@dataclass(frozen=True)
class Observed:
    """A series in buckets of ``size`` seconds, without gaps. ``starts``: seconds since 1970.

    ``calls``: calls without a count (bucket x caller). ``events``: all successful calls, which
    CloudWatch counts as ``invocations``. ``tokens``: CloudWatch's; ``known``: those that calls with
    a count report.
    """

    size: int
    starts: NDArray[np.int64]
    calls: Array
    events: Array
    invocations: Array
    tokens: Array
    known: Array


def summed(values: Array, step: int) -> Array:
    """Return the sums of every ``step`` rows."""
    sums: Array = values.reshape(-1, step, *values.shape[1:]).sum(axis=1)
    return sums


def coarser(observed: Observed, size: int) -> Observed:
    """Return the same in buckets of another size, a multiple of its own that divides its length."""
    step = size // observed.size
    if step == 1:
        return observed
    return Observed(
        size=size,
        starts=observed.starts[::step],
        calls=summed(observed.calls, step),
        events=summed(observed.events, step),
        invocations=summed(observed.invocations, step),
        tokens=summed(observed.tokens, step),
        known=summed(observed.known, step),
    )


@dataclass(frozen=True)
class Moved:
    """An ``Observed`` as CloudWatch stamps it: the calls and tokens that are to be explained.

    ``tokens`` is below 0 where known calls were counted in another bucket than they should.
    """

    calls: Array
    tokens: Array
    shares: Array


@dataclass(frozen=True)
class Calibration:
    """The outcome: ``weights`` are tokens per call of each caller, all equal unless calibrated.

    ``group``: the number of each caller's group; its members share by calls. ``shares``: the lag's
    kernel over buckets of ``size``. ``evidence``: None if there was nothing to hold out. ``fit``,
    ``equations``: of groups instead of callers.
    """

    size: int
    shares: Array
    group: NDArray[np.int64]
    weights: Array
    is_calibrated: bool
    evidence: held_out.Evidence | None
    fit: Fit
    equations: Rows


def move(observed: Observed) -> Moved:
    """Estimate the lag; return the calls where CloudWatch counts them, and what tokens are left."""
    shares = lag.kernel(observed.events, observed.invocations, lag.taps(observed.size))
    calls, tokens = lag.shifted(observed.calls, shares), observed.tokens
    if observed.known.any():
        tokens = tokens - lag.shifted(observed.known, shares)
    return Moved(calls, tokens, shares)


def calibrate(
    candidates: Sequence[Observed], known: tuple[Array, Array] | None = None
) -> Calibration:
    """Return the calibration with the bucket size that predicts best.

    ``candidates``: the same time in buckets of different sizes, at least one. ``known``: calls with
    known tokens per caller, and their tokens.
    """
    finest = min(candidates, key=lambda one: one.size)
    group = groups.groups(finest.calls)
    totals = tuple(groups.joined(one, group) for one in known) if known else None
    prepared = list[_Prepared]()
    for one in sorted(candidates, key=lambda one: -one.size):
        # What coarser buckets tell is close already.
        prepared.append(_prepare(one, group, totals, prepared[-1].fit if prepared else None))
    test = min(prepared, key=lambda one: (one.size < _COMPARED_AT, abs(one.size - _COMPARED_AT)))
    evidences = [_evidence(one, test) for one in prepared]
    chosen, evidence = _best(sorted(zip(prepared, evidences, strict=True), key=lambda e: e[0].size))
    found = chosen.fit
    is_calibrated = evidence.is_better and found.average > 0
    each = found.weights if is_calibrated else np.full(len(found.weights), found.average)
    return Calibration(
        size=chosen.size,
        shares=chosen.shares,
        group=group,
        weights=each[group],
        is_calibrated=is_calibrated,
        evidence=evidence,
        fit=found,
        equations=chosen.equations,
    )


def is_better(one: Calibration, other: Calibration) -> bool:
    """Return whether one predicts the same held-out time better than another, in other units."""
    ours, theirs = _deviance(one), _deviance(other)
    return len(ours) == len(theirs) and held_out.Evidence(ours, theirs).is_better


def _deviance(one: Calibration) -> Array:
    if one.evidence is None:
        return np.zeros(0)
    return one.evidence.fitted if one.is_calibrated else one.evidence.equal


@dataclass(frozen=True)
class _Prepared:
    size: int
    shares: Array
    equations: Rows
    blocks: NDArray[np.int64]
    fit: Fit


def _prepare(
    observed: Observed,
    group: NDArray[np.int64],
    known: tuple[Array, ...] | None,
    start: Fit | None,
) -> _Prepared:
    moved = move(observed)
    calls = groups.joined(moved.calls, group)
    seen = calls.sum(axis=1) > 0
    equations = rows(calls, moved.tokens, (known[0], known[1]) if known else None)
    blocks = held_out.blocks(observed.starts)[seen]
    return _Prepared(observed.size, moved.shares, equations, blocks, fit(equations, start))


def _best(
    ordered: Sequence[tuple[_Prepared, held_out.Evidence]],
) -> tuple[_Prepared, held_out.Evidence]:
    """Return the finest size, unless a coarser one predicts better by more than chance."""
    best = ordered[0]
    for other in ordered[1:]:
        if held_out.Evidence(other[1].fitted, best[1].fitted).is_better:
            best = other
    return best


def _evidence(one: _Prepared, test: _Prepared) -> held_out.Evidence:
    return held_out.held_out(one.fit, one.equations, one.blocks, test.equations, test.blocks)
