"""The bundled demo data: its content, that it can be rebuilt, and how it is moved in time.

The events are read here with ``json`` alone, so that nothing this checks depends on the code that
the data is there to show.
"""

import csv
import gzip
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import pytest

from etl.demo import DATA, NEWEST_EVENT, write_demo_logs
from scripts import build_demo_logs as demo
from tests.cases import cases
from tests.rounds import some

ROOT = Path(__file__).parents[2]
OPERATIONS = (
    "InvokeModel",
    "InvokeModelWithResponseStream",
    "Converse",
    "ConverseStream",
    "CreateInference",
)


def content(path):
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == ".gz" else raw


def contents(folder):
    """Return every file's unpacked content by its path.

    Packed bytes are compared nowhere between machines: another zlib may pack the same otherwise.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): content(path) for path in files}


def events_by_file(folder):
    events = {}
    for name, raw in contents(folder).items():
        if name.endswith(".json.gz"):
            events[name] = json.loads(raw)["Records"]
        elif name.endswith(".jsonl"):
            events[name] = [json.loads(line) for line in raw.splitlines()]
        elif name.endswith(".json"):
            events[name] = [json.loads(e["CloudTrailEvent"]) for e in json.loads(raw)["Events"]]
    return events


def metric_rows(folder):
    with (folder / "cloudwatch_metrics.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


BY_FILE = events_by_file(DATA)
EVENTS = {event["eventID"]: event for events in BY_FILE.values() for event in events}
METRICS = metric_rows(DATA)
CALLS = {call.event_id: call for call in demo.all_calls()}


def is_call(event):
    return event["eventName"] in OPERATIONS and event["eventType"] == "AwsApiCall"


def is_home_copy(event):
    account = event["userIdentity"].get("accountId")
    return account in (None, event["recipientAccountId"])


CALL_EVENTS = [event for event in EVENTS.values() if is_call(event) and is_home_copy(event)]


def special(name):
    return EVENTS[demo.special_event_id(name)]


def identity(event, *path):
    value = event["userIdentity"]
    for key in path:
        value = (value or {}).get(key)
    return value


def role(event):
    return identity(event, "sessionContext", "sessionIssuer", "userName") or ""


def model(event):
    return (event.get("requestParameters") or {}).get("modelId", "")


def additional(event):
    return event.get("additionalEventData") or {}


def response(event):
    return event.get("responseElements") or {}


def details(event):
    data = event.get("serviceEventDetails") or {}
    return data.get("AdditionalEventData", {}).get("additionalEntries")


def has_tokens(event):
    return "inputTokens" in additional(event) or bool(response(event))


def input_tokens(event):
    return int(additional(event).get("inputTokens", 0))


# Rebuilding


def test_the_script_rebuilds_the_committed_files(tmp_path):
    environment = os.environ | {"PYTHONHASHSEED": "4711", "TZ": "Asia/Tokyo"}
    command = [sys.executable, "-m", "scripts.build_demo_logs", str(tmp_path / "data")]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert contents(tmp_path / "data") == contents(DATA)


def test_two_builds_are_equal_to_the_byte(tmp_path):
    demo.build(tmp_path / "one")
    demo.build(tmp_path / "two")
    for one in (path for path in (tmp_path / "one").rglob("*") if path.is_file()):
        assert (
            one.read_bytes() == (tmp_path / "two" / one.relative_to(tmp_path / "one")).read_bytes()
        )


def test_packed_files_hold_no_time_and_no_name():
    headers = {path.read_bytes()[3:8] for path in DATA.rglob("*.gz")}
    assert headers == {b"\0\0\0\0\0"}


def test_the_data_is_small():
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 450_000


# Its content


def test_every_call_of_the_generator_is_there_and_no_other():
    assert {event["eventID"] for event in CALL_EVENTS} == set(CALLS)
    assert 3_400 <= len(CALLS) <= 3_700


def test_every_event_has_the_newest_version_and_an_account_to_belong_to():
    assert {event["eventVersion"] for event in EVENTS.values()} == {"1.11"}
    assert {event["recipientAccountId"] for event in EVENTS.values()} == {demo.MAIN, demo.SECOND}
    assert {event["awsRegion"] for event in EVENTS.values()} == {"us-east-1", "us-west-2"}


def test_it_covers_three_weeks_that_end_with_the_newest_event():
    times = [datetime.fromisoformat(event["eventTime"]) for event in EVENTS.values()]
    assert max(times) == NEWEST_EVENT
    assert {time.date() for time in times} == set(demo.DAYS)
    assert demo.DAYS[0] == date(2026, 11, 1)
    assert demo.DAYS[-1] == date(2026, 11, 21)


def test_no_metric_and_no_file_is_newer_than_the_newest_event():
    assert max(row["period_start"] for row in METRICS) <= f"{NEWEST_EVENT:%Y-%m-%dT%H:%M:%SZ}"
    stamps = [match[1] for name in BY_FILE if (match := re.search(r"_(\d{8}T\d{4})Z_", name))]
    assert max(stamps) <= f"{NEWEST_EVENT:%Y%m%dT%H%M}"


def test_trail_files_have_the_layout_of_a_trail():
    layout = re.compile(
        r"AWSLogs/(\d{12})/CloudTrail/([a-z0-9-]+)/(\d{4})/(\d\d)/(\d\d)/"
        r"\1_CloudTrail_\2_\3\4\5T\d{4}Z_[A-Za-z0-9]{16}\.json\.gz"
    )
    trail = [name for name in BY_FILE if name.startswith("AWSLogs/")]
    assert len(trail) > 40
    assert [name for name in trail if not layout.fullmatch(name)] == []


SHAPES = {
    # Applications
    "role of CustomerServiceApp": lambda e: role(e) == "CustomerServiceApp-BedrockRole",
    "role of DataAnalysisApp": lambda e: role(e) == "DataAnalysisApp-BedrockRole",
    "role of ChatbotApp": lambda e: role(e) == "ChatbotApp-BedrockRole",
    "role of DocumentProcessorApp": lambda e: role(e) == "DocumentProcessorApp-BedrockRole",
    "bare agent": lambda e: e["userAgent"] == "MobileApp/2.1.0",
    "agent after boto3": lambda e: re.match(r"Boto3/.* WebPortal/1\.5\.3$", e["userAgent"]),
    "another agent after boto3": lambda e: e["userAgent"].endswith(" BackendAPI/3.0.0"),
    "the SDK's app id": lambda e: " app/BackendAPI " in e["userAgent"],
    "stock boto3": lambda e: "@" in role_session(e) and re.search(r"Botocore/\S+$", e["userAgent"]),
    "stock aws-cli": lambda e: e["userAgent"].startswith("aws-cli/2"),
    "stock JavaScript": lambda e: e["userAgent"].startswith("aws-sdk-js/3"),
    "coding assistant": lambda e: e["userAgent"].startswith("claude-cli/"),
    "hostile agent": lambda e: "<script>alert(1)</script>" in e["userAgent"],
    # Callers
    "IAM user": lambda e: identity(e, "userName") == "mobile-app",
    "EC2 role": lambda e: re.fullmatch("i-[0-9a-f]{17}", role_session(e)),
    "ECS role": lambda e: re.fullmatch("[0-9a-f]{32}", role_session(e)),
    "Lambda role": lambda e: ":function:" in str(identity(e, "inScopeOf", "credentialsIssuedTo")),
    "person": lambda e: (
        role(e).startswith("AWSReservedSSO_") and role_session(e) == "alice@example.com"
    ),
    "API key user": lambda e: str(identity(e, "userName")).startswith("BedrockAPIKey-"),
    "bearer token": lambda e: additional(e).get("callWithBearerToken") is True,
    "root": lambda e: identity(e, "type") == "Root",
    "AWS service": lambda e: identity(e, "type") == "AWSService" and identity(e, "invokedBy"),
    "federated user": lambda e: identity(e, "type") == "FederatedUser",
    "second account": lambda e: identity(e, "accountId") == "444455556666",
    # Models
    "Claude 3 Haiku": lambda e: model(e) == "anthropic.claude-3-haiku-20240307-v1:0",
    "us. profile": lambda e: model(e) == "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "global. profile": lambda e: model(e) == "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "foundation-model ARN": lambda e: re.match("arn:.*::foundation-model/anth", model(e)),
    "inference-profile ARN": lambda e: re.match("arn:.*:inference-profile/us.anth", model(e)),
    "Nova Lite": lambda e: model(e) == "amazon.nova-lite-v1:0",
    "Nova Pro": lambda e: model(e) == "us.amazon.nova-pro-v1:0",
    "Titan embeddings": lambda e: model(e) == "amazon.titan-embed-text-v2:0",
    "a model without a price": lambda e: model(e) == "acme.internal-model-v1:0",
    # Operations
    **{name: lambda e, name=name: e["eventName"] == name and has_model(e) for name in OPERATIONS},
    # Tokens
    "numbers": lambda e: isinstance(additional(e).get("inputTokens"), int),
    "numbers as text": lambda e: isinstance(additional(e).get("outputTokens"), str),
    "older usage": lambda e: "outputTokens" in response(e).get("usage", {}),
    "older counts": lambda e: "outputTokenCount" in response(e),
    "no tokens": lambda e: not has_tokens(e) and "errorCode" not in e,
    "long context": lambda e: input_tokens(e) > 200_000,
    "profile's region": lambda e: additional(e).get("inferenceRegion"),
    # Failures
    **{
        code: lambda e, code=code: (
            e.get("errorCode") == code
            and e["errorMessage"]
            and e["responseElements"] is None
            and not has_tokens(e)
        )
        for code in (
            "AccessDeniedException",
            "ThrottlingException",
            "ValidationException",
            "ResourceNotFoundException",
        )
    },
    # Delivery
    "fraction of a second": lambda e: re.search(r"\.\d+Z$", e["eventTime"]),
    "VPC endpoint": lambda e: "vpcEndpointId" in e and "sharedEventID" in e,
}


def role_session(event):
    return str(identity(event, "principalId")).partition(":")[2]


def has_model(event):
    parameters = event["requestParameters"]
    return bool(parameters.get("modelId") or parameters.get("model"))


@cases("shape", SHAPES)
def test_a_call_has_this_shape(shape):
    assert any(SHAPES[shape](event) for event in CALL_EVENTS)


def test_a_fair_part_of_the_calls_has_tokens_and_a_fair_part_has_none():
    parents = {
        event["serviceEventDetails"]["parentRequestId"]
        for event in EVENTS.values()
        if event["eventType"] == "AwsServiceEvent"
    }
    known = [e for e in CALL_EVENTS if has_tokens(e) or e["requestID"] in parents]
    failed = [e for e in CALL_EVENTS if "errorCode" in e]
    assert 0.55 < len(known) / len(CALL_EVENTS) < 0.8
    assert 0.01 < len(failed) / len(CALL_EVENTS) < 0.06
    assert sum(input_tokens(e) > 200_000 for e in CALL_EVENTS) > 10


@pytest.mark.parametrize("kind", [dict, list])
def test_a_streams_tokens_stand_in_a_service_event_of_either_form(kind):
    services = [e for e in EVENTS.values() if isinstance(details(e), kind)]
    requests = {event["requestID"]: event for event in CALL_EVENTS}
    assert len(services) > 5
    for service in services:
        call = requests[service["serviceEventDetails"]["parentRequestId"]]
        entries = details(service)
        if kind is list:
            entries = {entry["key"]: entry["value"] for entry in entries}
        assert service["eventType"] == "AwsServiceEvent"
        assert service["requestParameters"] is None
        assert service["resources"][0]["ARN"].endswith("-v1:0")
        assert service["eventName"] == call["eventName"]
        assert not has_tokens(call)
        assert int(entries["inputTokens"]) == CALLS[call["eventID"]].input_tokens
        assert service["eventTime"] > call["eventTime"]


def test_a_service_event_stands_in_an_earlier_file_than_its_call():
    def file_of(name):
        return min(f for f, events in BY_FILE.items() if special(name) in events)

    call, service = special("service-event-first"), special("service-event-first/service")
    assert service["serviceEventDetails"]["parentRequestId"] == call["requestID"]
    assert file_of("service-event-first/service") < file_of("service-event-first")


@cases("name", [*demo.SPECIAL_CALLS, *demo.SPECIAL_EVENTS])
def test_every_special_event_is_there(name):
    assert special(name)["eventName"] in OPERATIONS


def test_the_long_context_call_is_far_beyond_the_threshold():
    assert input_tokens(special("long-context")) == 412_350


def test_a_part_of_a_file_was_delivered_twice():
    files = Counter(e["eventID"] for events in BY_FILE.values() for e in events)
    twice = [event_id for event_id, number in files.items() if number == 2]
    assert len(twice) == demo.REDELIVERED[2] + 1  # and one that Event history and the trail share
    assert demo.special_event_id("history-and-trail") in twice
    for event_id in twice:
        copies = [e for events in BY_FILE.values() for e in events if e["eventID"] == event_id]
        assert copies[0] == copies[1]


def test_one_call_was_delivered_to_two_accounts():
    home, copy = special("copied-call"), special("copied-call/copy")
    assert home["sharedEventID"] == copy["sharedEventID"]
    assert home["eventID"] != copy["eventID"]
    assert home["recipientAccountId"] == home["userIdentity"]["accountId"]
    assert copy["recipientAccountId"] != copy["userIdentity"]["accountId"]


def test_a_shared_id_alone_is_no_second_delivery():
    shared = Counter(e["sharedEventID"] for e in CALL_EVENTS if "sharedEventID" in e)
    assert len(shared) > 50
    assert set(shared.values()) == {1}


def test_a_network_activity_event_repeats_a_call():
    call, activity = special("vpc-endpoint"), special("vpc-endpoint/network-activity")
    assert activity["eventType"] == "AwsVpceEvents"
    assert activity["eventCategory"] == "NetworkActivity"
    assert activity["requestID"] == call["requestID"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("bedrock.amazonaws.com", "ListFoundationModels"),
        ("bedrock.amazonaws.com", "GetInferenceProfile"),
        ("s3.amazonaws.com", "ListBuckets"),
        ("sts.amazonaws.com", "GetCallerIdentity"),
    ],
)
def test_events_that_are_no_calls_stand_among_the_calls(source, name):
    assert any(e["eventSource"] == source and e["eventName"] == name for e in EVENTS.values())


def test_mantle_calls_are_data_events_of_their_own_source():
    mantle = [e for e in CALL_EVENTS if e["eventSource"] == "bedrock-mantle.amazonaws.com"]
    assert len(mantle) > 5
    for event in mantle:
        assert event["eventCategory"] == "Data"
        assert event["requestParameters"]["model"] == "anthropic.claude-opus-4-7"
        assert event["resources"][0]["type"] == "AWS::BedrockMantle::Project"


def test_event_history_pages_hold_the_newest_event_first():
    page = json.loads((DATA / "lookup-events-us-east-1.json").read_bytes())["Events"]
    assert page[0]["EventId"] == demo.special_event_id("newest")
    times = [entry["EventTime"] for entry in page]
    assert times == sorted(times, reverse=True)
    for entry in page:
        event = json.loads(entry["CloudTrailEvent"])
        assert entry["EventTime"].removesuffix("+00:00") == event["eventTime"].removesuffix("Z")


def test_only_example_names_and_accounts_are_used():
    text = b"".join(contents(DATA).values()).decode()
    assert set(re.findall(r"@([\w.-]+)", text)) == {"example.com"}
    assert set(re.findall(r"(?<![\w-])\d{12}(?![\w-])", text)) == {demo.MAIN, demo.SECOND}
    keys = set(re.findall(r"\bA(?:KIA|SIA|IDA|ROA)[A-Z0-9]{10,}", text))
    assert keys
    assert [key for key in keys if not key.endswith("EXAMPLE")] == []


# How it looks on a chart


def test_office_hours_are_busy_and_weekends_quiet():
    days = Counter(call.time.date() for call in CALLS.values())
    weekend = [number for day, number in days.items() if day.weekday() >= 5]
    working = [number for day, number in days.items() if day.weekday() < 5]
    assert max(weekend) * 3 < min(working)
    assert 9 <= len({call.time.hour for call in CALLS.values()}) <= 12


def test_the_chatbot_grows():
    weeks = Counter(
        (call.time.date() - demo.DAYS[0]).days // 7
        for call in CALLS.values()
        if call.traffic.name == "chatbot"
    )
    assert weeks[0] < weeks[1] < weeks[2]
    assert weeks[2] > 2 * weeks[0]


def test_data_analysis_spikes_on_one_day():
    days = Counter()
    for event in CALL_EVENTS:
        if role(event) == "DataAnalysisApp-BedrockRole" and "sonnet" in model(event):
            days[event["eventTime"][:10]] += input_tokens(event)
    (spike, most), (_, second) = days.most_common(2)
    assert spike == "2026-11-11"
    assert most > 3 * second


# CloudWatch


def test_metrics_are_whole_numbers_above_zero_once_each():
    assert list(METRICS[0]) == [
        "account_id", "region", "model_id", "period_start", "period_seconds", "metric", "value",
    ]  # fmt: skip
    assert all(int(row["value"]) > 0 for row in METRICS)
    keys = [tuple(row.values())[:6] for row in METRICS]
    assert len(keys) == len(set(keys))
    assert {row["metric"] for row in METRICS} == {
        "Invocations", "InputTokenCount", "OutputTokenCount",
        "CacheReadInputTokenCount", "CacheWriteInputTokenCount",
        "Inferences", "TotalInputTokens", "TotalOutputTokens",
    }  # fmt: skip


def hourly_metrics(*names):
    totals = Counter()
    for row in METRICS:
        if row["metric"] in names:
            hour = row["period_start"][:13]
            totals[row["account_id"], row["region"], row["model_id"], hour] += int(row["value"])
    return totals


def hourly_calls():
    hours = defaultdict(list)
    for call in CALLS.values():
        if call.error is None:
            account, region = call.traffic.caller.account, call.traffic.region
            tail = call.traffic.model_id.rpartition("/")[2]
            hours[account, region, tail, f"{call.time:%Y-%m-%dT%H}"].append(call)
    return hours


UNEXPLAINED_HOURS = {(demo.MAIN, *place) for place in demo.UNEXPLAINED}


def test_metrics_are_the_true_tokens_of_all_successful_calls():
    calls, inputs = hourly_calls(), hourly_metrics("InputTokenCount", "TotalInputTokens")
    numbers = hourly_metrics("Invocations", "Inferences")
    assert len(inputs) > 200
    for place, total in inputs.items():
        if place not in UNEXPLAINED_HOURS:
            assert total == sum(call.input_tokens for call in calls[place])
            assert numbers[place] == len(calls[place])


def test_some_metrics_are_explained_by_no_call():
    calls, inputs = hourly_calls(), hourly_metrics("InputTokenCount")
    without_calls = [place for place in UNEXPLAINED_HOURS if place not in calls]
    with_known_calls = [
        place
        for place in UNEXPLAINED_HOURS
        if calls.get(place) and "none" not in {call.form for call in calls[place]}
    ]
    assert (len(without_calls), len(with_known_calls)) == (2, 1)
    for place in UNEXPLAINED_HOURS:
        assert inputs[place] > sum(call.input_tokens for call in calls.get(place, ()))


def test_some_calls_without_tokens_have_no_metrics():
    inputs = hourly_metrics("InputTokenCount", "TotalInputTokens")
    silent = [
        call
        for place, calls in hourly_calls().items()
        for call in calls
        if place not in inputs and call.form == "none"
    ]
    assert len(silent) > 10


def test_most_calls_without_tokens_have_metrics():
    inputs = hourly_metrics("InputTokenCount", "TotalInputTokens")
    covered = [
        call
        for place, calls in hourly_calls().items()
        for call in calls
        if place in inputs and call.form == "none"
    ]
    assert len(covered) > 400


def test_cache_reads_belong_to_one_model_and_some_hours():
    cached = hourly_metrics("CacheReadInputTokenCount")
    assert {place[2] for place in cached} == {demo.GLOBAL_SONNET}
    hours = {place for place in hourly_metrics("Invocations") if place[2] == demo.GLOBAL_SONNET}
    assert 0 < len(cached) < len(hours)


def test_periods_are_hours_or_five_minutes_never_both():
    lengths = defaultdict(set)
    for row in METRICS:
        seconds = int(row["period_seconds"])
        start = datetime.fromisoformat(row["period_start"])
        assert start.timestamp() % seconds == 0
        lengths[row["region"], row["model_id"], row["period_start"][:13]].add(seconds)
    assert all(len(seconds) == 1 for seconds in lengths.values())
    assert {max(seconds) for seconds in lengths.values()} == {300, 3600}


# Moved in time


MOMENTS = [
    datetime(2026, 12, 24, 17, 53, 39, tzinfo=UTC),
    datetime(2026, 12, 24, 17, 53, 40, tzinfo=UTC),
    datetime(2028, 3, 1, 0, 0, 1, tzinfo=UTC),
    datetime(2025, 6, 30, 23, 59, 59, tzinfo=UTC),
    datetime(2031, 7, 9, 4, 30, tzinfo=timezone(timedelta(hours=9))),
]
DATES = re.compile(r"\d{4}-\d\d-\d\d(?=T\d\d)|\d{4}/\d\d/\d\d(?=/)|(?<=_)\d{8}(?=T)")


def all_text(folder):
    return "".join(f"{name}\n{raw.decode()}\n" for name, raw in contents(folder).items())


@cache
def lines_without_dates(folder):
    """Return all lines, sorted: a folder's new name may change its place among the others."""
    return sorted(DATES.sub("", all_text(folder)).splitlines())


