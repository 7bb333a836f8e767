"""A table of cases fails with each case that is wrong, and only with those."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases import cases


def test_every_case_that_fails_is_named(tmp_path: Path) -> None:
    seen = []

    @cases(
        ("number", "text"), [(1, "one"), (2, "wrong"), (3, "raises"), (4, "nothing"), (5, "last")]
    )
    def check(tmp_path: Path, text: str, number: int) -> None:
        seen.append((number, tmp_path))
        if text == "raises":
            raise KeyError("odd")
        if text == "nothing":
            with pytest.raises(ValueError, match="never"):
                pass
        assert text != "wrong"

    with pytest.raises(pytest.fail.Exception) as failed:
        check(tmp_path=tmp_path)
    assert [line for line in str(failed.value).splitlines() if line.startswith(("3", "{"))] == [
        "3 of 5 cases:",
        "{'number': 2, 'text': 'wrong'}",
        "{'number': 3, 'text': 'raises'}",
        "{'number': 4, 'text': 'nothing'}",
    ]
    assert seen == [(number, tmp_path) for number in range(1, 6)]


@cases("word", ["a", "b"])
@cases("number", [1, 2])
def test_tables_cross(word: str, number: int, tmp_path: Path) -> None:
    (tmp_path / f"{word}{number}").touch(exist_ok=False)


def test_no_cases_are_a_mistake() -> None:
    with pytest.raises(AssertionError, match="no cases"):
        cases("word", [])
