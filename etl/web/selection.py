"""What a page shows: a range of days and some names, all of it in the address.

People bookmark and send the address, so it repeats nothing and leaves out defaults.

Ranges in days are counted back from the last loaded day, so that old data is shown too. Ranges in
words are those of the calendar: yesterday is never another day.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from etl.errors import DataError
from etl.times import WORDS, month_before

# In days: counted back from the last loaded day; mtd: that day's month, to date.
PRESETS: Mapping[str, str] = {
    "yesterday": "Yesterday",
    "7d": "7 days",
    "30d": "30 days",
    "90d": "90 days",
    "last-week": "Last week",
    "mtd": "Month to date",
    "last-month": "Last month",
}
DEFAULT_PRESET = "30d"
MAX_DAYS = 3660
# A month of the calendar is a preset too: 2026-09. Months are compared with the month before.
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_MONTHS = ("mtd", "last-month")

# How the cost per day is stacked: the word in the address, and the column.
STACKS = {
    "application": "application",
    "user": "user_name",
    "team": "team",
    "model": "model_id",
    "region": "region",
}
DEFAULT_STACK = "application"

# The word in the address, and the parameter of the queries.
NAMES = {
    "region": "regions",
    "model": "models",
    "user": "users",
    "application": "applications",
    "team": "teams",
}


@dataclass(frozen=True)
class Selection:
    """A range of days, both ends included, and the names chosen of each kind (none: all).

    ``preset``: the preset that the days come from; None if they were given.
    """

    since: date
    until: date
    preset: str | None = DEFAULT_PRESET
    regions: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    by: str = DEFAULT_STACK

    @property
    def days(self) -> int:
        return (self.until - self.since).days + 1

    def chosen(self, kind: str) -> tuple[str, ...]:
        """Return the names chosen of a kind of ``NAMES``."""
        return getattr(self, NAMES[kind])  # type: ignore[no-any-return]

    @property
    def words(self) -> str:
        """What the preset's days are, in words; empty for days that were given."""
        if self.preset is None:
            return ""
        if self.preset in WORDS:
            return PRESETS[self.preset].lower()
        if _MONTH.fullmatch(self.preset):
            return f"the month {self.preset}"
        length = "month" if self.preset == "mtd" else PRESETS[self.preset]
        return f"the {length} up to the last day of data"

    @property
    def is_month(self) -> bool:
        """Whether the days are those of a month, or of its first days."""
        return self.preset in _MONTHS or bool(self.preset and _MONTH.fullmatch(self.preset))

    def all_days(self) -> Iterator[date]:
        """Return the days, in order."""
        return (self.since + timedelta(days=number) for number in range(self.days))

    def names(self) -> list[tuple[str, str]]:
        """Return the names chosen, with the kind of each."""
        return [(kind, name) for kind in NAMES for name in self.chosen(kind)]

    def within(self, first: date, last: date) -> Selection | None:
        """Return the same selection of those of its days; None if it has none of them."""
        since, until = max(self.since, first), min(self.until, last)
        return None if since > until else replace(self, since=since, until=until)

    def before(self, days: Selection | None = None) -> Selection:
        """Return what ``days``, a part of this range (default: all), are compared with.

        For a month the same days of the month before, and all of that month for all of it. Else as
        many days earlier as the range is long: 6 finished days of 7 with the same 6 weekdays.
        """
        part = days or self
        if self.is_month:
            _, last = month_before(self.since)
            is_whole = self.preset != "mtd" and part.until == self.until
            until = last if is_whole else _day_of(last, part.until)
            return replace(self, since=_day_of(last, part.since), until=until, preset=None)
        shift = timedelta(days=self.days)
        return replace(self, since=part.since - shift, until=part.until - shift, preset=None)

    def without(self, kind: str, name: str) -> Selection:
        """Return the same selection with a name no longer chosen."""
        names: dict[str, Any] = {NAMES[kind]: tuple(n for n in self.chosen(kind) if n != name)}
        return replace(self, **names)

    def about(self, kind: str, name: str) -> Selection:
        """Return the same selection with only one name of a kind."""
        names: dict[str, Any] = {NAMES[kind]: (name,)}
        return replace(self, **names)

    def unfiltered(self) -> Selection:
        """Return the same days without any name chosen."""
        none: dict[str, Any] = dict.fromkeys(NAMES.values(), ())
        return replace(self, **none)

    def alone(self, kind: str, name: str) -> Selection:
        """Return the same days with only one name of a kind, and no other names."""
        return self.unfiltered().about(kind, name)

    def parameters(self, *by: str) -> dict[str, str]:
        """Return the parameters of the queries; ``by``: the dimensions of ``usage``."""
        given = {"since": self.since.isoformat(), "until": self.until.isoformat()}
        for parameter in NAMES.values():
            names = getattr(self, parameter)
            if names:
                given[parameter] = json.dumps(names, ensure_ascii=False)
        return given | {f"by_{dimension}": "1" for dimension in by}

    def names_query(self) -> str:
        """Return the names chosen, as the query of an address."""
        return urlencode(self.names())

    def query(self, *, without: str = "", **changes: Any) -> str:
        """Return the selection, with changes, as the query of an address.

        ``without``: a kind of name that the path already contains.
        """
        changed = replace(self, **changes)
        pairs: list[tuple[str, str]] = []
        if changed.preset is None:
            pairs += [("from", changed.since.isoformat()), ("to", changed.until.isoformat())]
        elif changed.preset != DEFAULT_PRESET:
            pairs.append(("range", changed.preset))
        for kind, parameter in NAMES.items():
            if kind != without:
                pairs += [(kind, name) for name in getattr(changed, parameter)]
        if changed.by != DEFAULT_STACK:
            pairs.append(("by", changed.by))
        return urlencode(pairs)


