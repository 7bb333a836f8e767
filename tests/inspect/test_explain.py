"""An explanation says what a load does, and where it found it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.inspect.explain import Explanation, explain, load_trial, stored_only
from etl.inspect.find import EVENT, LOGGED_CALL, RawEvent
from etl.load.decoder.content import Keys
from etl.normalise.discounts import Discount
from etl.normalise.rules import ApplicationRule, UserRule
from etl.warehouse.prices import import_prices
from etl.warehouse.scratch import open_trial
from etl.warehouse.write.attribution import apply_config
from etl.warehouse.write.discounts import apply_discounts
from tests.cases import cases
from tests.support import (
    ACCOUNT,
    HAIKU,
    SONNET,
    call,
    load,
    logged,
    role_identity,
    rows,
    service_event,
    uuid_of,
    write_invocation_log,
    write_log,
)

PROFILE_ARN = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc123"
PROJECT_ARN = f"arn:aws:bedrock-mantle:us-east-1:{ACCOUNT}:project/proj_77"
WEB = {"webIdFederationData": {"federatedProvider": "accounts.example.com"}}


def explained(
    warehouse: Database | None, *records: dict[str, Any], keys: Keys | None = None
) -> list[Explanation]:
    keys = keys or Keys()
    events = [
        RawEvent(LOGGED_CALL if "schemaType" in record else EVENT, record, "here")
        for record in records
    ]
    with open_trial(warehouse) as trial:
        load_trial(trial, events, keys)
        return [explain(event, trial, warehouse, keys) for event in events]


def values(result: Explanation) -> dict[str, Any]:
    return {line.field: line.value for line in result.understood}


def hows(result: Explanation) -> dict[str, str]:
    return {line.field: line.how for line in result.understood}


def at(record: Any, path: str) -> Any:
    """Return the value at a path of an event."""
    for name in path.split("."):
        if isinstance(record, list):
            record = {item["key"]: item["value"] for item in record}
        record = record[name]
    return record


RECORDS = {
    "user": call(1, tokens=(1000, 20)),
    "role": call(2, userIdentity=role_identity("Chat-BedrockRole"), tokens=(5, 6)),
    "rule": call(3, userIdentity=role_identity("search-indexer")),
    "sso": call(4, userIdentity=role_identity("AWSReservedSSO_Dev_0123456789abcdef", "alice@x")),
    "web": call(5, userIdentity=role_identity("deploy", "carol", **WEB)),
    "source identity": call(6, userIdentity=role_identity("shared", sourceIdentity="dave")),
    "project": call(
        30, eventSource="bedrock-mantle.amazonaws.com", eventName="CreateInference",
        requestParameters={"model": "openai.gpt-oss-120b"}, resources=[{"ARN": PROJECT_ARN}],
    ),
    "ruled": call(31, userIdentity=role_identity("lab", "vera-agent")),
    "agent": call(7, userAgent="Boto3/1.42.97 Botocore/1.42.97 MobileApp/2.1.0"),
    "app id": call(8, userAgent="aws-sdk-js/3.1 app/WebPortal ua/2.1"),
    "metadata": call(
        9, requestParameters={"modelId": HAIKU, "requestMetadata": {"application": "Tagged"}}
    ),
    "profile": call(10, requestParameters={"modelId": PROFILE_ARN}, tokens=(7, 8)),
    "global": call(
        11,
        requestParameters={"modelId": "global.anthropic.claude-sonnet-4-5-20250929-v1:0"},
        tokens=(100, 200),
    ),
    "usage": call(12, responseElements={"usage": {"inputTokens": "11", "outputTokens": 12}}),
    "old counts": call(13, responseElements={"inputTokenCount": 3, "outputTokenCount": 4}),
    "mixed": call(
        14,
        additionalEventData={"inputTokens": 9},
        responseElements={"usage": {"inputTokens": 1, "outputTokens": 2}},
    ),
    "failed": call(15, errorCode="ThrottlingException"),
    "latency": call(
        16,
        requestParameters={"modelId": HAIKU, "performanceConfig": {"latency": "optimized"}},
        tokens=(1, 1),
    ),
    "unpriced": call(17, requestParameters={"modelId": "acme.model-v1:0"}, tokens=(1, 1)),
    "no model": call(18, requestParameters=None),
    "resource": call(
        19, requestParameters=None,
        resources=[{"ARN": "x"}, {"ARN": f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"}],
    ),
    "own price": call(20, requestParameters={"modelId": SONNET}, tokens=(1_000_000, 0)),
    "service": call(21, userIdentity={"type": "AWSService", "invokedBy": "x.amazonaws.com"}),
    "nobody": call(22, userIdentity=None),
    "logged": logged(23, cache=(5, 6)),
    "logged role": logged(
        24, identity={"arn": "arn:aws:sts::111122223333:assumed-role/Chat-BedrockRole/s"}
    ),
    "alias": call(25, user="bob", tokens=(1, 2)),
}  # fmt: skip


@pytest.fixture
def prepared(db: Database, tmp_path: Path) -> Database:
    """Return a warehouse with rules, aliases, a profile and a rate of its own, and no calls."""
    profile = {
        "inferenceProfileArn": PROFILE_ARN,
        "inferenceProfileId": "abc123",
        "inferenceProfileName": "checkout",
        "type": "APPLICATION",
        "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"}],
        "tags": {"application": "Checkout"},
    }
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    load(db, tmp_path / "profile.json")
    (tmp_path / "own.csv").write_text(
        "model_id,region,scope,service_tier,token_kind,min_input_tokens,usd_per_mtok,"
        "effective_from,effective_to,source,checked_on\n"
        "anthropic.claude-sonnet-4-5-20250929-v1:0,*,regional,standard,input,0,1230000,"
        "2023-01-01,,our contract,2026-11-01\n"
    )
    import_prices(db, tmp_path / "own.csv")
    rules = [
        ApplicationRule(application="Search", role="search-*"),
        UserRule(user="{who}@corp.example", session="{who}-agent"),
    ]
    apply_config(db, rules, {"bob": "Robert"})
    return db


def test_it_says_what_a_load_does(prepared: Database, tmp_path: Path) -> None:
    told = explained(prepared, *RECORDS.values())
    logs = [record for record in RECORDS.values() if "schemaType" in record]
    load(prepared, write_invocation_log(tmp_path / "i.json", logs))
    events = [record for record in RECORDS.values() if record not in logs]
    load(prepared, write_log(tmp_path / "log.json", events))
    calls = {row["event_id"]: row for row in prepared.query("select * from calls")}
    assert {result.event_id for result in told} == {*calls}
    assert len(calls) == len(RECORDS)
    wrong = [
        (name, field, pair)
        for name, result in zip(RECORDS, told, strict=True)
        for field, pair in said_and_stored(result, calls[result.event_id]).items()
        if pair[0] != pair[1]
    ]
    assert wrong == []
    assert [result.not_understood for result in told if result.not_understood] == []
    same = explained(prepared, *RECORDS.values())
    assert {result.warehouse[0].how for result in same} == {"with the same values"}


def said_and_stored(result: Explanation, stored: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what the explanation says and what the warehouse has, by field."""
    said = values(result)
    columns = {
        "time": "event_time", "account": "account_id", "region": "region", "operation": "event_name",
        "user": "raw_user_name", "application": "application", "model": "model_id",
        "scope": "inference_scope", "service tier": "service_tier", "error": "error_code",
        "cost": "cost_usd", "input tokens": "input_tokens", "output tokens": "output_tokens",
        "cache_read tokens": "cache_read_tokens",
    }  # fmt: skip
    rank = hows(result)["application"]
    return {field: (said[field], stored[column]) for field, column in columns.items()} | {
        "shown as": (said.get("shown as", said["user"]), stored["user_name"]),
        "rank": (rank.partition(", rank ")[0], stored["application_source"]),
    }


