"""The estimate as arithmetic: it conserves, it is not guessed, and it finds what is there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.estimate import fit as fit_module
from etl.estimate import groups, held_out, intervals, lag
from etl.estimate.calibrate import Observed, calibrate
from etl.estimate.fit import fit, rows
from etl.estimate.share import parts
from tests.rounds import rounds

DAY, MINUTE = 86_400, 60


def fleet(mean, days=4, late=0.0, seed=1, hourly=3.0):
    """Return what is known of a fleet, and what its callers really used."""
    rng = np.random.default_rng(seed)
    calls = rng.poisson(hourly / 60, (days * 1440, len(mean))).astype(float)
    used = np.zeros_like(calls)
    for (bucket, caller), count in np.ndenumerate(calls):
        if count:
            used[bucket, caller] = rng.lognormal(np.log(mean[caller]) - 0.5, 1, int(count)).sum()
    kernel = np.array([1 - late, late])
    tokens = lag.shifted(used.sum(axis=1), kernel)
    counted = lag.shifted(calls.sum(axis=1), kernel)
    return observed(calls, tokens, counted), used.sum(axis=0)


def observed(calls, tokens, counted=None, size=MINUTE):
    calls, tokens = np.array(calls, dtype=float), np.array(tokens, dtype=float)
    events = calls.sum(axis=1)
    starts = np.arange(len(calls)) * size
    counted = events if counted is None else counted
    return Observed(size, starts, calls, events, counted, tokens, np.zeros_like(tokens))


def off(shares, used):
    return np.abs(shares - used).sum() / used.sum()


amounts = st.integers(0, 10**12)
due = st.lists(st.floats(0, 1e9).map(lambda x: 0.0 if x < 1e-6 else x), min_size=1, max_size=7)


@given(st.lists(st.tuples(due, amounts), min_size=1, max_size=4))
@settings(max_examples=rounds(60, 2000), deadline=None)
def test_shares_add_up_to_the_bucket(buckets) -> None:
    callers = max(len(one) for one, _ in buckets)
    wanted = np.array([one + [0.0] * (callers - len(one)) for one, _ in buckets])
    tokens = np.array([amount for _, amount in buckets])
    got = parts(wanted, tokens)
    is_shared = wanted.sum(axis=1) > 0
    assert np.allclose(got.sum(axis=1), np.where(is_shared, tokens, 0))
    assert (got >= 0).all() and (got[wanted == 0] == 0).all()
    # Whatever is shared again in the same proportions does not move.
    assert np.allclose(parts(got, got.sum(axis=1)), got)


@pytest.mark.parametrize("seed", [3, 19, 22, 26])
def test_a_fit_ends_by_itself_and_at_the_same_weights_from_anywhere(seed, monkeypatch) -> None:
    rng, rounds_taken, callers = np.random.default_rng(seed), [], 60
    mean = rng.lognormal(7, 1.2, callers)
    calls = rng.poisson(np.exp(rng.uniform(-4, 0, callers)), (336, callers)).astype(float)
    scatter = rng.gamma(np.maximum(calls, 1e-9) / 1.7, 1.7)
    equations = rows(calls, (mean * np.where(calls > 0, scatter, 0)).sum(axis=1))
    normal = fit_module._normal
    monkeypatch.setattr(fit_module, "_normal", lambda *a: rounds_taken.append(1) or normal(*a))
    found = fit(equations)
    assert len(rounds_taken) < 15
    far = replace(found, weights=rng.lognormal(7, 2, callers), covariance=np.eye(callers))
    again = fit(equations, far)
    errors = np.sqrt(np.diag(found.covariance))
    away = np.log(again.weights / found.weights) / errors
    assert np.sqrt((away * away).mean()) < 0.1


def test_one_bucket_is_shared_by_calls_exactly() -> None:
    found = calibrate([observed([[8, 2]], [10_000])])
    assert not found.is_calibrated
    assert found.weights.tolist() == [1000, 1000]
    due = np.array([[8, 2]]) * found.weights
    assert parts(due, np.array([10_000])).tolist() == [[8_000, 2_000]]


@given(st.integers(1, 4), st.integers(1, 14), st.integers(0, 10**6))
@settings(max_examples=rounds(25, 500), deadline=None)
def test_little_evidence_is_the_share_by_calls(callers, hours, seed) -> None:
    rng = np.random.default_rng(seed)
    calls = rng.poisson(0.7, (hours, callers))
    tokens = rng.integers(0, 10**6, hours)
    found = calibrate([observed(calls, tokens, size=3600)])
    if hours < held_out.LEAST_BLOCKS:
        assert not found.is_calibrated
    assert (found.weights >= 0).all()
    if not found.is_calibrated:
        assert (found.weights == found.weights[0]).all()


def test_one_caller_gets_everything() -> None:
    data, used = fleet([700.0])
    found = calibrate([data])
    assert np.ptp(found.weights) == 0
    shares, errors = intervals.standard_errors(found.fit, found.equations)
    assert off(shares, used) < 1e-12
    assert errors.max() < 1e-6 * used.sum()


def test_callers_of_different_sizes_are_found_and_predict() -> None:
    mean = [100.0, 400.0, 1_600.0, 6_400.0]
    data, used = fleet(mean)
    found = calibrate([data])
    assert found.is_calibrated
    shares, _ = intervals.standard_errors(found.fit, found.equations)
    assert abs(shares.sum() - used.sum()) < 1e-6 * used.sum()
    plain = data.calls.sum(axis=0) / data.calls.sum() * used.sum()
    assert off(shares, used) < 0.05 < 0.5 < off(plain, used)


def test_callers_of_one_size_are_shared_by_calls() -> None:
    data, _ = fleet([500.0] * 6, seed=3)
    found = calibrate([data])
    assert not found.is_calibrated or np.ptp(found.weights) < 0.3 * found.fit.average


def test_callers_who_always_call_together_are_one_group_shared_by_calls() -> None:
    data, _ = fleet([100.0, 5_000.0])
    calls = np.column_stack([data.calls, 2 * data.calls[:, 1]])
    found = calibrate([observed(calls, data.tokens)])
    assert found.group.tolist() == [0, 1, 1]
    assert found.weights[1] == found.weights[2]
    assert found.weights[1] > 3 * found.weights[0]


def test_of_many_callers_those_with_the_fewest_calls_are_one() -> None:
    calls = np.random.default_rng(1).poisson(np.linspace(1, 20, 310), (500, 310)).astype(float)
    found = groups.groups(calls)
    rest = np.argsort(calls.sum(axis=0))[:11]
    assert len(set(found)) == groups.MOST
    assert set(np.flatnonzero(found == found[rest[0]])) == set(rest)
    assert np.unique(found, return_index=True)[1].tolist() == sorted(
        np.unique(found, return_index=True)[1]
    )


def test_groups_join_through_a_third_and_leave_the_idle_alone() -> None:
    calls = np.zeros((200, 4))
    calls[::3, 0] = calls[::3, 1] = 1
    calls[1, 2] = 5
    assert groups.groups(calls).tolist() == [0, 0, 1, 2]
    assert groups.joined(np.array([1.0, 2, 3, 4]), groups.groups(calls)).tolist() == [3, 3, 4]
    # As many groups as members, in another order.
    assert groups.joined(np.array([1.0, 2, 3]), np.array([2, 0, 1])).tolist() == [2, 3, 1]


def test_known_calls_are_evidence() -> None:
    """Two callers who only ever call in the same hours, one with some known calls."""
    rng = np.random.default_rng(5)
    calls = rng.poisson(3, (40, 2)).astype(float)
    calls[:, 1] = calls[:, 0] + rng.poisson(0.2, 40)
    tokens = calls @ np.array([100.0, 900.0])
    known = (np.array([50.0, 0.0]), np.array([5_000.0, 0.0]))
    blind, told = fit(rows(calls, tokens)), fit(rows(calls, tokens, known))
    truth = np.array([100.0, 900.0])
    assert np.abs(told.weights / truth - 1).max() < 0.1
    assert told.covariance[0, 0] < blind.covariance[0, 0]


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.05, 0.3]))
@settings(max_examples=rounds(10, 200), deadline=None)
def test_the_lag_is_found_and_keeps_every_call(seed, late) -> None:
    rng = np.random.default_rng(seed)
    events = rng.poisson(2 + 2 * np.sin(np.arange(2000) / 200)).astype(float)
    crossing = rng.binomial(events.astype(int), late)
    counted = events - crossing
    counted[1:] += crossing[:-1]
    counted[-1] += crossing[-1]
    shares = lag.kernel(events, counted, 4)
    assert abs(shares[1] - late) < 0.05 and (shares >= 0).all()
    assert abs(lag.shifted(events, shares).sum() - events.sum()) < 1e-6


def test_without_evidence_nothing_is_late() -> None:
    assert lag.kernel(np.zeros(9), np.ones(9), 3).tolist() == [1, 0, 0]
    # Fewer buckets than the kernel reaches.
    assert lag.shifted(np.array([4.0]), np.array([0.5, 0.25, 0.25])).tolist() == [4]


def test_a_single_caller_is_sure_only_where_nobody_else_is_near() -> None:
    present = np.zeros((9, 2))
    present[1, 0], present[4, 0], present[5, 1], present[8, 1] = 2, 1, 1, 1
    invocations = present.sum(axis=1)
    settled = np.ones(9, dtype=bool)
    single = intervals.single_callers(present, invocations, 1, settled)
    assert single.tolist() == [-1, 0, -1, -1, -1, -1, -1, -1, 1]
    invocations[1], settled[8] = 3, False
    assert (intervals.single_callers(present, invocations, 1, settled) == -1).all()


def test_intervals_cover_and_stay_within_what_is_sure() -> None:
    covered = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        data, used = fleet(rng.lognormal(6, 1, 8), days=2, seed=seed)
        found = calibrate([data])
        shares, errors = intervals.standard_errors(found.fit, found.equations)
        ends = intervals.interval(shares, errors)
        covered += ((ends.low <= used) & (used <= ends.high)).tolist()
    assert 0.75 <= np.mean(covered) <= 1
    sure = intervals.Sure(shares * 0.99, shares * 1.01)
    ends = intervals.interval(shares, errors, sure)
    assert (ends.low >= sure.least).all() and (ends.high <= sure.most).all()


def test_the_size_that_predicts_best_is_chosen() -> None:
    data, _ = fleet([100.0, 400.0, 1_600.0, 6_400.0])
    hours = len(data.starts) // 60
    coarse = observed(
        data.calls.reshape(hours, 60, -1).sum(axis=1),
        data.tokens.reshape(hours, 60).sum(axis=1),
        size=3600,
    )
    assert calibrate([coarse, data]).size == 60
    # Minutes whose calls and tokens do not belong together predict nothing.
    rng = np.random.default_rng(1)
    torn = observed(rng.permutation(data.calls), data.tokens)
    assert calibrate([torn, coarse]).size == 3600
