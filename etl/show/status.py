"""How fresh the warehouse is, at a given time, as text.

A *stream* is a source in one account and region. It is *stale* if it was last read completely
longer ago than ``max_age``, or never. A failed attempt by itself makes nothing stale: what was read
before stays true, and ages soon enough. The catalogue is read only once a day, so it may be a day
older.

``json`` has every row and exact values; for people there is ``etl.show.status_table``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from etl.registry import SOURCES
from etl.show.escaping import json_text
from etl.show.numbers import (
    Row,
    span,
)
from etl.times import utc_text

# How often a stream is read, if not in every sync.
_READ_EVERY = {stream: one.read_every for one in SOURCES for stream in one.streams}

NEVER_SYNCED = (
    "Nothing has been read from AWS yet: run `bedrock-usage sync`."
    " `bedrock-usage doctor` checks what it needs."
)


@dataclass(frozen=True)
class WarehouseStatus:
    """What ``etl.warehouse.read.status.read_status`` returns, at ``checked_at``.

    ``max_age`` None: no stream counts as stale.
    """

    checked_at: datetime
    max_age: timedelta | None
    streams: Sequence[Row]
    last_run: Row | None
    gaps: Sequence[Row]
    rereads: Sequence[Row]
    provisional: Row
    rejects: Sequence[Row]
    accepted: Sequence[Row]
    unpriced: Sequence[Row]
    guardrails: Row
    operations: Sequence[Row]
    other_operations: Sequence[Row]
    input_forms: Sequence[Row]
    coverage: Mapping[str, Row]

    def since(self, moment: str | None) -> timedelta | None:
        """Return how long ago a time in the warehouse was, None for None."""
        return self.checked_at - datetime.fromisoformat(moment) if moment else None

    def is_stale(self, stream: Row) -> bool:
        """Return whether a stream is older than ``max_age``; False without one."""
        if self.max_age is None:
            return False
        age = self.since(stream["read_at"])
        return age is None or age > self.max_age + _READ_EVERY.get(stream["source"], timedelta())

    @property
    def stale(self) -> list[Row]:
        return [stream for stream in self.streams if self.is_stale(stream)]

    @property
    def is_fresh(self) -> bool | None:
        """Whether every stream is within ``max_age``, None without one; False without streams."""
        return None if self.max_age is None else bool(self.streams) and not self.stale


def stale_lines(status: WarehouseStatus) -> Iterator[str]:
    """Yield which streams are too old, and what to do."""
    if status.max_age is None:
        return
    if not status.streams:
        yield NEVER_SYNCED
    for stream in status.stale:
        age = status.since(stream["read_at"])
        read = f"was read {span(age)} ago" if age is not None else "was never read completely"
        error = stream["error"]
        yield f"Stale: {stream['stream']} {read}" + (f"; last error: {error}" if error else "")
    if status.stale:
        yield (
            f"Older than {span(status.max_age)}: run `bedrock-usage sync`. If that fails,"
            " `bedrock-usage doctor` says why."
        )


def to_json(status: WarehouseStatus) -> str:
    """Return the status as one JSON object."""
    return json_text(as_dict(status))


def as_dict(status: WarehouseStatus) -> dict[str, Any]:
    """Return the status for programs; durations are seconds."""
    run = status.last_run
    return {
        "checked_at": utc_text(status.checked_at),
        "max_age_seconds": _seconds(status.max_age),
        "is_fresh": status.is_fresh,
        "streams": [_stream_json(status, stream) for stream in status.streams],
        "last_run": dict(run) if run else None,
        "gaps": list(status.gaps),
        "rereads": list(status.rereads),
        "provisional": dict(status.provisional),
        "rejects": list(status.rejects),
        "accepted": list(status.accepted),
        "unpriced": list(status.unpriced),
        "guardrails": dict(status.guardrails),
        "operations_not_known": list(status.operations),
        "other_operations": list(status.other_operations),
        "input_forms": list(status.input_forms),
        "coverage": status.coverage,
    }


def _stream_json(status: WarehouseStatus, stream: Row) -> dict[str, Any]:
    return {
        **stream,
        "lag_seconds": _seconds(status.since(stream["watermark"])),
        "age_seconds": _seconds(status.since(stream["read_at"])),
        "is_stale": None if status.max_age is None else status.is_stale(stream),
    }


def _seconds(length: timedelta | None) -> int | None:
    return None if length is None else int(length.total_seconds())