@pytest.fixture(scope="module")
def explanations() -> dict[str, Explanation]:
    return dict(zip(RECORDS, explained(None, *RECORDS.values()), strict=True))


@cases("name", RECORDS)
def test_a_count_stands_where_it_says(explanations: dict[str, Explanation], name: str) -> None:
    record, result = RECORDS[name], explanations[name]
    for kind in ("input", "output", "cache_read", "cache_write"):
        line = next(line for line in result.understood if line.field == f"{kind} tokens")
        if line.value is None:
            assert line.how.startswith("not found: looked at ")
            for path in line.how.removeprefix("not found: looked at ").split(", "):
                with pytest.raises((KeyError, TypeError)):
                    at(record, path)
        else:
            assert int(at(record, line.how)) == line.value


REASONS = [
    ("user", "user", "userIdentity.userName"),
    ("role", "user", "the role: software made the session name up"),
    ("sso", "user", "the session name: for an Identity Center role it is the person"),
    ("web", "user", "the session name: accounts.example.com is not known as a provider for software"),
    ("source identity", "user", "sourceIdentity, which a session cannot change"),
    ("service", "user", "userIdentity.invokedBy, the service that called"),
    ("nobody", "user", "userIdentity has no name"),
    ("logged", "user", "identity.arn: the end of userIdentity.arn"),
    ("alias", "shown as", "its alias in the configuration"),
    ("rule", "  1. config rule", "rule 1 of 1: role = 'search-*'"),
    ("role", "  2. role name", "the role Chat-BedrockRole"),
    ("logged role", "  2. role name", "the role Chat-BedrockRole"),
    ("profile", "  3. inference profile", "its tag application, else its name"),
    ("metadata", "  5. request metadata", "the key application of requestMetadata"),
    ("project", "  4. mantle project", f"the project {PROJECT_ARN}, its id: nothing names it"),
    ("ruled", "user", "user rule 1 of 1: session = '{who}-agent'"),
    ("ruled", "  otherwise", "the role: the session name is not a person's"),
    ("app id", "  6. user agent", "the SDK's application id, app/NAME"),
    ("agent", "  6. user agent",
     "the last NAME/VERSION that does not belong to an SDK, a runtime, a library or a browser"),
    ("user", "  2. role name", "no role was assumed"),
    ("user", "  4. mantle project", "no project is stated"),
    ("rule", "application", "config rule, rank 1 of 7"),
    ("user", "application", "unknown, rank 7 of 7"),
    ("resource", "model as sent", "resources[1].ARN"),
    ("no model", "model as sent",
     "not found: looked at requestParameters.modelId, .model and resources[].ARN"),
    ("profile", "model", f"the model behind the application inference profile {PROFILE_ARN}"),
    ("latency", "service tier", "requestParameters.performanceConfig.latency"),
    ("failed", "cost",
     "a failed call; CloudWatch's estimates are per hour only"),
]  # fmt: skip


