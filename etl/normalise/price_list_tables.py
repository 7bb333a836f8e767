"""The tables that say what the parts of a product in AWS's Price List mean.

They are ``sql/seeds/price_list_*.csv``; ``etl.normalise.price_list`` applies them. Nothing has two
meanings: a table in which something has is refused.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from etl.errors import DataError

_Of = TypeVar("_Of")
_Means = TypeVar("_Means")


class Rule(NamedTuple):
    """What a usage type that fits a pattern is. ``excluded``: why it is left out, empty if not."""

    attribute: str
    pattern: re.Pattern[str]
    token_kind: str
    counts: str
    excluded: str
    charge_kind: str


class Name(NamedTuple):
    """What a name stands for. ``service_tier``: empty unless the name says it."""

    model_id: str
    service_tier: str = ""
    excluded: str = ""


class Unit(NamedTuple):
    """What a unit counts. ``per_million``: how many of it are a million of that."""

    description: re.Pattern[str] | None
    counts: str
    per_million: int


@dataclass(frozen=True)
class Tables:
    """What the parts of a product mean.

    ``rules``: of usage types, in order. ``words``: what follows in a usage type, to axis and value.
    ``names``: by kind of name and the name. ``units``: by unit.
    """

    rules: Sequence[Rule]
    words: Mapping[tuple[str, ...], tuple[str, str]]
    names: Mapping[tuple[str, str], Name]
    units: Mapping[str, Unit]


def parse_tables(usage_types: str, words: str, models: str, units: str) -> Tables:
    """Read the four tables, as CSV. Raises DataError if something has two meanings."""
    return Tables(
        rules=[
            Rule(
                row["attribute"],
                re.compile(row["pattern"]),
                row["token_kind"],
                row["counts"],
                row["excluded"],
                row["charge_kind"] or "usage",
            )
            for row in _rows(usage_types)
        ],
        words=_unique(
            "word",
            ((tuple(row["word"].split()), (row["axis"], row["value"])) for row in _rows(words)),
        ),
        names=_unique(
            "model",
            (
                (
                    (row["attribute"], folded(row["name"])),
                    Name(row["model_id"], row["service_tier"], row["excluded"]),
                )
                for row in _rows(models)
            ),
        ),
        units=_unique(
            "unit",
            (
                (
                    folded(row["unit"]),
                    Unit(
                        re.compile(row["description"]) if row["description"] else None,
                        row["counts"],
                        int(row["per_million"]),
                    ),
                )
                for row in _rows(units)
            ),
        ),
    )


def _rows(text: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(text))


def _unique(what: str, pairs: Iterable[tuple[_Of, _Means]]) -> dict[_Of, _Means]:
    found: dict[_Of, _Means] = {}
    for key, value in pairs:
        if key in found:
            raise DataError(f"the {what} {key!r} is listed twice")
        found[key] = value
    return found


def folded(name: str) -> str:
    """Return a name as all its spellings have it."""
    return " ".join(name.casefold().split())
