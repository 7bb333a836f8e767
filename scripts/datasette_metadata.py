"""Build ``metadata.yml``, everything that Datasette shows, from the files in ``sql/``.

- a view's title and description: the question and the text after it, at the head of its file
- the meaning of columns: ``columns.yml``
- a canned query: its file in ``queries``; the head has title, description, parameters and chart
- the order of views, and the texts of tables: ``tables.yml``
- title, introduction and style: ``datasette.yml``

``make docs`` writes it (``scripts.update_docs``). Only a warehouse knows the columns of views, so
this module first creates an empty one. A missing or unused text is an error that names the file.
"""

from __future__ import annotations

import functools
import html
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined, TemplateError

from etl import resources
from etl.sql_files import split_head, sql_names, sql_question, sql_text
from etl.warehouse.database import VIEW_LAYERS, open_warehouse
from etl.web.site import DATABASE

# Names of tables and views, and their columns.
Schema = Mapping[str, tuple[str, ...]]

_GENERATED = """\
# Generated from sql/ by `make docs`; do not edit. To change a canned query, a column's text or
# anything else here, see docs/development.md.
#
#     bedrock-usage serve
#     datasette bedrock_usage.db -m metadata.yml --setting max_returned_rows 5000 \\
#         --setting suggest_facets off
"""

# A field starts a line; its continuation lines are indented further.
_FIELD = re.compile(r" ([a-z]+): (\S.*)")
_MORE = re.compile(r"   (\S.*)")
_FIELDS = ("title", "description", "parameters", "chart")
_CHART = re.compile(
    r"(?P<mark>bar|line|circle)"
    r" x=(?P<x_column>\w+):(?P<x_type>ordinal|quantitative)"
    r" y=(?P<y_column>\w+):(?P<y_type>ordinal|quantitative)"
    r"(?: color=(?P<color_column>\w+))?"
)
_TABLE_KEYS = {
    *("title", "description", "hidden", "allow", "label_column", "facets"),
    *("sort", "sort_desc", "source", "source_url"),
}


class MetadataError(Exception):
    """A file in ``sql/`` lacks an entry or has one too many. Fix the file."""


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes a text of several lines as a block."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = "|" if "\n" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def metadata_text() -> str:
    """Return the text of ``metadata.yml``. Raises MetadataError."""
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 100}
    return _GENERATED + str(yaml.dump(metadata(schema()), Dumper=_Dumper, **options))


def metadata(schema: Schema) -> dict[str, Any]:
    """Return Datasette's metadata for a warehouse with these columns. Raises MetadataError."""
    site = read("datasette.yml")
    queries = {name: _query(name) for name in sql_names("queries")}
    introduction, linked = _introduction(site["introduction"], queries, schema)
    shown = {"title": site["title"], "description_html": introduction}
    # Datasette lists them in this order.
    listed = {name: queries[name] for name in (*linked, *queries) if name in queries}
    return {
        **shown,
        "source": site["source"],
        "source_url": site["source_url"],
        "extra_css_urls": [f"data:text/css,{' '.join(site['style'].split())}"],
        "databases": {DATABASE: {**shown, "queries": listed, "tables": tables(schema)}},
    }


def read(name: str) -> dict[str, Any]:
    """Return the content of a YAML file in ``sql/``."""
    content: dict[str, Any] = yaml.safe_load((resources.SQL / name).read_text(encoding="utf-8"))
    return content


@functools.cache
def schema() -> Schema:
    """Return the tables and views of an empty warehouse, each with its columns in order."""
    found: dict[str, tuple[str, ...]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        open_warehouse(Path(folder) / "empty.db", create=True) as db,
    ):
        for name in (*db.table_names(), *db.view_names()):
            found[name] = tuple(row[1] for row in db.execute(f"pragma table_info({name})"))
    return found


def _query(name: str) -> dict[str, Any]:
    try:
        return canned_query(sql_text(f"queries/{name}"))
    except MetadataError as error:
        raise MetadataError(f"sql/queries/{name}.sql: {error}") from error


def canned_query(text: str) -> dict[str, Any]:
    """Return Datasette's entry for a canned query, from the composed text of its file.

    Raises MetadataError for an invalid head.
    """
    head, sql = split_head(text)
    fields = _fields(head)
    if missing := [name for name in _FIELDS[:3] if name not in fields]:
        raise MetadataError(f"the head has no {', '.join(missing)}")
    query = {
        "title": fields["title"],
        "description": fields["description"],
        "params": fields["parameters"].split(", "),
        "hide_sql": True,
        "sql": sql,
    }
    return query | ({"fragment": _fragment(fields["chart"])} if "chart" in fields else {})


