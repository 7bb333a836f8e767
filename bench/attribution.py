"""How far off are estimated shares of tokens? python -m bench.attribution

Fleets are simulated, with everything known that the warehouse knows: who called when, and what
CloudWatch counted in each bucket. The error is the sum over callers of what each got too much or
too little, as a part of all tokens; by the hour, the same for callers and hours. It is a mean over
the seeds. Methods:

- **calls**: each bucket's tokens are shared by calls.
- **least squares**: mean tokens per caller by least squares without negative values, rows weighted
  by calls; no lag.
- **EM**: the usual alternative, multiplicative steps towards the largest Poisson likelihood, with
  a prior of one average call and known calls as further rows; the lag as ours.
- **ours**: ``etl.estimate``. Coverage: the part of callers whose true tokens are in their interval
  of 90 %; of a day: whose tokens of a day are in its part of that. ``chosen``: with the bucket size
  that predicts best.
- **bound**: what is left when every caller's true mean, the true time of each metric and the true
  spread are known, but for the errors of means that this much data determine.

A fleet (``Fleet``) has callers with log-normal means (sigma 1.2), rates even on a logarithmic scale
between ``low`` and ``high`` calls per hour, a daily pattern, and two fifths that call in bursts:
only in one hour of seven, five times as much. A call's tokens are log-normal around its caller's
mean (``sigma``). The metric is stamped later: log-normal, ``lag`` is the median, sigma is 0.8.
``known`` of the calls tell their tokens. ``drift``: in the second half, each caller's mean is
multiplied by a log-normal factor with this sigma. ``cache``: calls tell their input but not the
tokens read from the cache, which are a log-normal multiple (sigma 0.3 between callers, 0.6 between
calls) of it; the unit is then input tokens instead of calls, but ``by_call`` does without.

``--large`` measures time and memory: 100 users, 20 models, 60 days, of which 15 in buckets of 60
seconds.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass, replace

from etl.estimate import fit, intervals  # isort: skip  before numpy, for its threads
import numpy as np
from numpy.typing import NDArray

from etl.estimate.calibrate import Calibration, Observed, calibrate, move
from etl.estimate.lag import Array

SIZES = (60, 300, 3600)
DAY = 86_400
EM_STEPS, EM_PRIOR = 300, 1.0


@dataclass(frozen=True)
class Fleet:
    """What is simulated; see above."""

    name: str
    callers: int = 30
    low: float = 1.0
    high: float = 60.0
    days: int = 14
    lag: float = 5.0
    sigma: float = 1.0
    known: float = 0.0
    drift: float = 0.0
    cache: bool = False
    by_call: bool = False


BASE = Fleet("30 users, 5 s lag, 14 days")

FLEETS = (
    BASE,
    replace(BASE, name="2 days", days=2),
    replace(BASE, name="no lag", lag=0.0),
    replace(BASE, name="30 s lag", lag=30.0),
    replace(BASE, name="90 s lag", lag=90.0),
    replace(BASE, name="20 % known", known=0.2),
    replace(BASE, name="100 users", callers=100),
    replace(BASE, name="quiet", low=0.05, high=3.0),
    replace(BASE, name="heavy tails", sigma=1.6),
    replace(BASE, name="drift", drift=0.5),
    replace(BASE, name="cache by input", cache=True),
    replace(BASE, name="cache by calls", cache=True, by_call=True),
)


@dataclass(frozen=True)
class Calls:
    """One row per call. ``units``: 1, or what is taken for the size of a call."""

    caller: NDArray[np.int64]
    second: Array
    stamped: Array
    tokens: Array
    units: Array
    mean: Array
    is_known: NDArray[np.bool_]


def simulate(fleet: Fleet, seed: int) -> Calls:
    """Return the calls of a fleet in the order of callers."""
    rng = np.random.default_rng(seed)
    hours = fleet.days * 24
    mean = np.exp(rng.normal(7, 1.2, fleet.callers))
    rate = np.exp(rng.uniform(np.log(fleet.low), np.log(fleet.high), fleet.callers))
    changed = mean * rng.lognormal(0, fleet.drift, fleet.callers)
    callers, seconds = [], []
    for caller in range(fleet.callers):
        clock = np.arange(hours) - rng.uniform(0, 24)
        pattern = np.clip(1.2 + np.cos(clock * 2 * np.pi / 24), 0, None)
        if rng.random() < 0.4:
            pattern = pattern * (rng.random(hours) < 0.15) * 5
        hour = np.repeat(np.arange(hours), rng.poisson(rate[caller] * pattern))
        seconds.append((hour + rng.random(hour.size)) * 3600)
        callers.append(np.full(hour.size, caller))
    caller, second = np.concatenate(callers), np.concatenate(seconds)
    means = np.where(second < fleet.days * DAY / 2, mean[caller], changed[caller])
    tokens = rng.lognormal(np.log(means) - fleet.sigma**2 / 2, fleet.sigma)
    units = np.ones(caller.size)
    if fleet.cache:
        ratio = rng.lognormal(1.5, 0.3, fleet.callers)[caller]
        units, means = tokens / mean.mean(), ratio * mean.mean()
        tokens = units * mean.mean() * ratio * rng.lognormal(-0.18, 0.6, caller.size)
    late = rng.lognormal(np.log(fleet.lag), 0.8, caller.size) if fleet.lag else 0.0
    stamped = np.minimum(second + late, fleet.days * DAY - 1)
    return Calls(
        caller, second, stamped, tokens, units, means, rng.random(caller.size) < fleet.known
    )


def observe(calls: Calls, fleet: Fleet, size: int) -> Observed:
    """Return what the warehouse knows, in buckets."""
    count, callers = fleet.days * DAY // size, fleet.callers
    at, stamped = (calls.second // size).astype(int), (calls.stamped // size).astype(int)
    hidden = 1.0 * ~calls.is_known
    each = hidden if fleet.by_call else calls.units * hidden
    units = table(at, calls.caller, each, count, callers)
    return Observed(
        size=size,
        starts=np.arange(count) * size,
        calls=units,
        events=np.bincount(at, minlength=count).astype(float),
        invocations=np.bincount(stamped, minlength=count).astype(float),
        tokens=np.bincount(stamped, calls.tokens, count),
        known=np.bincount(at, calls.tokens * calls.is_known, count),
    )


def table(row: Array, column: Array, values: Array, rows: int, columns: int) -> Array:
    """Return sums by row and column."""
    flat = np.bincount(row.astype(int) * columns + column.astype(int), values, rows * columns)
    return flat.reshape(rows, columns)


def by_caller(values: Array, calls: Calls, fleet: Fleet) -> Array:
    """Return sums over each caller's calls."""
    return np.bincount(calls.caller, values, fleet.callers)


