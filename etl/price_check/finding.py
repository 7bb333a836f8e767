"""What ``prices check`` finds, and the reviewed list of what is known and why it stays."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from etl import resources
from etl.errors import DataError
from etl.warehouse.price_file import PriceRow

KNOWN = resources.SQL / "seeds" / "price_disagreements.csv"

# A list has another rate, or one that the book lacks; a rate breaks a rule; there is a time
# without a rate; rates were not looked at for long; a known disagreement is none any more.
DIFFERS, MISSING, RULE, GAP, OLD, STALE = "differs", "missing", "rule", "gap", "old", "stale"


class Finding(NamedTuple):
    """One finding; rates as in the price list, None where there is none.

    ``by``: a list and its entry, the name of a rule, or the days that a gap or an age is about.
    """

    finding: str
    by: str
    model_id: str
    region: str
    scope: str
    service_tier: str
    token_kind: str
    min_input_tokens: int
    expected: int | None = None
    found: int | None = None


def finding_about(
    row: PriceRow, finding: str, by: str, expected: int | None = None, found: int | None = None
) -> Finding:
    """Return a finding about the use that a rate is for."""
    where = row.model_id, row.region, row.scope, row.service_tier, row.token_kind
    return Finding(finding, by, *where, row.min_input_tokens, expected, found)


COLUMNS = (*Finding._fields, "reason", "reviewed_on")


def read_known(path: Path = KNOWN) -> list[Finding]:
    """Return the reviewed findings. Raises DataError for one without a reason, or one twice."""
    known: dict[Finding, None] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), 2):
            finding = _finding(row)
            if not row["reason"] or not row["reviewed_on"]:
                raise DataError(f"{path.name}, line {line}: say the reason, and the day of review")
            if finding in known:
                raise DataError(f"{path.name}, line {line}: the same as an earlier line")
            known[finding] = None
    return list(known)


def _finding(row: dict[str, str]) -> Finding:
    whole = ("min_input_tokens", "expected", "found")
    cells: dict[str, Any] = {name: row[name] for name in Finding._fields}
    return Finding(**cells | {name: int(row[name]) if row[name] else None for name in whole})


def review(
    findings: Iterable[Finding], known: Iterable[Finding], lists: Iterable[str]
) -> tuple[list[Finding], int]:
    """Return what is not known and what is known but stale, and how many findings were known.

    A known finding is stale if it is not found any more although its list was looked at.
    """
    findings, known, lists = list(findings), set(known), set(lists)
    new = [one for one in findings if one not in known]
    stale = [
        one._replace(finding=STALE, by=f"{one.finding} {one.by}")
        for one in sorted(known.difference(findings), key=str)
        if one.finding in (RULE, GAP, OLD) or one.by.split(" ")[0] in lists
    ]
    return new + stale, len(findings) - len(new)
