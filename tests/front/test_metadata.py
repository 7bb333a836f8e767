"""``metadata.yml`` says something of everything there is, and nothing of what there is not."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from datasette.utils import derive_named_parameters

from etl.web.site import DATABASE
from tests.front.pages import CHARTS, METADATA, QUERIES, TABLES, VIEWS, Pages, fragment

PARAMETERS = ["date_from", "date_to", "regions", "models"]
BOOKKEEPING = {
    *("seeds", "pending_tokens", "model_price_ids"),
    *("sync_state", "sync_windows", "sync_series", "sync_runs"),
}


def columns(pages: Pages, name: str) -> list[str]:
    names: list[str] = pages.run(pages.datasette.get_database(DATABASE).table_columns(name))
    return names


def tables(pages: Pages) -> set[str]:
    return set(pages.run(pages.datasette.get_database(DATABASE).table_names()))


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for part in value.values() for key in keys(part)}
    return set()


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_and_each_of_its_columns_is_described(pages: Pages, view: str) -> None:
    entry = TABLES[view]
    assert entry["title"]
    assert entry["description"]
    assert list(entry["columns"]) == columns(pages, view)
    assert all(entry["columns"].values())


def test_building_blocks_are_told_from_what_people_open() -> None:
    blocks = {name for name in VIEWS if TABLES[name]["title"].startswith("Building block: ")}
    assert blocks == {name for name in VIEWS if name.startswith(("stg_", "int_"))}


def test_every_table_is_described_or_hidden(pages: Pages) -> None:
    assert tables(pages) <= set(TABLES)
    for name in tables(pages):
        assert TABLES[name]["title"]
        assert TABLES[name].get("hidden") or TABLES[name]["description"], name
    assert {name for name in TABLES if TABLES[name].get("hidden")} > BOOKKEEPING


def test_whatever_is_described_exists(pages: Pages) -> None:
    assert set(TABLES) == tables(pages) | set(VIEWS)
    for name, entry in TABLES.items():
        known = columns(pages, name)
        used = [entry[key] for key in ("sort", "sort_desc", "label_column") if key in entry]
        assert {*entry.get("columns", {}), *entry.get("facets", []), *used} <= set(known), name


def test_there_are_no_units_which_break_pages() -> None:
    for name, entry in TABLES.items():
        assert "units" not in entry, name
    assert "units" not in keys(METADATA) - {"columns"}


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_has_its_words_and_lists_its_parameters(pages: Pages, name: str) -> None:
    query = QUERIES[name]
    assert query["title"]
    assert query["description"]
    assert query["params"] == PARAMETERS
    database = pages.datasette.get_database(DATABASE)
    used = pages.run(derive_named_parameters(database, query["sql"]))
    assert set(used) == set(PARAMETERS)


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_filters_alike(name: str) -> None:
    text = QUERIES["cost_by_user"]["sql"]
    condition = text[text.index("where\n") : text.index("\ngroup by")]
    assert condition in QUERIES[name]["sql"]


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_draws_columns_of_its_query(pages: Pages, name: str) -> None:
    shown = set(pages.rows(name)[0])
    chart = fragment(name)
    # datasette-vega writes the fragment anew, in this order; another one makes it draw twice.
    order = ["mark", "x_column", "x_type", "y_column", "y_type", "color_column"]
    assert list(chart) == [f"g.{key}" for key in order[: len(chart)]]
    assert chart["g.mark"] in ("bar", "line", "circle")
    assert {value for key, value in chart.items() if key.endswith("_column")} <= shown
    assert {chart["g.x_type"], chart["g.y_type"]} == {"quantitative", "ordinal"}


def test_the_page_of_queries_leads_everywhere_it_says(pages: Pages) -> None:
    page = pages.open("/bedrock_usage").text
    links = re.findall(r'<a href="(bedrock_usage/([^"#?]+)[^"#]*)(?:#([^"]*))?">([^<]*)</a>', page)
    assert {name for _, name, _, _ in links} > set(QUERIES)
    for path, name, linked_fragment, text in links:
        assert pages.open(f"/{path}").status_code == 200
        assert html.unescape(linked_fragment) == QUERIES.get(name, {}).get("fragment", "")
        assert text == {**TABLES, **QUERIES}[name]["title"]


def test_the_database_page_lists_every_query_with_its_chart(pages: Pages) -> None:
    page = html.unescape(pages.get().text)
    for name, query in QUERIES.items():
        hash_ = f"#{query['fragment']}" if "fragment" in query else ""
        assert f'href="/{DATABASE}/{name}{hash_}"' in page


def test_styles_come_from_the_page_itself(pages: Pages) -> None:
    # A file would need a folder that plain `datasette -m metadata.yml` is not told of.
    assert all(url.startswith("data:text/css,") for url in METADATA["extra_css_urls"])
    assert "#" not in METADATA["extra_css_urls"][0]
