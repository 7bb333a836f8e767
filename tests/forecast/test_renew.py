"""The stored forecasts, and the days that they are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.forecast.renew import renew_forecasts
from etl.sql_files import sql_text
from etl.warehouse.bookmarks import Gap, StreamId, StreamState, save_state
from etl.warehouse.upkeep.forget import forget
from tests.checks import failed_checks
from tests.support import ACCOUNT, call, dump, load, rows, write_log

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
# A Thursday; the month has thirty days.
FIRST = date(2026, 10, 1)
# Of Claude 3 Haiku: 4,000,000 input tokens are a dollar.
TOKENS = 4_000_000
EVENTS = StreamId("cloudtrail", ACCOUNT, "us-east-1")


def on(day: date, hour: int = 10) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def use(
    db: Database, folder: Path, days: Iterable[date], dollars: float = 1, app: str = "Chat"
) -> None:
    """Load a call on each day that costs so much."""
    (known,) = rows(db, "select count(*) from events")[0]
    calls = [
        call(
            known + n,
            eventTime=f"{on(day):%Y-%m-%dT%H:%M:%SZ}",
            userAgent=f"{app}/1.0",
            tokens=(int(dollars * TOKENS), 0),
        )
        for n, day in enumerate(days, 1)
    ]
    load(db, write_log(folder / f"{app}-{known}.json", calls))


def days(number: int, first: date = FIRST) -> list[date]:
    return [first + n * DAY for n in range(number)]


def forecast(db: Database, name: str = "Chat") -> dict[str, Any]:
    (row,) = db.query("select * from forecast_month where name = ?", [name])
    return row


def covered(db: Database) -> dict[str, int]:
    return dict(db.execute("select day, is_covered from int_covered_days").fetchall())


def read_until(db: Database, last: date, **changes: Any) -> None:
    """Say that sync has read everything up to the end of a day."""
    state = StreamState(
        EVENTS,
        covered_from=on(FIRST, 0),
        watermark=on(last + DAY, 0) - SECOND,
        read_at=on(last + DAY, 1),
        history_from=on(FIRST, 0),
    )
    save_state(db, replace(state, **changes))


def test_the_rest_of_the_month_is_added_to_what_was_spent(db: Database, tmp_path: Path) -> None:
    # The 40th day is not over: files do not say so.
    use(db, tmp_path, days(40))
    assert renew_forecasts(db)
    row = forecast(db)
    assert (row["month"], row["through_day"], row["spent_usd"]) == ("2026-11", "2026-11-08", 9.0)
    assert (row["history_days"], row["rest_days"], row["reason"]) == (39, 22, None)
    assert row["forecast_usd"] == pytest.approx(30)
    assert 9 < row["forecast_low_usd"] < 30 < row["forecast_high_usd"]
    names = rows(db, "select dimension, name, forecast_usd from forecast_month order by 1")
    assert names == [
        ("all", "(all)", row["forecast_usd"]),
        ("application", "Chat", row["forecast_usd"]),
        ("team", "(no team)", row["forecast_usd"]),
    ]
    assert failed_checks(db) == {}


def test_no_rounding_makes_a_forecast_less_than_what_is_spent(db: Database, tmp_path: Path) -> None:
    use(db, tmp_path, days(40))
    for table in ("priced_daily_by_model", "priced_daily_by_application"):
        db.execute(f"update {table} set cost_picodollars = 1000000040000")
    renew_forecasts(db)
    db.execute("update forecasts set rest_usd = 0, rest_low_usd = 0, rest_high_usd = 0")
    row = forecast(db)
    assert row["spent_usd"] == pytest.approx(9.00000036, abs=1e-12)
    assert {row[f"forecast{end}_usd"] for end in ("", "_low", "_high")} == {row["spent_usd"]}


def test_nothing_is_written_if_nothing_changed(db: Database, tmp_path: Path) -> None:
    assert not renew_forecasts(db)
    use(db, tmp_path, days(40))
    assert renew_forecasts(db)
    (file,) = (
        Path(name) for _, name, name in rows(db, "select * from pragma_database_list") if name
    )
    before = dump(file, without=())
    assert not renew_forecasts(db)
    assert dump(file, without=()) == before


def test_a_month_begins_with_a_forecast_of_all_of_it(db: Database, tmp_path: Path) -> None:
    use(db, tmp_path, days(31))
    read_until(db, date(2026, 10, 31))
    renew_forecasts(db)
    row = forecast(db)
    assert (row["month"], row["spent_usd"], row["rest_days"]) == ("2026-11", 0.0, 30)
    assert row["forecast_usd"] == pytest.approx(30)


def test_a_day_without_use_is_known_to_cost_nothing(db: Database, tmp_path: Path) -> None:
    use(db, tmp_path, days(31))
    read_until(db, date(2026, 11, 20))
    renew_forecasts(db)
    row = forecast(db)
    assert (row["through_day"], row["spent_usd"]) == ("2026-11-20", 0.0)
    assert row["forecast_usd"] < 5


def test_a_day_that_is_not_covered_counts_as_one_to_come(db: Database, tmp_path: Path) -> None:
    lost = [date(2026, 11, 3), date(2026, 11, 4)]
    use(db, tmp_path, [day for day in days(40) if day not in lost])
    gap = Gap(on(lost[0]), on(lost[1]), "AWS keeps it for 90 days")
    read_until(db, date(2026, 11, 9), gaps=(gap,))
    assert [day for day, is_covered in covered(db).items() if not is_covered] == [
        "2026-11-03",
        "2026-11-04",
    ]
    renew_forecasts(db)
    row = forecast(db)
    assert (row["spent_usd"], row["rest_days"]) == (7.0, 23)
    assert row["forecast_usd"] == pytest.approx(30)


def test_history_that_is_still_being_read_is_not_covered(db: Database, tmp_path: Path) -> None:
    use(db, tmp_path, days(20))
    read_until(db, date(2026, 10, 20), covered_from=on(date(2026, 10, 18)))
    found = covered(db)
    assert [day for day, is_covered in found.items() if is_covered] == ["2026-10-19", "2026-10-20"]
    # Older than all that sync wants: it is from files.
    read_until(
        db,
        date(2026, 10, 20),
        covered_from=on(date(2026, 10, 18)),
        history_from=on(date(2026, 10, 18)),
    )
    assert [day for day, is_covered in covered(db).items() if not is_covered] == ["2026-10-18"]


def test_what_was_given_up_holds_nothing_back(db: Database, tmp_path: Path) -> None:
    use(db, tmp_path, days(40))
    read_until(db, date(2026, 11, 6))
    assert max(covered(db)) == "2026-11-06"
    other = StreamId("cloudtrail", ACCOUNT, "eu-west-1")
    state = StreamState(other, covered_from=on(FIRST, 0), watermark=on(date(2026, 11, 5), 0))
    save_state(db, state)
    assert max(covered(db)) == "2026-11-04"
    save_state(db, replace(state, stream=StreamId("cloudtrail", ACCOUNT, "eu-west-2"),
                           watermark=on(date(2026, 10, 20), 0)))  # fmt: skip
    assert max(covered(db)) == "2026-11-04"


def test_less_than_two_weeks_give_no_figure_but_a_reason(db: Database, tmp_path: Path) -> None:
    use(db, tmp_path, days(40))
    use(db, tmp_path, days(10, date(2026, 10, 31)), app="New")
    renew_forecasts(db)
    row = forecast(db, "New")
    assert row["reason"] == "not enough data: 9 of 14 covered days"
    assert (row["forecast_usd"], row["forecast_low_usd"], row["forecast_high_usd"]) == (None,) * 3
    assert row["spent_usd"] == 9.0
    # The whole has enough.
    assert forecast(db, "(all)")["forecast_usd"] is not None


def test_no_forecast_is_below_what_is_spent(db: Database, tmp_path: Path) -> None:
    use(db, tmp_path, days(40))
    use(db, tmp_path, [date(2026, 11, 9)], dollars=500)
    renew_forecasts(db)
    row = forecast(db)
    assert row["spent_usd"] == 509
    assert row["forecast_low_usd"] == row["forecast_usd"] == row["forecast_high_usd"] == 509


def test_what_is_no_longer_used_is_not_forecast(db: Database, tmp_path: Path) -> None:
    use(db, tmp_path, days(8), app="Old")
    use(db, tmp_path, days(60))
    renew_forecasts(db)
    assert rows(db, "select name from forecast_month where dimension = 'application'") == [
        ("Chat",)
    ]


def test_a_forgotten_name_is_forgotten_here_too(db: Database, tmp_path: Path) -> None:
    use(db, tmp_path, days(40), app="maria-notes")
    renew_forecasts(db)
    forget(db, ["maria-notes"])
    assert not rows(db, "select 1 from forecasts where name like '%maria%'")
    # As if renewed: the name is the application's.
    assert not renew_forecasts(db)


def test_without_a_forecast_the_days_say_why(db: Database, tmp_path: Path) -> None:
    use(db, tmp_path, days(9))
    renew_forecasts(db)
    names = (
        *("until", "regions", "models", "users", "applications", "teams"),
        *("_visitor_applications", "_visitor_teams"),
    )
    found = list(db.query(sql_text("pages/forecast"), dict.fromkeys(names)))
    assert {row["reason"] for row in found} == {"not enough data: 8 of 14 covered days"}
    assert {row["expected_usd"] for row in found} == {None}
    assert found[0]["spent_usd"] == sum(row["cost_usd"] or 0 for row in found)


def test_each_day_of_the_month(db: Database, tmp_path: Path) -> None:
    use(db, tmp_path, days(40))
    use(db, tmp_path, days(40), app="Search", dollars=2)
    renew_forecasts(db)

    def asked(**given: str | None) -> list[dict[str, Any]]:
        names = ("until", "regions", "models", "users", "applications", "teams")
        blank: dict[str, str | None] = dict.fromkeys(names, "")
        blank |= {"_visitor_applications": None, "_visitor_teams": None}
        return list(db.query(sql_text("pages/forecast"), blank | given))

    found = asked()
    assert [row["day"] for row in found] == [f"2026-11-{day:02}" for day in range(1, 31)]
    assert [row["cost_usd"] for row in found] == [3.0] * 9 + [None] * 21
    assert [row["expected_usd"] for row in found[:8]] == [None] * 8
    assert [row["expected_usd"] for row in found[8:]] == pytest.approx([3] * 22)
    assert found[0]["forecast_usd"] == pytest.approx(90)
    of_search = [row["expected_usd"] for row in asked(applications='["Search"]')[8:]]
    assert of_search == pytest.approx([2] * 22)
    assert len(asked(teams="(no team)", until="2026-11-08")) == 30
    # Of several, of a part, of the past, and for a visitor who does not see all, there is none.
    for given in (
        {"applications": "Chat,Search"},
        {"applications": "Chat", "teams": "(no team)"},
        {"users": "alice"},
        {"until": "2026-11-07"},
        {"_visitor_applications": '["Chat"]', "applications": "Chat"},
        {"_visitor_teams": '["(no team)"]'},
        {"applications": "Nobody"},
    ):
        assert asked(**given) == [], given
