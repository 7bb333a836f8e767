"""The bill beside our figures: each planted difference has its name, and its exact amount."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlite_utils import Database

from etl.normalise.discounts import Discount
from etl.normalise.rules import UserRule
from etl.warehouse.price_file import COLUMNS
from etl.warehouse.write.attribution import apply_config
from etl.warehouse.write.bill_figures import keep_figures_again
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
from tests.bill.exports import (
    ACCOUNT,
    HAIKU,
    NOVA,
    OTHER_ACCOUNT,
    PAYER,
    SONNET,
    Line,
    principal,
    usage,
    write_export,
)
from tests.checks import failed_checks
from tests.cli.running import run
from tests.rounds import rounds
from tests.support import (
    call,
    import_any_price,
    load,
    logged,
    rows,
    write_invocation_log,
    write_log,
    write_metrics,
)

CHECKS = ("bill_cells_are_current", "bill_reasons_are_current")


Plant = Callable[[list[Line]], list[Line]]


def changed(bill: list[Line], number: int, **fields: Any) -> list[Line]:
    return [*bill[:number], bill[number]._replace(**fields), *bill[number + 1 :]]


def extra(kind: str, cost: str, usage_type: str = "", **fields: Any) -> Plant:
    line = Line(DAYS[0], usage_type, Decimal(1), Decimal(cost), kind=kind, **fields)
    return lambda bill: [*bill, line]


KIMI = Line(
    DAYS[0], "USW2-moonshotai.kimi-k3-mantle-input-tokens", Decimal(2_000), Decimal("6.6"),
    region="us-west-2", principal=principal("carol"),
)  # fmt: skip

PLANTED: dict[str, tuple[Plant, dict[str, int]]] = {
    "nothing": (lambda bill: bill, {}),
    "by the hour": (
        lambda bill: [line._replace(hour=hour, quantity=line.quantity / 2, cost=line.cost / 2)
                      for line in bill for hour in (3, 17)],
        {},
    ),
    # Three million tokens at 0.80, of which half are on top.
    "a wrong price": (
        lambda bill: changed(bill, 0, cost=bill[0].cost * Decimal("1.5")),
        {"price": 12 * PICO // 10},
    ),
    "a missing account": (
        lambda bill: [*bill, *bill_of(HISTORY[:2], account=OTHER_ACCOUNT)],
        {"missing calls": (56 + 20) * PICO // 10},
    ),
    "mantle calls": (lambda bill: [*bill, KIMI], {"missing calls": 66 * PICO // 10}),
    "calls that are not billed": (lambda bill: bill[1:], {"never billed": -24 * PICO // 10}),
    "a discount": (extra("EdpDiscount", "-1.25"), {"discount": -125 * PICO // 100}),
    "a credit": (extra("Credit", "-2"), {"credit": -2 * PICO}),
    "a refund": (extra("Refund", "-0.75"), {"refund": -75 * PICO // 100}),
    "tax": (extra("Tax", "3.21"), {"tax": 321 * PICO // 100}),
    "what is not understood": (
        extra("Usage", "0.6", "USE1-NovaPro-something-new"),
        {"not understood": 6 * PICO // 10},
    ),
    "a guardrail": (
        extra("Usage", "0.15", "USE1-Guardrail-ContentPolicyUnitsConsumed", unit="1 unit"),
        {"guardrail": 15 * PICO // 100},
    ),
    "rounding": (
        lambda bill: changed(bill, 0, cost=bill[0].cost + Decimal("1e-10")),
        {"rounding": 100},
    ),
    "another tier": (
        # Priority costs 1.75 times as much.
        lambda bill: changed(
            bill, 0, usage_type=f"{bill[0].usage_type}-priority", cost=bill[0].cost * Decimal("1.75")
        ),
        {"tier": 18 * PICO // 10},
    ),
    "no principals": (
        lambda bill: [line._replace(principal=number % 2 * "" or None)
                      for number, line in enumerate(bill)],
        {},
    ),
    "one principal is missing": (
        lambda bill: changed(bill, 0, principal="", quantity=bill[0].quantity * 2, cost=bill[0].cost * 2),
        {"missing calls": 24 * PICO // 10},
    ),
}  # fmt: skip


def test_each_planted_difference_has_its_name_and_amount(db: Database, tmp_path: Path) -> None:
    """Each is in the bill of a payer of its own, with the same calls."""
    lines, expected = list[Line](), dict[tuple[str, str], int]()
    for number, (plant, amounts) in enumerate(PLANTED.values()):
        own = {ACCOUNT: f"1{number:011}", OTHER_ACCOUNT: f"2{number:011}"}
        (tmp_path / str(number)).mkdir()
        load(db, log_of(HISTORY, tmp_path / str(number), 100 * number, own[ACCOUNT]))
        payer = f"9{number:011}"
        lines += [
            line._replace(payer=payer, account=own[line.account])
            for line in plant(bill_of(HISTORY))
        ]
        expected |= {(payer, reason): amount for reason, amount in amounts.items()}
    write_export(tmp_path, lines, form="csv.gz")
    load(db, tmp_path / "exports", now=LATER)
    found = rows(
        db,
        "select payer_account_id, reason, sum(difference_picodollars) from bill_differences"
        " group by 1, 2",
    )
    assert {tuple(key): amount for *key, amount in found} == expected
    assert sum(reasons(db).values()) == sum(expected.values())


def test_a_discount_of_ours_is_compared_with_the_bills(db: Database, tmp_path: Path) -> None:
    apply_discounts(db, [Discount(percent=10)])
    bill = bill_of(HISTORY)
    lower = [line._replace(cost=line.cost * 9 / 10) for line in bill]
    missing = bill_of(HISTORY[:1], account=OTHER_ACCOUNT, price_factor="0.9")
    load_both(db, tmp_path, [*lower, *missing])
    assert reasons(db) == {"missing calls": 56 * PICO // 10 * 9 // 10}
    less = [
        line._replace(kind="EdpDiscount", cost=-line.cost / 10, quantity=Decimal(0))
        for line in bill
    ]
    write_export(tmp_path, [*bill, *less], form="csv.gz", run="run-2")
    load(db, tmp_path / "exports", now=LATER)
    assert reasons(db) == {}
    assert rows(db, "select state, difference_usd from bill_reconciliation") == [("agrees", 0)]


def test_the_discounts_of_a_bill_are_suggested(db: Database, tmp_path: Path) -> None:
    """As another rate of the usage, or as rows of their own; of a model that has one."""
    lines = [
        line._replace(cost=line.cost * Decimal("0.875")) if line.family else line
        for line in bill_of(HISTORY)
    ]
    of_haiku = next(line for line in lines if not line.family)
    lines.append(of_haiku._replace(kind="EdpDiscount", cost=Decimal(-4)))
    load_both(db, tmp_path, lines)
    found = rows(db, "select model_id, discount_percent, suggestion from bill_discounts order by 1")
    # Of both users and four days.
    assert [row[:2] for row in found] == [(NOVA.model_id, 12.5), (HAIKU.model_id, 25.0)]
    (suggested,) = tomllib.loads(found[0][2])["discounts"]
    assert suggested == {"percent": 12.5, "model": NOVA.model_id, "from": date(2026, 10, 1)}
    assert msgspec.convert(suggested, Discount).kept_millionths == 875_000


def test_days_that_may_still_change_are_not_yet_billed(db: Database, tmp_path: Path) -> None:
    load(db, log_of(HISTORY, tmp_path))
    bill = [line for line in bill_of(HISTORY) if line.day < "2026-10-30"]
    write_export(tmp_path, bill[1:], form="csv.gz")
    load(db, tmp_path / "exports", now=datetime(2026, 10, 5, tzinfo=UTC))
    half = (56 + 20) * 2 * 2 * PICO // 10
    assert reasons(db) == {"not yet billed": -(24 * PICO // 10) - half}
    assert rows(db, "select state, open_days from bill_reconciliation") == [("open", 29)]


def test_an_estimate_is_off_by_what_the_bill_knows(db: Database, tmp_path: Path) -> None:
    """Ten calls without tokens share CloudWatch's total; the bill knows who used what."""
    at = "2026-10-31T10:15:00Z"
    users = ["alice"] * 8 + ["bob"] * 2
    calls = [call(n, user=user, eventTime=at) for n, user in enumerate(users, 1)]
    start = ("2026-10-31T10:00:00Z", 3600)
    totals = [
        (HAIKU.model_id, "InputTokenCount", 10_000, *start),
        (HAIKU.model_id, "OutputTokenCount", 2_000, *start),
    ]
    load(db, write_log(tmp_path / "log.json", calls), write_metrics(tmp_path / "t.csv", totals))
    used = [("alice", 9_000, 1_800), ("bob", 1_000, 200)]
    lines = bill_of(
        Used(DAYS[-1], user, HAIKU, {"input": read, "output": written})
        for user, read, written in used
    )
    write_export(tmp_path, lines, form="csv.gz")
    load(db, tmp_path / "exports", now=LATER)
    off = 1_000 * 250_000 + 200 * 1_250_000
    assert rows(
        db,
        "select user_name, reason, sum(difference_picodollars) from bill_differences group by 1, 2",
    ) == [("alice", "estimate error", off), ("bob", "estimate error", -off)]
    off = "select user_name, token_kind, off_tokens, off_percent, is_confirmed from bill_estimates"
    assert rows(db, f"{off} order by 1, 2") == [
        ("alice", "input", 1_000, 11.11, 0), ("alice", "output", 200, 11.11, 0),
        ("bob", "input", -1_000, -100.0, 0), ("bob", "output", -200, -100.0, 0),
    ]  # fmt: skip
    db.conn.execute("insert into bill_tolerance values (150000, 0)")
    assert rows(db, "select distinct user_name from bill_estimates where is_confirmed") == [
        ("alice",)
    ]
    assert reasons(db) == {}
    assert rows(db, "select our_tokens, billed_tokens, cloudwatch_tokens from bill_comparison") == [
        (12_000, 12_000, 12_000)
    ]


