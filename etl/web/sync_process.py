"""Run a ``sync`` of the warehouse in a separate process, and report its state.

The server itself makes no AWS calls and holds no lock. The lock shows whether a sync runs, and
``sync_runs`` shows its result, so a sync is shown the same way whatever started it: a schedule,
another server, or this server before a restart. A server knows more only about its own child: the
lines on its stderr.

The child outlives the server. It is a single sync that ends by itself and commits as it reads, so
a server that restarts, or stops on Ctrl-C, is no reason to stop reading. It therefore runs in its
own session, which the terminal's Ctrl-C does not reach, and writes to a file, not to a pipe that
would break. To stop it, send SIGTERM to the process that is shown.

Every function here may block on the disk: call it from a thread, never from the event loop.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
import weakref
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from etl.child_process import child_command, import_path
from etl.errors import LockedError
from etl.show.escaping import harmless
from etl.show.numbers import count
from etl.times import parse_utc, utc_text
from etl.warehouse.database import open_unchanged
from etl.warehouse.lock import is_alive, is_locked
from etl.warehouse.sync_runs import SyncRun, last_sync
from etl.web.site import Site

# A page shows the end of a child's output.
_TAIL_BYTES = 16_384
_TAIL_LINES = 6
_LONGEST_LINE = 500

# What a sync writes on stderr: the progress of a stream, its own errors, and crashes.
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
_IN_A_TERMINAL = "run “bedrock-usage sync” in a terminal to see why."
_AGAIN = "What it read is kept; refresh again to continue from there."


@dataclass(frozen=True)
class SyncOutput:
    """A child's output so far: the number of lines, and the latest progress line."""

    lines: int
    latest: str | None


@dataclass(frozen=True)
class State:
    """Whether a sync runs, and the result of the last one; ``text`` states it in a sentence.

    ``since``, ``by`` and ``progress`` describe the running sync. ``busy``: why no sync can start
    although none runs. ``outcome`` of the last sync: done, incomplete or stopped (as in
    ``sync_runs``); or no outcome was recorded, and it is failed (a child of this server) or lost
    (any other process).
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
        """Return the JSON for a browser; the pages depend on its names."""
        state = asdict(self)
        last = state.pop("last") or {}
        return state | {
            "started_at": last.get("started_at"),
            "finished_at": last.get("finished_at"),
            "calls_new": last.get("calls_new", 0),
            "calls_with_tokens": last.get("calls_with_tokens", 0),
            "late_events": last.get("late_events", 0),
            "metric_values": last.get("metric_values", 0),
            "rejected": last.get("rejected", 0),
        }


# It outlives the server, so it writes to a file (DECISIONS 53).
class Child:
    """A sync that this server started."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.started_at = utc_text(datetime.now(UTC))
        # It has no name: it vanishes with both processes, and no other process can open it.
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
        # Reap the child when it ends, or it remains as a zombie.
        threading.Thread(target=self._process.wait, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def status(self) -> int | None:
        """Return the exit status; None while it runs."""
        return self._process.poll()

    def recorded(self, run: SyncRun | None) -> bool:
        """Return whether this child recorded the run in the warehouse."""
        return run is not None and run.pid == self.pid and run.started_at >= self.started_at

    def progress(self) -> SyncOutput:
        """Return its latest progress."""
        while part := os.pread(self._said.fileno(), 1 << 16, self._counted):
            self._counted += len(part)
            self._lines += part.count(b"\n")
        lines = [line for line in self.tail().splitlines() if _PROGRESS.match(line)]
        return SyncOutput(self._lines, _shown(lines[-1]) if lines else None)

    def tail(self) -> str:
        """Return the last complete lines, as it wrote them."""
        end = os.fstat(self._said.fileno()).st_size
        data = os.pread(self._said.fileno(), _TAIL_BYTES, max(0, end - _TAIL_BYTES))
        return data.decode(errors="replace").rpartition("\n")[0]


class WarehouseSyncs:
    """The syncs of one warehouse, as one server sees them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._child: Child | None = None

    def state(self) -> State:
        """Return the current state."""
        with self._lock:
            return self._state()

    def start(self) -> State:
        """Start a sync; raise LockedError if one runs, or if the warehouse is busy."""
        with self._lock:
            state = self._state()
            if state.is_running:
                raise LockedError(f"A refresh is already running: {state.by}, since {state.since}.")
            if state.busy:
                raise LockedError(state.busy)
            # If another sync takes the lock before the child does, the child reports it.
            self._child = Child(sync_command(self._site), child_environment())
            return self._state()

    def _state(self) -> State:
        child = self._child
        # Check this before reading the table: a child that has ended has written everything.
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
    """Return the command that updates the warehouse."""
    command = child_command("etl", "sync", "--db", str(site.db))
    return [*command, "--config", str(site.config_path)] if site.config_path else command


def child_environment() -> dict[str, str]:
    """Return the server's environment, in which the child imports the server's own package."""
    return os.environ | {"PYTHONPATH": import_path()}


def _is_about(child: Child, last: SyncRun | None) -> bool:
    """Return whether the child is the latest sync: it recorded ``last``, or started after it."""
    return (
        last is None
        or child.recorded(last)
        or (last.finished_at or last.started_at) <= child.started_at
    )


def _child_running(child: Child, last: SyncRun | None) -> State:
    progress = child.progress()
    return State(
        is_running=True,
        text=f"Refreshing: {progress.latest}" if progress.latest else "Refreshing…",
        since=child.started_at,
        by=f"process {child.pid}",
        progress=progress,
        last=last if child.recorded(last) else None,
    )


def _other_running(last: SyncRun | None) -> State:
    if last is None or _is_over(last):
        busy = (
            "The warehouse is in use: by a repeating sync, by a sync that is just starting, or by a"
            " vacuum. Try again later."
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
    """Return whether the run is over, so another process holds the lock."""
    if not is_alive(run.pid, run.host):
        return True
    # A sync looks finished for a moment between two rounds and before its process exits.
    return run.finished_at is not None and datetime.now(UTC) - parse_utc(run.finished_at) > _MOMENT


def _child_ended(child: Child, status: int, last: SyncRun | None) -> State:
    if child.recorded(last) and last is not None and last.finished_at:
        return _ended(last)
    message = _exit_message(child.tail(), status)
    return State(
        is_running=False,
        text=f"The refresh failed. {message}",
        outcome="failed",
        message=message,
        progress=child.progress(),
        last=last if child.recorded(last) else None,
    )


def _exit_message(output: str, status: int) -> str:
    """Return the error that a child ended with.

    It leaves out the rest of the output: an unexpected error may quote anything, even a prompt.
    """
    if status < 0:
        return f"It was killed by {signal.Signals(-status).name}. {_AGAIN}"
    if crash := _CRASH.search(output):
        return f"It crashed ({crash['kind']}), which is a bug: {_IN_A_TERMINAL}"
    if error := _ERROR.search(output):
        return _lines(error["text"])
    return f"It exited with status {status}: {_IN_A_TERMINAL}"


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
            "incomplete": f"{new}, but not everything could be read. {message or ''}".rstrip(),
            "stopped": f"{new}; the refresh was stopped before it finished. {_AGAIN}",
            "lost": f"The last refresh was killed before it finished. {_AGAIN}",
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
    """Return a line that is safe to show on a page."""
    for pattern, replacement in _SECRETS:
        line = pattern.sub(replacement, line)
    line = harmless(line)
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"
