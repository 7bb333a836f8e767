"""Every kind of userIdentity, and the user it names."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.normalise.identity import find_identity_of_arn, parse_identity
from etl.normalise.seeds import seed_rows
from tests.cases import cases
from tests.support import ACCOUNT, role_identity, user_identity

ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role"
SSO_ROLE = "AWSReservedSSO_BedrockUser_0123456789abcdef"
FOR_U1 = {"onBehalfOf": {"userId": "u-1", "identityStoreArn": "arn:aws:identitystore::1:x/d-1"}}


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
        # An application's session for a person of Identity Center.
        (role_identity("desk", "desk-7") | FOR_U1, "u-1"),
        (role_identity("desk", "0f1e2d3c-4b5a-4678-9abc-def012345678") | FOR_U1, "u-1"),
        (role_identity("desk", "desk-7", sourceIdentity="bob") | FOR_U1, "bob"),
        (role_identity(SSO_ROLE, "alice") | FOR_U1, "alice"),
        (role_identity("desk", "carol@example.com") | FOR_U1, "carol@example.com"),
        (role_identity("desk", "desk-7") | {"onBehalfOf": {"userId": " "}}, "desk"),
        ({}, "(unknown)"),
        (None, "(unknown)"),
        ("text", "(unknown)"),
        ({"type": "AssumedRole"}, "(unknown)"),
    ],
)  # fmt: skip
def test_user_of_an_identity(identity: object, user: str) -> None:
    assert parse_identity(identity).user_name == user


MADE_UP = [row["example"] for row in seed_rows("session_names")]
PROVIDERS = [row["provider"].replace("*", "x") for row in seed_rows("identity_providers")]
# As SDKs, agents and CI write them when nobody names the session; digits stand for any time or run.
DEFAULT_NAMES = [
    *("botocore-session-{}", "AWS-CLI-session-{}", "aws-go-sdk-{}", "aws-sdk-java-{}"),
    *("aws-sdk-js-session-{}", "aws-sdk-js-{}", "aws-sdk-php-{}", "aws-sdk-kotlin-{}"),
    *("aws-dotnet-sdk-session-{}", "web-identity-token-{}", "assume-role-provider-{}"),
    *("litellm-session-{}", "GitHubActions-{}", "GitLabRunner-17-{}", "CircleCI-{}", "{}"),
    *("CognitoIdentityCredentials", "GitHubActions", "web-identity", "default_session"),
    "BedrockAgentCore-0f1e2d3c-4b5a-4678-9abc-{:.12}",
]


def session_names() -> st.SearchStrategy[str]:
    uuids = st.uuids(version=4).map(str)
    return st.one_of(
        st.builds(str.format, st.sampled_from(DEFAULT_NAMES), st.integers(10**12, 10**19).map(str)),
        st.sampled_from(MADE_UP),
        uuids,
        uuids.map(str.upper),
        uuids.map(lambda uuid: base64.b64encode(uuid.encode()).decode()),
        uuids.map(lambda uuid: uuid.replace("-", "")),
    )


@given(
    session=session_names(), provider=st.none() | st.sampled_from([*PROVIDERS, "id.corp.example"])
)
def test_no_name_that_software_makes_up_is_ever_a_person(
    session: str, provider: str | None
) -> None:
    context = federated(provider) if provider else {}
    assert parse_identity(role_identity("chat", session, **context)).user_name == "chat"
    assert find_identity_of_arn(f"{ROLE}/chat/{session}")[0].user_name == "chat"
    nameless = parse_identity({"type": "AssumedRole", "principalId": f"AROA:{session}"})
    assert nameless.user_name == "(unknown)"


@given(
    session=st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8})?(\+[a-z]{1,4})?@[a-z]{1,8}\.(example|co\.test)", fullmatch=True),
    provider=st.none() | st.sampled_from([*PROVIDERS, "id.corp.example"]),
)  # fmt: skip
def test_a_mail_address_is_a_person_whatever_the_federation(
    session: str, provider: str | None
) -> None:
    context = federated(provider) if provider else {}
    assert parse_identity(role_identity("chat", session, **context)).user_name == session
    assert find_identity_of_arn(f"{ROLE}/chat/{session}")[0].user_name == session


@pytest.mark.parametrize(
    ("provider", "user"),
    [
        ("oidc.eks.eu-west-1.amazonaws.com/id/0F1E", "chat"),
        ("token.actions.githubusercontent.com", "chat"),
        ("gitlab.com", "chat"),
        ("gitlab.corp.example", "chat"),
        ("cognito-identity.amazonaws.com", "chat"),
        ("cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12", "rosa.v"),
        ("accounts.google.com", "rosa.v"),
        ("corp.okta.com", "rosa.v"),
        ("id.corp.example/realms/staff", "rosa.v"),
        ("id.corp.example", "rosa.v"),
        (f"arn:aws:iam::{ACCOUNT}:saml-provider/corp", "rosa.v"),
    ],
)
def test_a_web_identity_is_judged_by_its_provider(provider: str, user: str) -> None:
    arn = (
        provider
        if provider.startswith("arn:")
        else f"arn:aws:iam::{ACCOUNT}:oidc-provider/{provider}"
    )
    for named in (arn, provider):
        identity = parse_identity(role_identity("chat", "rosa.v", **federated(named)))
        assert (identity.user_name, identity.provider) == (user, provider)


@pytest.mark.parametrize(
    ("session", "is_person"),
    [("prod@v2", False), ("@corp.example", False), ("a b@corp.example", False), ("x@y@z.example", False),
     ("vera@corp.example.", False), ("vera@corp.example", True)],
)  # fmt: skip
def test_not_everything_with_an_at_sign_is_a_mail_address(session: str, is_person: bool) -> None:
    user = parse_identity(role_identity("chat", session)).user_name
    assert user == (session if is_person else "chat")


def test_principal_has_no_session_part_and_the_session_is_kept_separately() -> None:
    identity = parse_identity(role_identity("web-role", "i-0123456789abcdef0"))
    assert identity.principal_arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/web-role"
    assert identity.session_name == "i-0123456789abcdef0"
    assert identity.role_name == "web-role"


def test_only_an_assumed_role_has_a_role_name() -> None:
    assert parse_identity(user_identity("x-BedrockRole")).role_name is None
