"""Rates from AWS's Price List: dated by publication, doubtful ones held back, nothing deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.normalise.offer_files import parse_offer
from etl.normalise.price_list import Key, snapshots
from etl.warehouse import prices
from etl.warehouse.price_list import Seed, follow
from etl.warehouse.price_sync import (
    CHANGED,
    CORRECTED,
    ENDED,
    NEW,
    SyncedPrices,
    known_book,
    price_list_tables,
    sync_prices,
)
from etl.warehouse.upkeep.check import run_checks
from tests.prices.offer_files import BEDROCK, FOUNDATION, Product, offer_bytes, sold_as
from tests.rounds import rounds
from tests.support import call, load, rows, write_log

TODAY = date(2026, 11, 29)
TABLES = price_list_tables()
NOVA_PRO, NOVA_LITE = "amazon.nova-pro-v1:0", "amazon.nova-lite-v1:0"
IN = "USE1-NovaPro-input-tokens"
SEED_RATE = 800_000


def read(
    db: Database,
    published: str,
    *products: Product | tuple[str, str],
    code: str = BEDROCK,
    **options: Any,
) -> SyncedPrices:
    """Read one version: products, or usage types with their prices per 1K tokens."""
    listed = [one if isinstance(one, Product) else Product(*one) for one in products]
    file = parse_offer(offer_bytes(code, listed, published))
    found = snapshots(file, TABLES, known_book(db, file.published_at))
    return sync_prices(db, found, today=TODAY, **options)


def dated(db: Database, model: str = NOVA_PRO) -> list[tuple[Any, ...]]:
    """Return a model's rates from the Price List: price, first day, end, corrected on."""
    return rows(
        db,
        "select usd_per_mtok, effective_from, effective_to, corrected_on from prices where"
        f" origin = 'price_list' and model_id = '{model}'"
        " order by effective_from, corrected_on is null, corrected_on, usd_per_mtok",
    )


def changes(found: SyncedPrices) -> list[tuple[Any, ...]]:
    return [(one.what, one.before, one.after, one.day) for one in found.changes]


def cost(db: Database, day: str) -> Any:
    ((found,),) = rows(db, f"select cost_usd from calls where event_time like '{day}%'")
    return found


def pro_call(
    number: int, day: str, model: str = NOVA_PRO, tokens: int = 1_000_000
) -> dict[str, Any]:
    return call(
        number, tokens=(tokens, 0), eventTime=f"{day}T10:15:00Z", requestParameters={"modelId": model}
    )  # fmt: skip


def test_a_rate_begins_on_the_day_when_it_was_published_and_ends_when_the_next_does(
    db: Database,
) -> None:
    found = read(db, "2026-11-10", (IN, "0.0008"))
    assert (changes(found), found.confirmed) == ([], 1)
    found = read(db, "2026-11-20", (IN, "0.0010"))
    assert changes(found) == [(CHANGED, 800_000, 1_000_000, "2026-11-20")]
    assert dated(db) == [
        (800_000, "2026-11-10", "2026-11-20", None),
        (1_000_000, "2026-11-20", None, None),
    ]
    assert rows(
        db, "select distinct source, checked_on from prices where origin = 'price_list'"
    ) == [
        (f"AWS Price List AmazonBedrock 20261110120000 {IN}", "2026-11-10"),
        (f"AWS Price List AmazonBedrock 20261120120000 {IN}", "2026-11-20"),
    ]


def test_it_says_when_a_rate_was_last_seen(db: Database) -> None:
    for day in ("2026-11-10", "2026-11-12", "2026-11-14"):
        read(db, day, (IN, "0.0008"))
    read(db, "2026-11-16", (IN, "0.0010"))
    assert rows(
        db, "select usd_per_mtok, checked_on from prices where origin = 'price_list' order by 1"
    ) == [(800_000, "2026-11-14"), (1_000_000, "2026-11-16")]


def test_earlier_days_keep_this_release_s_rate_and_later_ones_get_the_new_one(
    db: Database, tmp_path: Path
) -> None:
    days = ("2026-11-18", "2026-11-20", "2026-11-22")
    load(db, write_log(tmp_path / "log.json", [pro_call(n, day) for n, day in enumerate(days, 1)]))
    assert [cost(db, day) for day in days] == [0.8, 0.8, 0.8]
    read(db, "2026-11-20", (IN, "0.0010"))
    assert [cost(db, day) for day in days] == [0.8, 1.0, 1.0]
    assert [one for one in run_checks(db) if one.status != "ok"] == []


