"""The files of ``sql/pages``: the data of the pages, and canned queries for every visitor.

So all that a page shows is available as CSV and JSON, with the same parameters.
"""

from __future__ import annotations

from typing import Any

from etl.sql_files import sql_names, sql_question, sql_text

# A blank value means no filter, or that the dimension is not used.
FILTERS = ("since", "until", "regions", "models", "users", "applications", "teams")
DIMENSIONS = ("by_day", "by_user", "by_application", "by_team", "by_region", "by_model")
TOP = "top"
NOW = "now"

_PARAMETERS = {
    "usage": (*DIMENSIONS, TOP, *FILTERS),
    "metadata": ("metadata_key", *FILTERS),
    "choices": ("since", "until"),
    "forecast": ("until", "regions", "models", "users", "applications", "teams"),
    "movers": ("by", "against", *FILTERS),
    "freshness": (),
    "bill_left_out": ("since", "until"),
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


def canned_queries() -> dict[str, dict[str, Any]]:
    """Return the queries in the form of Datasette's metadata."""
    return {name: _canned(name) for name in names()}


def _canned(name: str) -> dict[str, Any]:
    title, description = sql_question(f"pages/{name}")
    return {
        "sql": sql_of(name),
        "title": title,
        "description": description,
        "params": list(_PARAMETERS.get(name, FILTERS)),
        "hide_sql": True,
    }
