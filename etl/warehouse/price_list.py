"""The rates that follow from what the versions of AWS's Price List say.

``follow`` goes through all that versions say (``price_versions``), in the order of publication, so
that the same versions give the same rates in whatever order they were read. A rate is in force from
the UTC day on which the first version that shows it was published, until another one is. A second
change on one day is a correction.

A change is *held* if it may be a mistake, of AWS or of ours: a rate of more than twice or less than
half the one in force, one that is no longer listed, or one that would price long requests as short
ones. The rate before it stays in force until the change is accepted, or taken back. A key with two
prices, or with an unclear one, keeps its rate too.

Earlier days keep the rates of the seed: a synced rate begins when it was published.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from sqlite_utils import Database

from etl.normalise.model_ids import price_model_ids
from etl.normalise.price_list import Key
from etl.warehouse.price_versions import LISTED, UNCLEAR, Value

_KEY = ", ".join(Key._fields)

# A change by more than this factor is held.
_MAX_TIMES = 2


class Rate(NamedTuple):
    """A row of ``prices`` of origin ``price_list``."""

    region: str
    key: Key
    usd_per_mtok: int
    effective_from: str
    effective_to: str | None
    corrected_on: str | None
    source: str
    checked_on: str


class Held(NamedTuple):
    """A change that is not applied. ``after`` None: the price is no longer listed."""

    region: str
    key: Key
    before: int | None
    after: int | None
    day: str
    reason: str


@dataclass
class Outcome:
    """What follows from all versions. ``stopped``: keys whose current price is not clear."""

    rates: list[Rate] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    stopped: list[Held] = field(default_factory=list)


class _Seeded(NamedTuple):
    scope: str
    service_tier: str
    token_kind: str
    region: str
    min_input_tokens: int
    usd_per_mtok: int
    effective_from: str
    effective_to: str | None

    @property
    def use(self) -> tuple[str, ...]:
        return self[:3]

    def holds(self, region: str, day: str) -> bool:
        # GovCloud has its own rates, as in int_rates.
        is_near = self.region == region or (self.region == "*" and not region.startswith("us-gov-"))
        ends = self.effective_to or "9999"
        return is_near and self.effective_from <= day < ends


class Seed:
    """The rates of this release, looked up as ``int_rates`` does."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._rows: dict[str, list[_Seeded]] = {}

    def rate(self, region: str, key: Key, day: str) -> int | None:
        """Return the rate that a request of this size has on a day."""
        for model in price_model_ids(key.model_id):
            found = [
                row
                for row in self._of(model, key, region, day)
                if row.min_input_tokens <= key.min_input_tokens
            ]
            if found:
                return max(
                    found,
                    key=lambda row: (row.region != "*", row.min_input_tokens, row.effective_from),
                ).usd_per_mtok
        return None

    def long_keys(self, region: str, key: Key, day: str) -> set[Key]:
        """Return the keys of the rates that longer requests have on a day."""
        return {
            key._replace(min_input_tokens=row.min_input_tokens)
            for model in price_model_ids(key.model_id)
            for row in self._of(model, key, region, day)
            if row.min_input_tokens > key.min_input_tokens
        }

    def _of(self, model: str, key: Key, region: str, day: str) -> Iterator[_Seeded]:
        if model not in self._rows:
            self._rows[model] = [
                _Seeded(*row)
                for row in self._db.execute(
                    "select scope, service_tier, token_kind, region, min_input_tokens,"
                    " usd_per_mtok, effective_from, effective_to from prices"
                    " where model_id = ? and origin = 'seed' and corrected_on is null",
                    [model],
                )
            ]
        for row in self._rows[model]:
            if row.use == key[1:4] and row.holds(region, day):
                yield row


class _Event(NamedTuple):
    """Something that a version says for the first time; in the order of publication."""

    published_at: str
    version: str
    service_code: str
    key: Key
    value: Value

    @property
    def day(self) -> str:
        return self.published_at[:10]


