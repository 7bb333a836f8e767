"""Who made a call: CloudTrail's ``userIdentity`` as a principal and a user name.

The *user* is the person or workload that a reader would recognize: the session name for a person's
session, the role for a workload. Whether a session is a person's shows, in this order:

1. the source identity, which a session cannot change;
2. a role of Identity Center, whose sessions are named after the person;
3. a session name that software made up (table ``session_names``): nobody;
4. a session name that is a mail address: a person, whatever the federation. SAML leaves no other
   sign of it;
5. ``onBehalfOf``: a person of Identity Center, by id, for whom an application has the session (IAM
   Identity Center user guide, "Identity-enhanced IAM role sessions", checked 2026-11-30);
6. the provider of a web identity (table ``identity_providers``): people log in at some, machines at
   others. At one that the table does not have, people do.

All but 1, 5 and 6 need only the ARN of the session, so an invocation log names the same user. What
these tell of a session, the warehouse remembers for its logs (``etl.warehouse.write.sessions``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from etl.normalise.fields import mapping, text
from etl.normalise.seeds import any_of, seed_rows

UNKNOWN = "(unknown)"

# Usage that no call explains. No user and no application may have this name.
UNATTRIBUTED = "(unattributed)"

# The team of calls that nothing assigns to one.
NO_TEAM = "(no team)"

NOBODY_NAMED = "userIdentity has no name"

_SSO_ROLE = "AWSReservedSSO_"

_MAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")

_OIDC_PROVIDER = ":oidc-provider/"


class Identity(NamedTuple):
    """``principal_arn`` has no session part; ``role_name`` is None unless a role was assumed.

    ``account_id``: the caller's account, if stated. ``provider``: who vouched for a federated
    session, as a host and path, or the ARN of a SAML provider. ``access_key_id``: of a session.
    """

    principal_arn: str
    principal_type: str
    user_name: str
    session_name: str | None = None
    role_name: str | None = None
    account_id: str | None = None
    provider: str | None = None
    access_key_id: str | None = None


class Provider(NamedTuple):
    """An identity provider: whether people log in there, and what it is."""

    is_for_people: bool
    what: str


def parse_identity(user_identity: object) -> Identity:
    """Read a ``userIdentity`` of any kind. What it does not state is ``(unknown)``."""
    return find_identity(user_identity)[0]


def find_identity(user_identity: object) -> tuple[Identity, str]:
    """Return the identity, and where the user's name comes from and why."""
    identity = mapping(user_identity)
    kind = text(identity.get("type")) or "Unknown"
    arn = text(identity.get("arn")) or ""
    account_id = text(identity.get("accountId"))
    access_key_id = text(identity.get("accessKeyId"))
    if not access_key_id or not is_temporary(access_key_id):
        access_key_id = None
    if kind == "AssumedRole":
        found, rule = _assumed_role(identity, arn, account_id)
        return found._replace(access_key_id=access_key_id), rule
    named = ("root", "the type is Root") if kind == "Root" else _user_name(identity, kind, arn)
    return Identity(arn, kind, named[0], None, None, account_id, None, access_key_id), named[1]


_PRINCIPAL_TYPES = {
    "assumed-role": "AssumedRole",
    "user": "IAMUser",
    "federated-user": "FederatedUser",
    "root": "Root",
}


def user_of_log(principal_arn: str, session_name: str, told: Collection[str]) -> str | None:
    """Return the user of a logged call by the users that CloudTrail tells of its session.

    None if it tells of none. With several, the session name does not tell which it was.
    """
    if len(told) > 1:
        return user_of_session(principal_arn, session_name)
    return next(iter(told), None)


def is_temporary(access_key_id: str) -> bool:
    """Return whether an access key belongs to a session: no other can have session tags."""
    return access_key_id.startswith("ASIA")


# A few callers make millions of calls.
@lru_cache(maxsize=4096)
def find_identity_of_arn(arn: str) -> tuple[Identity, str]:
    """Return the same for a principal of which only the ARN is known."""
    resource = arn.split(":", 5)[-1].partition("/")[0]
    return find_identity({"type": _PRINCIPAL_TYPES.get(resource, "Unknown"), "arn": arn})


def user_of_session(principal_arn: str, session_name: str | None) -> str:
    """Return the user that the ARN of a session names, as far as it alone tells."""
    arn = f"{principal_arn}/{session_name}" if session_name else principal_arn
    return find_identity_of_arn(arn)[0].user_name


