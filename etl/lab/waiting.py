"""Wait until CloudTrail has delivered the calls of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from etl.clock import Clock
from etl.lab.proof import UNKNOWN, ComparedCall
from etl.show.numbers import count, span

_LOOK_AGAIN = timedelta(minutes=1)

# How long to wait for a stream's tokens once its call is there.
_TOKENS_LATER = timedelta(minutes=5)


def wait_for_calls(
    look: Callable[[], list[ComparedCall]],
    sync: Callable[[], bool],
    clock: Clock,
    longest: timedelta,
    report: Callable[[str], None],
) -> list[ComparedCall]:
    """Sync and compare until every call is there, or ``longest`` has passed.

    ``sync`` returns whether a later sync may bring more.
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
            report("Not waiting for the rest: AWS denies access, see above")
        if is_whole or not may_bring_more or now >= deadline:
            return checked
        pause = min(_LOOK_AGAIN.total_seconds(), deadline - now)
        report(_progress(found, waited) + _next_look(pause, deadline - now))
        clock.sleep(pause)


def _progress(found: Sequence[ComparedCall], waited: Sequence[ComparedCall]) -> str:
    lacks = sum(one.lacks_tokens for one in found)
    tokens = f", {count(lacks, 'call')} without tokens" if lacks else ""
    return f"{len(found)} of {count(len(waited), 'call')} found{tokens}"


def _next_look(pause: float, most: float) -> str:
    """Say when the next look is, and for how long the wait may go on."""
    next_, last = (span(timedelta(seconds=seconds)) for seconds in (pause, most))
    return f"; looking again in {next_}, for {last} at most"
