"""Shared applications: which teams pay for one, and in which fixed shares.

A count is split in whole numbers by the largest remainder (``etl.normalise.parts``). Of equal
remainders, the first name in the alphabet wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from etl.normalise.identity import NO_TEAM, UNATTRIBUTED
from etl.normalise.parts import whole_parts

# So that the table of what each rest becomes stays small. Enough for tenths of a percent.
_MOST = 1000


class TeamShare(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A shared application and the share of each team: whole numbers, of any sum up to 1,000.

    Raises ValueError if there are none, or one cannot be a share.
    """

    application: str
    shares: dict[str, int]

    def __post_init__(self) -> None:
        if not self.application.strip() or self.application == UNATTRIBUTED:
            raise ValueError(f"application {self.application!r} cannot be shared")
        if not self.shares:
            raise ValueError("shares is empty; give each team a whole number, like {Search = 60}")
        for team, share in self.shares.items():
            if not team.strip() or team in (NO_TEAM, UNATTRIBUTED):
                raise ValueError(f"shares: {team!r} cannot be a team")
            if share < 1:
                raise ValueError(f"shares: {team} = {share} is not a share; use 1 or more")
        if self.total > _MOST:
            raise ValueError(f"shares: they add up to {self.total:,}; the most is {_MOST:,}")

    @property
    def total(self) -> int:
        """The sum of the shares."""
        return sum(self.shares.values())

    def parts(self, count: int) -> Mapping[str, int]:
        """Return each team's part of a count of 0 or more."""
        teams = sorted(self.shares)
        parts = whole_parts(count, [self.shares[team] for team in teams])
        return dict(zip(teams, parts, strict=True))


def check_shares(shares: Sequence[TeamShare]) -> None:
    """Raise ValueError if an application is shared twice."""
    applications = [share.application for share in shares]
    for application in applications:
        if applications.count(application) > 1:
            raise ValueError(f"team_shares: {application!r} is shared twice")
