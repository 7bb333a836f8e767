"""What a sync reads, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from etl.load.decoder.content import Keys
from etl.normalise.addresses import DEFAULT_DETAIL, AddressDetail
from etl.normalise.application import APPLICATION_KEY, KeyNames
from etl.normalise.teams import TEAM_KEY
from etl.registry import NAMES, Source
from etl.sources.archive import Archive


@dataclass(frozen=True)
class SyncOptions:
    """What to read. ``since`` None: as before, or 90 days in the first run.

    ``log_group``: the log group in CloudWatch Logs that each place may have its invocation logs in.
    ``archive``: where the event history's raw events are kept. ``archive_bodies``: with bodies.
    """

    sources: Sequence[str] = NAMES
    since: datetime | None = None
    settle: timedelta = timedelta(minutes=60)
    application_tag: KeyNames = APPLICATION_KEY
    metadata_key: KeyNames = APPLICATION_KEY
    team_key: KeyNames = TEAM_KEY
    addresses: AddressDetail = DEFAULT_DETAIL
    log_group: str | None = None
    archive: Archive | None = None
    archive_bodies: bool = False
    # After this long, new events are read again (DECISIONS 20).
    round_seconds: float = 15 * 60
    threads: int = 32

    @property
    def keys(self) -> Keys:
        return Keys(self.application_tag, self.metadata_key, self.addresses, self.team_key)

    def reads(self, source: Source) -> bool:
        """Return whether places are read for a source. Its ``place_key`` is a name above."""
        key = source.place_key
        return source.name in self.sources and (key is None or getattr(self, key) is not None)
