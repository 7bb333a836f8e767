"""Bring the rates of origin ``price_list`` in line with what the Price List says.

Nothing is deleted: a rate ends on the day when another one begins, and a rate that turns out to be
wrong stays as a corrected one. The same versions again change nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlite_utils import Database

from etl import resources
from etl.normalise.price_list import Book, Key, Snapshot
from etl.normalise.price_list_tables import Tables, parse_tables
from etl.times import parse_utc, utc_text
from etl.warehouse.price_list import Held, Rate, Seed, follow
from etl.warehouse.price_versions import record
from etl.warehouse.prices import renew_prices

_KEY = ", ".join(Key._fields)
_COLUMNS = ("region", *Key._fields, *Rate._fields[2:])

# How often ``sync`` reads the Price List if it is switched on, and how soon again after a failure.
_INTERVALS = {"done": timedelta(days=7), "incomplete": timedelta(days=1)}

NEW, CHANGED, ENDED, CORRECTED = "new", "changed", "ended", "corrected"


class Change(NamedTuple):
    """A rate that a sync changes. ``before``: the rate in force so far, whatever its origin.

    ``after`` None: none of the Price List's from ``day`` on. For a corrected rate, ``before`` is
    that rate, and ``after`` what replaces it.
    """

    what: str
    region: str
    key: Key
    before: int | None
    after: int | None
    day: str


@dataclass
class SyncedPrices:
    """The result. ``confirmed``: new rates that are the same as those in force."""

    changes: list[Change] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    stopped: list[Held] = field(default_factory=list)
    confirmed: int = 0
    written: int = 0


def price_list_tables() -> Tables:
    """Return what usage types, words, names and units mean."""
    return parse_tables(
        *(
            (resources.SQL / "seeds" / f"price_list_{name}.csv").read_text(encoding="utf-8")
            for name in ("usage_types", "words", "models", "units")
        )
    )


def known_book(db: Database, published_at: str) -> Book:
    """Return the models that are known, and the thresholds on the day of a publication."""
    models = {model for (model,) in db.execute("select distinct model_id from prices")}
    thresholds: dict[str, set[int]] = defaultdict(set)
    for model, threshold in db.execute(
        "select distinct model_id, min_input_tokens from prices where min_input_tokens > 0"
        " and origin = 'seed' and effective_from <= ? and coalesce(effective_to, '9999') > ?",
        [published_at[:10]] * 2,
    ):
        thresholds[model].add(threshold)
    speaking = db.execute("select distinct model_id from prices where token_kind = 'text_input'")
    return Book(models | used_models(db), thresholds, {model for (model,) in speaking})


def used_models(db: Database) -> set[str]:
    """Return the models that calls name."""
    return {model for (model,) in db.execute("select canonical_model_id from int_models")}


def used_regions(db: Database) -> set[str]:
    """Return the regions of all calls."""
    return {region for (region,) in db.execute("select region from regions")}


class _UndoError(Exception):
    """Rolls a dry run back."""


def sync_prices(
    db: Database,
    snapshots: Iterable[Snapshot],
    *,
    today: date,
    accept: bool = False,
    dry_run: bool = False,
) -> SyncedPrices:
    """Keep what the versions say, and write the rates that follow; return what changes.

    ``accept``: also make the changes that are held. ``dry_run``: write nothing.
    """
    result, seed = SyncedPrices(), Seed(db)
    with suppress(_UndoError), db.atomic():
        for snapshot in snapshots:
            record(db, snapshot)
        outcome = follow(db, seed)
        while accept and outcome.held:
            _accept(db, outcome.held)
            outcome = follow(db, seed)
        result.held, result.stopped = outcome.held, outcome.stopped
        _compare(_stored(db), outcome.rates, seed, result)
        _write(db, outcome.rates, today, result)
        if dry_run:
            raise _UndoError
        if result.written:
            renew_prices(db)
    return result


def _accept(db: Database, held: Iterable[Held]) -> None:
    marks = ", ".join("?" * (len(Key._fields) + 2))
    db.conn.executemany(
        f"insert or ignore into price_list_accepted (region, {_KEY}, usd_per_mtok)"
        f" values ({marks})",
        [(one.region, *one.key, -1 if one.after is None else one.after) for one in held],
    )


def _compare(
    stored: Sequence[Rate], rates: Sequence[Rate], seed: Seed, result: SyncedPrices
) -> None:
    """Add the changes from the rates in force before."""
    known = {(*rate[:4], rate.corrected_on) for rate in stored}
    standing = {rate[:4] for rate in stored if not (rate.effective_to or rate.corrected_on)}
    live = [rate for rate in rates if not rate.corrected_on]
    begun = {(rate.region, rate.key, rate.effective_from): rate.usd_per_mtok for rate in live}
    ended = {(rate.region, rate.key, rate.effective_to): rate.usd_per_mtok for rate in live}
    for rate in rates:
        region, key, usd, day, end, corrected_on = rate[:6]
        if (region, key, usd, day, corrected_on) not in known:
            before = ended.get((region, key, day), seed.rate(region, key, day))
            if corrected_on:
                after = begun.get((region, key, day))
                result.changes.append(Change(CORRECTED, region, key, usd, after, day))
            elif before == usd:
                result.confirmed += 1
            else:
                what = NEW if before is None else CHANGED
                result.changes.append(Change(what, region, key, before, usd, day))
        elif end and (region, key, usd, day) in standing and (region, key, end) not in begun:
            result.changes.append(Change(ENDED, region, key, usd, None, end))


class _Row(NamedTuple):
    price_id: int
    rate: Rate


def _stored(db: Database) -> list[Rate]:
    return [row.rate for row in _rows(db)]


def _rows(db: Database) -> list[_Row]:
    return [
        _Row(price_id, Rate(region, Key(*rest[:5]), *rest[5:]))
        for price_id, region, *rest in db.execute(
            f"select price_id, {', '.join(_COLUMNS)} from prices where origin = 'price_list'"
            " order by price_id"
        )
    ]


def _write(db: Database, rates: Sequence[Rate], today: date, result: SyncedPrices) -> None:
    """Make the stored rates those that follow; a stored rate that does not is corrected."""
    left, wanted = _rows(db), list(rates)
    pairs: list[tuple[_Row, Rate]] = []
    # The same rate; else the same price and first day; else the same price with other days.
    for identity in (_whole, _start, _price):
        # One in force rather than a corrected one.
        stored = {identity(row.rate): row for row in sorted(left, key=_is_in_force)}
        found = [(stored.pop(identity(rate), None), rate) for rate in wanted]
        wanted = [rate for row, rate in found if row is None]
        pairs += [(row, rate) for row, rate in found if row is not None]
        taken = {row.price_id for row, _ in pairs}
        left = [row for row in left if row.price_id not in taken]
    changed = [(row, rate) for row, rate in pairs if row.rate != rate]
    gone = [row for row in left if not row.rate.corrected_on]
    _correct(db, gone, today)
    _update(db, changed)
    _insert(db, wanted)
    result.written = len(gone) + len(changed) + len(wanted)


def _is_in_force(row: _Row) -> bool:
    return row.rate.corrected_on is None


def _whole(rate: Rate) -> object:
    return rate


def _start(rate: Rate) -> object:
    return rate[:4]


def _price(rate: Rate) -> object:
    return (*rate[:3], rate.corrected_on)


def _correct(db: Database, rows: Iterable[_Row], today: date) -> None:
    db.conn.executemany(
        "update prices set corrected_on = ? where price_id = ?",
        [(today.isoformat(), row.price_id) for row in rows],
    )


def _update(db: Database, changed: Sequence[tuple[_Row, Rate]]) -> None:
    # First days may move past each other; no two are ever the same.
    db.conn.executemany(
        "update prices set effective_from = ' ' || price_id where price_id = ?",
        [(row.price_id,) for row, _ in changed],
    )
    db.conn.executemany(
        "update prices set effective_from = ?, effective_to = ?, corrected_on = ?, source = ?,"
        " checked_on = ? where price_id = ?",
        [(*rate[3:], row.price_id) for row, rate in changed],
    )


def _insert(db: Database, rates: Iterable[Rate]) -> None:
    marks = ", ".join("?" * len(_COLUMNS))
    db.conn.executemany(
        f"insert into prices ({', '.join(_COLUMNS)}, origin) values ({marks}, 'price_list')",
        [(rate.region, *rate.key, *rate[2:]) for rate in rates],
    )


def is_sync_due(db: Database, now: datetime) -> bool:
    """Return whether a weekly reading of the Price List is due."""
    last = db.execute("select read_at, outcome from price_list_reads").fetchone()
    return last is None or parse_utc(last[0]) + _INTERVALS[last[1]] <= now


def note_sync(db: Database, now: datetime, *, is_complete: bool) -> None:
    """Remember that the Price List was read from AWS."""
    with db.atomic():
        db.execute("delete from price_list_reads")
        db.execute(
            "insert into price_list_reads values (?, ?)",
            [utc_text(now), "done" if is_complete else "incomplete"],
        )