def _fields(head: Iterable[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in head:
        more, field = _MORE.fullmatch(line), _FIELD.fullmatch(line)
        if more and fields:
            last = next(reversed(fields))
            fields[last] += f" {more[1]}"
        elif field and field[1] in _FIELDS and field[1] not in fields:
            fields[field[1]] = field[2]
        else:
            raise MetadataError(
                f"--{line}: invalid line in the head. Each of {', '.join(_FIELDS)} may appear once;"
                " indent continuation lines by three spaces"
            )
    return fields


def _fragment(chart: str) -> str:
    """Return a chart as datasette-vega's fragment, in its order; otherwise it draws twice."""
    found = _CHART.fullmatch(chart)
    if not found:
        form = "bar x=day:ordinal y=cost_usd:quantitative color=application"
        raise MetadataError(f"the chart {chart} does not have the form {form}")
    return "&".join(f"g.{key}={value}" for key, value in found.groupdict().items() if value)


def _introduction(
    template: str, queries: Mapping[str, Any], schema: Schema
) -> tuple[str, list[str]]:
    """Return the introduction and the names that it links to."""
    linked = []

    def link(name: str, text: str = "") -> str:
        query = queries.get(name, {})
        if not query and name not in schema:
            raise MetadataError(f"sql/datasette.yml: link({name!r}): no such query, view or table")
        linked.append(name)
        # Datasette adds charts only to its own links.
        chart = f"#{query['fragment']}" if "fragment" in query else ""
        words = text or query.get("title", name)
        return f'<a href="{DATABASE}/{name}{html.escape(chart)}">{html.escape(words)}</a>'

    environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 our own HTML
    try:
        return environment.from_string(template).render(link=link).strip(), linked
    except TemplateError as error:
        raise MetadataError(f"sql/datasette.yml, introduction: {error}") from error


def tables(schema: Schema) -> dict[str, Any]:
    """Return Datasette's entry for every view and table. Raises MetadataError."""
    settings = read("tables.yml")
    views = {name: layer for layer in VIEW_LAYERS for name in sql_names(layer)}
    if wrong := (settings.keys() | views.keys()) ^ schema.keys():
        names = ", ".join(sorted(wrong))
        raise MetadataError(f"sql/tables.yml: {names}: list each table once, and nothing else")
    meanings = Meanings(read("columns.yml"))
    entries = {}
    for name in (*views, *(name for name in settings if name not in views)):
        entry = {**(_view(views[name], name) if name in views else {}), **settings.get(name, {})}
        _check(name, entry, schema[name])
        # Tables without a description are internal: their columns need no texts.
        if "description" in entry:
            entry["columns"] = {column: meanings.of(name, column) for column in schema[name]}
        entries[name] = entry
    meanings.require_all_used()
    return entries


def _view(layer: str, name: str) -> dict[str, str]:
    title, description = sql_question(f"{layer}/{name}")
    block = "" if layer == "marts" else "Building block: "
    return {"title": f"{block}{title}", "description": description}


def _check(name: str, entry: Mapping[str, Any], columns: tuple[str, ...]) -> None:
    # Some keys make Datasette fail, such as units.
    if unknown := entry.keys() - _TABLE_KEYS:
        raise MetadataError(f"sql/tables.yml: {name}: unknown {', '.join(sorted(unknown))}")
    if not entry.get("hidden") and not {"title", "description"} <= entry.keys():
        raise MetadataError(f"sql/tables.yml: {name} needs a title and a description, or hidden")
    named = [entry[key] for key in ("sort", "sort_desc", "label_column") if key in entry]
    if wrong := {*named, *entry.get("facets", ())} - {*columns}:
        raise MetadataError(f"sql/tables.yml: {name} has no column {', '.join(sorted(wrong))}")


class Meanings:
    """The meanings of columns (``columns.yml``). It records which texts are used.

    ``defaults``: each column's text, by its name, where a table has no text of its own for it.
    """

    def __init__(self, texts: Mapping[str, str | Mapping[str, str]]) -> None:
        self.defaults: dict[str, str] = {}
        self._others: dict[tuple[str, str], str] = {}
        for column, text in texts.items():
            for names, meaning in ({"default": text} if isinstance(text, str) else text).items():
                if names == "default":
                    self.defaults[column] = meaning
                else:
                    self._others |= {(column, name): meaning for name in names.split(", ")}
        self._unused = {*self._others, *((column, "default") for column in self.defaults)}

    def of(self, table: str, column: str) -> str:
        """Return the meaning of a column in a table or view. Raises MetadataError if none."""
        place = (column, table if (column, table) in self._others else "default")
        self._unused.discard(place)
        meaning = self._others.get(place) or self.defaults.get(column)
        if meaning is None:
            raise MetadataError(f"sql/columns.yml: {column} of {table} has no text")
        return meaning

    def require_all_used(self) -> None:
        """Raise MetadataError for texts of columns that do not exist."""
        if self._unused:
            left = ", ".join(f"{column} ({place})" for column, place in sorted(self._unused))
            raise MetadataError(f"sql/columns.yml: no such columns: {left}")
