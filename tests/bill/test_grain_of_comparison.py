"""What belongs together is compared with each other: models, payers, discounts, estimates."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from sqlite_utils import Database

from etl.normalise.discounts import Discount
from etl.warehouse.write.discounts import apply_discounts
from tests.bill.comparing import (
    DAYS,
    HISTORY,
    LATER,
    MILLION,
    PICO,
    Used,
    bill_of,
    load_both,
    log_of,
    reasons,
)
from tests.bill.exports import ACCOUNT, HAIKU, NOVA, OTHER_ACCOUNT, PAYER, SONNET, write_export
from tests.cli.running import run
from tests.support import call, load, rows, write_log, write_metrics

OTHER_PAYER = "888877776666"
# As calls name it on an endpoint where ids have neither date nor version.
SHORT_SONNET = SONNET._replace(model_id="anthropic.claude-sonnet-4-5")
BY_REASON = (
    "select payer_account_id, day, reason, sum(difference_picodollars) from bill_differences"
    " group by 1, 2, 3 order by 1, 2, 3"
)


def test_a_model_has_one_name_in_the_bill_and_in_calls(db: Database, tmp_path: Path) -> None:
    """The bill's is the id under which its price is listed."""
    used = Used(DAYS[-1], "alice", SHORT_SONNET, {"input": MILLION, "output": MILLION})
    load_both(db, tmp_path, bill_of([used._replace(model=SONNET)]), [used])
    assert reasons(db) == {}
    name = [(SHORT_SONNET.model_id,)]
    for view in ("billed_usage", "billed_costs_by_model", "bill_comparison"):
        assert rows(db, f"select distinct model_id from {view}") == name
    both = "select model_id, actual_tokens, billed_tokens, billed_cost_usd from reconciliation"
    assert rows(db, both) == [(SHORT_SONNET.model_id, 2 * MILLION, 2 * MILLION, 19.8)]


def test_the_report_has_the_bill_of_a_model_in_its_row(tmp_path: Path) -> None:
    file = tmp_path / "w.db"
    used = Used(DAYS[-1], "alice", SHORT_SONNET, {"input": MILLION, "output": MILLION})
    write_export(tmp_path, bill_of([used._replace(model=SONNET)]), form="csv.gz")
    assert run("load", log_of([used], tmp_path), tmp_path / "exports", "--db", file)[0] == 0
    report = ("report", "models", "--billed", "--format", "csv", "--db", file)
    (header, row, *rest) = run(*report)[1].splitlines()
    found = dict(zip(header.split(","), row.split(","), strict=True))
    assert (found["model_id"], found["billed_cost_usd"]) == (SHORT_SONNET.model_id, "19.8")
    assert [line.split(",")[0] for line in rest] == ["total"] * len(rest)
    days = (*report[:1], "days", *report[2:], "--model", SHORT_SONNET.model_id)
    assert run(*days)[1].splitlines()[1].endswith(",19.8")


def test_models_that_share_a_price_are_compared_together(db: Database, tmp_path: Path) -> None:
    one, other = (
        Used(DAYS[-1], "alice", model, {"input": MILLION, "output": MILLION})
        for model in (SONNET, SHORT_SONNET)
    )
    load(db, log_of([one, other], tmp_path))
    both = Used(DAYS[-1], "alice", SONNET, {"input": 2 * MILLION, "output": 2 * MILLION})
    write_export(tmp_path, bill_of([both]), form="csv.gz")
    load(db, tmp_path / "exports", now=LATER)
    assert reasons(db) == {}
    assert rows(db, "select distinct model_id from bill_comparison") == [(SONNET.model_id,)]


@pytest.mark.parametrize("is_one_export", [True, False])
def test_an_account_that_moves_to_another_payer_is_compared_with_the_one_that_bills_it(
    db: Database, tmp_path: Path, is_one_export: bool
) -> None:
    """Its lines stay with who pays them; what we know of a day belongs to one of both."""
    load(db, log_of(HISTORY, tmp_path))
    bill = [
        line._replace(payer=PAYER if line.day < DAYS[2] else OTHER_PAYER)
        for line in bill_of(HISTORY)
    ]
    bill[0] = bill[0]._replace(cost=bill[0].cost + 1)
    if is_one_export:
        write_export(tmp_path, bill, form="csv.gz")
    else:
        for payer in (PAYER, OTHER_PAYER):
            own = [line for line in bill if line.payer == payer]
            write_export(tmp_path, own, form="csv.gz", name=f"of-{payer}")
    load(db, tmp_path / "exports", now=LATER)
    assert rows(db, BY_REASON) == [(PAYER, DAYS[0], "price", PICO)]
    assert sum(reasons(db).values()) == PICO
    half = 2 * 2 * (56 + 20) / 10
    assert rows(
        db,
        "select payer_account_id, our_cost_usd, billed_cost_usd from bill_reconciliation order by 1",
    ) == [(OTHER_PAYER, half, half), (PAYER, half, half + 1)]


