"""What the lines of a bill mean: kinds of charges, tokens by unit and cost, callers by our rules."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.normalise.rows import PrincipalTags
from etl.normalise.rules import ApplicationRule, Rule, TeamRule, UserRule
from etl.normalise.team_shares import TeamShare
from etl.warehouse.database import open_warehouse
from etl.warehouse.upkeep.forget import forget
from etl.warehouse.upkeep.vacuum import drop_unused_names
from etl.warehouse.write.attribution import apply_config
from etl.warehouse.write.batch import Batch, Loader
from etl.warehouse.write.team_shares import apply_team_shares
from tests.bill.exports import (
    ACCOUNT,
    FORMATS,
    HAIKU,
    MODELS,
    NOVA,
    OTHER_ACCOUNT,
    PAYER,
    SONNET,
    Line,
    usage,
    write_export,
)
from tests.support import HAIKU as HAIKU_ID
from tests.support import load, logged, query, rows, write_invocation_log
from tests.team_evidence import PROFILE, profile

DAY = "2026-10-03"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role"


def d(amount: str) -> Decimal:
    return Decimal(amount)


def other(
    kind: str, cost: str, usage_type: str = "USE1-NovaPro-input-tokens", **fields: Any
) -> Line:
    return Line(DAY, usage_type, Decimal(1), d(cost), kind=kind, **fields)


TURBO = "'turbo' in the usage type has no one meaning"

# What a month has beside usage, and the kind of charge that each must be.
CHARGES = {
    "discount": [
        *(other("EdpDiscount", "-1.25"), other("PrivateRateDiscount", "-0.5")),
        other("EdpDiscount", "0.25"),  # one that is taken back
    ],
    "credit": [other("Credit", "-2", description="AWS promotional credit")],
    "refund": [other("Refund", "-0.75")],
    "tax": [other("Tax", "3.21", "")],
    "fee": [other("Fee", "10", "")],
    "capacity": [
        other("Usage", "60.5", "USE1-Nova2.0Lite-ProvisionedThroughput-NoCommit-ModelUnits", unit="hour"),
        other("Usage", "0.1", "USE1-reserved-1-month-input-tokens-per-minute-cross-region-geo",
              code="AmazonBedrockService", unit="1M TPM hour"),
        other("Fee", "7", "USW2-MP:USW2_Reserved_1Month_InputTPM_Geo-Units", region="us-west-2"),
    ],
    "guardrail": [other("Usage", "0.15", "USE1-Guardrail-ContentPolicyUnitsConsumed", unit="1 unit")],
    "other": [
        other("Usage", "0.4", "USE1-Runtime-vCPU-Hours", code="AmazonBedrockAgentCore", unit="vCPU-Hours"),
        other("Usage", "0.3", "USE1-DataAutomation-Custom-ImagesProcessed", unit="image"),
    ],
    "not understood": [
        other("Usage", "0.6", "USE1-NovaPro-something-new"),
        other("Usage", "0.7", "USE1-Unheard-input-tokens", product=(("model", "Unheard"),)),
        other("NewLineType", "0.8"),
        other("Usage", "0.9", "USE1-NovaPro-input-tokens-turbo"),
    ],
}  # fmt: skip


def used_in_all_ways() -> list[Line]:
    """Return usage of every model: by the day, by the hour, without and with a caller."""
    used = []
    for number, principal in enumerate(
        (None, "", f"{SESSION}/chat-BedrockRole/i-0123456789abcdef0")
    ):
        for model in MODELS:
            for kind in model.names:
                used += [
                    usage(model, kind, 1_000_000, DAY, principal=principal, hour=hour)
                    for hour in (None, 3, 23)[: number + 1]
                ]
    return used


def test_each_charge_has_its_kind_and_the_sum_is_the_invoice(db: Database, tmp_path: Path) -> None:
    lines = [*used_in_all_ways(), *(line for some in CHARGES.values() for line in some)]
    write_export(tmp_path, lines, parts=2)
    assert load(db, tmp_path).is_complete
    found = dict(
        rows(db, "select charge_kind, sum(cost_pico) from int_bill_lines group by charge_kind")
    )
    pico = 10**12
    assert found == {
        **{kind: sum(line.cost for line in some) * pico for kind, some in CHARGES.items()},
        "usage": sum(line.cost for line in used_in_all_ways()) * pico,
    }
    assert rows(db, "select sum(billed_cost_usd) from billed_costs_by_user") == [
        (pytest.approx(float(sum(line.cost for line in lines)), abs=1e-9),)
    ]
    assert rows(db, "select lines_not_understood, not_understood_cost_usd from bill_status") == [
        (4, 3.0)
    ]
    reasons = "select usage_type, model_id, reason from bill_lines where reason is not null order by lines, 1"
    assert rows(db, reasons) == [
        ("USE1-NovaPro-input-tokens", None, "this type of line is not known"),
        ("USE1-NovaPro-input-tokens-turbo", NOVA.model_id, TURBO),
        ("USE1-NovaPro-something-new", None, "no rule for this usage type"),
        ("USE1-Unheard-input-tokens", None, "no model is known by this name"),
    ]
    # A discount says of which model it is, and counts no tokens.
    discounts = "select model_id, billed_tokens from billed_usage where charge_kind = 'discount'"
    assert rows(db, discounts) == [(NOVA.model_id, None)]
    assert rows(db, "select count(*) from usage_cost where cost_usd <> 0") == [(0,)]


def test_net_costs_stand_beside_and_are_never_subtracted(db: Database, tmp_path: Path) -> None:
    used = usage(NOVA, "input", 1_000_000, DAY, net_cost=d("0.72"))
    edp = other("EdpDiscount", "-0.08", net_cost=d("0"))
    write_export(tmp_path, [used, edp])
    load(db, tmp_path)
    assert rows(db, "select billed_cost_usd, net_cost_usd from billed_costs_by_model") == [
        (0.72, 0.72)
    ]


def test_a_discount_that_only_the_net_cost_shows_is_a_row(db: Database, tmp_path: Path) -> None:
    used = [
        usage(NOVA, "input", 1_000_000, DAY, net_cost=d("0.72"), hour=hour) for hour in (None, 3)
    ]
    write_export(tmp_path, [*used, other("Tax", "0.1", net_cost=d("0.1"))])
    load(db, tmp_path)
    found = rows(
        db,
        "select charge_kind, billed_tokens, billed_cost_usd, net_cost_usd, lines from billed_usage"
        " order by 1",
    )
    assert found == [
        ("discount", None, -0.16, 0.0, 0),
        ("tax", None, 0.1, 0.1, 1),
        ("usage", 2_000_000, 1.6, 1.44, 2),
    ]
    assert rows(db, "select sum(billed_cost_usd), sum(net_cost_usd) from billed_costs_by_team") == [
        (1.54, 1.54)
    ]


@pytest.mark.parametrize("net_of_line", [d("0"), None])
def test_discounts_of_lines_and_of_net_costs_are_counted_once(
    db: Database, tmp_path: Path, net_of_line: Decimal | None
) -> None:
    """Lines say 0.05 of the first model's 0.08, and nothing of what is deducted from the second."""
    lines = [
        usage(NOVA, "input", 1_000_000, DAY, net_cost=d("0.72")),
        other("EdpDiscount", "-0.05", net_cost=net_of_line),
        usage(SONNET, "input", 1_000_000, DAY, net_cost=d("3.0")),
        other("BundledDiscount", "-0.01", "USE1-Other", net_cost=d("-0.01")),
        other("Tax", "0.1", "", net_cost=d("0.1")),
    ]
    write_export(tmp_path, lines, form="csv.gz")
    load(db, tmp_path)
    found = rows(
        db,
        "select charge_kind, model_id, sum(billed_cost_usd) from billed_usage"
        " where charge_kind <> 'usage' group by 1, 2 order by 1, 3",
    )
    assert found == [
        ("discount", SONNET.model_id, -0.3),
        ("discount", NOVA.model_id, -0.08),
        ("discount", None, -0.01),
        ("tax", None, 0.1),
    ]
    assert rows(db, "select sum(billed_cost_usd), sum(net_cost_usd) from billed_costs_by_team") == [
        (pytest.approx(3.81), pytest.approx(3.81))
    ]


