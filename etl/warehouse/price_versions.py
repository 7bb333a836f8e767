"""What the versions of the Price List say, as far as one differs from the version before it.

``price_list_changes`` has a row where a version says something else about a key than the version
before it, of the same service and region. Versions may be read in any order: what is kept depends
only on which were read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlite_utils import Database

from etl.normalise.price_list import Key, Snapshot

_KEY = ", ".join(Key._fields)

LISTED, UNCLEAR, ABSENT = "listed", "unclear", "absent"


class Value(NamedTuple):
    """What a version says about a key. Only a listed one has a price."""

    state: str
    usd_per_mtok: int | None
    usage_type: str


_ABSENT = Value(ABSENT, None, "")


def record(db: Database, snapshot: Snapshot) -> None:
    """Keep what a version says; reading a version again replaces what it said."""
    version_key, order = _version(db, snapshot)
    said = _changes(db, order)
    for key in said.keys() | snapshot.prices.keys():
        before = said.get(key, {})
        values = dict(_expanded(before, order))
        values[version_key] = _value(snapshot, key)
        after = _compressed(values, order)
        for changed in before.keys() - after.keys():
            _forget(db, key, changed)
        for changed, value in after.items():
            if before.get(changed) != value:
                _keep(db, key, changed, value)


def _version(db: Database, snapshot: Snapshot) -> tuple[int, list[int]]:
    """Return the key of a version, and those of all of its service and region in order."""
    names = [snapshot.service_code, snapshot.region, snapshot.version]
    db.execute(
        "insert into price_list_versions (service_code, region, version, published_at)"
        " values (?, ?, ?, ?) on conflict do nothing",
        [*names, snapshot.published_at],
    )
    order = db.execute(
        "select version_key, version from price_list_versions where service_code = ?"
        " and region = ? order by published_at, version",
        names[:2],
    ).fetchall()
    keys = {version: version_key for version_key, version in order}
    return keys[snapshot.version], [version_key for version_key, _ in order]


def _changes(db: Database, order: Sequence[int]) -> dict[Key, dict[int, Value]]:
    """Return where versions differ from the one before, by key and version."""
    said: dict[Key, dict[int, Value]] = defaultdict(dict)
    marks = ", ".join("?" * len(order))
    for row in db.execute(
        f"select {_KEY}, version_key, state, usd_per_mtok, usage_type from price_list_changes"
        f" where version_key in ({marks})",
        list(order),
    ):
        said[Key(*row[:5])][row[5]] = Value(*row[6:])
    return said


def _value(snapshot: Snapshot, key: Key) -> Value:
    seen = snapshot.prices.get(key)
    if seen is None:
        return _ABSENT
    state = UNCLEAR if seen.usd_per_mtok is None else LISTED
    return Value(state, seen.usd_per_mtok, seen.usage_type)


def _expanded(changes: Mapping[int, Value], order: Iterable[int]) -> Iterator[tuple[int, Value]]:
    value = _ABSENT
    for version_key in order:
        value = changes.get(version_key, value)
        yield version_key, value


def _compressed(values: Mapping[int, Value], order: Iterable[int]) -> dict[int, Value]:
    changes, before = {}, _ABSENT
    for version_key in order:
        if values[version_key] != before:
            before = changes[version_key] = values[version_key]
    return changes


def _forget(db: Database, key: Key, version_key: int) -> None:
    same = " and ".join(f"{column} = ?" for column in (*Key._fields, "version_key"))
    db.execute(f"delete from price_list_changes where {same}", [*key, version_key])


def _keep(db: Database, key: Key, version_key: int, value: Value) -> None:
    db.execute(
        f"insert or replace into price_list_changes ({_KEY}, version_key, state, usd_per_mtok,"
        " usage_type) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [*key, version_key, *value],
    )