def test_it_says_why(prepared: Database) -> None:
    told = dict(zip(RECORDS, map(hows, explained(prepared, *RECORDS.values())), strict=True))
    assert [one for one in REASONS if told[one[0]].get(one[1]) != one[2]] == []


def test_evidence_after_the_first_hit_is_not_shown(prepared: Database) -> None:
    (result,) = explained(prepared, RECORDS["role"])
    assert [field for field in values(result) if field.startswith("  ")] == [
        "  1. config rule",
        "  2. role name",
    ]


def test_prices_come_with_their_source(prepared: Database) -> None:
    result = explained(prepared, RECORDS["own price"], RECORDS["unpriced"], RECORDS["user"])
    own, unpriced, listed = result
    assert values(own)["price of input"] == 1.23
    assert "your own rate" in hows(own)["price of input"]
    assert "our contract (checked 2026-11-01)" in hows(own)["price of input"]
    assert values(own)["cost"] == 1.23
    assert values(listed)["price of input"] == 0.25
    assert "list price of anthropic.claude-3-haiku" in hows(listed)["price of input"]
    assert values(unpriced)["cost"] is None
    assert (
        "no input and output price in us-east-1, regional, standard: looked for acme.model-v1:0,"
        in hows(unpriced)["cost"]
    )
    cached = {"inputTokens": 1_000_000, "outputTokens": 0, "cacheReadInputTokens": 10}
    fields = {"requestParameters": {"modelId": "cohere.command-r-v1:0"}}
    (some,) = explained(None, call(1, additionalEventData=cached, **fields))
    assert values(some)["cost"] == 0.5
    assert hows(some)["cost"].startswith("USD, a lower bound: no cache_read price in us-east-1")


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (call(1, eventName="ListFoundationModels"), "not one of Bedrock's inference operations"),
        (call(1, eventType="AwsVpceEvents"), "repeats one as a VPC endpoint's network activity"),
        (call(1, eventSource="s3.amazonaws.com"), "an event of another service"),
        (service_event(1, 2, {"nothing": 1}), "but it has none: looked at serviceEventDetails."),
    ],
)
def test_what_is_no_call_says_why(record: dict[str, Any], why: str) -> None:
    (result,) = explained(None, record)
    assert result.understood[0].value == "no"
    assert why in result.understood[0].how


