"""Every cost is exact: as ``Decimal`` computes it from the book and the calls, on every level.

Random books have rates for some tiers, kinds, sizes and regions, some of which change on a day or
have a gap; random calls lie at the limits of all of these. One user's month of over $20 million
goes through all of it: SQLite sums no more than $9.2 million of pico-dollars, and a product beyond
that silently becomes a floating-point number.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from sqlite_utils import Database

from etl.normalise import token_kinds
from etl.normalise.discounts import TIERS
from etl.normalise.identity import NO_TEAM
from etl.normalise.rows import Event, MetricValue, Tokens
from etl.show.report import KINDS as REPORTS
from etl.sql_files import sql_text
from etl.warehouse.database import view_sql
from etl.warehouse.price_file import PriceRow
from etl.warehouse.prices import store_overrides
from etl.warehouse.read.reports import Filters, run_report, usage
from etl.warehouse.write.batch import Batch, Loader
from tests.checks import failed_checks
from tests.rounds import rounds
from tests.support import ACCOUNT, rows, uuid_of

MODEL, BIG, COUNTED = "acme.one-v1", "acme.big-v1", "acme.counted-v1"
REGIONS = ("us-east-1", "eu-west-1", "us-gov-west-1")
SCOPES = ("regional", "global")
# Every kind that a call counts, by the name of its price, with its field.
FIELDS = dict(zip((count.price for count in token_kinds.COUNTS), Tokens._fields[1:], strict=False))
INPUT = tuple(count.price for kind in token_kinds.KINDS if kind.is_input for count in kind.counts)
# OpenAI's cache writes live for 30 minutes, and have a price of their own instead.
ALSO = {"cache_write_5m": "cache_write_30m"}
LIMITS = (1_000, 200_000)
# A rate changes at midnight UTC between the first two.
MOMENTS = ("2026-11-09T23:59:59Z", "2026-11-10T00:00:00Z", "2026-11-10T23:59:59Z", "2026-11-11T00:00:00Z")  # fmt: skip
CHANGE, END = "2026-11-10", "2026-11-11"
BIG_RATE, BIG_TOKENS = 250_000_000, 3_000_000_001
USERS, APPLICATIONS = ("alice", "bob"), ("Chat", "Search")
PICO = 10**12


class Used(NamedTuple):
    """A call with tokens, or what CloudWatch counted of those without."""

    moment: str
    user_name: str
    application: str
    model_id: str
    region: str
    scope: str
    tier: str
    counts: dict[str, int]

    @property
    def team(self) -> str:
        return NO_TEAM

    @property
    def hour(self) -> str:
        return self.moment[:13]

    @property
    def day(self) -> str:
        return self.moment[:10]


def rate_of(book: list[PriceRow], used: Used, kind: str) -> Decimal | None:
    """Return the USD per unit of a kind, worked out from the book alone."""
    size = sum(used.counts.get(one, 0) for one in INPUT)
    fitting = [
        row
        for row in book
        if (row.model_id, row.scope, row.service_tier, row.token_kind)
        in [(used.model_id, used.scope, used.tier, name) for name in (kind, ALSO.get(kind))]
        and row.effective_from <= used.day
        and (row.effective_to is None or used.day < row.effective_to)
        and (row.min_input_tokens == 0 or row.min_input_tokens < size)
        and (row.region == used.region or (row.region == "*" and "gov" not in used.region))
    ]
    if not fitting:
        return None
    own = [row for row in fitting if row.region != "*"] or fitting
    return Decimal(max(own, key=lambda row: row.min_input_tokens).usd_per_mtok) / PICO


class Bill:
    """What each call costs, worked out once: sums on every level are of the same calls."""

    def __init__(self, book: list[PriceRow], calls: list[Used]) -> None:
        self._costs = {id(one): self._cost(book, one) for one in calls}
        # So that no other call gets an address of these.
        self._calls = calls

    @staticmethod
    def _cost(book: list[PriceRow], one: Used) -> Decimal:
        known = ((n, rate_of(book, one, kind)) for kind, n in one.counts.items() if n)
        return sum((n * rate for n, rate in known if rate is not None), Decimal(0))

    def total(self, used: Iterable[Used]) -> Decimal:
        """Return what all this costs, without what has no price."""
        return sum((self._costs[id(one)] for one in used), Decimal(0))


def book_of(chance: random.Random) -> list[PriceRow]:
    """Return rates for most uses, each with one period, two, or two with a day between them."""

    def rate(*use: Any, first: str = "2023-01-01", last: str | None = None) -> PriceRow:
        usd = chance.choice([0, 1, 999_999, 3_300_000, chance.randrange(10**9)])
        return PriceRow(*use, usd, first, last, "test", "2026-11-01")

    def periods(*use: Any) -> Iterator[PriceRow]:
        choice = chance.randrange(4)
        if choice == 0:
            yield rate(*use)
        elif choice == 1:
            yield rate(*use, last=CHANGE)
            yield rate(*use, first=CHANGE)
        elif choice == 2:
            yield rate(*use, last=CHANGE)
            yield rate(*use, first=END)

    book = [
        PriceRow(BIG, "*", "regional", "standard", "input", 0, BIG_RATE, "2023-01-01", None, "test", "2026-11-01"),
        PriceRow(COUNTED, "*", "regional", "standard", "input", 0, 7_000_001, "2023-01-01", CHANGE, "test", "2026-11-01"),
        PriceRow(COUNTED, "*", "regional", "standard", "input", 0, 3_000_003, CHANGE, None, "test", "2026-11-01"),
    ]  # fmt: skip
    kinds = [chance.choice([kind, ALSO.get(kind, kind)]) for kind in FIELDS]
    for scope in SCOPES:
        for tier in TIERS:
            for kind in kinds:
                for limit in (0, *LIMITS):
                    for region in ("*", *chance.sample(REGIONS, chance.randrange(2))):
                        book += periods(MODEL, region, scope, tier, kind, limit)
    return book


def split(chance: random.Random, total: int) -> dict[str, int]:
    """Return input of several kinds that adds up to a total, and some of each other kind."""
    cuts = sorted(chance.randrange(total + 1) for _ in INPUT[1:])
    parts = [after - before for before, after in zip([0, *cuts], [*cuts, total], strict=True)]
    others = [kind for kind in FIELDS if kind not in INPUT and chance.randrange(4)]
    counts = dict(zip(INPUT, parts, strict=True))
    return counts | {kind: chance.choice([0, 1, 12_345]) for kind in others}


def calls_of(chance: random.Random) -> list[Used]:
    """Return calls at every limit, at every moment, in every tier; and the month."""
    calls = [
        Used(
            moment, chance.choice(USERS), chance.choice(APPLICATIONS), MODEL, chance.choice(REGIONS),
            chance.choice(SCOPES), chance.choice(TIERS), split(chance, limit + above),
        )
        for moment in MOMENTS
        for limit in LIMITS
        for above in (-1, 0, 0, 1, 1)
    ]  # fmt: skip
    month = [
        Used(f"2026-11-{day:02}T12:00:00Z", "carol", "Month", BIG, "us-east-1", "regional", "standard", {"input": BIG_TOKENS})
        for day in range(1, 31)
    ]  # fmt: skip
    return calls + month


def write(db: Database, calls: list[Used], counted: list[Used]) -> None:
    """Load the calls, and for ``counted`` calls without tokens and CloudWatch's totals."""
    bare = [one._replace(user_name=user) for one in counted for user in USERS]
    loader = Loader(db)
    loader.write(Batch(events=[event(n, one) for n, one in enumerate(calls)]))
    loader.write(Batch(events=[event(10_000 + n, one, None) for n, one in enumerate(bare)]))
    loader.write(Batch(metrics=[
        MetricValue(ACCOUNT, one.region, one.model_id, "InputTokenCount", f"{one.hour}:00:00Z", 3600, one.counts["input"])
        for one in counted
    ]))  # fmt: skip


