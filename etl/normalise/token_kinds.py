"""What a call uses, kind by kind: the one table behind lists, columns and SQL.

A *kind* is what a source counts and what CloudWatch's totals are divided by. It has one *count* in
a call, or several where prices distinguish more than AWS's reports do: a cache write lasts 5
minutes or an hour. A report that does not say which counts as the first.

The names of stored columns follow from these by rule (``unknown_calls``, ``estimate``; a rate is
``<price>_rate``), so a new kind is added here and in a migration; docs/development.md has the
steps. ``sql/macros/columns.sql`` reads this module as ``token_kinds``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from etl.normalise import guardrails


class Count(NamedTuple):
    """A number stored for each call.

    ``column``: in the table ``tokens`` and in the rollups. ``price``: its ``prices.token_kind``;
    ``or_price``: those that price it for a model without a rate of that kind, the first one first.
    """

    column: str
    price: str
    or_price: tuple[str, ...] = ()


class TokenKind(NamedTuple):
    """A kind, with all its names.

    ``name``: in estimates and ``metric_series.metric_kind``. ``shown``: the column that users see,
    which adds up all its counts.

    Where AWS writes it, the newest name first: ``cloudtrail``, fields of an event; ``log``, the
    path in an invocation log's record; ``body``, fields of a logged response's ``usage``;
    ``openai``, the same as OpenAI's APIs write it;
    ``metrics``, in the namespace AWS/Bedrock; ``mantle_metrics``, in AWS/BedrockMantle.

    ``is_input``: it counts towards the size of a request, which may decide its price. ``unit``: a
    kind with another unit than tokens is not added to token sums.
    """

    name: str
    heading: str
    shown: str
    counts: tuple[Count, ...]
    cloudtrail: tuple[str, ...] = ()
    log: str | None = None
    body: tuple[str, ...] = ()
    openai: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    mantle_metrics: tuple[str, ...] = ()
    is_input: bool = False
    unit: str = "tokens"

    @property
    def unknown_calls(self) -> str:
        """The rollup column for successful calls that lack all its counts."""
        return f"{self.name}_unknown_calls"

    @property
    def estimate(self) -> str:
        """The rollup column for what CloudWatch assigns to such calls."""
        return f"estimated_{self.shown}"

    @property
    def below(self) -> str:
        """The column of daily_widths for how much of a day's estimate may be too much."""
        return f"{self.name}_below"

    @property
    def above(self) -> str:
        """The column of daily_widths for how much may be missing from it."""
        return f"{self.name}_above"


KINDS = (
    TokenKind(
        name="input",
        heading="Input",
        shown="input_tokens",
        counts=(Count("input_tokens", "input"),),
        cloudtrail=("inputTokens", "inputTokenCount"),
        log="input.inputTokenCount",
        body=("inputTokens", "input_tokens", "inputTokenCount"),
        openai=("input_tokens", "prompt_tokens"),
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
        openai=("output_tokens", "completion_tokens"),
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
        openai=("input_tokens_details.cached_tokens", "prompt_tokens_details.cached_tokens"),
        # Both names are in use; the view int_metric_hours counts them once.
        metrics=("CacheReadInputTokenCount", "CacheReadInputTokens"),
        is_input=True,
    ),
    TokenKind(
        name="cache_write",
        heading="Cache write",
        shown="cache_write_tokens",
        counts=(
            # A model's ordinary cache write, which lives 30 minutes with some vendors.
            Count("cache_write_5m_tokens", "cache_write_5m", ("cache_write_30m",)),
            Count("cache_write_1h_tokens", "cache_write_1h"),
        ),
        cloudtrail=("cacheWriteInputTokens", "cacheWriteInputTokenCount"),
        log="input.cacheWriteInputTokenCount",
        body=("cacheWriteInputTokens", "cache_creation_input_tokens", "cacheWriteInputTokenCount"),
        openai=(
            "input_tokens_details.cache_write_tokens",
            "prompt_tokens_details.cache_write_tokens",
        ),
        metrics=("CacheWriteInputTokenCount", "CacheWriteInputTokens"),
        is_input=True,
    ),
    # Counted in the response, as an invocation log has it.
    TokenKind(
        name="image",
        heading="Images",
        shown="image_count",
        counts=(Count("image_count", "image"),),
        metrics=("OutputImageCount",),
        unit="images",
    ),
    # Of documents, as a log with bodies shows them.
    TokenKind(
        name="search",
        heading="Search units",
        shown="search_units",
        counts=(Count("search_units", "search_unit"),),
        unit="search units",
    ),
    # Of a generated video, as a log with bodies shows them.
    TokenKind(
        name="video",
        heading="Video seconds",
        shown="video_seconds",
        counts=(Count("video_seconds", "video_second"),),
        unit="seconds",
    ),
)

