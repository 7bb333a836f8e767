"""The rollups stay in step, at a cost that does not grow with history."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.normalise import model_ids
from etl.sql_files import sql_text
from etl.warehouse import prices
from etl.warehouse.price_file import COLUMNS, MAX_RATE
from etl.warehouse.prices import ensure_list_prices
from etl.warehouse.write.attribution import apply_config
from etl.warehouse.write.costs import PRICED
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.rollup import (
    add_usage,
    all_hours,
    hours_of,
    rebuild_rollups,
    renew,
    subtract_calls,
)
from tests.checks import failed_checks
from tests.rounds import rounds
from tests.support import (
    HAIKU,
    HOUR,
    SONNET,
    call,
    import_any_price,
    load,
    rows,
    service_event,
    uuid_of,
    write_log,
    write_metrics,
)

ESTIMATES = (
    "select hour, sum(coalesce(estimated_input_tokens, 0)), sum(estimated_calls) from usage_hourly"
    " group by hour order by hour"
)


@pytest.mark.parametrize("view", ["int_estimates", "int_unattributed"])
def test_renewing_an_hour_reads_no_other(db: Database, view: str) -> None:
    plan = rows(
        db, f"explain query plan select * from {view} where hour between ? and ?", [HOUR, HOUR]
    )
    steps = [step for *_, step in plan]
    assert any("SEARCH totals USING PRIMARY KEY (hour>? AND hour<?)" in step for step in steps)
    assert not [step for step in steps if step.startswith("SCAN") and "usage" in step]
    assert not [step for step in steps if step.startswith("SCAN") and "hourly" in step]


def test_what_a_renewal_computes_reads_no_other_hour(db: Database, tmp_path: Path) -> None:
    load(db, write_metrics(tmp_path / "metrics.csv", [(HAIKU, "InputTokenCount", 100)]))
    plan = rows(
        db, f"explain query plan {sql_text('load/residuals')}", {"first": HOUR, "last": HOUR}
    )
    steps = [step for *_, step in plan]
    assert any("SEARCH totals USING PRIMARY KEY (hour>? AND hour<?)" in step for step in steps)
    plan = rows(db, f"explain query plan {sql_text('load/estimates')}")
    for step in [*steps, *(step for *_, step in plan)]:
        assert not (step.startswith("SCAN") and ("usage" in step or "hourly" in step))


@pytest.mark.parametrize("metrics_first", [True, False])
def test_calls_and_totals_in_either_order(
    db: Database, tmp_path: Path, metrics_first: bool
) -> None:
    log = write_log(tmp_path / "log.json", [call(1), call(2, user="bob")])
    metrics = write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 100)])
    for file in (metrics, log) if metrics_first else (log, metrics):
        load(db, file)
    assert rows(db, ESTIMATES) == [(HOUR, 100, 2)]


def test_a_late_call_takes_its_share_and_a_late_token_gives_it_back(
    db: Database, tmp_path: Path
) -> None:
    load(db, write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 100)]))
    assert rows(db, "select user_name, input_tokens from usage_cost") == [("(unattributed)", 100)]
    load(db, write_log(tmp_path / "1.json", [call(1)]))
    assert rows(db, "select user_name, input_tokens from usage_cost") == [("alice", 100)]
    load(db, write_log(tmp_path / "2.json", [call(2, user="bob")]))
    assert rows(db, "select user_name, input_tokens from usage_cost order by 1") == [
        ("alice", 50),
        ("bob", 50),
    ]
    load(db, write_log(tmp_path / "3.json", [call(3, user="carol", tokens=(40, 1))]))
    assert rows(db, "select user_name, input_tokens from usage_cost order by 1") == [
        ("alice", 30), ("bob", 30), ("carol", 40)
    ]  # fmt: skip


def test_a_series_seen_for_the_first_time_moves_earlier_hours_to_itself(
    db: Database, tmp_path: Path
) -> None:
    """The canonical id replaces the profile until CloudWatch shows the profile itself."""
    plain, later = SONNET[3:], "2026-11-02T15:00:00Z"
    load(db, write_log(tmp_path / "log.json", [call(1, requestParameters={"modelId": SONNET})]),
         write_metrics(tmp_path / "m.csv", [(plain, "InputTokenCount", 100)]))  # fmt: skip
    assert rows(db, "select user_name, input_tokens from usage_cost") == [("alice", 100)]
    load(db, write_metrics(tmp_path / "m.csv", [(SONNET, "InputTokenCount", 7, later, 3600)]))
    assert rows(
        db, "select user_name, hour, data_source, input_tokens from usage_cost order by 1, 2"
    ) == [
        ("(unattributed)", HOUR, "CloudWatch (Estimated)", 100),
        ("(unattributed)", later, "CloudWatch (Estimated)", 7),
        ("alice", HOUR, "No token data", None),
    ]


def test_rebuilding_changes_nothing(db: Database, tmp_path: Path) -> None:
    calls = [
        call(1, tokens=(5, 6)),
        call(2),
        call(3, errorCode="x"),
        call(4, eventTime="2026-11-03T01:00:00Z"),
    ]
    load(db, write_log(tmp_path / "log.json", calls), write_metrics(tmp_path / "m.csv", [
        (HAIKU, "InputTokenCount", 100), (SONNET, "InputTokenCount", 3, "2026-10-01T00:00:00Z", 3600),
    ]))  # fmt: skip
    before = content(db)
    with db.atomic():
        rebuild_rollups(db)
    assert content(db) == before
    assert all(before.values())


NewWarehouse = Callable[[], AbstractContextManager[Database]]


# Every table that is kept in step; its content follows from events, totals and prices.
ROLLUPS = ("usage_hourly", "usage_daily", "usage_hours", *PRICED)


def content(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    return {table: rows(db, f"select * from {table}") for table in ROLLUPS}


def check(db: Database) -> None:
    assert failed_checks(db) == {}


UNPRICED, IMAGES = "acme.unknown-v1:0", "amazon.titan-image-generator-v2:0"
HOURS = ("2026-11-01T23", "2026-11-02T00", "2026-11-02T10")
TOKENS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "both": {"inputTokens": 50, "outputTokens": 7},
    "input": {"inputTokens": 20},
    "long": {"inputTokens": 300_000, "outputTokens": 9},
    "cached": {"inputTokens": 5, "outputTokens": 3, "cacheReadInputTokens": 40},
}

RECORD = st.tuples(
    st.integers(0, 7),  # which call: it keeps its hour, so that it may come again
    st.sampled_from(["call", "service", "correction", "failed"]),
    st.sampled_from(["alice", "bob"]),
    st.sampled_from([HAIKU, SONNET, UNPRICED, IMAGES]),
    st.sampled_from(list(TOKENS)),
)
TOTAL = st.tuples(
    st.sampled_from([HAIKU, SONNET, SONNET[3:], UNPRICED]),
    st.sampled_from(["InputTokenCount", "OutputTokenCount", "CacheReadInputTokenCount"]),
    st.integers(0, 400),
    st.sampled_from(HOURS),
)
STEP = (
    st.tuples(st.just("calls"), st.lists(RECORD, min_size=1, max_size=6))
    | st.tuples(st.just("totals"), st.lists(TOTAL, min_size=1, max_size=4))
    | st.tuples(st.just("price"), st.sampled_from([(HAIKU, 7), (UNPRICED, 3), (UNPRICED, 0)]))
    | st.tuples(st.just("alias"), st.sampled_from(["bob", "Zoe"]))
)


def _record(number: int, kind: str, user: str, model: str, tokens: str) -> dict[str, Any]:
    hour = HOURS[number % len(HOURS)]
    fields: dict[str, Any] = {
        "user": user,
        "eventTime": f"{hour}:{number:02}:00Z",
        "requestParameters": {"modelId": model},
        "additionalEventData": TOKENS[tokens],
    }
    if kind == "service":
        service = service_event(100 + number, number, {"inputTokens": 7, "outputTokens": number})
        return service | {"eventTime": fields["eventTime"]}
    if kind == "correction":
        number, fields["addendum"] = 300 + number, {"originalEventID": uuid_of(number)}
    if kind == "failed":
        number, fields["errorCode"] = 400 + number, "ThrottlingException"
    return call(number, **fields)


def _do(db: Database, step: str, value: Any) -> None:
    folder = Path(rows(db, "pragma database_list")[0][2]).parent
    if step == "calls":
        load(db, write_log(folder / "log.json", [_record(*which) for which in value]))
    elif step == "totals":
        totals = [(model, metric, n, f"{hour}:00:00Z", 3600) for model, metric, n, hour in value]
        load(db, write_metrics(folder / "m.csv", totals))
    elif step == "price":
        import_price(db, folder, *value)
    else:
        apply_config(db, [], {"alice": value})


def import_price(
    db: Database, folder: Path, model: str, usd_per_mtok: int, kind: str = "input"
) -> None:
    (folder / "prices.csv").write_text(
        ",".join(COLUMNS)
        + f"\n{model},*,regional,standard,{kind},0,{usd_per_mtok},2026-11-02,,ours,2026-11-02\n"
    )
    import_any_price(db, folder / "prices.csv")


@settings(max_examples=rounds(8, 300))
@given(st.lists(STEP, max_size=6))
def test_whatever_comes_late_twice_corrected_or_out_of_order(
    new_warehouse: NewWarehouse, steps: list[tuple[str, Any]]
) -> None:
    with new_warehouse() as db:
        for step, value in steps:
            _do(db, step, value)
        check(db)
        kept_in_step = content(db)
        with db.atomic():
            rebuild_rollups(db)
        assert content(db) == kept_in_step


def take_everything(db: Database) -> None:
    with db.atomic():
        hours = hours_of(db, "events")
        subtract_calls(db, "events")
        db.execute("delete from tokens")
        db.execute("delete from events")
        renew(db, Names(db), hours)


def test_what_is_taken_away_leaves_no_row(db: Database, tmp_path: Path) -> None:
    empty = content(db)
    load(db, write_log(tmp_path / "log.json", [call(1, tokens=(5, 6)), call(2)]))
    assert all(content(db).values())
    take_everything(db)
    assert content(db) == empty
    check(db)


def test_the_estimate_of_removed_calls_becomes_unattributed(db: Database, tmp_path: Path) -> None:
    load(db, write_log(tmp_path / "log.json", [call(1), call(2, user="bob")]),
         write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 100)]))  # fmt: skip
    take_everything(db)
    for view in ("usage_cost", "usage_cost_daily"):
        shown = rows(db, f"select user_name, calls, input_tokens from {view}")
        assert shown == [("(unattributed)", 0, 100)]
    check(db)


def test_usage_is_added_from_any_relation(db: Database, tmp_path: Path) -> None:
    load(db, write_log(tmp_path / "1.json", [call(1, tokens=(5, 6)), call(2), call(3, user="bob")]))
    once = content(db)
    db.execute("create temp table given as select * from int_call_usage")
    for relation in ("given", "(select * from given where user_key > 0)"):
        with db.atomic():
            db.execute("delete from usage_hourly")
            db.execute("delete from usage_daily")
            add_usage(db, relation)
            renew(db, Names(db), all_hours(db))
        assert content(db) == once
    with db.atomic():
        add_usage(db, "(select * from given limit 1)")
        renew(db, Names(db), all_hours(db))
    assert rows(db, "select sum(calls) from usage_daily") == [(4,)]
    assert rows(db, "select sum(calls) from user_costs") == [(4,)]


def test_sums_are_added_as_calls_are(db: Database, tmp_path: Path) -> None:
    load(db, write_log(tmp_path / "1.json", [call(n, tokens=(n, 6)) for n in range(4)]))
    once = content(db)
    counts = [c for c in _columns(db, "usage_hourly") if not c.startswith("estimated")][6:]
    keys = "hour, account_key, region_key, model_key, user_key, application_key, token_source_key"
    with db.atomic():
        db.execute("delete from usage_hourly")
        db.execute("delete from usage_daily")
        add_usage(
            db,
            f"(select {keys}, service_tier, min_input_tokens, variant,"
            f" {', '.join(f'sum({c}) as {c}' for c in counts)} from int_call_usage"
            f" group by {keys}, service_tier, min_input_tokens, variant)",
        )
        renew(db, Names(db), all_hours(db))
    assert content(db) == once


def _columns(db: Database, table: str) -> list[str]:
    return [name for _, name, *_ in rows(db, f"pragma table_info({table})")]


@pytest.mark.parametrize("before", ["2026-11-02T00:00:00Z", "2026-11-02T10:30:00Z"])
def test_dropped_calls_stay_in_the_rollups(db: Database, tmp_path: Path, before: str) -> None:
    moments = (
        "2026-11-01T09:00:00Z",
        "2026-11-02T10:00:00Z",
        "2026-11-02T10:45:00Z",
        "2026-11-03T00:00:00Z",
    )
    calls = [call(n, tokens=(50, n) if n % 2 else None, eventTime=moments[n % 4]) for n in range(8)]
    load(db, write_log(tmp_path / "log.json", calls),
         write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 400, f"{m[:13]}:00:00Z", 3600) for m in moments]))  # fmt: skip
    before_it = content(db)
    for table in ("tokens", "events"):
        db.execute(f"delete from {table} where event_time < ?", [before])
    assert failed_checks(db, ["rollup_matches_events"])
    db.execute(
        "insert into dropped_calls values ('2026-12-01T00:00:00Z', ?, 1, null, null)", [before]
    )
    check(db)
    with db.atomic():
        rebuild_rollups(db)
    assert content(db) == before_it
    check(db)
    # The remaining calls are still compared.
    db.execute("update usage_hourly set calls = calls + 1 where hour >= ?", [before])
    assert failed_checks(db, ["rollup_matches_events"])


def test_a_price_that_comes_later_prices_what_is_there(db: Database, tmp_path: Path) -> None:
    model = {"requestParameters": {"modelId": UNPRICED}}
    calls = [
        call(1, tokens=(1_000_000, 0), **model),
        call(2, tokens=(1_000_000, 0), eventTime="2026-11-01T00:00:00Z", **model),
        call(3, user="bob", tokens=(1_000_000, 0)),
    ]
    load(db, write_log(tmp_path / "log.json", calls))
    costs = "select user_name, cost_usd, unpriced_calls from user_costs order by 1"
    assert rows(db, costs) == [("alice", None, 2), ("bob", 0.25, 0)]
    import_price(db, tmp_path, UNPRICED, 3_000_000)
    assert rows(db, costs) == [("alice", 3.0, 1), ("bob", 0.25, 0)]
    import_price(db, tmp_path, UNPRICED, 4_000_000)
    assert rows(db, costs) == [("alice", 4.0, 1), ("bob", 0.25, 0)]
    check(db)


@pytest.mark.parametrize(
    ("users", "calls_of_each"),
    [(1, 4), (4, 1)],
    ids=["one row beyond 64 bits", "a sum of rows beyond 64 bits"],
)
def test_an_enormous_price_does_not_stop_a_load(
    db: Database, tmp_path: Path, users: int, calls_of_each: int
) -> None:
    import_price(db, tmp_path, HAIKU, MAX_RATE)
    calls = [
        call(10 * user + n, user=f"user-{user}", tokens=(9_000_000, 0))
        for user in range(users)
        for n in range(calls_of_each)
    ]
    load(db, write_log(tmp_path / "log.json", calls))
    assert rows(db, "select calls, round(cost_usd) from application_costs") == [(4, 72_000_000)]
    assert failed_checks(db, ["money_is_whole"])


def test_days_left_unpriced_are_priced_when_the_warehouse_is_opened(
    db: Database, tmp_path: Path
) -> None:
    load(db, write_log(tmp_path / "log.json", [call(1, tokens=(5, 6)), call(2, user="bob")]))
    priced = content(db)
    for table in PRICED:
        db.execute(f"delete from {table}")
    db.execute("delete from priced_rates")
    db.execute("insert into stale_rate_keys select rate_key from rate_keys")
    ensure_list_prices(db)
    assert content(db) == priced
    check(db)


def test_estimates_follow_the_names_that_a_new_version_reads_from_a_model_id(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ids are one model now: they share CloudWatch's totals, and their input is alike."""
    model = "openai.gpt-5.4"
    calls = [
        call(n, user=user, requestParameters={"modelId": sent})
        for n, (user, sent) in enumerate([("A", f"amer.{model}"), ("B", model)])
    ]
    with monkeypatch.context() as earlier:
        for module in (model_ids, prices):
            earlier.setattr(module, "GEO_PREFIXES", ("us.", "global."))
        ensure_list_prices(db)
        load(db, write_log(tmp_path / "l.json", calls),
             write_metrics(tmp_path / "m.csv", [(model, "InputTokenCount", 1_000)]))  # fmt: skip
        shares = "select user_name, input_tokens from user_costs order by 1"
        assert rows(db, shares) == [("A", None), ("B", 1_000)]
    ensure_list_prices(db)
    assert rows(db, shares) == [("A", 500), ("B", 500)]
    assert rows(db, "select count(*) from model_input_forms") == [(2,)]
    check(db)