def event(number: int, one: Used, source: str | None = "additionalEventData") -> Event:
    counts = {FIELDS[kind]: n for kind, n in one.counts.items()}
    return Event(
        event_time=one.moment, event_id=uuid_of(number), request_id=None, shared_event_id=None,
        account_id=ACCOUNT, region=one.region, event_source="bedrock.amazonaws.com", event_name="InvokeModel",
        model_id=("global." if one.scope == "global" else "") + one.model_id,
        principal_arn=f"arn:aws:iam::{ACCOUNT}:user/{one.user_name}", principal_type="IAMUser",
        session_name=None, user_agent=None, user_name=one.user_name, application=one.application,
        application_source="user agent", error_code=None, inference_region=None,
        service_tier=None if one.tier == "standard" else one.tier, is_home_copy=True, is_correction=False,
        tokens=Tokens(source, **counts) if source else None,
    )  # fmt: skip


LEVELS = {
    "usage_cost": ("hour", "user_name", "application", "region", "model_id"),
    "usage_cost_daily": ("day", "user_name", "application", "region", "model_id"),
    "daily_costs_by_user_and_application": ("day", "user_name", "application", "region", "model_id"),
    "daily_costs_by_user": ("day", "user_name", "region", "model_id"),
    "daily_costs_by_application": ("day", "application", "region", "model_id"),
    "daily_costs_by_model": ("day", "region", "model_id"),
    "user_costs": ("user_name",),
    "user_breakdown": ("user_name", "region", "model_id"),
    "application_costs": ("application",),
    "application_breakdown": ("application", "region", "model_id"),
    "model_costs": ("model_id",),
    "region_costs": ("region",),
    "daily_costs": ("day",),
}  # fmt: skip
UNFILTERED = Filters().parameters()