COUNTS = tuple(count for kind in KINDS for count in kind.counts)
COUNT_COLUMNS = tuple(count.column for count in COUNTS)
PRICE_KINDS = tuple(count.price for count in COUNTS)
PRICED_COUNTS = tuple((count.column, count.price) for count in COUNTS)
# Each other kind of price with the one in whose place it prices a count, and its turn.
OTHER_PRICES = tuple(
    (other, count.price, turn) for count in COUNTS for turn, other in enumerate(count.or_price, 1)
)
# Every kind of price that prices a count.
PRICE_UNITS = {
    price: kind.unit
    for kind in KINDS
    for count in kind.counts
    for price in (count.price, *count.or_price)
}
RATES = tuple(f"{price}_rate" for price in PRICE_KINDS)
LIST_RATES = tuple(f"{price}_list_rate" for price in PRICE_KINDS)
UNKNOWN_CALLS = tuple(kind.unknown_calls for kind in KINDS)
ESTIMATES = tuple(kind.estimate for kind in KINDS)
WIDTHS = tuple(column for kind in KINDS for column in (kind.below, kind.above))

# The estimate for each count. A kind's first count gets all of it, the others None.
ESTIMATE_OF = {
    count.column: kind.estimate if count is kind.counts[0] else None
    for kind in KINDS
    for count in kind.counts
}

# Images are priced by what was asked for. ``image_<variant>`` prices those up to this size, plain
# ``image`` those of any size, or of an unknown one.
IMAGE_SIZES = (512, 1024, 2048)
IMAGE_QUALITIES = ("standard", "premium")
IMAGE_VARIANTS = tuple(f"{n}x{n}_{quality}" for n in IMAGE_SIZES for quality in IMAGE_QUALITIES)
# Videos are, by their resolution: ``video_second_<variant>``.
VIDEO_VARIANTS = ("540p", "720p")
# The kinds of price with variants, and how SQL knows them, with one that any release may have.
VARIED = {"image": "image_%x%", "video_second": "video_second_%p"}
PRICE_UNITS |= {f"image_{variant}": "images" for variant in IMAGE_VARIANTS}
PRICE_UNITS |= {f"video_second_{variant}": "seconds" for variant in VIDEO_VARIANTS}
# No counts of a call: the view guardrail_usage has their costs.
PRICE_UNITS |= guardrails.PRICE_UNITS

# An estimate, and the kind whose price applies: that of its first count.
PRICED_ESTIMATES = tuple((kind.estimate, kind.counts[0].price) for kind in KINDS)

# The counts that make up the size of a request: its input, then what a cache had or took of it.
INPUT_KINDS = tuple(kind.name for kind in KINDS if kind.is_input)
INPUT_COLUMNS = tuple(count.column for kind in KINDS if kind.is_input for count in kind.counts)
CACHE_COLUMNS = INPUT_COLUMNS[1:]

# The known input that CloudWatch's cache totals say is from the cache: it is not counted twice.
CACHED_INPUT = "estimated_cached_input_tokens"

TOKENS_ALONE = tuple(kind for kind in KINDS if kind.unit == "tokens")
TOKEN_COLUMNS = tuple(count.column for kind in TOKENS_ALONE for count in kind.counts)
SHOWN = tuple(kind.shown for kind in KINDS)
SHOWN_TOKENS = tuple(kind.shown for kind in TOKENS_ALONE)

# The columns for a call's known tokens, in every table that has them.
STORED_COLUMNS = ("token_source_key", *COUNT_COLUMNS, "service_tier", "input_sources", "variant")


_NAMES = tuple(
    kind.name if count is kind.counts[0] else count.price for kind in KINDS for count in kind.counts
)


def counts_of(values: Mapping[str, int | None]) -> tuple[int | None, ...]:
    """Return every count of a call, in the order of ``COUNTS``.

    ``values``: by kind name for a kind's first count, by price kind for its other counts.
    """
    return tuple(map(values.get, _NAMES))
