"""``bedrock-usage policy``: exactly the operations that are called are allowed."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from etl.cli import main
from etl.cli.shared.scope import open_places
from etl.config import Choice, InvocationLogs, Sources
from etl.doctor.entry import examine
from etl.lab.roles import TAG, TAG_VALUE
from etl.monitor.alarms import PREFIX, TOPIC
from etl.monitor.cloudwatch_dashboard import NAME as DASHBOARD
from etl.monitor.plan import NAMESPACE
from etl.policy import (
    ARCHIVE,
    DOCTOR,
    LAB_CALLS,
    LAB_ROLES,
    LOG_FILES,
    MONITOR,
    ORGANIZATION,
    PRICES,
    REGIONS,
    UNITS,
    PolicyScope,
    caller_policy,
)
from etl.registry import SOURCES, STANDARD, source_of
from etl.show.findings import FAILED
from etl.sources.aws import PERMISSIONS
from etl.sync.run import SyncOptions, sync_places
from etl.warehouse.database import open_warehouse
from tests.aws import ACCOUNT, NOW, REGION, FakeAws, FakeClock
from tests.aws.logs import GROUP
from tests.cases import cases
from tests.cli.policies import FREE, allowed, policy, requested
from tests.cli.running import run
from tests.support import HAIKU, call, logged
from tests.sync.support import environment

ETL = Path(__file__).parents[2] / "etl"
OTHER = "444455556666"
ROLE_ARNS = (f"arn:aws:iam::{OTHER}:role/Reader", "arn:aws:iam::777788889999:role/path/Other")


def allowed_but_roles(document: dict[str, Any]) -> dict[str, Any]:
    return {
        action: resource
        for action, resource in allowed(document).items()
        if action != "sts:AssumeRole"
    }


EVERYTHING = {
    "cloudtrail:LookupEvents",
    "cloudwatch:GetMetricData",
    "cloudwatch:ListMetrics",
    "bedrock:ListFoundationModels",
    "bedrock:ListInferenceProfiles",
    "bedrock:ListProvisionedModelThroughputs",
    "bedrock:GetInferenceProfile",
    "bedrock:ListTagsForResource",
    "ec2:DescribeRegions",
    "bedrock:GetModelInvocationLoggingConfiguration",
}


def test_by_default_it_is_all_that_one_account_takes() -> None:
    assert set(allowed(policy())) == EVERYTHING


@pytest.mark.parametrize(
    ("words", "without"),
    [
        (["--no-doctor"], {"bedrock:GetModelInvocationLoggingConfiguration"}),
        (["--region", "us-east-1"], {"ec2:DescribeRegions"}),
        (
            ["--source", "cloudtrail", "--source", "cloudwatch"],
            {action for grant in source_of("catalogue").grants for action in grant.actions},
        ),
    ],
)
def test_what_is_not_used_is_not_allowed(words: list[str], without: set[str]) -> None:
    assert set(allowed(policy(*words))) == EVERYTHING - without


def test_a_single_source_in_a_named_region_is_a_single_statement() -> None:
    document = policy("--source", "cloudtrail", "--region", "us-east-1", "--no-doctor")
    assert document["Statement"] == [
        {
            "Sid": "CloudTrail",
            "Effect": "Allow",
            "Action": ["cloudtrail:LookupEvents"],
            "Resource": "*",
        }
    ]


@pytest.mark.parametrize(
    ("region", "partition"),
    [("all", "aws"), ("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn")],
)
def test_profiles_are_the_only_resource_with_an_arn(region: str, partition: str) -> None:
    resources = allowed(policy("--region", region))
    profiles = f"arn:{partition}:bedrock:*:*:application-inference-profile/*"
    assert {action for action, resource in resources.items() if resource != "*"} == {
        "bedrock:GetInferenceProfile",
        "bedrock:ListTagsForResource",
    }
    assert resources["bedrock:GetInferenceProfile"] == profiles


def test_who_reads_through_roles_may_assume_exactly_those_and_nothing_else() -> None:
    words = [word for arn in ROLE_ARNS for word in ("--role-arn", arn)]
    assert allowed(policy(*words)) == {"sts:AssumeRole": sorted(ROLE_ARNS)}
    assert allowed(policy("--role-arn", ROLE_ARNS[0])) == {"sts:AssumeRole": ROLE_ARNS[0]}
    assert set(allowed(policy(*words, "--member"))) == EVERYTHING


def test_an_organization_s_caller_reads_its_own_account_and_enters_the_others() -> None:
    words = ("--organization", "--role-name", "path/Reader")
    resources = allowed(policy(*words))
    assert set(resources) == EVERYTHING | {"organizations:ListAccounts", "sts:AssumeRole"}
    assert resources["sts:AssumeRole"] == "arn:aws:iam::*:role/path/Reader"
    assert set(allowed(policy(*words, "--member"))) == EVERYTHING
    gov = allowed(policy(*words, "--region", "us-gov-west-1"))
    assert gov["sts:AssumeRole"] == "arn:aws-us-gov:iam::*:role/path/Reader"


def test_sids_are_unique_and_plain() -> None:
    sids = [s["Sid"] for s in policy("--organization", "--role-name", "Reader")["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(sid.isalnum() for sid in sids)


def test_the_hint_on_roles_is_not_in_the_document() -> None:
    _, out, err = run("policy", "--role-arn", ROLE_ARNS[0])
    assert json.loads(out)
    assert "--member" in err
    assert "--trust" in err
    assert run("policy")[2] == ""
    assert run("policy", "--role-arn", ROLE_ARNS[0], "--member")[2] == ""


def test_the_configuration_counts_as_it_does_for_sync(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        f'[sync]\nregions = ["us-east-1"]\nsources = ["cloudwatch"]\n'
        f'[accounts]\nrole_arns = ["{ROLE_ARNS[0]}"]\n'
    )
    config = ("--config", str(file))
    assert allowed(policy(*config)) == {"sts:AssumeRole": ROLE_ARNS[0]}
    assert set(allowed(policy(*config, "--member", "--no-doctor"))) == {
        "cloudwatch:GetMetricData",
        "cloudwatch:ListMetrics",
    }


@pytest.mark.parametrize(
    ("words", "partition"),
    [([], "aws"), (["--region", "us-gov-west-1"], "aws-us-gov")],
)
def test_a_log_group_that_is_configured_is_allowed_and_no_other(
    tmp_path: Path, words: list[str], partition: str
) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[sources.invocation_logs]\nlog_group = "/bedrock/calls"\n')
    for more in ([], ["--role-arn", ROLE_ARNS[0], "--member"]):
        resources = allowed(policy("--config", str(file), *words, *more))
        arn = resources["logs:FilterLogEvents"]
        if not more:
            assert arn == f"arn:{partition}:logs:*:*:log-group:/bedrock/calls:*"
    chosen = allowed(policy("--config", str(file), *words, "--source", "cloudtrail"))
    assert "logs:FilterLogEvents" not in chosen


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::111122223333:role/service-role/Ops",
        "arn:aws:iam::111122223333:user/alice",
        "arn:aws-us-gov:iam::111122223333:root",
    ],
)
def test_a_role_may_trust_a_caller(arn: str) -> None:
    assert policy("--trust", arn)["Statement"] == [
        {
            "Sid": "BedrockUsage",
            "Effect": "Allow",
            "Principal": {"AWS": arn},
            "Action": "sts:AssumeRole",
        }
    ]


@cases(
    ("words", "message"),
    [
        (["--trust", "arn:aws:sts::111122223333:assumed-role/Ops/me"], "it must look like"),
        (["--trust", "*"], "it must look like"),
        (["--trust", "arn:aws:iam::111122223333:root", "--member"], "works alone"),
        (["--monitor", "--member"], "cannot be combined with"),
        (["--trust", "arn:aws:iam::111122223333:root", "--source", "cloudtrail"], "works alone"),
        (["--role-arn", "Reader"], "not the ARN of a role"),
        (["--role-arn", "arn:aws:iam::111122223333:role/*"], "not the ARN of a role"),
        (["--organization"], "--role-name"),
        (["--lab", "--member"], "--lab works alone"),
        (["--lab", "--source", "cloudtrail"], "--lab works alone"),
        (["--lab", "--trust", "arn:aws:iam::111122223333:root"], "works alone"),
        (["--source", "everything"], "is not one of"),
        (["--region", "us-east-1", "--region", "us-gov-west-1"], "need separate policies"),
    ],
)
def test_wrong_usage_is_status_2(words: list[str], message: str) -> None:
    status, out, err = run("policy", *words)
    assert (status, out) == (2, "")
    assert message in err


def operations(file: Path) -> set[str]:
    """Return every operation that a module of ``etl/sources`` calls; each must be spelt out."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("call", "pages"):
            service, operation = (ast.literal_eval(argument) for argument in node.args[:2])
            found.add(f"{service}:{operation}")
    return found