@dataclass(frozen=True)
class _Known:
    """All that decides which rates follow.

    ``accepted``: changes that a user accepted, with None for a price that is gone. ``standing``:
    rates in ``prices``; a new release does not take one back. ``published``: when each version of a
    service in a region was.
    """

    seed: Seed
    accepted: frozenset[tuple[str, Key, int | None]]
    standing: frozenset[tuple[str, Key, int]]
    published: Mapping[tuple[str, str], Sequence[str]]


def follow(db: Database, seed: Seed) -> Outcome:
    """Return the rates that follow from everything kept."""
    known = _Known(seed, _accepted(db), _standing(db), _published(db))
    outcome = Outcome()
    for region, events in _events(db):
        by_key: dict[Key, list[_Event]] = defaultdict(list)
        for event in events:
            by_key[event.key].append(event)
        for key in sorted(by_key):
            _Course(region, key, known, outcome).run(by_key)
    return outcome


def _accepted(db: Database) -> frozenset[tuple[str, Key, int | None]]:
    return frozenset(
        (region, Key(*key), None if usd < 0 else usd)
        for region, *key, usd in db.execute(
            f"select region, {_KEY}, usd_per_mtok from price_list_accepted"
        )
    )


def _standing(db: Database) -> frozenset[tuple[str, Key, int]]:
    return frozenset(
        (region, Key(*key), usd)
        for region, *key, usd in db.execute(
            f"select region, {_KEY}, usd_per_mtok from prices where origin = 'price_list'"
            " and corrected_on is null"
        )
    )


def _published(db: Database) -> dict[tuple[str, str], list[str]]:
    published: dict[tuple[str, str], list[str]] = defaultdict(list)
    for code, region, moment in db.execute(
        "select service_code, region, published_at from price_list_versions order by published_at"
    ):
        published[code, region].append(moment)
    return published


def _events(db: Database) -> Iterator[tuple[str, list[_Event]]]:
    """Yield the events of each region, in the order of publication."""
    rows = db.execute(
        f"select region, published_at, version, service_code, {_KEY}, state, usd_per_mtok,"
        " usage_type from price_list_changes inner join price_list_versions using (version_key)"
        " order by region, published_at, version, service_code"
    )
    for region, found in groupby(rows.fetchall(), key=lambda row: row[0]):
        yield (
            region,
            [_Event(row[1], row[2], row[3], Key(*row[4:9]), Value(*row[9:])) for row in found],
        )


