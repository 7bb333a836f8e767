"""Every CSV of the server is harmless to a spreadsheet, and has the same values as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.show.spreadsheet import original
from etl.warehouse.database import open_warehouse
from etl.web.queries import DIMENSIONS
from tests.rounds import rounds
from tests.spreadsheets import HARD, runs
from tests.support import call, load, write_log
from tests.web.pages import Pages, open_pages

NAMES = ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\uff1d1", " =1", "a;=1", "-40.5")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    folder = tmp_path_factory.mktemp("hostile")
    log = write_log(folder / "log.json", [
        call(number, user=name, tokens=(1, 1), userAgent=name, requestParameters={"modelId": name})
        for number, name in enumerate(NAMES, start=1)
    ])  # fmt: skip
    with open_warehouse(folder / "w.db", create=True) as db:
        load(db, log)
        for number, name in enumerate(NAMES):
            db.execute("update users set user_name = ? where user_key = ?", [name, number + 1])
        db.conn.commit()
    with open_pages(folder / "w.db") as pages:
        yield pages


def read(text: str) -> tuple[list[str], list[list[str]]]:
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    return header, rows


def assert_same(header: list[str], rows: list[list[str]], said: dict[str, Any]) -> None:
    assert [original(name) for name in header] == said["columns"]
    assert len(rows) == len(said["rows"])
    for row, values in zip(rows, said["rows"], strict=True):
        for cell, value in zip(row, values, strict=True):
            if isinstance(value, str):
                assert not runs(cell)
                assert original(cell) == value
            else:
                assert cell == ("" if value is None else str(value))


def only_asked_for(said: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return JSON without the dimensions that CSV leaves out because nobody asked for them."""
    without = {*DIMENSIONS.values()} - names
    kept = [index for index, name in enumerate(said["columns"]) if name not in without]
    rows = [[row[index] for index in kept] for row in said["rows"]]
    return {**said, "columns": [said["columns"][index] for index in kept], "rows": rows}


@pytest.mark.parametrize("page", [
    "/calls", "/users", "/users/1", "/models", "/usage_cost_daily", "/cost_by_user", "/latest_calls",
    "/usage?by_user=1&by_model=1", "/choices", "/calls?_stream=1&_size=2", "/calls?_col=user_name",
    "?sql=select+user_name,+-40.5,+count(*)+from+users+group+by+1", "?sql=select+'=1'+as+[=1],-2+as+[-2]",
])  # fmt: skip
def test_csv_says_what_json_says_and_nothing_that_runs(hostile: Pages, page: str) -> None:
    path, _, query = page.partition("?")
    answer = hostile.open(f"/bedrock_usage{path}.csv?{query}&_shape=arrays")
    as_json = query.replace("_stream=1&_size=2", "_size=max")
    said = hostile.open(f"/bedrock_usage{path}.json?{as_json}&_shape=arrays").json()
    assert answer.status_code == 200
    if path == "/usage":
        said = only_asked_for(said, {"user_name", "model_id"})
    assert_same(*read(answer.text), said)


def test_a_label_of_another_table_is_harmless_as_well(hostile: Pages) -> None:
    header, rows = read(hostile.open("/bedrock_usage/events.csv?_labels=on&_size=max").text)
    labels = {row[header.index("user_key_label")] for row in rows}
    assert {original(label) for label in labels} == {*NAMES}
    assert not any(map(runs, labels))


def test_the_rest_of_a_page_with_bytes_still_has_its_address(hostile: Pages) -> None:
    sql = "select x'00ff' as [=b], '=1' as t"
    _, ((address, text),) = read(hostile.open(f"/bedrock_usage.csv?{urlencode({'sql': sql})}").text)
    assert address.startswith("http://localhost/bedrock_usage.blob?")
    assert text == "'=1"


@given(text=HARD, number=st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(-1e300, 1e300))
@settings(max_examples=rounds(8, 500), deadline=None)
def test_any_value_of_a_statement_is_harmless(hostile: Pages, text: str, number: Any) -> None:
    quoted = "'" + text.replace("'", "''").replace("\x00", "") + "'"
    sql = f"select {quoted} as a, {number!r} as b"
    answer = hostile.open(f"/bedrock_usage.csv?{urlencode({'sql': sql})}")
    assert answer.status_code == 200
    _, ((cell, figure),) = read(answer.text)
    assert not runs(cell)
    assert original(cell) == text.replace("\x00", "")
    assert type(number)(figure) == number
