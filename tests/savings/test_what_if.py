"""The same usage on other models, in the other scope, in other tiers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.normalise.discounts import Discount
from etl.warehouse.prices import renew_prices
from etl.warehouse.write.discounts import apply_discounts
from tests.checks import failed_checks
from tests.rounds import rounds
from tests.savings.usage import Used, add_prices, price, store
from tests.support import rows

BIG, SMALL, OTHER = "acme.big-v1:0", "acme.small-v1:0", "zeta.other-v1:0"
ITSELF = "what_if_of_itself_changes_nothing"
VIEWS = ("model_what_if", "scope_what_if", "tier_what_if")
# In units of 10^-9 USD.
FIGURES = (
    "target, "
    + ", ".join(
        f"cast(round({column} * 1e9) as integer)"
        for column in ("cost_usd", "what_if_cost_usd", "difference_usd")
    )
    + ", missing_prices"
)
NANO = 1_000


def what_if(db: Database, view: str, columns: str = FIGURES) -> list[tuple[Any, ...]]:
    return rows(db, f"select {columns} from {view} order by month, application, region, target")


def listed(db: Database, model: str, rates: dict[str, int], **fields: Any) -> None:
    """Add prices of a model, in 10^-9 USD per token."""
    price(db, model, {kind: rate * NANO for kind, rate in rates.items()}, **fields)


def test_other_models_cost_their_prices(db: Database) -> None:
    listed(db, BIG, {"input": 300, "output": 1_500})
    listed(db, SMALL, {"input": 100, "output": 500})
    store(db, [Used({"input": 10, "output": 2}), Used({"input": 20, "output": 3})])
    now, then = 30 * 300 + 5 * 1_500, 30 * 100 + 5 * 500
    assert what_if(db, "model_what_if") == [(SMALL, now, then, then - now, None)]
    assert what_if(db, "model_what_if", "month, application, model_id, calls, input_tokens") == [
        ("2026-11", "Search", BIG, 2, 30)
    ]


def test_which_models_are_compared(db: Database) -> None:
    text = {"input": 300, "output": 1_500}
    for model in (BIG, SMALL, OTHER, "acme.unused-v1:0", "zeta.unused-v1:0"):
        listed(db, model, text)
    listed(db, "acme.old-v1:0", text, effective_to="2026-06-01")
    listed(db, "acme.embed-v1:0", {"input": 1, "output": 0})
    listed(db, "acme.far-v1:0", text, region="eu-west-1")
    store(db, [Used({"input": 10, "output": 2}, model) for model in (BIG, OTHER)])
    found = defaultdict(set)
    for model, target in rows(db, "select model_id, target from model_what_if"):
        found[model].add(target)
    assert found == {
        BIG: {SMALL, OTHER, "acme.unused-v1:0"},
        OTHER: {BIG, "zeta.unused-v1:0"},
    }


def test_a_kind_without_a_price_is_named_and_not_counted(db: Database) -> None:
    listed(db, BIG, {"input": 300, "output": 1_500, "cache_read": 30, "cache_write_5m": 375})
    listed(db, SMALL, {"input": 100, "output": 500})
    store(db, [Used({"input": 10, "output": 2, "cache_read": 5, "cache_write_5m": 0})])
    assert what_if(db, "model_what_if") == [
        (SMALL, 10 * 300 + 2 * 1_500 + 5 * 30, None, None, "cache_read")
    ]


def test_usage_without_a_price_has_no_difference(db: Database) -> None:
    listed(db, BIG, {"input": 300, "output": 1_500})
    listed(db, SMALL, {"input": 100, "output": 500, "cache_read": 10})
    store(db, [Used({"input": 10, "output": 2, "cache_read": 5})])
    assert what_if(db, "model_what_if") == [(SMALL, 6_000, 2_050, None, None)]


def test_a_day_without_a_price_of_the_other_model(db: Database) -> None:
    listed(db, BIG, {"input": 300, "output": 1_500})
    listed(db, SMALL, {"input": 100, "output": 500}, effective_from="2026-11-02")
    store(
        db,
        [
            Used({"input": 10, "output": 2}, day="2026-11-01"),
            Used({"input": 10, "output": 2}, day="2026-11-02"),
            Used({"input": 10, "output": 2}, day="2026-12-02"),
        ],
    )
    assert what_if(db, "model_what_if") == [
        (SMALL, 12_000, None, None, "input, output"),
        (SMALL, 6_000, 2_000, -4_000, None),
    ]


def test_a_size_without_a_price_of_the_other_model(db: Database) -> None:
    listed(db, BIG, {"input": 300, "output": 1_500})
    listed(db, SMALL, {"input": 100, "output": 500}, min_input_tokens=1_000)
    store(db, [Used({"input": 10, "output": 2}), Used({"input": 2_000, "output": 2})])
    assert what_if(db, "model_what_if") == [(SMALL, 609_000, None, None, "input, output")]


def test_the_other_scope(db: Database) -> None:
    listed(db, BIG, {"input": 330, "output": 1_650})
    listed(db, BIG, {"input": 300, "output": 1_500}, scope="global")
    listed(db, SMALL, {"input": 100, "output": 500})
    store(
        db,
        [
            Used({"input": 10, "output": 2}, f"us.{BIG}"),
            Used({"input": 10, "output": 2}, f"global.{BIG}", application="World"),
            Used({"input": 10, "output": 2}, SMALL),
        ],
    )
    assert what_if(db, "scope_what_if", f"application, model_id, {FIGURES}") == [
        ("Search", BIG, "global", 6_600, 6_000, -600, None),
        ("World", BIG, "regional", 6_000, 6_600, 600, None),
    ]


def test_other_tiers(db: Database) -> None:
    listed(db, BIG, {"input": 300, "output": 1_500, "cache_read": 30})
    listed(db, BIG, {"input": 150, "output": 750}, service_tier="batch")
    listed(db, BIG, {"input": 525, "output": 2_625, "cache_read": 52}, service_tier="priority")
    listed(db, SMALL, {"input": 1, "output": 5}, service_tier="flex")
    store(
        db,
        [
            Used({"input": 10, "output": 2}),
            Used({"input": 10, "output": 2, "cache_read": 1}, application="X", tier="priority"),
        ],
    )
    assert what_if(db, "tier_what_if", f"application, {FIGURES}") == [
        ("Search", "batch", 6_000, 3_000, -3_000, None),
        ("Search", "priority", 6_000, 10_500, 4_500, None),
        ("X", "batch", 10_552, None, None, "cache_read"),
        ("X", "standard", 10_552, 6_030, -4_522, None),
    ]


def test_discounts_apply_to_what_they_name(db: Database) -> None:
    listed(db, BIG, {"input": 300, "output": 1_500})
    listed(db, BIG, {"input": 200, "output": 1_000}, scope="global")
    listed(db, SMALL, {"input": 100, "output": 500})
    apply_discounts(
        db,
        [
            Discount(percent=50, model=[f"us.{SMALL}"]),
            Discount(percent=10, model=["global.*"]),
            Discount(percent=20, account=["444455556666"]),
        ],
    )
    store(
        db,
        [
            Used({"input": 10, "output": 2}, f"us.{BIG}"),
            Used({"input": 10, "output": 2}, f"us.{BIG}", account="444455556666", application="X"),
        ],
    )
    assert what_if(db, "model_what_if", f"application, {FIGURES}") == [
        ("Search", SMALL, 6_000, 1_000, -5_000, None),
        ("X", SMALL, 4_800, 1_000, -3_800, None),
    ]
    assert what_if(db, "scope_what_if", f"application, {FIGURES}") == [
        ("Search", "global", 6_000, 3_600, -2_400, None),
        ("X", "global", 4_800, 3_600, -1_200, None),
    ]


KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
REGIONS = ("us-east-1", "eu-west-1", "us-gov-west-1")
DAYS = ("2026-10-30", "2026-10-31", "2026-11-01", "2026-11-03")
TIERS = ("standard", "flex", "batch")

prices_used = st.lists(
    st.tuples(
        st.sampled_from([BIG, SMALL, OTHER]),
        st.sampled_from(["*", *REGIONS]),
        st.sampled_from(["regional", "global"]),
        st.sampled_from(TIERS),
        st.sampled_from([0, 50]),
        st.sampled_from(["2026-01-01", "2026-11-01"]),
        st.fixed_dictionaries(
            {"input": st.integers(1, 9_999_999), "output": st.integers(1, 9_999_999)},
            optional=dict.fromkeys(KINDS[2:], st.integers(0, 9_999_999)),
        ),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda one: one[:6],
)
calls_used = st.lists(
    st.builds(
        Used,
        tokens=st.fixed_dictionaries(
            {"input": st.integers(1, 99), "output": st.integers(0, 99)},
            optional=dict.fromkeys(KINDS[2:], st.integers(0, 99)),
        ),
        model=st.sampled_from([BIG, f"us.{BIG}", f"global.{BIG}", SMALL, OTHER]),
        day=st.sampled_from(DAYS),
        application=st.sampled_from(["A", "B"]),
        region=st.sampled_from(REGIONS),
        tier=st.sampled_from(TIERS[:2]),
        account=st.sampled_from(["111122223333", "444455556666"]),
    ),
    min_size=1,
    max_size=12,
)
discounts_used = st.lists(
    st.builds(
        Discount,
        percent=st.sampled_from([10, 25, 33.3]),
        model=st.sampled_from([None, [SMALL], [f"us.{SMALL}", f"global.{BIG}"]]),
        account=st.sampled_from([None, ["444455556666"]]),
        tier=st.sampled_from([None, ["flex", "batch"]]),
        kind=st.sampled_from([None, ["input"]]),
    ),
    max_size=3,
)


class Use(NamedTuple):
    """What decides the price of a call, and the id that discounts may name."""

    model: str
    sent: str
    scope: str
    tier: str


def use_of(call: Used) -> Use:
    prefix, _, model = call.model.rpartition("acme.") if "acme." in call.model else ("", "", "")
    scope = "global" if prefix == "global." else "regional"
    return Use(f"acme.{model}" if model else call.model, call.model, scope, call.tier or "standard")


def other_uses(view: str, use: Use) -> Iterator[tuple[str, Use]]:
    """Yield each choice that a view may compare a use with."""
    if view == "model_what_if":
        prefix = use.sent.removesuffix(use.model)
        for model in {BIG, SMALL, OTHER} - {use.model}:
            yield model, use._replace(model=model, sent=prefix + model)
    elif view == "scope_what_if":
        other = "regional" if use.scope == "global" else "global"
        prefix = "global." if other == "global" else ""
        yield other, use._replace(scope=other, sent=prefix + use.model)
    else:
        for tier in set(TIERS) - {use.tier}:
            yield tier, use._replace(tier=tier)


def cost_of(call: Used, use: Use, prices: Any, discounts: list[Discount]) -> dict[str, int | None]:
    """Price a call by hand: pico-dollars of each kind used; None: no price."""
    size = call.tokens["input"] + sum(call.tokens.get(kind, 0) for kind in KINDS[2:])
    costs: dict[str, int | None] = {}
    for kind in KINDS:
        if not (count := call.tokens.get(kind, 0)):
            continue
        found = [
            (
                (
                    region == "*",
                    -least,
                ),
                start,
                rates[kind],
            )
            for model, region, scope, tier, least, start, rates in prices
            if (model, scope, tier) == (use.model, use.scope, use.tier)
            and (region == call.region or (region == "*" and not call.region.startswith("us-gov")))
            and (least < size or not least)
            and start <= call.day
            and kind in rates
        ]
        latest = max(found, key=lambda one: (not one[0][0], -one[0][1], one[1]), default=None)
        costs[kind] = (
            None if latest is None else count * lowered(latest[2], kind, call, use, discounts)
        )
    return costs


def lowered(rate: int, kind: str, call: Used, use: Use, discounts: list[Discount]) -> int:
    for one in discounts:
        models, accounts, tiers, kinds = one.model, one.account, one.tier, one.kind
        if (
            (not models or use.model in models or use.sent in models)
            and (not accounts or call.account in accounts)
            and (not tiers or use.tier in tiers)
            and (not kinds or kind in kinds)
        ):
            kept = round((100 - one.percent) * 10_000)
            return (rate * kept + 500_000) // 1_000_000
    return rate


@settings(max_examples=rounds(5, 300), phases=[Phase.generate])
@given(prices=prices_used, calls=calls_used, discounts=discounts_used)
def test_every_comparison_is_what_its_calls_would_cost(
    new_warehouse: Callable[[], AbstractContextManager[Database]],
    prices: list[Any],
    calls: list[Used],
    discounts: list[Discount],
) -> None:
    with new_warehouse() as db:
        for model, region, scope, tier, least, start, rates in prices:
            add_prices(db, model, rates, region=region, scope=scope, service_tier=tier,
                  min_input_tokens=least, effective_from=start)  # fmt: skip
        renew_prices(db)
        apply_discounts(db, discounts)
        store(db, calls)
        for view in VIEWS:
            assert_costs(db, view, prices, calls, discounts)
        # Of a model compared with itself, everything is as it was.
        assert failed_checks(db, [ITSELF]) == {}


def assert_costs(
    db: Database, view: str, prices: Any, calls: list[Used], discounts: list[Discount]
) -> None:
    now: dict[Any, list[int | None]] = defaultdict(list)
    then: dict[Any, list[dict[str, int | None]]] = defaultdict(list)
    for call in calls:
        use = use_of(call)
        key = (call.day[:7], call.application, call.region, use.model, use.scope, use.tier)
        for target, other in other_uses(view, use):
            now[*key, target] += cost_of(call, use, prices, discounts).values()
            then[*key, target].append(cost_of(call, other, prices, discounts))
    figures = "cost_usd, what_if_cost_usd, difference_usd, missing_prices"
    by = "month, application, region, model_id, inference_scope, service_tier, target"
    found = rows(db, f"select {by}, {figures} from {view}")
    for *key, cost, other_cost, difference, missing in found:
        used, costs = now[tuple(key)], then[tuple(key)]
        lacking = {kind for one in costs for kind, value in one.items() if value is None}
        assert (missing or "").split(", ") == ([k for k in KINDS if k in lacking] or [""])
        known = sum(value for one in costs for value in one.values() if value is not None)
        before = sum(value or 0 for value in used)
        assert other_cost == (None if lacking else usd(known))
        assert cost in (usd(before), None)
        is_whole = not lacking and None not in used
        assert difference == (usd(known - before) if is_whole else None)


def usd(picodollars: int) -> float:
    return round(picodollars / 1e12, 9)
