"""The least that AWS has to allow: IAM policies for exactly the operations that are called.

Everything is read-only except the archive that ``sync`` can write, and what the lab and ``MONITOR``
need. What a source needs is in its record (``etl.registry``). ``tests/cli/test_policy.py`` compares
both with the code that calls AWS: neither can have an action that the other lacks. STS
GetCallerIdentity is not listed, because it needs no permission.

Resources: CloudTrail's LookupEvents, CloudWatch's reads, and the lists of EC2, Organizations and
Bedrock take no resource, so theirs is ``*``. A single inference profile has an ARN. So does a log
group: in a policy, with ``:*`` after its name.

Source: Service Authorization Reference, pages of each service (checked 2026-11-25).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from etl.registry import Grant, source_of, sources_of

VERSION = "2012-10-17"

# For each folder of files that is read; the caller itself makes both requests.
LOG_FILES = (
    Grant("LogBuckets", ("s3:ListBucket",), "arn:{partition}:s3:::{bucket}"),
    Grant("LogFiles", ("s3:GetObject",), "arn:{partition}:s3:::{bucket}/{prefix}*"),
)
# For the folder that a sync archives raw events in: nothing in it is read, listed or deleted.
ARCHIVE = Grant("Archive", ("s3:PutObject",), "arn:{partition}:s3:::{bucket}/{prefix}AWSLogs/*")
REGIONS = Grant("Regions", ("ec2:DescribeRegions",))
ORGANIZATION = Grant("Organization", ("organizations:ListAccounts",))
# For the names of the units that accounts are in.
UNITS = Grant(
    "OrganizationUnits",
    ("organizations:DescribeOrganizationalUnit", "organizations:ListParents"),
)
# AWS's Price List through its API; the public files need no permission.
PRICES = Grant(
    "Prices", ("pricing:GetPriceListFileUrl", "pricing:GetProducts", "pricing:ListPriceLists")
)
DOCTOR = Grant("Doctor", ("bedrock:GetModelInvocationLoggingConfiguration",))
# For publishing. PutMetricData takes no resource; its condition is the namespace. Dashboards have
# no region; alarms and topics have this program's names. Two services can have an action of the
# same name (ListTagsForResource), so each statement covers one service.
MONITOR = (
    Grant("MonitorMetrics", ("cloudwatch:PutMetricData",), "*", "Custom/BedrockUsage"),
    Grant("MonitorReadBack", ("cloudwatch:GetMetricData",)),
    Grant(
        "MonitorDashboard",
        ("cloudwatch:GetDashboard", "cloudwatch:PutDashboard", "cloudwatch:DeleteDashboards"),
        "arn:{partition}:cloudwatch::*:dashboard/BedrockUsage",
    ),
    Grant("MonitorListAlarms", ("cloudwatch:DescribeAlarms",)),
    Grant(
        "MonitorAlarms",
        (
            *("cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"),
            *("cloudwatch:ListTagsForResource", "cloudwatch:TagResource"),
        ),
        "arn:{partition}:cloudwatch:*:*:alarm:BedrockUsage/*",
    ),
    Grant(
        "MonitorTopic",
        (
            *("sns:CreateTopic", "sns:TagResource", "sns:ListTagsForResource", "sns:Subscribe"),
            *("sns:ListSubscriptionsByTopic", "sns:DeleteTopic"),
        ),
        "arn:{partition}:sns:*:*:BedrockUsage-alarms",
    ),
)
ASSUME_ROLE = "sts:AssumeRole"
# For the lab: its roles, whatever their path, and calls of models in the caller's own name. Roles
# of real applications may have such names too: those without the tag may only be read.
LAB_TAG = ("bedrock-usage:lab", "true")
_LAB_ROLE = "arn:{partition}:iam::*:role/*-BedrockRole"
LAB_ROLES = (
    Grant(
        "LabLook",
        (
            *("iam:GetRole", "iam:GetRolePolicy"),
            *("iam:ListAttachedRolePolicies", "iam:ListRolePolicies"),
        ),
        _LAB_ROLE,
    ),
    Grant("LabMake", ("iam:CreateRole", "iam:TagRole"), _LAB_ROLE, tag_of="Request"),
    Grant(
        "LabRoles",
        (
            *("iam:UpdateAssumeRolePolicy", "iam:PutRolePolicy", "iam:DeleteRolePolicy"),
            *("iam:DeleteRole", ASSUME_ROLE),
        ),
        _LAB_ROLE,
        tag_of="Resource",
    ),
)
LAB_CALLS = ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream")
LAB_MODELS = (
    "arn:{partition}:bedrock:*:*:application-inference-profile/*",
    "arn:{partition}:bedrock:*:*:inference-profile/*",
    "arn:{partition}:bedrock:*::foundation-model/*",
)


@dataclass(frozen=True)
class PolicyScope:
    """What is read, and through which roles.

    ``sources``: what is read in each account and region; ``settings``: what the resources of their
    grants refer to. ``role_name``: the role in each account of the organisation, None without an
    organisation. ``role_arns``: the roles whose accounts are read instead of the caller's own.
    ``log_folders``: the folders read in S3, as ``s3://bucket/prefix/``. ``bucket_roles``: the roles
    to assume for other folders in S3. ``archive``: the folder in S3 that raw events are written to,
    with a trailing slash. ``has_prices``: whether the Price List is read through the API.
    ``has_units``: whether the units of accounts are.
    """

    sources: Sequence[str]
    has_all_regions: bool = True
    has_doctor: bool = True
    role_name: str | None = None
    role_arns: Sequence[str] = ()
    partition: str = "aws"
    log_folders: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    bucket_roles: Sequence[str] = ()
    archive: str | None = None
    has_prices: bool = False
    has_units: bool = False

    @property
    def has_roles(self) -> bool:
        return bool(self.role_arns) or self.role_name is not None


def caller_policy(reading: PolicyScope) -> dict[str, Any]:
    """Return the policy of the caller that runs the program.

    With ``role_arns`` the caller's own account is not read, so the caller only needs to assume
    those roles. An organisation's management account is read directly.
    """
    grants = [] if reading.role_arns else list(_account_grants(reading))
    if reading.role_name is not None and not reading.role_arns:
        grants.append(ORGANIZATION)
        if reading.has_units:
            grants.append(UNITS)
    if reading.has_prices:
        grants.append(PRICES)
    statements = [_statement(grant.sid, grant.actions, _of(grant, reading)) for grant in grants]
    statements += _log_statements(reading)
    if reading.archive:
        statements.append(_of_folders(ARCHIVE, [reading.archive], reading))
    if roles := _roles(reading):
        statements.append(_statement("AssumeRoles", [ASSUME_ROLE], roles))
    return {"Version": VERSION, "Statement": statements}


def member_policy(reading: PolicyScope) -> dict[str, Any]:
    """Return the policy of a role that is assumed to read its account."""
    statements = [
        _statement(grant.sid, grant.actions, _of(grant, reading))
        for grant in _account_grants(reading)
    ]
    return {"Version": VERSION, "Statement": statements}


def lab_policy(partition: str) -> dict[str, Any]:
    """Return the policy for running the lab, in addition to what reading needs."""
    models = [model.format(partition=partition) for model in LAB_MODELS]
    statements = [
        *(_of_tag(grant, partition) for grant in LAB_ROLES),
        _statement("LabCalls", LAB_CALLS, models),
        *(_statement(grant.sid, grant.actions, ["*"]) for grant in source_of("cloudtrail").grants),
    ]
    return {"Version": VERSION, "Statement": statements}


def _of_tag(grant: Grant, partition: str) -> dict[str, Any]:
    resource = grant.resource.format(partition=partition)
    statement = _statement(grant.sid, grant.actions, [resource])
    if grant.tag_of is not None:
        key, value = LAB_TAG
        statement["Condition"] = {"StringEquals": {f"aws:{grant.tag_of}Tag/{key}": value}}
    return statement


def monitor_policy(partition: str) -> dict[str, Any]:
    """Return the policy for publishing live metrics and creating the dashboard and alarms.

    Beyond reading it allows only actions on resources with this program's names.
    """
    statements = []
    for grant in MONITOR:
        resource = grant.resource.format(partition=partition)
        statement = _statement(grant.sid, grant.actions, [resource])
        if grant.namespace is not None:
            condition = {"StringEquals": {"cloudwatch:namespace": grant.namespace}}
            statement["Condition"] = condition
        statements.append(statement)
    return {"Version": VERSION, "Statement": statements}


def trust_policy(principal_arn: str) -> dict[str, Any]:
    """Return the trust policy of such a role: the principal that may assume it."""
    statement = {
        "Sid": "BedrockUsage",
        "Effect": "Allow",
        "Principal": {"AWS": principal_arn},
        "Action": ASSUME_ROLE,
    }
    return {"Version": VERSION, "Statement": [statement]}


def _account_grants(reading: PolicyScope) -> Iterator[Grant]:
    """Yield the grants for reading one account."""
    # Two sources may need the same.
    yield from dict.fromkeys(g for one in sources_of(reading.sources) for g in one.grants)
    if reading.has_all_regions:
        yield REGIONS
    if reading.has_doctor:
        yield DOCTOR


def _of(grant: Grant, reading: PolicyScope) -> list[str]:
    return [grant.resource.format(partition=reading.partition, **reading.settings)]


def _log_statements(reading: PolicyScope) -> list[dict[str, Any]]:
    if not reading.log_folders:
        return []
    return [_of_folders(grant, reading.log_folders, reading) for grant in LOG_FILES]


def _of_folders(grant: Grant, folders: Sequence[str], reading: PolicyScope) -> dict[str, Any]:
    addresses = [folder.removeprefix("s3://").partition("/") for folder in folders]
    resources = {
        grant.resource.format(partition=reading.partition, bucket=bucket, prefix=prefix)
        for bucket, _, prefix in addresses
    }
    return _statement(grant.sid, grant.actions, sorted(resources))


def _roles(reading: PolicyScope) -> list[str]:
    roles = {*reading.role_arns, *reading.bucket_roles}
    if reading.role_name is not None and not reading.role_arns:
        roles.add(f"arn:{reading.partition}:iam::*:role/{reading.role_name}")
    return sorted(roles)


def _statement(sid: str, actions: Iterable[str], resources: Sequence[str]) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": resources[0] if len(resources) == 1 else list(resources),
    }
