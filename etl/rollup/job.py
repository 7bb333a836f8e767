"""What a rollup is asked for, as every process of it knows it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from etl.load.decoder.content import READER, Keys
from etl.normalise.rollups import FORMAT, MOST_CALLERS
from etl.sources.archive import Archive
from etl.sources.stores import Content, Store, StoredFile


class Places(Protocol):
    """Where files are read and written."""

    def store_of(self, path: str) -> Store:
        """Return the store of a path or an address."""
        ...

    def archive_of(self, path: str) -> Archive:
        """Return what writes files below a path or an address."""
        ...


@dataclass(frozen=True)
class Job:
    """What to read and how. It is sent to other processes.

    ``open_places``: opens the stores, in whatever process. ``secret``: with which the ids of access
    keys are hashed. ``kept_keys``: those of request metadata and tags that the configuration looks
    at. ``days``: those to count, None for all; with some, the input is only what concerns them.
    ``most_callers``: of a day; see ``etl.rollup.others``.
    """

    output: str
    keys: Keys
    open_places: Callable[[], Places]
    secret: str
    kept_keys: tuple[str, ...] = ()
    days: frozenset[str] | None = None
    most_callers: int = MOST_CALLERS

    def of_days(self, days: frozenset[str] | None) -> Job:
        """Return the same job for other days."""
        return replace(self, days=days)

    @property
    def digest(self) -> str:
        """A hash of what decides the rows, besides the input."""
        decides = [FORMAT, READER, asdict(self.keys), sorted(self.kept_keys), self.most_callers]
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]


class AnyStore:
    """Reads files of whatever store, by their address."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def read(self, file: StoredFile) -> Content:
        """Return a file's content. Raises as ``Store.read`` does."""
        return self._places.store_of(file.folder).read(file)
