"""Every page answers every request, and shows names as plain text."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from datasette.app import Datasette

from etl.warehouse.database import open_warehouse
from etl.web.site import DATABASE
from tests.rounds import crossed
from tests.support import call, load, write_log
from tests.web.pages import (
    CLOSED,
    METADATA,
    QUERIES,
    TABLES,
    VIEWS,
    Pages,
    closing_pages,
    open_pages,
)

ANSWERS = {
    "blank": {},
    "filled in": {
        "date_from": "2026-11-10",
        "date_to": " 2026-11-12 ",
        "regions": "us-east-1 , us-west-2,",
        "models": "anthropic.claude-sonnet-4-5-20250929-v1:0, amazon.nova-pro-v1:0",
    },
    "nonsense": {
        "date_from": "yesterday' or 1=1 --",
        "date_to": '"><script>alert(2)</script>',
        "regions": "%,,;",
        "models": "\N{ROBOT FACE}' union select 1",
    },
}
SCRIPT = "<script>alert(1)</script>"


@pytest.mark.parametrize("name", sorted({*TABLES} - {*CLOSED}))
def test_every_view_and_table_opens(pages: Pages, name: str) -> None:
    # Few rows as HTML, which takes longest, and all of them as JSON.
    assert pages.get(name, _size="5").status_code == 200
    pages.rows(name)


def test_only_a_view_with_bytes_in_it_is_closed(pages: Pages) -> None:
    listed = pages.get().text
    for name in VIEWS:
        types = {type(v) for row in pages.sql(f"select * from {name} limit 1") for v in row}
        assert (bytes in types) == (name in CLOSED), name
        assert (f'"/{DATABASE}/{name}"' in listed) == (name not in CLOSED), name


@pytest.mark.parametrize(("parameters", "name"), crossed(ANSWERS.values(), QUERIES))
def test_every_query_opens(pages: Pages, name: str, parameters: dict[str, str]) -> None:
    page = pages.get(name, **parameters)
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    rows = pages.rows(name, **parameters)
    if parameters == ANSWERS["nonsense"]:
        assert rows == []
    elif name != "unpriced":
        assert rows


def test_the_pages_are_the_same_in_plain_datasette(demo_db: Path, tmp_path: Path) -> None:
    shutil.copy(demo_db, tmp_path / f"{DATABASE}.db")
    plain = Datasette(
        [str(tmp_path / f"{DATABASE}.db")],
        metadata=METADATA,
        settings={"max_returned_rows": 5000},
    )
    with closing_pages(plain) as pages:
        assert "Cost by user" in pages.open("/").text
        for name in [*QUERIES, *({*VIEWS} - {*CLOSED})]:
            # Suggesting facets, which `serve` switches off, would take half a minute.
            assert pages.get(name, _nosuggest="1", _size="5").status_code == 200


def test_a_script_in_a_user_agent_is_shown_and_not_run(pages: Pages) -> None:
    page = pages.get("calls", user_agent__contains="script").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert SCRIPT not in page


def test_a_script_in_any_name_is_shown_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    model = {"modelId": SCRIPT, "requestMetadata": {"application": SCRIPT}}
    log = write_log(tmp_path / "log.json", [
        call(1, user=SCRIPT, tokens=(1, 1), requestParameters=model, errorCode=SCRIPT),
        call(2, user=SCRIPT, tokens=(1, 1), requestParameters=model, awsRegion=SCRIPT),
    ])  # fmt: skip
    with open_warehouse(path, create=True) as db:
        load(db, log)
    with open_pages(path) as pages:
        for name in ["calls", "usage_cost", "user_breakdown", "models", "users", *QUERIES]:
            page = pages.get(name).text
            assert SCRIPT not in page, name
        assert "&lt;script&gt;alert(1)" in pages.get("breakdown_by_user").text


def test_the_warehouse_has_one_name(pages: Pages) -> None:
    (shown,) = pages.open("/-/databases.json").json()
    assert (shown["name"], Path(shown["path"]).name) == (DATABASE, "any name.db")


def test_the_warehouse_can_be_read_but_not_written_or_downloaded(pages: Pages) -> None:
    answer = pages.get(sql="delete from users")
    assert (answer.status_code, "Statement must be a SELECT" in answer.text) == (400, True)
    assert pages.open(f"/{DATABASE}.db").status_code == 403
    # Other pages in the same browser may not read it either.
    assert "access-control-allow-origin" not in pages.get("cost_by_user.json").headers


def test_a_page_is_never_cached_by_the_browser(pages: Pages) -> None:
    assert pages.get("cost_by_user").headers["cache-control"] in ("no-cache", "max-age=0")
