"""The warehouse shows the lab's calls under the name of the person who runs it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import boto3
import pytest

from etl.lab.caller import LabCaller
from etl.lab.roles import invoke_policy, trust_policy
from etl.lab.sent_calls import read_ledger
from tests.aws import ACCOUNT, FakeAws
from tests.cases import cases
from tests.cli.running import run
from tests.lab.small_scenarios import scenarios
from tests.rounds import some
from tests.sync.support import environment


@cases(
    ("arn", "user_name", "role_name"),
    [
        ("arn:aws:iam::1:user/alice", "alice", None),
        ("arn:aws:iam::1:user/team/alice", "alice", None),
        ("arn:aws:iam::1:root", "root", None),
        ("arn:aws:sts::1:assumed-role/Ops/me", "Ops", "Ops"),
        (
            "arn:aws:sts::1:assumed-role/AWSReservedSSO_Admin_ab/alice@example.com",
            "alice@example.com",
            "AWSReservedSSO_Admin_ab",
        ),
        ("arn:aws:sts::1:federated-user/bob", "bob", None),
    ],
)
def test_the_arn_says_the_name(arn: str, user_name: str, role_name: str | None) -> None:
    caller = LabCaller("1", arn)
    assert (caller.user_name, caller.role_name) == (user_name, role_name)


def test_policies_are_of_the_caller_s_partition() -> None:
    caller = LabCaller("111122223333", "arn:aws-us-gov:iam::111122223333:user/alice")
    (trust,) = trust_policy(caller)["Statement"]
    assert trust["Principal"] == {"AWS": "arn:aws-us-gov:iam::111122223333:root"}
    (allowed,) = invoke_policy(caller)["Statement"]
    assert all(arn.startswith("arn:aws-us-gov:bedrock:*:") for arn in allowed["Resource"])


@pytest.mark.parametrize(
    ("role", "user_name", "application"),
    some(
        [
            ("Ops", "Ops", "Shop"),
            ("AWSReservedSSO_Admin_abc", "alice", "Shop"),
            ("Reports-BedrockRole", "Reports-BedrockRole", "Reports"),
        ],
        2,
    ),
)
def test_a_role_s_session_sends_and_verifies(
    aws: FakeAws, tmp_path: Path, role: str, user_name: str, application: str
) -> None:
    (tmp_path / "small.toml").write_text(scenarios())
    with closing(boto3.client("sts")) as sts:
        arn = aws.role(ACCOUNT, role)
        keys = sts.assume_role(RoleArn=arn, RoleSessionName="alice")["Credentials"]
    session = {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }
    with environment(aws.environment() | session):
        assert run("lab", "traffic", "--scenarios", "small.toml", "--yes")[0] == 0
        status, out, err = run("lab", "verify", "--db", "w.db")
    assert status == 0, out + err
    sent = read_ledger(Path("lab_ledger.jsonl"))
    assert (sent[0].user_name, sent[0].application) == (user_name, application)