class _Course:
    """The rates of one key in one region, from event to event."""

    def __init__(self, region: str, key: Key, known: _Known, outcome: Outcome) -> None:
        self._region, self._key, self._known, self._outcome = region, key, known, outcome
        self._now: dict[tuple[str, Key], _Event] = {}
        self._rates: list[Rate] = []
        self._held: Held | None = None
        self._stopped: Held | None = None
        # The service that lists the rate in force, while one does.
        self._shown_by: str | None = None

    def run(self, by_key: Mapping[Key, Sequence[_Event]]) -> None:
        """Add the rates, and what is held or stopped at the end."""
        for event in self._watched(by_key):
            self._check_until(event.published_at)
            self._now[event.service_code, event.key] = event
            self._see(event)
        self._check_until(None)
        self._outcome.rates += self._rates
        self._outcome.held += [self._held] if self._held else []
        self._outcome.stopped += [self._stopped] if self._stopped else []

    def _watched(self, by_key: Mapping[Key, Sequence[_Event]]) -> list[_Event]:
        """Return the key's events, and those of the longer requests that it depends on."""
        own = by_key[self._key]
        longer = {
            key
            for event in own
            for key in self._known.seed.long_keys(self._region, self._key, event.day)
        }
        events = [*own, *(event for key in longer for event in by_key.get(key, ()))]
        return sorted(events, key=lambda event: event[:3])

    @property
    def _open(self) -> Rate | None:
        """The rate in force."""
        last = self._last
        return last if last and last.effective_to is None else None

    @property
    def _last(self) -> Rate | None:
        return next((rate for rate in reversed(self._rates) if not rate.corrected_on), None)

    def _see(self, event: _Event) -> None:
        held, self._held, self._stopped, self._shown_by = self._held, None, None, None
        shown = [one for (_, key), one in sorted(self._now.items()) if key == self._key]
        listed = [one for one in shown if one.value.state == LISTED]
        if len({one.value.usd_per_mtok for one in listed}) > 1:
            self._stop(event.day, "two services list different prices")
        elif any(one.value.state == UNCLEAR for one in shown):
            self._stop(event.day, "its price is not clear")
        elif listed:
            self._list(listed[0], event.day)
        elif self._open:
            self._withdraw(event.day)
        if (
            self._held
            and held
            and (held.after, held.before) == (self._held.after, self._held.before)
        ):
            self._held = self._held._replace(day=held.day)

    def _before(self, day: str) -> int | None:
        if self._open:
            return self._open.usd_per_mtok
        return self._known.seed.rate(self._region, self._key, day)

    def _stop(self, day: str, reason: str) -> None:
        before = self._before(day)
        self._stopped = Held(self._region, self._key, before, None, day, reason)

    def _list(self, shown: _Event, day: str) -> None:
        usd = shown.value.usd_per_mtok
        assert usd is not None  # noqa: S101 (that is what listed means)
        if self._open is None or self._open.usd_per_mtok != usd:
            if reason := self._doubt(usd, day):
                self._held = Held(self._region, self._key, self._before(day), usd, day, reason)
                return
            self._end(day)
            if not self._reopen(usd, day):
                self._begin(shown, usd, day)
        self._shown_by = shown.service_code

    def _begin(self, shown: _Event, usd: int, day: str) -> None:
        version = f"{shown.service_code} {shown.version} {shown.value.usage_type}"
        source = f"AWS Price List {version}"
        self._rates.append(Rate(self._region, self._key, usd, day, None, None, source, day))

    def _doubt(self, usd: int, day: str) -> str | None:
        """Say why a new rate has to be accepted, None if it has not."""
        if (self._region, self._key, usd) in self._known.accepted:
            return None
        if self._open is None:
            if (self._region, self._key, usd) in self._known.standing:
                return None
            if missing := self._missing(day):
                return (
                    f"the book has a price above {missing:,} tokens and the Price List has none:"
                    " longer requests would get this one"
                )
        before = self._before(day)
        if before is not None and (usd > _MAX_TIMES * before or before > _MAX_TIMES * usd):
            return "more than twice, or less than half, of the rate in force"
        return None

    def _missing(self, day: str) -> int | None:
        """Return a threshold of the seed above which the Price List has no price."""
        longer = self._known.seed.long_keys(self._region, self._key, day)
        listed = {key for (_, key), one in self._now.items() if one.value.state == LISTED}
        return min((key.min_input_tokens for key in longer - listed), default=None)

    def _withdraw(self, day: str) -> None:
        if (self._region, self._key, None) in self._known.accepted:
            self._end(day)
        else:
            reason = "no longer in the Price List"
            self._held = Held(self._region, self._key, self._before(day), None, day, reason)

    def _end(self, day: str) -> None:
        """End the rate in force; one that began on the same day is corrected."""
        if rate := self._open:
            is_correction = rate.effective_from == day
            self._replace(rate, **{"corrected_on" if is_correction else "effective_to": day})

    def _reopen(self, usd: int, day: str) -> bool:
        """Continue the rate that ended today, if a correction brings it back."""
        last = self._last
        if last is None or last.effective_to != day or last.usd_per_mtok != usd:
            return False
        self._replace(last, effective_to=None, checked_on=day)
        return True

    def _replace(self, rate: Rate, **changes: str | None) -> None:
        self._rates[self._rates.index(rate)] = rate._replace(**changes)  # type: ignore[arg-type]

    def _check_until(self, moment: str | None) -> None:
        """Note the last version before a time that shows the rate in force, None for any time."""
        if self._shown_by and (rate := self._open):
            published = self._known.published[self._shown_by, self._region]
            seen = published if moment is None else published[: bisect_left(published, moment)]
            if seen:
                self._replace(rate, checked_on=max(rate.checked_on, seen[-1][:10]))
