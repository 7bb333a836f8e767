"""``bedrock-usage inspect`` as a user meets it: files, the archive, and AWS by an event's id."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.aws import ACCOUNT, FakeAws, Fault
from tests.cases import cases
from tests.cli.recent import SMALL, record
from tests.cli.running import run
from tests.rounds import crossed
from tests.support import call, logged, role_identity, uuid_of, write_invocation_log, write_log
from tests.sync.support import environment

BUCKET = "kept-events"
CANARY = "canary-prompt"


@pytest.fixture
def aws(aws: FakeAws, unpaced: None) -> FakeAws:
    """The same without its rate of requests for events."""
    aws.lookup_rate = None
    return aws


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder, and no way to AWS."""
    monkeypatch.chdir(tmp_path)
    nowhere = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_REGION": "us-east-1",
    }
    with environment(nowhere):
        yield


def inspected(*words: object) -> dict[str, Any]:
    status, out, err = run("inspect", *words, "--format", "json")
    assert status == 0, err
    answer: dict[str, Any] = json.loads(out)
    return answer


def values(event: dict[str, Any]) -> dict[str, Any]:
    return {line["field"]: line["value"] for line in event["understood"]}


ONE = ("--region", "us-east-1")


def test_a_file_needs_neither_aws_nor_a_warehouse(alone: None, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.json", [call(1, tokens=(1000, 10))])
    status, out, err = run("inspect", log)
    assert (status, err) == (0, "")
    for text in (
        f"Event {uuid_of(1)}",
        f"Found in {log}, Records[0]",
        '"eventName": "InvokeModel"',
        "How each field was understood",
        "additionalEventData.inputTokens",
        "there is none",
    ):
        assert text in out
    assert not (tmp_path / "bedrock_usage.db").exists()


def test_an_event_of_aws_is_found_by_its_id(aws: FakeAws) -> None:
    aws.place(region="eu-west-1").deliver(record(1, awsRegion="eu-west-1", tokens=(5, 6)))
    aws.place().deliver(record(2))
    words = ("--region", "us-east-1", "--region", "eu-west-1")
    (event,) = inspected(uuid_of(1), *words)["events"]
    assert event["found_in"] == f"the event history of eu-west-1 (account {ACCOUNT})"
    assert values(event)["input tokens"] == 5
    assert event["event"]["eventID"] == uuid_of(1)


def test_where_the_warehouse_knows_the_call_only_its_place_and_second_are_asked(
    aws: FakeAws, tmp_path: Path
) -> None:
    aws.place(region="eu-west-1").deliver(record(1, awsRegion="eu-west-1"))
    words = ("--region", "us-east-1", "--region", "eu-west-1")
    run("sync", *words, "--since", "2d", "--source", "cloudtrail", "--db", "w.db")
    aws.requests.clear()
    for name in (uuid_of(1), uuid_of(1_000_001)):  # of the event, of its request
        (event,) = inspected(name, *words, "--db", "w.db")["events"]
        assert event["warehouse"][0]["value"] == "holds it, reported by CloudTrail"
        assert event["warehouse"][0]["how"] == "with the same values"
    assert aws.count("LookupEvents", region="us-east-1") == 0
    asked = [one.params for one in aws.requests if one.operation == "LookupEvents"]
    assert len(asked) == 2
    assert all(p["EndTime"] - p["StartTime"] == timedelta(seconds=2) for p in asked)


@pytest.mark.parametrize(
    ("folder", "is_known"), crossed(["kept", f"s3://{BUCKET}/raw"], [True, False])
)
def test_the_archive_comes_first(aws: FakeAws, tmp_path: Path, folder: str, is_known: bool) -> None:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=BUCKET)
    for number in range(3):
        aws.place().deliver(record(number, tokens=(number, 1)))
    Path("bedrock_usage.toml").write_text(f'[sync]\narchive = "{folder}"\n')
    assert run("sync", *SMALL, "--source", "cloudtrail", "--db", "w.db")[0] == 0
    before = aws.count("LookupEvents")
    db = "w.db" if is_known else "none.db"
    (event,) = inspected(uuid_of(2), *ONE, "--db", db)["events"]
    assert "json.gz, Records[" in event["found_in"]
    assert "AWSLogs/" in event["found_in"]
    assert values(event)["input tokens"] == 2
    assert aws.count("LookupEvents") == before


