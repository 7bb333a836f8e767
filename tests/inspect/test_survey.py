"""A survey counts what is there, and what it says to do works when it is done."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterable
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.validate import validate_parameters
from rich.console import Console
from sqlite_utils import Database

from etl.config import Config
from etl.inspect import statistics as surveys
from etl.inspect.find import EVENT, LOGGED_CALL, RawEvent
from etl.inspect.fixes import Section, logging_command, sections
from etl.inspect.show import print_survey
from etl.inspect.statistics import Survey, survey_events, survey_warehouse
from etl.load.decoder.content import Keys
from etl.load.decoder.pool import Workers
from etl.normalise.rules import ApplicationRule, keys_of_tags
from etl.warehouse.prices import import_prices
from etl.warehouse.scratch import open_trial
from etl.warehouse.write.attribution import apply_config
from tests.support import call, load, logged, role_identity, rows, service_event, write_log

TODAY = date(2026, 11, 26)
AGENT = "Boto3/1.42.97 Botocore/1.42.97"
ACME = {"modelId": "acme.model-v1:0"}


def raw(records: Iterable[dict[str, Any]]) -> Iterable[RawEvent]:
    for record in records:
        yield RawEvent(LOGGED_CALL if "schemaType" in record else EVENT, record, "here")


def surveyed(*records: dict[str, Any], like: Database | None = None) -> Survey:
    with open_trial(like) as trial:
        return survey_events(raw(records), trial, Keys())


def section(found: Survey, key: str) -> Section:
    return next(one for one in sections(found, TODAY) if one.key == key)


def has(found: Survey, key: str) -> bool:
    return any(one.key == key for one in sections(found, TODAY))


MIXED = (
    call(1, tokens=(1, 2)),
    call(2, tokens=(1, 2), user="bob"),
    call(3, eventName="Converse", userIdentity=role_identity("worker")),
    call(4, eventName="ConverseStream"),
    call(5, eventName="ConverseStream"),
    service_event(6, 4, {"inputTokens": 5, "outputTokens": 6}, eventName="ConverseStream"),
    call(7, errorCode="ThrottlingException"),
    call(8, eventName="ListFoundationModels"),
    call(9, eventType="AwsVpceEvents"),
    call(10, eventSource="s3.amazonaws.com", eventName="GetObject"),
    call(11, requestParameters=ACME, userAgent="Chatty/1.0"),
    call(12, eventTime="yesterday"),
    call(13, eventName="StartAsyncInvoke"),
    logged(14, operation="Converse"),
)


def test_events_are_counted_by_operation_and_what_they_are() -> None:
    found = surveyed(*MIXED)
    counted = {(o.name, o.what.partition(":")[0]): n for o, n in found.events.items()}
    assert counted == {
        ("InvokeModel", "a call"): 4,
        ("Converse", "a call"): 1,
        ("ConverseStream", "a call"): 2,
        ("StartAsyncInvoke", "a call"): 1,
        ("ConverseStream", "not a separate call"): 1,
        ("ListFoundationModels", "not a call"): 1,
        ("InvokeModel", "not a call"): 1,
        ("InvokeModel", "rejected"): 1,
        ("Converse", "a record of an invocation log"): 1,
    }


def test_calls_and_their_tokens_are_counted() -> None:
    found = surveyed(*MIXED)
    assert (found.total.calls, found.total.failed, found.total.with_tokens) == (8, 1, 3)
    assert section(found, "tokens").rows == (
        ("InvokeModel", 4, 1, 2, "66.7 %"),
        ("Converse", 2, 0, 1, "50.0 %"),
        ("ConverseStream", 2, 0, 0, "0.0 %"),
    )
    fix = section(found, "tokens").fix
    assert "2 calls without tokens in CloudTrail" in fix
    assert "2 streamed calls without tokens" in fix
    assert "(1 here)" in fix


def test_rows_that_are_left_out_are_counted() -> None:
    found = surveyed(*(call(n, user=f"user-{n}") for n in range(13)))
    callers = section(found, "applications")
    assert (len(callers.rows), callers.left_out) == (10, 3)
    printed = StringIO()
    print_survey(found, [callers], Console(file=printed, width=200))
    assert "... and 3 more, with fewer calls each" in printed.getvalue()


def test_paths_are_counted_where_counts_stand() -> None:
    found = surveyed(*MIXED)
    entries = "serviceEventDetails.AdditionalEventData.additionalEntries"
    assert found.paths == {
        ("additionalEventData.inputTokens", "InvokeModel"): 2,
        ("additionalEventData.outputTokens", "InvokeModel"): 2,
        (f"{entries}.inputTokens", "ConverseStream"): 1,
        (f"{entries}.outputTokens", "ConverseStream"): 1,
        ("input.inputTokenCount", "Converse"): 1,
        ("output.outputTokenCount", "Converse"): 1,
    }
    streamed = {row[:3] for row in section(found, "paths").rows if row[2]}
    assert streamed == {
        (f"{entries}.inputTokens", "ConverseStream", "streamed"),
        (f"{entries}.outputTokens", "ConverseStream", "streamed"),
    }


def test_where_all_is_well_nothing_is_to_be_done() -> None:
    found = surveyed(call(1, tokens=(1, 2), userAgent="Chat/1.0"))
    assert [one.key for one in sections(found, TODAY)] == ["events", "tokens", "paths"]
    assert section(found, "tokens").fix == ""


def test_the_survey_of_a_warehouse_says_the_same_of_its_calls(db: Database, tmp_path: Path) -> None:
    events = [one for one in MIXED if "schemaType" not in one]
    load(db, write_log(tmp_path / "log.json", events))
    stored = survey_warehouse(db)
    found = surveyed(*events, like=db)
    assert not stored.has_events
    assert stored.nameless.keys() == found.nameless.keys()
    assert stored.not_people.keys() == found.not_people.keys()
    assert stored.unpriced.keys() == found.unpriced.keys()
    assert stored.total.calls == found.total.calls
    # There the service event's tokens are those of its call.
    assert stored.total.with_tokens == found.total.with_tokens + 1
    assert not has(stored, "events")


def test_callers_without_an_application_are_listed_with_a_rule_that_names_them(
    db: Database, tmp_path: Path
) -> None:
    records = [
        call(1, userIdentity=role_identity("worker"), userAgent=AGENT),
        call(2, userIdentity=role_identity("worker"), userAgent=AGENT),
        call(3, user="alice", userAgent=AGENT),
        call(4, userIdentity=role_identity("AWSReservedSSO_Dev_0123456789abcdef", "carol@x")),
        call(5, userIdentity=role_identity("odd[1]*?"), userAgent=AGENT),
        call(6, userIdentity=role_identity("Named-BedrockRole")),
        call(7, userAgent=f"{AGENT} Chatty/1.0"),
    ]
    found = surveyed(*records)
    shown = section(found, "applications")
    assert [(row[0], row[1], row[3]) for row in shown.rows] == [
        ("worker", "worker", 2),
        ("AWSReservedSSO_Dev_0123456789abcdef", "carol@x", 1),
        ("odd[1]*?", "odd[1]*?", 1),
        (None, "alice", 1),
    ]
    config = pasted(shown.fix, "[[application_rules]]")
    load(db, write_log(tmp_path / "log.json", records))
    apply_config(db, config.application_rules, {})
    assert rows(db, "select count(*) from calls where application = 'Unknown'") == [(0,)]
    named = rows(db, "select distinct application from calls where application like 'odd%'")
    assert named == [("odd[1]*?",)]
    for way in ("AWS_SDK_UA_APP_ID", "user_agent_appid", "-BedrockRole", "tag application"):
        assert way in shown.fix


def pasted(fix: str, start: str) -> Config:
    """Return what is to be pasted of a fix, as the program reads it."""
    lines = [line.removeprefix("    ") for line in fix.splitlines() if line.startswith("    ")]
    assert lines[0] == start
    return msgspec.convert(tomllib.loads("\n".join(lines)), Config)


def test_rules_and_aliases_of_the_warehouse_count(db: Database) -> None:
    record = call(1, userIdentity=role_identity("worker"), userAgent=AGENT)
    assert has(surveyed(record, like=db), "applications")
    assert has(surveyed(record, like=db), "users")
    rule = ApplicationRule(application="Jobs", role="work*", session="i-*")
    apply_config(db, [rule], {"worker": "Worker"})
    assert not has(surveyed(record, like=db), "applications")
    assert not has(surveyed(record, like=db), "users")


def test_rules_see_the_metadata_that_they_name_and_nothing_else_tells_kinds_apart(
    db: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(surveys, "MAX_KINDS", 2)
    said = [{"app": "shop" if n % 2 else "other", "trace": f"t-{n}"} for n in range(10)]
    records = [
        call(n, user="bob", userAgent=AGENT, requestParameters={"requestMetadata": one})
        for n, one in enumerate(said)
    ]
    rules = [ApplicationRule(application="Shop", tag="app=s*")]
    apply_config(db, rules, {})
    keys = Keys(others=keys_of_tags(rules))
    with open_trial(db) as trial:
        found = survey_events(raw(records), trial, keys)
    assert (found.ungrouped, [one.calls for one in found.nameless.values()]) == (0, [5])
    with Workers(keys) as workers:
        load(db, write_log(tmp_path / "log.json", records), workers=workers)
    stored = survey_warehouse(db)
    assert (stored.nameless, stored.total) == (found.nameless, found.total)


def test_text_that_a_caller_wrote_breaks_out_of_no_snippet() -> None:
    evil = 'a"\n[[application_rules]]\napplication = "Evil"\nrole = "*" \x1b[31m'
    found = surveyed(call(1, user=evil))
    config = pasted(section(found, "applications").fix, "[[application_rules]]")
    assert len(config.application_rules) == 1
    assert "\x1b" not in section(found, "applications").fix
    strange = {"modelId": "acme.\x1b[31m", "serviceTier": "x\n\x1b[31m,1"}
    prices = section(surveyed(call(1, requestParameters=strange, awsRegion="us\n")), "prices").fix
    assert all(line.isprintable() for line in prices.splitlines())
    assert [line.count(",") for line in prices.splitlines()[-2:]] == [11, 11]  # one is quoted
    assert len(pasted(section(surveyed(call(1, user="BedrockAPIKey-x\"\n[sync]")), "users").fix,
                      "[user_aliases]").user_aliases) == 1  # fmt: skip


@pytest.mark.parametrize(
    ("identity", "user", "why"),
    [
        (role_identity("worker"), "worker", "a role"),
        ({"type": "AWSService", "invokedBy": "x.amazonaws.com"}, "x.amazonaws.com", "an AWS service"),
        ({"type": "Root", "arn": "arn:aws:iam::111122223333:root"}, "root", "the root user"),
        ({"type": "IAMUser", "userName": "BedrockAPIKey-ab12"}, "BedrockAPIKey-ab12", "an API key"),
        ({"type": "Unknown"}, "(unknown)", "the event names no one"),
    ],
)  # fmt: skip
def test_users_that_are_not_people_are_listed(identity: Any, user: str, why: str) -> None:
    found = surveyed(call(1, userIdentity=identity))
    assert section(found, "users").rows == ((user, why, 1),)
    fix = section(found, "users").fix
    assert pasted(fix, "[user_aliases]").user_aliases == {user: user}


def test_people_are_not_listed() -> None:
    sso = role_identity("AWSReservedSSO_Dev_0123456789abcdef", "carol@x")
    assert not has(surveyed(call(1), call(2, userIdentity=sso)), "users")


def test_models_without_a_price_are_listed_with_a_file_that_prices_them(
    db: Database, tmp_path: Path
) -> None:
    arn = "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/abc"
    records = [
        call(1, requestParameters=ACME, tokens=(1_000_000, 1)),
        call(2, requestParameters={"modelId": arn}),
        call(3),
        call(4, requestParameters={"modelId": "acme.failed"}, errorCode="AccessDenied"),
    ]
    found = surveyed(*records, like=db)
    shown = section(found, "prices")
    assert {row[:3] for row in shown.rows} == {
        ("acme.model-v1:0", "acme.model-v1:0", "us-east-1"),
        ("abc", arn, "us-east-1"),
    }
    assert "sync --source catalogue" in shown.fix
    lines = [line.strip() for line in shown.fix.splitlines() if line.startswith("    ")]
    assert not any("abc" in line for line in lines)
    filled = "\n".join(lines).replace("RATE", "3000000").replace("SOURCE", "our contract")
    (tmp_path / "prices.csv").write_text(filled)
    assert import_prices(db, tmp_path / "prices.csv", force_new=True) == 2
    assert [row[0] for row in section(surveyed(*records, like=db), "prices").rows] == ["abc"]
    load(db, write_log(tmp_path / "log.json", records))
    assert rows(db, "select cost_usd from calls where model_id like 'acme.model%'") == [(3.000003,)]


def test_the_command_switches_every_body_off_and_is_one_that_aws_takes() -> None:
    words = shlex.split(logging_command("us-west-2"))
    assert words[:5] == ["aws", "bedrock", "put-model-invocation-logging-configuration",
                         "--region", "us-west-2"]  # fmt: skip
    config = json.loads(words[words.index("--logging-config") + 1])
    model = botocore.session.get_session().get_service_model("bedrock")
    shape = model.operation_model("PutModelInvocationLoggingConfiguration").input_shape
    validate_parameters({"loggingConfig": config}, shape)
    members = shape.members["loggingConfig"].members
    bodies = {name for name in members if name.endswith("DataDeliveryEnabled")}
    assert bodies
    assert {name: config[name] for name in bodies} == dict.fromkeys(bodies, False)
    assert set(config) <= set(members)


def test_regions_that_are_none_are_not_in_a_command() -> None:
    found = surveyed(call(1, awsRegion="x; rm -rf ~"), call(2, awsRegion="eu-west-1"))
    fix = section(found, "tokens").fix
    assert "rm -rf" not in fix
    assert re.findall(r"--region (\S+)", fix) == ["eu-west-1"]


def test_memory_does_not_grow_with_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "MAX_KINDS", 50)
    many = (call(number, user=f"user-{number}", eventName="Converse") for number in range(300))
    strange = (call(n, eventName=f"Odd{n}", additionalEventData={f"x{n}": 1}) for n in range(300))
    found = surveyed(*many, *strange)
    assert (found.total.calls, found.ungrouped) == (50, 250)
    assert len(found.nameless) == 50
    assert len(found.events) <= 50


def test_sessions_do_not_tell_kinds_apart_unless_a_rule_looks_at_them(
    monkeypatch: pytest.MonkeyPatch, db: Database
) -> None:
    monkeypatch.setattr(surveys, "MAX_KINDS", 2)
    records = [call(n, userIdentity=role_identity("worker", f"job-{n}")) for n in range(10)]
    assert surveyed(*records, like=db).ungrouped == 0
    apply_config(db, [ApplicationRule(application="Jobs", session="job-1")], {})
    found = surveyed(*records, like=db)
    assert (found.ungrouped, sum(one.calls for one in found.nameless.values())) == (8, 1)


def test_a_field_that_nothing_reads_is_counted() -> None:
    found = surveyed(*(call(n, additionalEventData={"reasoningTokens": n}) for n in range(3)))
    assert section(found, "unread").rows == (("additionalEventData.reasoningTokens", 3),)