def actions(*grants: Any) -> set[str]:
    return {action for grant in grants for action in grant.actions}


@pytest.mark.parametrize("source", [*STANDARD, "principal_tags", "quotas"])
def test_each_source_calls_what_its_policy_allows_and_nothing_else(source: str) -> None:
    assert operations(ETL / "sources" / f"{source}.py") == actions(*source_of(source).grants)


def test_accounts_and_regions_too() -> None:
    accounts = ETL / "sources" / "accounts.py"
    assert operations(accounts) == actions(REGIONS, ORGANIZATION, UNITS) | {FREE}
    assert "AssumeRoleCredentialFetcher" in accounts.read_text()


def test_log_groups_too() -> None:
    assert operations(ETL / "sources" / "invocation_logs.py") == actions(
        *source_of("invocation_logs").grants
    )


def test_log_files_too() -> None:
    # The one operation that needs a permission of another name.
    renamed = {"s3:ListObjectsV2": "s3:ListBucket"}
    called = operations(ETL / "sources" / "s3.py")
    assert {renamed.get(operation, operation) for operation in called} == actions(*LOG_FILES)


def test_the_price_list_too() -> None:
    assert operations(ETL / "sources" / "price_list.py") == actions(PRICES)


def test_the_archive_too() -> None:
    assert operations(ETL / "sources" / "archive.py") == actions(ARCHIVE)


