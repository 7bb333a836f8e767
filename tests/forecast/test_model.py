"""What days to come may cost: exact in simple cases, and never silly."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.forecast.model import forecast
from tests.rounds import rounds

# A Monday.
FIRST = date(2026, 6, 1).toordinal()
OFFICE = [10.0] * 5 + [0.0] * 2


def middle(costs: list[float | None], days: int) -> float:
    known = {FIRST + n: cost for n, cost in enumerate(costs) if cost is not None}
    found = forecast(known, range(FIRST + len(costs), FIRST + len(costs) + days))
    assert found is not None
    return found.middle


def test_what_is_always_the_same_stays_so() -> None:
    assert middle([10.0] * 14, 10) == pytest.approx(100)


def test_weekdays_keep_their_share() -> None:
    assert middle(OFFICE * 4, 7) == pytest.approx(50)
    # From a Saturday on.
    assert middle((OFFICE * 4)[:-2], 3) == pytest.approx(10)


def test_a_spike_is_not_expected_again() -> None:
    for at in range(28):
        costs = [10.0] * 28
        costs[at] = 1000.0
        assert middle(costs, 7) == pytest.approx(70), at


def test_a_day_adds_no_more_than_three_usual_ones_to_its_week() -> None:
    costs = [10.0] * 28
    costs[15] = costs[24] = 1000.0
    # Two of the three latest weeks have six usual days and one of thirty.
    assert 70 < middle(costs, 7) < 130


def test_growth_goes_on_but_less_and_less() -> None:
    growing = [10.0 + day // 7 for day in range(56)]
    weeks = [middle(growing, 7 * n) for n in range(1, 5)]
    added = [later - earlier for earlier, later in zip([0.0, *weeks], weeks, strict=False)]
    assert 17 * 7 < added[0] < added[1] < added[2] < added[3] < 20 * 7
    assert added[1] - added[0] > added[2] - added[1] > added[3] - added[2]


def test_a_day_that_is_not_known_is_not_a_day_without_cost() -> None:
    some = [None if day % 5 == 1 else 10.0 for day in range(28)]
    assert middle(some, 10) == pytest.approx(100)
    assert middle([cost or 0.0 for cost in some], 10) < 90


def test_two_weeks_are_enough_and_less_is_not() -> None:
    costs = dict.fromkeys(range(FIRST, FIRST + 14), 1.0)
    assert forecast(costs, [FIRST + 14]) is not None
    del costs[FIRST + 3]
    assert forecast(costs, [FIRST + 14]) is None


def test_what_was_unsteady_has_a_wider_band() -> None:
    def width(costs: list[float]) -> float:
        known = dict(enumerate(costs, FIRST))
        found = forecast(known, range(FIRST + 70, FIRST + 90))
        assert found is not None
        return (found.high - found.low) / found.middle

    steady = width([10.0] * 70)
    levels = [5.0, 20.0, 10.0, 3.0, 12.0, 8.0, 30.0, 6.0, 9.0, 10.0]
    assert width([level for level in levels for _ in range(7)]) > 2 * steady


@settings(max_examples=rounds(60, 2_000), deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.5, 100.0, None]), min_size=14, max_size=90),
    st.sets(st.integers(1, 31), min_size=1),
    st.sampled_from([0.001, 7.0, 1e6]),
    st.integers(-3, 3),
)
def test_a_forecast_follows_from_the_costs_alone(
    costs: list[float | None], rest: set[int], times: float, weeks: int
) -> None:
    """Not from the unit of money, nor from the week of the year; and the ends are in order."""
    known = {FIRST + n: cost for n, cost in enumerate(costs) if cost is not None}
    days = [FIRST + len(costs) - 1 + n for n in rest]
    found = forecast(known, days)
    if found is None:
        assert len(known) < 14
        return
    assert 0 <= found.low <= found.middle <= found.high < float("inf")
    assert found.middle <= 100 * 7 * len(days) * 7
    scaled = forecast({day: cost * times for day, cost in known.items()}, days)
    moved = forecast(
        {day + 7 * weeks: cost for day, cost in known.items()}, [day + 7 * weeks for day in days]
    )
    assert scaled is not None
    assert moved == found
    assert sum(found.by_day) == pytest.approx(found.middle)
    assert scaled[:3] == pytest.approx([value * times for value in found[:3]], rel=1e-6)
