"""The price list against itself: rules between its rates, times without a rate, its age.

A rule is a line of ``sql/seeds/price_rules.csv``: the rates of some models that have a *value* in
one *column* are so many *times* the rate that has the *base* there and is otherwise for the same
use. AWS rounds some of them: a difference up to ``rounding`` is none. The first rule for a rate and
its base is the one that applies, so exceptions come before the rule that they are from.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from etl import resources
from etl.price_check.finding import GAP, OLD, RULE, Finding, finding_about
from etl.warehouse.price_file import PriceRow

RULES = resources.SQL / "seeds" / "price_rules.csv"
MAX_AGE = timedelta(days=90)

_SAME_USE = (*("model_id", "region", "scope", "service_tier", "token_kind", "min_input_tokens"),)


class Rule(NamedTuple):
    """``models``: patterns; ``regions``: names, or none for all; both separated by spaces."""

    rule: str
    models: str
    regions: str
    token_kind: str
    column: str
    value: str
    base: str
    times: Decimal
    rounding: int

    def is_about(self, row: PriceRow) -> bool:
        return (
            str(getattr(row, self.column)) == self.value
            and any(fnmatchcase(row.model_id, pattern) for pattern in self.models.split())
            and (not self.regions or row.region in self.regions.split())
            and (not self.token_kind or row.token_kind in self.token_kind.split())
        )

    def base_of(self, row: PriceRow) -> tuple[str, ...]:
        """Return the use that a rate is compared with."""
        use = dict(zip(_SAME_USE, _use_of(row), strict=True)) | {self.column: self.base}
        if self.column == "scope":
            use["region"] = "*"
        return tuple(use.values())

    def is_kept(self, rate: int, base: int) -> bool:
        """Return whether a rate is that many times its base, but for rounding or a thousandth."""
        expected = base * self.times
        return abs(rate - expected) <= max(Decimal(self.rounding), expected / 1000)


def _use_of(row: PriceRow) -> tuple[str, ...]:
    return (*(str(getattr(row, name)) for name in _SAME_USE),)


def read_rules() -> list[Rule]:
    with RULES.open(encoding="utf-8", newline="") as file:
        return [_rule(row) for row in csv.DictReader(file)]


def _rule(row: dict[str, str]) -> Rule:
    cells: dict[str, Any] = {name: row[name] for name in Rule._fields}
    numbers = {"times": Decimal(row["times"]), "rounding": int(row["rounding"])}
    return Rule(**cells | numbers)


def broken_rules(rows: Iterable[PriceRow], rules: Sequence[Rule]) -> Iterator[Finding]:
    """Yield each rate that breaks a rule, on any day on which both rates were in force."""
    by_use = defaultdict(list)
    for row in rows:
        by_use[_use_of(row)].append(row)
    for row in (row for same in by_use.values() for row in same):
        compared = set()
        for rule in rules:
            base = rule.base_of(row)
            if base in compared or not rule.is_about(row):
                continue
            compared.add(base)
            for other in by_use.get(base, ()):
                if _overlap(row, other) and not rule.is_kept(row.usd_per_mtok, other.usd_per_mtok):
                    expected = round(other.usd_per_mtok * rule.times)
                    yield finding_about(row, RULE, rule.rule, expected, row.usd_per_mtok)


def _overlap(one: PriceRow, other: PriceRow) -> bool:
    return one.effective_from < (other.effective_to or "9999") and other.effective_from < (
        one.effective_to or "9999"
    )


def gaps(rows: Iterable[PriceRow]) -> Iterator[Finding]:
    """Yield each stretch of days without a rate between two rates for the same use."""
    ordered = sorted(rows, key=lambda row: (_use_of(row), row.effective_from))
    for _, same in groupby(ordered, key=_use_of):
        for one, other in pairwise(same):
            if one.effective_to and one.effective_to < other.effective_from:
                days = f"{one.effective_to} to {other.effective_from}"
                yield finding_about(other, GAP, days)


def old_rates(rows: Iterable[PriceRow], today: date) -> Iterator[Finding]:
    """Yield each model and day of the rates in force that were checked more than 90 days ago."""
    limit, day = (today - MAX_AGE).isoformat(), today.isoformat()
    in_force = (row for row in rows if row.effective_from <= day < (row.effective_to or "9999"))
    for model_id, checked_on in sorted(
        {(row.model_id, row.checked_on) for row in in_force if row.checked_on < limit}
    ):
        yield Finding(OLD, f"checked on {checked_on}", model_id, "", "", "", "", 0)
