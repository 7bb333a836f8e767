"""Prices worked out without the views: by hand here, compared with the views elsewhere."""

from __future__ import annotations

from decimal import Decimal

from sqlite_utils import Database

from etl.lab.rates import Place, cost_picodollars
from etl.warehouse.prices import rates
from tests.cases import cases
from tests.support import ACCOUNT, HAIKU, SONNET

DAY = "2026-11-03"


def dollars(db: Database, model: str, region: str = "us-east-1", day: str = DAY, **usage: int) -> Decimal | None:  # fmt: skip
    tokens = {f"{kind}_tokens": count for kind, count in usage.items()}
    cost = cost_picodollars(rates(db), Place(model, region, ACCOUNT, day), tokens)
    return None if cost is None else Decimal(cost) / 10**12


# Rates per million tokens, from list_prices.csv (which names the sources).
@cases(
    ("model", "usage", "expected"),
    [
        (HAIKU, {"input": 1000, "output": 200}, "0.0005"),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}", {"input": 1000}, "0.00025"),
        (SONNET, {"input": 1000, "output": 100}, "0.00495"),
        (SONNET.replace("us.", "global."), {"input": 1000, "output": 100}, "0.0045"),
        (SONNET, {"cache_read": 1_000_000, "cache_write_5m": 1000, "cache_write_1h": 1000}, "0.340725"),
        (HAIKU, {"input": 10, "cache_write_1h": 0}, "0.0000025"),
        (HAIKU, {"cache_write_1h": 1}, None),
        (HAIKU, {"input": 1000, "cache_write_1h": 1}, "0.00025"),
        (HAIKU, {"cache_write_1h": 0}, "0"),
        ("anthropic.claude-99", {"input": 1}, None),
    ],
)  # fmt: skip
def test_worked_by_hand(
    db: Database, model: str, usage: dict[str, int], expected: str | None
) -> None:
    assert dollars(db, model, **usage) == (None if expected is None else Decimal(expected))


def test_a_long_context_had_rates_of_its_own_until_may(db: Database) -> None:
    long = {"input": 200_000, "cache_read": 1, "output": 10}
    before = Decimal("6.6") * 200_000 + Decimal("0.66") + Decimal("24.75") * 10
    after = Decimal("3.3") * 200_000 + Decimal("0.33") + Decimal("16.5") * 10
    assert dollars(db, SONNET, day="2026-04-30", **long) == before / 10**6
    assert dollars(db, SONNET, day="2026-05-01", **long) == after / 10**6
    short = {"input": 200_000}
    assert dollars(db, SONNET, day="2026-04-30", **short) == Decimal("0.66")


def test_govcloud_has_its_own_rates(db: Database) -> None:
    assert dollars(db, HAIKU, "us-gov-west-1", input=1000) == Decimal("0.0003")
