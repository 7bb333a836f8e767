"""Who runs the lab, by the name that the warehouse must show.

It is derived from the caller's ARN alone, without the code that reads CloudTrail's events: that
code is what the lab tests.
"""

from __future__ import annotations

from dataclasses import dataclass

from etl.sources.aws import Place

ROLE_SUFFIX = "-BedrockRole"
_SSO = "AWSReservedSSO_"


@dataclass(frozen=True)
class LabCaller:
    """The identity of the current credentials."""

    account_id: str
    arn: str

    @property
    def partition(self) -> str:
        """``aws``, ``aws-us-gov`` or ``aws-cn``."""
        return self.arn.split(":")[1]

    @property
    def user_name(self) -> str:
        """The user's or role's name; for an Identity Center role the person's name."""
        kind, _, rest = self.arn.split(":", 5)[5].partition("/")
        if kind == "assumed-role":
            role, _, session = rest.partition("/")
            return session if role.startswith(_SSO) else role
        return rest.rpartition("/")[2] or kind

    @property
    def is_root(self) -> bool:
        """Whether it is the account's root user, which cannot assume roles."""
        return self.arn.endswith(":root")

    @property
    def role_name(self) -> str | None:
        """The role, if one was assumed."""
        kind, _, rest = self.arn.split(":", 5)[5].partition("/")
        return rest.partition("/")[0] if kind == "assumed-role" else None


def find_caller(place: Place) -> LabCaller:
    """Ask AWS who we are. Raises the kinds of SourceError."""
    answer = place.call("sts", "GetCallerIdentity", {}, requires="Arn")
    return LabCaller(answer["Account"], answer["Arn"])


def application_of_role(role_name: str) -> str:
    """Return the application that a role's name gives: the part before ``-BedrockRole``."""
    return role_name.removesuffix(ROLE_SUFFIX)