def shared(observed: Observed, weights: Array) -> tuple[Array, Array]:
    """Share each bucket by calls x weights; return the sums per caller, and per hour and caller."""
    moved = move(observed)
    due = moved.calls * weights
    total = due.sum(axis=1)
    tokens = np.where(total > 0, moved.tokens, 0)
    parts = due * (tokens / np.where(total > 0, total, 1))[:, None]
    # Tokens of buckets that no call can explain are nobody's; here they are everybody's.
    parts *= moved.tokens.sum() / tokens.sum()
    hours = parts.reshape(-1, 3600 // observed.size, parts.shape[1]).sum(axis=1)
    return parts.sum(axis=0), hours


def expectation(observed: Observed, known: tuple[Array, Array]) -> Array:
    """Return weights by EM with a prior, stopped early."""
    moved = move(observed)
    equations = fit.rows(moved.calls, np.maximum(moved.tokens, 0), known)
    calls = equations.calls.sum(axis=0) + equations.known_calls
    average = fit.average(equations)
    weights = np.full(len(calls), average)
    for _ in range(EM_STEPS):
        ratio = equations.tokens / np.maximum(equations.calls @ weights, 1e-300)
        seen = weights * (equations.calls.T @ ratio) + equations.known_tokens
        weights = (seen + EM_PRIOR * average) / (calls + EM_PRIOR)
    return weights


def least_squares(observed: Observed) -> Array:
    """Return weights by weighted least squares without negative values."""
    from scipy.optimize import nnls  # imports numpy, after etl.estimate has set its threads

    calls, tokens = observed.calls, observed.tokens - observed.known
    seen = calls.sum(axis=1) > 0
    root = np.sqrt(calls[seen].sum(axis=1))
    weights, _ = nnls(calls[seen] / root[:, None], tokens[seen] / root)
    return np.maximum(weights, 0.01 * tokens.sum() / calls.sum())


def bound(calls: Calls, fleet: Fleet, size: int) -> float:
    """Return the least expected error, with everything known but what the totals do not tell."""
    hidden = ~calls.is_known
    stamped = calls.stamped // size
    count = fleet.days * DAY // size
    expected = table(stamped, calls.caller, calls.units * calls.mean * hidden, count, fleet.callers)
    seen = expected.sum(axis=1) > 0
    expected = expected[seen]
    spread = np.exp(0.36 if fleet.cache else fleet.sigma**2) - 1
    square = spread * calls.units**2 * calls.mean**2 * hidden
    scatter = table(stamped, calls.caller, square, count, fleet.callers)[seen]
    total = scatter.sum(axis=1, keepdims=True)
    information = (expected / total).T @ expected
    known = by_caller(1.0 * calls.is_known, calls, fleet)
    information += np.diag(known / spread)
    # What an error of each mean (a factor) does to a share, given each bucket's total.
    effect = np.diag(expected.sum(axis=0)) - (scatter / total).T @ expected
    variance = (scatter - scatter**2 / total).sum(axis=0)
    variance += np.einsum("ij,jk,ik->i", effect, np.linalg.pinv(information), effect)
    return float(np.sqrt(2 / np.pi * variance).sum() / calls.tokens.sum())


def errors(fleet: Fleet, seed: int) -> dict[str, float]:
    """Return the errors of all methods for one seed, by name and bucket size."""
    calls = simulate(fleet, seed)
    all_tokens = calls.tokens.sum()
    truth = by_caller(calls.tokens * ~calls.is_known, calls, fleet)
    in_hours = table(
        calls.stamped // 3600,
        calls.caller,
        calls.tokens * ~calls.is_known,
        fleet.days * 24,
        fleet.callers,
    )
    known = (
        by_caller(calls.units * calls.is_known, calls, fleet),
        by_caller(calls.tokens * calls.is_known, calls, fleet),
    )
    found: dict[str, float] = {}
    seen = {size: observe(calls, fleet, size) for size in SIZES}

    def note(name: str, observed: Observed, weights: Array) -> None:
        sums, hours = shared(observed, weights)
        found[name] = float(np.abs(sums - truth).sum() / all_tokens)
        found[f"{name} by hour"] = float(np.abs(hours - in_hours).sum() / all_tokens)

    def note_ours(name: str, calibration: Calibration) -> None:
        observed = seen[calibration.size]
        note(name, observed, calibration.weights)
        if not calibration.is_calibrated:
            return
        sums, off = intervals.standard_errors(calibration.fit, calibration.equations)
        ends = intervals.interval(sums, off)
        inside = (ends.low <= truth) & (truth <= ends.high)
        found[f"{name} coverage"] = float(inside.mean())
        # Each day has its part of the whole interval.
        in_days, true_days = (
            one.reshape(fleet.days, 24, -1).sum(axis=1)
            for one in (shared(observed, calibration.weights)[1], in_hours)
        )
        low, high = (in_days * (end / np.maximum(sums, 1e-300)) for end in ends)
        is_within = (low <= true_days) & (true_days <= high)
        found[f"{name} by day"] = float(is_within[true_days > 0].mean())

    plain = np.ones(fleet.callers)
    note("calls 3600", replace(seen[3600], calls=_counts(calls, fleet)), plain)
    for size in SIZES:
        note(f"least squares {size}", seen[size], least_squares(seen[size]))
        note(f"EM {size}", seen[size], expectation(seen[size], known))
        note_ours(f"ours {size}", calibrate([seen[size]], known))
        found[f"bound {size}"] = bound(calls, fleet, size)
    best = calibrate(list(seen.values()), known)
    note_ours("ours chosen", best)
    found["chosen size"] = float(best.size)
    return found


def _counts(calls: Calls, fleet: Fleet) -> Array:
    hour = calls.second // 3600
    return table(hour, calls.caller, 1.0 * ~calls.is_known, fleet.days * 24, fleet.callers)


def print_fleet(fleet: Fleet, seeds: int) -> None:
    """Print the table of one fleet."""
    runs = [errors(fleet, seed) for seed in range(seeds)]

    def mean(name: str) -> str:
        values = [run[name] for run in runs if name in run]
        return f"{np.mean(values):9.3f}" if values else "        -"

    worst = max(run["ours chosen"] - run["calls 3600"] for run in runs)
    sizes = sorted(int(run["chosen size"]) for run in runs)
    print(f"\n{fleet.name}  (chosen: {sizes}; worst against calls: {worst:+.3f})")
    print(f"{'':22}{'error':>9}{'by hour':>9}{'coverage':>9}{'of a day':>9}{'bound':>9}")
    for name in (
        "calls 3600",
        *(f"{m} {s}" for s in SIZES for m in ("least squares", "EM", "ours")),
        "ours chosen",
    ):
        edge = mean(f"bound {name.split()[-1]}") if name.startswith("ours") else ""
        print(
            f"{name:22}{mean(name)}{mean(f'{name} by hour')}{mean(f'{name} coverage')}"
            f"{mean(f'{name} by day')}{edge}",
            flush=True,
        )


def print_large() -> None:
    """Print the time and the memory of 20 models of 100 users over 60 days."""
    fine = replace(BASE, callers=100, days=15)
    coarse = replace(BASE, callers=100, days=45)
    seconds = 0.0
    for model in range(20):
        recent, older = simulate(fine, model), simulate(coarse, model)
        seen = [observe(recent, fine, size) for size in SIZES]
        old = [observe(older, coarse, size) for size in SIZES[1:]]
        started = time.process_time()
        calibrate(seen)
        before = calibrate(old)
        seconds += time.process_time() - started
        assert before.is_calibrated
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"large: {seconds:.0f} s (CPU), peak {peak:.0f} MB")


def main() -> None:
    """Run the fleets."""
    parser = argparse.ArgumentParser(description="Errors of estimated shares, simulated.")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--fleet", help="only fleets whose name contains this")
    parser.add_argument("--large", action="store_true", help="time and memory instead")
    options = parser.parse_args()
    if options.large:
        print_large()
        return
    for fleet in FLEETS:
        if options.fleet is None or options.fleet in fleet.name:
            print_fleet(fleet, options.seeds)


if __name__ == "__main__":
    main()