def test_a_commit_reads_no_more_than_what_it_changes(db: Database, tmp_path: Path) -> None:
    """However much history there is: no statement scans a whole rollup."""
    metrics = [(HAIKU, "InputTokenCount", 100)]
    load(db, write_log(tmp_path / "1.json", [call(1), call(2, tokens=(5, 6))]),
         write_metrics(tmp_path / "m.csv", metrics))  # fmt: skip
    statements: list[str] = []
    db.conn.set_trace_callback(statements.append)
    load(
        db,
        write_log(tmp_path / "2.json", [call(2, tokens=(5, 6)), call(3), call(4, tokens=(1, 1))]),
    )
    db.conn.set_trace_callback(None)
    scans = [
        (step, statement)
        for statement in statements
        if statement.startswith(("insert", "update", "delete", "select"))
        # A plan also shows what foreign keys would read if one were violated.
        and "into rate_keys" not in statement
        for *_, step in rows(db, f"explain query plan {statement}")
        if step.startswith("SCAN") and step.split()[1] in (*ROLLUPS, "events", "tokens")
    ]
    assert scans == []
    assert any("usage_daily" in statement for statement in statements)


def test_a_load_makes_no_table_that_an_earlier_one_has_made(db: Database, tmp_path: Path) -> None:
    """SQLite compiles every statement of a connection again after a table was made or dropped."""
    versions = []
    for number in range(1, 5):
        log = write_log(tmp_path / "log.json", [call(number)])
        totals = [(HAIKU, "InputTokenCount", number)]
        load(db, log, write_metrics(tmp_path / "m.csv", totals), batch_rows=1)
        versions += rows(db, "pragma temp.schema_version")
    assert versions[1:] == versions[1:2] * 3
