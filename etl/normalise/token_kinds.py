"""What a call uses, kind by kind: the one table that lists, columns and SQL follow.

A *kind* is what a source counts and CloudWatch's totals are shared out by. It has one *count* in a
call, or several where prices tell more apart than AWS's reports do: a cache write is written for
5 minutes or for an hour. A report that does not say which goes to the first.

The names of stored columns follow from these by rule (``unknown_calls``, ``estimate``; a rate is
``<price>_rate``), so a kind is added here and in a migration; docs/development.md has the recipe.
``sql/macros/columns.sql`` reads this module as ``token_kinds``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Count(NamedTuple):
    """A number that is kept of each call.

    ``column``: of the table ``tokens`` and of the rollups. ``price``: its ``prices.token_kind``.
    """

    column: str
    price: str


class TokenKind(NamedTuple):
    """A kind, with its names everywhere.

    ``name``: in estimates and ``metric_series.metric_kind``. ``shown``: the column in which users
    see it, all its counts in one.

    Where AWS writes it, the newest name first: ``cloudtrail``, fields of an event; ``log``, the
    path in an invocation log's record; ``body``, fields of a logged response's ``usage``;
    ``metrics``, of the namespace AWS/Bedrock; ``mantle_metrics``, of AWS/BedrockMantle.

    ``is_input``: it counts for the size of a request, which may decide its price. ``unit``: what is
    not tokens is added to no sum of tokens.
    """

    name: str
    heading: str
    shown: str
    counts: tuple[Count, ...]
    cloudtrail: tuple[str, ...] = ()
    log: str | None = None
    body: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    mantle_metrics: tuple[str, ...] = ()
    is_input: bool = False
    unit: str = "tokens"

    @property
    def unknown_calls(self) -> str:
        """The column of the rollups for successful calls that lack all its counts."""
        return f"{self.name}_unknown_calls"

    @property
    def estimate(self) -> str:
        """The column of the rollups for what CloudWatch gives such calls."""
        return f"estimated_{self.shown}"


KINDS = (
    TokenKind(
        name="input",
        heading="Input",
        shown="input_tokens",
        counts=(Count("input_tokens", "input"),),
        cloudtrail=("inputTokens", "inputTokenCount"),
        log="input.inputTokenCount",
        body=("inputTokens", "input_tokens", "inputTokenCount"),
        metrics=("InputTokenCount",),
        mantle_metrics=("TotalInputTokens",),
        is_input=True,
    ),
    TokenKind(
        name="output",
        heading="Output",
        shown="output_tokens",
        counts=(Count("output_tokens", "output"),),
        cloudtrail=("outputTokens", "outputTokenCount"),
        log="output.outputTokenCount",
        body=("outputTokens", "output_tokens", "outputTokenCount"),
        metrics=("OutputTokenCount",),
        mantle_metrics=("TotalOutputTokens",),
    ),
    TokenKind(
        name="cache_read",
        heading="Cache read",
        shown="cache_read_tokens",
        counts=(Count("cache_read_tokens", "cache_read"),),
        cloudtrail=("cacheReadInputTokens", "cacheReadInputTokenCount"),
        log="input.cacheReadInputTokenCount",
        body=("cacheReadInputTokens", "cache_read_input_tokens", "cacheReadInputTokenCount"),
        # Both names are in use; the view int_metric_hours counts them once.
        metrics=("CacheReadInputTokenCount", "CacheReadInputTokens"),
        is_input=True,
    ),
    TokenKind(
        name="cache_write",
        heading="Cache write",
        shown="cache_write_tokens",
        counts=(
            Count("cache_write_5m_tokens", "cache_write_5m"),
            Count("cache_write_1h_tokens", "cache_write_1h"),
        ),
        cloudtrail=("cacheWriteInputTokens", "cacheWriteInputTokenCount"),
        log="input.cacheWriteInputTokenCount",
        body=("cacheWriteInputTokens", "cache_creation_input_tokens", "cacheWriteInputTokenCount"),
        metrics=("CacheWriteInputTokenCount", "CacheWriteInputTokens"),
        is_input=True,
    ),
    # Counted in the response that an invocation log has.
    TokenKind(
        name="image",
        heading="Images",
        shown="image_count",
        counts=(Count("image_count", "image"),),
        metrics=("OutputImageCount",),
        unit="images",
    ),
)

COUNTS = tuple(count for kind in KINDS for count in kind.counts)
COUNT_COLUMNS = tuple(count.column for count in COUNTS)
PRICE_KINDS = tuple(count.price for count in COUNTS)
PRICE_UNITS = {count.price: kind.unit for kind in KINDS for count in kind.counts}
RATES = tuple(f"{price}_rate" for price in PRICE_KINDS)
UNKNOWN_CALLS = tuple(kind.unknown_calls for kind in KINDS)
ESTIMATES = tuple(kind.estimate for kind in KINDS)

# What CloudWatch gives each count; None for all but a kind's first, which gets all of it.
ESTIMATE_OF = {
    count.column: kind.estimate if count is kind.counts[0] else None
    for kind in KINDS
    for count in kind.counts
}

# An estimate, and the kind that it is priced as: its first count's.
PRICED_ESTIMATES = tuple((kind.estimate, kind.counts[0].price) for kind in KINDS)

# Those of the size of a request.
INPUT_COLUMNS = tuple(count.column for kind in KINDS if kind.is_input for count in kind.counts)

TOKENS_ALONE = tuple(kind for kind in KINDS if kind.unit == "tokens")
TOKEN_COLUMNS = tuple(count.column for kind in TOKENS_ALONE for count in kind.counts)
SHOWN = tuple(kind.shown for kind in KINDS)
SHOWN_TOKENS = tuple(kind.shown for kind in TOKENS_ALONE)

# The columns that hold what is known of a call's tokens, in whichever table.
STORED_COLUMNS = ("token_source_key", *COUNT_COLUMNS, "service_tier")


_NAMES = tuple(
    kind.name if count is kind.counts[0] else count.price for kind in KINDS for count in kind.counts
)


def counts_of(values: Mapping[str, int | None]) -> tuple[int | None, ...]:
    """Return every count of a call, in the order of ``COUNTS``.

    ``values``: by the kind's name, which stands for its first count; its others by their prices'.
    """
    return tuple(map(values.get, _NAMES))
