"""Usage around the ends of months: of many users, applications and teams, priced or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sqlite_utils import Database

from etl.normalise.rules import TeamRule
from etl.normalise.team_shares import TeamShare
from etl.warehouse.write.attribution import apply_config
from etl.warehouse.write.team_shares import apply_team_shares
from tests.support import HAIKU, call, load, write_log, write_metrics

UNPRICED = "acme.unheard-of-v1"
NOVA = "amazon.nova-pro-v1:0"
MODELS = (HAIKU, NOVA, UNPRICED)

# The first and the last second of months.
MOMENTS = (
    "2026-09-30T23:59:59Z", "2026-10-01T00:00:00Z", "2026-10-15T10:15:00Z", "2026-10-31T23:59:59Z",
    "2026-11-01T00:00:00Z",
)  # fmt: skip
HOUR = "2026-10-15T10:00:00Z"
TEAMS = {"chat": "Red", "search": "Blue", "mail": "Red", "gateway": "Grey"}
SHARES = {"Blue": 3, "Green": 2, "Red": 2}


class Used(NamedTuple):
    """A call. ``tokens`` None: it tells none, and has a part of CloudWatch's totals."""

    moment: str
    user: str
    application: str
    model: str
    tokens: tuple[int, int] | None
    is_failed: bool = False


def fill(
    db: Database,
    folder: Path,
    calls: Sequence[Used],
    metrics: Sequence[tuple[str, int]] = (),
    *,
    is_shared: bool = True,
) -> None:
    """Load calls, and totals of ``HOUR`` by model; the application ``gateway`` may be shared."""
    events = [
        call(
            number,
            user=one.user,
            tokens=one.tokens,
            eventTime=one.moment,
            userAgent=f"Boto3/1.42.97 app/{one.application}",
            requestParameters={"modelId": one.model},
            errorCode="ThrottlingException" if one.is_failed else None,
        )
        for number, one in enumerate(calls, 1)
    ]
    rules = [TeamRule(team=team, application=name) for name, team in TEAMS.items()]
    apply_config(db, rules, {})
    shares = [TeamShare(application="gateway", shares=SHARES)] if is_shared else []
    apply_team_shares(db, shares)
    totals = [(model, "InputTokenCount", value, HOUR, 3600) for model, value in metrics]
    totals += [(model, "Invocations", 9, HOUR, 3600) for model in {model for model, _ in metrics}]
    load(db, write_log(folder / "log.json", events), write_metrics(folder / "cw.csv", totals))
