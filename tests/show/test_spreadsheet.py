"""No spreadsheet runs a cell of a CSV, and every text can be restored."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.show.report import Report, to_csv
from etl.show.spreadsheet import harmless_cell, original
from tests.cases import cases
from tests.rounds import rounds
from tests.spreadsheets import HARD, runs

NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False) | st.none()


@given(HARD)
@settings(max_examples=rounds(100, 20_000), deadline=None)
def test_any_text_is_harmless_and_comes_back(text: str) -> None:
    cell = harmless_cell(text)
    assert isinstance(cell, str)
    assert not runs(cell)
    assert original(cell) == text


@given(NUMBERS | st.booleans() | st.binary())
def test_what_is_no_text_stays(value: Any) -> None:
    assert harmless_cell(value) is value


@cases("text", ["Boto3/1.42.97 md/Botocore#1.42.97 ua/2.1", "a-b", "x = 1", "1", "", "a\nb;c", "2026-11-01T00:00:00Z"])  # fmt: skip
def test_ordinary_text_stays(text: str) -> None:
    assert harmless_cell(text) == text


@pytest.mark.parametrize("text", ["\n" * 300_000, "; " * 200_000, " " * 300_000 + "x", "'" * 300_000])  # fmt: skip
def test_a_long_text_takes_no_time(text: str) -> None:
    since = time.process_time()
    harmless_cell(text)
    assert time.process_time() - since < 10


@given(st.lists(st.tuples(HARD, NUMBERS), min_size=1, max_size=4))
@settings(max_examples=rounds(30, 2000), deadline=None)
def test_a_report_is_harmless_and_says_the_same(rows: list[tuple[str, Any]]) -> None:
    report = Report("users", "all", [{"user_name": n, "cost_usd": v} for n, v in rows], None)
    header, *found = csv.reader(io.StringIO(to_csv(report) + "\n", newline=""))
    assert header == ["user_name", "cost_usd"]
    assert [(original(name), value) for name, value in found] == [
        (name, "" if value is None else str(value)) for name, value in rows
    ]


def test_files_for_programs_are_as_they_are() -> None:
    """Prices are read again by ``prices import``; an apostrophe would be part of a name there."""
    prices = (Path(__file__).parents[2] / "etl" / "cli" / "prices.py").read_text()
    assert "harmless_cell" not in prices
