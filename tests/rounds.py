"""How often a test repeats itself: a few times with every change, many with ``make test-long``."""

from __future__ import annotations

import os

import pytest

VARIABLE = "TEST_LONG"
IS_LONG = os.environ.get(VARIABLE, "") not in ("", "0")

# For a test whose whole point is to run for minutes.
long = pytest.mark.skipif(not IS_LONG, reason="a long one: make test-long")


def rounds(few: int, many: int) -> int:
    """Return how many rounds, examples or kills this run takes."""
    return many if IS_LONG else few
