"""FOCUS 1.2: the charges of closed days are the bill's, those of others ours, to the pico-dollar."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.normalise.rows import AccountName
from etl.warehouse.turns import path_of
from etl.warehouse.write.batch import Batch, Loader
from tests.bill.exports import (
    NOVA,
    OTHER_ACCOUNT,
    PAYER,
    SONNET,
    Line,
    principal,
    usage,
    write_export,
)
from tests.cases import cases
from tests.export.exports import export, manifest, read, total, usd
from tests.export.focus_validator import REVIEWED, failed_rules, install, interpreter
from tests.export.months import UNPRICED, Used, fill
from tests.rounds import long, rounds
from tests.support import ACCOUNT, HAIKU, load, rows

MONTH = "2026-10"
DAYS = [f"2026-10-{day:02}" for day in range(1, 7)]
CLOSED, LAST = "2026-10-02", "2026-10-04"


def other(
    kind: str, cost: str, usage_type: str = "USE1-NovaPro-input-tokens", **fields: Any
) -> Line:
    return Line(
        fields.pop("day", DAYS[0]), usage_type, Decimal(1), Decimal(cost), kind=kind, **fields
    )


def focus(db: Database, folder: Path, *words: object) -> list[dict[str, Any]]:
    return read(export(path_of(db), "focus", MONTH, folder / "focus", *words))


def bill(db: Database, folder: Path, lines: Iterable[Line], **options: Any) -> None:
    write_export(folder / "bill", lines, form="csv.gz", **options)
    assert load(db, folder / "bill").is_complete


def at(day: str) -> str:
    return f"{day}T10:15:00Z"


def nova(day: str, user: str, application: str, tokens: int, model: str = NOVA.model_id) -> Used:
    return Used(at(day), user, application, model, (tokens, 0))


def shown(found: Iterable[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    names = columns or ("x_UserName", "x_Application", "ConsumedQuantity", "BilledCost", "x_CostSource")  # fmt: skip
    return [tuple(row[name] for name in names) for row in found]


COUNT = st.integers(1, 10**7)
CALL = st.tuples(st.sampled_from(DAYS), st.sampled_from("AB"), st.sampled_from(["chat", "mail", "Unknown"]), COUNT)  # fmt: skip
USAGE = st.tuples(
    st.sampled_from(DAYS),
    st.sampled_from([None, "A", "C"]),
    st.sampled_from(["input", "output"]),
    COUNT,
    # An account may have two payers.
    st.sampled_from([PAYER, PAYER, "777788889999"]),
)
OTHERS = st.tuples(
    st.sampled_from([*DAYS, "2026-09-30"]),
    st.sampled_from(["Tax", "Credit", "Refund", "EdpDiscount", "Fee", "Strange"]),
    st.integers(-(10**6), 10**6),
)


@settings(max_examples=rounds(4, 60))
@given(
    calls=st.lists(CALL, min_size=2, max_size=10),
    charged=st.lists(USAGE, min_size=1, max_size=10),
    others=st.lists(OTHERS, max_size=5),
    totals=st.booleans(),
)
def test_each_day_adds_up(
    new_warehouse: Callable[[], AbstractContextManager[Database]],
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[Any],
    charged: list[Any],
    others: list[Any],
    totals: bool,
) -> None:
    folder = tmp_path_factory.mktemp("focus")
    lines = [
        usage(NOVA, kind, tokens, day, principal=user and principal(user), payer=payer)
        for day, user, kind, tokens, payer in charged
    ]
    lines += [other(kind, f"{cost / 10**6:.6f}", day=day) for day, kind, cost in others]
    last = max(day for day, *_ in charged)
    closed = (date.fromisoformat(last) - timedelta(days=2)).isoformat()
    with new_warehouse() as db:
        used = [
            *(nova(*one) for one in calls),
            *(Used(at(day), "D", "chat", HAIKU, None) for day in DAYS if totals),
        ]
        fill(db, folder, used)
        bill(db, folder, lines)
        found = focus(db, folder)
        ours = dict(rows(db, "select day, sum(cost_picodollars) from usage_cost_daily group by 1"))
    billed: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        billed[line.day] += line.cost
    by_day: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in found:
        by_day[row["ChargePeriodStart"][:10]].append(row)
        check(row)
    for day in {*DAYS, *by_day, *billed}:
        if day <= closed:
            assert total(by_day[day], "BilledCost") == billed[day], day
            assert {row["x_CostSource"] for row in by_day[day]} <= {"AWS bill"}
        else:
            assert total(by_day[day], "BilledCost") == usd(ours.get(day) or 0), day
            assert {row["x_CostSource"] for row in by_day[day]} <= {"computed", "estimated"}
    # What the bill says of a user stays with the user, however it is split.
    for user in ("A", "C"):
        of_user = [
            Decimal(tokens) for day, name, _, tokens, _ in charged if name == user and day <= closed
        ]
        named = [row for row in found if row["x_CostSource"] == "AWS bill" and row["x_UserName"] == user and row["x_ChargeKind"] == "usage"]  # fmt: skip
        if user == "C":
            assert total(named, "ConsumedQuantity") == sum(of_user)
        else:
            assert total(named, "ConsumedQuantity") >= sum(of_user)


def check(row: dict[str, Any]) -> None:
    """Check what FOCUS wants of a row, and what it must never look like."""
    assert (row["InvoiceId"], row["BillingCurrency"]) == (None, "USD")
    for unit_price, cost in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):  # fmt: skip
        if row[unit_price] is not None:
            assert row[unit_price] >= 0
            assert row[unit_price] * row["PricingQuantity"] == row[cost]
    is_priced = row["ChargeCategory"] in ("Usage", "Purchase")
    assert (row["PricingQuantity"] is not None) is is_priced
    assert (row["PricingUnit"] is not None) is is_priced
    assert (row["ConsumedQuantity"] is not None) is (row["ChargeCategory"] == "Usage")
    assert row["BillingPeriodStart"] == "2026-10-01T00:00:00Z"
    assert row["BillingPeriodEnd"] == "2026-11-01T00:00:00Z"
    is_correction = row["ChargePeriodStart"] < row["BillingPeriodStart"]
    assert row["ChargeClass"] == ("Correction" if is_correction else None)
    tags = json.loads(row["Tags"])
    assert set(tags) <= {"application", "team", "user"}
    assert not {"(no team)", "(unknown)", "Unknown", "(unattributed)"} & set(tags.values())


@cases(
    ("who", "expected"),
    [
        # Nobody is named: by the tokens of all.
        (None, [("alice", "chat", 200, 160), ("alice", "mail", 100, 80), ("bob", "search", 100, 80)]),
        # The user is named: by the tokens of their applications.
        ("alice", [("alice", "chat", 267, 213), ("alice", "mail", 133, 107)]),
        # Who is not known here has no application.
        ("carol", [("carol", "Unknown", 400, 320)]),
    ],
)  # fmt: skip
def test_what_the_bill_does_not_name_is_taken_from_our_usage(
    db: Database, tmp_path: Path, who: str | None, expected: list[tuple[Any, ...]]
) -> None:
    used = [nova(CLOSED, "alice", "chat", 2000), nova(CLOSED, "alice", "mail", 1000), nova(CLOSED, "bob", "search", 1000)]  # fmt: skip
    fill(db, tmp_path, [*used, nova(LAST, "bob", "search", 50)])
    # A pico-dollar of costs that does not divide.
    line = usage(NOVA, "input", 400, CLOSED, principal=who and principal(who))
    bill(db, tmp_path, [line, usage(NOVA, "input", 1, LAST)])
    found = [row for row in focus(db, tmp_path) if row["x_CostSource"] == "AWS bill"]
    millionths = [(*row[:3], round(row[3] * 10**6)) for row in shown(found)]
    assert millionths == expected
    assert total(found, "BilledCost") == Decimal("0.00032")
    assert total(found, "ConsumedQuantity") == 400
    assert {row["x_IsSplitByUsage"] for row in found} == {who != "carol"}
    # At list price as far as it is known; the account's payer is billed.
    assert total(found, "ListCost") == Decimal("0.00032")
    assert {row["BillingAccountId"] for row in found} == {PAYER}


def test_days_that_may_change_have_our_costs(db: Database, tmp_path: Path) -> None:
    used = [nova(LAST, "alice", "chat", 1000), nova(CLOSED, "alice", "chat", 1000)]
    fill(db, tmp_path, [*used, Used("2026-10-15T10:15:00Z", "bob", "search", HAIKU, None)], [(HAIKU, 1000)])  # fmt: skip
    bill(db, tmp_path, [usage(NOVA, "input", 990, day, price_factor="2") for day in (CLOSED, LAST)])
    found = focus(db, tmp_path)
    assert shown(found) == [
        ("alice", "chat", 990, Decimal("0.001584"), "AWS bill"),
        ("alice", "chat", 1000, Decimal("0.0008"), "computed"),
        ("bob", "search", 1000, Decimal("0.00025"), "estimated"),
    ]
    assert shown(found, "ContractedUnitPrice", "ListUnitPrice", "ListCost", "PricingUnit") == [
        (Decimal("1.6"), Decimal("0.8"), Decimal("0.000792"), "1000000 Tokens"),
        (Decimal("0.8"), Decimal("0.8"), Decimal("0.0008"), "1000000 Tokens"),
        (Decimal("0.25"), Decimal("0.25"), Decimal("0.00025"), "1000000 Tokens"),
    ]
    about = manifest(tmp_path / f"focus/focus-{MONTH}.csv")
    assert about["cost_by_source"] == {"AWS bill": "0.001584", "computed": "0.0008", "estimated": "0.00025"}  # fmt: skip


def test_without_a_bill_all_is_ours_and_what_has_no_price_is_left_out(
    db: Database, tmp_path: Path
) -> None:
    fill(db, tmp_path, [nova(CLOSED, "alice", "chat", 5), nova(CLOSED, "bob", "mail", 7, UNPRICED)])
    found = focus(db, tmp_path)
    assert {row["x_UserName"] for row in found} == {"alice"}
    about = manifest(tmp_path / f"focus/focus-{MONTH}.csv")
    assert about["left_out"] == {"unpriced_calls": 1, "unpriced_tokens": 7, "calls_without_tokens": 0}  # fmt: skip
    assert about["is_lower_bound"] is True
    # Nobody else pays, as far as is known.
    assert shown(found, "BillingAccountId", "SubAccountName") == [(ACCOUNT, ACCOUNT)]


def test_an_account_that_the_bill_lacks_has_our_costs(db: Database, tmp_path: Path) -> None:
    fill(db, tmp_path, [nova(CLOSED, "alice", "chat", 5)])
    lines = [usage(NOVA, "input", 3, day, account=OTHER_ACCOUNT) for day in (CLOSED, LAST)]
    bill(db, tmp_path, lines)
    found = focus(db, tmp_path)
    assert shown(found, "SubAccountId", "x_CostSource", "ConsumedQuantity") == [
        (ACCOUNT, "computed", 5), (OTHER_ACCOUNT, "AWS bill", 3),
    ]  # fmt: skip


def test_a_bill_in_another_currency_is_not_taken(db: Database, tmp_path: Path) -> None:
    fill(db, tmp_path, [nova(CLOSED, "alice", "chat", 5)])
    lines = [usage(NOVA, "input", 5, day, currency="CNY") for day in (CLOSED, LAST)]
    bill(db, tmp_path, lines)
    found = focus(db, tmp_path)
    assert shown(found, "x_CostSource", "BillingCurrency") == [("computed", "USD")]


def everything(db: Database, folder: Path) -> None:
    """Load usage and a bill that have every kind of row."""
    fill(db, folder, [
        *(nova(day, user, application, 1234) for day in DAYS for user, application in (("alice", "chat"), ("bob", "gateway"))),
        *(Used(at(day), "carol", "search", HAIKU, None) for day in ("2026-10-15",)),
        nova(LAST, "dave", "mail", 9, UNPRICED),
        Used("2026-10-31T23:59:59Z", "erin", "O'Brien, \"x\"", HAIKU, (10**12, 10**12)),
    ], [(HAIKU, 777)])  # fmt: skip
    Loader(db).write(Batch(renewed={"account_names": [AccountName(ACCOUNT, "Production", None), AccountName(PAYER, "Payer", None)]}))  # fmt: skip
    of_bill = [
        *(usage(model, kind, 1001, CLOSED, principal=user and principal(user)) for model in (NOVA, SONNET) for kind in model.names for user in (None, "alice")),
        usage(NOVA, "input", -5, DAYS[0], principal=principal("bob")),
        usage(NOVA, "input", 3, LAST),
        *(other(kind, "-0.1") for kind in ("EdpDiscount", "Credit", "Refund")),
        other("Refund", "-0.2", day="2026-09-30"),
        *(other(kind, "1.5") for kind in ("Tax", "Fee", "Strange")),
        other("Usage", "2", "USE1-Turbo-boost"),
        other("Usage", "7", "USE1-ProvisionedThroughput-NovaPro-ModelUnits", unit="hours"),
        other("Tax", "0.5", "", account="", region=""),
    ]  # fmt: skip
    bill(db, folder, of_bill)


def test_every_charge_of_the_bill_has_its_category(db: Database, tmp_path: Path) -> None:
    everything(db, tmp_path)
    found = focus(db, tmp_path)
    for row in found:
        check(row)
    categories = {row["x_ChargeKind"]: row["ChargeCategory"] for row in found}
    assert categories == {
        "usage": "Usage", "not understood": "Usage", "capacity": "Usage", "tax": "Tax",
        "credit": "Credit", "refund": "Adjustment", "discount": "Adjustment", "fee": "Purchase",
    }  # fmt: skip
    assert {row["ChargeClass"] for row in found if row["x_ChargeKind"] == "refund"} == {None, "Correction"}  # fmt: skip
    assert {row["SubAccountName"] for row in found} == {"Production", "Payer"}
    charge = next(row for row in found if row["x_ChargeKind"] == "not understood")
    assert shown([charge], "PricingQuantity", "PricingUnit", "ContractedUnitPrice") == [(1, "Charges", charge["BilledCost"])]  # fmt: skip
    (large,) = [row for row in found if row["x_UserName"] == "erin" and row["x_TokenKind"] == "input"]  # fmt: skip
    assert large["BilledCost"] == 250_000
    assert json.loads(large["Tags"])["user"] == "erin"
    assert {row["RegionId"] for row in found} == {"us-east-1", None}


@long
def test_the_validator_finds_nothing_else(db: Database, tmp_path: Path) -> None:
    """``make test-long`` only: it installs the validator. See FOCUS's own rules there."""
    python = interpreter()
    if python is None:
        pytest.skip("the validator needs Python 3.12")
    everything(db, tmp_path)
    file = export(path_of(db), "focus", MONTH, tmp_path / "out", "--format", "parquet")
    commands = install(python)
    assert failed_rules(commands, file, tmp_path) == REVIEWED
    # It does find what is wrong.
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(file)
    column = table.column_names.index("ChargeCategory")
    wrong = table.set_column(column, "ChargeCategory", pyarrow.array(["Bill"] * len(table)))
    pyarrow.parquet.write_table(wrong, tmp_path / "wrong.parquet")
    assert "ChargeCategory-C-003-M" in failed_rules(commands, tmp_path / "wrong.parquet", tmp_path)
