"""Run the reports in the files of ``sql`` and return their rows as dicts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from etl.errors import DataError
from etl.normalise.model_ids import parse_model_id
from etl.normalise.model_names import ids_of
from etl.sql_files import sql_text

DIMENSIONS = ("day", "user_name", "application", "team", "region", "model_id")


@dataclass(frozen=True)
class Filters:
    """The filters of a report; days are UTC and inclusive, an empty tuple means no limit.

    ``visible_applications``, ``visible_teams``: what the reader may see, None for all. Unlike a
    filter, they also limit what a report says of days, of the last call and of what is missing.
    ``own_user``: the user that the reader is, None if unknown; has a budget of their own.
    """

    since: str | None = None
    until: str | None = None
    regions: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    visible_applications: tuple[str, ...] | None = None
    visible_teams: tuple[str, ...] | None = None
    own_user: str | None = None

    @property
    def sees_all(self) -> bool:
        """Whether the reader may see all usage."""
        return self.visible_applications is None and self.visible_teams is None

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """The names chosen, by their kind; kinds without any are left out."""
        kinds = {
            "region": self.regions,
            "model": self.models,
            "user": self.users,
            "application": self.applications,
            "team": self.teams,
        }
        return {kind: names for kind, names in kinds.items() if names}

    def parameters(self) -> dict[str, str | None]:
        """Return the named parameters of ``sql/pages/usage.sql``; any name of a model will do."""
        models = [
            model_id
            for model in self.models
            for model_id in ids_of(model) or (parse_model_id(model).canonical_model_id,)
        ]
        return {
            "since": self.since,
            "until": self.until,
            "regions": _json(self.regions),
            "models": _json(models),
            "users": _json(self.users),
            "applications": _json(self.applications),
            "teams": _json(self.teams),
            "_visitor_applications": _visible(self.visible_applications),
            "_visitor_teams": _visible(self.visible_teams),
            "_visitor_user": self.own_user,
        }


def usage(db: Database, filters: Filters, *, by: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return usage and cost, one row for each combination of the dimensions in ``by``.

    ``by`` names some of ``DIMENSIONS``; if it is empty, there is one row in all, or none.
    """
    return _usage(db, "pages/usage", filters, set(by))


