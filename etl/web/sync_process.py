"""A ``sync`` of the warehouse as a process of its own, and what is known of it.

The server itself asks nothing of AWS and holds no lock. Whether a sync runs, the lock says, and
what it came to, ``sync_runs``: so whatever started it (a schedule, another server, this one before
it was restarted) is shown alike. Only of its own child a server knows more: what it says on stderr.

The child outlives the server. It is one sync that ends by itself, its work is committed as it goes,
and a server that is restarted, or closed with Ctrl-C, is no reason to stop reading. So it has a
session of its own, which the terminal's Ctrl-C does not reach, and writes to a file, not to a pipe
that would break. Whoever wants it to stop sends SIGTERM to the process that is shown.

Everything here may wait for the disk: it is called from a thread, never from the event loop.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from etl.errors import LockedError
from etl.show.numbers import count
from etl.show.terminal import harmless
from etl.times import parse_utc, utc_text
from etl.warehouse.database import open_unchanged
from etl.warehouse.lock import is_alive, is_locked
from etl.warehouse.sync_runs import SyncRun, last_sync
from etl.web.site import Site

# Of what a child says, a page shows the end.
_TAIL_BYTES = 16_384
_TAIL_LINES = 6
_LONGEST_LINE = 500

# What a sync writes on stderr: how far a stream is, its own errors, and those that are defects.
_PROGRESS = re.compile(r"\d{4}-\d\d-\d\dT[\d:]{8}Z ")
_ERROR = re.compile(r"^Error: (?P<text>.*)\Z", re.MULTILINE | re.DOTALL)
_CRASH = re.compile(
    r"^Traceback \(most recent call last\):$(?:\n[ ].*)*\n(?P<kind>[\w.]*)", re.MULTILINE
)

_SECRETS = (
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"), "(access key)"),
    (re.compile(r"://[^/\s@]+@"), "://(password)@"),
)
_MOMENT = timedelta(seconds=3)
_IN_A_TERMINAL = "“bedrock-usage sync” in a terminal shows where."
_AGAIN = "What it read is kept; refresh again to go on from there."


@dataclass(frozen=True)
class SyncOutput:
    """What a child has said so far: how many lines, and the last of them."""

    lines: int
    latest: str | None


@dataclass(frozen=True)
class State:
    """Whether a sync runs, and what the last one came to; ``text`` says it in a sentence.

    ``since``, ``by`` and ``progress`` are of the one that runs. ``busy``: why none can be started
    though none runs. ``outcome``: of the last one; done, incomplete, stopped (as in ``sync_runs``),
    failed (it ended without a word there, and a child of this server) or lost (another's).
    """

    is_running: bool
    text: str
    since: str | None = None
    by: str | None = None
    busy: str | None = None
    progress: SyncOutput | None = None
    outcome: str | None = None
    message: str | None = None
    last: SyncRun | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what a browser is told; its names are a contract with the pages."""
        told = asdict(self)
        last = told.pop("last") or {}
        return told | {
            "started_at": last.get("started_at"),
            "finished_at": last.get("finished_at"),
            "calls_new": last.get("calls_new", 0),
            "calls_with_tokens": last.get("calls_with_tokens", 0),
            "late_events": last.get("late_events", 0),
            "metric_values": last.get("metric_values", 0),
            "rejected": last.get("rejected", 0),
        }


class Child:
    """A sync that this server started."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.started_at = utc_text(datetime.now(UTC))
        # Without a name: it is gone when both are, and nobody else can open it.
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            env=environment,
            start_new_session=True,
        )
        self._lines = self._counted = 0
        weakref.finalize(self, self._said.close)
        # Somebody has to wait for a child that has ended, or it stays in the table of processes.
        threading.Thread(target=self._process.wait, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def status(self) -> int | None:
        """Return how it ended; None while it runs."""
        return self._process.poll()

    def did(self, run: SyncRun | None) -> bool:
        """Return whether this is the sync that the warehouse tells of."""
        return run is not None and run.pid == self.pid and run.started_at >= self.started_at

    def progress(self) -> SyncOutput:
        """Return how far it says it is."""
        while part := os.pread(self._said.fileno(), 1 << 16, self._counted):
            self._counted += len(part)
            self._lines += part.count(b"\n")
        told = [line for line in self.tail().splitlines() if _PROGRESS.match(line)]
        return SyncOutput(self._lines, _shown(told[-1]) if told else None)

    def tail(self) -> str:
        """Return the last lines that it has finished, as it wrote them."""
        end = os.fstat(self._said.fileno()).st_size
        data = os.pread(self._said.fileno(), _TAIL_BYTES, max(0, end - _TAIL_BYTES))
        return data.decode(errors="replace").rpartition("\n")[0]


class Background:
    """The syncs of one warehouse as one server sees them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._child: Child | None = None

    def state(self) -> State:
        """Return what is going on."""
        with self._lock:
            return self._state()

    def start(self) -> State:
        """Start a sync; raise LockedError if one runs, or if the warehouse is busy."""
        with self._lock:
            state = self._state()
            if state.is_running:
                raise LockedError(f"A refresh is running already: {state.by}, since {state.since}.")
            if state.busy:
                raise LockedError(state.busy)
            # Should a sync of somebody else begin before the child has the lock, the child says so.
            self._child = Child(sync_command(self._site), child_environment())
            return self._state()

    def _state(self) -> State:
        child = self._child
        # Before the table is read: what has ended by now has written all it will.
        status = child.status() if child else None
        has_other = (child is None or status is not None) and is_locked(self._site.db)
        with open_unchanged(self._site.db) as db:
            last = last_sync(db)
        if child and status is None:
            return _child_running(child, last)
        if has_other:
            return _other_running(last)
        if child and status is not None and _is_about(child, last):
            return _child_ended(child, status, last)
        return _ended(last)


def sync_command(site: Site) -> list[str]:
    """Return the command that brings the warehouse up to date."""
    # -P: a folder of the name etl where the server was started is not this package.
    command = [sys.executable, "-P", "-m", "etl", "sync", "--db", str(site.db)]
    return [*command, "--config", str(site.config_path)] if site.config_path else command


def child_environment() -> dict[str, str]:
    """Return the server's own environment, in which the child finds the server's own package."""
    package = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path}


