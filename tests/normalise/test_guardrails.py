"""What guardrails charge: what a log with traces shows, and what it costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.cli import main
from etl.normalise.cloudtrail import parse_event
from etl.normalise.discounts import Discount
from etl.normalise.guardrails import POLICIES
from etl.normalise.invocation_logs import parse_logged_call
from etl.normalise.rows import Event
from etl.sql_files import sql_text
from etl.warehouse.price_file import COLUMNS
from etl.warehouse.prices import import_prices
from etl.warehouse.read.reports import Filters
from etl.warehouse.upkeep.check import rebuild
from etl.warehouse.upkeep.vacuum import drop_calls, drop_unused_names
from etl.warehouse.write.discounts import apply_discounts
from tests.checks import failed_checks
from tests.support import call, load, logged, rows, write_invocation_log, write_log

ARN = "arn:aws:bedrock:us-east-1:111122223333:guardrail/abc123"
NAMED = {"guardrailConfig": {"guardrailIdentifier": ARN, "guardrailVersion": "1"}}


def assessment(**units: Any) -> dict[str, Any]:
    usage = {"automatedReasoningPolicies": 3, **units}
    found = {"topics": [{"name": "CaNaRy", "type": "DENY", "action": "BLOCKED"}]}
    return {"topicPolicy": found, "invocationMetrics": {"usage": usage}}


def converse(asked: Any, *answered: Any) -> dict[str, Any]:
    outputs = {"outputAssessments": {"abc123": list(answered)}} if answered else {}
    return {"modelOutput": ["CaNaRy"], "inputAssessment": {"abc123": asked}} | outputs


def recorded(number: int, body: Any, request: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a log's record with its bodies."""
    asked = {"inputTokenCount": 100, "inputBodyJson": request or {"text": "CaNaRy"}}
    return logged(number, input=asked, output={"outputBodyJson": body}, **fields)


def use_in(body: Any, request: Any = None) -> Any:
    record = recorded(1, body, request)
    row = parse_logged_call(json.dumps(record).encode()).row
    assert isinstance(row, Event)
    assert "CaNaRy" not in repr(row)
    return None if row.guardrail_use is None else json.loads(row.guardrail_use)


ONE = assessment(topicPolicyUnits=1, contentPolicyUnits=2)
TWO = assessment(contentPolicyUnits=3, contextualGroundingPolicyUnits=1, wordPolicyUnits=0)
BOTH = {"abc123": {"topic": 1, "content": 5, "contextual_grounding": 1}}
INVOKE = {"input": {"abc123": ONE}, "outputs": [{"abc123": TWO}]}


def test_the_trace_says_what_each_policy_processed() -> None:
    for name, body, found in (
        ("Converse", {"trace": {"guardrail": converse(ONE, TWO)}}, BOTH),
        ("its stream", [{"metadata": {"usage": {}, "trace": {"guardrail": converse(ONE, TWO)}}}], BOTH),
        ("InvokeModel", {"amazon-bedrock-trace": {"guardrail": INVOKE}}, BOTH),
        ("its stream, in two chunks", [
            {"amazon-bedrock-trace": {"guardrail": {"input": {"abc123": ONE}}}}, {"type": "x"},
            {"amazon-bedrock-trace": {"guardrail": {"outputs": [{"abc123": TWO}]}}},
        ], BOTH),
        ("the same twice", [{"amazon-bedrock-trace": {"guardrail": INVOKE}}] * 2, BOTH),
        ("its output in parts, which may count up", [
            {"amazon-bedrock-trace": {"guardrail": {"outputs": [{"abc123": part}]}}} for part in (ONE, TWO)
        ], {"abc123": None}),
        ("two guardrails", {"trace": {"guardrail": {"inputAssessment": {"abc123": ONE, ARN + "x": TWO}}}},
         {"abc123": {"topic": 1, "content": 2}, "abc123x": {"content": 3, "contextual_grounding": 1}}),
        ("another guardrail in a later part", [
            {"amazon-bedrock-trace": {"guardrail": {"outputs": [{name: ONE}]}}} for name in ("abc123", "def456")
        ], {"abc123": None, "def456": None}),
        ("no output", {"trace": {"guardrail": {"inputAssessment": {"abc123": ONE}, "outputAssessments": None}}},
         {"abc123": {"topic": 1, "content": 2}}),
        ("nothing charged", {"trace": {"guardrail": converse(assessment())}}, {"abc123": {}}),
        ("an assessment without units", {"trace": {"guardrail": converse(ONE, {})}}, {"abc123": None}),
        ("odd units", {"trace": {"guardrail": converse(assessment(topicPolicyUnits="CaNaRy"))}}, {"": None}),
        ("negative units", {"trace": {"guardrail": converse(assessment(topicPolicyUnits=-1))}}, {"": None}),
        ("an odd id", {"trace": {"guardrail": {"inputAssessment": {"CaNaRy": ONE}}}}, {"": {"topic": 1, "content": 2}}),
        ("another form", {"trace": {"guardrail": {"inputAssessment": "CaNaRy"}}}, {"": None}),
        ("no trace", {"amazon-bedrock-guardrailAction": "NONE"}, {"": None}),
        ("a router's trace", {"trace": {"promptRouter": {"invokedModelId": "x"}}}, None),
        ("a model's own", {"trace": "CaNaRy"}, None),
        ("no guardrail", {"output": {"text": "guardrailConfig"}}, None),
    ):  # fmt: skip
        assert use_in(body) == found, name
    assert use_in({"output": {}}, NAMED) == {"abc123": None}


