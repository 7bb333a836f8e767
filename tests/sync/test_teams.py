"""What names teams on AWS's side: sessions in the event history, tags, names of accounts."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.cli.shared.scope import open_places
from etl.cli.shared.syncing import _store_account_names
from etl.config import Choice
from etl.doctor.entry import examine
from etl.normalise.teams import TeamSettings
from etl.registry import source_of
from etl.show.findings import FAILED, NOT_CHECKED, OK, Finding
from etl.sources.accounts import find_places, list_organization
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.attribution import apply_config
from tests.aws import ACCOUNT, REGION, Fault
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
    outcome = world.sync(sources=SOURCES)
    assert (outcome.problems, outcome.written.calls_reattributed) == ([], 1)
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
    world.sync()
    for reattributed in (2, 0):
        outcome = world.sync(sources=tagged)
        assert (outcome.problems, outcome.written.calls_reattributed) == ([], reattributed)
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
        accounts = list_organization(
            world.own, "Reader", world.clock, with_units=with_units
        ).accounts
        places, _ = find_places(accounts, [REGION], world.clock)
        with open_warehouse(world.path) as db:
            assert _store_account_names(db, places).calls_reattributed == (not with_units)
        assert world.rows("select * from account_names order by 1") == [
            (ACCOUNT, f"account-{ACCOUNT}", None), (OTHER, f"account-{OTHER}", expected),
        ]  # fmt: skip
        assert world.rows(TEAMS) == [(f"account-{ACCOUNT}", "account name")]
    with open_warehouse(world.path) as db:
        apply_config(db, [], {}, settings=TeamSettings(account="unit"))
    assert world.rows(TEAMS) == [("(no team)", "none")]


UNITS = Choice((REGION,), ("cloudtrail",), organization=True, role_name="Reader", has_units=True)


@pytest.mark.parametrize("denied", ["ListParents", "DescribeOrganizationalUnit"])
def test_accounts_have_their_names_where_units_may_not_be_read(world: World, denied: str) -> None:
    world.aws.organization([OTHER])
    world.aws.accounts.units = {OTHER: "Research"}
    for is_denied in (False, True):
        if is_denied:
            world.aws.faults.append(Fault("denied", operation=denied, times=None))
        places, lost = open_places(UNITS, world.clock)
        with open_warehouse(world.path, create=True) as db:
            _store_account_names(db, places)
        # A unit that was known stays.
        assert world.rows("select * from account_names order by 1") == [
            (ACCOUNT, f"account-{ACCOUNT}", None), (OTHER, f"account-{OTHER}", "Research"),
        ]  # fmt: skip
        assert [f"add organizations:{denied} to" in str(error) for error in lost] == [
            True
        ] * is_denied


def checks_of_organization(world: World) -> dict[str, Finding]:
    """Return what the doctor finds of the operations on an organization, by their names."""
    return {
        one.check.removeprefix("organizations:"): one
        for one in examine(UNITS, world.clock)
        if one.check.startswith("organizations:")
    }


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        (None, (OK, OK, OK)),
        ("no units", (OK, OK, NOT_CHECKED)),
        ("ListParents", (OK, FAILED, NOT_CHECKED)),
        ("DescribeOrganizationalUnit", (OK, OK, FAILED)),
    ],
)
def test_the_doctor_tries_what_units_need(
    world: World, fault: str | None, statuses: tuple[str, ...]
) -> None:
    world.aws.organization([OTHER])
    world.aws.accounts.units = {} if fault == "no units" else {OTHER: "Research"}
    world.aws.faults.append(Fault("denied", operation=fault or "none", times=None))
    found = checks_of_organization(world)
    operations = ("ListAccounts", "ListParents", "DescribeOrganizationalUnit")
    assert tuple(found[operation].status for operation in operations) == statuses
    for operation, finding in found.items():
        wanted = f"add organizations:{operation} to the policy of user tester"
        assert (wanted in str(finding.fix)) == (finding.status == FAILED)


def test_the_policy_allows_units_only_where_they_name_teams(tmp_path: Path) -> None:
    words = ("--organization", "--role-name", "Reader")
    config = tmp_path / "own.toml"
    units = {"organizations:ListParents", "organizations:DescribeOrganizationalUnit"}
    for setting, needed in (("name", set()), ("unit", units)):
        config.write_text(f'team_from_account = "{setting}"\n')
        actions = set(allowed(policy(*words, "--config", str(config))))
        assert actions & units == needed