def parse_selection(pairs: Iterable[tuple[str, str]], *, last_day: date, today: date) -> Selection:
    """Parse the query of an address; ``last_day``: the last loaded day, ``today``: in UTC.

    Raises DataError for an invalid day or range, or an unknown preset or stack.
    """
    given: dict[str, list[str]] = {}
    for key, value in pairs:
        if value:
            given.setdefault(key, []).append(value)
    since, until, preset = _range(given, last_day, today)
    by = given.get("by", [DEFAULT_STACK])[-1]
    if by not in STACKS:
        raise DataError(f"by={by} is not one of {', '.join(STACKS)}")
    names = {parameter: _unique(given.get(kind, ())) for kind, parameter in NAMES.items()}
    return Selection(since, until, preset, by=by, **names)


def _range(
    given: Mapping[str, Sequence[str]], last_day: date, today: date
) -> tuple[date, date, str | None]:
    first, last = given.get("from", [""])[-1], given.get("to", [""])[-1]
    if first or last:
        until = _day("to", last) if last else last_day
        since = _day("from", first) if first else until - timedelta(days=29)
        if since > until:
            raise DataError(f"from={since} is after to={until}")
        if (until - since).days >= MAX_DAYS:
            raise DataError(f"from={since} to={until} is more than {MAX_DAYS} days")
        return since, until, None
    preset = given.get("range", [DEFAULT_PRESET])[-1]
    if _MONTH.fullmatch(preset):
        first_day = _day("range", f"{preset}-01")
        return first_day, month_before(first_day + timedelta(days=31))[1], preset
    if preset not in PRESETS:
        raise DataError(
            f"range={preset} is not one of {', '.join(PRESETS)}, or a month, such as 2026-09"
        )
    if preset in WORDS:
        return *WORDS[preset](today), preset
    if preset == "mtd":
        return last_day.replace(day=1), last_day, preset
    return last_day - timedelta(days=int(preset[:-1]) - 1), last_day, preset


def _day_of(last: date, day: date) -> date:
    """Return the same day in the month that ends on ``last``, or that last day."""
    return last.replace(day=min(day.day, last.day))


def _day(key: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    # Leave room in the calendar for the range before it.
    if not 2000 <= day.year < 3000:
        raise DataError(f"{key}={text} is not a day, such as 2026-09-01")
    return day


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
