"""The price table: list prices from the bundled seed, and a user's own rates over them.

List prices are replaced as a whole when the seed changes; overrides stay. A change of prices prices
the affected days again; if it moves a context threshold, the rollups are rebuilt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from sqlite_utils import Database

from etl import resources
from etl.normalise.discounts import TIERS
from etl.normalise.model_ids import GEO_PREFIXES, model_aliases, price_model_ids
from etl.warehouse.long_work import long_work
from etl.warehouse.price_file import (
    COLUMNS,
    OWN_COLUMNS,
    KnownValues,
    PriceRow,
    parse_prices,
    read_prices,
)
from etl.warehouse.write.costs import renew_costs
from etl.warehouse.write.dimensions import Names, renew_model_names
from etl.warehouse.write.input_forms import renew_input_forms
from etl.warehouse.write.minutes import note_changed_series
from etl.warehouse.write.rollup import hours_of_models, rebuild_rollups, renew

_SEED = "list_prices.csv"
_ALIASES = "model_aliases.csv"


def ensure_list_prices(db: Database) -> None:
    """Load the bundled list prices, unless the warehouse already has them.

    Also prices the days that a migration left unpriced. New prices may be listed under other names
    of a model, so its names are read again. They decide which of CloudWatch's totals a call shares
    and what its input contains.
    """
    content = (resources.SQL / "seeds" / _SEED).read_bytes()
    aliases = (resources.SQL / "seeds" / _ALIASES).read_bytes()
    names = repr(GEO_PREFIXES).encode()
    digest = hashlib.sha256(content + aliases + names).hexdigest()
    stored = next(iter(db.execute("select sha256 from seeds where seed = ?", [_SEED])), None)
    is_priced = db.execute("select 1 from stale_rate_keys limit 1").fetchone() is None
    if stored == (digest,) and is_priced:
        return
    with long_work(db, "applying the list prices", can_stop=True), db.atomic():
        db.execute("delete from prices where origin = 'seed'")
        _insert(db, parse_prices(content.decode("utf-8")), origin="seed")
        db.execute("insert or replace into seeds values (?, ?)", [_SEED, digest])
        renamed = renew_model_names(db)
        models = ", ".join(map(str, sorted(renamed)))
        hours = renew_input_forms(db) | hours_of_models(db, models)
        note_changed_series(
            db, f"usage_hourly join rate_keys using (rate_key) where model_key in ({models})"
        )
        _ensure_context_bands(db)
        renew(db, Names(db), hours)


def import_prices(
    db: Database,
    file: Path,
    *,
    regions: Collection[str] = (),
    today: date | None = None,
    force_new: bool = False,
) -> int:
    """Add a user's own rates from a CSV, YAML or TOML file; return how many.

    A rate with the same key replaces the one imported before. ``regions`` are known regions in
    addition to those with prices or calls; ``force_new`` accepts unknown models. Raises DataError,
    and changes nothing, if any row is wrong.
    """
    today = today or datetime.now(UTC).date()
    with db.atomic():
        known, stored = _known(db, regions), _overrides(db)
        rows = read_prices(file, known, stored, today, force_new=force_new)
        store_overrides(db, rows)
    return len(rows)


def store_overrides(db: Database, rows: Iterable[PriceRow]) -> None:
    """Write a user's rates, and price the affected days again."""
    with db.atomic():
        _insert(db, rows, origin="import")
        renew_prices(db)


def renew_prices(db: Database) -> None:
    """Apply changed rows of ``prices``: price the affected days again."""
    with db.atomic():
        _ensure_context_bands(db)
        renew_costs(db)


