"""Macros shared by files in ``sql/`` are inserted into each, and SQLite gets plain SQL."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from etl import resources, sql_files
from etl.sql_files import SqlTextError, compose, sql_names, sql_text
from etl.warehouse.database import VIEW_LAYERS
from scripts import print_sql
from scripts.measure_repeats import repeated, share, sources
from tests.cases import cases

MACROS = {
    "macros/money": "{% macro dollars(column) %}\nround(\n    {{ column }} / 1e12,\n    9\n)\n{%- endmacro %}"
}


def composed(text: str) -> str:
    return compose({**MACROS, "marts/costs": text})["marts/costs"]


def test_an_insertion_is_indented_like_its_line() -> None:
    text = "-- How much?\nselect\n    {{ money.dollars('cost') }} as cost_usd\nfrom costs\n"
    assert composed(text) == (
        "-- How much?\nselect\n    round(\n        cost / 1e12,\n        9\n    ) as cost_usd\nfrom costs\n"
    )


@cases(
    ("text", "said"),
    [
        ("select {{ money.dolars('cost') }}", "dolars"),
        ("select {{ mony.dollars('cost') }}", "mony"),
        ("select {{ money.dollars(cost) }}", "cost"),
        ("select {{ money.dollars() }}", "column"),
        ("select {{ money.dollars('cost', 'rest') }}", "dollars"),
        ("select\n    {{ money.dolars('cost') }}", "dolars"),
        ("select {{ money.dollars('cost')", "line 1|end of"),
    ],
)
def test_an_undefined_name_is_an_error_that_names_the_file(text: str, said: str) -> None:
    with pytest.raises(SqlTextError, match=rf"^sql/marts/costs\.sql: .*({said})"):
        composed(text)


@pytest.mark.parametrize(
    ("names", "said"),
    [([], "name a file of sql/"), (["marts/bills"], "there is no sql/marts/bills")],
)
def test_printing_says_what_is_wrong(names: list[str], said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        print_sql.main(names)


def test_what_sqlite_gets_is_plain_sql() -> None:
    for folder in (*VIEW_LAYERS, "checks", "exports", "load", "pages", "queries", "reports"):
        for name in sql_names(folder):
            text = sql_text(f"{folder}/{name}")
            assert not [mark for mark in ("{{", "{%", "{#", "\n\n\n", " \n") if mark in text], name


def test_texts_are_cached_until_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "SQL", tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    (tmp_path / "marts").mkdir()
    file, kept = tmp_path / "marts/costs.sql", tmp_path / "__pycache__"

    def read() -> str:
        sql_files._texts.cache_clear()
        return sql_text("marts/costs")

    file.write_text("select {{ 1 + 1 }}\n")
    assert read() == "select 2\n"
    (made,) = kept.iterdir()
    # Read from the cache, not composed again.
    stored = json.loads(made.read_text())
    stored["texts"]["marts/costs"] = "as kept"
    made.write_text(json.dumps(stored))
    assert read() == "as kept"
    for damage in ("", "[]", "{", '{"version": 1}'):
        made.write_text(damage)
        assert read() == "select 2\n"
    file.write_text("select {{ 1 + 2 }}\n")
    assert read() == "select 3\n"
    # A change of the kinds of token has the same effect.
    (other,) = kept.iterdir()
    other.write_text(other.read_text().replace("select 3", "select 4"))
    assert read() == "select 4\n"
    (tmp_path / "token_kinds.py").write_text("KINDS = ()\n")
    monkeypatch.setattr(sql_files.token_kinds, "__file__", str(tmp_path / "token_kinds.py"))
    assert read() == "select 3\n"
    # Works without a cache where none can be written.
    other.unlink()
    kept.rmdir()
    kept.write_text("")
    assert read() == "select 3\n"


def test_hardly_anything_is_repeated() -> None:
    """``python -m scripts.measure_repeats`` lists the repeats."""
    assert share(repeated(sources(resources.SQL))) < 5


def test_what_is_repeated() -> None:
    six = "\n".join("abcdef")
    texts = {"a": f"x\n{six}\ny", "b": f"  {six}", "c": six[2:], "d": "x\ny"}
    assert repeated(texts) == {"a": (6, 8), "b": (6, 6), "c": (0, 5), "d": (0, 2)}


def test_a_text_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_sql.main(["marts/user_costs"])
    assert capsys.readouterr().out == sql_text("marts/user_costs")
