"""Run the reports in the files of ``sql`` and return their rows as dicts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from etl.normalise.model_ids import parse_model_id
from etl.sql_files import sql_text

DIMENSIONS = ("day", "user_name", "application", "region", "model_id")


@dataclass(frozen=True)
class Filters:
    """The filters of a report; days are UTC and inclusive, an empty tuple means no limit."""

    since: str | None = None
    until: str | None = None
    regions: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()

    def parameters(self) -> dict[str, str | None]:
        """Return the named parameters of ``sql/pages/usage.sql``; any name of a model will do."""
        models = [parse_model_id(model).canonical_model_id for model in self.models]
        return {
            "since": self.since,
            "until": self.until,
            "regions": _json(self.regions),
            "models": _json(models),
            "users": _json(self.users),
            "applications": _json(self.applications),
            # A user with the file may see all of it.
            "_visitor_applications": None,
        }


def usage(db: Database, filters: Filters, *, by: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return usage and cost, one row for each combination of the dimensions in ``by``.

    ``by`` names some of ``DIMENSIONS``; if it is empty, there is one row in all, or none.
    """
    wanted = set(by)
    flags = {
        f"by_{name.removesuffix('_name').removesuffix('_id')}": name in wanted
        for name in DIMENSIONS
    }
    rows = _run(db, "pages/usage", {**filters.parameters(), **flags, "top": None})
    return [{k: v for k, v in row.items() if k not in DIMENSIONS or k in wanted} for row in rows]


def loaded_range(db: Database) -> tuple[str | None, str | None]:
    """Return the first and the last day loaded, or (None, None)."""
    row = run_report(db, "loaded_range", {})[0]
    return row["first_day"], row["last_day"]


def capacity(db: Database, filters: Filters) -> dict[str, Any]:
    """Return the hours of provisioned capacity of a report's days, regions and models."""
    return _run(db, "pages/capacity", filters.parameters())[0]


def guardrails(db: Database, filters: Filters) -> dict[str, Any]:
    """Return what guardrails charged for a report's calls, which no cost includes."""
    return _run(db, "pages/guardrails", filters.parameters())[0]


def run_report(db: Database, report: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a file of ``sql/reports``."""
    return _run(db, f"reports/{report}", parameters)


def _run(db: Database, file: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return list(db.query(sql_text(file), parameters))


def _json(names: Iterable[str]) -> str | None:
    values = list(names)
    return json.dumps(values) if values else None
