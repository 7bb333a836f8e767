"""Who calls: access keys, roles, the organization and the regions (STS, Organizations, EC2).

These few operations are answered here and not by moto: its Organizations makes up account ids, its
AssumeRole accepts any caller for any role, and its EC2 takes 1.4 s to import for one list of regions.

AssumeRole knows the roles that a test makes here, and those that IAM (moto) made: the latter if
their trust policy names the caller or its account, and ``role_delay`` after they were made.

An account's key contains its number; AssumeRole issues keys of the role's account. Their
``Expiration`` is in real time, because boto3 compares it with real time; virtual time expires none.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.aws import moto_route
from tests.aws.calls import AwsError, Call, Handler
from tests.aws.paging import page

PAGE = 20
ENABLED = "opt-in-not-required"
_REGIONS = {
    "us-east-1": ENABLED,
    "us-east-2": ENABLED,
    "us-west-2": ENABLED,
    "ca-central-1": ENABLED,
    "eu-central-1": ENABLED,
    "eu-west-1": ENABLED,
    "eu-west-3": ENABLED,
    "ap-northeast-1": ENABLED,
    "ap-south-1": ENABLED,
    "ap-southeast-2": ENABLED,
    "sa-east-1": ENABLED,
    "eu-south-1": "opted-in",
    "af-south-1": "not-opted-in",
    "me-south-1": "not-opted-in",
}


@dataclass
class Key:
    """An access key and its owner."""

    account: str
    arn: str
    is_session: bool = False
    is_expired: bool = False
    role_arn: str = ""


class Accounts:
    """The accounts, their keys and roles; ``regions`` says which regions are enabled."""

    def __init__(self, default: str) -> None:
        self.default = default
        self.members: list[str] = []
        self.suspended: set[str] = set()
        self.units: dict[str, str] = {}
        self.regions = dict(_REGIONS)
        self.session_seconds: int | None = None
        self.role_delay = timedelta(0)
        self._made: dict[str, datetime] = {}
        self._keys: dict[str, Key] = {}
        self._roles: dict[str, tuple[str, str | None]] = {}
        self._lock = threading.Lock()
        self.access_key(default)

    def access_key(self, account: str) -> str:
        """Return the access key of a user of the account."""
        access_key = f"AKIA{account}USER"
        with self._lock:
            arn = f"arn:aws:iam::{account}:user/tester"
            self._keys.setdefault(access_key, Key(account, arn))
        return access_key

    def role(self, account: str, name: str, external_id: str | None) -> str:
        """Make a role that any caller may assume; return its ARN."""
        arn = f"arn:aws:iam::{account}:role/{name}"
        with self._lock:
            self._roles[arn] = account, external_id
        return arn

    def find(self, access_key: str) -> Key | None:
        return self._keys.get(access_key)

    def arn_of(self, access_key: str) -> str:
        key = self.find(access_key)
        return key.arn if key else "anonymous"

    def expire(self) -> None:
        """Expire every key that AssumeRole has issued so far."""
        with self._lock:
            for key in self._keys.values():
                key.is_expired |= key.is_session

    def assume(self, arn: str, session: str, external_id: str | None) -> tuple[str, Key] | None:
        """Return a new session's access key, or None if the caller may not assume the role."""
        with self._lock:
            account, wanted = self._roles.get(arn, ("", None))
            if not account or wanted not in (None, external_id):
                return None
            return self._enter(account, arn, session)

    def note_role(self, arn: str, now: datetime) -> None:
        """Remember when IAM made a role: STS knows it ``role_delay`` later."""
        with self._lock:
            self._made[arn] = now

    def assume_made(self, arn: str, session: str, now: datetime) -> tuple[str, Key] | None:
        """Return a new session's access key of a role that IAM made; None if it is too new."""
        with self._lock:
            if now < self._made.get(arn, now) + self.role_delay:
                return None
            return self._enter(arn.split(":")[4], arn, session)

    def _enter(self, account: str, arn: str, session: str) -> tuple[str, Key]:
        name = arn.rpartition("/")[2]
        key = Key(account, f"arn:aws:sts::{account}:assumed-role/{name}/{session}", True)
        key.role_arn = arn
        access_key = f"ASIA{len(self._keys):016d}"
        self._keys[access_key] = key
        return access_key, key


def get_caller_identity(call: Call) -> dict[str, Any]:
    arn = call.aws.accounts.arn_of(call.access_key)
    return {"UserId": call.access_key, "Account": call.account, "Arn": arn}


