"""The tables of ``sql/seeds`` that say what names mean: whose they are, what operations do.

They are data with a source, not code. Each is read once. A row is a dict of texts by column.
"""

from __future__ import annotations

import csv
import fnmatch
import re
from collections.abc import Iterable, Mapping
from functools import cache

from etl.resources import SQL


@cache
def seed_rows(name: str) -> tuple[Mapping[str, str], ...]:
    """Return the rows of ``sql/seeds/NAME.csv``."""
    with (SQL / "seeds" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def any_of(globs: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that matches a text that one of the globs matches."""
    return re.compile("|".join(map(fnmatch.translate, globs)))
