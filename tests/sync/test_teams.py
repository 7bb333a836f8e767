"""What names teams on AWS's side: sessions in the event history, tags, names of accounts."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.cli.shared.syncing import _store_account_names
from etl.config import Choice
from etl.doctor.entry import examine
from etl.normalise.teams import TeamSettings
from etl.registry import source_of
from etl.show.findings import FAILED
from etl.sources.accounts import find_places, organization_accounts
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.attribution import apply_config
from tests.aws import ACCOUNT, REGION
from tests.cli.policies import allowed, policy
from tests.support import role_identity, uuid_of
from tests.sync.support import HOUR, NOW, World, utc

SOURCES = ("cloudtrail", "sessions")
TEAMS = "select team, team_source from calls order by event_time"
OTHER = "444455556666"


def assumed(ago: timedelta, key: str) -> dict[str, Any]:
    return {
        "eventVersion": "1.08",
        "userIdentity": {"type": "AWSService", "invokedBy": "lambda.amazonaws.com"},
        "eventTime": utc(NOW - ago),
        "eventSource": "sts.amazonaws.com",
        "eventName": "AssumeRole",
        "awsRegion": REGION,
        "requestParameters": {"tags": [{"key": "team", "value": "Search"}]},
        "responseElements": {"credentials": {"accessKeyId": key}},
        "eventID": uuid_of(77),
        "recipientAccountId": ACCOUNT,
        "readOnly": True,
    }


def test_sessions_are_read_from_the_event_history_on_request(world: World) -> None:
    identity = {**role_identity("gateway"), "accessKeyId": "ASIAHISTORY"}
    world.deliver(1, 2 * HOUR, userIdentity=identity)
    world.place.deliver(assumed(3 * HOUR, "ASIAHISTORY"), NOW - 3 * HOUR)
    world.sync()
    assert world.rows(TEAMS) == [("(no team)", "none")]
    assert world.sync(sources=SOURCES).problems == []
    assert world.rows(TEAMS) == [("Search", "session tag")]
    assert b"ASIAHISTORY" not in world.path.read_bytes()


def test_tags_of_the_callers_are_read_once_a_day_in_one_region(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam = world.own.client("iam", REGION)
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    tag = [{"Key": "team", "Value": "Ads"}]
    iam.create_role(RoleName="gateway", AssumeRolePolicyDocument=trust, Tags=tag)
    iam.create_user(UserName="alice", Tags=[{"Key": "team", "Value": "Desk"}])
    world.deliver(1, 3 * HOUR, userIdentity=role_identity("gateway"))
    world.deliver(2, 2 * HOUR)
    world.deliver(3, 1 * HOUR, userIdentity=role_identity("deleted"))
    tagged = ("cloudtrail", "principal_tags")
    for _ in range(2):
        assert world.sync(sources=tagged).problems == []
    assert world.rows(TEAMS) == [
        ("Ads", "principal tag"), ("Desk", "principal tag"), ("(no team)", "none"),
    ]  # fmt: skip
    assert (world.aws.count("ListRoleTags"), world.aws.count("ListUserTags")) == (2, 1)
    # What was known of a role stays when the role is deleted.
    iam.delete_role(RoleName="gateway")
    world.clock.advance(timedelta(hours=25))
    assert world.sync(sources=tagged).problems == []
    assert world.rows(TEAMS)[0] == ("Ads", "principal tag")
    # And no more than the policy allows, which the doctor tries.
    asked = {f"{one.service}:{one.operation}" for one in world.aws.requests} - {
        "iam:CreateRole",
        "iam:CreateUser",
        "iam:DeleteRole",
    }
    words = [word for name in tagged for word in ("--source", name)]
    needed = set(allowed(policy(*words, "--region", REGION, "--no-doctor")))
    assert asked == needed
    assert {a for a in needed if a.startswith("iam")} == {
        action for grant in source_of("principal_tags").grants for action in grant.actions
    }


def test_the_doctor_tries_what_sessions_and_tags_need(world: World) -> None:
    findings = examine(Choice((REGION,), ("sessions", "principal_tags")), world.clock)
    assert [finding for finding in findings if finding.status == FAILED] == []
    checked = {finding.check for finding in findings}
    assert {"cloudtrail:LookupEvents", "iam:ListRoleTags", "iam:ListUserTags"} <= checked


def test_accounts_have_the_names_of_the_organization(world: World) -> None:
    world.aws.organization([OTHER])
    world.aws.accounts.units = {OTHER: "Research"}
    world.deliver(1, 2 * HOUR)
    world.sync()
    for with_units, expected in ((False, None), (True, "Research")):
        accounts = organization_accounts(world.own, "Reader", world.clock, with_units=with_units)
        places, _ = find_places(accounts, [REGION], world.clock)
        with open_warehouse(world.path) as db:
            _store_account_names(db, places)
        assert world.rows("select * from account_names order by 1") == [
            (ACCOUNT, f"account-{ACCOUNT}", None), (OTHER, f"account-{OTHER}", expected),
        ]  # fmt: skip
        assert world.rows(TEAMS) == [(f"account-{ACCOUNT}", "account name")]
    with open_warehouse(world.path) as db:
        apply_config(db, [], {}, settings=TeamSettings(account="unit"))
    assert world.rows(TEAMS) == [("(no team)", "none")]


def test_the_policy_allows_units_only_where_they_name_teams(tmp_path: Path) -> None:
    words = ("--organization", "--role-name", "Reader")
    config = tmp_path / "own.toml"
    units = {"organizations:ListParents", "organizations:DescribeOrganizationalUnit"}
    for setting, needed in (("name", set()), ("unit", units)):
        config.write_text(f'team_from_account = "{setting}"\n')
        actions = set(allowed(policy(*words, "--config", str(config))))
        assert actions & units == needed
