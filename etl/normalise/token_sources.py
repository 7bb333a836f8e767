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

LOG_TOKENS = "invocation log"
EVENT_TOKENS = "additionalEventData"

# Keys are stored, so they are written out (DECISIONS 147).
TOKEN_SOURCES = (
    TokenSource(1, LOG_TOKENS, _LOG),
    TokenSource(2, EVENT_TOKENS, _CLOUDTRAIL),
    TokenSource(3, "AwsServiceEvent", _CLOUDTRAIL),
    TokenSource(4, "responseElements.usage", _CLOUDTRAIL),
    TokenSource(5, "responseElements", _CLOUDTRAIL),
)

# For calls without any tokens, and for tokens that CloudWatch assigns to them.
NO_TOKENS = TokenSource(0, "none", "No token data")
ESTIMATED = TokenSource(-1, "CloudWatch", "CloudWatch (Estimated)")

KEYS = {source.name: source.key for source in TOKEN_SOURCES}
NAMES = {source.key: source.name for source in TOKEN_SOURCES}

_RANKS = {source.name: rank for rank, source in enumerate(TOKEN_SOURCES)}


def rank_of(name: str) -> int:
    """Return the rank of a source: 0 for the most trusted."""
    return _RANKS[name]
