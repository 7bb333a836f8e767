"""A run of a rollup: what changed is read, its days are counted, the manifest is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import Protocol

from etl.errors import BedrockUsageError, DataError
from etl.normalise.boundary import storable
from etl.normalise.rows import Event, InferenceProfile
from etl.normalise.rows import Row as ReadRow
from etl.rollup.decode import FileSeen
from etl.rollup.inputs import concerning, list_files, trailing_since
from etl.rollup.job import Job, Places
from etl.rollup.output import (
    MANIFEST,
    InputFile,
    Manifest,
    OutputFile,
    read_inputs,
    read_manifest,
    read_rejects,
    write_inputs,
    write_rejects,
)
from etl.sources.stores import StoredFile
from etl.times import utc_text

TRAILING_DAYS = 3


class Engine(Protocol):
    """What reads and counts. ``general``: the rows that calls anywhere may refer to.

    ``callers_in_others``: of what was written, those that have no row of their own.
    """

    name: str
    general: list[ReadRow]
    callers_in_others: int

    def read(self, files: Iterable[tuple[int, StoredFile]]) -> list[FileSeen]:
        """Read files, in addition to those before; return what was seen of each."""
        ...

    def write(self, run: str, days: frozenset[str] | None) -> Iterator[OutputFile]:
        """Count what was read, and write the files of the days; None for all."""
        ...

    def find(self, day: str, name: str) -> list[Event]:
        """Return the calls of a day that somebody made, of what was read."""
        ...


@dataclass
class RollupResult:
    """What a run did. ``days``: counted now; ``days_kept``: whose files are no longer there.

    ``rejects``: (file, position, reason), also of earlier runs.
    """

    manifest: Manifest | None
    days: list[str] = field(default_factory=list)
    days_kept: list[str] = field(default_factory=list)
    files: int = 0
    files_unchanged: int = 0
    rejected: int = 0
    rejects: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return not (self.rejected or self.days_kept)


def run_rollup(
    job: Job,
    paths: Sequence[str],
    engine_of: Callable[[Job], AbstractContextManager[Engine]],
    now: datetime,
    *,
    full: bool = False,
    trailing_days: int = TRAILING_DAYS,
    check: Callable[[], None] = lambda: None,
) -> RollupResult:
    """Count the days with new files, all with ``full``, and write them with a manifest.

    ``trailing_days``: how many days before the last one are listed again.
    """
    places = job.open_places()
    before = None if full else read_manifest(places, job.output)
    if before and before.config != job.digest:
        raise DataError(
            f"{job.output} was made with another configuration, or another version: name another"
            " folder, or count everything again with --full"
        )
    known = read_inputs(places, job.output, before) if before else {}
    since = trailing_since(known, trailing_days)
    listed = list_files(places, paths, since)
    files = {storable(file.uri): file for file in listed.files}
    changed = {u: f for u, f in files.items() if u not in known or known[u].etag != f.etag}
    result = RollupResult(before, files_unchanged=len(files) - len(changed))
    if not changed and before:
        return result
    check()
    with engine_of(job) as engine:
        run = _Run(job, places, engine, known)
        run.read(changed)
        days = run.days_to_count(changed) if before else None
        if days is not None:
            days = run.read_again(days, changed, result)
        check()
        written = list(engine.write(run_id := _run_id(job, now, changed), days))
        manifest = run.manifest(run_id, now, before, written, days, listed.roots)
        rejects = run.rejects(before, listed.problems)
    archive = places.archive_of(job.output)
    write_inputs(archive, manifest.inputs, run.known.values())
    write_rejects(archive, manifest.rejects, rejects)
    archive.write(MANIFEST, manifest.as_json())
    result.manifest, result.days = (
        manifest,
        sorted({file.day for file in written} | (days or set())),
    )
    result.files, result.rejected = run.files, run.rejected + len(listed.problems)
    result.rejects = rejects
    return result


def find_calls(
    job: Job,
    engine_of: Callable[[Job], AbstractContextManager[Engine]],
    day: str,
    name: str,
) -> list[Event]:
    """Return the calls of a day of a rollup that somebody made, from the files they are in.

    ``name``: see ``etl.warehouse.read.rolled_up.found_calls``. Raises DataError if there is no such
    day.
    """
    places = job.open_places()
    manifest = read_manifest(places, job.output)
    if manifest is None or day not in manifest.days:
        raise DataError(f"{job.output} has no {day}: name a day and the folder of its rollup")
    known = read_inputs(places, job.output, manifest)
    with engine_of(job) as engine:
        run = _Run(job, places, engine, known)
        run.read_again(frozenset({day}), {}, RollupResult(manifest))
        return engine.find(day, name)


def _run_id(job: Job, now: datetime, changed: Iterable[str]) -> str:
    digest = hashlib.blake2b("\0".join([job.digest, *changed]).encode(), digest_size=4)
    return f"{now:%Y%m%dT%H%M%SZ}-{digest.hexdigest()}"


class _Run:
    """A run in progress. ``known``: the files read, with what is known of them."""

    def __init__(
        self, job: Job, places: Places, engine: Engine, known: dict[str, InputFile]
    ) -> None:
        self._job, self._places, self._engine, self.known = job, places, engine, known
        self._seen: dict[str, FileSeen] = {}
        self.files = self.rejected = 0

    def read(self, files: dict[str, StoredFile]) -> None:
        """Read files; note what was seen of them."""
        uris = list(files)
        seen = self._engine.read(enumerate(files.values()))
        errors = [one for one in seen if one.error is not None]
        if seen and len(errors) == len(seen):
            raise BedrockUsageError(
                f"none of the {len(seen):,} files can be read: {errors[0].error}"
            )
        for one in seen:
            uri = uris[one.number]
            self._seen[uri] = one
            self.rejected += one.rejected
            if one.error is None:
                self.files += 1
                self.known[uri] = InputFile(
                    uri,
                    one.etag,
                    files[uri].size,
                    sorted(one.days),
                    one.reaches_back,
                    one.has_sessions,
                    one.is_general,
                    one.events_read,
                    one.events_skipped,
                    one.rejected,
                )

    def days_to_count(self, changed: Iterable[str]) -> frozenset[str]:
        """Return the days that new files concern, by what they have now."""
        return frozenset(
            day for uri in changed if uri in self._seen for day in self._seen[uri].days
        )

    def read_again(
        self, days: frozenset[str], changed: dict[str, StoredFile], result: RollupResult
    ) -> frozenset[str]:
        """Read the other files of the days; return those of which all files could be read."""
        again: dict[str, StoredFile] = {}
        lost = set[str]()
        for file in list(concerning(days, self.known.values())):
            if file.uri in changed:
                continue
            try:
                found = self._places.store_of(file.uri).find(file.uri)
            except BedrockUsageError:
                lost |= set(file.days) & days
                continue
            if isinstance(found, StoredFile):
                again[file.uri] = found
        if again:
            self.read(again)
        result.days_kept = sorted(lost)
        # The next run says so again.
        for uri in changed:
            if uri in self.known and not lost.isdisjoint(self.known[uri].days):
                del self.known[uri]
        return days - lost

    def manifest(
        self,
        run: str,
        now: datetime,
        before: Manifest | None,
        written: Sequence[OutputFile],
        days: frozenset[str] | None,
        roots: Sequence[str],
    ) -> Manifest:
        """Return the manifest of this run: its days in place of what they were."""
        kept = (
            {d: f for d, f in before.days.items() if d not in days}
            if before and days is not None
            else {}
        )
        manifest = Manifest(
            rollup_id=run,
            made_at=utc_text(now),
            version=version("bedrock-usage"),
            engine=self._engine.name,
            config=self._job.digest,
            kept_keys=sorted(self._job.kept_keys),
            roots=sorted({*(before.roots if before else ()), *roots}),
            inputs=f"inputs-{run}.parquet",
            rejects=f"rejects-{run}.parquet",
            days=kept,
        )
        for file in written:
            manifest.days.setdefault(file.day, []).append(file)
        for day in days or ():
            # It was counted, and nothing was found: what it had before is no longer true.
            manifest.days.setdefault(day, [])
        profiles = {tuple(row) for row in self._engine.general if isinstance(row, InferenceProfile)}
        manifest.profiles = [list(row) for row in sorted(profiles, key=repr)]
        manifest.counts = {
            "files": self.files,
            "files_known": len(self.known),
            "bytes_read": sum(self.known[u].size for u in self._seen if u in self.known),
            "events_read": sum(one.events_read for one in self._seen.values()),
            "events_skipped": sum(one.events_skipped for one in self._seen.values()),
            "rejected": self.rejected,
            "days": len({file.day for file in written}),
            "rows": sum(file.rows for file in written),
            "calls": sum(file.calls for file in written),
            "failed_calls": sum(file.failed_calls for file in written),
            "callers_in_others": self._engine.callers_in_others,
        }
        return manifest

    def rejects(
        self, before: Manifest | None, problems: Iterable[tuple[str, str]]
    ) -> list[tuple[str, str, str]]:
        """Return all that could not be read: now, or before of files that were not read now."""
        now = [
            (uri, storable(position), storable(reason))
            for uri, one in self._seen.items()
            for position, reason in one.rejects
        ]
        kept = read_rejects(self._places, self._job.output, before) if before else []
        kept = [reject for reject in kept if reject[0] not in self._seen]
        folders = [(storable(place), "folder", storable(reason)) for place, reason in problems]
        return sorted({*now, *kept, *folders})
