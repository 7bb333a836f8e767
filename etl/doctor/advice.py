"""What went wrong, and what to do about it: who needs which permission."""

from __future__ import annotations

import re

from etl.errors import RetriableError, SourceError
from etl.sources.accounts import SESSION_NAME
from etl.sources.aws import DENIED

# The finding names the place already.
_WHERE = re.compile(r"^.*?\(account [^)]*\): ")


def advise(
    error: SourceError, action: str | None = None, caller: str | None = None
) -> tuple[str, str]:
    """Return what went wrong, and what to do about it."""
    words = _WHERE.sub("", str(error))
    if isinstance(error, RetriableError):
        problem, _, advice = words.partition("; ")
        return problem, advice or "try again later"
    if error.code in DENIED:
        return f"denied ({error.code})", add_permission(
            action, caller
        ) if action and caller else words
    return error.code or "no credentials", words


def add_permission(action: str, caller: str) -> str:
    # Roles that this program has assumed need another policy.
    member = " --member" if caller.endswith(f"/{SESSION_NAME}") else ""
    return (
        f"add {action} to the policy of {principal(caller)}: `bedrock-usage policy{member}` prints"
        " it. If it is already there, a permissions boundary or an organisation policy denies it"
    )


def principal(arn: str) -> str:
    """Name a caller: the role of a session, a user, the root user."""
    parts = arn.split(":", 5)
    kind, _, name = parts[-1].partition("/")
    if kind == "assumed-role":
        kind, name = "role", name.rpartition("/")[0]
    return f"{kind} {name}".strip() + f" of account {parts[4]}"


def principal_arn(arn: str) -> str:
    """Return the ARN for a trust policy: a session's role, or for SSO roles the account.

    The ARN of a session lacks the path of its role, and Identity Center roles always have one.
    """
    partition, account, name = arn.split(":")[1], arn.split(":")[4], arn.split(":", 5)[-1]
    if not name.startswith("assumed-role/"):
        return arn
    role = name.split("/")[1]
    is_sso = role.startswith("AWSReservedSSO_")
    return f"arn:{partition}:iam::{account}:" + ("root" if is_sso else f"role/{role}")
