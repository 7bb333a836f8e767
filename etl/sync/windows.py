"""Which time window an event stream reads next, and what it may claim afterwards.

CloudTrail usually delivers within minutes, and returns the newest event first. So a window is read
from its end. It may be claimed when its start is reached, and only up to ``settle`` before the time
of the request, because more recent events may still be missing. They are stored too, and read again
next time.

- *new*: from the watermark to now, oldest window first, a day at most.
- *history*: before what is covered, newest window first, a week at most. So the first run shows the
  last day at once, and continues backwards.
- *reread*: once a day the last two days once more, in a single window, not split like the others:
  anything new in it came later than ``settle`` allows. Events up to a day late are always found.
  With ``is_weekly``, it once a week reaches eight days back, or a week before the last time it did
  if that is further: events up to a week late are found too.

Everything here is a function of the state and of ``as_of``, the time of the request.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from etl.warehouse.bookmarks import Gap, StreamState, Window

SECOND = timedelta(seconds=1)
NEW_WINDOW = timedelta(days=1)
HISTORY_WINDOW = timedelta(days=7)
REREAD_WINDOW = timedelta(hours=48)
REREAD_EVERY = timedelta(hours=24)
WEEKLY_WINDOW = timedelta(days=8)
WEEKLY_EVERY = timedelta(days=7)

TOO_OLD = "older than the 90 days that CloudTrail's event history keeps"
REFUSED = "CloudTrail refuses to go back as far, though its event history keeps 90 days"


class Task(NamedTuple):
    """A window to read now, both ends included. When it is done, ``claim`` is the new bound.

    The bound is the watermark of a new window, and ``covered_from`` of a history window.
    """

    kind: str
    start: datetime
    end: datetime
    claim: datetime


def begin(
    state: StreamState,
    as_of: datetime,
    *,
    since: datetime | None,
    default_since: datetime,
    settle: timedelta,
    horizon: datetime,
) -> StreamState:
    """Return the state to continue from: where a new stream starts, and what is lost by now.

    ``since`` is the option of this run, if given; ``horizon`` is the oldest time still available.
    """
    if state.watermark is None or state.covered_from is None:
        wanted = since or default_since
        head = max(wanted, as_of - max(NEW_WINDOW, settle))
        state = replace(
            state,
            covered_from=head,
            watermark=head - SECOND,
            history_from=wanted,
            reread_at=as_of,
            relisted_at=as_of,
        )
    elif since and state.history_from and since < state.history_from:
        state = replace(state, history_from=since)
    return lose(state, horizon)


def lose(state: StreamState, horizon: datetime, reason: str = TOO_OLD) -> StreamState:
    """Give up what is before the horizon and was not read. It becomes a gap with this reason."""
    return _lose_history(_lose_new(state, horizon, reason), horizon, reason)


def give_up(state: StreamState, edge: datetime) -> StreamState:
    """Return the state when AWS refuses what is before the edge: it is not requested again."""
    state = lose(state, edge, REFUSED)
    edge = min(edge, _covered_from(state))
    return replace(state, history_from=max(state.history_from or edge, edge))


def _lose_new(state: StreamState, horizon: datetime, reason: str) -> StreamState:
    """Move the watermark past what can no longer be read, and record that as a gap."""
    gaps = []
    window = state.windows.get("new")
    if window and window.start < horizon:
        gaps.append(Gap(window.start, min(window.fetched_down_to, horizon - SECOND), reason))
        if window.fetched_down_to < horizon:
            state = replace(state.with_window("new", None), watermark=window.end)
        else:
            state = state.with_window("new", window._replace(start=horizon))
    if "new" not in state.windows and _watermark(state) + SECOND < horizon:
        gaps.append(Gap(_watermark(state) + SECOND, horizon - SECOND, reason))
        state = replace(state, watermark=horizon - SECOND)
    return replace(state, gaps=(*state.gaps, *gaps))


def _lose_history(state: StreamState, horizon: datetime, reason: str) -> StreamState:
    window = state.windows.get("history")
    if window and window.fetched_down_to < horizon:
        # What was read of it is kept, the rest is lost.
        state = replace(
            state.with_window("history", None), covered_from=window.fetched_down_to + SECOND
        )
    elif window and window.start < horizon:
        state = state.with_window("history", window._replace(start=horizon))
    reread = state.windows.get("reread")
    if reread and reread.start < horizon:
        state = state.with_window("reread", None)
    wanted, lost_to = state.history_from, min(horizon, _covered_from(state)) - SECOND
    if wanted is None or wanted > lost_to:
        return state
    return replace(state, gaps=(*state.gaps, Gap(wanted, lost_to, reason)))


def next_new(state: StreamState, as_of: datetime, settle: timedelta) -> Task | None:
    """Return the next window after the watermark. One that ends at ``as_of`` is the last."""
    window = state.windows.get("new")
    if window:
        return Task("new", window.start, window.fetched_down_to, window.end)
    watermark = _watermark(state)
    start, settled = watermark + SECOND, max(watermark, as_of - settle)
    if start > as_of:
        return None
    end = start + NEW_WINDOW - SECOND
    return Task("new", start, end, end) if end < settled else Task("new", start, as_of, settled)


# Newest first, so that one stretch of time is covered (DECISIONS 19).
def next_history(state: StreamState, horizon: datetime) -> Task | None:
    """Return the next window before what is covered; None when enough is."""
    window = state.windows.get("history")
    if window:
        return Task("history", window.start, window.fetched_down_to, window.start)
    end = _covered_from(state) - SECOND
    floor = max(state.history_from or end, horizon)
    if end < floor:
        return None
    start = max(floor, end - HISTORY_WINDOW + SECOND)
    return Task("history", start, end, start)


def next_reread(
    state: StreamState, as_of: datetime, horizon: datetime, *, is_weekly: bool = False
) -> Task | None:
    """Return the last days to read once more; None while that is not due."""
    window = state.windows.get("reread")
    if window:
        return Task("reread", window.start, window.fetched_down_to, window.end)
    end = _watermark(state)
    start = max(reread_from(state, as_of, is_weekly=is_weekly), horizon)
    if as_of - (state.reread_at or as_of) < REREAD_EVERY or start > end:
        return None
    return Task("reread", start, end, end)


def reread_from(state: StreamState, as_of: datetime, *, is_weekly: bool) -> datetime:
    """Return where a reread starts, whether that is still available or not."""
    end, last = _watermark(state), state.reread_at or as_of
    # After a pause it goes further back, so that events a day late are found whenever runs took
    # place.
    wanted = min(end + SECOND - REREAD_WINDOW, last - REREAD_EVERY)
    if is_weekly and as_of - (state.relisted_at or last - WEEKLY_EVERY) >= WEEKLY_EVERY:
        wanted = min(wanted, _weekly_start(state, end))
    return max(_covered_from(state), wanted)


# Eight days alone would leave a gap (DECISIONS 112).
def _weekly_start(state: StreamState, end: datetime) -> datetime:
    last = state.relisted_at or end
    return min(end + SECOND - WEEKLY_WINDOW, last - WEEKLY_EVERY)


def after_page(state: StreamState, task: Task, oldest: datetime) -> StreamState:
    """Return the state once all events of the task more recent than ``oldest`` are stored."""
    window = state.windows.get(task.kind)
    end = window.end if window else task.claim if task.kind == "new" else task.end
    if oldest >= end:
        return state  # nothing that could be claimed is complete yet
    return state.with_window(task.kind, Window(task.start, end, oldest))


def after_task(state: StreamState, task: Task, as_of: datetime) -> StreamState:
    """Return the state once a task is done."""
    state = state.with_window(task.kind, None)
    if task.kind == "history":
        return replace(state, covered_from=task.claim)
    if task.kind == "reread":
        # A window that was interrupted days ago says nothing about what was claimed since. Nor
        # about events that arrived since its end was read, if that came first.
        began = state.reread.started_at if state.reread else as_of
        reread_at = min(as_of, began, task.claim + REREAD_EVERY)
        has_week = task.start <= max(_covered_from(state), task.claim + SECOND - WEEKLY_WINDOW)
        return replace(
            state, reread_at=reread_at, relisted_at=reread_at if has_week else state.relisted_at
        )
    read_at = as_of if task.end == as_of else state.read_at
    return replace(state, watermark=task.claim, read_at=read_at)


def windows_left(state: StreamState, horizon: datetime) -> int:
    """Return how many history windows are left to read."""
    floor = max(state.history_from or horizon, horizon)
    return max(0, -((floor - _covered_from(state)) // HISTORY_WINDOW))


def _watermark(state: StreamState) -> datetime:
    assert state.watermark is not None, "begin() comes first"  # noqa: S101
    return state.watermark


def _covered_from(state: StreamState) -> datetime:
    assert state.covered_from is not None, "begin() comes first"  # noqa: S101
    return state.covered_from
