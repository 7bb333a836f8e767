"""Who made a call: CloudTrail's ``userIdentity`` as a principal and a user name.

The *user* is the person or workload that a reader would recognize: the session name for a person's
federated session, the role for a workload. A workload's session name is noise (an instance id, a
task id, a random UUID) and never a user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from etl.normalise.fields import mapping, text

UNKNOWN = "(unknown)"

# Usage that no call explains. No user and no application may have this name.
UNATTRIBUTED = "(unattributed)"

NOBODY_NAMED = "userIdentity has no name"

_SSO_ROLE = "AWSReservedSSO_"

# Session names that software generates when none was chosen (DECISIONS 11).
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

    ``account_id``: the caller's account, if stated.
    """

    principal_arn: str
    principal_type: str
    user_name: str
    session_name: str | None = None
    role_name: str | None = None
    account_id: str | None = None


def parse_identity(user_identity: object) -> Identity:
    """Read a ``userIdentity`` of any kind. What it does not state is ``(unknown)``."""
    return find_identity(user_identity)[0]


def find_identity(user_identity: object) -> tuple[Identity, str]:
    """Return the identity, and where the user's name comes from and why."""
    identity = mapping(user_identity)
    kind = text(identity.get("type")) or "Unknown"
    arn = text(identity.get("arn")) or ""
    account_id = text(identity.get("accountId"))
    if kind == "AssumedRole":
        return _assumed_role(identity, arn, account_id)
    named = ("root", "the type is Root") if kind == "Root" else _user_name(identity, kind, arn)
    return Identity(arn, kind, named[0], account_id=account_id), named[1]


def _user_name(identity: Mapping[str, Any], kind: str, arn: str) -> tuple[str, str]:
    """Return the name and where it was found."""
    principal_id = text(identity.get("principalId")) or ""
    choices: tuple[tuple[str | None, str], ...] = (
        (text(identity.get("userName")), "userIdentity.userName"),
        (text(identity.get("invokedBy")), "userIdentity.invokedBy, the service that called"),
        (text(mapping(identity.get("onBehalfOf")).get("userId")), "userIdentity.onBehalfOf.userId"),
        (_tail(arn), "the end of userIdentity.arn"),
        (_account_name(identity) if kind == "AWSAccount" else None, "userIdentity.accountId"),
        (principal_id.rpartition(":")[2], "the end of userIdentity.principalId"),
    )
    return next(((name, rule) for name, rule in choices if name), (UNKNOWN, NOBODY_NAMED))


def _account_name(identity: Mapping[str, Any]) -> str | None:
    account_id = text(identity.get("accountId"))
    return f"account {account_id}" if account_id else None


def _assumed_role(
    identity: Mapping[str, Any], arn: str, account_id: str | None
) -> tuple[Identity, str]:
    context = mapping(identity.get("sessionContext"))
    issuer = mapping(context.get("sessionIssuer"))
    role_arn, arn_session = _split_session(arn)
    principal_session = (text(identity.get("principalId")) or "").partition(":")[2]
    session = arn_session or principal_session or None
    role = text(issuer.get("userName")) or _tail(text(issuer.get("arn")) or role_arn)
    choices = (
        _person(context, role, session),
        (role, "the role: the session name is not a person's"),
        (session, "the session name: the role has no name"),
    )
    user_name, rule = next((c for c in choices if c[0]), (UNKNOWN, NOBODY_NAMED))
    found = Identity(
        principal_arn=role_arn or text(issuer.get("arn")) or "",
        principal_type="AssumedRole",
        user_name=user_name or UNKNOWN,
        session_name=session,
        role_name=role,
        account_id=account_id,
    )
    return found, rule


def _person(
    context: Mapping[str, Any], role: str | None, session: str | None
) -> tuple[str | None, str]:
    # The source identity survives role chaining and cannot be changed by the session.
    source_identity = text(context.get("sourceIdentity"))
    if source_identity:
        return source_identity, "sourceIdentity, which a session cannot change"
    if role and role.startswith(_SSO_ROLE):
        return session, "the session name: for an Identity Center role it is the person"
    is_federated = mapping(context.get("webIdFederationData")).get("federatedProvider")
    if is_federated and session and not _NOISE.fullmatch(session):
        return session, "the session name: the session is federated, and the name was not generated"
    return None, ""


def _split_session(arn: str) -> tuple[str, str | None]:
    """Split ``...:assumed-role/ROLE/SESSION`` into the ARN without its session, and the session."""
    head, _, resource = arn.partition(":assumed-role/")
    role, _, session = resource.partition("/")
    return (f"{head}:assumed-role/{role}", session or None) if role else (arn, None)


def _tail(arn: str) -> str | None:
    """Return an ARN's last part, the name of its user or role without any path."""
    return arn.rpartition("/")[2] if "/" in arn else arn.rpartition(":")[2] or None
