"""What a sync reads, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from etl.load.decoder.content import Keys
from etl.registry import NAMES, Source
from etl.sources.archive import Archive


@dataclass(frozen=True)
class SyncOptions:
    """What to read, and how (``keys``). ``since`` None: as before, or 90 days in the first run.

    ``log_group``: the log group in CloudWatch Logs that each place may have its invocation logs in.
    ``archive``: where the event history's raw events are kept. ``archive_bodies``: with bodies.
    """

    sources: Sequence[str] = NAMES
    since: datetime | None = None
    settle: timedelta = timedelta(minutes=60)
    keys: Keys = field(default_factory=Keys)
    log_group: str | None = None
    archive: Archive | None = None
    archive_bodies: bool = False
    # After this long, new events are read again (DECISIONS 20).
    round_seconds: float = 15 * 60
    threads: int = 32

    def reads(self, source: Source) -> bool:
        """Return whether places are read for a source. Its ``place_key`` is a name above."""
        key = source.place_key
        return source.name in self.sources and (key is None or getattr(self, key) is not None)
