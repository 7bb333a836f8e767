"""Every kind of userIdentity, and the user it names."""

from typing import Any

from etl.normalise.identity import parse_identity
from tests.cases import cases
from tests.support import ACCOUNT, role_identity, user_identity

SSO_ROLE = "AWSReservedSSO_BedrockUser_0123456789abcdef"


def federated(provider: str) -> dict[str, Any]:
    return {"webIdFederationData": {"federatedProvider": provider}}


@cases(
    ("identity", "user"),
    [
        (user_identity("alice"), "alice"),
        (user_identity("BedrockAPIKey-7k2m"), "BedrockAPIKey-7k2m"),
        ({"type": "IAMUser", "arn": f"arn:aws:iam::{ACCOUNT}:user/team/alice"}, "alice"),
        (role_identity("web-role"), "web-role"),
        (role_identity("task-role", "21648c392d544730bcf8b4c42032021d"), "task-role"),
        (role_identity(SSO_ROLE, "alice@example.com"), "alice@example.com"),
        (role_identity("shared", "anything", sourceIdentity="bob"), "bob"),
        (role_identity("web-app", "carol", **federated("accounts.google.com")), "carol"),
        (role_identity("pod-role", "botocore-session-1700000000", **federated("oidc.eks")), "pod-role"),
        (role_identity("deploy", "GitHubActions", **federated("github")), "deploy"),
        (role_identity("agent", "BedrockAgentCore-1f6e2d7c-0000-4000-8000-000000000000"), "agent"),
        # No session context, the ARN is the role's: the session is in the principal id.
        (
            {
                "type": "AssumedRole",
                "principalId": "AROAEXAMPLE:dave@example.com",
                "arn": f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/{SSO_ROLE}",
            },
            "dave@example.com",
        ),
        # An invocation log has only the session ARN.
        ({"type": "AssumedRole", "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/app/s-1"}, "app"),
        ({"type": "Root", "arn": f"arn:aws:iam::{ACCOUNT}:root"}, "root"),
        ({"type": "AWSService", "invokedBy": "bedrock.amazonaws.com"}, "bedrock.amazonaws.com"),
        ({"accountId": ACCOUNT, "invokedBy": "AWS Internal"}, "AWS Internal"),
        (
            {"type": "FederatedUser", "arn": f"arn:aws:sts::{ACCOUNT}:federated-user/reports"},
            "reports",
        ),
        ({"type": "AWSAccount", "principalId": "AIDAEXAMPLE:x", "accountId": "444455556666"}, "account 444455556666"),
        ({"type": "IdentityCenterUser", "onBehalfOf": {"userId": "u-1"}}, "u-1"),
        ({"type": "SAMLUser", "userName": "erin@example.com"}, "erin@example.com"),
        ({}, "(unknown)"),
        (None, "(unknown)"),
        ("text", "(unknown)"),
        ({"type": "AssumedRole"}, "(unknown)"),
    ],
)  # fmt: skip
def test_user_of_an_identity(identity: object, user: str) -> None:
    assert parse_identity(identity).user_name == user


def test_principal_has_no_session_part_and_the_session_is_kept_separately() -> None:
    identity = parse_identity(role_identity("web-role", "i-0123456789abcdef0"))
    assert identity.principal_arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/web-role"
    assert identity.session_name == "i-0123456789abcdef0"
    assert identity.role_name == "web-role"


def test_only_an_assumed_role_has_a_role_name() -> None:
    assert parse_identity(user_identity("x-BedrockRole")).role_name is None