def test_a_service_event_says_whose_tokens_it_tells_and_the_call_shows_them() -> None:
    event = service_event(2, 1, [{"key": "inputTokens", "value": "5"}])
    stream, tokens = explained(None, call(1, eventName="ConverseStream"), event)
    assert values(tokens)["request_id"] == uuid_of(1_000_001)
    path = "serviceEventDetails.AdditionalEventData.additionalEntries.inputTokens"
    assert (values(tokens)["input tokens"], hows(tokens)["input tokens"]) == (5, path)
    assert values(stream)["input tokens"] is None
    assert values(stream)["input tokens, stored"] == 5
    assert hows(stream)["input tokens, stored"] == "from the AwsServiceEvent"


def test_a_copy_and_a_correction_say_so() -> None:
    copy = call(1, recipientAccountId="444455556666")
    correction = call(2, addendum={"originalEventID": uuid_of(3)})
    result = explained(None, copy, correction)
    assert "another account's copy" in result[0].understood[0].how
    assert "a correction" in result[1].understood[0].how
    assert result[1].event_id == uuid_of(3)


def test_what_cannot_be_loaded_says_so() -> None:
    (result,) = explained(None, call(1, eventTime="yesterday"))
    assert result.understood == [
        ("call", "rejected", "eventTime is not a time: see the table rejects")
    ]


def test_unread_fields_are_reported_with_numbers_only() -> None:
    record = call(
        1,
        additionalEventData={
            "inputTokens": 1, "reasoningTokens": 7, "note": "canary", "inferenceRegion": "eu-west-1",
        },
        requestParameters={"modelId": HAIKU, "maxTokens": 5, "inferenceConfig": {"maxTokens": 6}},
        responseElements={"usage": {"totalTokens": "9", "cacheTokensText": "canary"}},
    )  # fmt: skip
    (result,) = explained(None, record)
    assert [(line.field, line.value) for line in result.not_understood] == [
        ("responseElements.usage.totalTokens", "9"),
        ("additionalEventData.reasoningTokens", 7),
        ("additionalEventData.note", None),
    ]


def test_the_field_of_the_account_is_reported() -> None:
    record = call(1)
    (result,) = explained(None, record)
    assert hows(result)["account"] == "recipientAccountId"
    del record["recipientAccountId"]
    (result,) = explained(None, record)
    assert values(result)["account"] == "111122223333"
    assert hows(result)["account"] == "userIdentity: there is no recipientAccountId"


def test_a_call_without_its_event_is_shown_with_its_prices(
    prepared: Database, tmp_path: Path
) -> None:
    load(prepared, write_log(tmp_path / "log.json", [call(1, tokens=(1_000_000, 0))]))
    result = stored_only(uuid_of(1), call(1)["eventTime"], prepared)
    lines = {line.field: line for line in result.warehouse}
    assert lines["price of input"].value == 0.25
    assert "list price of anthropic.claude-3-haiku" in lines["price of input"].how
    assert lines["cost"].value == 0.25


def test_an_unreadable_count_is_reported() -> None:
    (result,) = explained(None, call(1, additionalEventData={"inputTokens": -5}))
    assert "additionalEventData.inputTokens is not a whole number of tokens" in (
        result.not_understood[0].how
    )


def test_differences_in_the_warehouse_are_reported(prepared: Database, tmp_path: Path) -> None:
    load(prepared, write_log(tmp_path / "log.json", [call(1)]))
    load(prepared, write_invocation_log(tmp_path / "i.json", [logged(1, tokens=(10, 5))]))
    (result,) = explained(prepared, call(1))
    assert result.warehouse[0].value == "holds it, reported by CloudTrail, invocation log"
    differing = {line.field: (line.value, line.how) for line in result.warehouse[1:]}
    assert differing["input_tokens"] == (10, "this event alone gives –")
    assert differing["token_source"] == ("invocation log", "this event alone gives none")
    assert set(differing) == {
        *("token_source", "input_tokens", "output_tokens", "cost_usd", "reported_by"),
    }


def test_a_log_s_record_is_one_with_its_event(prepared: Database, tmp_path: Path) -> None:
    load(prepared, write_log(tmp_path / "log.json", [call(1)]))
    load(prepared, write_invocation_log(tmp_path / "i.json", [logged(1, tokens=(10, 5))]))
    event, log = explained(prepared, call(1), logged(1, tokens=(10, 5)))
    assert f"the same call as event {uuid_of(1)};" in log.understood[0].how
    assert values(log)["cost"] == values(event)["cost"] is not None
    for result in (event, log):
        assert result.warehouse[0].value == "holds it, reported by CloudTrail, invocation log"
        assert result.warehouse[0].how == "with the same values"
    (alone,) = explained(prepared, logged(1, tokens=(10, 5)))
    assert "differs" in alone.warehouse[0].how
    other = logged(1, accountId="444455556666")
    assert explained(prepared, other)[0].warehouse[0].how == "does not hold this call"


