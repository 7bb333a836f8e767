"""Accounts and regions: your own, by role, a whole organization; one failure stops no other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from botocore.loaders import create_loader

from etl.errors import AccessError, ConfigError, RetriableError, SourceError, TokenError
from etl.sources.accounts import (
    assume_role,
    bedrock_regions,
    check_regions,
    find_places,
    list_organization,
    open_own_account,
)
from etl.sources.aws import Account, NotFoundError
from tests.aws import ACCOUNT, Fault
from tests.support import call, user_identity
from tests.sync.support import DAY, HOUR, World, utc

OTHER, THIRD = "444455556666", "777788889999"


def deliver(world: World, account: str, region: str, number: int) -> None:
    identity = user_identity("bob") | {"accountId": account}
    record = call(
        number, eventTime=utc(world.clock.now() - 2 * HOUR), recipientAccountId=account,
        awsRegion=region, userIdentity=identity,
    )  # fmt: skip
    world.aws.place(account, region).deliver(record)


def sync(world: World, accounts: list[Account], *regions: str) -> list[str]:
    places, problems = find_places(accounts, regions, world.clock)
    from etl.sync.run import SyncOptions, sync_places
    from etl.warehouse.database import open_warehouse

    with open_warehouse(world.path) as db:
        outcome = sync_places(db, places, world.clock, SyncOptions(sources=("cloudtrail",)))
    return [str(problem) for problem in problems] + [p.message for p in outcome.problems]


def calls(world: World) -> list[tuple[object, ...]]:
    return world.rows("select account_id, region, count(*) from calls group by 1, 2 order by 1, 2")


def test_an_account_is_read_through_its_role(world: World) -> None:
    deliver(world, OTHER, "us-east-1", 1)
    account = assume_role(world.own, world.aws.role(OTHER, "Reader"))
    assert account.account_id == OTHER
    assert sync(world, [account], "us-east-1") == []
    assert calls(world) == [(OTHER, "us-east-1", 1)]
    assert world.aws.count("AssumeRole") == 1


def test_what_services_are_like_is_read_once_for_all_accounts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.session.create_loader", create_loader)
    role = assume_role(world.own, f"arn:aws:iam::{OTHER}:role/Reader")
    loader = role.session._session.get_component("data_loader")
    assert loader is world.own.session._session.get_component("data_loader")


def test_credentials_of_a_role_are_renewed(world: World) -> None:
    world.aws.accounts.session_seconds = 60  # boto3 renews what ends within minutes
    try:
        account = assume_role(world.own, world.aws.role(OTHER, "Reader"))
        sync(world, [account], "us-east-1")
        world.clock.advance(DAY)
        world.aws.expire_credentials()
        assert sync(world, [account], "us-east-1") == []
        assert world.aws.count("AssumeRole") > 1
    finally:
        world.aws.accounts.session_seconds = 3600


def test_an_organisation_is_every_active_account(world: World) -> None:
    suspended = "000011112222"
    world.aws.organization([OTHER, THIRD, suspended], suspended=[suspended])
    for account in (OTHER, THIRD):
        world.aws.role(account, "Reader")
    accounts = list_organization(world.own, "Reader", world.clock, skip=[THIRD]).accounts
    assert sorted(account.account_id for account in accounts) == sorted([ACCOUNT, OTHER])
    for number, account in enumerate((ACCOUNT, OTHER)):
        deliver(world, account, "eu-west-1", number)
    assert sync(world, accounts, "eu-west-1") == []
    assert calls(world) == [(ACCOUNT, "eu-west-1", 1), (OTHER, "eu-west-1", 1)]


def test_a_role_that_may_not_be_assumed_stops_no_other_account(world: World) -> None:
    deliver(world, ACCOUNT, "us-east-1", 1)
    denied = assume_role(world.own, f"arn:aws:iam::{OTHER}:role/Reader")
    world.aws.faults.append(Fault("denied", operation="AssumeRole", times=None))
    (message,) = sync(world, [denied, world.own], "us-east-1")
    assert "AccessDenied on sts:AssumeRole" in message
    assert OTHER in message
    assert "docs/permissions.md" in message
    assert calls(world) == [(ACCOUNT, "us-east-1", 1)]


def test_a_region_that_is_denied_or_dead_stops_no_other(world: World) -> None:
    for number, region in enumerate(("us-east-1", "us-west-2", "eu-west-1")):
        deliver(world, ACCOUNT, region, number)
    world.aws.faults += [
        Fault("denied", region="us-west-2", times=None),
        Fault("reset", region="eu-west-1", times=None),
    ]
    messages = sync(world, [world.own], "us-east-1", "us-west-2", "eu-west-1")
    assert len(messages) == 2
    assert any("AccessDenied" in m and "us-west-2" in m for m in messages)
    assert any("no response" in m and "eu-west-1" in m for m in messages)
    assert calls(world) == [(ACCOUNT, "us-east-1", 1)]


def test_all_regions_are_those_that_are_enabled(world: World) -> None:
    regions = bedrock_regions(world.own, world.clock)
    assert {"us-east-1", "eu-west-1"} <= set(regions)
    assert not {"af-south-1", "me-south-1"} & set(regions)
    places, _ = find_places([world.own], ["all"], world.clock)
    assert [place.region for place in places] == regions


def test_without_the_permission_for_all_regions_it_says_what_to_do(world: World) -> None:
    world.aws.faults.append(Fault("denied", operation="DescribeRegions", times=None))
    places, (problem,) = find_places([world.own], ["all"], world.clock)
    assert places == []
    assert "ec2:DescribeRegions" in str(problem)
    assert "--region" in str(problem)


def test_an_unknown_region_is_refused_before_any_request(world: World) -> None:
    with pytest.raises(ConfigError, match="mars-north-1"):
        check_regions(world.own, ["us-east-1", "mars-north-1"])
    assert world.aws.requests == []


def test_a_profile_is_the_account_of_its_keys(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = tmp_path / "credentials"
    keys.write_text(
        f"[payer]\naws_access_key_id = {world.aws.accounts.access_key(OTHER)}\naws_secret_access_key = secret\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    account = open_own_account("payer", world.clock)
    deliver(world, OTHER, "us-east-1", 1)
    assert sync(world, [account], "us-east-1") == []
    assert calls(world) == [(OTHER, "us-east-1", 1)]


@pytest.mark.parametrize(
    ("code", "status", "kind", "words"),
    [
        ("ThrottlingException", 400, RetriableError, "throttled by AWS"),
        ("SomethingNew", 429, RetriableError, "throttled by AWS"),
        ("InternalFailure", 500, RetriableError, "is unavailable"),
        ("InvalidNextTokenException", 400, TokenError, "no longer valid"),
        ("SignatureDoesNotMatch", 403, AccessError, "this machine's clock"),
        ("OptInRequired", 403, AccessError, "Enable the region"),
        ("ResourceNotFoundException", 404, NotFoundError, "not found"),
        (
            "InvalidTimeRangeException",
            400,
            AccessError,
            r"AWS rejected the request \(InvalidTimeRangeException\)",
        ),
    ],
)
def test_aws_errors_are_reported_with_what_helps(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    status: int,
    kind: type[SourceError],
    words: str,
) -> None:
    (place,) = world.places()
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}

    def refuse(**_: object) -> None:
        raise ClientError(answer, "LookupEvents")

    monkeypatch.setattr(Account, "client", lambda *_: SimpleNamespace(lookup_events=refuse))
    with pytest.raises(kind, match=words) as caught:
        place.call("cloudtrail", "LookupEvents", {}, requires="Events")
    assert caught.value.code == code
    assert "in us-east-1 (account 111122223333)" in str(caught.value)


def test_an_unknown_profile_is_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="no AWS profile 'nobody'"):
        open_own_account("nobody", world.clock)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_ENDPOINT_URL", "no address", "check AWS_ENDPOINT_URL"),
        ("AWS_CA_BUNDLE", "/nowhere/ca.pem", "sts:GetCallerIdentity"),
    ],
)
def test_an_unusable_boto3_setting_is_reported(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    if name == "AWS_CA_BUNDLE":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:9")
    with pytest.raises(SourceError, match=words):
        open_own_account(None, world.clock)


def test_an_invalid_aws_configuration_file_is_reported(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "config"
    broken.write_text("not an ini file")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(broken))
    with pytest.raises(ConfigError, match="the AWS configuration is not usable"):
        open_own_account(None, world.clock)


def test_without_credentials_it_says_what_to_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(AccessError, match="sign in"):
        open_own_account(None, world.clock)
