"""Find what there is to read below a root, listing several folders at a time.

``survey`` finds the days of AWS's log layouts and every other folder with files, whatever level the
root is: a bucket, an organization, an account, a month. ``each_file`` then lists the files, with
the days in date order over all accounts and regions, so that rows enter the warehouse in time
order. Memory grows with the number of folders, and with the files of a few days.

``find_streams`` and ``stream_files`` are for repeated reads: which streams there are, and what each
of them got since a given day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from itertools import groupby

from etl.errors import BedrockUsageError, StoppedError
from etl.sources.layouts import DayFolder, LogDelivery, day_of, day_prefix, delivered_at, locate
from etl.sources.prefetch import prefetch
from etl.sources.stores import Listing, ListingProblem, Store, StoredFile

_FOLDERS_AHEAD = 16
_DAYS_AHEAD = 4

# A trail may have a prefix of several parts; a bucket may have a million other folders.
_PREFIX_PARTS = 4


@dataclass
class FolderListing:
    """What is to be read below a root.

    ``days``: by date. ``loose``: other folders that directly contain files. ``problems``: what
    could not be listed, including what ``each_file`` finds.
    """

    days: list[DayFolder] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    problems: list[ListingProblem] = field(default_factory=list)


def survey(
    store: Store, root: str, *, since: date | None = None, until: date | None = None
) -> FolderListing:
    """Find the day folders and all other files below a root, whatever its level.

    Days, months and years before ``since`` or after ``until`` are not listed. Nor is the content of
    a day.
    """
    found = FolderListing()

    def is_entered(folder: str) -> bool:
        meaning = locate(folder)
        if not meaning.overlaps(since, until):
            return False
        if day := _day_folder(folder):
            found.days.append(day)
        return day is None

    for folder, listing in _walk(store, root, is_entered):
        if isinstance(listing, BedrockUsageError):
            found.problems.append(ListingProblem(folder, listing))
        elif listing.has_files:
            found.loose.append(folder)
    found.loose.sort()
    found.days.sort(key=lambda day: (day.day, day.folder))
    return found


def _day_folder(folder: str) -> DayFolder | None:
    meaning = locate(folder)
    if meaning.kind and meaning.region and meaning.first_day and meaning.level in ("day", "hour"):
        return DayFolder(
            meaning.kind, meaning.account_id, meaning.region, meaning.first_day, folder
        )
    return None


def find_streams(store: Store, root: str) -> tuple[list[LogDelivery], list[ListingProblem]]:
    """Return the log streams below a root, by prefix, and what could not be listed.

    A root inside a stream gives a stream of that part. Folders outside the layouts are followed
    four levels deep, the longest prefix a trail may have.
    """
    streams: list[LogDelivery] = []
    problems: list[ListingProblem] = []

    def is_entered(folder: str) -> bool:
        meaning = locate(folder)
        if meaning.kind and meaning.region:
            streams.append(LogDelivery(meaning.kind, meaning.account_id, meaning.region, folder))
            return False
        depth = folder.count("/") - root.count("/")
        return meaning.level != "root" or (meaning.kind is None and depth <= _PREFIX_PARTS)

    for folder, listing in _walk(store, root, is_entered):
        if isinstance(listing, BedrockUsageError):
            problems.append(ListingProblem(folder, listing))
    return sorted(streams, key=lambda stream: stream.prefix), problems


def stream_files(
    store: Store, stream: LogDelivery, *, since: date | None = None, until: date | None = None
) -> Iterator[StoredFile]:
    """Yield the files of a stream's days, both included, by day (``layouts.day_of``) and name.

    It is one flat listing from the first day to the last, so a stream with nothing new costs one
    request. Raises the same errors as ``Store.files_below``.
    """
    after = day_prefix(stream, since) if since else ""
    before = day_prefix(stream, until + timedelta(days=1)) if until else None
    for file in store.files_below(stream.prefix, after, before):
        if day_of(file.folder):
            yield file


def _walk(
    store: Store, root: str, is_entered: Callable[[str], bool]
) -> Iterator[tuple[str, Listing | BedrockUsageError]]:
    """Yield the listing of each entered folder, level by level, several at a time."""
    level = [root] if is_entered(root) else []
    while level:
        below: list[str] = []
        for folder, listing in prefetch(store.list_folder, level, ahead=_FOLDERS_AHEAD):
            if isinstance(listing, Listing):
                children = (f"{folder}{name}/" for name in listing.folders)
                below += filter(is_entered, children)
            yield folder, listing
        level = below


def each_file(store: Store, found: FolderListing) -> Iterator[StoredFile]:
    """Yield the files of a survey: the loose ones by folder, then day by day as delivered.

    The files of a day are yielded together for all accounts and regions, so memory holds one day's
    names. A folder that cannot be listed is added to ``found.problems``, and the rest continues.
    """
    for folder in found.loose:
        try:
            yield from store.files(folder)
        except StoppedError:
            raise
        except BedrockUsageError as error:
            found.problems.append(ListingProblem(folder, error))
    listings = prefetch(partial(_list_day, store), found.days, ahead=_DAYS_AHEAD)
    for _, of_day in groupby(listings, key=lambda listing: listing[0].day):
        files: list[StoredFile] = []
        for day, listed in of_day:
            if isinstance(listed, BedrockUsageError):
                found.problems.append(ListingProblem(day.folder, listed))
            else:
                files += listed[0]
                found.problems += listed[1]
        yield from sorted(files, key=by_delivery)


def by_delivery(file: StoredFile) -> tuple[date, str, str]:
    """Return a key that sorts files by delivery, as far as their names show it."""
    return day_of(file.folder) or date.min, delivered_at(file.name), file.uri


def _list_day(store: Store, day: DayFolder) -> tuple[list[StoredFile], list[ListingProblem]]:
    """Return the files of a day that can be listed, and why others cannot."""
    files: list[StoredFile] = []
    try:
        for file in store.files_below(day.folder):
            files.append(file)  # noqa: PERF402 (the files before an error are kept)
    except StoppedError:
        raise
    except BedrockUsageError as error:
        return files, [ListingProblem(day.folder, error)]
    return files, []