@pytest.mark.parametrize("folder", ["s3://kept/raw", "s3://kept/raw/"])
def test_an_archive_in_s3_may_be_added_to_and_nothing_else(tmp_path: Path, folder: str) -> None:
    for words in ((), ("--role-arn", ROLE_ARNS[0]), ("--region", "us-gov-west-1")):
        partition = "aws-us-gov" if "us-gov-west-1" in words else "aws"
        found = allowed(policy("--archive", folder, *words))
        assert {a: r for a, r in found.items() if a.startswith("s3:")} == {
            "s3:PutObject": f"arn:{partition}:s3:::kept/raw/AWSLogs/*"
        }
    (tmp_path / "own.toml").write_text(f'[sync]\narchive = "{folder}"\n')
    config = ("--config", str(tmp_path / "own.toml"))
    assert "s3:PutObject" in allowed(policy(*config))
    for words in (("--source", "cloudwatch"), ("--role-arn", ROLE_ARNS[0], "--member")):
        assert "s3:PutObject" not in allowed(policy(*config, *words))
    assert "s3:PutObject" not in allowed(policy("--archive", str(tmp_path)))


def test_log_files_are_allowed_by_bucket_and_prefix_to_who_runs_the_program() -> None:
    folders = ("s3://trail/org/AWSLogs/", "s3://bodies/", "s3://trail/more/")
    for role_arns in ((), ROLE_ARNS):
        reading = PolicyScope((), False, False, None, role_arns, "aws-us-gov", folders)
        resources = allowed(caller_policy(reading))
        assert resources["s3:ListBucket"] == [
            "arn:aws-us-gov:s3:::bodies",
            "arn:aws-us-gov:s3:::trail",
        ]
        assert resources["s3:GetObject"] == [
            "arn:aws-us-gov:s3:::bodies/*",
            "arn:aws-us-gov:s3:::trail/more/*",
            "arn:aws-us-gov:s3:::trail/org/AWSLogs/*",
        ]
    assert allowed(caller_policy(PolicyScope((), False, False, log_folders=("s3://one/",)))) == {
        "s3:ListBucket": "arn:aws:s3:::one",
        "s3:GetObject": "arn:aws:s3:::one/*",
    }


def test_nobody_else_calls_aws() -> None:
    known = {f"{source}.py" for source in (*STANDARD, "principal_tags", "quotas")}
    known |= {"accounts.py", "archive.py", "aws.py", "invocation_logs.py", "runtime.py", "s3.py"}
    known |= {"price_list.py"}
    for file in (ETL / "sources").glob("*.py"):
        assert file.name in known or not operations(file), file
    outside = [
        file.relative_to(ETL).as_posix()
        for file in ETL.rglob("*.py")
        if file.parent.name != "sources"
        and (".call(" in file.read_text() or ".pages(" in file.read_text())
    ]
    assert sorted(outside) == [
        *("doctor/checks.py", "doctor/entry.py"),
        *("lab/caller.py", "lab/roles.py"),
        *("monitor/alarms.py", "monitor/cloudwatch.py", "monitor/cloudwatch_dashboard.py"),
        *("monitor/removal.py", "notify/send.py"),
    ]