def test_what_the_archive_lacks_is_asked_of_aws(aws: FakeAws, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    aws.place().deliver(record(1))
    for archive in ("kept", "nowhere", "s3://no-such-bucket/x"):
        (event,) = inspected(uuid_of(1), *ONE, "--archive", archive)["events"]
        assert "event history" in event["found_in"]


def test_both_versions_of_an_event_are_shown(alone: None, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for number, one in enumerate((call(1), call(1, tokens=(1, 2)), call(1))):
        write_log(tmp_path / "logs" / f"{number}.json", [one])
    events = inspected(uuid_of(1), "--archive", "logs")["events"]
    assert len(events) == 2


@pytest.mark.parametrize("archive", [(), ("--archive", "kept")])
def test_a_corrected_event_is_found_where_it_stands_itself(
    aws: FakeAws, archive: tuple[str, ...]
) -> None:
    corrected = {"addendum": {"originalEventID": uuid_of(1)}, "tokens": (7, 8)}
    aws.place().deliver(record(1, hours_ago=40))
    aws.place().deliver(record(2, hours_ago=3, **corrected))
    assert run("sync", *SMALL, *archive, "--source", "cloudtrail", "--db", "w.db")[0] == 0
    events = inspected(uuid_of(1), *ONE, *archive, "--db", "w.db")["events"]
    ids = {event["event"]["eventID"] for event in events}
    # CloudTrail's history finds an event by its own id only.
    assert ids == ({uuid_of(1), uuid_of(2)} if archive else {uuid_of(1)})


def test_what_holds_for_many_events_is_told_once(aws: FakeAws) -> None:
    status, _, err = run("inspect", uuid_of(8), uuid_of(9), *ONE)
    assert status == 1
    assert err.count("no archive to look in") == 1
    assert err.count("was not found") == 2


def test_an_event_that_is_nowhere_is_told_with_where_it_was_looked_for(
    aws: FakeAws, tmp_path: Path
) -> None:
    (tmp_path / "kept").mkdir()
    status, out, err = run("inspect", uuid_of(9), *ONE, "--archive", "kept")
    assert (status, out.strip()) == (1, "")
    for said in (
        "not in the archive kept",
        f"not in the event history of us-east-1 (account {ACCOUNT})",
        "was not found (nor is it in the warehouse)",
        "keeps management events for 90 days",
        "bedrock-usage sync --archive",
    ):
        assert said in err


def test_a_call_that_only_the_warehouse_has_is_shown_as_it_holds_it(
    aws: FakeAws, tmp_path: Path
) -> None:
    old = (datetime.now(UTC) - timedelta(days=200)).strftime("%Y-%m-%dT%H:%M:%SZ")
    run("load", write_log(tmp_path / "old.json", [call(1, eventTime=old)]), "--db", "w.db")
    status, out, err = run("inspect", uuid_of(1), *ONE, "--db", "w.db")
    assert status == 1
    assert "alice" in out
    assert "price of" not in out  # no tokens
    assert "too old for the event history" in err
    assert "the warehouse has its call" in err
    assert aws.count("LookupEvents") == 0


def test_a_place_that_may_not_be_asked_is_told_and_the_others_are_asked(aws: FakeAws) -> None:
    aws.place(region="eu-west-1").deliver(record(1, awsRegion="eu-west-1"))
    aws.faults.append(Fault("denied", operation="LookupEvents", region="us-east-1", times=None))
    words = ("--region", "us-east-1", "--region", "eu-west-1")
    assert len(inspected(uuid_of(1), *words)["events"]) == 1
    status, _, err = run("inspect", uuid_of(2), *words)
    assert status == 1
    assert "AccessDenied on cloudtrail:LookupEvents in us-east-1" in err
    assert "not in the event history of eu-west-1" in err


def test_without_credentials_it_says_so_and_shows_what_there_is(
    alone: None, tmp_path: Path
) -> None:
    run("load", write_log(tmp_path / "log.json", [call(1)]), "--db", "w.db")
    status, out, err = run("inspect", uuid_of(1), "--db", "w.db")
    assert status == 1
    assert "alice" in out
    assert "no AWS credentials" in err or "AWS was not asked" in err or "too old" in err


def test_the_newest_of_the_warehouse_and_of_the_event_history(aws: FakeAws) -> None:
    for number in range(5):
        aws.place().deliver(record(number, hours_ago=2 + number))
    run("sync", *SMALL, "--source", "cloudtrail", "--db", "w.db")
    aws.place().deliver(record(9, hours_ago=1))
    ids = [e["event_id"] for e in inspected("--latest", 2, *ONE, "--db", "w.db")["events"]]
    assert ids == [uuid_of(0), uuid_of(1)]
    ids = [e["event_id"] for e in inspected("--latest", 2, *ONE, "--db", "none.db")["events"]]
    assert ids == [uuid_of(9), uuid_of(0)]


def test_of_a_large_file_the_newest_are_shown(alone: None, tmp_path: Path) -> None:
    records = [call(n, eventTime=f"2026-11-02T10:{n:02}:00Z") for n in range(30)]
    records.append(call(99, eventSource="s3.amazonaws.com", eventTime="2026-11-03T10:00:00Z"))
    log = write_log(tmp_path / "log.json", records)
    status, out, err = run("inspect", log)
    assert status == 0
    assert out.count("How each field was understood") == 10
    assert "30 Bedrock events; showing the newest 10" in err
    assert [e["event_id"] for e in inspected(log, "--latest", 1)["events"]] == [uuid_of(29)]


def session(number: int, **parameters: Any) -> dict[str, Any]:
    """Return the event of STS that makes a session's credentials."""
    made = {"credentials": {"accessKeyId": f"ASIA{number}", "sessionToken": CANARY}}
    return call(
        number,
        eventSource="sts.amazonaws.com",
        eventName="AssumeRole",
        eventTime=f"2026-11-02T11:{number:02}:00Z",
        requestParameters={"roleArn": f"arn:aws:iam::{ACCOUNT}:role/app", **parameters},
        responseElements=made,
    )


def test_the_sessions_that_a_load_keeps_are_found_and_explained(
    alone: None, tmp_path: Path
) -> None:
    tags = [{"key": "team", "value": "Search"}, {"key": "secret", "value": CANARY}]
    tagged, other_order = session(1, tags=tags), dict(reversed(session(2, tags=tags).items()))
    chained = session(3) | {
        "userIdentity": {**role_identity("first"), "accessKeyId": "ASIAPARENT"},
        "additionalEventData": {"ExplicitTrustGrant": True},
    }
    identity = {**role_identity("gateway", "job"), "accessKeyId": "ASIA1"}
    records = [call(9, userIdentity=identity), tagged, other_order, chained, session(4)]
    log = write_log(tmp_path / "log.json", records)
    events = inspected(log)["events"]
    assert [event["event_id"] for event in events] == [uuid_of(n) for n in (9, 3, 2, 1)]
    assert values(events[0])["team"] == "Search"
    for event, team in zip(events[1:], ("none", "team=Search", "team=Search"), strict=True):
        found = {line["field"]: (line["value"], line["how"]) for line in event["understood"]}
        assert found["call"][0] == "no"
        assert "it makes the credentials of a session" in found["call"][1]
        assert found["tags"][0] == team
        assert (event["not_understood"], CANARY in json.dumps(event)) == ([], False)
    assert "1 other" in found["tags"][1]
    survey = inspected("--survey", log)
    assert {(row["operation"], row["events"]) for row in survey["events"]["rows"]} == {
        ("InvokeModel", 1),
        ("AssumeRole", 3),
    }


def test_sessions_do_not_crowd_out_the_calls_of_a_file(alone: None, tmp_path: Path) -> None:
    tags = [{"key": "team", "value": "Search"}]
    records = [call(50), *(session(n, tags=tags) for n in range(20))]
    _, _, err = run("inspect", write_log(tmp_path / "log.json", records))
    assert "1 Bedrock event and 20 sessions; showing the newest 10" in err
    events = inspected(tmp_path / "log.json")["events"]
    assert [event["event_id"] for event in events[:2]] == [uuid_of(50), uuid_of(19)]


def test_a_file_without_events_of_bedrock_says_so(alone: None, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.json", [call(1, eventSource="s3.amazonaws.com")])
    for words in ((log,), ("--survey", log), ("--survey", tmp_path / "empty")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        status, out, err = run("inspect", *words)
        assert (status, out) == (1, "")
        assert "no Bedrock events found" in err


def test_a_survey_of_a_warehouse_without_calls_says_so(alone: None, tmp_path: Path) -> None:
    run("load", write_log(tmp_path / "log.json", []), "--db", "w.db")
    status, _, err = run("inspect", "--survey", "--db", "w.db")
    assert (status, "the warehouse has no calls yet: run `bedrock-usage sync`" in err) == (1, True)


def test_json_has_no_word_for_numbers_without_end(alone: None, tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    endless = {"inputTokens": 1, "reasoningTokens": float("inf"), "more": float("nan")}
    log.write_text(json.dumps({"Records": [call(1, additionalEventData=endless)]}))
    status, out, _ = run("inspect", log, "--format", "json")
    assert status == 0
    assert '"reasoningTokens": "(?)"' in out
    assert "NaN" not in out
    assert "Infinity" not in out


def test_a_word_too_long_for_a_file_s_name_is_an_id(aws: FakeAws) -> None:
    status, _, err = run("inspect", "x" * 300, *ONE)
    assert (status, "was not found" in err) == (1, True), err


def test_a_damaged_file_gives_what_there_is_and_status_1(alone: None, tmp_path: Path) -> None:
    data = gzip.compress(json.dumps({"Records": [call(n) for n in range(200)]}).encode())
    (tmp_path / "cut.json.gz").write_bytes(data[: len(data) // 2])
    for words in ((), ("--survey",)):
        status, out, err = run("inspect", tmp_path / "cut.json.gz", *words)
        assert status == 1
        assert "InvokeModel" in out
        assert "truncated" in err


def test_the_configuration_decides_as_it_would_for_a_load(alone: None, tmp_path: Path) -> None:
    Path("bedrock_usage.toml").write_text(
        'application_metadata_key = "team"\n'
        '[[application_rules]]\napplication = "Search"\nrole = "search-*"\n'
        '[user_aliases]\nalice = "Alice"\n'
    )
    records = [
        call(1, userIdentity=role_identity("search-1")),
        call(2, requestParameters={"modelId": "x", "requestMetadata": {"team": "Tagged"}}),
    ]
    run("load", write_log(tmp_path / "log.json", records), "--db", "w.db", "--config",
        write_config(tmp_path, "")
    )  # fmt: skip
    events = {e["event_id"]: e for e in inspected("log.json", "--db", "w.db")["events"]}
    assert values(events[uuid_of(1)])["application"] == "Search"
    assert values(events[uuid_of(2)])["application"] == "Tagged"
    assert values(events[uuid_of(2)])["shown as"] == "Alice"
    # Only what the warehouse was loaded without differs.
    differing = {line["field"] for line in events[uuid_of(1)]["warehouse"]}
    assert "application" in differing


def write_config(folder: Path, text: str) -> Path:
    (folder / "other.toml").write_text(text)
    return folder / "other.toml"


def test_nothing_that_anybody_said_is_in_any_output(alone: None, tmp_path: Path) -> None:
    body = {"messages": [{"role": "user", "content": CANARY}], CANARY: 1}
    one = logged(1, requestMetadata={"note": CANARY}, errorCode="ValidationException",
                 errorMessage=CANARY)  # fmt: skip
    one["input"]["inputBodyJson"] = body
    one["output"]["outputBodyJson"] = [{"chunk": CANARY, "usage": {"input_tokens": CANARY}}]
    write_invocation_log(tmp_path / "calls.json", [one, logged(2) | {"input": CANARY}])
    parameters = {"modelId": "m", "messages": [CANARY], "requestMetadata": {"note": CANARY}}
    events = [
        call(3, requestParameters=parameters, responseElements={"output": CANARY},
             errorMessage=CANARY),
        call(4, additionalEventData={"prompt": CANARY, "newTokens": CANARY}),
        call(5, prompt=CANARY, somethingNew=CANARY, eventTime="yesterday"),
    ]  # fmt: skip
    write_log(tmp_path / "log.json", events)
    (tmp_path / "broken.json").write_text(f'{{"Records": [{{"{CANARY}": ')
    for words in ((), ("--survey",), ("--format", "json"), ("--survey", "--format", "json")):
        _, out, err = run("inspect", "calls.json", "log.json", "broken.json", *words)
        assert uuid_of(3) in out or "InvokeModel" in out
        assert CANARY not in out + err


def test_a_terminal_obeys_nothing_that_a_caller_wrote(alone: None, tmp_path: Path) -> None:
    evil = "x\x1b]0;owned\x07[red]\u202e"
    records = [
        call(1, userAgent=evil, userIdentity=role_identity(evil, evil), eventName="InvokeModel",
             requestParameters={"modelId": evil}, additionalEventData={evil: evil}),
        call(2, user=evil, sourceIPAddress=evil),
    ]  # fmt: skip
    log = write_log(tmp_path / "log.json", records)
    for words in ((), ("--survey",)):
        status, out, err = run("inspect", log, *words)
        assert status == 0, err
        assert not {"\x1b", "\x07", "\u202e"} & set(out + err)
        assert "[red]" in out


def test_a_survey_of_files_of_the_warehouse_and_of_the_newest(aws: FakeAws, tmp_path: Path) -> None:
    for number in range(60):
        aws.place().deliver(record(number, hours_ago=2 + number / 10, tokens=(1, 2)))
    run("sync", *SMALL, "--source", "cloudtrail", "--db", "w.db")
    log = write_log(tmp_path / "log.json", [call(1), call(2, eventName="ConverseStream")])
    status, out, _ = run("inspect", "--survey", "--db", "w.db")
    assert status == 0
    assert "These are the warehouse's calls" in out
    assert (
        json.loads(run("inspect", "--survey", "--format", "json", "--db", "w.db")[1])["calls"] == 60
    )
    newest = inspected("--survey", "--latest", 55, *ONE, "--db", "none.db")
    assert (newest["calls"], newest["calls_with_tokens"]) == (55, 55)
    assert aws.count("LookupEvents") >= 2
    status, out, _ = run("inspect", "--survey", log, log, "--db", "none.db")
    assert status == 0
    assert "put-model-invocation-logging-configuration --region us-east-1" in out
    assert "[[application_rules]]" in out
    lines = [line for line in out.splitlines() if "put-model-invocation" in line]
    assert all(line.rstrip().endswith("'") for line in lines)  # not cut to a terminal's width


@cases(
    ("words", "said"),
    [
        ([], "give an event's id, a file"),
        (["--latest", "500"], "at most 50"),
        (["--latest", "0"], "0 is not in the range"),
        (["nothing.json"], "no such file"),
        (["--survey", "some-id"], "no such file"),
        (["--survey", ".", "--latest", "5"], "leave the files out"),
        (["some-id", "--latest", "5"], "not with an event's id"),
        (["--survey", "--db", "none.db"], "there is no warehouse to survey"),
        ([""], "an empty argument is neither"),
        (["--survey", ""], "an empty argument is neither"),
        (["--survey", "--archive", "."], "inspect --survey ."),
        (["x", "--archive", "https://example.com"], "not a folder"),
    ],
)
def test_wrong_usage_is_told_with_status_2(alone: None, words: list[str], said: str) -> None:
    status, _, err = run("inspect", *words)
    assert (status, said in err) == (2, True), err
