"""The result of the last ``sync``, for users who did not start it.

A sync records each of its rounds in ``sync_runs``. The rounds of one sync follow each other without
a pause. A repeating sync waits at least a minute in between, and each repetition counts as a sync.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from sqlite_utils import Database

from etl.times import parse_utc

# From the end of one round to the start of the next. Both are stored in whole seconds.
_AT_ONCE = timedelta(seconds=2)

# The longest history read in one sync has fewer rounds, of a quarter of an hour each.
_MAX_ROUNDS = 500


@dataclass(frozen=True)
class SyncRun:
    """One sync with all its rounds.

    ``finished_at`` and ``outcome`` are None if it is running, or was killed.
    """

    started_at: str
    finished_at: str | None
    outcome: str | None
    message: str | None
    pid: int
    host: str
    calls_new: int
    calls_with_tokens: int
    late_events: int
    metric_values: int
    rejected: int

    def after(self, before: SyncRun) -> SyncRun:
        """Return this round combined with those before it."""
        return replace(
            self,
            started_at=before.started_at,
            calls_new=self.calls_new + before.calls_new,
            calls_with_tokens=self.calls_with_tokens + before.calls_with_tokens,
            late_events=self.late_events + before.late_events,
            metric_values=self.metric_values + before.metric_values,
            rejected=self.rejected + before.rejected,
        )


def last_sync(db: Database) -> SyncRun | None:
    """Return the latest sync, with the counts of its rounds so far."""
    rows = db.execute(
        "select started_at, finished_at, outcome, message, pid, host, calls_new,"
        " calls_with_tokens, late_events, metric_values, rejected"
        " from sync_runs order by run_id desc limit ?",
        [_MAX_ROUNDS],
    )
    rounds = (SyncRun(*row) for row in rows.fetchall())
    total = next(rounds, None)
    for before in rounds:
        if total is None or not _is_same_sync(before, total):
            break
        total = total.after(before)
    return total


def _is_same_sync(before: SyncRun, after: SyncRun) -> bool:
    """Return whether two consecutive rounds belong to one sync."""
    if (before.pid, before.host) != (after.pid, after.host) or before.finished_at is None:
        return False
    pause = parse_utc(after.started_at) - parse_utc(before.finished_at)
    return timedelta() <= pause <= _AT_ONCE