def test_the_lab_s_roles_too() -> None:
    # Creating a role with tags needs the permission to tag, but makes no call of its own.
    called = operations(ETL / "lab" / "roles.py") | {"iam:TagRole"}
    assert called == actions(*LAB_ROLES)
    assert operations(ETL / "lab" / "caller.py") == {FREE}


def test_the_lab_s_calls_too() -> None:
    called = operations(ETL / "sources" / "runtime.py")
    assert {PERMISSIONS[operation] for operation in called} == set(LAB_CALLS)
    assert set(PERMISSIONS) == called


@pytest.mark.parametrize(
    ("words", "partition"), [([], "aws"), (["--region", "us-gov-west-1"], "aws-us-gov")]
)
def test_the_lab_may_touch_its_own_roles_and_call_models(words: list[str], partition: str) -> None:
    resources = allowed(policy("--lab", *words))
    roles = f"arn:{partition}:iam::*:role/*-BedrockRole"
    assert {resource for action, resource in resources.items() if action[:3] in ("iam", "sts")} == {
        roles
    }
    for action in LAB_CALLS:
        assert f"arn:{partition}:bedrock:*::foundation-model/*" in resources[action]
    assert resources["cloudtrail:LookupEvents"] == "*"
    assert len(resources) == len(actions(*LAB_ROLES)) + len(LAB_CALLS) + 1


def test_the_lab_may_change_and_assume_only_what_carries_its_tag() -> None:
    """The names of its roles are those of applications in earnest too."""
    limits = {
        action: one.get("Condition")
        for one in policy("--lab")["Statement"]
        for action in one["Action"]
    }
    asked = {"StringEquals": {f"aws:RequestTag/{TAG}": TAG_VALUE}}
    there = {"StringEquals": {f"aws:ResourceTag/{TAG}": TAG_VALUE}}
    writing = {a for a in limits if a.startswith("iam:") and a[4:7] not in ("Get", "Lis")}
    assert {action for action in writing if limits[action] == asked} == {
        *("iam:CreateRole", "iam:TagRole"),
    }
    assert {action for action in limits if limits[action] == there} == {
        *(writing - {"iam:CreateRole", "iam:TagRole"}),
        "sts:AssumeRole",
    }


def test_who_is_given_the_lab_s_policy_is_told_what_it_amounts_to() -> None:
    _, out, err = run("policy", "--lab")
    assert json.loads(out)
    assert "can gain any permission" in err


def test_the_monitor_calls_what_its_policy_allows_and_nothing_else() -> None:
    called = {one for file in (ETL / "monitor").glob("*.py") for one in operations(file)}
    # Creating with tags needs a permission of its own; fetch_queries reads for it.
    implied = {"cloudwatch:TagResource", "sns:TagResource", "cloudwatch:GetMetricData"}
    assert called | implied == actions(*MONITOR)
    assert "fetch_queries" in (ETL / "monitor" / "cloudwatch.py").read_text()


def test_the_monitor_s_policy_is_limited_to_its_own_names() -> None:
    document = policy("--monitor", "--region", "us-gov-west-1")
    put, *others = document["Statement"]
    assert put["Action"] == ["cloudwatch:PutMetricData"]
    assert put["Condition"] == {"StringEquals": {"cloudwatch:namespace": NAMESPACE}}
    limited = {one["Sid"]: one["Resource"] for one in others if one["Resource"] != "*"}
    assert limited == {
        "MonitorDashboard": f"arn:aws-us-gov:cloudwatch::*:dashboard/{DASHBOARD}",
        "MonitorAlarms": f"arn:aws-us-gov:cloudwatch:*:*:alarm:{PREFIX}*",
        "MonitorTopic": f"arn:aws-us-gov:sns:*:*:{TOPIC}",
    }
    unlimited = [a for one in others if one["Resource"] == "*" for a in one["Action"]]
    assert unlimited == ["cloudwatch:GetMetricData", "cloudwatch:DescribeAlarms"]
    assert set(allowed(policy())) == EVERYTHING


