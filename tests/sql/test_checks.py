"""Each check returns no rows for good data, and some for damaged data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlite_utils import Database

from etl.sql_files import sql_text
from etl.warehouse.write import rollup
from tests.cases import cases
from tests.checks import failed_checks
from tests.support import HAIKU, call, load, rows, write_log, write_metrics

DAMAGE = {
    "rollup_matches_events": "update usage_hourly set calls = calls + 1",
    "calls_match_rollup": "update usage_hourly set input_tokens = input_tokens + 1 where token_source_key > 0",
    "days_add_up": "update usage_daily set failed_calls = failed_calls + 1",
    "days_match_hours": "update usage_daily set cache_read_unknown_calls = cache_read_unknown_calls + 1",
    "daily_widths_are_current": "update daily_widths set input_above = 1",
    "bounds_by_name_are_current": "update priced_daily_by_application set cost_low_picodollars = 0",
    "priced_days_are_current": "update prices set usd_per_mtok = usd_per_mtok + 1",
    "usage_hours_are_current": "delete from usage_hours",
    "estimates_are_current": "update usage_hourly set estimated_input_tokens = estimated_input_tokens + 1",
    "totals_reconcile": "update usage_hourly set estimated_input_tokens = estimated_input_tokens - 1",
    "call_minutes_match_events": "delete from stale_minutes",
    "known_minutes_match_events": "delete from stale_minutes",
    "hour_shares_match_calls": "insert into hour_shares select hour, account_key, rate_key, 'input',"
    " user_key, application_key, calls + 1, 1, 0, 3 from usage_hourly where token_source_key = 0",
    "metric_hours_are_current": "update metric_hourly set value = value + 1",
    "what_if_of_itself_changes_nothing": "update priced_daily_by_application set cost_picodollars = 1",
    "money_is_whole": "update prices set usd_per_mtok = 9000000000000000 where model_id like '%haiku-2024%'",
}


@pytest.fixture(scope="module")
def good(
    new_warehouse: Callable[[], AbstractContextManager[Database]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("good")
    calls = [call(1, tokens=(2_000, 5)), call(2, user="bob"), call(3, errorCode="AccessDenied")]
    arn = f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"
    calls += [call(12, requestParameters={"modelId": arn}, tokens=(1, 1))]
    with new_warehouse() as db:
        load(db, write_log(folder / "log.json", calls),
             write_metrics(folder / "m.csv", [(HAIKU, "InputTokenCount", 5_000)]))  # fmt: skip
        yield db


@contextmanager
def rolled_back(db: Database) -> Iterator[None]:
    """Undo what is done to the data and to the views."""
    db.execute("begin")
    try:
        yield
    finally:
        db.execute("rollback")


def test_good_data_passes(good: Database) -> None:
    assert failed_checks(good) == {}


@cases("check", DAMAGE)
def test_damage_is_found(good: Database, check: str) -> None:
    with rolled_back(good):
        good.execute(DAMAGE[check])
        assert failed_checks(good, [check])
    assert failed_checks(good, [check]) == {}


def test_two_prices_at_a_time_are_found(good: Database) -> None:
    with rolled_back(good):
        good.execute(
            "insert into prices (model_id, region, scope, service_tier, token_kind, min_input_tokens, usd_per_mtok,"
            " effective_from, effective_to, source, checked_on, origin) select model_id, region, scope, service_tier, token_kind, min_input_tokens,"
            " usd_per_mtok, date(effective_from, '+1 day'), effective_to, source, checked_on, origin from prices"
            " where effective_to is null limit 1"
        )
        assert len(failed_checks(good, ["prices_do_not_overlap"])["prices_do_not_overlap"]) == 1


def replace_view(db: Database, view: str, old: str, new: str) -> None:
    ((sql,),) = rows(db, "select sql from sqlite_master where name = ?", [view])
    assert old in sql
    db.execute(f"drop view {view}")
    db.execute(sql.replace(old, new))


@cases(
    ("check", "view", "old", "new"),
    [
        ("marts_add_up", "user_costs", "from daily_costs_by_user", "from daily_costs_by_user where data_source like 'Actual%'"),
        (
            "usage_cost_has_its_grain",
            "usage_cost",
            "region, model_id, user_name, application, team, data_source",
            "region, model_id, user_name, application, team, data_source, rate_key",
        ),
    ],
)  # fmt: skip
def test_a_broken_mart_is_found(good: Database, check: str, view: str, old: str, new: str) -> None:
    assert failed_checks(good, [check]) == {}
    with rolled_back(good):
        replace_view(good, view, old, new)
        assert failed_checks(good, [check])


@pytest.mark.parametrize("new", ["tokens_up_to", "tokens_up_to - tokens_before + 1"])
def test_shares_that_do_not_add_up_are_found(
    db: Database, tmp_path: Path, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = sql_text("load/estimates")
    wrong = text.replace("tokens_up_to - tokens_before", new)
    assert wrong != text
    monkeypatch.setattr(
        rollup, "sql_text", lambda name: wrong if text == sql_text(name) else sql_text(name)
    )
    load(db, write_log(tmp_path / "log.json", [call(1), call(2, user="bob")]),
         write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 5_001)]))  # fmt: skip
    assert failed_checks(db, ["totals_reconcile"])
