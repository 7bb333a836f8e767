"""``metadata.yml`` is generated from ``sql/``: what its sources must and must not contain."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasette.utils import derive_named_parameters

from etl import resources
from etl.sql_files import compose, sql_names
from etl.web.site import DATABASE
from scripts import datasette_metadata
from scripts.datasette_metadata import MetadataError, canned_query, metadata, schema
from tests.cases import cases
from tests.web.pages import CHARTS, METADATA, QUERIES, TABLES, Pages

# People have these bookmarked.
CONTRACT = {
    *("cost_per_day", "cost_per_day_by_application", "cost_by_user", "cost_by_application"),
    *("cost_by_model", "cost_by_region", "breakdown_by_user", "breakdown_by_application"),
    *("activity_by_user", "models_discovered", "coverage", "unpriced"),
}
PARAMETERS = ["date_from", "date_to", "regions", "models"]
BOOKKEEPING = {
    *("seeds", "pending_tokens", "model_price_ids"),
    *("sync_state", "sync_windows", "sync_series", "sync_runs"),
}
HEAD = """\
-- title: Cost per day
-- description: What each
--   day cost.
-- parameters: since, until
-- chart: bar x=day:ordinal y=cost_usd:quantitative color=application
"""


def test_a_canned_query_is_its_file() -> None:
    assert canned_query(f"{HEAD}select 1\n-- Why.\n") == {
        "title": "Cost per day",
        "description": "What each day cost.",
        "params": ["since", "until"],
        "hide_sql": True,
        "sql": "select 1\n-- Why.",
        "fragment": (
            "g.mark=bar&g.x_column=day&g.x_type=ordinal&g.y_column=cost_usd&g.y_type=quantitative"
            "&g.color_column=application"
        ),
    }


@cases(
    ("old", "new", "said"),
    [
        ("-- title:", "-- titel:", "titel: Cost per day"),
        ("-- title:", "-- Title:", "Title"),
        ("-- title:", "-- chart:", "has no title|chart"),
        ("-- title: Cost per day\n", "", "has no title"),
        ("-- parameters: since, until\n", "", "has no parameters"),
        ("-- parameters:", "-- title: Again\n-- parameters:", "title: Again"),
        ("--   day", "--  day", "--  day cost"),
        ("-- title:", "--   title:", "--   title"),
        ("-- title:", "-- Why it is so.\n-- title:", "Why it is so"),
        ("bar x=day:ordinal", "pie x=day:ordinal", "pie x=day"),
        ("x=day:ordinal", "x=day", "x=day y="),
        (" color=application", " colour=application", "colour"),
    ],
)
def test_a_head_is_read_strictly(old: str, new: str, said: str) -> None:
    assert old in HEAD
    with pytest.raises(MetadataError, match=said):
        canned_query(f"{HEAD.replace(old, new, 1)}select 1\n")


def test_the_recipe_is_a_canned_query() -> None:
    recipe = (Path(__file__).parents[2] / "docs/development.md").read_text(encoding="utf-8")
    text = "-- title:" + recipe.partition("```sql\n-- title:")[2].partition("```")[0]
    macros = {
        f"macros/{file.stem}": file.read_text() for file in (resources.SQL / "macros").iterdir()
    }
    query = canned_query(compose({**macros, "queries/recipe": text})["queries/recipe"])
    assert (query["params"], query["fragment"][:10]) == (PARAMETERS, "g.mark=bar")


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("columns.yml", lambda texts: texts.pop("day"), "day of .* has no text"),
        ("columns.yml", lambda texts: texts["region"].pop("default"), "region of .* has no text"),
        ("columns.yml", lambda texts: texts.update(day_of_week="The day."), r"day_of_week \(default"),
        ("columns.yml", lambda texts: texts["region"].update(jobs="It."), r"region \(jobs\)"),
        ("columns.yml", lambda texts: texts.update(day={"default": "It.", "daily": "It."}), "daily"),
        ("tables.yml", lambda told: told.pop("prices"), "tables.yml: prices: "),
        ("tables.yml", lambda told: told.update(bills={"hidden": True}), "tables.yml: bills: "),
        ("tables.yml", lambda told: told["prices"].pop("title"), "prices needs a title"),
        # Datasette fails on pages with units.
        ("tables.yml", lambda told: told["prices"].update(units={"usd_per_mtok": "$"}), "units"),
        ("tables.yml", lambda told: told["user_costs"].update(sort="cost"), "no column cost"),
        ("tables.yml", lambda told: told["prices"].update(facets=["tier"]), "no column tier"),
        ("datasette.yml", lambda site: site.update(introduction="{{ link('bill') }}"), "bill"),
        ("datasette.yml", lambda site: site.update(introduction="{{ lnk('calls') }}"), "lnk"),
    ],
)  # fmt: skip
def test_nothing_is_missing_and_nothing_is_left_over(
    monkeypatch: pytest.MonkeyPatch, file: str, change: Change, said: str
) -> None:
    read = datasette_metadata.read

    def changed(name: str) -> dict[str, Any]:
        content = read(name)
        if name == file:
            change(content)
        return content

    monkeypatch.setattr(datasette_metadata, "read", changed)
    with pytest.raises(MetadataError, match=said):
        metadata(schema())


def test_each_meaning_of_a_column_is_written_once() -> None:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (resources.SQL / "columns.yml").read_text(encoding="utf-8")
    columns = [(name.value, value) for name, value in yaml.compose(text, loader).value]
    # By node: an alias refers to the same node.
    texts: dict[str, set[int]] = {}
    for _, value in columns:
        for node in [one for _, one in value.value] if value.id == "mapping" else [value]:
            texts.setdefault(node.value, set()).add(id(node))
    assert [text for text, nodes in texts.items() if len(nodes) > 1] == []
    assert [name for name, _ in columns] == sorted(name for name, _ in columns)


def test_bookkeeping_is_hidden() -> None:
    assert {name for name in TABLES if TABLES[name].get("hidden")} > BOOKKEEPING


def test_no_two_queries_have_one_name() -> None:
    """Otherwise the query that runs could differ from the one that a visitor may run."""
    assert {*sql_names("queries")} == {*QUERIES}
    assert not {*QUERIES} & {*sql_names("pages"), *TABLES}


def test_every_query_lists_its_parameters(pages: Pages) -> None:
    database = pages.datasette.get_database(DATABASE)
    assert {*QUERIES} >= CONTRACT
    for name, query in QUERIES.items():
        used = pages.run(derive_named_parameters(database, query["sql"]))
        assert {*used} == {*query["params"]}, name
        assert query["params"] == PARAMETERS or name not in CONTRACT, name


@cases("name", CHARTS)
def test_every_chart_draws_columns_of_its_query(pages: Pages, name: str) -> None:
    shown = set(pages.rows(name)[0])
    fragment = QUERIES[name]["fragment"]
    assert set(re.findall(r"_column=(\w+)", fragment)) <= shown
    assert {"quantitative", "ordinal"} == set(re.findall(r"_type=(\w+)", fragment))


def test_the_page_of_queries_leads_everywhere_it_says(pages: Pages) -> None:
    page = pages.open("/bedrock_usage").text
    links = re.findall(r'<a href="(bedrock_usage/([^"#?]+)[^"#]*)(?:#([^"]*))?">([^<]*)</a>', page)
    assert {name for _, name, _, _ in links} > CONTRACT
    for path, name, linked_fragment, text in links:
        assert pages.open(f"/{path}").status_code == 200
        assert html.unescape(linked_fragment) == QUERIES.get(name, {}).get("fragment", "")
        assert text == QUERIES.get(name, {"title": text})["title"]


def test_the_database_page_lists_every_query_with_its_chart(pages: Pages) -> None:
    page = html.unescape(pages.get().text)
    for name, query in QUERIES.items():
        hash_ = f"#{query['fragment']}" if "fragment" in query else ""
        assert f'href="/{DATABASE}/{name}{hash_}"' in page


def test_styles_come_from_the_page_itself() -> None:
    # A file would need a folder that plain `datasette -m metadata.yml` does not know.
    assert all(url.startswith("data:text/css,") for url in METADATA["extra_css_urls"])
    assert "#" not in METADATA["extra_css_urls"][0]
