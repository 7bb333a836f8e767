"""What the views and their columns mean, as ``metadata.yml`` has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from etl.metadata import read_metadata
from etl.sql_files import sql_names

# The views to open; the others are their building blocks.
_LAYER = "marts"


@cache
def views() -> Mapping[str, Mapping[str, Any]]:
    """Return the title, the description and the columns of each view to open, by its name."""
    (database,) = read_metadata()["databases"].values()
    tables: dict[str, dict[str, Any]] = database["tables"]
    return {name: tables[name] for name in sql_names(_LAYER)}


def columns_of(names: Sequence[str]) -> dict[str, str]:
    """Return what each column of some views means; the first view that has it decides."""
    return {
        column: text
        for name in reversed(names)
        for column, text in views()[name]["columns"].items()
    }


def describe(name: str) -> str:
    """Return a view's question, grain, units and columns as Markdown."""
    view = views()[name]
    lines = [f"# {name}: {view['title']}", "", str(view["description"]), ""]
    lines += [f"- `{column}`: {text}" for column, text in view["columns"].items()]
    return "\n".join(lines)


def overview() -> str:
    """Return the question that each view answers, as Markdown."""
    lines = (f"- `{name}`: {view['title']}" for name, view in views().items())
    return "# The views of the warehouse\n\n" + "\n".join(lines)