def assume_role(call: Call) -> dict[str, Any]:
    """Let the caller assume a role that the test made; otherwise refuse as AWS does."""
    params, accounts = call.params, call.aws.accounts
    arn = params["RoleArn"]
    session = accounts.assume(arn, params["RoleSessionName"], params.get("ExternalId"))
    if session is None and moto_route.trusts(arn, accounts.arn_of(call.access_key)):
        session = accounts.assume_made(arn, params["RoleSessionName"], call.aws.clock.now())
    if session is None:
        who = accounts.arn_of(call.access_key)
        text = f"User: {who} is not authorized to perform: sts:AssumeRole on resource: {arn}"
        raise AwsError("AccessDenied", text, 403)
    access_key, key = session
    seconds = accounts.session_seconds or params.get("DurationSeconds", 3600)
    credentials = {
        "AccessKeyId": access_key,
        "SecretAccessKey": "secret",
        "SessionToken": f"token-of-{access_key}",
        "Expiration": datetime.now(UTC) + timedelta(seconds=seconds),
    }
    user = {"AssumedRoleId": f"AROAFAKE:{params['RoleSessionName']}", "Arn": key.arn}
    return {"Credentials": credentials, "AssumedRoleUser": user}


def list_accounts(call: Call) -> dict[str, Any]:
    """Answer with a page of the organization's accounts, the management account first."""
    accounts = call.aws.accounts
    _check_organization(call)
    if call.account != accounts.default:
        raise AwsError(
            "AccessDeniedException", "You don't have permissions to access this resource."
        )
    listed, token = page(call, accounts.members, call.params.get("MaxResults", PAGE))
    answer: dict[str, Any] = {
        "Accounts": [
            _account(accounts.default, id_, is_suspended=id_ in accounts.suspended)
            for id_ in listed
        ]
    }
    return answer | ({"NextToken": token} if token else {})


def list_parents(call: Call) -> dict[str, Any]:
    """Answer with the unit that an account is in, which a test names, or the root."""
    _check_organization(call)
    unit = call.aws.accounts.units.get(call.params["ChildId"])
    if unit is None:
        return {"Parents": [{"Id": "r-fake", "Type": "ROOT"}]}
    return {"Parents": [{"Id": f"ou-fake-{unit.lower()}", "Type": "ORGANIZATIONAL_UNIT"}]}


def describe_unit(call: Call) -> dict[str, Any]:
    _check_organization(call)
    unit_id = call.params["OrganizationalUnitId"]
    names = {f"ou-fake-{unit.lower()}": unit for unit in call.aws.accounts.units.values()}
    return {"OrganizationalUnit": {"Id": unit_id, "Name": names[unit_id]}}


def describe_organization(call: Call) -> dict[str, Any]:
    _check_organization(call)
    management = call.aws.accounts.default
    return {
        "Organization": {
            "Id": "o-fakeexample",
            "Arn": f"arn:aws:organizations::{management}:organization/o-fakeexample",
            "FeatureSet": "ALL",
            "MasterAccountId": management,
        }
    }


def describe_regions(call: Call) -> dict[str, Any]:
    """Answer with the regions: the enabled ones, or all."""
    params = call.params
    wanted = {f["Name"]: f["Values"] for f in params.get("Filters", ())}
    statuses = wanted.get("opt-in-status")
    regions = [
        {"RegionName": name, "Endpoint": f"ec2.{name}.amazonaws.com", "OptInStatus": status}
        for name, status in call.aws.accounts.regions.items()
        if (params.get("AllRegions") or status != "not-opted-in")
        and (statuses is None or status in statuses)
        and name in params.get("RegionNames", [name])
    ]
    return {"Regions": regions}


STS: dict[str, Handler] = {"GetCallerIdentity": get_caller_identity, "AssumeRole": assume_role}
ORGANIZATIONS: dict[str, Handler] = {
    "ListAccounts": list_accounts,
    "DescribeOrganization": describe_organization,
    "ListParents": list_parents,
    "DescribeOrganizationalUnit": describe_unit,
}
EC2: dict[str, Handler] = {"DescribeRegions": describe_regions}


def _check_organization(call: Call) -> None:
    if call.account not in call.aws.accounts.members:
        raise AwsError(
            "AWSOrganizationsNotInUseException", "Your account is not a member of an organization."
        )


def _account(management: str, account: str, *, is_suspended: bool) -> dict[str, Any]:
    return {
        "Id": account,
        "Arn": f"arn:aws:organizations::{management}:account/o-fakeexample/{account}",
        "Email": f"{account}@example.com",
        "Name": f"account-{account}",
        "Status": "SUSPENDED" if is_suspended else "ACTIVE",
        "JoinedMethod": "CREATED",
    }