def _is_about(child: Child, last: SyncRun | None) -> bool:
    """Return whether the child is what happened last: it did that, or came to nothing after it."""
    return (
        last is None or child.did(last) or (last.finished_at or last.started_at) <= child.started_at
    )


def _child_running(child: Child, last: SyncRun | None) -> State:
    progress = child.progress()
    return State(
        is_running=True,
        text=f"Refreshing: {progress.latest}" if progress.latest else "Refreshing…",
        since=child.started_at,
        by=f"process {child.pid}",
        progress=progress,
        last=last if child.did(last) else None,
    )


def _other_running(last: SyncRun | None) -> State:
    if last is None or _is_over(last):
        busy = (
            "The warehouse is in use: a sync that repeats by itself, or one that begins just now,"
            " or a vacuum. Try again later."
        )
        return State(is_running=False, text=busy, busy=busy)
    return State(
        is_running=True,
        text=f"Refreshing since {last.started_at}…",
        since=last.started_at,
        by=f"process {last.pid} on {harmless(last.host)}",
        last=last,
    )


def _is_over(run: SyncRun) -> bool:
    """Return whether it is another process that holds the lock."""
    if not is_alive(run.pid, run.host):
        return True
    # Between two rounds, and until its process has ended, a sync looks finished for a moment.
    return run.finished_at is not None and datetime.now(UTC) - parse_utc(run.finished_at) > _MOMENT


def _child_ended(child: Child, status: int, last: SyncRun | None) -> State:
    if child.did(last) and last is not None and last.finished_at:
        return _ended(last)
    message = _last_words(child.tail(), status)
    return State(
        is_running=False,
        text=f"The refresh failed. {message}",
        outcome="failed",
        message=message,
        progress=child.progress(),
        last=last if child.did(last) else None,
    )


def _last_words(said: str, status: int) -> str:
    """Return the error that a child ended with.

    Of what it said, only that: what an error that nobody foresaw quotes may be anything, a prompt
    too.
    """
    if status < 0:
        return f"It was ended by {signal.Signals(-status).name}. {_AGAIN}"
    if crash := _CRASH.search(said):
        return f"It crashed ({crash['kind']}), which is a defect: {_IN_A_TERMINAL}"
    if error := _ERROR.search(said):
        return _lines(error["text"])
    return f"It ended with status {status}: {_IN_A_TERMINAL}"


def _ended(last: SyncRun | None) -> State:
    if last is None:
        return State(is_running=False, text="")
    outcome = last.outcome or "lost"
    message = _lines(last.message) if last.message else None
    new = count(last.calls_new, "new call") if last.calls_new else "No new calls"
    return State(
        is_running=False,
        text={
            "done": f"{new}.",
            "incomplete": f"{new}, and not all could be read. {message or ''}".rstrip(),
            "stopped": f"{new}; the refresh was stopped before its end. {_AGAIN}",
            "lost": f"The last refresh was killed before its end. {_AGAIN}",
        }[outcome],
        outcome=outcome,
        message=message,
        last=last,
    )


def _lines(text: str) -> str:
    lines = text.split("\n")
    shown = [_shown(line) for line in lines[:_TAIL_LINES]]
    more = len(lines) - len(shown)
    return "\n".join([*shown, f"... and {more} more"] if more else shown)


def _shown(line: str) -> str:
    """Return a line as a page may show it."""
    for pattern, instead in _SECRETS:
        line = pattern.sub(instead, line)
    line = harmless(line)
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"