# What FOCUS 1.2 has without an account, CUR 2.0 has under the payer's.
def test_a_tax_without_an_account_is_the_payers(db: Database, tmp_path: Path) -> None:
    used = usage(NOVA, "input", 1_000_000, DAY)
    write_export(tmp_path, [used, other("Tax", "0.1", account=PAYER)], name="cur")
    without = [used, other("Tax", "0.1", account="")]
    write_export(tmp_path, without, style="focus1.2", form="csv.gz", name="focus")
    load(db, tmp_path)
    found = rows(db, "select account_id, charge_kind, billed_cost_usd from billed_usage order by 2")
    assert found == [(PAYER, "tax", 0.1), (ACCOUNT, "usage", 0.8)]


@pytest.mark.parametrize("form", FORMATS)
def test_what_the_marketplace_charges_without_a_name_is_found_by_its_code(
    db: Database, tmp_path: Path, form: str
) -> None:
    sold = {"seller": "AWS Marketplace", "family": "", "description": "Tax of type VAT"}
    used = usage(HAIKU, "input", 1_000_000, DAY)
    lines = [
        other("Tax", "0.05", "", code=HAIKU.code, **sold),
        used,
        other("Credit", "-0.01", "", code=HAIKU.code, **sold),
        other("Tax", "7", "", code="another-product", **sold),
        other("Usage", "8", "USE1-SoftwareUsage", code="another-product", **sold),
    ]
    write_export(tmp_path, lines, form=form, row_group=2)
    load(db, tmp_path)
    found = rows(db, "select charge_kind, billed_cost_usd from billed_usage order by 1")
    assert found == [("credit", -0.01), ("tax", 0.05), ("usage", 0.25)]


