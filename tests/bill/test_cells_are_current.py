"""What the bill is compared with is stored, and follows everything that it is made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlite_utils import Database

from etl.normalise.discounts import Discount
from etl.normalise.rules import UserRule
from etl.warehouse.price_file import COLUMNS
from etl.warehouse.upkeep.forget import forget
from etl.warehouse.write import bill_cells
from etl.warehouse.write.attribution import apply_config
from etl.warehouse.write.bill_cells import ensure_bill_cells
from etl.warehouse.write.discounts import apply_discounts
from etl.warehouse.write.rollup import rebuild_rollups
from tests.bill.comparing import DAYS, HISTORY, LATER, Used, bill_of, load_both, log_of
from tests.bill.exports import HAIKU, NOVA, SONNET, principal, usage, write_export
from tests.checks import failed_checks
from tests.support import import_any_price, load, rows, write_metrics

Change = Callable[[Database, Path], object]

CHECKS = ("bill_cells_are_current", "bill_reasons_are_current")
SHORT = SONNET._replace(model_id="anthropic.claude-sonnet-4-5")
EXTRA = Used(DAYS[1], "carol", HAIKU, {"input": 1_000, "output": 10})


def rate_of(model: str, region: str) -> Change:
    row = f"{model},{region},regional,standard,input,0,200000,2026-01-01,,x,2026-11-20"

    def change(db: Database, path: Path) -> None:
        (path / "own.csv").write_text(f"{','.join(COLUMNS)}\n{row}\n")
        import_any_price(db, path / "own.csv")

    return change


def load_calls(*used: Used) -> Change:
    return lambda db, path: load(db, log_of(used, path, first=1_000))


def load_bill(**fields: object) -> Change:
    """Load the month again with a line more, or the next month's."""

    def change(db: Database, path: Path) -> None:
        month = str(fields.get("month", "2026-10"))
        line = usage(NOVA, "input", 7_000, f"{month}-03", principal=principal("alice"))
        bill = [*bill_of(HISTORY), line] if month == "2026-10" else [line]
        write_export(path, bill, form="csv.gz", run="run-9", **fields)  # type: ignore[arg-type]
        load(db, path / "exports", now=LATER)

    return change


def load_totals(db: Database, path: Path) -> None:
    totals = [(HAIKU.model_id, "InputTokenCount", 50_000_000, f"{DAYS[1]}T10:00:00Z", 3600)]
    load(db, write_metrics(path / "t.csv", totals))


CHANGES: dict[str, Change] = {
    "calls of a day that was compared": load_calls(EXTRA),
    "calls of a day without a bill": load_calls(EXTRA._replace(day="2026-10-20")),
    "calls under another name of a billed model": load_calls(
        Used(DAYS[1], "carol", SHORT, {"input": 5_000, "output": 10})
    ),
    "totals": load_totals,
    "a price of what has none": rate_of(SONNET.model_id, "eu-west-1"),
    "another price": rate_of(HAIKU.model_id, "us-east-1"),
    "a discount": lambda db, path: apply_discounts(db, [Discount(percent=10)]),
    "a rule": lambda db, path: apply_config(
        db, (UserRule(user="all", principal_arn="*:user/*"),), {}
    ),
    "two users of one name": lambda db, path: apply_config(db, (), {"alice": "A", "bob": "A"}),
    "a forgotten user": lambda db, path: forget(db, ["alice"]),
    "a rebuild": lambda db, path: rebuild_rollups(db),
    "the month again": load_bill(),
    "the next month": load_bill(month="2026-11"),
    "another export": load_bill(name="other", style="legacy"),
}


@pytest.fixture
def compared(db: Database, tmp_path: Path) -> Database:
    """Return a warehouse whose bill also has what we never saw, and is open."""
    sonnet = Used(DAYS[0], "alice", SONNET, {"input": 9_000, "output": 500})
    bill = [*bill_of(HISTORY), *bill_of([sonnet], region="eu-west-1")]
    bill.append(bill[0]._replace(kind="EdpDiscount", cost=Decimal("-0.1"), quantity=Decimal(0)))
    load(db, log_of(HISTORY[:-3], tmp_path))
    write_export(tmp_path, bill, form="csv.gz")
    load(db, tmp_path / "exports", now=datetime(2026, 10, 31, tzinfo=UTC))
    return db


@pytest.mark.parametrize("what", CHANGES)
def test_the_comparison_follows(
    compared: Database, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failed_checks(compared, CHECKS) == {}
    before = rows(compared, "select count(*) from bill_cells where is_open")
    CHANGES[what](compared, tmp_path)
    assert failed_checks(compared, CHECKS) == {}
    assert rows(compared, "select count(*) from noted_bill_days") == [(0,)]
    if what == "the next month":
        assert rows(compared, "select count(*) from bill_cells where is_open") != before


def test_only_days_that_changed_are_computed_again(
    compared: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, computed = bill_cells._insert, list[str]()

    def noted(db: Database, days: list[tuple[str, str]]) -> None:
        computed.extend(day for _, day in days)
        insert(db, days)

    monkeypatch.setattr(bill_cells, "_insert", noted)
    load(compared, log_of([EXTRA], tmp_path, first=1_000))
    assert computed == []  # what was known of the day is kept
    load(compared, log_of([EXTRA._replace(day="2026-10-20")], tmp_path, first=2_000))
    assert computed == ["2026-10-20"]
    load(compared, log_of([EXTRA._replace(day="2026-09-20")], tmp_path, first=3_000))
    rate_of("amazon.titan-text-lite-v1", "us-east-1")(compared, tmp_path)
    assert computed == ["2026-10-20"]


def test_a_warehouse_of_an_earlier_version_is_compared_when_it_is_opened(
    db: Database, tmp_path: Path
) -> None:
    load_both(db, tmp_path, bill_of(HISTORY)[1:])
    before = rows(db, "select * from bill_differences")
    assert before
    for table in ("bill_cells", "bill_reasons", "bill_cells_state"):
        db.conn.execute(f"delete from {table}")
    ensure_bill_cells(db)
    assert rows(db, "select * from bill_differences") == before
    (state,) = rows(db, "select state from bill_cells_state")[0]
    assert json.loads(state)
