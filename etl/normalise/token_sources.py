"""Where the tokens of a call were found, and how much each source is trusted.

The keys are stored with every call and in every rollup, so they are written out. A source keeps its
key permanently, and a new one takes the next free key. The order of ``TOKEN_SOURCES`` is
independent of that: the most trusted first. If two sources have the same count, the earlier one is
used (``etl.normalise.reports``).
"""

from __future__ import annotations

from typing import NamedTuple


class TokenSource(NamedTuple):
    """A row of the table ``token_sources``. ``data_source``: what users see."""

    key: int
    name: str
    data_source: str


_LOG = "Actual Tokens from invocation log"
_CLOUDTRAIL = "Actual Tokens from CloudTrail"

# A log's record has the counts of Bedrock itself, and those of the response where it has the body.
# The two may differ in form (``sql/seeds/input_forms.csv``): OpenAI's APIs say what theirs is.
LOG_TOKENS = "invocation log"
BODY_TOKENS = "invocation log body"
OPENAI_TOKENS = "invocation log body (OpenAI)"
EVENT_TOKENS = "additionalEventData"
SERVICE_TOKENS = "AwsServiceEvent"

# Keys are stored, so they are written out (DECISIONS 147).
TOKEN_SOURCES = (
    TokenSource(7, OPENAI_TOKENS, _LOG),
    TokenSource(6, BODY_TOKENS, _LOG),
    TokenSource(1, LOG_TOKENS, _LOG),
    TokenSource(2, EVENT_TOKENS, _CLOUDTRAIL),
    TokenSource(3, SERVICE_TOKENS, _CLOUDTRAIL),
    TokenSource(4, "responseElements.usage", _CLOUDTRAIL),
    TokenSource(5, "responseElements", _CLOUDTRAIL),
)

# For calls without any tokens, and for tokens that CloudWatch assigns to them.
NO_TOKENS = TokenSource(0, "none", "No token data")
ESTIMATED = TokenSource(-1, "CloudWatch", "CloudWatch (Estimated)")

LOG_SOURCES = tuple(source.name for source in TOKEN_SOURCES if source.data_source == _LOG)

KEYS = {source.name: source.key for source in TOKEN_SOURCES}
NAMES = {source.key: source.name for source in TOKEN_SOURCES}

_RANKS = {source.name: rank for rank, source in enumerate(TOKEN_SOURCES)}


def rank_of(name: str) -> int:
    """Return the rank of a source: 0 for the most trusted."""
    return _RANKS[name]


def bit_of(name: str) -> int:
    """Return the bit that stands for a source in a set of them."""
    return 1 << KEYS[name]


def if_mixed(name: str, sources: int) -> int | None:
    """Return a set of sources; None if it has only the named one, or none."""
    return None if sources in (0, bit_of(name)) else sources