def test_an_estimate_of_what_is_billed_to_nobody_was_never_billed(
    db: Database, tmp_path: Path
) -> None:
    """CloudWatch counted it: only whose it was is an estimate."""
    calls = [call(n, eventTime="2026-10-31T10:15:00Z") for n in (1, 2)]
    start = ("2026-10-31T10:00:00Z", 3600)
    totals = [
        (HAIKU.model_id, "InputTokenCount", 10_000, *start),
        (HAIKU.model_id, "OutputTokenCount", 2_000, *start),
    ]
    load(db, write_log(tmp_path / "log.json", calls), write_metrics(tmp_path / "t.csv", totals))
    lines = bill_of([Used(DAYS[-1], "bob", HAIKU, {"input": 10_000})])
    write_export(tmp_path, lines, form="csv.gz")
    load(db, tmp_path / "exports", now=LATER)
    found = rows(db, "select token_kind, user_name, reason from bill_differences order by 1, 2")
    assert found == [
        ("input", "alice", "estimate error"),
        ("input", "bob", "missing calls"),
        ("output", "alice", "never billed"),
    ]


def test_input_that_has_the_cached_tokens_in_it_is_told(db: Database, tmp_path: Path) -> None:
    record = logged(
        tokens=(3 * MILLION, MILLION), cache=(2 * MILLION, 0), modelId=NOVA.model_id,
        timestamp=f"{DAYS[-1]}T10:14:58Z",
    )  # fmt: skip
    load(db, write_invocation_log(tmp_path / "calls.json", [record]))
    tokens = {"input": MILLION, "output": MILLION, "cache_read": 2 * MILLION}
    write_export(tmp_path, bill_of([Used(DAYS[-1], "alice", NOVA, tokens)]), form="csv.gz")
    load(db, tmp_path / "exports", now=LATER)
    assert reasons(db) == {"gross or net input": -16 * PICO // 10}


def test_what_is_known_later_changes_nothing_that_was_compared(
    db: Database, tmp_path: Path
) -> None:
    bill = bill_of(HISTORY)
    load_both(db, tmp_path, bill, HISTORY[2:])
    before = rows(db, "select * from bill_differences")
    assert {(row[1], row[6]) for row in before} == {(DAYS[0], "alice")}
    (tmp_path / "later").mkdir()
    load(db, log_of(HISTORY[:2], tmp_path / "later", first=100))
    apply_discounts(db, [Discount(percent=50)])
    assert rows(db, "select * from bill_differences") == before
    # The day that the bill has anew is compared with what is known now; the others are not.
    write_export(tmp_path, [*bill, usage(NOVA, "input", 1_000, DAYS[0], principal=principal("z"))],
                 form="csv.gz", run="run-2")  # fmt: skip
    load(db, tmp_path / "exports", now=LATER)
    versions = "select day, version from bill_days order by 1"
    assert rows(db, versions) == [(DAYS[0], 2), *((day, 1) for day in DAYS[1:])]
    found = rows(db, "select distinct day, reason from bill_differences order by 1, 2")
    assert found == [(DAYS[0], "missing calls"), (DAYS[0], "price")]


def test_what_had_no_price_then_differs_by_its_price(db: Database, tmp_path: Path) -> None:
    region = "eu-west-1"
    db.conn.execute("delete from prices where model_id = ?", [HAIKU.model_id])
    records = [
        logged(n, user=user, tokens=(MILLION, 0), modelId=HAIKU.model_id, region=region,
               timestamp=f"{DAYS[-1]}T10:14:58Z")
        for n, user in enumerate(("alice", "bob"), 1)
    ]  # fmt: skip
    load(db, write_invocation_log(tmp_path / "calls.json", records))
    used = Used(DAYS[-1], "alice", HAIKU, {"input": MILLION})
    write_export(tmp_path, bill_of([used], region=region), form="csv.gz")
    load(db, tmp_path / "exports", now=LATER)
    # Bob's calls cost nothing that we knew, so they are no difference.
    assert reasons(db) == {"price": PICO // 4}
    header = ",".join(COLUMNS)
    rate = f"{HAIKU.model_id},{region},regional,standard,input,0,200000,2026-01-01,,x,2026-11-20"
    (tmp_path / "own.csv").write_text(f"{header}\n{rate}\n")
    import_any_price(db, tmp_path / "own.csv")
    found = dict(
        rows(db, "select reason, sum(difference_picodollars) from bill_differences group by 1")
    )
    # Of ours, the price that was not known is one million tokens each; of the bill's, 0.05 more.
    assert found == {"price": PICO // 20 + 2 * PICO // 5, "never billed": -PICO // 5}
    assert sum(found.values()) == PICO // 4


def test_a_re_export_that_changes_two_days_compares_these_anew(
    db: Database, tmp_path: Path
) -> None:
    bill = bill_of(HISTORY)
    load_both(db, tmp_path, bill)
    dearer = {DAYS[0]: 2, DAYS[3]: 3}
    again = [line._replace(cost=line.cost * dearer.get(line.day, 1)) for line in bill]
    write_export(tmp_path, again, form="csv.gz", run="run-2")
    load(db, tmp_path / "exports", now=LATER)
    a_day = 2 * (56 + 20) * PICO // 10
    assert rows(
        db,
        "select day, reason, sum(difference_picodollars) from bill_differences group by 1, 2",
    ) == [(DAYS[0], "price", a_day), (DAYS[3], "price", 2 * a_day)]
    assert rows(db, "select version, is_kept from bill_days order by day") == [
        (2, 1), (1, 1), (1, 1), (2, 1),
    ]  # fmt: skip
    assert failed_checks(db, CHECKS) == {}


def test_a_bill_that_is_loaded_first_is_compared_with_what_comes(
    db: Database, tmp_path: Path
) -> None:
    write_export(tmp_path, bill_of(HISTORY), form="csv.gz")
    load(db, tmp_path / "exports", now=LATER)
    assert reasons(db) == {"missing calls": 4 * 2 * (56 + 20) * PICO // 10}
    load(db, log_of(HISTORY, tmp_path))
    assert reasons(db) == {}


def test_whose_usage_it_is_may_be_decided_again_on_both_sides(db: Database, tmp_path: Path) -> None:
    load_both(db, tmp_path, bill_of(HISTORY))
    apply_config(db, (UserRule(user="team of {who}", principal_arn="*:user/{who}"),), {})
    assert reasons(db) == {}


ON_MANTLE = SONNET._replace(model_id="anthropic.claude-sonnet-4-5")
PLACE = "month, day, payer_account_id, account_id, region, model_id, user_name"
SUMS = {
    "bill_differences": "sum(difference_picodollars)",
    "int_bill_cells": "sum(difference)",
}


def any_bill(random_: random.Random) -> tuple[list[Used], list[Line]]:
    """Return a history, and a bill that has as much to do with it as it likes."""
    used = [
        Used(
            random_.choice(DAYS),
            random_.choice(["alice", "bob", "carol"]),
            model := random_.choice([NOVA, HAIKU, SONNET, ON_MANTLE]),
            {kind: random_.randrange(1, 5_000_000) for kind in ("input", "output", *model.names)},
        )
        for _ in range(random_.randrange(1, 25))
    ]
    bill = [line for line in bill_of(used) if random_.random() < 0.9]
    for number, line in enumerate(bill):
        if random_.random() < 0.5:
            continue
        usage_type = line.usage_type
        if "NovaPro" in usage_type:
            usage_type += random_.choice(["", "-flex", "-priority", "-batch", "-unheard-of"])
        bill[number] = line._replace(
            usage_type=usage_type,
            day=random_.choice([line.day] * 9 + ["2026-09-30"]),
            cost=line.cost * Decimal(random_.randrange(-2_000, 10_000)) / 3_000 + Decimal("1e-11"),
            quantity=line.quantity * Decimal(random_.randrange(0, 2_000)) / 1_000,
            principal=random_.choice([line.principal, principal("dave"), "", None]),
            account=random_.choice([ACCOUNT, ACCOUNT, OTHER_ACCOUNT]),
            payer=random_.choice([PAYER, PAYER, "888877776666"]),
            kind=random_.choice(["Usage"] * 8 + ["Tax", "Credit", "EdpDiscount", "Fee", "Odd"]),
        )
    return used, bill


def any_estimates(random_: random.Random, folder: Path, first: int) -> list[Path]:
    """Write calls without tokens, and what CloudWatch counted of them and others."""
    calls = [
        call(first + number, user=user, eventTime=f"{random_.choice(DAYS)}T10:15:00Z")
        for number, user in enumerate(random_.choices(["alice", "bob", "erin"], k=5))
    ]
    totals = [
        (HAIKU.model_id, kind, random_.randrange(20_000_000), f"{day}T10:00:00Z", 3600)
        for day in DAYS
        for kind in ("InputTokenCount", "OutputTokenCount")
    ]
    return [write_log(folder / "log.json", calls), write_metrics(folder / "t.csv", totals)]


def test_the_reasons_add_up_whatever_the_bill_and_the_calls_are(
    db: Database, tmp_path: Path
) -> None:
    random_ = random.Random(1909)
    for number in range(rounds(3, 60)):
        if random_.random() < 0.5:
            percent = random_.randrange(20)
            apply_discounts(db, [Discount(percent=percent, model="amazon.*")] * bool(percent))
        used, bill = any_bill(random_)
        folder = tmp_path / str(number)
        folder.mkdir()
        # Every other time, nobody has calls.
        is_used = number % 2 == 0
        load(db, log_of(used * is_used, folder, 1_000 * number))
        load(db, *any_estimates(random_, folder, 1_000 * number + 500))
        write_export(folder, bill, form="csv.gz", run=f"run-{number}")
        read_at = LATER if random_.random() < 0.5 else datetime(2026, 10, 31, tzinfo=UTC)
        load(db, folder / "exports", now=read_at)
        # All is compared with what is known now.
        keep_figures_again(db)
        reasons(db)
        by_place = [
            {place: amount for *key, amount in found if amount and (place := tuple(key))}
            for view, total in SUMS.items()
            for found in [rows(db, f"select {PLACE}, {total} from {view} group by {PLACE}")]
        ]
        assert by_place[0] == by_place[1]
        kinds = "select distinct typeof(difference_picodollars) from bill_differences"
        assert rows(db, kinds) in ([], [("integer",)])
        months = rows(
            db,
            "select month, payer_account_id, sum(difference_picodollars) from bill_differences"
            " group by 1, 2",
        )
        found = {
            (month, payer): usd
            for month, payer, usd in rows(
                db, "select month, payer_account_id, difference_usd from bill_reconciliation"
            )
        }
        assert all(found[tuple(key)] == pytest.approx(pico / PICO) for *key, pico in months)
    assert failed_checks(db, CHECKS) == {}


def test_reconcile_says_whether_a_month_agrees_and_why_not(tmp_path: Path) -> None:
    file, log = tmp_path / "w.db", log_of(HISTORY, tmp_path)
    assert run("load", log, "--db", file)[0] == 0
    status, _, err = run("reconcile", "--db", file)
    assert status == 1
    assert "no bill in USD is loaded" in err
    plant, _ = PLANTED["a wrong price"]
    unclear = Line(DAYS[0], "USE1-NovaPro-something-new", Decimal(1), Decimal("2.5"))
    write_export(tmp_path, [*plant(bill_of(HISTORY)), unclear, KIMI], form="csv.gz")
    write_export(
        tmp_path, [usage(NOVA, "input", 1_000, "2026-11-03")], month="2026-11", form="csv.gz"
    )
    assert run("load", tmp_path / "exports", "--db", file)[0] == 0
    status, out, err = run("reconcile", "--month", "2026-10", "--db", file)
    assert (status, err) == (0, "")
    assert "2026-10, payer 999988887777: unexplained" in out
    assert "Billed $71.10, ours $60.80: difference $10.30 (14.5 % of the bill)" in out
    for line in ("missing calls $6.60", "not understood $2.50", "price $1.20", "Difference $10.30"):
        assert line in " ".join(out.split())
    # The other user of the day pays our rate.
    use = "amazon.nova-pro-v1:0, us-east-1, regional, standard, input, 0"
    assert f"More than one rate on a day, not recorded: {use}" in out
    status, out, _ = run("reconcile", "--format", "json", "--db", file)
    found = json.loads(out)
    assert [month["state"] for month in found["months"]] == ["unexplained", "open"]
    assert found["months"][0]["reasons"] == {
        "missing calls": 6.6,
        "not understood": 2.5,
        "price": 1.2,
    }
    assert {row["user_name"] for row in found["users"]} >= {"alice", "bob", "carol"}
    status, out, _ = run("report", "users", "--billed", "--db", file)
    assert "alice 8 0 24.0M 8.00M $30.40 $31.60" in " ".join(out.split())
    assert "$9.10 of it is in none of the rows" in out
    status, out, _ = run("report", "days", "--billed", "--format", "csv", "--db", file)
    assert [line.split(",")[-1] for line in out.splitlines()[:3]] == [
        "billed_cost_usd",
        "25.5",
        "15.2",
    ]
    assert run("report", "gaps", "--billed", "--db", file)[0] == 2
    status, out, err = run("reconcile", "--fail-above", "10.3", "--format", "csv", "--db", file)
    assert (status, err) == (0, "")
    assert out.startswith("month,day,payer_account_id,")
    assert "Not compared" not in out
    in_euro = usage(NOVA, "input", 1_000, DAYS[0], currency="EUR", account=OTHER_ACCOUNT)
    write_export(tmp_path, [in_euro], name="other", form="csv.gz")
    assert run("load", tmp_path / "exports", "--db", file)[0] == 0
    not_compared = f"account {OTHER_ACCOUNT} of payer {PAYER} in 2026-10, as some of it is not"
    assert f"Not compared: {not_compared} billed in USD" in run("reconcile", "--db", file)[1]
    status, _, err = run("reconcile", "--fail-above", "14%", "--db", file)
    assert status == 1
    assert "2026-10, payer 999988887777: the closed days differ by $10.30" in err
    config = tmp_path / "bedrock_usage.toml"
    for text, state in (("percent = 20", "agrees"), ("percent = 0\nusd = 2.6", "explained")):
        config.write_text(f"[reconcile]\n{text}\n")
        assert f": {state}" in run("reconcile", "--config", config, "--db", file)[1]
    status, _, err = run("reconcile", "--month", "2026-09", "--db", file)
    assert (status, err) == (1, "Error: no bill in USD has 2026-09: there is 2026-10 to 2026-11\n")
    assert run("reconcile", "--fail-above", "much", "--db", file)[0] == 2
    assert run("reconcile", "--month", "2026-13", "--db", file)[0] == 2


@pytest.mark.parametrize("has_september", [False, True])
def test_a_refund_of_another_months_day_belongs_to_the_bill_that_has_it(
    db: Database, tmp_path: Path, has_september: bool
) -> None:
    before = [Used("2026-09-15", "alice", NOVA, {"input": 3 * MILLION, "output": MILLION})]
    load(db, log_of([*before, *HISTORY], tmp_path))
    if has_september:
        write_export(tmp_path, bill_of(before), form="csv.gz", month="2026-09")
    refund = Line(
        "2026-09-15",
        "USE1-NovaPro-input-tokens",
        Decimal(1),
        Decimal("-1.5"),
        kind="Refund",
        principal=principal("alice"),
    )
    write_export(tmp_path, [*bill_of(HISTORY), refund], form="csv.gz")
    load(db, tmp_path / "exports", now=LATER)
    # September's usage is compared with nothing where its bill is not there.
    found = rows(db, "select reason, sum(difference_picodollars) from bill_differences group by 1")
    assert found == [("refund", -15 * PICO // 10)]
    months = rows(db, "select month, difference_usd from bill_reconciliation order by 1")
    assert months == [("2026-09", 0.0)] * has_september + [("2026-10", -1.5)]


def test_rates_of_a_bill_that_changed_within_the_month_can_be_recorded(tmp_path: Path) -> None:
    file, log = tmp_path / "w.db", log_of(HISTORY, tmp_path)
    factors = dict(zip(DAYS, ("1.25", "1.25", "1.5", "1.25"), strict=True))
    bill = [
        usage(one.model, kind, tokens, one.day, price_factor=factors[one.day],
              principal=principal(one.user))
        for one in HISTORY
        for kind, tokens in one.tokens.items()
        if one.model is NOVA
    ]  # fmt: skip
    # On one day, two users pay different rates of another model.
    bill += [
        usage(HAIKU, "input", 3 * MILLION, DAYS[0], price_factor=factor, principal=principal(user))
        for user, factor in (("alice", "1.25"), ("bob", "1.5"))
    ]
    # Usage at several prices has another mean rate every day.
    bill += [
        usage(SONNET, "input", MILLION, f"2026-10-{day:02d}", price_factor=f"1.{day:02d}")
        for day in range(1, 6)
    ]
    write_export(tmp_path, bill, form="csv.gz")
    assert run("load", log, tmp_path / "exports", "--db", file)[0] == 0
    out = run("reconcile", "--db", file)[1]
    mixed = "A rate that changes from day to day is of several prices, not recorded:"
    assert f"{mixed} {SONNET.model_id}, us-east-1" in out
    assert f"More than one rate on a day, not recorded: {HAIKU.model_id}, us-east-1" in out
    lines = out.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("model_id,"))
    recorded = [
        line for line in lines[first:] if "," in line and not line.startswith(("More", "A rate"))
    ]
    assert [line.split(",")[6:9] for line in recorded[1:4]] == [
        ["1000000", DAYS[0], DAYS[2]], ["1200000", DAYS[2], DAYS[3]], ["1000000", DAYS[3], ""]
    ]  # fmt: skip
    rates = tmp_path / "rates.csv"
    rates.write_text("\n".join(recorded) + "\n")
    status, _, err = run("prices", "import", rates, "--db", file)
    assert (status, err) == (0, "6 rates imported\n")
