"""The price table: list prices from the bundled seed, and a user's own rates over them.

List prices are replaced as a whole when the seed changes; overrides stay. With the prices, the
days that they concern are priced again; where one moves a context threshold, the rollups are made
anew.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path

from sqlite_utils import Database

from etl import resources
from etl.errors import DataError
from etl.warehouse.costs import renew_costs
from etl.warehouse.long_work import long_work
from etl.warehouse.rollup import rebuild_rollups

COLUMNS = (
    "model_id", "region", "scope", "service_tier", "token_kind", "min_input_tokens",
    "usd_per_mtok", "effective_from", "effective_to", "source", "checked_on",
)  # fmt: skip

# No rate is above $1,000 a thousand tokens; more is a unit mistaken for another.
MAX_RATE = 10**12

_SEED = "list_prices.csv"


def ensure_list_prices(db: Database) -> None:
    """Load the bundled list prices if they are not the ones the warehouse has.

    Prices also the days that a migration has left without.
    """
    content = (resources.SQL / "seeds" / _SEED).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    stored = next(iter(db.execute("select sha256 from seeds where seed = ?", [_SEED])), None)
    is_priced = db.execute("select 1 from stale_rate_keys limit 1").fetchone() is None
    if stored == (digest,) and is_priced:
        return
    with long_work(db, "putting the list prices in force", can_stop=True), db.atomic():
        db.execute("delete from prices where is_override = 0")
        _insert(db, parse_prices(content.decode("utf-8"), _SEED), is_override=0)
        db.execute("insert or replace into seeds values (?, ?)", [_SEED, digest])
        _ensure_context_bands(db)
        renew_costs(db)


def import_prices(db: Database, file: Path) -> int:
    """Add a user's own rates from a CSV of the seed's form; return how many.

    A rate with the same key replaces the one imported before. Raises DataError, and changes
    nothing, if any row is wrong.
    """
    rows = list(parse_prices(file.read_text(encoding="utf-8-sig"), file.name))
    with db.atomic():
        _insert(db, rows, is_override=1)
        _ensure_context_bands(db)
        renew_costs(db)
    return len(rows)


def rates(db: Database) -> list[dict[str, object]]:
    """Return every row of the price table, with ``is_override``."""
    return list(db.query(f"select {', '.join(COLUMNS)}, is_override from prices"))


def _insert(db: Database, rows: Iterable[tuple[object, ...]], *, is_override: int) -> None:
    names = ", ".join(COLUMNS)
    marks = ", ".join("?" * len(COLUMNS))
    db.conn.executemany(
        f"insert or replace into prices ({names}, is_override) values ({marks}, {is_override})",
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


def parse_prices(text: str, name: str) -> Iterator[tuple[object, ...]]:
    """Read price rows in the order of ``COLUMNS``; raise DataError with the line of a wrong one."""
    reader = csv.DictReader(io.StringIO(text))
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise DataError(
            f"{name}: no column {', '.join(missing)}; the README (Prices) shows the form"
        )
    for row in reader:
        try:
            yield _price_row(row)
        except (ValueError, TypeError) as error:
            raise DataError(f"{name}, line {reader.line_num}: {error}") from None


def _price_row(row: Mapping[str, str]) -> tuple[object, ...]:
    value = {column: (row[column] or "").strip() for column in COLUMNS}
    if value["scope"] not in ("regional", "global"):
        raise ValueError(f"scope must be regional or global, not {value['scope']!r}")
    for column in ("model_id", "region", "service_tier", "token_kind", "source"):
        if not value[column]:
            raise ValueError(f"no {column}")
    for column in ("effective_from", "checked_on"):
        date.fromisoformat(value[column])
    if value["effective_to"] and date.fromisoformat(value["effective_to"]) <= date.fromisoformat(
        value["effective_from"]
    ):
        raise ValueError("effective_to must be after effective_from")
    return tuple(
        _whole(column, value[column], MAX_RATE)
        if column in ("min_input_tokens", "usd_per_mtok")
        else value[column] or None
        for column in COLUMNS
    )


def _whole(column: str, text: str, largest: int) -> int:
    if not text.isdecimal() or int(text) > largest:
        unit = " of micro-dollars per million tokens" if column == "usd_per_mtok" else ""
        raise ValueError(f"{column} must be a whole number{unit}, at most {largest}, not {text!r}")
    return int(text)


def list_prices(db: Database, model: str | None = None) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the price table in the order of ``COLUMNS``, overrides last."""
    yield from db.execute(
        f"select {', '.join(COLUMNS)} from prices where instr(model_id, ?) > 0"
        " order by model_id, is_override, scope, region, service_tier, token_kind, effective_from",
        [model or ""],
    )
