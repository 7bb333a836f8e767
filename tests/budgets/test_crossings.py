"""Each thing that happens to a budget is recorded once for its period."""

from __future__ import annotations

import pytest

from etl.warehouse.write.budgets import Crossing, record_budgets
from tests.budgets.support import Spending, budget, moment
from tests.support import rows


def told(found: list[Crossing]) -> list[tuple[str, str, int]]:
    return [(one.period_start, one.kind, one.threshold) for one in found]


def test_a_threshold_is_told_once_even_if_the_cost_falls_and_rises_again(
    spending: Spending,
) -> None:
    spending.budgets(budget(10))
    spending.spend("2026-11-02", 6)
    assert told(spending.record("2026-11-02")) == [("2026-11-01", "actual", 50)]
    assert spending.record("2026-11-03") == []
    spending.db.execute("update priced_daily_by_model set cost_picodollars = 10")  # a correction
    assert spending.record("2026-11-04") == []
    spending.db.execute("update priced_daily_by_model set cost_picodollars = 6000000000000")
    assert spending.record("2026-11-05") == []
    spending.spend("2026-11-05", 5)
    assert told(spending.record("2026-11-05")) == [
        ("2026-11-01", "actual", 80), ("2026-11-01", "actual", 100),
    ]  # fmt: skip
    assert spending.record("2026-11-30") == []
    stored = rows(
        spending.db, "select threshold, cost_microdollars, seen_at from budget_crossings order by 1"
    )
    assert stored == [
        (50, 6_000_000, "2026-11-02T12:00:00Z"), (80, 11_000_000, "2026-11-05T12:00:00Z"),
        (100, 11_000_000, "2026-11-05T12:00:00Z"),
    ]  # fmt: skip


def test_the_next_period_begins_anew_and_late_calls_still_count_in_the_last_one(
    spending: Spending,
) -> None:
    spending.budgets(budget(10))
    spending.spend("2026-11-30T23:59:59Z", 6)
    assert told(spending.record("2026-12-01T01:10")) == [("2026-11-01", "actual", 50)]
    spending.spend("2026-11-30T23:58:00Z", 6)
    assert told(spending.record("2026-12-03T23:59")) == [
        ("2026-11-01", "actual", 80), ("2026-11-01", "actual", 100),
    ]  # fmt: skip
    spending.spend("2026-12-01", 6)
    assert told(spending.record("2026-12-04")) == [("2026-12-01", "actual", 50)]
    # Days later, a month is over.
    spending.budgets(budget(10), budget(1, name="New"))
    assert {one.period_start for one in spending.record("2026-12-05")} == {"2026-12-01"}


def test_a_leap_day_is_a_day_of_its_own(spending: Spending) -> None:
    spending.budgets(budget(10, "day"))
    for day in ("2028-02-28", "2028-02-29", "2028-03-01"):
        spending.spend(day, 6)
        assert told(spending.record(day)) == [(day, "actual", 50)]


def test_a_rolling_window_is_told_again_once_it_has_moved_on(spending: Spending) -> None:
    spending.budgets(budget(10, "7d"))
    found = []
    for day in range(1, 21):
        spending.spend(f"2026-11-{day:02}", 1)
        found += [(day, one.threshold) for one in spending.record(f"2026-11-{day:02}")]
    # $5 on the 5th, $7 from the 7th on: again on the first day whose seven do not touch those.
    assert found == [(5, 50), (12, 50), (19, 50)]


def test_another_amount_is_another_agreement(spending: Spending) -> None:
    spending.budgets(budget(10))
    spending.spend("2026-11-02", 12)
    assert len(spending.record("2026-11-02")) == 3
    spending.budgets(budget(20))
    assert told(spending.record("2026-11-03")) == [("2026-11-01", "actual", 50)]
    spending.budgets(budget(20, application="Search"))
    assert spending.record("2026-11-04") == []


def test_another_kind_of_period_is_another_period(spending: Spending) -> None:
    spending.budgets(budget(10))
    spending.spend("2026-11-01", 12)
    assert len(spending.record("2026-11-01")) == 3
    spending.budgets(budget(10, "day"))
    spending.spend("2026-11-03", 6)
    # The first day of the month is told with it.
    assert told(spending.record("2026-11-03")) == [("2026-11-03", "actual", 50)]


