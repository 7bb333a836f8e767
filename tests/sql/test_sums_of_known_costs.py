"""Usage with a price is summed, usage without one is counted, and all levels agree.

For any usage of models with prices for only some kinds of token, the cost of each call, hour, day
and sum must equal what Python calculates separately, kind by kind.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.normalise.rows import Event, MetricValue, Tokens
from etl.normalise.token_kinds import TOKENS_ALONE
from etl.show.report import KINDS as REPORTS
from etl.sql_files import sql_text
from etl.warehouse.database import open_warehouse
from etl.warehouse.read.reports import Filters, movers, run_report, usage
from etl.warehouse.upkeep.check import rebuild
from etl.warehouse.write.batch import Batch, Loader
from tests.checks import failed_checks
from tests.cli.running import run
from tests.rounds import rounds
from tests.support import ACCOUNT, call, dump, load, rows, uuid_of, write_log, write_metrics

KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "image")
# Pico-dollars per token, and their first day. Whole nano-dollars, because the views round.
PRICES: dict[str, dict[str, tuple[int, str]]] = {
    "acme.all-v1": {kind: (1000 * (n + 1), "2026-01-01") for n, kind in enumerate(KINDS)},
    "acme.uncached-v1": {"input": (3000, "2026-01-01"), "output": (15_000, "2026-01-01")},
    "acme.later-v1": {"input": (2000, "2026-01-01"), "cache_read": (1000, "2026-11-03")},
    "acme.free-v1": {"input": (0, "2026-01-01"), "image": (40_000_000, "2026-11-03")},
    "acme.never-v1": {},
    # Only a kind that is not counted, which is the same as no price.
    "acme.sized-v1": {"image_512x512": (1000, "2026-01-01")},
}
HOURS = ("2026-11-02T10", "2026-11-02T11", "2026-11-03T10")
METRICS = {
    "input": "InputTokenCount", "output": "OutputTokenCount", "image": "OutputImageCount",
    "cache_read": "CacheReadInputTokenCount", "cache_write_5m": "CacheWriteInputTokenCount",
}  # fmt: skip
ACTUAL, ESTIMATED, NONE = (
    "Actual Tokens from CloudTrail", "CloudWatch (Estimated)", "No token data",
)  # fmt: skip

COUNT = st.sampled_from([None, 0, 1, 7, 1000])
CALL = st.tuples(
    st.sampled_from(HOURS),
    st.sampled_from("AB"),
    st.sampled_from(["Search", "Chat"]),
    st.sampled_from(list(PRICES)),
    st.one_of(st.none(), st.tuples(*[COUNT] * 6)),
    st.sampled_from([False, False, True]),
)
METRIC = st.tuples(
    st.sampled_from(HOURS),
    st.sampled_from(list(PRICES)),
    st.sampled_from(list(METRICS)),
    st.sampled_from([0, 1, 13, 5000]),
)


class Part(NamedTuple):
    """Usage with one data source, in one place, by one user. ``tokens``: the known counts."""

    hour: str
    user_name: str
    application: str
    model_id: str
    data_source: str
    calls: int
    tokens: Mapping[str, int]

    @property
    def day(self) -> str:
        return self.hour[:10]

    @property
    def region(self) -> str:
        return "us-east-1"

    @property
    def team(self) -> str:
        return "(no team)" if self.application != "(unattributed)" else "(unattributed)"

    @property
    def rates(self) -> dict[str, int]:
        known = PRICES[self.model_id].items()
        return {kind: rate for kind, (rate, since) in known if since <= self.day and kind in KINDS}


class Sum(NamedTuple):
    """The sum of parts. ``cost``: in pico-dollars, for usage that has a price."""

    cost: int
    unpriced_calls: int
    unpriced_tokens: int
    calls_without_tokens: int
    is_lower_bound: bool


def sum_of(parts: Iterable[Part]) -> Sum:
    cost = calls = tokens = without = 0
    for part in parts:
        cost += sum(n * part.rates.get(kind, 0) for kind, n in part.tokens.items())
        tokens += sum(n for kind, n in part.tokens.items() if kind not in part.rates)
        calls += 0 if part.rates else part.calls
        without += 0 if part.tokens else part.calls
    return Sum(cost, calls, tokens, without, bool(calls or tokens or without))


def may_be(parts: Iterable[Part], is_null: bool) -> bool:
    """Return whether the cost of these parts may be NULL (or, if not ``is_null``, a number).

    It is a number where anything used has a price, and NULL where all known counts need a price
    that is missing. Either is right for calls with zero tokens among calls without a price.
    """
    parts = list(parts)
    if any(n and kind in part.rates for part in parts for kind, n in part.tokens.items()):
        return not is_null
    is_nothing_known = all(not part.tokens or any(part.tokens.values()) for part in parts)
    return is_null or not is_nothing_known


def parts_of(db: Database, calls: list[Any]) -> list[Part]:
    """Return the calls with tokens, and what was shared out among the other calls."""
    parts = []
    for hour, user, application, model, counts, is_failed in calls:
        known = {
            kind: n for kind, n in zip(KINDS, counts or [None] * 6, strict=True) if n is not None
        }
        if known:
            parts.append(Part(hour, user, application, model, ACTUAL, not is_failed, known))
    for row in db.query(
        "select substr(hour, 1, 13) as hour, user_name, application, models.model_id, usage.*"
        " from usage_hourly as usage join users using (user_key)"
        " join applications using (application_key)"
        " join rate_keys using (rate_key) join models using (model_key)"
    ):
        named = (row["hour"], row["user_name"], row["application"], row["model_id"])
        names = zip(METRICS, ("input_tokens", "output_tokens", "image_count", "cache_read_tokens", "cache_write_tokens"), strict=True)  # fmt: skip
        shares = {kind: row[f"estimated_{name}"] for kind, name in names}
        shared = {kind: n for kind, n in shares.items() if n is not None}
        if row["estimated_calls"] or any(shared.values()):
            parts.append(Part(*named, ESTIMATED, row["estimated_calls"], shared))
        if row["token_source_key"] == 0 and row["calls"] > row["estimated_calls"]:
            parts.append(Part(*named, NONE, row["calls"] - row["estimated_calls"], {}))
    return parts


@pytest.fixture(scope="module")
def priced(
    tmp_path_factory: pytest.TempPathFactory, empty_warehouse: Path
) -> Callable[[], AbstractContextManager[Database]]:
    """Make warehouses that have the prices above."""
    template = tmp_path_factory.mktemp("priced") / "warehouse.db"
    shutil.copy(empty_warehouse, template)
    with open_warehouse(template) as db:
        db.conn.executemany(
            "insert into prices (model_id, region, scope, service_tier, token_kind, min_input_tokens,"
            " usd_per_mtok, effective_from, source, checked_on, origin)"
            " values (?, '*', 'regional', 'standard', ?, 0, ?, ?, 'test', '2026-11-01', 'seed')",
            [(m, k, *price) for m, kinds in PRICES.items() for k, price in kinds.items()],
        )
        db.execute("pragma wal_checkpoint(truncate)")

    def make() -> AbstractContextManager[Database]:
        path = tmp_path_factory.mktemp("given") / "warehouse.db"
        shutil.copy(template, path)
        return open_warehouse(path)

    return make


def write(db: Database, calls: list[Any], metrics: list[Any]) -> None:
    loader = Loader(db)
    loader.write(Batch(events=[event(n, *one) for n, one in enumerate(calls)]))
    totals = {(hour, model, kind): value for hour, model, kind, value in metrics}
    loader.write(Batch(metrics=[
        MetricValue(ACCOUNT, "us-east-1", model, METRICS[kind], f"{hour}:00:00Z", 3600, value)
        for (hour, model, kind), value in totals.items()
    ]))  # fmt: skip


def event(
    number: int, hour: str, user: str, application: str, model: str, counts: Any, is_failed: bool
) -> Event:
    return Event(
        event_time=f"{hour}:{number % 60:02}:00Z", event_id=uuid_of(number),
        request_id=None, shared_event_id=None, account_id=ACCOUNT, region="us-east-1",
        event_source="bedrock.amazonaws.com", event_name="InvokeModel", model_id=model,
        principal_arn=f"arn:aws:iam::{ACCOUNT}:user/{user}", principal_type="IAMUser",
        session_name=None, user_agent=None, user_name=user, application=application,
        application_source="user agent", error_code="Throttling" if is_failed else None,
        inference_region=None, service_tier=None, is_home_copy=True, is_correction=False,
        tokens=Tokens("additionalEventData", *counts) if counts and counts != (None,) * 6 else None,
    )  # fmt: skip


# The columns that identify rows of each view. Several rows may share them and are summed here.
WHO = ("day", "region", "model_id", "user_name", "application")
LEVELS = {
    "usage_cost": ("hour", *WHO, "data_source"),
    "usage_cost_daily": (*WHO, "data_source"),
    "daily_costs_by_user_and_application": WHO,
    "daily_costs_by_user": ("day", "region", "model_id", "user_name"),
    "daily_costs_by_application": ("day", "region", "model_id", "application"),
    "daily_costs_by_model": ("day", "region", "model_id"),
    "user_costs": ("user_name",),
    "application_costs": ("application",),
    "user_breakdown": ("user_name", "region", "model_id"),
    "application_breakdown": ("application", "region", "model_id"),
    "model_costs": ("model_id",),
    "region_costs": ("region",),
    "daily_costs": ("day",),
}
FILTERS = (
    *("since", "until", "regions", "models", "users", "applications", "teams"),
    *("_visitor_applications", "_visitor_teams"),
)
CAUSES = ("volume", "size", "mix", "price")
COUNTED = ("unpriced_calls", "unpriced_tokens", "calls_without_tokens")


def levels(db: Database) -> Iterator[tuple[str, tuple[str, ...], list[dict[str, Any]]]]:
    """Yield each level: its name, the columns that identify its rows, and its rows."""
    for view, by in LEVELS.items():
        yield view, by, list(db.query(f"select * from {view}"))
    for _, by in REPORTS.values():
        yield f"usage by {by}", by, usage(db, Filters(), by=by)
    yield "usage", (), usage(db, Filters())


@settings(max_examples=rounds(4, 1000))
@given(st.lists(CALL, min_size=4, max_size=14), st.lists(METRIC, max_size=10))
def test_every_level_adds_up_to_what_is_known(
    priced: Callable[[], AbstractContextManager[Database]], calls: list[Any], metrics: list[Any]
) -> None:
    with priced() as db:
        write(db, calls, metrics)
        parts = parts_of(db, calls)
        for level, by, found in levels(db):
            compare(level, by, found, parts)
        compare_calls(db, calls)
        compare_by_kind(db, parts)
        compare_periods(db, parts)
        compare_movers(db, parts)
        compare_callers(db, parts)
        compare_kinds(db, parts)
        assert failed_checks(db) == {}
        path = Path(rows(db, "pragma database_list")[0][2])
        before = dump(path)
        rebuild(db)
        assert dump(path) == before


def compare(
    level: str, by: tuple[str, ...], found: list[dict[str, Any]], parts: list[Part]
) -> None:
    key = by if "hour" not in by else tuple(name for name in by if name != "day")
    expected: dict[tuple[Any, ...], list[Part]] = defaultdict(list)
    for part in parts:
        expected[tuple(getattr(part, name) for name in key)].append(part)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in found:
        groups[tuple(row[n][:13] if n == "hour" else row[n] for n in key)].append(row)
    for names, some in groups.items():
        where = (level, names)
        its = expected.pop(names, [])
        costs = [row.get("cost_picodollars", _pico(row["cost_usd"])) for row in some]
        assert may_be(its, set(costs) == {None}), where
        bounds = {row["is_lower_bound"] for row in some}
        assert bounds <= {0, 1}, where
        sums = [sum(row[column] for row in some) for column in COUNTED]
        assert Sum(sum(cost or 0 for cost in costs), *sums, max(bounds) == 1) == sum_of(its), where
        for row in some:
            compare_units(row)
    assert {names for names, its in expected.items() if sum_of(its) != sum_of([])} == set(), level


def compare_units(row: dict[str, Any]) -> None:
    tokens = sum(row[kind.shown] or 0 for kind in TOKENS_ALONE)
    for column, units in (("usd_per_call", row["calls"]), ("usd_per_ktok", tokens / 1000)):
        if column in row:
            is_known = row["cost_usd"] is not None and units
            part = pytest.approx(row["cost_usd"] / units, abs=1e-9) if is_known else None
            assert row[column] == part, (column, row)


def ask(db: Database, page: str) -> list[dict[str, Any]]:
    return list(db.query(sql_text(f"pages/{page}"), dict.fromkeys(FILTERS)))


def compare_callers(db: Database, parts: list[Part]) -> None:
    of: dict[tuple[str, str], list[Part]] = defaultdict(list)
    for part in parts:
        of["application", part.application].append(part)
        of["all", "(all)"].append(part)
    expected = {
        name: (len({part.user_name for part in its if part.calls}), sum_of(its).cost)
        for name, its in of.items()
    }
    found = ask(db, "callers")
    assert {(row["dimension"], row["name"]): row["users"] for row in found} == {
        name: users for name, (users, _) in expected.items() if users
    }
    for row in found:
        users, cost = expected[row["dimension"], row["name"]]
        assert (row["cost_usd"] or 0) == pytest.approx(cost / 1e12)
        assert (row["usd_per_user"] or 0) == pytest.approx(cost / 1e12 / users, abs=1e-9)


def compare_kinds(db: Database, parts: list[Part]) -> None:
    priced, unpriced, costs = Counter[str](), Counter[str](), Counter[str]()
    for part in parts:
        for kind, count in part.tokens.items():
            is_priced = kind in part.rates
            (priced if is_priced else unpriced)[kind] += count
            costs[kind] += count * part.rates.get(kind, 0)
    found = ask(db, "kind_costs")
    assert {row["token_kind"] for row in found} == {*+(priced + unpriced)}
    for row in found:
        kind = row["token_kind"]
        assert (row["tokens"] or 0, row["unpriced_tokens"]) == (priced[kind], unpriced[kind])
        assert (row["cost_usd"] or 0) == pytest.approx(costs[kind] / 1e12, abs=1e-8)
        if row["tokens"]:
            average = costs[kind] / priced[kind] / 1e6
            assert row["usd_per_mtok"] == pytest.approx(average, rel=1e-2, abs=1e-3)


MOVED = {"user": "user_name", "application": "application", "team": "team", "model": "model_id"}


def compare_movers(db: Database, parts: list[Part]) -> None:
    before, after = HOURS[0][:10], HOURS[-1][:10]
    for by, column in MOVED.items():
        expected = {
            (name, day): [
                part for part in parts if (getattr(part, column), part.day) == (name, day)
            ]
            for name in {getattr(part, column) for part in parts}
            for day in (before, after)
        }
        for row in movers(db, Filters(since=after, until=after), by=by, against=before):
            costs = {name: row[f"{name}_picodollars"] for name in CAUSES}
            of_name = [expected.pop((row["name"], day)) for day in (before, after)]
            sums = [sum_of(its) for its in of_name]
            assert [row["cost_before_picodollars"], row["cost_after_picodollars"]] == [
                one.cost for one in sums
            ]
            assert (
                sum(costs.values()) == row["difference_picodollars"] == sums[1].cost - sums[0].cost
            )
            whole = [part for its in of_name for part in its]
            tokens = sum(one.unpriced_tokens for one in sums)
            calls = sum(part.calls for part in whole if not (part.rates and part.tokens))
            assert (row["unpriced_tokens"], row["calls_without_cost"]) == (tokens, calls)
            counted = [
                sum(part.calls for part in its if part.rates and part.tokens) for its in of_name
            ]
            assert [row["calls_before"], row["calls_after"]] == counted
            if not all(counted):
                assert {costs.pop("volume")} | set(costs.values()) <= {
                    row["difference_picodollars"],
                    0,
                }
                assert not any(costs.values())
        left = [part for its in expected.values() for part in its]
        assert not any(part.calls or sum_of([part]).cost for part in left)


def _pico(dollars: float | None) -> int | None:
    return None if dollars is None else round(dollars * 10**12)


def compare_calls(db: Database, calls: list[Any]) -> None:
    columns = "event_id, cost_picodollars, unpriced_tokens, is_lower_bound"
    found = {row[0]: row[1:] for row in rows(db, f"select {columns} from calls")}
    for number, (hour, user, application, model, counts, is_failed) in enumerate(calls):
        known = {
            kind: n for kind, n in zip(KINDS, counts or [None] * 6, strict=True) if n is not None
        }
        part = Part(hour, user, application, model, ACTUAL, not is_failed, known)
        cost, unpriced, is_bound = found[uuid_of(number)]
        expected = sum_of([part])
        assert may_be([part], cost is None)
        assert (cost or 0, unpriced, is_bound) == (
            expected.cost, expected.unpriced_tokens, expected.is_lower_bound,
        )  # fmt: skip


def compare_by_kind(db: Database, parts: list[Part]) -> None:
    """Check that unpriced usage is listed by kind, and that the lines of a cost add up to it."""
    lacking: dict[str, dict[str, int]] = {}
    for part in parts:
        kinds = lacking.setdefault(part.model_id, dict.fromkeys(KINDS, 0))
        for kind, n in part.tokens.items():
            kinds[kind] += 0 if kind in part.rates else n
    listed = {row["model_id"]: row for row in db.query("select * from unpriced_usage")}
    for model, kinds in lacking.items():
        row = listed.get(model, dict.fromkeys([*COUNTED, *_COLUMNS], 0))
        assert [row[column] for column in _COLUMNS] == [
            kinds["input"], kinds["output"], kinds["cache_read"],
            kinds["cache_write_5m"] + kinds["cache_write_1h"], kinds["image"],
        ]  # fmt: skip
        assert row["unpriced_tokens"] == sum(kinds.values())
    sql = sql_text("pages/cost_lines")
    lines = list(db.query(sql, dict.fromkeys(FILTERS)))
    expected = sum_of(parts)
    assert round(sum(line["cost_usd"] or 0 for line in lines) * 10**12) == expected.cost
    assert sum(line["tokens"] or 0 for line in lines if line["price_id"] is None) == expected.unpriced_tokens  # fmt: skip


_COLUMNS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "image_count",
)


def compare_periods(db: Database, parts: list[Part]) -> None:
    """Check that five-minute figures and daily costs have the same sums."""
    bounds = {"since": HOURS[0], "until": "2026-11-04", "estimates_until": "2026-11-04"}
    periods = run_report(db, "monitor_periods", bounds)
    for application in {part.application for part in parts}:
        its = sum_of(part for part in parts if part.application == application)
        some = [row for row in periods if row["application"] == application]
        assert sum(row["cost_picodollars"] or 0 for row in some) == its.cost
        assert sum(row["unpriced_tokens"] for row in some) == its.unpriced_tokens
        days = run_report(db, "monitor_days", {"application": application, "since": "2026"})
        assert sum(row["cost_picodollars"] or 0 for row in days) == its.cost


COHERE = "cohere.command-r-v1:0"


def test_an_unpriced_kind_of_one_hour_hides_nothing(tmp_path: Path) -> None:
    """CloudWatch's totals of two hours; the cache reads of one have no price."""
    totals = write_metrics(tmp_path / "m.csv", [
        (COHERE, "InputTokenCount", 1_000_000, "2026-11-02T10:00:00Z", 3600),
        (COHERE, "InputTokenCount", 1_000_000, "2026-11-02T11:00:00Z", 3600),
        (COHERE, "CacheReadInputTokenCount", 10, "2026-11-02T11:00:00Z", 3600),
    ])  # fmt: skip
    path = tmp_path / "w.db"
    run("load", totals, "--db", path)
    assert run("check", "--db", path)[0] == 0
    before = dump(path)
    assert run("check", "--rebuild", "--db", path)[0] == 0
    assert dump(path) == before
    _, out, _ = run("report", "models", "--db", path)
    assert "≥ $1.00" in out
    assert (
        "≥ marks a lower bound: 10 tokens without a price are not included (view unpriced_usage)."
        in out
    )
    for words in (("users",), ("applications", "--breakdown"), ("days",), ("regions",)):
        _, out, _ = run("report", *words, "--format", "json", "--db", path)
        found = json.loads(out)
        for row in (found["total"], *found["rows"], *found["rows"][0].get("breakdown", [])):
            assert (row["cost_usd"], row["unpriced_tokens"], row["is_lower_bound"]) == (1.0, 10, 1)
    _, out, _ = run("report", "models", "--format", "csv", "--db", path)
    assert "is_lower_bound" in out.splitlines()[0].split(",")