def test_a_new_release_does_not_override_it_and_an_import_does(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(db, write_log(tmp_path / "log.json", [pro_call(1, "2026-11-22")]))
    read(db, "2026-11-20", (IN, "0.0010"))
    before = dated(db)
    # As a release with another list does: everything of its own is replaced.
    db.execute("update seeds set sha256 = 'earlier'")
    db.execute("update prices set usd_per_mtok = 1 where origin = 'seed'")
    db.conn.commit()
    prices.ensure_list_prices(db)
    assert (dated(db), cost(db, "2026-11-22")) == (before, 1.0)
    heading = ",".join(prices.COLUMNS)
    own = f"{NOVA_PRO},*,regional,standard,input,0,500000,2026-01-01,,contract,2026-11-01"
    (tmp_path / "own.csv").write_text(f"{heading}\n{own}\n")
    prices.import_prices(db, tmp_path / "own.csv", today=TODAY)
    assert cost(db, "2026-11-22") == 0.5
    # What stands is not taken back because a release has come to differ much from it.
    db.execute("update prices set usd_per_mtok = 100000 where origin = 'seed'")
    found = read(db, "2026-11-21", (IN, "0.0010"))
    assert (found.held, dated(db)) == ([], before)


def test_the_same_files_twice_write_nothing_the_second_time(db: Database) -> None:
    for _ in range(2):
        read(db, "2026-11-10", (IN, "0.0008"))
        read(db, "2026-11-20", (IN, "0.0010"))
    before, written = rows(db, "select * from prices"), db.conn.total_changes
    assert read(db, "2026-11-10", (IN, "0.0008")).written == 0
    assert read(db, "2026-11-20", (IN, "0.0010")).written == 0
    assert rows(db, "select * from prices") == before
    assert db.conn.total_changes == written


def test_a_version_that_is_read_later_moves_the_first_day(db: Database) -> None:
    read(db, "2026-11-10", (IN, "0.0008"))
    read(db, "2026-11-20", (IN, "0.0010"))
    read(db, "2026-11-15", (IN, "0.0010"))
    assert dated(db) == [
        (800_000, "2026-11-10", "2026-11-15", None),
        (1_000_000, "2026-11-15", None, None),
    ]
    # A price between two that are the same.
    read(db, "2026-11-17", (IN, "0.0009"))
    assert dated(db) == [
        (800_000, "2026-11-10", "2026-11-15", None),
        (1_000_000, "2026-11-15", "2026-11-17", None),
        (900_000, "2026-11-17", "2026-11-20", None),
        (1_000_000, "2026-11-20", None, None),
    ]


KEYS = (IN, "USE1-NovaPro-output-tokens", "USE1-NovaLite-input-tokens")
# None: not listed. All prices are within a factor of two, or are not: both happen.
PRICES = st.sampled_from([None, "0.0005", "0.0008", "0.0009", "0.0010", "0.0030"])
VERSIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["2026-11-10T06", "2026-11-10T18", "2026-11-12", "2026-11-15", "2026-11-20"]
        ),
        st.sampled_from([BEDROCK, FOUNDATION]),
        st.tuples(*[PRICES] * len(KEYS)),
    ),
    min_size=2,
    max_size=6,
    unique_by=lambda version: version[:2],
)


def state(db: Database, versions: Iterable[tuple[str, str, Sequence[str | None]]]) -> Any:
    """Return what follows from versions read into an empty Price List in this order."""
    for table in ("price_list_changes", "price_list_versions", "price_list_accepted"):
        db.execute(f"delete from {table}")
    db.execute("delete from prices where origin = 'price_list'")
    for published, code, listed in versions:
        products = [(one, usd) for one, usd in zip(KEYS, listed, strict=True) if usd is not None]
        # One that stays, so that the region is in the file.
        read(db, published, *products, ("USE1-NovaMicro-input-tokens", "0.000035"), code=code)
    outcome = follow(db, Seed(db))
    columns = "model_id, token_kind, usd_per_mtok, effective_from, effective_to, source, checked_on"
    in_force = rows(
        db,
        f"select {columns} from prices where origin = 'price_list' and corrected_on is null"
        f" order by {columns}",
    )
    changed = rows(db, "select * from price_list_changes")
    return in_force, sorted(outcome.held), sorted(outcome.stopped), len(changed)