UNITS = {
    # As AWS writes it.
    "stated": (NOVA, {}, 1_000_000, "proved"),
    # The classic: thousands that are called millions, and the reverse.
    "thousands called millions": (NOVA, {"unit": "1M tokens"}, 1_000_000, "corrected"),
    "millions called thousands": (SONNET, {"unit": "1K tokens"}, 1_000_000, "corrected"),
    "units without a description": (HAIKU, {"description": ""}, 1_000_000, "cost"),
    # A wrong price is no wrong unit.
    "three times the price": (NOVA, {"price_factor": "3"}, 1_000_000, "proved"),
    "a tenth of the price": (SONNET, {"price_factor": "0.1"}, 1_000_000, "cost"),
    "free of charge": (NOVA, {"price_factor": "0"}, 1_000_000, "stated"),
    "free, and the unit unknown": (SONNET, {"price_factor": "0"}, None, None),
    "a cost that fits no unit": (SONNET, {"price_factor": "0.000000001"}, None, None),
}


@pytest.mark.parametrize("name", UNITS)
def test_the_cost_proves_the_unit(db: Database, tmp_path: Path, name: str) -> None:
    model, fields, tokens, evidence = UNITS[name]
    write_export(tmp_path, [usage(model, "input", 1_000_000, DAY, **fields)], form="csv.gz")
    load(db, tmp_path)
    found = rows(db, "select amount, unit_evidence, charge_kind from bill_lines")
    assert found == [(tokens, evidence, "usage" if tokens else "not understood")]


def test_a_cost_in_another_currency_proves_no_unit(db: Database, tmp_path: Path) -> None:
    factors = {"USD": "1", "INR": "84", "JPY": "150", "CNY": "7.2", "EUR": "0.03"}
    write_export(
        tmp_path,
        [
            usage(model, "input", 4_000_000, DAY, price_factor=factor, currency=currency)
            for currency, factor in factors.items()
            for model in (NOVA, SONNET)
        ],
    )
    assert load(db, tmp_path).is_complete
    found = rows(db, "select currency, amount, unit_evidence from bill_lines order by line_key")
    named = {currency: [row[1:] for row in found if row[0] == currency] for currency in factors}
    # Sonnet's unit is "Units", which states none.
    assert named.pop("USD") == [(4_000_000, "proved"), (4_000_000, "cost")]
    assert {*map(tuple, named.values())} == {((4_000_000, "stated"), (None, None))}


