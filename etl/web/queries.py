"""The files of ``sql/pages``: the data of the pages, and canned queries for every visitor.

So all that a page shows is available as CSV and JSON, with the same parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datasette.app import Datasette

from etl.sql_files import sql_names, sql_question, sql_text
from etl.web.visitors import EVERYTHING, Actor, Allowed, allowed_usage, own_user

# A blank value means no filter, or that the dimension is not used.
FILTERS = ("since", "until", "regions", "models", "users", "applications", "teams")
# A dimension's parameter, and its column.
DIMENSIONS = {
    "by_day": "day",
    "by_user": "user_name",
    "by_application": "application",
    "by_team": "team",
    "by_region": "region",
    "by_model": "model_id",
}
NAMED = tuple(flag for flag in DIMENSIONS if flag != "by_day")
MOVERS = ("by", "against", "against_until")
TOP = "top"
NOW = "now"
HOUR = "hour"
ID = "id"

_PARAMETERS = {
    "usage": (*DIMENSIONS, TOP, *FILTERS),
    "hours": (*NAMED, TOP, *FILTERS),
    "errors": (*DIMENSIONS, *FILTERS),
    "metadata": ("metadata_key", *FILTERS),
    "choices": ("since", "until"),
    "hour_calls": (HOUR, "regions", "models", "users", "applications", "teams"),
    "found_calls": (ID, "since", "until"),
    "forecast": ("until", "regions", "models", "users", "applications", "teams"),
    "movers": (*MOVERS, *FILTERS),
    "freshness": (),
    "bill_left_out": ("since", "until"),
    "gap_days": ("since", "until"),
    "bill_months": ("since", "until"),
    "bill_reasons": ("since", "until"),
    "budgets": (NOW,),
    "quotas": ("regions", "models"),
    "capacity": ("since", "until", "regions", "models"),
}


def sql_of(name: str) -> str:
    """Return the text of a query."""
    return sql_text(f"pages/{name}")


def names() -> list[str]:
    """Return the names of all queries."""
    return sql_names("pages")


def parameters_of(name: str) -> tuple[str, ...]:
    """Return the names of a query's parameters."""
    return _PARAMETERS.get(name, FILTERS)


def bound(
    datasette: Datasette,
    actor: Actor,
    parameters: Mapping[str, str],
    allowed: Allowed | None = None,
) -> dict[str, str | None]:
    """Return what a query is run with: what the visitor may see cannot be given.

    ``allowed``: what to show instead of what the visitor may see: a page of the visitor's own.
    """
    allowed = allowed or allowed_usage(datasette, actor) or EVERYTHING
    blank = dict.fromkeys((*DIMENSIONS, *MOVERS, TOP, *FILTERS, NOW, HOUR, ID), "")
    visitor = {"_visitor_user": own_user(datasette, actor)}
    return blank | dict(parameters) | allowed.parameters | visitor


def canned_queries() -> dict[str, dict[str, Any]]:
    """Return the queries in the form of Datasette's metadata."""
    return {name: _canned(name) for name in names()}


def _canned(name: str) -> dict[str, Any]:
    title, description = sql_question(f"pages/{name}")
    return {
        "sql": sql_of(name),
        "title": title,
        "description": description,
        "params": list(parameters_of(name)),
        "hide_sql": True,
    }