def _known(db: Database, regions: Collection[str]) -> KnownValues:
    """Return the models, regions, tiers and list rates that the warehouse knows."""

    def column(sql: str) -> set[str]:
        return {value for (value,) in db.execute(sql)}

    listed = column("select distinct model_id from prices")
    return KnownValues(
        models=column(
            "select canonical_model_id from int_models"
            " union select price_model_id from model_price_ids"
        ).union(model_aliases(), *map(price_model_ids, listed)),
        regions=column("select region from prices union select region from regions")
        .union(regions)
        .difference("*"),
        tiers=column(
            "select service_tier from prices union select service_tier from rate_keys"
        ).union(TIERS),
        list_rates={
            (model, kind): (low, high)
            for model, kind, low, high in db.execute(
                "select model_id, token_kind, min(usd_per_mtok), max(usd_per_mtok) from prices"
                " where origin <> 'import' and usd_per_mtok > 0 group by model_id, token_kind"
            )
        },
    )


def _overrides(db: Database) -> list[PriceRow]:
    columns = ", ".join(OWN_COLUMNS)
    return [
        PriceRow(*row)
        for row in db.execute(
            f"select {columns} from prices where origin = 'import' and corrected_on is null"
        )
    ]


def rates(db: Database) -> list[dict[str, object]]:
    """Return every rate that no correction replaced, with ``rate_class`` and ``origin``."""
    columns = ", ".join((*OWN_COLUMNS, "origin"))
    return list(db.query(f"select {columns} from prices where corrected_on is null"))


def rates_by_origin(db: Database) -> list[list[PriceRow]]:
    """Return the list rates that no correction replaced, by origin, the one chosen first first."""
    origins: dict[str, list[PriceRow]] = {}
    for origin, *row in db.execute(
        f"select origin, {', '.join(COLUMNS)} from prices"
        " where corrected_on is null and rate_class = 'list' order by origin"
    ):
        origins.setdefault(origin, []).append(PriceRow(*row))
    return list(origins.values())


def _insert(db: Database, rows: Iterable[tuple[object, ...]], *, origin: str) -> None:
    names = ", ".join(OWN_COLUMNS)
    marks = ", ".join("?" * len(OWN_COLUMNS))
    db.conn.executemany(
        f"insert or replace into prices ({names}, origin) values ({marks}, '{origin}')",
        rows,
    )


def _ensure_context_bands(db: Database) -> None:
    wanted = {0} | {n for (n,) in db.execute("select distinct min_input_tokens from prices")}
    present = {n for (n,) in db.execute("select min_input_tokens from context_bands")}
    if wanted == present:
        return
    db.execute("delete from context_bands")
    db.conn.executemany("insert into context_bands values (?)", [(n,) for n in sorted(wanted)])
    rebuild_rollups(db)


def list_prices(db: Database, model: str | None = None) -> Iterator[tuple[object, ...]]:
    """Yield the rates as ``OWN_COLUMNS``; for each model, imported rates follow list prices.

    ``rate_class`` is empty for a price that was not imported, so that a copy of it becomes a
    negotiated rate unless it says otherwise. Leaves out such a price if a rate for the same use and
    the same first day was imported. A price of this release ends where the Price List has one, so
    that two never overlap.
    """
    last = "nullif(min(coalesce(effective_to, '9'), synced_from), '9')"
    columns = ", ".join(last if column == "effective_to" else column for column in COLUMNS)
    same_use = " and ".join(f"other.{column} = listed.{column}" for column in COLUMNS[:6])
    synced_from = (
        "select min(other.effective_from) from prices as other where other.origin = 'price_list'"
        f" and other.corrected_on is null and {same_use}"
        " and (other.effective_to is null or other.effective_to > listed.effective_from)"
    )
    imported = (
        "select 1 from prices as other where other.origin = 'import'"
        f" and other.effective_from = listed.effective_from and {same_use}"
    )
    yield from db.execute(
        f"select {columns}, iif(origin = 'import', rate_class, '') from (select listed.*,"
        f" coalesce(iif(origin = 'seed', ({synced_from}), null), '9') as synced_from"
        " from prices as listed where instr(model_id, ?) > 0 and corrected_on is null"
        f" and (origin = 'import' or not exists ({imported})))"
        " where effective_from < synced_from"
        " order by model_id, origin = 'import', scope, region, service_tier, token_kind,"
        " effective_from",
        [model or ""],
    )