@settings(max_examples=rounds(8, 1000))
@given(versions=VERSIONS, data=st.data())
def test_any_order_of_versions_gives_the_same_rates(
    shared: Database, versions: list[tuple[str, str, Sequence[str | None]]], data: st.DataObject
) -> None:
    in_order = state(shared, sorted(versions))
    shuffled = data.draw(st.permutations(versions))
    assert state(shared, [*shuffled, *shuffled[:2]]) == in_order


@pytest.fixture(scope="module")
def shared(new_warehouse: Any) -> Any:
    with new_warehouse() as db:
        yield db


@pytest.mark.parametrize("order", [("T06", "T18"), ("T18", "T06")])
def test_a_second_price_on_one_day_is_a_correction(db: Database, order: tuple[str, str]) -> None:
    usd = {"T06": "0.0010", "T18": "0.0009"}
    read(db, "2026-11-10", (IN, "0.0008"))
    found = [read(db, f"2026-11-20{hour}", (IN, usd[hour])) for hour in order]
    assert dated(db) == [
        (800_000, "2026-11-10", "2026-11-20", None),
        (1_000_000, "2026-11-20", None, "2026-11-20"),
        (900_000, "2026-11-20", None, None),
    ]
    assert (CORRECTED, 1_000_000, 900_000, "2026-11-20") in changes(found[1])


def test_a_change_that_is_taken_back_on_the_same_day_leaves_the_rate_in_force(db: Database) -> None:
    read(db, "2026-11-10", (IN, "0.0008"))
    read(db, "2026-11-20T06", (IN, "0.0010"))
    read(db, "2026-11-20T18", (IN, "0.0008"))
    assert dated(db) == [
        (800_000, "2026-11-10", None, None),
        (1_000_000, "2026-11-20", None, "2026-11-20"),
    ]


def test_a_version_that_now_says_something_else_corrects_what_it_said(db: Database) -> None:
    read(db, "2026-11-20", (IN, "0.0010"))
    read(db, "2026-11-20", (IN, "0.0009"))
    assert dated(db) == [
        (1_000_000, "2026-11-20", None, "2026-11-29"),
        (900_000, "2026-11-20", None, None),
    ]


@pytest.mark.parametrize("usd", ["0.0017", "0.00039"])
def test_more_than_twice_or_less_than_half_is_held_back(
    db: Database, tmp_path: Path, usd: str
) -> None:
    load(db, write_log(tmp_path / "log.json", [pro_call(1, "2026-11-22")]))
    found = read(db, "2026-11-20", (IN, usd))
    ((region, key, before, after, day, reason),) = found.held
    assert (region, key, before, day) == ("us-east-1", Key(NOVA_PRO, "regional", "standard", "input", 0), SEED_RATE, "2026-11-20")  # fmt: skip
    assert after == round(float(usd) * 10**9)
    assert "more than twice" in reason
    assert (dated(db), cost(db, "2026-11-22")) == ([], 0.8)
    # It applies from its own day, whenever it is accepted.
    found = read(db, "2026-11-25", (IN, usd), accept=True)
    assert (found.held, changes(found)) == ([], [(CHANGED, SEED_RATE, after, "2026-11-20")])
    assert dated(db) == [(after, "2026-11-20", None, None)]
    # Accepted once, it stays so.
    assert read(db, "2026-11-26", (IN, usd)).held == []


@pytest.mark.parametrize("usd", ["0.0016", "0.0004"])
def test_twice_and_half_are_not_held_back(db: Database, usd: str) -> None:
    assert read(db, "2026-11-20", (IN, usd)).held == []
    assert len(dated(db)) == 1


def test_a_held_change_is_compared_with_the_rate_in_force(db: Database) -> None:
    read(db, "2026-11-10", (IN, "0.0010"))
    assert len(read(db, "2026-11-12", (IN, "0.0030")).held) == 1
    found = read(db, "2026-11-14", (IN, "0.0011"))
    assert found.held == []
    assert dated(db) == [
        (1_000_000, "2026-11-10", "2026-11-14", None),
        (1_100_000, "2026-11-14", None, None),
    ]


def test_a_price_that_vanishes_stays_until_that_is_accepted(db: Database) -> None:
    other = ("USE1-NovaLite-input-tokens", "0.00006")
    read(db, "2026-11-10", (IN, "0.0008"), other)
    found = read(db, "2026-11-20", other)
    assert [(one.key.model_id, one.after, one.reason) for one in found.held] == [
        (NOVA_PRO, None, "no longer in the Price List")
    ]
    assert dated(db) == [(800_000, "2026-11-10", None, None)]
    found = read(db, "2026-11-21", other, accept=True)
    assert changes(found) == [(ENDED, 800_000, None, "2026-11-20")]
    assert dated(db) == [(800_000, "2026-11-10", "2026-11-20", None)]
    assert dated(db, NOVA_LITE) == [(60_000, "2026-11-10", None, None)]