@pytest.mark.parametrize("per", ["day", "week", "month"])
def test_what_ended_while_nothing_could_be_read_is_told_afterwards(
    spending: Spending, per: str
) -> None:
    spending.spend("2026-11-29", 1)
    spending.budgets(budget(10, per))
    assert spending.record("2026-11-29") == []
    spending.record("2026-12-02", synced=False)
    spending.record("2026-12-07", synced=False)
    spending.spend("2026-11-30", 20)
    first = {"day": "2026-11-30", "week": "2026-11-30", "month": "2026-11-01"}[per]
    found = spending.record("2026-12-10", ("ops",))
    assert told(found) == [(first, "actual", threshold) for threshold in (50, 80, 100)]
    assert rows(
        spending.db, "select distinct message_key from budget_crossings where kind = 'actual'"
    ) == [(1,)]
    # A budget that is new does not look back, not even where another one did.
    spending.budgets(budget(10, per), budget(1, per, name="New"))
    assert spending.record("2026-12-11") == []


def test_each_name_crosses_for_itself(spending: Spending) -> None:
    spending.budgets(budget(10, each="user"))
    spending.spend("2026-11-02", 6, user="alice")
    assert [one.name for one in spending.record("2026-11-02")] == ["alice"]
    spending.spend("2026-11-02", 6, user="bob")
    assert [one.name for one in spending.record("2026-11-03")] == ["bob"]


def test_a_budget_that_cannot_be_judged_says_so_once_a_period(spending: Spending) -> None:
    spending.spend("2026-11-02", 1)
    spending.budgets(budget(10))
    spending.synced("2026-11-08T00:00:00Z")
    assert told(spending.record("2026-11-20", synced=False)) == [("2026-11-01", "not judged", 0)]
    assert spending.record("2026-11-21", synced=False) == []
    assert spending.record("2026-11-22") == []
    assert told(spending.record("2026-12-04T00:00", synced=False)) == [
        ("2026-12-01", "not judged", 0)
    ]


def test_a_forecast_crosses_before_the_cost_does(spending: Spending) -> None:
    spending.budgets(budget(10, forecast_thresholds=(100, 200)), budget(10, name="Without"))
    spending.spend("2026-11-02", 2)
    spending.states("2026-11-02")
    asked = []

    def forecast(state: object) -> int:
        asked.append(state["budget"])  # type: ignore[index]
        return 12_000_000

    found = record_budgets(spending.db, moment("2026-11-02"), forecast)
    assert told(found) == [("2026-11-01", "forecast", 100)]
    assert found[0].cost_microdollars == 12_000_000
    assert set(asked) == {"B"}
    state = spending.states("2026-11-02")[0]
    assert (state["state"], state["forecast_usd"], state["forecast_reached_percent"]) == (
        "warning",
        12,
        100,
    )
    spending.states("2026-11-03")
    assert record_budgets(spending.db, moment("2026-11-03"), forecast) == []
    assert record_budgets(spending.db, moment("2026-11-03"), lambda state: None) == []
    assert spending.states("2026-11-03")[0]["state"] == "ok"


def test_what_a_run_without_targets_recorded_is_told_by_the_next_one_with_some(
    spending: Spending,
) -> None:
    spending.budgets(budget(10))
    spending.spend("2026-11-02", 6)
    assert len(spending.record("2026-11-02")) == 1
    assert spending.record("2026-11-03", ("ops",)) == []
    assert spending.record("2026-11-04", ("ops",)) == []
    assert rows(spending.db, "select message_key from budget_crossings") == [(1,)]
    assert rows(spending.db, "select target from deliveries") == [("ops",)]


def test_nothing_is_recorded_without_its_message(
    spending: Spending, monkeypatch: pytest.MonkeyPatch
) -> None:
    spending.budgets(budget(10))
    spending.spend("2026-11-02", 6)

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("etl.warehouse.write.budgets.add_message", fail)
        with pytest.raises(KeyboardInterrupt):
            spending.record("2026-11-02", ("ops",))
    assert rows(spending.db, "select * from budget_crossings") == []
    assert len(spending.record("2026-11-02", ("ops", "boss"))) == 1
    assert rows(spending.db, "select target, state from deliveries") == [
        ("boss", "pending"),
        ("ops", "pending"),
    ]
