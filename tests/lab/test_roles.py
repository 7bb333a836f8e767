"""``lab roles``: repaired, finished after a failure, and only the lab's own roles touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from etl.lab.roles import POLICY, TAG
from tests.aws import ACCOUNT, FakeAws, FakeClock, Fault
from tests.cli.running import run
from tests.lab.small_scenarios import ROLES
from tests.rounds import long, some

FIRST = ROLES[0]
CHANGES = (
    "CreateRole",
    "PutRolePolicy",
    "UpdateAssumeRolePolicy",
    "DeleteRolePolicy",
    "DeleteRole",
)


@pytest.fixture
def iam(aws: FakeAws) -> Iterator[Any]:
    with closing(boto3.client("iam")) as client:
        yield client


def changes(aws: FakeAws) -> list[tuple[str, str]]:
    """Return the requested changes, each with its role."""
    return [(r.operation, r.params["RoleName"]) for r in aws.requests if r.operation in CHANGES]


def roles_there(iam: Any) -> set[str]:
    return {role["RoleName"] for role in iam.list_roles()["Roles"]}


def states() -> dict[str, str]:
    status, out, err = run("lab", "roles", "list", "--format", "json")
    assert status == 0, err
    return {role["name"]: role["state"] for role in json.loads(out)}


def document(action: str, **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": action} | (more or {"Resource": "*"})
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


EVERYBODY = document("sts:AssumeRole", Principal={"AWS": "*"})


def test_a_role_trusts_its_account_calls_models_and_is_tagged(aws: FakeAws, iam: Any) -> None:
    assert run("lab", "roles", "create", "--path", "/lab/")[0] == 0
    role = iam.get_role(RoleName=FIRST)["Role"]
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/lab/{FIRST}"
    assert role["Tags"] == [{"Key": TAG, "Value": "true"}]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    document = iam.get_role_policy(RoleName=FIRST, PolicyName=POLICY)["PolicyDocument"]
    (allowed,) = document["Statement"]
    assert allowed["Action"] == ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]
    assert allowed["Resource"] == [
        "arn:aws:bedrock:*::foundation-model/*",
        f"arn:aws:bedrock:*:{ACCOUNT}:inference-profile/*",
        f"arn:aws:bedrock:*:{ACCOUNT}:application-inference-profile/*",
    ]


@pytest.mark.parametrize("account", [ACCOUNT, "444455556666"])
def test_no_caller_of_another_account_may_assume_a_role(aws: FakeAws, account: str) -> None:
    assert run("lab", "roles", "create")[0] == 0
    key = aws.environment(account)["AWS_ACCESS_KEY_ID"]
    session = boto3.Session(aws_access_key_id=key, aws_secret_access_key="secret")
    role = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{FIRST}", "RoleSessionName": "me"}
    with closing(session.client("sts")) as sts:
        if account == ACCOUNT:
            assert sts.assume_role(**role)["Credentials"]
            return
        with pytest.raises(ClientError, match="AccessDenied"):
            sts.assume_role(**role)


@pytest.mark.parametrize("words", [("roles", "create"), ("traffic", "--yes")])
def test_the_root_user_learns_at_once_that_it_cannot_assume_roles(
    aws: FakeAws, clock: FakeClock, words: tuple[str, ...]
) -> None:
    assert run("lab", "roles", "create")[0] == 0
    key = aws.accounts.find(aws.environment()["AWS_ACCESS_KEY_ID"])
    assert key is not None
    key.arn = f"arn:aws:iam::{ACCOUNT}:root"
    asked, waited = aws.count("AssumeRole"), len(clock.sleeps)
    status, _, err = run("lab", *words)
    assert (status, aws.count("AssumeRole"), len(clock.sleeps)) == (1, asked, waited)
    assert "the account's root user cannot assume roles: use the credentials of" in err
    assert not [r for r in aws.requests if r.service == "bedrock-runtime"]


def test_a_role_may_call_through_a_global_profile(aws: FakeAws, tmp_path: Path) -> None:
    """The model behind it has an ARN without a region."""
    model = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
    scenario = {"name": "G", "role": FIRST, "model": model, "region": "us-east-1"}
    scenario |= {"operation": "Converse", "calls": 1, "prompts": ["Hello"]}
    lines = ["[[scenarios]]", *(f"{k} = {json.dumps(v)}" for k, v in scenario.items())]
    (tmp_path / "global.toml").write_text("\n".join(lines))
    more = ("--scenarios", "global.toml")
    assert run("lab", "roles", "create", *more)[0] == 0
    assert run("lab", "traffic", "--yes", *more)[0] == 0
    assert run("lab", "verify", "--db", "w.db")[0] == 0


def test_a_dry_run_prints_the_plan_and_changes_nothing(aws: FakeAws) -> None:
    status, out, _ = run("lab", "roles", "create", "--dry-run")
    assert (status, len(out.splitlines()), changes(aws)) == (0, 8, [])
    assert run("lab", "roles", "create")[0] == 0
    made = len(changes(aws))
    status, out, _ = run("lab", "roles", "delete", "--dry-run")
    assert (status, len(out.splitlines()), len(changes(aws))) == (0, 8, made)


def test_a_second_run_has_nothing_to_do(aws: FakeAws) -> None:
    assert run("lab", "roles", "create")[0] == 0
    made = changes(aws)
    assert len(made) == 8
    status, out, err = run("lab", "roles", "create")
    assert (status, out) == (0, "")
    assert "The roles are up to date." in err
    assert changes(aws) == made


def test_what_a_failure_left_is_finished_by_the_second_run(aws: FakeAws) -> None:
    aws.faults += [
        Fault("denied", operation="PutRolePolicy", skip=1),
        Fault("denied", operation="CreateRole", skip=2),
    ]
    status, _, err = run("lab", "roles", "create")
    assert status == 1
    assert f"Not done: {ROLES[1]}: AccessDenied on iam:PutRolePolicy" in err
    assert "(`bedrock-usage policy --lab` prints it)" in err
    assert f"Not done: {ROLES[2]}: AccessDenied on iam:CreateRole" in err
    assert "2 of 4 roles ready" in err
    assert states() == dict(zip(ROLES, ["ready", "incomplete", "missing", "ready"], strict=True))
    before = len(changes(aws))
    assert run("lab", "roles", "create")[0] == 0
    assert changes(aws)[before:] == [
        ("PutRolePolicy", ROLES[1]),
        ("CreateRole", ROLES[2]),
        ("PutRolePolicy", ROLES[2]),
    ]


def test_a_role_that_was_changed_is_brought_back(aws: FakeAws, iam: Any) -> None:
    assert run("lab", "roles", "create")[0] == 0
    iam.update_assume_role_policy(RoleName=FIRST, PolicyDocument=EVERYBODY)
    iam.put_role_policy(RoleName=FIRST, PolicyName=POLICY, PolicyDocument=document("s3:*"))
    assert states()[FIRST] == "incomplete"
    status, out, _ = run("lab", "roles", "create")
    assert (status, [line.split(FIRST)[0].strip() for line in out.splitlines()]) == (
        0,
        ["set trust", "put policy"],
    )
    assert states()[FIRST] == "ready"


def test_a_role_of_someone_else_is_left_alone(aws: FakeAws, iam: Any) -> None:
    iam.create_role(RoleName=FIRST, AssumeRolePolicyDocument=EVERYBODY)
    before = iam.get_role(RoleName=FIRST)["Role"]
    status, _, err = run("lab", "roles", "create")
    assert status == 1
    assert f"Not done: {FIRST}: left alone: exists without the tag {TAG}" in err
    assert "3 of 4 roles ready" in err
    status, out, err = run("lab", "roles", "delete", "--yes")
    assert (status, err) == (0, "3 roles deleted\n")
    assert f"keep          {FIRST}  (has no tag {TAG}: not the lab's)" in out
    assert iam.get_role(RoleName=FIRST)["Role"] == before
    assert iam.list_role_policies(RoleName=FIRST)["PolicyNames"] == []
    assert roles_there(iam) == {FIRST}


def test_a_role_that_others_gave_a_policy_is_not_deleted(aws: FakeAws, iam: Any) -> None:
    assert run("lab", "roles", "create")[0] == 0
    iam.put_role_policy(RoleName=FIRST, PolicyName="extra", PolicyDocument=document("s3:*"))
    status, _, err = run("lab", "roles", "delete", "--yes")
    assert status == 1
    assert "has policies that the lab did not make: extra; remove them first" in err
    assert set(iam.list_role_policies(RoleName=FIRST)["PolicyNames"]) == {"extra", POLICY}
    iam.delete_role_policy(RoleName=FIRST, PolicyName="extra")
    assert run("lab", "roles", "delete", "--yes")[0] == 0
    assert roles_there(iam) == set()


@long
def test_a_deletion_that_was_cut_off_is_finished(aws: FakeAws, iam: Any) -> None:
    assert run("lab", "roles", "create")[0] == 0
    aws.faults.append(Fault("denied", operation="DeleteRole"))
    status, _, err = run("lab", "roles", "delete", "--yes")
    assert (status, "3 roles deleted" in err) == (1, True)
    assert states()[FIRST] == "incomplete"
    assert run("lab", "roles", "delete", "--yes")[0] == 0
    assert roles_there(iam) == set()


def test_nothing_is_deleted_without_a_yes(
    aws: FakeAws, iam: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("lab", "roles", "create")[0] == 0
    status, _, err = run("lab", "roles", "delete")
    assert (status, "Delete 4 roles? Not a terminal: pass --yes" in err) == (2, True)
    monkeypatch.setattr("etl.cli.shared.consent.is_interactive", lambda: True)
    status, _, err = run("lab", "roles", "delete")
    assert (status, "not agreed: nothing was done" in err) == (1, True)
    assert roles_there(iam) == set(ROLES)


def test_a_role_that_can_never_be_assumed_is_reported_in_time(
    aws: FakeAws, clock: FakeClock
) -> None:
    aws.accounts.role_delay = timedelta(hours=1)
    status, _, err = run("lab", "roles", "create", "--wait", "30s")
    assert status == 1
    assert f"role/{FIRST}: still cannot be assumed after 30 s. Run this again to wait longer" in err
    assert "0 of 4 roles ready" in err
    assert sum(clock.sleeps) <= 30 + 10
    assert states()[FIRST] == "ready"
    aws.accounts.role_delay = timedelta(0)
    assert run("lab", "roles", "create")[0] == 0


@pytest.mark.parametrize("kind", some(["reset", "truncated", "500"], 1))
def test_an_answer_that_was_lost_does_no_harm(aws: FakeAws, kind: str) -> None:
    aws.faults += [Fault(kind, operation="CreateRole"), Fault(kind, operation="GetRole", skip=4)]
    assert run("lab", "roles", "create")[0] == 0
    assert set(states().values()) == {"ready"}
    aws.faults += [Fault(kind, operation="DeleteRole"), Fault(kind, operation="DeleteRolePolicy")]
    assert run("lab", "roles", "delete", "--yes")[0] == 0
    assert set(states().values()) == {"missing"}


@pytest.mark.parametrize("path", ["lab", "/lab", "//", "/a b/"])
def test_a_path_is_checked_before_aws_is_asked(aws: FakeAws, path: str) -> None:
    assert run("lab", "roles", "create", "--path", path)[0] == 2
    assert aws.count() == 0