def test_a_price_that_moves_to_another_service_has_not_vanished(db: Database) -> None:
    other = ("USE1-NovaLite-input-tokens", "0.00006")
    read(db, "2026-11-10", (IN, "0.0008"), other)
    read(db, "2026-11-20T10", (IN, "0.0008"), code=FOUNDATION)
    found = read(db, "2026-11-20T12", other)
    assert (found.held, found.changes) == ([], [])
    assert len(dated(db)) == 1


def test_other_regions_and_services_are_not_taken_for_vanished(db: Database) -> None:
    read(db, "2026-11-10", (IN, "0.0008"))
    ireland = Product("EU-NovaPro-input-tokens", "0.00092", region="eu-west-1")
    sonnet = Product("USE1-MP:USE1_InputTokenCount-Units", "3.3", "1M tokens", sold_as("Claude Sonnet 4.5"))  # fmt: skip
    assert read(db, "2026-11-20", ireland).held == []
    assert read(db, "2026-11-20", sonnet, code=FOUNDATION).held == []


def test_two_services_with_two_prices_stop_the_key_and_keep_its_rate(db: Database) -> None:
    read(db, "2026-11-10", (IN, "0.0008"))
    found = read(db, "2026-11-20", (IN, "0.0009"), code=FOUNDATION)
    assert [one.reason for one in found.stopped] == ["two services list different prices"]
    assert dated(db) == [(800_000, "2026-11-10", None, None)]
    # Until they agree.
    found = read(db, "2026-11-22", (IN, "0.0009"))
    assert (found.stopped, changes(found)) == ([], [(CHANGED, 800_000, 900_000, "2026-11-22")])


def test_a_price_that_becomes_unclear_keeps_the_rate_in_force(db: Database) -> None:
    read(db, "2026-11-10", (IN, "0.0008"))
    found = read(db, "2026-11-20", (IN, "0"))
    assert ([one.reason for one in found.stopped], found.held) == (["its price is not clear"], [])
    assert dated(db) == [(800_000, "2026-11-10", None, None)]


def test_a_long_price_of_the_book_keeps_a_short_one_of_the_list_off_long_requests(
    db: Database, tmp_path: Path
) -> None:
    """The Price List comes before the seed, so its short rate alone would price long requests."""
    astra = sold_as("OpenAI GPT-6 Astra")
    model = "openai.gpt-6-astra"
    load(db, write_log(tmp_path / "log.json", [pro_call(1, "2026-11-22", model, 300_000)]))
    before = cost(db, "2026-11-22")
    short = Product("USE1-MP:USE1_input_tokens_standard-Units", "11", "1M tokens", astra)
    long = Product("USE1-MP:USE1_input_tokens_long_ctx_standard-Units", "22", "1M tokens", astra)
    found = read(db, "2026-11-20", short, code=FOUNDATION)
    assert ["272,000" in one.reason for one in found.held] == [True]
    assert (dated(db, model), cost(db, "2026-11-22")) == ([], before)
    found = read(db, "2026-11-21", short, long, code=FOUNDATION)
    assert (found.held, found.confirmed) == ([], 2)
    assert {row[1] for row in dated(db, model)} == {"2026-11-21"}
    assert cost(db, "2026-11-22") == before == 6.6


def test_a_new_price_is_simply_new(db: Database) -> None:
    product = Product("USE1-acme.big-9-mantle-input-tokens-standard", "99", "1M tokens")
    found = read(db, "2026-11-20", product)
    assert changes(found) == [(NEW, None, 99_000_000, "2026-11-20")]


def test_a_dry_run_says_the_same_and_writes_nothing(db: Database) -> None:
    read(db, "2026-11-10", (IN, "0.0008"))
    tables = ("prices", "price_list_versions", "price_list_changes", "price_list_accepted")
    before = [rows(db, f"select * from {table}") for table in tables]
    products = [(IN, "0.0010"), ("USE1-NovaLite-input-tokens", "0.0006")]
    options: dict[str, Any] = {"accept": True}
    dry = read(db, "2026-11-20", *products, dry_run=True, **options)
    assert [rows(db, f"select * from {table}") for table in tables] == before
    assert read(db, "2026-11-20", *products, **options) == dry
    assert len(dry.changes) == 2