def test_the_doctor_asks_for_every_permission_and_no_other() -> None:
    asked = {
        ast.literal_eval(node.args[0])
        for node in ast.walk(ast.parse((ETL / "doctor" / "checks.py").read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "ask"
    }
    everything = [grant for source in SOURCES for grant in source.grants]
    assert asked == actions(*everything, DOCTOR, PRICES)
    assert operations(ETL / "doctor" / "entry.py") == {FREE}


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    """Two accounts of an organization with a call through a profile that no list has."""
    with FakeAws(FakeClock(NOW)) as fake, environment(fake.environment()):
        fake.organization([OTHER])
        fake.role(OTHER, "Reader")
        # No two profiles of AWS have one id, and no two calls: what is known of one account would be
        # taken for the other's, depending on which is read first.
        for number, account in enumerate((ACCOUNT, OTHER), 1):
            place = fake.place(account)
            model = place.foundation_model(HAIKU, "Claude 3 Haiku")
            place.application_profile("listed", "Chat", model)
            hidden = place.application_profile(f"hidden{number}", "Chat", model, hidden=True)
            when = (NOW - timedelta(hours=2)).isoformat()
            identity = {"type": "Root", "accountId": account}
            place.deliver(
                call(
                    number, eventTime=when, userIdentity=identity, recipientAccountId=account,
                    requestParameters={"modelId": hidden}, eventID=f"{account}-1",
                )
            )  # fmt: skip
            place.log_invocation(logged(number, timestamp=when, accountId=account))
            place.metric(
                "AWS/Bedrock", "Invocations", {"ModelId": HAIKU}, {NOW - timedelta(hours=2): 1}
            )
        yield fake


# Those on request: tests/sync/test_teams.py.
READ = tuple(source.name for source in SOURCES if not source.on_request)
LOGS = f'[sources.invocation_logs]\nlog_group = "{GROUP}"\n'


def document_actions(words: Iterable[str]) -> set[str]:
    return set(allowed(policy(*words)))


@pytest.mark.parametrize("by", ["organization", "role"])
def test_a_whole_sync_requests_exactly_what_the_policies_allow(
    aws: FakeAws, tmp_path: Path, by: str
) -> None:
    role = f"arn:aws:iam::{OTHER}:role/Reader"
    ways: dict[str, tuple[dict[str, Any], list[str]]] = {
        "organization": (
            {"organization": True, "role_name": "Reader"},
            ["--organization", "--role-name", "Reader"],
        ),
        "role": ({"role_arns": [role]}, ["--role-arn", role]),
    }
    choice, words = ways[by]
    (tmp_path / "own.toml").write_text(LOGS)
    words = [*words, "--config", str(tmp_path / "own.toml")]
    clock = aws.clock
    aws.accounts.regions = {REGION: "opt-in-not-required"}
    places, problems = open_places(Choice(("all",), READ, **choice), clock)
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        for _ in range(2):
            options = SyncOptions(sources=READ, log_group=GROUP)
            outcome = sync_places(db, places, clock, options)
            clock.advance(timedelta(hours=25))
    assert (problems, outcome.problems) == ([], [])
    caller = document_actions([*words, "--no-doctor"])
    assert requested(aws, ACCOUNT) - {FREE} == caller
    assert requested(aws, OTHER) == document_actions([*words, "--no-doctor", "--member"])


def test_a_doctor_s_visit_requests_exactly_what_the_policies_allow(
    aws: FakeAws, tmp_path: Path
) -> None:
    aws.accounts.regions = {REGION: "opt-in-not-required"}
    way = Choice(
        ("all",),
        READ,
        organization=True,
        role_name="Reader",
        located=Sources(invocation_logs=InvocationLogs(log_group=GROUP)),
    )
    findings = examine(way, aws.clock)
    assert [finding for finding in findings if finding.status == FAILED] == []
    (tmp_path / "own.toml").write_text(LOGS)
    config = ["--config", str(tmp_path / "own.toml")]
    words = ["--organization", "--role-name", "Reader", *config]
    assert requested(aws, ACCOUNT) - {FREE} == document_actions(words)
    assert requested(aws, OTHER) - {FREE} == document_actions([*words, "--member"])


def test_the_buckets_of_the_configuration_are_allowed_or_the_roles_that_may_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    role = "arn:aws:iam::444455556666:role/LogReader"
    (tmp_path / "bedrock_usage.toml").write_text(
        '[sources.trail]\nuri = "s3://trail-logs/org"\n'
        f'[sources.invocation_logs]\nuri = "s3://other-logs"\nrole_arn = "{role}"\n'
        '[sources.bill]\nuri = "s3://bills/exports"\n'
    )
    result = CliRunner().invoke(main, ["policy"])
    assert result.exit_code == 0, result.stderr
    statements = json.loads(result.stdout)["Statement"]
    text = json.dumps([s for s in statements if "s3:" in str(s["Action"])])
    assert "trail-logs" in text
    assert "arn:aws:s3:::bills/exports*" in text
    assert "other-logs" not in text
    assert [s["Resource"] for s in statements if "sts:AssumeRole" in str(s["Action"])] == [role]
