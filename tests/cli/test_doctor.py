"""``bedrock-usage doctor``: each fault is named, with the way to fix it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from rich.console import Console

from etl.config import Bill, Choice, InvocationLogs, Sources, TrailFiles
from etl.doctor.advice import principal, principal_arn
from etl.doctor.entry import examine
from etl.registry import SOURCES
from etl.show.findings import FAILED, NOT_CHECKED, OK, WARNING, Finding, print_findings, to_json
from tests.aws import ACCOUNT, NOW, REGION, FakeAws, FakeClock, Fault
from tests.aws.logs import GROUP
from tests.cases import cases
from tests.cli.running import run
from tests.rounds import some
from tests.support import HAIKU, call, service_event
from tests.sync.support import environment

OTHER = "444455556666"
LOGGING = "bedrock:GetModelInvocationLoggingConfiguration"
PERMISSIONS = [
    "cloudtrail:LookupEvents",
    "cloudwatch:ListMetrics",
    "cloudwatch:GetMetricData",
    "bedrock:ListFoundationModels",
    "bedrock:ListProvisionedModelThroughputs",
    "bedrock:ListInferenceProfiles",
    "bedrock:GetInferenceProfile",
    "bedrock:ListTagsForResource",
    "logs:FilterLogEvents",
    LOGGING,
]
READ = InvocationLogs(uri="s3://logs/bedrock", log_group=GROUP)

# Those on request: tests/sync/test_teams.py.
USUAL = tuple(source.name for source in SOURCES if not source.on_request)


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with FakeAws(FakeClock(NOW)) as fake, environment(fake.environment()):
        yield fake


LOCATED = ("trail", "invocation_logs", "bill")


def visit(aws: FakeAws, *regions: str, **choice: Any) -> list[Finding]:
    located = {name: choice.pop(name) for name in LOCATED if name in choice}
    way = Choice(
        regions or (REGION,), **({"sources": USUAL, "located": Sources(**located)} | choice)
    )
    return examine(way, aws.clock)  # type: ignore[arg-type]


def one(findings: list[Finding], check: str, region: str | None = REGION) -> Finding:
    """Return the one finding of a check in a region, or of the account itself (None)."""
    (found,) = [f for f in findings if f.check == check and f.region == region]
    return found


def deliver(aws: FakeAws, number: int, **fields: Any) -> None:
    when = (NOW - timedelta(hours=1, minutes=number)).isoformat()
    aws.place().deliver(call(number, eventTime=when, **fields))


def make_bucket(*keys: str) -> None:
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket="logs")
    for key in keys:
        client.put_object(Bucket="logs", Key=key, Body=b"x")


def text(findings: list[Finding], width: int = 80) -> str:
    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as capture:
        print_findings(findings, console)
    return capture.get()


@pytest.fixture
def healthy(aws: FakeAws) -> FakeAws:
    deliver(aws, 1, tokens=(10, 5))
    aws.place().metric("AWS/Bedrock", "Invocations", {"ModelId": HAIKU}, {NOW: 1})
    aws.place().application_profile("abc123", "Chat", "arn:m")
    aws.place().logging_config = {"s3Config": {"bucketName": "logs", "keyPrefix": "bedrock"}}
    aws.place().log_group()
    make_bucket("bedrock/AWSLogs/x")
    return aws


def test_where_all_is_well_everything_is_ok(healthy: FakeAws) -> None:
    findings = visit(healthy, invocation_logs=READ)
    assert {finding.status for finding in findings} == {OK}
    assert one(findings, "credentials", None).detail == f"arn:aws:iam::{ACCOUNT}:user/tester"
    assert [f.check for f in findings if f.region == REGION] == [
        "cloudtrail:LookupEvents",
        "tokens in CloudTrail",
        *PERMISSIONS[1:-1],
        "invocation logging",
    ]
    assert all(finding.fix is None for finding in findings)


def test_each_permission_takes_one_request_and_the_events_one_more(healthy: FakeAws) -> None:
    visit(healthy, invocation_logs=READ)
    counts = {action: healthy.count(action.split(":")[1]) for action in PERMISSIONS}
    assert counts == dict.fromkeys(PERMISSIONS, 1) | {"cloudtrail:LookupEvents": 2}
    assert healthy.throttled == 0


def test_sources_that_are_not_wanted_are_not_asked(healthy: FakeAws) -> None:
    findings = visit(healthy, sources=("cloudwatch",))
    assert [finding.check for finding in findings if finding.region] == [
        "cloudwatch:ListMetrics",
        "cloudwatch:GetMetricData",
        "invocation logging",
    ]
    assert healthy.count("LookupEvents") == 0


def test_every_region_of_the_account_is_looked_at(aws: FakeAws) -> None:
    findings = visit(aws, "all", sources=("cloudtrail",))
    regions = one(findings, "ec2:DescribeRegions", None)
    enabled = [name for name, status in aws.accounts.regions.items() if status != "not-opted-in"]
    assert (regions.status, regions.detail) == (OK, f"{len(enabled)} regions with Bedrock")
    assert {finding.region for finding in findings} == {None, *enabled}


@pytest.mark.parametrize("action", some(PERMISSIONS, 3))
def test_a_missing_permission_is_named_with_whom_to_give_it(healthy: FakeAws, action: str) -> None:
    fault = Fault("denied", operation=action.split(":")[1], times=None)
    healthy.faults.append(fault)
    findings = visit(healthy, invocation_logs=READ)
    denied = one(findings, action)
    assert (denied.status, denied.detail) == (FAILED, "denied (AccessDeniedException)")
    assert denied.fix is not None
    assert denied.fix.startswith(
        f"add {action} to the policy of user tester of account {ACCOUNT}: `bedrock-usage policy`"
    )
    assert fault.seen == 1
    assert [f.check for f in findings if f.status == FAILED] == [action]


def test_a_refusal_inside_of_an_answer_counts(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etl.sources.aws import Place

    ask = Place.call

    def refuse(place: Place, service: str, operation: str, *rest: Any, **options: Any) -> Any:
        answer = ask(place, service, operation, *rest, **options)
        for result in answer.get("MetricDataResults", ()):
            result["StatusCode"] = "Forbidden"
        return answer

    monkeypatch.setattr(Place, "call", refuse)
    found = one(visit(aws), "cloudwatch:GetMetricData")
    assert (found.status, found.detail) == (FAILED, "denied (Forbidden)")


def test_without_a_profile_two_permissions_cannot_be_tried(aws: FakeAws) -> None:
    findings = visit(aws)
    for check in ("bedrock:GetInferenceProfile", "bedrock:ListTagsForResource"):
        found = one(findings, check)
        assert (found.status, found.detail) == (NOT_CHECKED, "there is no application profile")


def test_the_list_of_regions_may_be_denied(aws: FakeAws) -> None:
    aws.faults.append(Fault("denied", operation="DescribeRegions", times=None))
    findings = visit(aws, "all")
    denied = one(findings, "ec2:DescribeRegions", None)
    assert denied.status == FAILED
    assert "add ec2:DescribeRegions to the policy of user tester" in str(denied.fix)
    assert {finding.region for finding in findings} == {None}


def test_a_role_that_lets_one_in_is_told_with_who_one_is_there(aws: FakeAws) -> None:
    role = aws.role(OTHER, "Reader")
    aws.faults.append(Fault("denied", operation="ListMetrics", times=None))
    findings = visit(aws, role_arns=(role,))
    entered = one(findings, "sts:AssumeRole", None)
    session = f"arn:aws:sts::{OTHER}:assumed-role/Reader/bedrock-usage"
    assert (entered.status, entered.detail, entered.account_id) == (OK, session, OTHER)
    denied = one(findings, "cloudwatch:ListMetrics")
    assert denied.account_id == OTHER
    assert f"policy of role Reader of account {OTHER}: `bedrock-usage policy --member`" in str(
        denied.fix
    )


def test_a_role_that_lets_nobody_in_says_what_both_sides_need(aws: FakeAws) -> None:
    closed, opened = f"arn:aws:iam::{OTHER}:role/None", aws.role("777788889999", "Reader")
    findings = visit(aws, role_arns=(closed, opened))
    (failed,) = [finding for finding in findings if finding.status == FAILED]
    assert (failed.check, failed.account_id) == ("sts:AssumeRole", OTHER)
    assert failed.fix == (
        f"allow sts:AssumeRole on {closed} in the policy of user tester of account {ACCOUNT}, and"
        f" let the role trust it: `bedrock-usage policy --trust arn:aws:iam::{ACCOUNT}:user/tester`"
        " prints the trust policy"
    )
    assert {f.account_id for f in findings if f.region} == {"777788889999"}


def test_an_organization_is_entered_account_by_account(aws: FakeAws) -> None:
    aws.organization([OTHER, "777788889999"])
    aws.role(OTHER, "Reader")
    findings = visit(aws, organization=True, role_name="Reader")
    assert one(findings, "organizations:ListAccounts", None).detail == "3 accounts"
    assert {f.account_id: f.status for f in findings if f.check == "sts:AssumeRole"} == {
        OTHER: OK,
        "777788889999": FAILED,
    }
    assert {f.account_id for f in findings if f.region} == {ACCOUNT, OTHER}


def test_an_organization_that_may_not_be_listed(aws: FakeAws) -> None:
    aws.organization([OTHER])
    aws.faults.append(Fault("denied", operation="ListAccounts", times=None))
    findings = visit(aws, organization=True, role_name="Reader")
    denied = one(findings, "organizations:ListAccounts", None)
    assert denied.status == FAILED
    assert "add organizations:ListAccounts to the policy of user tester" in str(denied.fix)
    assert {finding.region for finding in findings} == {None}


@pytest.mark.parametrize(
    ("kind", "code", "advice"),
    [
        ("expired-credentials", "ExpiredToken", "sign in again"),
        ("invalid-credentials", "InvalidClientTokenId", "check the credentials"),
    ],
)
def test_credentials_that_do_not_work_end_it(
    aws: FakeAws, kind: str, code: str, advice: str
) -> None:
    aws.faults.append(Fault(kind, times=None))
    findings = visit(aws)
    failed = one(findings, "credentials", None)
    assert (failed.status, failed.detail) == (FAILED, code)
    assert advice in str(failed.fix)
    assert len(aws.requests) == 1
    # The refusal still contains AWS's time.
    assert one(findings, "clock", None).status == OK


def test_no_credentials_at_all_end_it(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (failed,) = visit(aws)
    assert (failed.check, failed.status, failed.detail) == ("credentials", FAILED, "no credentials")
    assert "aws sso login" in str(failed.fix)


def test_a_region_that_is_not_enabled_fails_once(aws: FakeAws) -> None:
    findings = [f for f in visit(aws, "af-south-1", REGION) if f.region == "af-south-1"]
    first, *others = findings
    assert (first.status, first.detail) == (FAILED, "UnrecognizedClientException")
    assert "Enable the region" in str(first.fix)
    assert {finding.status for finding in others} == {NOT_CHECKED}
    assert aws.count(region="af-south-1") == 1


@pytest.mark.parametrize(
    ("seconds", "status", "words"),
    some(
        [
            (0, OK, ""),
            (60, OK, ""),
            (-61, WARNING, "61 s ahead of AWS"),
            (61, WARNING, "61 s behind AWS"),
            (300, WARNING, "300 s behind AWS"),
            (301, FAILED, "301 s behind AWS"),
            (-301, FAILED, "301 s ahead of AWS"),
        ],
        3,
    ),
)
def test_the_clock_is_held_against_aws_s(
    aws: FakeAws, seconds: int, status: str, words: str
) -> None:
    aws.skew = seconds
    clock = one(visit(aws), "clock", None)
    assert (clock.status, clock.detail) == (status, words)
    assert (clock.fix is None) is (status == OK)


def test_a_clock_so_wrong_that_nothing_works_is_still_told(aws: FakeAws) -> None:
    aws.skew = 3600
    aws.faults.append(Fault("invalid-credentials", times=None))
    clock = one(visit(aws), "clock", None)
    assert (clock.status, clock.detail) == (FAILED, "3600 s behind AWS")


def test_an_outage_is_told_after_two_tries_and_its_service_left_alone(aws: FakeAws) -> None:
    aws.faults.append(Fault("503", operation="ListFoundationModels", times=None))
    findings = visit(aws)
    failed = one(findings, "bedrock:ListFoundationModels")
    assert failed.status == FAILED
    assert failed.detail == "AWS is unavailable (ServiceUnavailable)"
    assert failed.fix == "try again later"
    assert aws.count("ListFoundationModels") == 2
    assert one(findings, LOGGING).status == NOT_CHECKED
    assert one(findings, LOGGING).detail == "bedrock did not answer"
    assert one(findings, "cloudwatch:ListMetrics").status == OK


def test_what_passes_is_tried_again(aws: FakeAws) -> None:
    aws.faults += [Fault("500", operation=action.split(":")[1]) for action in PERMISSIONS]
    assert FAILED not in {finding.status for finding in visit(aws)}


def test_an_outage_of_the_way_in_is_told_after_two_tries(aws: FakeAws) -> None:
    aws.faults.append(Fault("503", operation="GetCallerIdentity", times=None))
    assert one(visit(aws), "credentials", None).status == FAILED
    assert aws.count("GetCallerIdentity") == 2


def test_an_outage_in_another_account_as_well(aws: FakeAws) -> None:
    role = aws.role(OTHER, "Reader")
    aws.faults.append(Fault("503", operation="GetMetricData", times=None))
    findings = visit(aws, role_arns=(role,))
    assert one(findings, "cloudwatch:GetMetricData").status == FAILED
    assert aws.count("GetMetricData", account=OTHER) == 2


def test_a_throttle_is_no_missing_permission(aws: FakeAws) -> None:
    aws.faults.append(Fault("throttle", operation="ListMetrics", times=None))
    findings = visit(aws)
    throttled = one(findings, "cloudwatch:ListMetrics")
    assert (throttled.status, throttled.detail) == (WARNING, "throttled (ThrottlingException)")
    assert one(findings, "cloudwatch:GetMetricData").status == OK


def test_an_answer_that_is_damaged_is_no_permission(aws: FakeAws) -> None:
    aws.faults.append(Fault("truncated", operation="LookupEvents", times=None))
    failed = one(visit(aws), "cloudtrail:LookupEvents")
    assert failed.status == FAILED
    assert "incomplete response" in failed.detail


def tokens(aws: FakeAws, **choice: Any) -> Finding:
    return one(visit(aws, **choice), "tokens in CloudTrail")


def test_calls_with_tokens_are_counted_and_failed_ones_are_not(aws: FakeAws) -> None:
    deliver(aws, 1, tokens=(10, 5))
    deliver(aws, 2)
    deliver(aws, 3, errorCode="AccessDenied")
    deliver(aws, 4, eventName="ListFoundationModels")
    assert tokens(aws)[1:3] == (OK, "1 of the 2 newest calls have them")


def test_tokens_told_apart_from_their_call_count(aws: FakeAws) -> None:
    deliver(aws, 1, eventName="ConverseStream")
    when = (NOW - timedelta(hours=1)).isoformat()
    aws.place().deliver(service_event(2, 1, {"inputTokens": 3}, eventTime=when))
    assert tokens(aws)[1:3] == (OK, "1 of the 1 newest calls have them")


def test_calls_without_tokens_are_a_warning_that_says_what_it_means(aws: FakeAws) -> None:
    deliver(aws, 1)
    found = tokens(aws)
    assert found[1:3] == (WARNING, "0 of the 1 newest calls have them")
    assert str(found.fix).startswith("they are estimated from CloudWatch's totals")
    assert "add the source cloudwatch" in str(tokens(aws, sources=("cloudtrail",)).fix)


def test_only_a_page_of_the_newest_events_is_looked_at(aws: FakeAws) -> None:
    for number in range(60):
        deliver(aws, number, tokens=(1, 1) if number >= 50 else None)
    assert tokens(aws).detail == "0 of the 50 newest calls have them"
    assert aws.count("LookupEvents") == 2


@pytest.mark.parametrize("age", [timedelta(days=8), None])
def test_without_a_call_nothing_is_said_of_tokens(aws: FakeAws, age: timedelta | None) -> None:
    if age:
        aws.place().deliver(call(1, eventTime=(NOW - age).isoformat()))
    assert tokens(aws)[1:] == (
        NOT_CHECKED,
        "no call in the newest events of 7 days",
        None,
        ACCOUNT,
        REGION,
    )


def test_an_event_that_cannot_be_read_is_passed_over(aws: FakeAws) -> None:
    aws.place().deliver(call(1, eventTime=NOW.isoformat()), text="no JSON")
    deliver(aws, 2, tokens=(1, 1))
    assert tokens(aws)[1:3] == (OK, "1 of the 1 newest calls have them")


def logging(aws: FakeAws, **choice: Any) -> Finding:
    return one(visit(aws, **choice), "invocation logging")


def test_logging_that_is_off_is_recommended_without_bodies(aws: FakeAws) -> None:
    deliver(aws, 1)
    found = logging(aws)
    assert found[1:3] == (WARNING, "off")
    assert "every data type off" in str(found.fix)
    assert "stores no prompt" in str(found.fix)
    assert "set log_group or uri under [sources.invocation_logs]" in str(found.fix)


@pytest.mark.parametrize("use", ["nothing", "a call", "a metric", "unknown"])
def test_logging_is_not_recommended_where_nobody_calls(aws: FakeAws, use: str) -> None:
    if use == "a call":
        deliver(aws, 1)
    if use == "a metric":
        aws.place().metric("AWS/Bedrock", "Invocations", {"ModelId": HAIKU}, {NOW: 1})
    found = logging(aws, sources=("catalogue",) if use == "unknown" else USUAL)
    assert found.status == (OK if use == "nothing" else WARNING)


S3 = {"s3Config": {"bucketName": "logs", "keyPrefix": "x"}, "textDataDeliveryEnabled": False}
GROUPED = {
    "cloudWatchConfig": {"logGroupName": "/bedrock", "roleArn": "arn:aws:iam::1:role/x"},
    "textDataDeliveryEnabled": True,
    "imageDataDeliveryEnabled": True,
}
ON_S3, ON_GROUP = (
    "on, to s3://logs/x; bodies: none",
    "on, to log group /bedrock; bodies: text, image",
)
BOTH = "on, to s3://logs/x and log group /bedrock; bodies: text, image"


@pytest.mark.parametrize(
    ("config", "detail", "keys"),
    [
        (S3, ON_S3, 'uri = "s3://logs/x"'),
        ({"s3Config": {"bucketName": "logs"}}, "on, to s3://logs/; bodies: none", 'uri = "s3://logs"'),
        (GROUPED, ON_GROUP, 'log_group = "/bedrock"'),
        (S3 | GROUPED, BOTH, 'uri = "s3://logs/x" or log_group = "/bedrock"'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("logs", [None, InvocationLogs(uri="s3://other", log_group="/other")])
def test_logging_that_is_on_and_not_read_is_told_with_the_key_to_set(
    aws: FakeAws, config: dict[str, Any], detail: str, keys: str, logs: InvocationLogs | None
) -> None:
    aws.place().logging_config = config
    found = logging(aws, invocation_logs=logs)
    assert found[1:3] == (WARNING, detail)
    assert str(found.fix).startswith(
        f"set {keys} under [sources.invocation_logs] in bedrock_usage.toml: sync then reads"
    )


@pytest.mark.parametrize(
    ("config", "detail", "logs"),
    some(
        [
            (S3, ON_S3, {"uri": "s3://logs/x"}),
            (S3, ON_S3, {"uri": "s3://logs/x/"}),
            (S3, ON_S3, {"uri": "s3://logs"}),
            (S3, ON_S3, {"uri": f"s3://logs/x/AWSLogs/{ACCOUNT}"}),
            (S3, ON_S3, {"uri": "a copy of it"}),
            (GROUPED, ON_GROUP, {"log_group": "/bedrock"}),
            (S3 | GROUPED, BOTH, {"log_group": "/bedrock"}),
            (S3 | GROUPED, BOTH, {"uri": "s3://logs/x"}),
            ({}, "on, to nowhere; bodies: none", {"log_group": "/bedrock"}),
        ],
        3,
    ),
)
def test_logging_that_is_read_is_all_right(
    aws: FakeAws, config: dict[str, Any], detail: str, logs: dict[str, str]
) -> None:
    aws.place().logging_config = config | {"videoDataDeliveryEnabled": False}
    assert logging(aws, invocation_logs=InvocationLogs(**logs))[1:4] == (OK, detail, None)


def test_a_bucket_whose_name_begins_alike_is_another(aws: FakeAws) -> None:
    aws.place().logging_config = S3
    for uri in ("s3://log", "s3://logs/xy", "s3://logs-2/x"):
        found = logging(aws, invocation_logs=InvocationLogs(uri=uri))
        assert found.status == WARNING, uri


def test_a_log_group_that_is_configured_is_tried_and_may_not_be_there(healthy: FakeAws) -> None:
    logs = InvocationLogs(log_group=GROUP)
    assert one(visit(healthy, invocation_logs=logs), "logs:FilterLogEvents").status == OK
    (asked,) = [r.params for r in healthy.requests if r.operation == "FilterLogEvents"]
    assert (asked["limit"], asked["logGroupName"]) == (1, GROUP)
    healthy.place().logs.groups.clear()
    found = one(visit(healthy, invocation_logs=logs), "logs:FilterLogEvents")
    assert found[1:3] == (NOT_CHECKED, f"there is no log group {GROUP} here")
    unwanted = visit(healthy, invocation_logs=logs, sources=("cloudtrail",))
    assert "logs:FilterLogEvents" not in {finding.check for finding in unwanted}


TRAIL = TrailFiles(uri="s3://logs/prefix")


def bucket(findings: list[Finding]) -> Finding:
    return one(findings, "s3:ListBucket", None)


@pytest.mark.parametrize("uri", ["s3://logs", "s3://logs/", "s3://logs/a", "s3://logs/a/AWSLogs/"])
def test_a_folder_of_logs_is_listed(aws: FakeAws, uri: str) -> None:
    make_bucket("a/AWSLogs/x")
    findings = visit(aws, trail=TrailFiles(uri=uri))
    assert bucket(findings)[1:] == (OK, uri, None, ACCOUNT, None)
    assert aws.count("ListObjectsV2") == 1
    assert aws.count("GetObject") == 0


def test_each_folder_that_is_chosen_is_listed_and_no_other(aws: FakeAws) -> None:
    make_bucket("a/x", "b/x")
    here = {"trail": TrailFiles(uri="s3://logs/a")}
    both = here | {"invocation_logs": InvocationLogs(uri="s3://logs/b")}
    for choice, listed in (
        (both, ["s3://logs/a", "s3://logs/b"]),
        (both | {"sources": ("invocation_logs",)}, ["s3://logs/b"]),
        ({"bill": Bill(uri="s3://logs/b")}, ["s3://logs/b"]),
        ({"trail": TrailFiles(uri="a/folder")}, []),
    ):
        findings = visit(aws, **choice)
        assert [f.detail for f in findings if f.check == "s3:ListBucket"] == listed


def test_a_folder_with_nothing_in_it_is_a_warning(aws: FakeAws) -> None:
    make_bucket("prefix-of-another/x")
    found = bucket(visit(aws, trail=TRAIL))
    assert found[1:3] == (WARNING, "s3://logs/prefix is empty")
    assert "the folder that holds AWSLogs/" in str(found.fix)


def test_a_bucket_that_may_not_be_listed_or_is_not_there(aws: FakeAws) -> None:
    gone = bucket(visit(aws, trail=TRAIL))
    assert gone[1:3] == (FAILED, "s3://logs/prefix: NoSuchBucket")
    assert "there is no bucket logs: check the name" in str(gone.fix)
    aws.faults.append(Fault("denied", operation="ListObjectsV2", times=None))
    denied = bucket(visit(aws, trail=TRAIL))
    assert denied[1:3] == (FAILED, "s3://logs/prefix: denied (AccessDenied)")
    assert denied.fix == (
        f"add s3:ListBucket on the bucket to the policy of user tester of account {ACCOUNT}"
        " (`bedrock-usage policy` prints it); if the bucket belongs to another account, its"
        " bucket policy must allow it too"
    )


def test_a_bucket_is_listed_by_the_role_that_reads_it(aws: FakeAws) -> None:
    aws.faults.append(Fault("denied", operation="ListObjectsV2", account=OTHER, times=None))
    logs = TrailFiles(uri=TRAIL.uri, role_arn=aws.role(OTHER, "LogReader"))
    denied = bucket(visit(aws, trail=logs))
    assert denied.account_id == OTHER
    assert str(denied.fix).startswith(
        f"add s3:ListBucket on the bucket to the policy of role LogReader of account {OTHER}; if"
    )
    closed = TrailFiles(uri=TRAIL.uri, role_arn=f"arn:aws:iam::{OTHER}:role/None")
    findings = visit(aws, trail=closed)
    (failed,) = [finding for finding in findings if finding.status == FAILED]
    assert (failed.check, failed.account_id) == ("sts:AssumeRole", OTHER)
    assert str(failed.fix).startswith(f"allow sts:AssumeRole on {closed.role_arn} in the policy of")
    assert "s3:ListBucket" not in {finding.check for finding in findings}


def test_it_fits_eighty_columns_and_tells_regions_that_stand_alike_together(aws: FakeAws) -> None:
    aws.faults.append(Fault("denied", operation="ListMetrics", region=REGION, times=None))
    shown = text(visit(aws, "all"))
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count(" ok           cloudtrail:LookupEvents\n") == 2
    assert "\nap-northeast-1, ap-south-1, ap-southeast-2, ca-central-1" in shown
    assert f"\n{REGION}\n" in shown
    assert (
        "\n failed       cloudwatch:ListMetrics         denied (AccessDeniedException)\n" in shown
    )
    assert "\n              add cloudwatch:ListMetrics to the policy of user tester" in shown
    assert "1 failed" in shown.splitlines()[-1]


def test_a_detail_that_does_not_fit_stands_below() -> None:
    shown = text([Finding("credentials", OK, "x" * 36), Finding("clock", OK, "y" * 35)])
    lines = [line.rstrip() for line in shown.splitlines()]
    below = lines.index(" ok           credentials") + 1
    assert lines[below] == " " * 14 + "x" * 36
    assert lines[below + 1] == " ok           clock" + " " * 26 + "y" * 35


def test_json_has_every_finding(aws: FakeAws) -> None:
    deliver(aws, 1)
    findings = visit(aws)
    answer = json.loads(to_json(findings))
    assert (answer["is_ok"], len(answer["findings"])) == (True, len(findings))
    assert answer["counts"] == {"ok": 8, "warning": 2, "failed": 0, "not checked": 2}
    assert answer["findings"][0] == {
        "check": "credentials",
        "status": "ok",
        "detail": f"arn:aws:iam::{ACCOUNT}:user/tester",
        "fix": None,
        "account_id": ACCOUNT,
        "region": None,
    }


def test_words_of_aws_are_only_ever_text() -> None:
    hostile = "\x1b[31m[bold]x[/bold]"
    shown = text([Finding(hostile, FAILED, hostile, hostile, hostile, hostile)])
    assert "\x1b" not in shown
    assert shown.count("[bold]x[/bold]") == 5


@pytest.fixture
def real_time() -> Iterator[FakeAws]:
    with FakeAws() as fake, environment(fake.environment()):
        yield fake


def test_the_command_ends_with_0_where_nothing_failed(real_time: FakeAws) -> None:
    status, out, err = run("doctor", "--region", REGION)
    assert (status, err) == (0, "")
    assert f"Account {ACCOUNT}" in out.splitlines()
    assert not [line for line in out.splitlines() if line != line.rstrip()]
    assert json.loads(run("doctor", "--region", REGION, "--format", "json")[1])["is_ok"] is True


def test_the_command_ends_with_1_where_something_failed(real_time: FakeAws) -> None:
    real_time.faults.append(Fault("denied", operation="GetMetricData", times=None))
    status, out, _ = run("doctor", "--region", REGION, "--source", "cloudwatch")
    assert status == 1
    assert "add cloudwatch:GetMetricData to the policy of" in out
    assert run("doctor", "--region", REGION, "--source", "cloudtrail")[0] == 0


@cases(
    ("words", "message"),
    [
        (["--region", "nowhere"], "is not a region"),
        (["--region", "xx-nowhere-1"], "xx-nowhere-1 is not an AWS region"),
        (["--profile", "none"], "no AWS profile 'none'"),
        (["--role-arn", "Reader"], "not the ARN of a role"),
        (["--organization"], "--role-name"),
        (["--source", "everything"], "is not one of"),
    ],
)
def test_wrong_usage_is_status_2(real_time: FakeAws, words: list[str], message: str) -> None:
    status, _, err = run("doctor", *words)
    assert status == 2
    assert message in err


@pytest.mark.parametrize(
    ("arn", "name", "trusted"),
    [
        (
            f"arn:aws:iam::{ACCOUNT}:user/path/alice",
            "user path/alice",
            f"arn:aws:iam::{ACCOUNT}:user/path/alice",
        ),
        (f"arn:aws:iam::{ACCOUNT}:root", "root", f"arn:aws:iam::{ACCOUNT}:root"),
        (
            f"arn:aws-us-gov:sts::{ACCOUNT}:assumed-role/Ops/me@x",
            "role Ops",
            f"arn:aws-us-gov:iam::{ACCOUNT}:role/Ops",
        ),
        (
            f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Admin_0123/me",
            "role AWSReservedSSO_Admin_0123",
            f"arn:aws:iam::{ACCOUNT}:root",
        ),
    ],
)
def test_callers_are_named_as_policies_name_them(arn: str, name: str, trusted: str) -> None:
    assert principal(arn) == f"{name} of account {ACCOUNT}"
    assert principal_arn(arn) == trusted
