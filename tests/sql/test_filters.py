"""The filters of pages and canned queries: names in a JSON array or separated by commas."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import resources
from etl.sql_files import compose
from tests.cases import cases
from tests.rounds import rounds

SQL = compose(
    {
        **{
            f"macros/{file.stem}": file.read_text() for file in (resources.SQL / "macros").iterdir()
        },
        "names": "select name from known where {{ filters.chosen('names', 'name') }} order by name",
        "days": "select day from known where {{ filters.period() }} order by day",
    }
)
# Names as sources have them: any text except NUL, which no stored name contains.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
# What can stand between commas.
PLAIN = TEXT.map(lambda name: name.replace(",", "").strip(" ").lstrip("[")).filter(bool)
DAYS = ("2026-10-01", "2026-10-02", "2026-10-30", "2026-10-31")
REGION, MODEL = "us-east-1", "anthropic.claude-3-haiku-20240307-v1:0"


@pytest.fixture(scope="module")
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("create table known (name text, day text, region text, model_id text)")
        db.execute("create table usage_daily as select * from known")
        yield db


def chosen(db: sqlite3.Connection, names: str | None, known: list[str]) -> list[str]:
    db.execute("delete from known")
    db.executemany("insert into known (name) values (?)", [(name,) for name in sorted(known)])
    return [name for (name,) in db.execute(SQL["names"], {"names": names})]


@settings(max_examples=rounds(60, 3000), deadline=None)
@given(known=st.lists(TEXT, unique=True, max_size=5), data=st.data())
def test_an_array_selects_its_names_and_no_others(
    db: sqlite3.Connection, known: list[str], data: st.DataObject
) -> None:
    wanted = data.draw(st.lists(st.sampled_from(known) if known else TEXT, max_size=3))
    wanted += data.draw(st.lists(TEXT, max_size=2))
    for array in (json.dumps(wanted), f" {json.dumps(wanted, ensure_ascii=False)}"):
        assert set(chosen(db, array, known)) == {*wanted} & {*known}


@settings(max_examples=rounds(60, 3000), deadline=None)
@given(known=st.lists(PLAIN, unique=True, min_size=1, max_size=5), data=st.data())
def test_a_list_with_commas_selects_the_same(
    db: sqlite3.Connection, known: list[str], data: st.DataObject
) -> None:
    wanted = data.draw(st.lists(st.sampled_from(known) | PLAIN, min_size=1, max_size=3))
    listed = data.draw(st.sampled_from([",", ", ", " , ", ",,"])).join(wanted)
    assert chosen(db, listed, known) == chosen(db, json.dumps(wanted), known)
    assert chosen(db, f" {listed}, ", known) == chosen(db, listed, known)


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_blank_is_everything(db: sqlite3.Connection, blank: str | None) -> None:
    assert chosen(db, blank, ["a", ""]) == ["", "a"]


@cases("nothing", ["[]", ",", "A", "a b", "%", '"', "a' or 1=1 --", '"],["a'])
def test_other_text_does_not_select_a_name(db: sqlite3.Connection, nothing: str) -> None:
    assert chosen(db, nothing, ["a"]) == []


@pytest.mark.parametrize("broken", ["[", '["a"', "[a]", '["a"]]'])
def test_a_malformed_array_is_an_error_and_does_not_select_everything(
    db: sqlite3.Connection, broken: str
) -> None:
    with pytest.raises(sqlite3.OperationalError, match="malformed JSON"):
        chosen(db, broken, ["a"])


@cases(
    ("given_", "days"),
    [
        # The last is 31 October; 30 days end with 2 October.
        ({}, ["02", "30", "31"]),
        ({"date_from": "  ", "date_to": " "}, ["02", "30", "31"]),
        ({"date_from": "2026-10-01"}, ["01", "02", "30", "31"]),
        ({"date_from": " 2026-10-30 "}, ["30", "31"]),
        ({"date_to": "2026-10-30"}, ["01", "02", "30"]),
        ({"date_from": "2026-10-02", "date_to": "2026-10-30"}, ["02", "30"]),
        ({"date_from": "2026-10-31", "date_to": "2026-10-01"}, []),
        ({"date_from": "last week"}, []),
        ({"date_to": "2026-10-32"}, []),
        ({"date_from": "2026-10-01", "regions": "us-west-2"}, []),
        ({"regions": "us-west-2, us-east-1"}, ["02", "30", "31"]),
        ({"regions": '["us-west-2", "us-east-1"]'}, ["02", "30", "31"]),
        ({"regions": "us-east"}, []),
        ({"regions": "us-east-10"}, []),
        ({"models": f" {MODEL} "}, ["02", "30", "31"]),
        ({"models": "anthropic.claude-3-haiku"}, []),
        ({"models": f"{MODEL}:200k"}, []),
        ({"models": MODEL, "regions": "us-west-2"}, []),
    ],
)
def test_blank_dates_mean_the_last_thirty_days_and_given_ones_apply(
    db: sqlite3.Connection, given_: dict[str, Any], days: list[str]
) -> None:
    for table in ("known", "usage_daily"):
        db.execute(f"delete from {table}")
        rows = [(day, REGION, MODEL) for day in DAYS]
        db.executemany(f"insert into {table} (day, region, model_id) values (?, ?, ?)", rows)
    blank = dict.fromkeys(("date_from", "date_to", "regions", "models"), "")
    found = [day[-2:] for (day,) in db.execute(SQL["days"], blank | given_)]
    assert found == days
