"""Which accounts and regions there are, and how to access each.

Every account except the caller's own is accessed through a role. STS issues its credentials on
first use, and they are renewed before they expire, so a run may last for days.

Sources: Organizations ListAccounts, EC2 DescribeRegions, STS AssumeRole (checked 2026-11-25);
Organizations ListParents, DescribeOrganizationalUnit (checked 2026-11-29).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from etl.clock import Clock
from etl.errors import ConfigError, SourceError
from etl.sources.aws import MAX_ATTEMPTS, Account, Place
from etl.sources.boto import boto3, botocore

SESSION_NAME = "bedrock-usage"

# What reading the units of accounts takes.
UNIT_ACTIONS = ("organizations:ListParents", "organizations:DescribeOrganizationalUnit")

# The region for global requests, if none is configured.
_HOME_REGION = "us-east-1"

# The first request fails early, because a user is waiting for it.
_FIRST_ATTEMPTS = 4


def open_own_account(profile: str | None, clock: Clock, *, attempts: int = MAX_ATTEMPTS) -> Account:
    """Return the account of the current credentials.

    Raises ConfigError for an unknown profile, AccessError without usable credentials.
    """
    try:
        session = boto3.Session(profile_name=profile)
    except botocore.exceptions.ProfileNotFound:
        known = ", ".join(boto3.Session().available_profiles) or "none"
        raise ConfigError(f"no AWS profile {profile!r}; available: {known}") from None
    except botocore.exceptions.BotoCoreError as error:
        raise ConfigError(f"the AWS configuration is not usable: {error}") from None
    region = home_region(session)
    unnamed = Account("of the current credentials", session, min(attempts, _FIRST_ATTEMPTS))
    caller = Place(unnamed, region, clock)
    answer = caller.call("sts", "GetCallerIdentity", {}, requires="Account")
    return Account(answer["Account"], session, attempts)


def home_region(session: boto3.Session) -> str:
    """Return the region for global requests."""
    return session.region_name or _HOME_REGION


def assume_role(own: Account, role_arn: str) -> Account:
    """Return a role's account. STS is called only when the account is first read."""
    base = own.session._session
    fetcher = botocore.credentials.AssumeRoleCredentialFetcher(
        client_creator=functools.partial(base.create_client, region_name=home_region(own.session)),
        source_credentials=own.session.get_credentials(),
        role_arn=role_arn,
        extra_args={"RoleSessionName": SESSION_NAME},
    )
    session = botocore.session.Session()
    # Load the service models once, not again for each of many accounts.
    session.register_component("data_loader", base.get_component("data_loader"))
    session._credentials = botocore.credentials.DeferredRefreshableCredentials(
        method="assume-role", refresh_using=fetcher.fetch_credentials
    )
    session.set_config_variable("region", home_region(own.session))
    account_id, entered = role_arn.split(":")[4], boto3.Session(botocore_session=session)
    return Account(account_id, entered, own.attempts)


class Organization(NamedTuple):
    """The active accounts of an organization, each accessed through a role.

    ``units``: the error of each of ``UNIT_ACTIONS`` that was tried, None where there was none.
    """

    accounts: list[Account]
    units: Mapping[str, SourceError | None] = {}

    @property
    def problems(self) -> list[SourceError]:
        """Why the units of some accounts are not known."""
        return [error for error in self.units.values() if error is not None]


def list_organization(
    own: Account,
    role_name: str,
    clock: Clock,
    *,
    skip: Iterable[str] = (),
    with_units: bool = False,
) -> Organization:
    """Return every active account of the organization, accessed through the role of this name.

    The caller's own account needs no role. ``with_units``: look up the unit of each; that this
    fails stops nothing else. Raises the kinds of SourceError if the accounts cannot be listed.
    """
    place = Place(own, home_region(own.session), clock)
    pages = place.pages("organizations", "ListAccounts", {}, requires="Accounts")
    active = [
        account
        for page in pages
        for account in page["Accounts"]
        if account.get("Status") == "ACTIVE" and account["Id"] not in set(skip)
    ]
    units = _Units(place)
    accounts = [
        replace(
            own
            if account["Id"] == own.account_id
            else assume_role(own, _role_arn(account["Arn"], account["Id"], role_name)),
            name=account.get("Name"),
            unit=units.of(account["Id"]) if with_units else None,
        )
        for account in active
    ]
    return Organization(accounts, units.tried)


class _Units:
    """The organizational units of accounts. Each unit is asked about once.

    ``tried``: as in ``Organization``. After an error it asks no more: the next account would most
    likely meet the same, after as many attempts.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._names: dict[str, str] = {}
        self.tried: dict[str, SourceError | None] = {}

    def of(self, account_id: str) -> str | None:
        """Return the name of the unit that an account is in; "" for the root, None if unknown."""
        if any(self.tried.values()):
            return None
        with self._trying("organizations:ListParents"):
            (parent,) = self._place.call(
                "organizations", "ListParents", {"ChildId": account_id}, requires="Parents"
            )["Parents"]
            return self._name(parent["Id"]) if parent["Type"] == "ORGANIZATIONAL_UNIT" else ""
        return None

    def _name(self, unit_id: str) -> str | None:
        if unit_id not in self._names:
            with self._trying("organizations:DescribeOrganizationalUnit"):
                answer = self._place.call(
                    "organizations",
                    "DescribeOrganizationalUnit",
                    {"OrganizationalUnitId": unit_id},
                    requires="OrganizationalUnit",
                )
                self._names[unit_id] = answer["OrganizationalUnit"]["Name"]
        return self._names.get(unit_id)

    @contextmanager
    def _trying(self, action: str) -> Iterator[None]:
        self.tried[action] = None
        try:
            yield
        except SourceError as error:
            self.tried[action] = error


def _role_arn(account_arn: str, account_id: str, role_name: str) -> str:
    partition = account_arn.split(":")[1]
    return f"arn:{partition}:iam::{account_id}:role/{role_name}"


def bedrock_regions(account: Account, clock: Clock) -> list[str]:
    """Return the regions that offer Bedrock and are enabled for the account.

    Raises the kinds of SourceError.
    """
    home = home_region(account.session)
    partition = account.session.get_partition_for_region(home)
    offered = set(account.session.get_available_regions("bedrock", partition_name=partition))
    place = Place(account, home, clock)
    answer = place.call("ec2", "DescribeRegions", {"AllRegions": False}, requires="Regions")
    return sorted(offered & {region["RegionName"] for region in answer["Regions"]})


def known_regions() -> frozenset[str]:
    """Return the AWS regions of every partition that the installed SDK knows."""
    session = boto3.session.Session()
    return frozenset(
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("ec2", partition_name=partition)
    )


def check_regions(account: Account, regions: Sequence[str]) -> None:
    """Raise ConfigError for an unknown region, before any request waits for a response."""
    for region in regions:
        try:
            account.session.get_partition_for_region(region)
        except botocore.exceptions.UnknownRegionError:
            raise ConfigError(f"{region} is not an AWS region") from None


def find_places(
    accounts: Iterable[Account], regions: Sequence[str], clock: Clock
) -> tuple[list[Place], list[SourceError]]:
    """Return each account in each of its regions, and why some regions could not be listed.

    ``regions`` may be ``["all"]``: those enabled for Bedrock in each account.
    """
    places: list[Place] = []
    problems: list[SourceError] = []
    for account in accounts:
        try:
            names = bedrock_regions(account, clock) if list(regions) == ["all"] else regions
        except SourceError as error:
            problems.append(type(error)(f"{error}; or name the regions with --region"))
            continue
        places += [Place(account, region, clock) for region in names]
    return places, problems