def test_an_event_names_the_guardrail() -> None:
    def use(**fields: Any) -> Any:
        row = parse_event(call(1, **fields)).row
        assert isinstance(row, Event)
        return row.guardrail_use

    assert use() is None
    assert use(requestParameters={"modelId": "x", "guardrailIdentifier": ARN}) == '{"abc123":null}'
    assert use(requestParameters={"modelId": "x", **NAMED}) == '{"abc123":null}'
    applied = {
        "eventName": "ApplyGuardrail",
        "requestParameters": {"guardrailIdentifier": "abc123"},
    }
    assert use(**applied) == '{"abc123":null}'
    assert use(**applied | {"requestParameters": None}) == '{"":null}'
    answer = {"usage": {"topicPolicyUnits": 2, "wordPolicyUnits": 1}}
    assert use(**applied, responseElements=answer) == '{"abc123":{"topic":2,"word":1}}'


def test_what_they_cost_is_beside_all_other_costs(db: Database, tmp_path: Path) -> None:
    traced = {"trace": {"guardrail": converse(ONE, TWO)}}
    log = [
        recorded(1, traced), recorded(2, traced), logged(3),
        recorded(4, traced, region="eu-west-2"), recorded(5, {}, NAMED),
    ]  # fmt: skip
    trail = [
        call(1),
        call(6, eventName="ApplyGuardrail", requestParameters={"guardrailIdentifier": "xyz"}),
    ]
    # The log's call is replaced by the event's, then seen again.
    load(db, write_invocation_log(tmp_path / "log.jsonl", log))
    load(db, write_log(tmp_path / "trail.json", trail))
    load(db, write_invocation_log(tmp_path / "again.jsonl", log))
    view = "select region, guardrail_id, policy, calls, units, cost_usd, missing from guardrail_usage order by 1, 2, 3"
    # litellm 1.110.2, bedrock/guardrails; AWS Price List for London.
    expected = [
        ("eu-west-2", "abc123", "content", 1, 5, None, "price"),
        ("eu-west-2", "abc123", "contextual_grounding", 1, 1, 0.0001, None),
        ("eu-west-2", "abc123", "topic", 1, 1, None, "price"),
        ("us-east-1", "abc123", None, 1, None, None, "units"),
        ("us-east-1", "abc123", "content", 2, 10, 0.0015, None),
        ("us-east-1", "abc123", "contextual_grounding", 2, 2, 0.0002, None),
        ("us-east-1", "abc123", "topic", 2, 2, 0.0003, None),
        ("us-east-1", "xyz", None, 1, None, None, "units"),
    ]
    assert rows(db, view) == expected
    # No other cost has them: input is $0.25 a million, output $1.25.
    of_calls = rows(db, "select sum(cost_picodollars) from calls")
    assert of_calls == [(4 * 100 * 250_000 + 100 * 250_000 + 10 * 1_250_000,)]
    assert of_calls == rows(db, "select sum(cost_picodollars) from usage_cost_daily")
    told = (
        CliRunner().invoke(main, ["report", "users", "--db", str(tmp_path / "warehouse.db")]).stdout
    )
    assert (
        "21 units of guardrails, ≥ $0.0021 (6 have no price, 2 calls with a guardrail show no units):"
        " not in these costs (view guardrail_usage)." in " ".join(told.split())
    )
    assert failed_checks(db) == {}
    rebuild(db)
    assert rows(db, view) == expected
    drop_calls(db, "2027-01-01T00:00:00Z", dropped_at="2027-01-01T00:00:00Z")
    drop_unused_names(db)
    assert rows(db, "select count(*) from calls") == [(0,)]
    assert rows(db, view) == expected


