"""Where the tokens of a call stood, and how much each place is trusted.

The keys are stored with every call and in every rollup: they are written out, a source keeps its
own for ever, and a new one takes the next that is free. The order of ``TOKEN_SOURCES`` is another
thing: the most trusted first. Where two sources know the same count, the earlier one is kept
(``etl.normalise.reports``).
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

TOKEN_SOURCES = (
    TokenSource(1, LOG_TOKENS, _LOG),
    TokenSource(2, EVENT_TOKENS, _CLOUDTRAIL),
    TokenSource(3, "AwsServiceEvent", _CLOUDTRAIL),
    TokenSource(4, "responseElements.usage", _CLOUDTRAIL),
    TokenSource(5, "responseElements", _CLOUDTRAIL),
)

# What stands for calls without any tokens, and for what CloudWatch gives them.
NO_TOKENS = TokenSource(0, "none", "No token data")
ESTIMATED = TokenSource(-1, "CloudWatch", "CloudWatch (Estimated)")

KEYS = {source.name: source.key for source in TOKEN_SOURCES}
NAMES = {source.key: source.name for source in TOKEN_SOURCES}

_RANKS = {source.name: rank for rank, source in enumerate(TOKEN_SOURCES)}


def rank_of(name: str) -> int:
    """Return the place of a source: 0 for the most trusted."""
    return _RANKS[name]