def test_scopes_tiers_and_the_mantle_endpoint_are_told_apart(db: Database, tmp_path: Path) -> None:
    def line(usage_type: str, unit: str, **fields: Any) -> Line:
        return Line(DAY, usage_type, Decimal(1), Decimal(1), unit, region="us-west-2", **fields)

    sonnet = {"code": SONNET.code, "product": SONNET.product}
    write_export(
        tmp_path,
        [
            line("USW2-NovaPro-input-tokens-priority", "1K tokens"),
            line("USW2-Nova2.0Lite-input-tokens-flex-cross-region-global", "1K tokens"),
            line("USW2-MP:USW2_OutputTokenCount_Global_Batch-Units", "1M tokens", **sonnet),
            line("USW2-MP:USW2_CacheWriteInputTokenCount_Global-Units", "1M tokens", **sonnet),
            line("USW2-moonshotai.kimi-k3-mantle-input-tokens-global-flex", "1K tokens"),
        ],
    )
    load(db, tmp_path)
    found = rows(
        db,
        "select model_id, token_kind, inference_scope, service_tier from bill_lines order by 1, 2",
    )
    assert found == [
        ("amazon.nova-2-lite-v1:0", "input", "global", "flex"),
        ("amazon.nova-pro-v1:0", "input", "regional", "priority"),
        (SONNET.model_id, "cache_write_5m", "global", "standard"),
        (SONNET.model_id, "output", "global", "batch"),
        ("moonshotai.kimi-k3", "input", "global", "flex"),
    ]


PRINCIPALS = (
    f"arn:aws:iam::{ACCOUNT}:user/alice",
    f"arn:aws:iam::{ACCOUNT}:user/BedrockAPIKey-ab12",
    f"arn:aws:iam::{ACCOUNT}:root",
    f"{SESSION}/chat-BedrockRole/i-0123456789abcdef0",
    f"{SESSION}/AWSReservedSSO_Developer_0123456789abcdef/bob",
    f"{SESSION}/federated/carol@example.com",
    f"{SESSION}/gateway/eks-search-0f1e2d3c",
    f"{SESSION}/agents/BedrockAgentCore-0f1e2d3c-4b5a-4678-9abc-def012345678",
)
RULES: tuple[Rule, ...] = (
    UserRule(user="agent of {who}", role="{who}s", session="BedrockAgentCore-*"),
    ApplicationRule(application="Search", session="eks-search-*"),
    ApplicationRule(application="By user", user="bob"),
    TeamRule(team="Red", application="Search"),
    TeamRule(team="Blue", principal_arn="*:user/*"),
    TeamRule(team="Account", account_id=ACCOUNT, role="federated"),
)


def named(db: Database, view: str) -> set[tuple[Any, ...]]:
    return set(rows(db, f"select user_name, application, team from {view}"))


@pytest.mark.parametrize("are_rules_first", [True, False])
def test_a_line_is_charged_to_whom_the_same_callers_calls_are(
    db: Database, tmp_path: Path, are_rules_first: bool
) -> None:
    log = write_invocation_log(
        tmp_path / "log.json",
        [logged(number, identity={"arn": arn}) for number, arn in enumerate(PRINCIPALS, 1)],
    )
    write_export(tmp_path, [usage(NOVA, "input", 1_000, DAY, principal=arn) for arn in PRINCIPALS])
    if are_rules_first:
        apply_config(db, RULES, {"alice": "Alice"})
    load(db, log, tmp_path / "exports")
    before = named(db, "billed_usage")
    assert before == named(db, "calls")
    apply_config(db, RULES, {"alice": "Alice"})
    assert named(db, "billed_usage") == named(db, "calls")
    assert (named(db, "billed_usage") == before) is are_rules_first
    apply_config(db, (), {})
    assert named(db, "billed_usage") == named(db, "calls")


def test_sessions_of_agentcore_are_one_caller_and_no_principal_is_nobody(
    db: Database, tmp_path: Path
) -> None:
    agent = f"{SESSION}/agents/BedrockAgentCore-0f1e2d3c-4b5a-4678-9abc-{{:012x}}"
    principals = [*map(agent.format, range(30)), None, ""]
    lines = [usage(NOVA, "input", 1_000, DAY, principal=principal) for principal in principals]
    write_export(tmp_path, lines)
    load(db, tmp_path)
    assert rows(db, "select count(*) from bill_callers") == [(2,)]
    assert rows(db, "select user_name, billed_tokens, lines from billed_usage order by 1") == [
        ("(unknown)", 2_000, 2), ("agents", 30_000, 30),
    ]  # fmt: skip


