"""Combine several reports of one call, whatever order they came in.

A call's tokens may be reported by its event, by service events, by an invocation log, and by
corrections that AWS sends later. If several of them have a count, it is

1. the invocation log's, which is the call's own;
2. else the one of the latest correction that has it, by the correction's own time and then by its
   event id, even if it is lower, or zero. A count that a correction lacks does not change;
3. else the most trusted source's; the larger one if a source reports two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from etl.normalise.rows import Tokens
from etl.normalise.token_kinds import CACHE_COLUMNS, COUNT_COLUMNS
from etl.normalise.token_sources import (
    LOG_SOURCES,
    TOKEN_SOURCES,
    bit_of,
    if_mixed,
    rank_of,
)

_INPUT = COUNT_COLUMNS.index("input_tokens")
_CACHE = tuple(COUNT_COLUMNS.index(column) for column in CACHE_COLUMNS)


# A count, and the report that has it.
_Found = tuple[int, Tokens] | None


class CorrectionKey(NamedTuple):
    """A correction's own time and event id, which order it among others.

    ``is_names``: it also corrects the names; a correction of a service event has only counts.
    """

    time: str
    event_id: str
    is_names: bool = True


# The log wins over CloudTrail, and both are kept (DECISIONS 41).
@dataclass(frozen=True)
class Reports:
    """Reported tokens of a call: by source, and by correction (None: it has no counts)."""

    by_source: Mapping[str, Tokens] = field(default_factory=dict)
    corrections: Mapping[CorrectionKey, Tokens | None] = field(default_factory=dict)

    def add(self, tokens: Tokens | None) -> Reports:
        """Add the report of a source."""
        if tokens is None:
            return self
        before = self.by_source.get(tokens.source)
        joined = _join(before, tokens) if before else tokens
        return replace(self, by_source={**self.by_source, tokens.source: joined})

    def correct(self, key: CorrectionKey, tokens: Tokens | None) -> Reports:
        """Add a correction."""
        before = self.corrections.get(key)
        joined = _join(before, tokens) if before and tokens else before or tokens
        return replace(self, corrections={**self.corrections, key: joined})

    def join(self, other: Reports) -> Reports:
        """Add all reports of another call that turned out to be the same one."""
        joined = self
        for tokens in other.by_source.values():
            joined = joined.add(tokens)
        for key, corrected in other.corrections.items():
            joined = joined.correct(key, corrected)
        return joined

    @property
    def tokens(self) -> Tokens | None:
        """What the call used, as far as known."""
        return _fill((*self._by_logs, self._by_cloudtrail))

    @property
    def cloudtrail_tokens(self) -> Tokens | None:
        """What CloudTrail reports in addition to a log; None without a log."""
        return self._by_cloudtrail if self._by_logs else None

    @property
    def _by_logs(self) -> list[Tokens]:
        return [self.by_source[name] for name in LOG_SOURCES if name in self.by_source]

    @property
    def _by_cloudtrail(self) -> Tokens | None:
        latest = [self.corrections[key] for key in sorted(self.corrections, reverse=True)]
        trusted = [
            self.by_source.get(source.name)
            for source in TOKEN_SOURCES
            if source.name not in LOG_SOURCES
        ]
        return _fill((*latest, *trusted))


def stored_reports(tokens: Tokens | None, cloudtrail_tokens: Tokens | None) -> dict[str, Tokens]:
    """Return the reports that stored tokens represent, where no others are stored."""
    known = (tokens, cloudtrail_tokens)
    return {report.source: report for report in known if report is not None}


def _join(one: Tokens, other: Tokens) -> Tokens:
    """Take the larger of each count, and the name of the more trusted source."""
    counts = (_larger(a, b) for a, b in zip(one.counts, other.counts, strict=True))
    source = min(one.source, other.source, key=rank_of)
    tier = max(one.service_tier or "", other.service_tier or "") or None
    sources = if_mixed(source, _sources_of(one) | _sources_of(other))
    variant = max(one.variant or "", other.variant or "") or None
    return Tokens._make((source, *counts, tier, sources, variant))


def _sources_of(tokens: Tokens) -> int:
    return tokens.input_sources or bit_of(tokens.source)


def _larger(one: int | None, other: int | None) -> int | None:
    return max((count for count in (one, other) if count is not None), default=None)


def _fill(reports: Iterable[Tokens | None]) -> Tokens | None:
    """Take each count from the first report that has it, and the most trusted source's name."""
    known = [report for report in reports if report is not None]
    if not known:
        return None
    found = [_first(known, place) for place in range(len(COUNT_COLUMNS))]
    source = min((report.source for report in known), key=rank_of)
    tier = next((report.service_tier for report in known if report.service_tier), None)
    variant = next((report.variant for report in known if report.variant), None)
    sources = if_mixed(source, _sources(found))
    return Tokens._make((source, *map(_count, found), tier, sources, variant))


def _first(reports: Iterable[Tokens], place: int) -> _Found:
    for report in reports:
        count = report.counts[place]
        if count is not None:
            return count, report
    return None


def _count(found: _Found) -> int | None:
    return found[0] if found else None


def _sources(found: Sequence[_Found]) -> int:
    """Return where the input and the cache counts above zero come from."""
    sources = 0
    for place in (_INPUT, *_CACHE):
        one = found[place]
        if one and (one[0] or place == _INPUT):
            sources |= _sources_of(one[1])
    return sources