def test_on_the_day_of_a_move_ours_belongs_to_who_bills_most_of_it(
    db: Database, tmp_path: Path
) -> None:
    load(db, log_of(HISTORY, tmp_path))
    # The other payer bills alice's Nova on the second day, and everything from the third on.
    bill = [
        line._replace(payer=OTHER_PAYER)
        if line.day > DAYS[1] or (line.day == DAYS[1] and "NovaPro" in line.usage_type
                                  and str(line.principal).endswith("alice"))
        else line
        for line in bill_of(HISTORY)
    ]  # fmt: skip
    write_export(tmp_path, bill, form="csv.gz")
    load(db, tmp_path / "exports", now=LATER)
    moved = 56 * PICO // 10
    assert rows(db, BY_REASON) == [
        (OTHER_PAYER, DAYS[1], "missing calls", moved),
        (PAYER, DAYS[1], "never billed", -moved),
    ]
    assert reasons(db) == {"missing calls": moved, "never billed": -moved}
    counted = "select payer_account_id, sum(cloudwatch_tokens) from bill_comparison group by 1"
    totals = [(NOVA.model_id, "InputTokenCount", 5, f"{DAYS[1]}T10:00:00Z", 3600)]
    load(db, write_metrics(tmp_path / "t.csv", totals))
    assert sum(value or 0 for _, value in rows(db, counted)) == 5


def discount_of(bill: list, part: Decimal) -> list:  # type: ignore[type-arg]
    return [
        line._replace(kind="EdpDiscount", cost=-line.cost * part, quantity=Decimal(0))
        for line in bill
    ]


def test_a_discount_line_of_one_model_says_nothing_of_others(db: Database, tmp_path: Path) -> None:
    """Nova's usage is at list price with a discount beside it; Haiku's is net."""
    apply_discounts(db, [Discount(percent=10)])
    bill = bill_of(HISTORY)
    nova = [line for line in bill if "NovaPro" in line.usage_type]
    haiku = [
        line._replace(cost=line.cost * 9 / 10) for line in bill if "NovaPro" not in line.usage_type
    ]
    load_both(db, tmp_path, [*nova, *discount_of(nova, Decimal("0.1")), *haiku])
    assert reasons(db) == {}


def test_a_discount_of_one_account_or_kind_says_nothing_of_others(
    db: Database, tmp_path: Path
) -> None:
    apply_discounts(db, [Discount(percent=10)])
    bill = bill_of(HISTORY)
    read = [line for line in bill if "nput" in line.usage_type]
    written = [
        line._replace(cost=line.cost * 9 / 10) for line in bill if "nput" not in line.usage_type
    ]
    elsewhere = bill_of(HISTORY, account=OTHER_ACCOUNT, price_factor="0.9")
    (tmp_path / "other").mkdir()
    load(db, log_of(HISTORY, tmp_path / "other", 100, OTHER_ACCOUNT))
    load_both(db, tmp_path, [*read, *discount_of(read, Decimal("0.1")), *written, *elsewhere])
    assert reasons(db) == {}


def test_a_discount_that_names_no_usage_is_of_what_is_charged_at_list_price(
    db: Database, tmp_path: Path
) -> None:
    apply_discounts(db, [Discount(percent=10)])
    bill = bill_of(HISTORY)
    nova = [line for line in bill if "NovaPro" in line.usage_type]
    haiku = [
        line._replace(cost=line.cost * 9 / 10) for line in bill if "NovaPro" not in line.usage_type
    ]
    less = sum(line.cost for line in nova) / 10
    lump = nova[0]._replace(
        kind="EdpDiscount", usage_type="", cost=-less, quantity=Decimal(0), product=()
    )
    load_both(db, tmp_path, [*nova, *haiku, lump])
    assert reasons(db) == {"discount": 0} or reasons(db) == {}