def test_the_metadata_key_of_the_configuration_counts() -> None:
    record = call(1, requestParameters={"modelId": HAIKU, "requestMetadata": {"team": "Search"}})
    (result,) = explained(None, record, keys=Keys(metadata="team"))
    assert values(result)["application"] == "Search"


def test_a_trial_leaves_the_warehouse_and_the_disk_alone(prepared: Database) -> None:
    before = prepared.conn.total_changes
    with open_trial(prepared) as trial:
        folder = Path(rows(trial, "pragma database_list")[0][2]).parent
        assert folder.exists()
        for table in ("prices", "attribution_rules", "inference_profiles", "models"):
            count = f"select count(*) from {table}"
            assert rows(trial, count) == rows(prepared, count)
    assert not folder.exists()
    assert prepared.conn.total_changes == before


def test_what_is_kept_of_an_operation_that_is_no_call() -> None:
    new, listed = explained(
        None,
        call(1, eventName="DreamModel", eventCategory="Data"),
        call(2, eventName="ListFoundationModels"),
    )
    assert values(new)["kept in"] == "unknown_operations"
    assert "not known yet" in hows(new)["call"]
    assert (values(listed)["kept in"], hows(listed)["operation"]) == ("control_events", "listing")


def test_a_log_says_who_cloudtrail_tells_is_behind_its_session(
    db: Database, tmp_path: Path
) -> None:
    told = call(1, userIdentity=role_identity("lab", "job", sourceIdentity="vera"))
    load(db, write_log(tmp_path / "log.json", [told]))
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/lab/job"
    (result,) = explained(db, logged(2, identity={"arn": arn}))
    assert values(result)["user"] == "vera"
    assert hows(result)["user"] == "CloudTrail shows who is behind this session; its ARN does not"


def test_a_discount_is_said_with_the_list_price(db: Database) -> None:
    discounts = [
        Discount(percent=10, region="eu-*"),
        Discount(percent=12.5, model="anthropic.*", kind=("input",), start=date(2026, 11, 1)),
    ]
    apply_discounts(db, discounts)
    (result,) = explained(db, call(1, tokens=(1_000_000, 1_000_000)))
    assert (values(result)["price of input"], values(result)["price of output"]) == (0.21875, 1.25)
    assert hows(result)["price of input"].startswith(
        "USD per million: list price 0.25 less discount 2 of 2 (12.5 % for model = 'anthropic.*',"
        " kind = 'input', from 2026-11-01), the price of anthropic.claude-3-haiku"
    )
    assert "discount" not in hows(result)["price of output"]
    assert (values(result)["cost"], values(result)["list cost"]) == (1.46875, 1.5)


@pytest.mark.parametrize(
    ("usage", "model", "form", "counted", "why"),
    [
        (
            {"inputTokens": 1000, "cacheReadInputTokens": 600},
            "openai.gpt-5.4",
            ("gross", "invocation log body of models openai.*"),
            400,
            "1,000 reported, less the 600 cached tokens in it",
        ),
        (
            {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 600}},
            "moonshotai.kimi-k3",
            ("gross", "invocation log body (OpenAI) of any model"),
            5,
            "as reported: it should contain the 600 cached tokens, but is less",
        ),
        (
            {"inputTokens": 1000, "cacheReadInputTokens": 600},
            HAIKU,
            ("net", "invocation log body of any model"),
            1000,
            "as reported: it does not contain the cached tokens",
        ),
        (
            None,
            "openai.gpt-5.4",
            ("unknown", "invocation log of models openai.*"),
            1000,
            "as reported: whether the cached tokens are in it is not known",
        ),
    ],
)
def test_what_the_input_contains_and_which_row_says_so(
    usage: dict[str, Any] | None, model: str, form: tuple[str, str], counted: int, why: str
) -> None:
    record = logged(tokens=(1000, 0), cache=(600, 0), modelId=model)
    if usage:
        record = logged(tokens=None, modelId=model, output={"outputBodyJson": {"usage": usage}})
    (result,) = explained(None, record)
    assert values(result)["input form"] == form[0]
    assert hows(result)["input form"].startswith(f"{form[1]}, table input_forms: ")
    assert (values(result)["input counted"], hows(result)["input counted"]) == (counted, why)
    assert "input tokens, stored" not in values(result)
