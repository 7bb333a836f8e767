"""Wait until CloudTrail has delivered the calls of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from etl.clock import Clock
from etl.lab.proof import UNKNOWN, ComparedCall
from etl.show.numbers import count, span

_LOOK_AGAIN = timedelta(minutes=1)

# How long the tokens of a stream are waited for when its call is there already.
_TOKENS_LATER = timedelta(minutes=5)


def wait_for_calls(
    look: Callable[[], list[ComparedCall]],
    sync: Callable[[], bool],
    clock: Clock,
    longest: timedelta,
    tell: Callable[[str], None],
) -> list[ComparedCall]:
    """Sync and compare until every call is there, or it has lasted long enough.

    ``sync`` returns whether a later one may bring more.
    """
    deadline = clock.monotonic() + longest.total_seconds()
    complete_at: float | None = None
    while True:
        may_bring_more = sync()
        checked = look()
        waited = [one for one in checked if one.status != UNKNOWN]
        found = [one for one in waited if one.is_found]
        now = clock.monotonic()
        if len(found) == len(waited):
            complete_at = now if complete_at is None else complete_at
            deadline = min(deadline, complete_at + _TOKENS_LATER.total_seconds())
        is_whole = len(found) == len(waited) and not any(one.lacks_tokens for one in waited)
        if not is_whole and not may_bring_more:
            tell("Not waited for what is lacking: AWS refuses to be read, see above")
        if is_whole or not may_bring_more or now >= deadline:
            return checked
        pause = min(_LOOK_AGAIN.total_seconds(), deadline - now)
        tell(_what_is_there(found, waited) + _how_long(pause, deadline - now))
        clock.sleep(pause)


def _what_is_there(found: Sequence[ComparedCall], waited: Sequence[ComparedCall]) -> str:
    lacks = sum(one.lacks_tokens for one in found)
    tokens = f", {count(lacks, 'call')} without tokens" if lacks else ""
    return f"{len(found)} of {count(len(waited), 'call')} found{tokens}"


def _how_long(pause: float, most: float) -> str:
    """Say in how many seconds the next look is, and after how many the last."""
    next_, last = (span(timedelta(seconds=seconds)) for seconds in (pause, most))
    return f"; looking again in {next_}, for {last} at most"