def test_tags_are_kept_for_rules(db: Database, tmp_path: Path) -> None:
    tags = (("iamPrincipal/team", "red"), ("resourceTags/user_app", "chat"))
    write_export(
        tmp_path, [usage(NOVA, "input", 1_000, DAY, tags=tags), usage(NOVA, "input", 1, DAY)]
    )
    load(db, tmp_path)
    rules = (
        ApplicationRule(application="Chat", tag="resourceTags/user_app=chat"),
        TeamRule(team="Red", tag="iamPrincipal/team=red"),
    )
    apply_config(db, rules, {})
    assert rows(db, "select application, team, billed_tokens from billed_usage order by 3") == [
        ("Unknown", "(no team)", 1), ("Chat", "Red", 1_000),
    ]  # fmt: skip


def test_tags_of_a_role_that_arrive_later_name_the_team(db: Database, tmp_path: Path) -> None:
    write_export(tmp_path, [usage(NOVA, "input", 1_000, DAY, principal=PRINCIPALS[3])])
    load(db, tmp_path)
    role = f"{SESSION}/chat-BedrockRole"
    Loader(db).write(Batch(renewed={"principal_tags": [PrincipalTags(role, '{"team": "Red"}')]}))
    assert named(db, "billed_usage") == {("chat-BedrockRole", "chat", "Red")}


def test_an_inference_profile_names_application_and_model(db: Database, tmp_path: Path) -> None:
    (tmp_path / "profiles.json").write_text(
        json.dumps({"inferenceProfileSummaries": [profile(team="red", application="Chat")]})
    )
    load(db, tmp_path / "profiles.json")
    line = usage(
        HAIKU, "input", 1_000, DAY, resource=PROFILE, product=(("product_name", "x bedrock"),)
    )
    write_export(tmp_path, [line])
    load(db, tmp_path / "exports")
    found = rows(db, "select model_id, application, team, billed_tokens from billed_usage")
    assert found == [(HAIKU_ID, "Chat", "red", 1_000)]


def test_a_forgotten_person_is_not_in_the_bill_and_stays_forgotten(
    db: Database, tmp_path: Path
) -> None:
    lines = [usage(NOVA, "input", 1_000, DAY, principal=arn) for arn in PRINCIPALS]
    write_export(tmp_path, lines)
    load(db, tmp_path)
    forget(db, ["bob", "carol@example.com"])
    before = named(db, "billed_usage")
    write_export(tmp_path, [*lines, usage(NOVA, "output", 1_000, DAY)], run="run-2")
    load(db, tmp_path)
    assert before < named(db, "billed_usage") | {("(unknown)", "Unknown", "(no team)")}
    texts = str(rows(db, "select * from billed_usage") + rows(db, "select * from sessions"))
    assert "bob" not in texts
    assert "carol" not in texts
    drop_unused_names(db)
    assert before <= named(db, "billed_usage")
    assert not rows(db, "pragma foreign_key_check")


def test_an_account_that_the_bill_lacks_is_nowhere_and_others_stand_by_account(
    db: Database, tmp_path: Path
) -> None:
    lines = [
        usage(NOVA, "input", 1_000, DAY),
        usage(NOVA, "input", 2_000, DAY, account=OTHER_ACCOUNT),
    ]
    write_export(tmp_path, lines)
    load(db, tmp_path)
    found = "select account_id, billed_tokens from billed_usage order by 1"
    assert rows(db, found) == [(ACCOUNT, 1_000), (OTHER_ACCOUNT, 2_000)]
    write_export(tmp_path, lines[:1], run="run-2")
    load(db, tmp_path)
    assert rows(db, found) == [(ACCOUNT, 1_000)]


def test_days_are_open_until_the_export_has_later_ones(db: Database, tmp_path: Path) -> None:
    def open_days(day: str, month: str) -> list[tuple[Any, ...]]:
        write_export(tmp_path, [usage(NOVA, "input", 1, day)], month=month, run=day)
        load(db, tmp_path)
        return rows(db, "select month, last_day, open_days from bill_status order by month")

    assert open_days("2026-10-01", "2026-10") == [("2026-10", "2026-10-01", 31)]
    assert open_days("2026-10-31", "2026-10") == [("2026-10", "2026-10-31", 2)]
    assert open_days("2026-11-03", "2026-11") == [
        ("2026-10", "2026-10-31", 0), ("2026-11", "2026-11-03", 29),
    ]  # fmt: skip


