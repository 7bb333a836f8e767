"""How often a test repeats: a few times with every change, many with ``make test-long``."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

VARIABLE = "TEST_LONG"
IS_LONG = os.environ.get(VARIABLE, "") not in ("", "0")

# For a test that has to run for minutes.
long = pytest.mark.skipif(not IS_LONG, reason="a long one: make test-long")


def rounds(few: int, many: int) -> int:
    """Return how many rounds, examples or kills this run takes."""
    return many if IS_LONG else few


def crossed(*tables: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Return every combination in a long run, otherwise each value of each table once or more."""
    columns = [list(table) for table in tables]
    if IS_LONG:
        return list(itertools.product(*columns))
    longest = max(map(len, columns))
    return [tuple(column[row % len(column)] for column in columns) for row in range(longest)]


def some(values: Iterable[T], few: int) -> list[T]:
    """Return all values in a long run, otherwise a few, evenly chosen."""
    values = list(values)
    count = len(values) if IS_LONG else min(few, len(values))
    return [values[index * len(values) // count] for index in range(count)]