def usage_by_team(
    db: Database, filters: Filters, *, by: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Return the same, of teams, where shared applications are split by their shares.

    ``by`` names some of team, region and model_id. ``filters`` names no users.
    """
    return _usage(db, "reports/usage_by_team", filters, set(by))


def billed(
    db: Database, filters: Filters, *, by: Iterable[str] = (), is_split: bool = False
) -> dict[tuple[Any, ...], float | None]:
    """Return what the bill charges in dollars, by the values of the dimensions in ``by``.

    ``is_split``: shared applications are split among their teams, as ``usage_by_team`` does. None:
    in another currency.
    """
    names = list(by)
    rows = _usage(db, "reports/billed_by_team" if is_split else "reports/billed", filters, {*names})
    return {tuple(row[name] for name in names): row["billed_cost_usd"] for row in rows}


def _usage(db: Database, file: str, filters: Filters, by: set[str]) -> list[dict[str, Any]]:
    flags = {
        f"by_{name.removesuffix('_name').removesuffix('_id')}": name in by for name in DIMENSIONS
    }
    rows = _run(db, file, {**filters.parameters(), **flags, "top": None})
    return [{k: v for k, v in row.items() if k not in DIMENSIONS or k in by} for row in rows]


def movers(
    db: Database, filters: Filters, *, by: str | None = None, against: str | None = None
) -> list[dict[str, Any]]:
    """Return what changed between two periods, as rows of the view movers.

    ``by``: application, user, team or model; None: all four. ``against``: the first day of the
    period to compare with, which is as long; None: that just before. No rows: no such day is over.
    """
    compared = {"by": by, "against": against, "against_until": None}
    return _run(db, "pages/movers", {**filters.parameters(), **compared})


def coverage(db: Database, filters: Filters) -> dict[str, Any]:
    """Return how much of the tokens is known, and how, in the columns of the view token_coverage.

    The view's names are left out.
    """
    return page(db, "token_parts", filters)[0]


def coverage_by_day(db: Database, filters: Filters) -> list[dict[str, Any]]:
    """Return the same by day, region and model, as the rows of that view."""
    return run_report(db, "coverage", filters.parameters())


def shared_applications(db: Database) -> list[str]:
    """Return the applications that are split by fixed shares, in order."""
    rows = db.execute("select distinct application from team_shares order by application")
    return [application for (application,) in rows]


def usage_by_metadata(db: Database, key: str, filters: Filters) -> list[dict[str, Any]]:
    """Return usage and cost by the values of a key of the request metadata.

    The columns of ``sql/pages/metadata.sql``; ``value`` None is everything without the key. Raises
    DataError for a key that the configuration does not name.
    """
    known = [row["metadata_key"] for row in run_report(db, "metadata_keys", {})]
    if key not in known:
        others = f" It names {', '.join(known)}." if known else ""
        raise DataError(
            f"metadata:{key}: the configuration does not name this key.{others} Add it to keys"
            " under [metadata] in bedrock_usage.toml, and run `bedrock-usage sync` or `load`"
        )
    return _run(db, "pages/metadata", {**filters.parameters(), "metadata_key": key})


def loaded_range(db: Database, filters: Filters) -> tuple[str | None, str | None]:
    """Return the first and the last day loaded, of what the reader may see, or (None, None)."""
    row = run_report(db, "loaded_range", {})[0] if filters.sees_all else freshness(db, filters)
    return row["first_day"], row["last_day"]


def freshness(db: Database, filters: Filters) -> dict[str, Any]:
    """Return how fresh the loaded data is, in the columns of ``sql/pages/freshness.sql``."""
    return page(db, "freshness", filters)[0]


def capacity(db: Database, filters: Filters) -> dict[str, Any]:
    """Return the hours of provisioned capacity of a report's days, regions and models."""
    return page(db, "capacity", filters)[0]


def guardrails(db: Database, filters: Filters) -> dict[str, Any]:
    """Return what guardrails charged for a report's calls, which no cost includes."""
    return page(db, "guardrails", filters)[0]


def quotas(db: Database, filters: Filters) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the quotas of used models with what was used, and the calls that were refused."""
    parameters = filters.parameters()
    return _run(db, "pages/quotas", parameters), _run(db, "pages/throttled", parameters)


def savings(db: Database, filters: Filters) -> dict[str, list[dict[str, Any]]]:
    """Return what caching saved, and what other models, scopes and tiers would have cost."""
    return {
        name: _run(db, f"pages/{file}", filters.parameters())
        for name, file in {
            "caching": "cache_savings_by_application",
            "models": "other_models",
            "scopes": "other_scopes",
            "tiers": "other_tiers",
        }.items()
    }


@dataclass(frozen=True)
class LeftOut:
    """What was read without giving calls: open rejects, Bedrock's other operations, files."""

    rejects: list[dict[str, Any]]
    operations: list[dict[str, Any]]
    files: int


def left_out(db: Database) -> LeftOut:
    """Return what was refused or skipped, the most frequent first."""
    return LeftOut(
        run_report(db, "status_rejects", {}),
        run_report(db, "status_other_operations", {}),
        run_report(db, "files_read", {})[0]["files"],
    )


def page(db: Database, name: str, filters: Filters) -> list[dict[str, Any]]:
    """Return the rows of a file of ``sql/pages`` that takes no more than the filters.

    Each shows only what the reader may see.
    """
    return _run(db, f"pages/{name}", filters.parameters())


def run_report(db: Database, report: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a file of ``sql/reports``."""
    return _run(db, f"reports/{report}", parameters)


def _run(db: Database, file: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return list(db.query(sql_text(file), parameters))


def _visible(names: tuple[str, ...] | None) -> str | None:
    return None if names is None else json.dumps(names)


def _json(names: Iterable[str]) -> str | None:
    values = list(names)
    return json.dumps(values) if values else None