@pytest.mark.parametrize(("written_at", "open_days"), [("2026-11-13", 2), ("2026-11-14", 0)])
def test_a_month_is_final_two_weeks_later_by_when_aws_wrote_it(
    db: Database, tmp_path: Path, written_at: str, open_days: int
) -> None:
    lines = [usage(NOVA, "input", 1, "2026-10-31")]
    write_export(tmp_path, lines, form="csv.gz", written_at=f"{written_at}T03:00:00Z")
    load(db, tmp_path, now=datetime(2026, 12, 24, tzinfo=UTC))
    assert rows(db, "select open_days from bill_status") == [(open_days,)]


# Dies by its own hand once the old month is deleted and the new one written, but not committed.
LOAD = """
import os, signal, sys
from pathlib import Path
from etl.load.run import load_files
from etl.warehouse.database import open_warehouse
from etl.warehouse.write import bills
insert = bills._insert_lines
def dies(*arguments):
    insert(*arguments)
    print("dying", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
bills._insert_lines = dies
with open_warehouse(Path(sys.argv[1])) as db:
    load_files(db, [sys.argv[2]])
"""


def test_killed_while_a_month_is_replaced(empty_warehouse: Path, tmp_path: Path) -> None:
    database, folder = tmp_path / "w.db", tmp_path / "bucket"
    database.write_bytes(empty_warehouse.read_bytes())
    users = [f"arn:aws:iam::{ACCOUNT}:user/u{number}" for number in range(200)]

    def load_month() -> int:
        with open_warehouse(database) as db:
            return load(db, folder, reread=False).written.bills.months

    def sums() -> list[tuple[Any, ...]]:
        return query(database, "select count(*), sum(billed_tokens) from billed_usage")

    for run in (1, 2):
        lines = [usage(NOVA, "input", 1_000 * run, DAY, principal=user) for user in users]
        write_export(folder, lines, form="csv.gz", run=f"run-{run}")
        if run == 1:
            load_month()
    dead = subprocess.run(
        [sys.executable, "-c", LOAD, str(database), str(folder)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (dead.returncode, dead.stdout) == (-signal.SIGKILL, "dying\n")
    assert sums() == [(200, 200_000)]
    assert load_month() == 1
    assert sums() == [(200, 400_000)]


def test_a_shared_application_is_split_among_its_teams(db: Database, tmp_path: Path) -> None:
    of_chat = {"principal": f"{SESSION}/chat-BedrockRole/i-0123456789abcdef0"}
    lines = [
        usage(NOVA, "input", 1_001, DAY, **of_chat),
        other("Credit", "-0.000000000010", **of_chat),
        usage(NOVA, "input", 500, DAY),
    ]
    write_export(tmp_path, lines)
    load(db, tmp_path)
    apply_team_shares(db, [TeamShare(application="chat", shares={"Red": 3, "Blue": 4})])
    found = "select team, billed_tokens, billed_cost_usd from billed_costs_by_team order by 1"
    assert rows(db, found) == [
        ("(no team)", 500, 0.0004), ("Blue", 572, 0.0004576), ("Red", 429, 0.0003432),
    ]  # fmt: skip
    # Nothing is lost, not even of the credit.
    total = "select sum(billed_cost_usd), sum(lines) from billed_costs_by_{}"
    assert rows(db, total.format("team")) == [
        tuple(pytest.approx(value, abs=1e-9) for value in row)
        for row in rows(db, total.format("model"))
    ]


def test_usage_that_is_taken_back_counts_below_zero(db: Database, tmp_path: Path) -> None:
    write_export(
        tmp_path, [usage(SONNET, "input", tokens, DAY) for tokens in (3_000_000, -1_000_000)]
    )
    load(db, tmp_path)
    found = rows(db, "select charge_kind, billed_tokens from billed_usage")
    assert found == [("usage", 2_000_000)]
