"""Which files a run reads.

Every file that was read is known, with the days that its rows concern. A day is counted from all
its files, so a new file means its days are counted again, with the other files of those days. What
reaches further is marked: corrections of earlier calls, tags of later ones, profiles of any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import NamedTuple

from etl.errors import BedrockUsageError
from etl.normalise.bill_manifests import bill_file
from etl.rollup.job import Places
from etl.rollup.output import InputFile
from etl.sources.layouts import day_of
from etl.sources.listing import each_file, survey
from etl.sources.stores import StoredFile

# How long after a call AWS may correct it, and how long a session lasts at most.
_CORRECTED_FOR = timedelta(days=90)
_LONGEST_SESSION = timedelta(days=2)


class Listed(NamedTuple):
    """What there is to read. ``problems``: (place, reason) of what could not be listed."""

    files: list[StoredFile]
    problems: list[tuple[str, str]]
    roots: list[str]


def list_files(places: Places, paths: Iterable[str], since: date | None = None) -> Listed:
    """List the files below paths, those of a day only if it is not before ``since``.

    Exports of a bill are left out. Raises the error of the first path if none exists.
    """
    listed = Listed([], [], [])
    errors: list[BedrockUsageError] = []
    for path in paths:
        store = places.store_of(path)
        try:
            target = store.find(path)
        except BedrockUsageError as error:
            errors.append(error)
            listed.problems.append((path, str(error)))
            continue
        if isinstance(target, StoredFile):
            listed.roots.append(target.uri)
            listed.files.append(target)
            continue
        listed.roots.append(target)
        found = survey(store, target, since=since)
        listed.files.extend(f for f in each_file(store, found) if not bill_file(f.uri))
        listed.problems.extend((problem.folder, str(problem.error)) for problem in found.problems)
    if errors and not listed.roots:
        raise errors[0]
    unique = {file.uri: file for file in listed.files}
    return listed._replace(files=list(unique.values()))


def trailing_since(known: Iterable[str], days: int) -> date | None:
    """Return the day from which files are listed again; None for all.

    ``known``: the files read before; ``days``: how many days before the last of them.
    """
    last = max(filter(None, (day_of(uri.rpartition("/")[0] + "/") for uri in known)), default=None)
    return last - timedelta(days=days) if last else None


def concerning(days: Iterable[str], known: Iterable[InputFile]) -> Iterator[InputFile]:
    """Yield the files read before that concern any of the days."""
    wanted = {date.fromisoformat(day) for day in days}
    if not wanted:
        return
    for file in known:
        own = [date.fromisoformat(day) for day in file.days]
        if file.is_general or not wanted.isdisjoint(own) or _reaches(file, own, wanted):
            yield file


def _reaches(file: InputFile, own: list[date], wanted: set[date]) -> bool:
    if not own:
        return False
    first, last = min(own), max(own)
    back = file.reaches_back and any(first - _CORRECTED_FOR <= day <= last for day in wanted)
    ahead = file.has_sessions and any(first <= day <= last + _LONGEST_SESSION for day in wanted)
    return back or ahead