def call_times(folder):
    events = (event for events in events_by_file(folder).values() for event in events)
    return [datetime.fromisoformat(event["eventTime"]) for event in events]


@pytest.fixture(scope="module", params=some(MOMENTS, 2), ids=lambda now: f"{now:%Y-%m-%dT%H%M%S}")
def moved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    write_demo_logs(folder, request.param)
    return folder, request.param


def test_the_newest_event_is_at_most_a_day_before_now(moved):
    folder, now = moved
    newest = max(call_times(folder))
    assert newest <= now < newest + timedelta(days=1)
    assert max(row["period_start"] for row in metric_rows(folder)) <= newest.isoformat()


def test_moving_keeps_every_event_and_the_time_between_them(moved):
    folder, _ = moved
    before, after = call_times(DATA), call_times(folder)
    assert len(after) == len(before)
    assert [time - min(after) for time in sorted(after)] == [
        time - min(before) for time in sorted(before)
    ]


def test_moving_changes_nothing_but_dates(moved):
    folder, _ = moved
    assert lines_without_dates(folder) == lines_without_dates(DATA)


def test_moving_leaves_no_bundled_date_behind(moved):
    folder, _ = moved
    text = all_text(folder)
    written = {f"{day:{form}}" for day in demo.DAYS for form in ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d")}
    assert [stamp for stamp in written if stamp in text] == []


def test_a_file_name_agrees_with_its_folder_and_its_events(moved):
    folder, _ = moved
    for name, events in events_by_file(folder).items():
        if name.startswith("AWSLogs/"):
            path_day = "-".join(name.split("/")[4:7])
            assert f"_{path_day.replace('-', '')}T" in name
            assert {event["eventTime"][:10] for event in events} == {path_day}


def test_nothing_moves_at_the_time_of_the_newest_event(tmp_path):
    write_demo_logs(tmp_path, NEWEST_EVENT)
    assert contents(tmp_path) == contents(DATA)


def test_writing_twice_is_writing_once(tmp_path):
    write_demo_logs(tmp_path, MOMENTS[0])
    once = contents(tmp_path)
    write_demo_logs(tmp_path, MOMENTS[0])
    assert contents(tmp_path) == once


def test_a_time_without_a_zone_is_refused(tmp_path):
    with pytest.raises(TypeError):
        write_demo_logs(tmp_path, datetime(2026, 12, 1))  # noqa: DTZ001