@lru_cache(maxsize=4096)
def find_provider(provider: str) -> Provider | None:
    """Return what is known of an identity provider, a host and path; None for nothing."""
    host = provider.casefold()
    return next((known for pattern, known in _providers() if pattern.match(host)), None)


@lru_cache(maxsize=4096)
def is_made_up(session_name: str) -> bool:
    """Return whether software gave a session its name because nobody chose one."""
    return _made_up().fullmatch(session_name) is not None


def is_mail_address(name: str) -> bool:
    """Return whether a name is a mail address."""
    return _MAIL.fullmatch(name) is not None


def _user_name(identity: Mapping[str, Any], kind: str, arn: str) -> tuple[str, str]:
    """Return the name and where it was found."""
    principal_id = text(identity.get("principalId")) or ""
    choices: tuple[tuple[str | None, str], ...] = (
        (text(identity.get("userName")), "userIdentity.userName"),
        (text(identity.get("invokedBy")), "userIdentity.invokedBy, the service that called"),
        (_person_served(identity), "userIdentity.onBehalfOf.userId"),
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
    provider = _provider_of(context)
    person, why = _person(identity, role, session, provider)
    choices = (
        (person, why),
        (role, f"the role: {why}"),
        (
            None if session and is_made_up(session) else session,
            "the session name: the role has no name",
        ),
    )
    user_name, rule = next((c for c in choices if c[0]), (UNKNOWN, NOBODY_NAMED))
    found = Identity(
        principal_arn=role_arn or text(issuer.get("arn")) or "",
        principal_type="AssumedRole",
        user_name=user_name or UNKNOWN,
        session_name=session,
        role_name=role,
        account_id=account_id,
        provider=provider,
    )
    return found, rule


def _person(
    identity: Mapping[str, Any], role: str | None, session: str | None, provider: str | None
) -> tuple[str | None, str]:
    """Return the person behind a session, None if it is nobody's, and why."""
    source_identity = text(mapping(identity.get("sessionContext")).get("sourceIdentity"))
    if source_identity:
        return source_identity, "sourceIdentity, which a session cannot change"
    if session and role and role.startswith(_SSO_ROLE):
        return session, "the session name: for an Identity Center role it is the person"
    is_named = session is not None and not is_made_up(session)
    if session and is_named and is_mail_address(session):
        return session, "the session name: a mail address is a person's"
    if person := _person_served(identity):
        return person, "onBehalfOf.userId, the person of Identity Center that it is for"
    if session is None:
        return None, "there is no session name"
    if not is_named:
        return None, "software made the session name up"
    if provider is None:
        return None, "the session name is not a person's"
    known = find_provider(provider)
    if known is None:
        return session, f"the session name: {provider} is not known as a provider for software"
    if known.is_for_people:
        return session, f"the session name: people log in at {provider} ({known.what})"
    return None, f"software logs in at {provider} ({known.what})"


def _person_served(identity: Mapping[str, Any]) -> str | None:
    return text(mapping(identity.get("onBehalfOf")).get("userId"))


def _provider_of(context: Mapping[str, Any]) -> str | None:
    """Return who vouched for a session: a host and path, without the ARN of its OIDC provider."""
    named = text(mapping(context.get("webIdFederationData")).get("federatedProvider"))
    if named is None:
        return None
    return named.partition(_OIDC_PROVIDER)[2] or named


@cache
def _providers() -> tuple[tuple[re.Pattern[str], Provider], ...]:
    return tuple(
        (any_of([row["provider"]]), Provider(row["kind"] == "person", row["what"]))
        for row in seed_rows("identity_providers")
    )


@cache
def _made_up() -> re.Pattern[str]:
    patterns = (row["pattern"] for row in seed_rows("session_names"))
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def _split_session(arn: str) -> tuple[str, str | None]:
    """Split ``...:assumed-role/ROLE/SESSION`` into the ARN without its session, and the session."""
    head, _, resource = arn.partition(":assumed-role/")
    role, _, session = resource.partition("/")
    return (f"{head}:assumed-role/{role}", session or None) if role else (arn, None)


def _tail(arn: str) -> str | None:
    """Return an ARN's last part, the name of its user or role without any path."""
    return arn.rpartition("/")[2] if "/" in arn else arn.rpartition(":")[2] or None
