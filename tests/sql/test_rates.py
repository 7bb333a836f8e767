"""The price of each call, and exact costs."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.warehouse.price_file import COLUMNS
from tests.support import (
    ACCOUNT,
    HAIKU,
    SONNET,
    call,
    import_any_price,
    load,
    rows,
    write_log,
)

MODEL = "acme.model-20260101-v1:0"


@pytest.fixture
def price(db: Database, tmp_path: Path) -> Any:
    def add(usd_per_mtok: int, **fields: Any) -> None:
        row = {
            "model_id": MODEL, "region": "*", "scope": "regional", "service_tier": "standard",
            "token_kind": "input", "min_input_tokens": 0, "usd_per_mtok": usd_per_mtok,
            "effective_from": "2026-01-01", "effective_to": None, "source": "test", "checked_on": "2026-11-01",
            "origin": "seed",
        } | fields  # fmt: skip
        db.execute(
            f"insert into prices ({', '.join(row)}) values ({', '.join('?' * len(row))})",
            [*row.values()],
        )

    return add


def cost(
    db: Database,
    tmp_path: Path,
    *,
    model: str = MODEL,
    tokens: tuple[int, int] = (1_000_000, 0),
    **fields: Any,
) -> Any:
    """Return what one call costs, in micro-dollars for a million input tokens."""
    parameters = {"modelId": model, **fields.pop("parameters", {})}
    load(
        db,
        write_log(
            tmp_path / "log.json", [call(1, tokens=tokens, requestParameters=parameters, **fields)]
        ),
    )
    ((picodollars, rate),) = rows(db, "select cost_picodollars, input_price_id from calls")
    ((rollup,),) = rows(db, "select cost_picodollars from usage_cost")
    assert rollup == picodollars
    assert rate is not None or picodollars is None
    return None if picodollars is None else picodollars // 1_000_000


def test_an_exact_region_before_any(db: Database, tmp_path: Path, price: Any) -> None:
    price(1)
    price(2, region="us-east-1")
    price(3, region="eu-west-1")
    assert cost(db, tmp_path) == 2


def test_an_import_before_the_price_list_before_this_release(
    db: Database, tmp_path: Path, price: Any
) -> None:
    price(3, model_id=MODEL, region="us-east-1")
    price(2, origin="price_list")
    assert cost(db, tmp_path) == 2
    price(1, origin="import")
    assert cost(db, tmp_path) == 1


def test_a_corrected_rate_prices_nothing(db: Database, tmp_path: Path, price: Any) -> None:
    price(2, origin="price_list", corrected_on="2026-11-02")
    assert cost(db, tmp_path) is None
    price(1, origin="price_list")
    assert cost(db, tmp_path) == 1


def test_the_exact_id_before_looser_ones(db: Database, tmp_path: Path, price: Any) -> None:
    price(1, model_id="acme.model", region="us-east-1")
    price(2, model_id="acme.model-20260101")
    assert cost(db, tmp_path) == 2


@pytest.mark.parametrize(
    "model_id", [MODEL, "acme.model-20260101-v1", "acme.model-20260101", "acme.model"]
)
def test_a_price_may_be_listed_under_a_looser_id(
    db: Database, tmp_path: Path, price: Any, model_id: str
) -> None:
    price(7, model_id=model_id)
    assert cost(db, tmp_path) == 7


@pytest.mark.parametrize(
    ("sent", "scope"),
    [(f"us.{MODEL}", "global"), (f"global.{MODEL}", "regional"), (MODEL, "global")],
)
def test_never_across_scopes(
    db: Database, tmp_path: Path, price: Any, sent: str, scope: str
) -> None:
    price(1, scope=scope)
    assert cost(db, tmp_path, model=sent) is None


def test_never_across_tiers(db: Database, tmp_path: Path, price: Any) -> None:
    price(1)
    assert cost(db, tmp_path, parameters={"serviceTier": {"type": "priority"}}) is None


def test_the_tier_of_the_call(db: Database, tmp_path: Path, price: Any) -> None:
    price(1)
    price(2, service_tier="priority")
    assert cost(db, tmp_path, parameters={"serviceTier": {"type": "priority"}}) == 2


def test_never_across_kinds(db: Database, tmp_path: Path, price: Any) -> None:
    price(1)
    assert cost(db, tmp_path, tokens=(1_000_000, 5)) == 1
    assert rows(db, "select unpriced_calls, unpriced_tokens from usage_cost") == [(0, 5)]


def test_a_kind_that_is_not_used_needs_no_price(db: Database, tmp_path: Path, price: Any) -> None:
    price(1)
    assert cost(db, tmp_path, tokens=(1_000_000, 0)) == 1


def test_commercial_prices_never_apply_to_govcloud(
    db: Database, tmp_path: Path, price: Any
) -> None:
    price(1)
    assert cost(db, tmp_path, awsRegion="us-gov-west-1") is None


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-10-31", 1),
        ("2026-11-01", 2),
        ("2026-11-30", 2),
        ("2026-12-01", None),
        ("2025-12-31", None),
    ],
)
def test_a_price_applies_from_its_first_day_until_before_its_last(
    db: Database, tmp_path: Path, price: Any, day: str, expected: int | None
) -> None:
    price(1, effective_to="2026-11-01")
    price(2, effective_from="2026-11-01", effective_to="2026-12-01")
    assert cost(db, tmp_path, eventTime=f"{day}T23:59:59Z") == expected


@pytest.mark.parametrize(("tokens", "rate"), [(200_000, 3_300_000), (200_001, 6_600_000)])
def test_long_context_is_decided_by_request_before_any_sum(
    db: Database, tmp_path: Path, tokens: int, rate: int
) -> None:
    """Until 2026-04-30, Sonnet 4.5 cost twice as much above 200,000 input tokens."""
    when = {"eventTime": "2026-04-30T10:00:00Z"}
    short = call(2, tokens=(1_000, 0), requestParameters={"modelId": SONNET}, **when)
    load(db, write_log(tmp_path / "short.json", [short]))
    load(db, write_log(tmp_path / "log.json", [
        call(1, tokens=(tokens, 0), requestParameters={"modelId": SONNET}, **when)
    ]))  # fmt: skip
    assert rows(db, "select sum(cost_picodollars) from calls") == [
        (tokens * rate + 1_000 * 3_300_000,)
    ]
    assert rows(db, "select cost_picodollars from usage_cost") == [
        (tokens * rate + 1_000 * 3_300_000,)
    ]


def test_a_new_context_threshold_rebuilds_the_rollup(
    db: Database, tmp_path: Path, price: Any
) -> None:
    price(1)
    assert cost(db, tmp_path) == 1
    file = tmp_path / "prices.csv"
    file.write_text(
        ",".join(COLUMNS)
        + f"\n{MODEL},*,regional,standard,input,500000,9,2026-01-01,,own,2026-11-01\n"
    )
    assert import_any_price(db, file) == 1
    assert rows(db, "select cost_picodollars from calls") == [(9_000_000,)]
    assert rows(db, "select cost_picodollars from usage_cost") == [(9_000_000,)]


def test_an_imported_price_replaces_the_one_imported_before(db: Database, tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    for rate in (5, 6):
        file.write_text(
            ",".join(COLUMNS)
            + f"\n{HAIKU},*,regional,standard,input,0,{rate},2026-01-01,,own,2026-11-01\n"
        )
        import_any_price(db, file)
    assert cost(db, tmp_path, model=HAIKU) == 6


# Worked by hand from the published rates (USD per million tokens; Bedrock pricing page, us-east-1,
# checked 2026-11-23).
@pytest.mark.parametrize(
    ("model", "tokens", "usd"),
    [
        (HAIKU, (1_234, 567), "0.00101725"),  # 0.25 / 1.25
        (SONNET, (16_361, 2_782), "0.0998943"),  # 3.30 / 16.50, a geo profile is regional
        (f"global.{SONNET[3:]}", (16_361, 2_782), "0.090813"),  # 3 / 15
        ("amazon.nova-lite-v1:0", (1_000_001, 3), "0.06000078"),  # 0.06 / 0.24
        ("amazon.titan-embed-text-v2:0", (7, 0), "0.00000014"),  # 0.02
        (f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}", (1, 1), "0.0000015"),
    ],
)
def test_costs_worked_by_hand(
    db: Database, tmp_path: Path, model: str, tokens: tuple[int, int], usd: str
) -> None:
    load(
        db,
        write_log(
            tmp_path / "log.json", [call(1, tokens=tokens, requestParameters={"modelId": model})]
        ),
    )
    ((picodollars, shown),) = rows(db, "select cost_picodollars, cost_usd from calls")
    assert Decimal(picodollars) / 10**12 == Decimal(usd)
    assert shown == float(usd)


def test_sums_beyond_64_bits_of_picodollars_are_still_exact(
    db: Database, tmp_path: Path, price: Any
) -> None:
    """Three days of 6 million dollars each: their sum in pico-dollars is over 2^63."""
    price(6_000_000_000_000)
    calls = [
        call(n, tokens=(1_000_000, 0), requestParameters={"modelId": MODEL}, eventTime=f"2026-11-1{n}T10:00:00Z")
        for n in range(3)
    ]  # fmt: skip
    load(db, write_log(tmp_path / "log.json", calls))
    (costs,) = rows(db, "select cost_usd, actual_cost_usd from user_costs")
    assert costs == pytest.approx((18_000_000, 18_000_000), rel=1e-15)


def test_an_unknown_model_is_unpriced_and_listed(db: Database, tmp_path: Path) -> None:
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:imported-model/abc123"
    calls = [
        call(1, tokens=(10, 2), requestParameters={"modelId": arn}),
        call(2, requestParameters={"modelId": arn}),
        call(3, tokens=(10, 2)),
        call(4, requestParameters={"modelId": arn}, errorCode="AccessDenied"),
    ]
    load(db, write_log(tmp_path / "log.json", calls))
    assert rows(
        db,
        "select raw_model_id, model_id, region, calls, unpriced_calls, unpriced_tokens from unpriced_usage",
    ) == [(arn, "abc123", "us-east-1", 2, 2, 12)]
    assert rows(db, "select model_id, price_status from discovered_models order by 1") == [
        ("abc123", "unpriced"),
        (HAIKU, "priced"),
    ]
    assert rows(
        db, "select cost_usd is null, unpriced_calls from model_costs where model_id = 'abc123'"
    ) == [(1, 2)]
