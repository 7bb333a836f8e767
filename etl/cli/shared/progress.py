"""Show a sync while it runs: a line per stream on a terminal, lines of a log elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from etl.registry import SOURCES
from etl.show.escaping import harmless
from etl.show.numbers import span
from etl.sync.job import StreamProgress
from etl.times import utc_text
from etl.warehouse.bookmarks import StreamId

PHASES = {
    "new": "new events",
    "history": "history",
    "reread": "last days again",
    "done": "done",
    "failed": "failed",
}

# For a stream that is read as a whole.
_HEADINGS = {stream: one.heading for one in SOURCES for stream in one.streams}

# How often a log gets a line on a stream whose phase has not changed.
_LOG_SECONDS = 30.0


class _SyncDisplay:
    """Remembers when each stream's round began, and its last progress."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._began: dict[StreamId, float] = {}
        self._last: dict[StreamId, StreamProgress] = {}
        self._lock = threading.Lock()

    def __call__(self, progress: StreamProgress) -> None:
        with self._lock:
            now, last = self._monotonic(), self._last.get(progress.stream)
            if progress.phase == "note":
                self.note(progress)
                return
            if last and progress.phase in ("done", "failed"):
                progress = progress._replace(read=last.read)
            if last is None or progress.read < last.read:
                self._began[progress.stream] = now  # a new round counts from 0
            self._last[progress.stream] = progress
            self.show(progress, now - self._began[progress.stream])

    def show(self, progress: StreamProgress, seconds: float) -> None:
        """Show how far a stream is, ``seconds`` after it began."""
        raise NotImplementedError

    def note(self, progress: StreamProgress) -> None:
        """Show a message that does not stop the stream."""
        raise NotImplementedError


class LogLines(_SyncDisplay):
    """A line when a stream is done or has failed, and now and then until then."""

    def __init__(
        self, echo: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(monotonic)
        self._echo = echo
        self._logged_at: dict[StreamId, float] = {}

    def __enter__(self) -> LogLines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, progress: StreamProgress, seconds: float) -> None:
        """Write a line, unless one was written just now."""
        is_over = progress.phase in ("done", "failed")
        # Negative: the last line was in the previous round.
        since = seconds - self._logged_at.get(progress.stream, 0.0)
        if not is_over and 0 <= since < _LOG_SECONDS:
            return
        self._logged_at[progress.stream] = seconds
        self._write(progress.stream, stream_line(progress, seconds))

    def note(self, progress: StreamProgress) -> None:
        """Write the message as a line."""
        self._write(progress.stream, progress.message)

    def _write(self, stream: StreamId, text: str) -> None:
        moment = utc_text(datetime.now(UTC))
        self._echo(harmless(f"{moment} {stream}: {text}"))


class TerminalLines(_SyncDisplay):
    """A line per stream, updated in place: windows, events, rate, time left."""

    def __init__(self, console: Console, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(monotonic)
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[detail]}", style="dim", markup=False),
            console=console,
        )
        self._tasks: dict[StreamId, TaskID] = {}

    def __enter__(self) -> TerminalLines:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, progress: StreamProgress, seconds: float) -> None:
        """Update the stream's line."""
        if progress.stream not in self._tasks:
            task = self._bars.add_task(harmless(progress.stream), total=1.0, detail="")
            self._tasks[progress.stream] = task
        self._bars.update(
            self._tasks[progress.stream],
            completed=progress.share,
            detail=harmless(stream_line(progress, seconds)),
            # With more streams than the terminal has lines, finished ones are hidden.
            visible=progress.phase != "done" or len(self._tasks) < self._bars.console.height,
        )

    def note(self, progress: StreamProgress) -> None:
        """Write the message above the lines."""
        self._bars.console.print(f"{progress.stream}: {progress.message}", markup=False)


def progress_display(console: Console) -> LogLines | TerminalLines:
    """Return the display that suits stderr: a terminal or a log."""
    if console.is_terminal:
        return TerminalLines(console)
    return LogLines(lambda line: click.echo(line, err=True))


def stream_line(progress: StreamProgress, seconds: float) -> str:
    """Say how far a stream is after ``seconds``: how fast, and how long is left."""
    if progress.phase == "failed":
        return f"failed: {progress.message}"
    parts = [PHASES.get(progress.phase) or _HEADINGS[progress.stream.source]]
    if progress.windows_left:
        total = progress.windows_done + progress.windows_left
        parts.append(f"{progress.windows_done}/{total} windows")
    parts.append(f"{progress.read:,} read")
    if progress.phase != "done" and seconds >= 1:
        parts.append(f"{progress.read / seconds:,.0f}/s")
        if 0 < progress.share < 1:
            left = timedelta(seconds=seconds * (1 - progress.share) / progress.share)
            parts.append(f"{span(left)} left")
    return ", ".join(parts)
