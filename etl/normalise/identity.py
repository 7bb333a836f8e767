"""Who made a call: CloudTrail's ``userIdentity`` as a principal and a user name.

The *user* is the person or the workload that somebody would recognise: for a person's federated
session its session name, for a workload's role the role. The session name of a workload is noise
(an instance id, a task id, a random uuid) and never a user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from etl.normalise.fields import mapping, text

UNKNOWN = "(unknown)"

# Stands for usage that no call explains; no user and no application may be given the name.
UNATTRIBUTED = "(unattributed)"

_SSO_ROLE = "AWSReservedSSO_"

# Session names that software makes up when nobody chose one.
_NOISE = re.compile(
    r"i-[0-9a-f]{8,17}"  # EC2
    r"|[0-9a-f]{32}"  # ECS
    r"|BedrockAgentCore-.*"
    r"|(?:botocore|boto3)-session-.*|aws-sdk-.*|aws-go-sdk-.*|eks-.*"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|\d{10,}"
    r"|GitHubActions"
)


class Identity(NamedTuple):
    """``principal_arn`` has no session part; ``role_name`` is None unless a role was assumed.

    ``account_id``: the caller's, where it is stated.
    """

    principal_arn: str
    principal_type: str
    user_name: str
    session_name: str | None = None
    role_name: str | None = None
    account_id: str | None = None


def parse_identity(user_identity: object) -> Identity:
    """Read a ``userIdentity`` of any kind; what cannot be told is ``(unknown)``."""
    identity = mapping(user_identity)
    kind = text(identity.get("type")) or "Unknown"
    arn = text(identity.get("arn")) or ""
    account_id = text(identity.get("accountId"))
    if kind == "AssumedRole":
        return _assumed_role(identity, arn, account_id)
    user_name = "root" if kind == "Root" else _user_name(identity, kind, arn)
    return Identity(arn, kind, user_name, account_id=account_id)


def _user_name(identity: Mapping[str, Any], kind: str, arn: str) -> str:
    principal_id = text(identity.get("principalId")) or ""
    choices: tuple[str | None, ...] = (
        text(identity.get("userName")),
        text(identity.get("invokedBy")),
        text(mapping(identity.get("onBehalfOf")).get("userId")),
        _tail(arn),
        _account_name(identity) if kind == "AWSAccount" else None,
        principal_id.rpartition(":")[2],
    )
    return next((name for name in choices if name), UNKNOWN)


def _account_name(identity: Mapping[str, Any]) -> str | None:
    account_id = text(identity.get("accountId"))
    return f"account {account_id}" if account_id else None


def _assumed_role(identity: Mapping[str, Any], arn: str, account_id: str | None) -> Identity:
    context = mapping(identity.get("sessionContext"))
    issuer = mapping(context.get("sessionIssuer"))
    role_arn, arn_session = _split_session(arn)
    principal_session = (text(identity.get("principalId")) or "").partition(":")[2]
    session = arn_session or principal_session or None
    role = text(issuer.get("userName")) or _tail(text(issuer.get("arn")) or role_arn)
    return Identity(
        principal_arn=role_arn or text(issuer.get("arn")) or "",
        principal_type="AssumedRole",
        user_name=_person(context, role, session) or role or session or UNKNOWN,
        session_name=session,
        role_name=role,
        account_id=account_id,
    )


def _person(context: Mapping[str, Any], role: str | None, session: str | None) -> str | None:
    # The source identity survives role chaining and cannot be changed by the session.
    source_identity = text(context.get("sourceIdentity"))
    if source_identity:
        return source_identity
    if role and role.startswith(_SSO_ROLE):
        return session
    is_federated = mapping(context.get("webIdFederationData")).get("federatedProvider")
    if is_federated and session and not _NOISE.fullmatch(session):
        return session
    return None


def _split_session(arn: str) -> tuple[str, str | None]:
    """Split ``...:assumed-role/ROLE/SESSION`` into the ARN without its session, and the session."""
    head, _, resource = arn.partition(":assumed-role/")
    role, _, session = resource.partition("/")
    return (f"{head}:assumed-role/{role}", session or None) if role else (arn, None)


def _tail(arn: str) -> str | None:
    """Return an ARN's last part, the name of its user or role, whatever path stands before it."""
    return arn.rpartition("/")[2] if "/" in arn else arn.rpartition(":")[2] or None
