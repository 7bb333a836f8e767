"""What to say of savings, the same in the terminal and on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from etl.show.numbers import Row


class Comparison(NamedTuple):
    """A kind of comparison: its title, the heading of what is compared with, and its caveat."""

    title: str
    target: str
    caveat: str


COMPARISONS: Mapping[str, Comparison] = {
    "models": Comparison(
        "Other models",
        "Other model",
        "Models of the same provider, and those used here. Another model cuts the same text into"
        " other numbers of tokens, may answer at other length and quality, and may not be offered"
        " in the region.",
    ),
    "scopes": Comparison(
        "Global or regional inference",
        "Other scope",
        "With a global profile AWS may process requests in any commercial region, which rules on"
        " where data may go can forbid.",
    ),
    "tiers": Comparison(
        "Service tiers",
        "Other tier",
        "Batch takes up to 24 hours and does not stream; flex answers more slowly. A price does not"
        " mean that the region offers the tier.",
    ),
}

ABOUT_CACHE = (
    "Saved is what the tokens read from the cache would have cost as input, less what they cost,"
    " less what writes cost more than input. Only a prompt's repeated beginning can be cached, from"
    " about a thousand tokens on: at most is what all uncached input would save."
)

ABOUT_QUOTAS = (
    "The highest minute or day of the last 14 days of usage. ≥: more may have been used, because"
    " output tokens take several times as much of a quota, or only the mean of an hour is known."
    " AWS also reserves max_tokens of every request while it runs, which nothing here shows."
)


def best_of_each(rows: Sequence[Row], others: int) -> list[Row]:
    """Return the first rows of each use of a model, those with a known difference."""
    seen: dict[tuple[Any, ...], int] = {}
    best = []
    for row in rows:
        use = (row["model_id"], row["inference_scope"], row["service_tier"])
        seen[use] = seen.get(use, 0) + 1
        if seen[use] <= others and row["difference_usd"] is not None:
            best.append(row)
    return best
