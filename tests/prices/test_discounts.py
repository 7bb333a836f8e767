"""Negotiated rates and discounts, against a computation of its own with ``Decimal``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.normalise.discounts import Discount
from etl.warehouse.price_file import PriceRow
from etl.warehouse.prices import store_overrides
from etl.warehouse.write.discounts import apply_discounts, stored_discounts
from tests.checks import failed_checks
from tests.rounds import rounds
from tests.support import HAIKU, call, load, rows, write_log

OTHER = "anthropic.claude-sonnet-4-5-20250929-v1:0"
ACCOUNTS = ("111122223333", "111122224444", "555566667777")
MODELS = (HAIKU, "us." + OTHER, "global." + OTHER)
REGIONS = ("us-east-1", "eu-west-1")
KINDS = {"input": "input_tokens", "output": "output_tokens"}
FIRST = date(2026, 11, 2)


class Called(NamedTuple):
    """A call of the warehouse: what decides its price, and its tokens."""

    event_id: str
    account: str
    region: str
    raw_model: str
    model: str
    scope: str
    day: str
    tokens: dict[str, int]


def _calls() -> list[dict[str, Any]]:
    """Calls of every account, model and region, just before and at each midnight."""
    times = [
        f"{FIRST + timedelta(days=day)}T{time}Z"
        for day in range(2)
        for time in ("00:00:00", "23:59:59")
    ]
    return [
        call(
            number,
            tokens=(1_000_003 + number, 77 * number),
            recipientAccountId=ACCOUNTS[number % 3],
            awsRegion=REGIONS[number // 3 % 2],
            requestParameters={"modelId": MODELS[number // 6 % 3]},
            eventTime=times[number // 18],
        )
        for number in range(18 * len(times))
    ]


@pytest.fixture(scope="module")
def loaded(
    new_warehouse: Callable[[], AbstractContextManager[Database]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Database]:
    with new_warehouse() as db:
        load(db, write_log(tmp_path_factory.mktemp("discounts") / "log.json", _calls()))
        yield db


def texts(*values: str) -> st.SearchStrategy[Any]:
    return (
        st.none()
        | st.sampled_from(values)
        | st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True).map(tuple)
    )


DAYS = st.integers(-1, 4).map(lambda day: FIRST + timedelta(days=day))


@st.composite
def discounts(draw: st.DrawFn) -> Discount:
    start, end = draw(st.none() | DAYS), draw(st.none() | DAYS)
    if start and end and end <= start:
        start, end = None, end
    return Discount(
        percent=draw(st.sampled_from([0, 0.0001, 1, 7.5, 12.3456, 33.3333, 50, 99.9999, 100])),
        model=draw(texts("anthropic.*", "*haiku*", OTHER, "global.*", "meta.*")),
        region=draw(texts("us-*", "eu-west-1", "ap-*")),
        account=draw(texts("1111*", ACCOUNTS[0], "55556666777?")),
        tier=draw(texts("standard", "batch")),
        kind=draw(texts("input", "*put", "cache_*")),
        start=start,
        end=end,
    )


@st.composite
def own_rates(draw: st.DrawFn) -> list[PriceRow]:
    """Rates of a user, list or negotiated, that do not overlap."""
    found: dict[tuple[object, ...], PriceRow] = {}
    for _ in range(draw(st.integers(0, 4))):
        row = PriceRow(
            model_id=draw(st.sampled_from([HAIKU, OTHER])),
            region=draw(st.sampled_from(["*", *REGIONS])),
            scope=draw(st.sampled_from(["regional", "global"])),
            service_tier="standard",
            token_kind=draw(st.sampled_from(["input", "output"])),
            min_input_tokens=0,
            usd_per_mtok=draw(st.integers(0, 10**7)),
            effective_from=str(draw(DAYS)),
            effective_to=None,
            source="contract",
            checked_on="2026-11-01",
            rate_class=draw(st.sampled_from(["list", "negotiated"])),
        )
        found[row.use] = row
    return list(found.values())


def _chosen(prices: Sequence[Any], called: Called, kind: str) -> Any:
    fitting = [
        row
        for row in prices
        if row["model_id"] == called.model
        and row["region"] in (called.region, "*")
        and (row["scope"], row["token_kind"]) == (called.scope, kind)
        and (row["service_tier"], row["min_input_tokens"]) == ("standard", 0)
        and row["effective_from"] <= called.day < (row["effective_to"] or "9999")
    ]
    order = {"import": 0, "price_list": 1, "seed": 2}
    return min(
        fitting,
        key=lambda row: (
            row["rate_class"] != "negotiated", order[row["origin"]], row["region"] == "*"
        ),
        default=None,
    )  # fmt: skip


def _is_met(discount: Discount, called: Called, kind: str) -> bool:
    values = {
        "model": (called.model, called.raw_model),
        "region": (called.region,),
        "account": (called.account,),
        "tier": ("standard",),
        "kind": (kind,),
    }
    day = date.fromisoformat(called.day)
    return (
        (discount.start is None or discount.start <= day)
        and (discount.end is None or day < discount.end)
        and all(
            discount.patterns(name) is None
            or any(fnmatchcase(v, p) for v in some for p in discount.patterns(name) or ())
            for name, some in values.items()
        )
    )


def _expected(
    prices: Sequence[Any], agreed: Sequence[Discount], called: Called
) -> tuple[Decimal, Decimal]:
    """Return the cost and the list cost of a call, in pico-dollars."""
    cost = listed = Decimal(0)
    for kind, tokens in called.tokens.items():
        row = _chosen(prices, called, kind)
        of_list = _chosen([one for one in prices if one["rate_class"] == "list"], called, kind)
        rate = Decimal(row["usd_per_mtok"])
        if row["rate_class"] == "list":
            used = next((one for one in agreed if _is_met(one, called, kind)), None)
            if used is not None:
                rate = rate * (100 - Decimal(str(used.percent))) / 100
                rate = rate.quantize(Decimal(1), ROUND_HALF_UP)
        cost += tokens * rate
        listed += tokens * of_list["usd_per_mtok"]
    return cost, listed


def _called(db: Database) -> list[Called]:
    return [
        Called(
            row["event_id"], row["account_id"], row["region"], row["raw_model_id"],
            row["model_id"], row["inference_scope"], row["event_time"][:10],
            {kind: row[column] for kind, column in KINDS.items()},
        )
        for row in db.query("select * from calls")
    ]  # fmt: skip


CHECKS = ("marts_add_up", "priced_days_are_current", "days_add_up", "money_is_whole")
SUMS = (
    *("usage_cost", "usage_cost_daily", "daily_costs_by_user", "daily_costs_by_application"),
    *("daily_costs_by_model", "daily_costs_by_user_and_application"),
)


@settings(max_examples=rounds(5, 400), deadline=None)
@given(st.lists(discounts(), min_size=1, max_size=4), own_rates())
def test_every_cost_is_what_decimal_says(
    loaded: Database, agreed: list[Discount], own: list[PriceRow]
) -> None:
    db = loaded
    db.execute("savepoint agreed")
    try:
        store_overrides(db, own)
        apply_discounts(db, agreed)
        prices = list(db.query("select * from prices where model_id in (?, ?)", [HAIKU, OTHER]))
        expected = {one.event_id: _expected(prices, agreed, one) for one in _called(db)}
        found = {
            event_id: (cost, listed)
            for event_id, cost, listed in db.execute(
                "select event_id, cost_picodollars, list_cost_picodollars from calls"
            )
        }
        assert found == expected
        assert stored_discounts(db) == tuple(
            Discount(
                percent=one.percent, start=one.start, end=one.end,
                **{n: one.patterns(n) for n in ("model", "region", "account", "tier", "kind")},
            )
            for one in agreed
        )  # fmt: skip
        total = tuple(map(sum, zip(*expected.values(), strict=True)))
        for view in SUMS:
            sums = f"select sum(cost_picodollars), sum(list_cost_picodollars) from {view}"
            assert rows(db, sums) == [total], view
        assert failed_checks(db, CHECKS) == {}
    finally:
        db.execute("rollback to agreed")
        db.execute("release agreed")


def test_only_the_days_of_a_changed_discount_are_priced_again(loaded: Database) -> None:
    """A sign left in the other days stays there."""
    db = loaded
    day = FIRST + timedelta(days=1)
    november = Discount(percent=10, account=ACCOUNTS[0], region="us-*", start=day)
    db.execute("savepoint days")
    try:
        for agreed, changed in [
            ([november], f"day >= '{day}' and account_key = {_account(db, 0)}"),
            ([november], "false"),
            # The same discounts for other accounts: both were or are priced by it.
            (
                [Discount(percent=10, account=ACCOUNTS[1], region="us-*", start=day)],
                f"day >= '{day}' and account_key in ({_account(db, 0)}, {_account(db, 1)})",
            ),
            ([], f"day >= '{day}' and account_key = {_account(db, 1)}"),
        ]:
            db.execute("update priced_daily set failed_calls = 77")
            apply_discounts(db, agreed)
            renewed = "rate_key in (select rate_key from rate_keys join regions using (region_key)"
            renewed += f" where region like 'us-%') and {changed}"
            (count,) = db.execute(f"select count(*) from priced_daily where {renewed}").fetchone()
            assert count > 0 or changed == "false"
            left = rows(db, f"select count(*) from priced_daily where not ({renewed})")
            assert rows(db, "select count(*) from priced_daily where failed_calls = 77") == left
            assert rows(
                db, f"select count(*) from priced_daily where failed_calls = 77 and {renewed}"
            ) == [(0,)]
    finally:
        db.execute("rollback to days")
        db.execute("release days")


def _account(db: Database, number: int) -> int:
    sql = "select account_key from accounts where account_id = ?"
    return int(rows(db, sql, [ACCOUNTS[number]])[0][0])


def test_a_rate_is_rounded_once_half_up(db: Database, tmp_path: Path) -> None:
    """Of 250,000 pico-dollars a token, 0.0002 % is half of one."""
    load(db, write_log(tmp_path / "log.json", [call(tokens=(3, 0))]))
    apply_discounts(db, [Discount(percent=0.0002)])
    assert rows(db, "select cost_picodollars, list_cost_picodollars from calls") == [
        (3 * 250_000, 3 * 250_000)
    ]
    apply_discounts(db, [Discount(percent=0.0003)])
    assert rows(db, "select cost_picodollars from calls") == [(3 * 249_999,)]


def test_a_new_account_gets_the_discount_that_names_it(db: Database, tmp_path: Path) -> None:
    apply_discounts(db, [Discount(percent=50, account="9999*")])
    calls = [call(1, tokens=(4, 0)), call(2, tokens=(4, 0), recipientAccountId="999988887777")]
    load(db, write_log(tmp_path / "log.json", calls))
    sql = "select cost_picodollars from {} order by cost_picodollars"
    for view in ("calls", "usage_cost", "daily_costs_by_user"):
        assert rows(db, sql.format(view)) == [(500_000,), (1_000_000,)], view
