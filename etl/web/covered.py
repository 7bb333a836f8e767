"""How much of a range of days is loaded and over: what averages and comparisons may use.

A day is *loaded* from the first day with usage to the last that was read. It is *finished* once it
is over and every stream of ``sync`` has read it to its end; without ``sync``, once it is over. Of a
*gap* day a part could not be read. A day that is not loaded is unknown, never zero.

For a visitor who may see only some usage, all of it follows from that usage and the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Self

from etl.show.numbers import count
from etl.web.selection import Selection

ONE_DAY = timedelta(days=1)
# What is compared where the days before a range are not loaded.
RECENT_DAYS = 7


@dataclass(frozen=True)
class Compared:
    """Finished days, and the earlier days to compare them with; or ``why_not``."""

    days: Selection | None = None
    before: Selection | None = None
    why_not: str = ""


@dataclass(frozen=True)
class Covered:
    """The days that are loaded (``first`` to ``last``, None without any) and finished.

    ``unread``: the first and last day of history that no sync has read to its end yet.
    """

    first: date | None
    last: date | None
    finished_until: date
    today: date
    gaps: frozenset[date] = frozenset()
    unread: tuple[date, date] | None = None

    @classmethod
    def of(cls, freshness: Mapping[str, Any], today: date, gaps: Iterable[str] = ()) -> Self:
        """Return what the query ``freshness`` tells, and ``gap_days``."""
        first, last, finished, unread_from, unread_to = (
            date.fromisoformat(freshness[name]) if freshness.get(name) else None
            for name in ("first_day", "last_day", "finished_until", "unread_from", "unread_to")
        )
        over = today - ONE_DAY
        if finished is None:
            finished = min(over, last or over)
        elif last is not None:
            # Days that were read and have no usage are loaded too.
            last = max(last, finished)
        return cls(
            first,
            last,
            min(finished, over),
            today,
            frozenset(map(date.fromisoformat, gaps)),
            (unread_from, unread_to) if unread_from and unread_to else None,
        )

    def loaded(self, selection: Selection) -> Selection | None:
        """Return the part of a range that is loaded; None if nothing of it is."""
        if self.first is None or self.last is None:
            return None
        return selection.within(self.first, self.last)

    def finished(self, selection: Selection) -> Selection | None:
        """Return the part of a range that is loaded and finished; None if nothing of it is."""
        loaded = self.loaded(selection)
        return loaded and loaded.within(loaded.since, self.finished_until)

    def unfinished(self, selection: Selection) -> list[date]:
        """Return the loaded days that are not finished, in order."""
        loaded = self.loaded(selection)
        return [day for day in loaded.all_days() if day > self.finished_until] if loaded else []

    def in_gaps(self, selection: Selection) -> list[date]:
        """Return the loaded days of which a part could not be read, in order."""
        loaded = self.loaded(selection)
        return [day for day in sorted(self.gaps) if loaded and loaded.since <= day <= loaded.until]

    def compared(self, selection: Selection) -> Compared:
        """Return the finished days of a range, and the days that they are compared with."""
        days = self.finished(selection)
        if days is None:
            return Compared(why_not="no day of this range is loaded and over")
        before = selection.before(days)
        if self.finished(before) != before:
            return Compared(why_not="no earlier days to compare with")
        if self.in_gaps(before) or self.in_gaps(days):
            return Compared(why_not="some of these days could not be read from AWS")
        return Compared(days, before)

    def recently(self, selection: Selection) -> Compared:
        """Return the last finished days of a range, a week, and as many before them."""
        days = self.finished(selection)
        if days is None or days.days < RECENT_DAYS:
            return Compared(why_not="no finished week of this range is loaded")
        first = days.until - (RECENT_DAYS - 1) * ONE_DAY
        return self.compared(replace(days, since=first, preset=None))

    def words(self, selection: Selection) -> list[str]:
        """Return what a reader of the range's figures has to know, as sentences."""
        loaded, unfinished = self.loaded(selection), self.unfinished(selection)
        said = []
        if loaded is None:
            said.append("None of these days is loaded.")
        elif loaded.days < selection.days:
            said.append(
                f"Data covers {loaded.days:,} of these {count(selection.days, 'day')}, from"
                f" {loaded.since} to {loaded.until}."
            )
        if self.unread and (left := selection.within(*self.unread)):
            said.append(f"Days back to {left.since} are not read from AWS yet: sync goes on there.")
        if unfinished == [self.today]:
            said.append(f"{self.today} is still running.")
        elif unfinished:
            first = (
                f"{unfinished[0]} is" if len(unfinished) == 1 else f"{unfinished[0]} and later are"
            )
            said.append(f"{first} not read to the end.")
        if gaps := self.in_gaps(selection):
            said.append(f"Of {count(len(gaps), 'day')} a part could not be read from AWS.")
        return said

    def state(self, day: date) -> str:
        """Return what is special of a day: running, gap, none (not loaded), or nothing."""
        if self.first is None or self.last is None or not self.first <= day <= self.last:
            return "none"
        if day > self.finished_until:
            return "running"
        return "gap" if day in self.gaps else ""