def test_an_estimate_is_off_by_no_more_than_was_estimated(db: Database, tmp_path: Path) -> None:
    """Alice has 10,000 input tokens that calls report and 1,000 that are estimated."""
    at = f"{DAYS[-1]}T10:15:00Z"
    calls = [
        call(1, eventTime=at, tokens=(10_000, 2_000)),
        call(2, eventTime=at),
        call(3, user="bob", eventTime=at, tokens=(2_000, 500)),
    ]
    start = (f"{DAYS[-1]}T10:00:00Z", 3600)
    totals = [
        (HAIKU.model_id, "InputTokenCount", 13_000, *start),
        (HAIKU.model_id, "OutputTokenCount", 2_600, *start),
    ]
    load(db, write_log(tmp_path / "log.json", calls), write_metrics(tmp_path / "t.csv", totals))
    used = [
        Used(DAYS[-1], "alice", HAIKU, {"input": 7_000, "output": 2_050}),
        Used(DAYS[-1], "bob", HAIKU, {"input": 2_000, "output": 550}),
    ]
    write_export(tmp_path, bill_of(used), form="csv.gz")
    load(db, tmp_path / "exports", now=LATER)
    found = rows(
        db,
        "select token_kind, user_name, reason, difference_tokens, difference_picodollars"
        " from bill_differences order by 1, 2, 3",
    )
    assert found == [
        ("input", "alice", "estimate error", -1_000, -1_000 * 250_000),
        ("input", "alice", "never billed", -3_000, -3_000 * 250_000),
        ("output", "alice", "estimate error", -50, -50 * 1_250_000),
        # All of bob's calls report their tokens.
        ("output", "bob", "missing calls", 50, 50 * 1_250_000),
    ]
    assert sum(reasons(db).values()) == sum(row[-1] for row in found)


def test_more_than_others_had_too_much_is_no_estimate(db: Database, tmp_path: Path) -> None:
    """CloudWatch counted 10,000: a user's estimate can be too low only by another's too high."""
    at = f"{DAYS[-1]}T10:15:00Z"
    users = ["alice"] * 5 + ["bob"] * 5
    calls = [call(n, user=user, eventTime=at) for n, user in enumerate(users, 1)]
    start = (f"{DAYS[-1]}T10:00:00Z", 3600)
    totals = [(HAIKU.model_id, "InputTokenCount", 10_000, *start)]
    load(db, write_log(tmp_path / "log.json", calls), write_metrics(tmp_path / "t.csv", totals))
    used = [
        Used(DAYS[-1], "alice", HAIKU, {"input": 9_000}),
        Used(DAYS[-1], "bob", HAIKU, {"input": 4_000}),
    ]
    write_export(tmp_path, bill_of(used), form="csv.gz")
    load(db, tmp_path / "exports", now=LATER)
    assert rows(
        db,
        "select user_name, reason, difference_tokens from bill_differences order by 1, 2",
    ) == [
        ("alice", "estimate error", 1_000),
        ("alice", "missing calls", 3_000),
        ("bob", "estimate error", -1_000),
    ]
    assert reasons(db) == {"missing calls": 3_000 * 250_000}


def test_a_month_without_differences_is_a_header_in_csv(tmp_path: Path) -> None:
    file = tmp_path / "w.db"
    write_export(tmp_path, bill_of(HISTORY), form="csv.gz")
    assert run("load", log_of(HISTORY, tmp_path), tmp_path / "exports", "--db", file)[0] == 0
    status, out, _ = run("reconcile", "--format", "csv", "--db", file)
    assert status == 0
    (header,) = out.splitlines()
    assert header.startswith("month,day,payer_account_id,account_id,")
    assert header.endswith(",difference_usd,difference_picodollars")
    _ = ACCOUNT


def test_a_rate_is_recorded_only_where_all_usage_of_a_day_has_it(tmp_path: Path) -> None:
    """Not if another user pays ours; and until a day on which the bill has ours again."""
    file = tmp_path / "w.db"
    bill = bill_of(HISTORY)
    # A correction of one user; and all output of two days.
    bill[0] = bill[0]._replace(cost=bill[0].cost / 2)
    bill = [
        line._replace(cost=line.cost * 2)
        if line.usage_type.endswith("output-tokens") and line.day in DAYS[1:3]
        else line
        for line in bill
    ]
    write_export(tmp_path, bill, form="csv.gz")
    assert run("load", log_of(HISTORY, tmp_path), tmp_path / "exports", "--db", file)[0] == 0
    out = run("reconcile", "--db", file)[1]
    use = f"{NOVA.model_id},us-east-1,regional,standard"
    assert [line for line in out.splitlines() if line.startswith(use)] == [
        next(line for line in out.splitlines() if line.startswith(f"{use},output,0,6400000"))
    ]
    assert f"{use},output,0,6400000,{DAYS[1]},{DAYS[3]},AWS bill 2026-10," in out
    assert f"More than one rate on a day, not recorded: {use.replace(',', ', ')}, input, 0" in out
