"""Report on stderr what the warehouse is doing, once that takes more than a moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from etl.show.numbers import span
from etl.warehouse.long_work import WorkProgress

# Seconds until the first line and the second; after that, a line at this interval.
_FIRST, _SECOND, _EVERY = 2.0, 10.0, 30.0


class LongWork:
    """Prints a line at first, and one now and then while the same work lasts."""

    def __init__(self, echo: Callable[[str], None]) -> None:
        self._echo = echo
        self._what = ""
        self._due = _FIRST

    def __call__(self, progress: WorkProgress) -> None:
        if progress.what != self._what:
            self._what, self._due = progress.what, _FIRST
        if progress.seconds >= self._due:
            self._due = next_line(progress.seconds)
            self._echo(work_line(progress))


def next_line(seconds: float) -> float:
    """Return the second at which the next line is due."""
    return _SECOND if seconds < _SECOND else (seconds // _EVERY + 1) * _EVERY


def work_line(progress: WorkProgress) -> str:
    """Say what is being done, for how long so far, and how long it may take in all."""
    what = progress.what[:1].upper() + progress.what[1:]
    detail = f": {progress.detail}" if progress.detail else ""
    so_far = span(timedelta(seconds=progress.seconds))
    expected = progress.expected_seconds
    # An estimate that has been exceeded means nothing.
    in_all = (
        f" of about {span(timedelta(seconds=expected))}"
        if expected and expected > progress.seconds
        else " so far"
    )
    return f"{what}{detail}, {so_far}{in_all} ..."
