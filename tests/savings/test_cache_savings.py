"""What caching saved, who could gain, and which writes were never read."""

from __future__ import annotations

from typing import Any

from sqlite_utils import Database

from tests.savings.usage import Used, price, store
from tests.support import rows

MODEL = "acme.big-v1:0"
# Pico-dollars per token.
RATES = {
    "input": 3_000_000,
    "output": 15_000_000,
    "cache_read": 300_000,
    "cache_write_5m": 3_750_000,
    "cache_write_1h": 6_000_000,
}


def savings(db: Database, columns: str) -> list[tuple[Any, ...]]:
    return rows(db, f"select {columns} from cache_savings order by day, application, region")


def test_what_caching_saved(db: Database) -> None:
    price(db, MODEL, RATES)
    store(
        db,
        [
            Used({"input": 10, "output": 5, "cache_read": 0, "cache_write_5m": 2_000}),
            Used({"input": 10, "output": 5, "cache_read": 8_000, "cache_write_5m": 0}),
            Used({"input": 7, "output": 1, "cache_read": 0, "cache_write_5m": 0,
                  "cache_write_1h": 1_000}),
        ],
    )  # fmt: skip
    # Reads 8,000 x 2.70 saved; writes 2,000 x 0.75 and 1,000 x 3.00 more than as input.
    saved = 8_000 * 2_700_000 - 2_000 * 750_000 - 1_000 * 3_000_000
    assert savings(
        db,
        "calls, input_tokens, cache_read_tokens, cache_write_tokens, unread_write_tokens,"
        " cache_read_usd, cache_read_as_input_usd, cache_write_usd, cache_write_as_input_usd,"
        " saved_picodollars, saved_usd, missing_prices",
    ) == [
        (3, 27, 8_000, 3_000, 0, 0.0024, 0.024, 0.0135, 0.009, saved, saved / 1e12, None),
    ]  # fmt: skip


def test_caching_that_did_not_pay(db: Database) -> None:
    price(db, MODEL, RATES)
    store(
        db,
        [
            Used({"input": 1, "cache_read": 0, "cache_write_5m": 5_000}),
            Used({"input": 1, "cache_read": 400, "cache_write_5m": 0}),
            # Another application's reads are of other writes.
            Used({"input": 1, "cache_read": 9_000, "cache_write_5m": 0}, application="Other"),
        ],
    )
    assert savings(db, "application, unread_write_tokens, saved_picodollars") == [
        ("Other", 0, 9_000 * 2_700_000),
        ("Search", 4_600, 400 * 2_700_000 - 5_000 * 750_000),
    ]


def test_unknown_is_not_zero(db: Database) -> None:
    price(db, MODEL, RATES)
    price(db, "acme.plain-v1:0", {"input": 1_000_000, "output": 2_000_000})
    store(
        db,
        [
            Used({"input": 1_000, "output": 5}, application="A, cache unknown"),
            Used({"input": 1_000, "cache_read": 0, "cache_write_5m": 0}, application="B, none"),
            Used({"input": 1_000}, "acme.plain-v1:0", application="C, no cache"),
            Used({"input": 1_000, "cache_read": 7}, "acme.plain-v1:0", application="D, no price"),
        ],
    )
    assert savings(
        db, "cacheable_input_tokens, savable_usd, saved_usd, unread_write_tokens, missing_prices"
    ) == [
        (1_000, 0.0027, None, None, None),
        (1_000, 0.0027, 0.0, 0, None),
        (None, None, None, None, None),
        (None, None, None, None, "cache_read"),
    ]


def test_prices_are_those_of_the_day(db: Database) -> None:
    price(db, MODEL, RATES, effective_to="2026-11-02")
    price(db, MODEL, {**RATES, "input": 2_000_000}, effective_from="2026-11-02")
    cached = {"input": 0, "cache_read": 1_000, "cache_write_5m": 0}
    store(db, [Used(cached, day="2026-11-01"), Used(cached, day="2026-11-02")])
    assert savings(db, "day, saved_picodollars") == [
        ("2026-11-01", 2_700_000_000),
        ("2026-11-02", 1_700_000_000),
    ]