def test_an_unpriced_kind_of_one_call_hides_nothing(db: Database, tmp_path: Path) -> None:
    usage = {"inputTokens": 1_000_000, "outputTokens": 0, "cacheReadInputTokens": 10}
    parameters = {"modelId": COHERE}
    load(db, write_log(tmp_path / "log.json", [
        call(1, requestParameters=parameters, additionalEventData=usage),
        call(2, requestParameters=parameters, tokens=(1, 1)),
    ]))  # fmt: skip
    assert rows(db, "select cost_usd, unpriced_tokens, is_lower_bound from calls order by event_id") == [
        (0.5, 10, 1), (0.000002, 0, 0),
    ]  # fmt: skip
    assert rows(db, "select calls, cost_usd, unpriced_calls, unpriced_tokens, is_lower_bound from user_costs") == [
        (2, 0.500002, 0, 10, 1)
    ]  # fmt: skip
    assert rows(db, "select calls, cache_read_tokens, input_tokens from unpriced_usage") == [
        (1, 10, 0)
    ]
    assert rows(db, "select price_status from discovered_models") == [("partly priced",)]


def test_an_older_warehouse_is_priced_again_where_it_lacked_a_price(
    db: Database, tmp_path: Path
) -> None:
    records = [
        call(1, requestParameters={"modelId": COHERE}, tokens=(1_000_000, 0)),
        call(2, user="bob", tokens=(7, 7)),
        call(3, user="bob", requestParameters={"modelId": "acme.never-v1"}, tokens=(0, 0)),
        call(4, user="bob", requestParameters={"modelId": COHERE}, tokens=(1, 1)),
    ]
    totals = [(COHERE, "CacheReadInputTokenCount", 10), (COHERE, "OutputImageCount", 3)]
    load(db, write_log(tmp_path / "l.json", records), write_metrics(tmp_path / "m.csv", totals))
    path = Path(rows(db, "pragma database_list")[0][2])
    good = dump(path)
    # As older versions left it: NULL where anything lacks a price, and images not counted.
    for table in ("", "_by_user", "_by_application", "_by_model"):
        db.execute(f"update priced_daily{table} set cost_picodollars = null, unpriced_tokens ="
                   " max(unpriced_tokens - coalesce(image_count, 0), 0) where unpriced_tokens > 0")  # fmt: skip
    db.execute("update priced_daily_by_model set unpriced_calls = 0")
    db.execute("delete from _sqlite_migrations where name = 'm017_price_kinds_alone'")
    assert dump(path) != good
    with open_warehouse(path):
        assert dump(path) == good