SELECTED: list[tuple[dict[str, str], str]] = [
    ({}, "true"),
    ({"since": "2026-11-03"}, "day >= '2026-11-03'"),
    ({"until": "2026-11-02"}, "day <= '2026-11-02'"),
    ({"regions": "eu-west-2"}, "region = 'eu-west-2'"),
    ({"models": "other.model"}, "model_id = 'other.model'"),
    ({"users": "ann, bob"}, "user_name in ('ann', 'bob')"),
    ({"applications": "Search"}, "application = 'Search'"),
    ({"teams": "(no team)", "users": "ann"}, "user_name = 'ann'"),
    ({"teams": "Search"}, "false"),
    ({"_visitor_applications": '["Search"]'}, "application = 'Search'"),
    ({"_visitor_teams": "[]"}, "false"),
]


def test_the_page_sums_what_the_view_has_and_reads_no_other_days(
    db: Database, tmp_path: Path
) -> None:
    traced = {"trace": {"guardrail": converse(ONE, TWO)}}
    role = "arn:aws:sts::111122223333:assumed-role/Search-BedrockRole/i-0123456789abcdef0"
    log = [
        recorded(1, traced, user="ann"), recorded(2, traced, user="bob"), recorded(3, {}, NAMED, user="ann"),
        recorded(4, traced, identity={"arn": role}), recorded(5, traced, region="eu-west-2"),
        recorded(6, traced, user="cy", modelId="other.model"),
        recorded(7, traced, user="ann", timestamp="2026-11-04T10:00:00Z"),
    ]  # fmt: skip
    load(db, write_invocation_log(tmp_path / "log.jsonl", log))
    none = dict.fromkeys(Filters().parameters())
    page = sql_text("pages/guardrails")
    found = []
    for chosen, where in SELECTED:
        expected = (
            "select coalesce(sum(units), 0), sum(cost_picodollars) / 1e12,"
            " coalesce(sum(units) filter (where missing = 'price'), 0),"
            " coalesce(sum(calls) filter (where missing = 'units'), 0)"
            f" from guardrail_usage where {where}"
        )
        found.append(db.execute(page, none | chosen).fetchall())
        assert found[-1] == rows(db, expected), chosen
        assert (found[-1][0][0] == 0) is (where == "false")
    assert found.count(found[0]) == 1
    plan = [step for *_, step in db.execute(f"explain query plan {page}", none)]
    assert [step for step in plan if "guardrail_daily" in step] == [
        "SEARCH guardrail_daily USING PRIMARY KEY (day>? AND day<?)"
    ]


RATE = {"model_id": "amazon.bedrock-guardrails", "region": "*", "scope": "regional", "service_tier": "standard",
        "token_kind": "guardrail_topic", "min_input_tokens": "0", "usd_per_mtok": "100000001",
        "effective_from": "2025-01-01", "effective_to": "", "source": "test", "checked_on": "2025-01-01"}  # fmt: skip


@pytest.mark.parametrize(("rate_class", "cost", "list_cost"), [
    ("", 100_000_001 * 2, 150_000_000 * 2), ("list", 87_500_001 * 2, 100_000_001 * 2),
])  # fmt: skip
def test_your_own_rates_and_discounts_apply(
    db: Database, tmp_path: Path, rate_class: str, cost: int, list_cost: int
) -> None:
    body = {"trace": {"guardrail": converse(assessment(topicPolicyUnits=2))}}
    load(db, write_invocation_log(tmp_path / "log.jsonl", [recorded(1, body)]))
    other = Discount(percent=50, kind=("input",))
    apply_discounts(db, [other, Discount(percent=12.5, model=("amazon.bedrock-*",))])
    figures = "select cost_picodollars, list_cost_picodollars from guardrail_usage"
    assert rows(db, figures) == [(131_250_000 * 2, 150_000_000 * 2)]
    row = ",".join([*(RATE[column] for column in COLUMNS), rate_class])
    (tmp_path / "own.csv").write_text(",".join([*COLUMNS, "rate_class"]) + f"\n{row}\n")
    import_prices(db, tmp_path / "own.csv")
    assert rows(db, figures) == [(cost, list_cost)]


@given(
    st.lists(st.dictionaries(st.sampled_from(POLICIES), st.integers(0, 9)), min_size=1, max_size=4)
)
def test_no_unit_is_lost_or_counted_twice(parts: list[dict[Any, int]]) -> None:
    asked, *answered = [assessment(**{p.counted_as: n for p, n in part.items()}) for part in parts]
    for body in (
        {"trace": {"guardrail": converse(asked, *answered)}},
        {"amazon-bedrock-trace": {"guardrail": {"input": {"abc123": asked}, "outputs": [{"abc123": a} for a in answered]}}},
    ):  # fmt: skip
        found = use_in(body)["abc123"]
        for policy in POLICIES:
            assert found.get(policy.name, 0) == sum(part.get(policy, 0) for part in parts)