@pytest.mark.parametrize("seed", range(rounds(1, 200)))
def test_every_cost_is_as_decimal_has_it(
    new_warehouse: Callable[[], AbstractContextManager[Database]], seed: int
) -> None:
    chance = random.Random(seed)
    book, calls = book_of(chance), calls_of(chance)
    # Odd, so that two users cannot share it evenly, and beyond 32 bits.
    counted = [
        Used(moment, "", "Chat", COUNTED, "us-east-1", "regional", "standard", {"input": 2**33 + 1})
        for moment in MOMENTS[:2]
    ]
    with new_warehouse() as db:
        store_overrides(db, book)
        write(db, calls, counted)
        bill = Bill(book, [*calls, *counted])
        compare_calls(db, bill, calls)
        compare_levels(db, bill, calls, counted)
        compare_totals(db, bill.total([*calls, *counted]))
        assert_whole(db)
        assert failed_checks(db) == {}


def compare_calls(db: Database, bill: Bill, calls: list[Used]) -> None:
    costs = dict(rows(db, "select event_id, cost_picodollars from calls"))
    for number, one in enumerate(calls):
        assert Decimal(costs[uuid_of(number)] or 0) / PICO == bill.total([one]), one


def compare_levels(db: Database, bill: Bill, calls: list[Used], counted: list[Used]) -> None:
    """Compare each row; of an estimate, it is not asked which user it went to."""
    levels = {name: (by, list(db.query(f"select * from {name}"))) for name, by in LEVELS.items()}
    levels |= {f"usage by {by}": (by, usage(db, Filters(), by=by)) for _, by in REPORTS.values()}
    for level, (by, found) in levels.items():
        names = [name for name in by if name != "user_name"]
        expected: dict[tuple[str, ...], list[Used]] = defaultdict(list)
        for one in [*calls, *counted]:
            expected[tuple(getattr(one, name) for name in names)].append(one)
        sums: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
        for row in found:
            key = tuple(row[name][:13] if name == "hour" else row[name] for name in names)
            sums[key] += amount(row)
        for key, used in expected.items():
            assert near(sums.pop(key, Decimal(0)), bill.total(used)), (level, key)
        assert set(sums.values()) <= {0}, level
        if "user_name" in by:
            for user in (*USERS, "carol"):
                own = bill.total(one for one in calls if one.user_name == user)
                rest = bill.total(counted) if user in USERS else Decimal(0)
                total = sum((amount(row) for row in found if row["user_name"] == user), Decimal(0))
                assert own - Decimal("1e-8") <= total <= own + rest + Decimal("1e-8"), level


def amount(row: dict[str, Any]) -> Decimal:
    if "cost_picodollars" in row:
        return Decimal(row["cost_picodollars"] or 0) / PICO
    return Decimal(row["cost_usd"] or 0)


def near(found: Decimal, exact: Decimal) -> bool:
    """Dollars are shown as floating-point numbers with nine decimals; each has 15 digits at least."""
    return abs(found - exact) <= max(Decimal("1e-8"), exact / 10**15)


def compare_totals(db: Database, total: Decimal) -> None:
    """Compare what sums all: pages, and the reports of the live metrics."""
    assert total > 22_000_000
    lines = db.query(sql_text("pages/cost_lines"), UNFILTERED)
    assert near(sum((Decimal(line["cost_usd"] or 0) for line in lines), Decimal(0)), total)
    (row,) = usage(db, Filters())
    assert near(amount(row), total)
    bounds = {"since": "2026-11-01", "until": "2026-12-01", "estimates_until": "2026-12-01"}
    periods = run_report(db, "monitor_periods", bounds)
    assert sum(row["cost_picodollars"] or 0 for row in periods) == total * PICO
    days = [
        row
        for application in (*APPLICATIONS, "Month")
        for row in run_report(db, "monitor_days", {"application": application, "since": "2026"})
    ]
    assert sum(row["cost_picodollars"] or 0 for row in days) == total * PICO
    amounts = [
        amount
        for row in (*periods, *days)
        for name, amount in row.items()
        if "_picodollars" in name
    ]
    assert {type(amount) for amount in amounts} <= {int, type(None)}


def assert_whole(db: Database) -> None:
    """Every amount that is stored, or in any view, is an integer or unknown."""
    checked = 0
    tables = [name for (name,) in rows(db, "select name from sqlite_master where type = 'table'")]
    for relation in [*view_sql(), *tables]:
        columns = [name for name, *_ in db.execute(f"select * from {relation} limit 0").description]
        for column in columns:
            if column.endswith(("_picodollars", "_rate")) or column == "usd_per_mtok":
                types = rows(db, f"select distinct typeof({column}) from {relation}")
                assert {name for (name,) in types} <= {"integer", "null"}, (relation, column)
                checked += 1
    assert checked > 30
