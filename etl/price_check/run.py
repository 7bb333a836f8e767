"""One check of a price list, from everything it is compared with to what is new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import NamedTuple

from etl.price_check.against_itself import broken_rules, gaps, old_rates, read_rules
from etl.price_check.book import Book
from etl.price_check.finding import DIFFERS, MISSING, STALE, Finding, read_known, review
from etl.price_check.other_lists import OtherList
from etl.warehouse.price_file import PriceRow


class Outcome(NamedTuple):
    """What was checked, what is new, and how many findings were reviewed before."""

    rates: int
    lists: tuple[str, ...]
    findings: list[Finding]
    known: int


def check_prices(
    origins: Sequence[Iterable[PriceRow]],
    lists: Sequence[OtherList],
    today: date,
    *,
    is_seed: bool = True,
) -> Outcome:
    """Check a price list on a day. Raises DataError if the reviewed list is damaged.

    ``is_seed``: it is this release's list, whose reviewed disagreements have to be up to date.
    """
    book = Book(origins, today.isoformat())
    rules = read_rules()
    findings = [
        *against_lists(book, lists),
        *broken_rules(book.rows, rules),
        *gaps(book.rows),
        *old_rates(book.rows, today),
    ]
    new, count = review(findings, read_known(), [one.name for one in lists])
    if not is_seed:
        new = [one for one in new if one.finding != STALE]
    versions = tuple(version for one in lists for version in one.versions)
    return Outcome(len(book.rows), versions, new, count)


def against_lists(book: Book, lists: Iterable[OtherList]) -> Iterator[Finding]:
    """Yield each rate of another list that the book lacks, or has more than 0.1 % different."""
    for by, use, usd in (rate for one in lists for rate in one.rates):
        row = book.look_up(use)
        where = by, use.model_id, use.region, use.scope, *use.item
        if row is None:
            yield Finding(MISSING, *where, usd)
        elif abs(row.usd_per_mtok - usd) * 1000 > usd:
            yield Finding(DIFFERS, *where, usd, row.usd_per_mtok)
