"""The price list that is checked, and what it says a use costs.

The choice is that of the view ``int_rates``, for one day, without a warehouse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from etl import resources
from etl.normalise.listed_prices import Item
from etl.normalise.model_ids import price_model_ids
from etl.warehouse.price_file import PriceRow, parse_prices

SEED = resources.SQL / "seeds" / "list_prices.csv"

# What a list calls a cache write, or input, may be listed as one of these in the book, which tells
# apart how long a write lives, and text from speech.
_ALSO = {
    "cache_write_5m": ("cache_write_30m",),
    "input": ("text_input",),
    "output": ("text_output",),
}


class Use(NamedTuple):
    """What can have only one rate on a day; ``region`` is ``*`` for global profiles."""

    model_id: str
    region: str
    scope: str
    item: Item


class Book:
    """Rates, those that come before others first: one sequence for each origin.

    ``rows`` are those that price something: not those of a use for which an earlier origin has any.
    """

    def __init__(self, origins: Sequence[Iterable[PriceRow]], day: str) -> None:
        self.rows: list[PriceRow] = []
        self._found: list[dict[tuple[str, str, str, str], list[PriceRow]]] = []
        for rows in map(list, origins):
            found = defaultdict(list)
            before = {_use_of(row) for row in self.rows}
            self.rows += [row for row in rows if _use_of(row) not in before]
            for row in rows:
                if row.effective_from <= day < (row.effective_to or "9999"):
                    found[row.model_id, row.scope, row.service_tier, row.token_kind].append(row)
            self._found.append(found)

    def look_up(self, use: Use) -> PriceRow | None:
        """Return the rate in force, None if the use has none."""
        for kind in (use.item.token_kind, *_ALSO.get(use.item.token_kind, ())):
            for found in self._found:
                for model_id in price_model_ids(use.model_id):
                    key = model_id, use.scope, use.item.service_tier, kind
                    fitting = [row for row in found.get(key, ()) if _fits(row, use)]
                    if fitting:
                        return min(
                            fitting, key=lambda row: (row.region == "*", -row.min_input_tokens)
                        )
        return None


def _use_of(row: PriceRow) -> Use:
    item = Item(row.service_tier, row.token_kind, row.min_input_tokens)
    return Use(row.model_id, row.region, row.scope, item)


def _fits(row: PriceRow, use: Use) -> bool:
    is_here = row.region == use.region or (
        row.region == "*" and not use.region.startswith("us-gov-")
    )
    return is_here and row.min_input_tokens <= use.item.min_input_tokens


def read_seed() -> list[PriceRow]:
    """Return the price list that this release has."""
    return list(parse_prices(SEED.read_text(encoding="utf-8")))
