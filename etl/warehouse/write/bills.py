"""Write months of a bill. Each replaces the month that is stored, in the caller's transaction.

A month that is the same as before stays as it is, whichever run wrote it: only the run, and that it
was read, are noted. One that AWS wrote before what is stored, such as an old copy, is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from itertools import groupby

from sqlite_utils import Database

from etl.normalise.bills import (
    FORMS,
    NOT_UNDERSTOOD,
    USAGE,
    BillMonth,
    Meanings,
    columns_that_changed,
)
from etl.normalise.price_list import Key
from etl.warehouse.price_sync import known_book, price_list_tables
from etl.warehouse.turns import transaction
from etl.warehouse.write.attribution import Attributor, stored_rules
from etl.warehouse.write.bill_callers import BillCallers
from etl.warehouse.write.bill_cells import note_closed_days, note_month
from etl.warehouse.write.dimensions import Names

_LINE = (
    *("month_key", "day", "payer_account_id", "caller_key", "charge_kind", "usage_type"),
    *("currency", "model_id", "token_kind", "inference_scope", "service_tier"),
    *("min_input_tokens", "counts", "unit_evidence", "reason"),
    *("lines", "amount", "cost_pico", "net_cost_pico"),
)

# The view bill_reconciliation has the same: 1 % or 1 USD.
DEFAULT_TOLERANCE = (10_000, 10**12)

# What a later version of a month replaces.
_OF_VERSION = (
    *("form", "source", "run", "version", "digest", "columns", "columns_lost", "columns_new"),
    *("read_at", "seen_at", "written_at", "last_day"),
)


@dataclass
class BillsWritten:
    """The result. ``lines``: of the months that changed, as the bill has them.

    ``columns``: for each month whose columns changed, its export and month, what it lost and has.
    ``older``: for each month that is left out, its export and month, when it was written, and what
    is stored.
    """

    months: int = 0
    months_unchanged: int = 0
    lines: int = 0
    lines_not_understood: int = 0
    columns: list[tuple[str, str, list[str], list[str]]] = field(default_factory=list)
    older: list[tuple[str, str, str, str]] = field(default_factory=list)

    def __add__(self, other: BillsWritten) -> BillsWritten:
        return BillsWritten(
            *(getattr(self, part.name) + getattr(other, part.name) for part in fields(self))
        )


def bill_meanings(db: Database, published_at: str) -> Meanings:
    """Return what lines mean, by the prices and profiles that the warehouse knows."""
    rates: dict[tuple[str, Key], set[int]] = defaultdict(set)
    for region, rate, *key in db.execute(
        f"select region, usd_per_mtok, {', '.join(Key._fields)} from prices"
        " where corrected_on is null and rate_class = 'list'"
    ):
        rates[region, Key(*key)].add(rate)
    profiles = dict(
        db.execute(
            "select profile_arn, canonical_model_id from inference_profiles"
            " join models using (model_key)"
        ).fetchall()
    )
    return Meanings(price_list_tables(), known_book(db, published_at), rates, profiles)


def write_bills(db: Database, names: Names, months: Sequence[BillMonth]) -> BillsWritten:
    """Replace months of exports by those that were read."""
    written = BillsWritten()
    if not months:
        return written
    callers = BillCallers(db, names, Attributor(names, stored_rules(db)).keys)
    for month in months:
        _write(db, names, callers, month, written)
    note_closed_days(db)
    if written.months:
        db.conn.execute(
            "delete from bill_callers where caller_key not in (select caller_key from bill_lines)"
        )
    return written


def _write(
    db: Database, names: Names, callers: BillCallers, month: BillMonth, written: BillsWritten
) -> None:
    export_key = _export_key(db, names.forgotten.text(month.export))
    stored = db.conn.execute(
        "select month_key, version, digest, columns, written_at from bill_months"
        " where (export_key, month) = (?, ?)",
        [export_key, month.month],
    ).fetchone()
    digest = _digest(month)
    written_before = str(stored[4] or "") if stored else ""
    is_older = bool(month.written_at and month.written_at < written_before)
    if stored and stored[2] == digest:
        if not is_older:
            db.conn.execute(
                "update bill_months set run = ?, seen_at = ?, written_at = ? where month_key = ?",
                [month.run, month.read_at, month.written_at, stored[0]],
            )
        written.months_unchanged += 1
        return
    if is_older and not month.is_wanted:
        written.older.append((month.export, month.month, str(month.written_at), written_before))
        return
    lost, new = columns_that_changed(json.loads(stored[3]), month.columns) if stored else ([], [])
    if lost or new:
        written.columns.append((month.export, month.month, lost, new))
    version = stored[1] + 1 if stored else 1
    (key,) = db.conn.execute(
        "insert into bill_months (export_key, month, form, source, run, version, digest, columns,"
        " columns_lost, columns_new, read_at, seen_at, written_at, last_day)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        f" on conflict do update set {', '.join(f'{c} = excluded.{c}' for c in _OF_VERSION)}"
        " returning month_key",
        [
            *(export_key, month.month, month.form, names.forgotten.text(month.source)),
            *(month.run, version, digest, json.dumps(month.columns), json.dumps(lost)),
            *(json.dumps(new), month.read_at, month.read_at, month.written_at, _last_day(month)),
        ],
    ).fetchone()
    for table in ("bill_lines", "bill_accounts", "bill_models"):
        db.conn.execute(f"delete from {table} where month_key = ?", [key])
    _insert_lines(db, callers, key, month)
    _note_days(db, key, version, month)
    note_month(db, month.month)
    written.months += 1
    written.lines += sum(sums.lines for sums in month.lines.values())
    written.lines_not_understood += sum(
        sums.lines for key, sums in month.lines.items() if key.charge_kind == NOT_UNDERSTOOD
    )


def apply_tolerance(db: Database, millionths: int, picodollars: int) -> None:
    """Set how far the bill may be off and still agree: a part of it, or an amount."""
    wanted = (millionths, picodollars)
    stored = db.conn.execute("select millionths, picodollars from bill_tolerance").fetchone()
    if stored == wanted or (stored is None and wanted == DEFAULT_TOLERANCE):
        return
    with transaction(db):
        db.conn.execute("delete from bill_tolerance")
        db.conn.execute("insert into bill_tolerance values (?, ?)", wanted)


def _export_key(db: Database, export: str) -> int:
    db.conn.execute("insert or ignore into bill_exports (export) values (?)", [export])
    (key,) = db.conn.execute(
        "select export_key from bill_exports where export = ?", [export]
    ).fetchone()
    return int(key)


def _last_day(month: BillMonth) -> str | None:
    return max((key.day for key in month.lines if key.charge_kind == USAGE), default=None)


def _digest(month: BillMonth) -> str:
    return _digest_of([month.form, month.columns, sorted(month.lines.items(), key=repr)])


def _digest_of(content: object) -> str:
    return hashlib.sha256(repr(content).encode("utf-8", "surrogatepass")).hexdigest()


def _note_days(db: Database, month_key: int, version: int, month: BillMonth) -> None:
    """Store which days the month has, and note those that changed; the others stay as they are."""
    lines = sorted(month.lines.items(), key=repr)
    found = {
        day: _digest_of(list(some)) for day, some in groupby(lines, key=lambda one: one[0].day)
    }
    known = dict(
        db.conn.execute("select day, digest from bill_days where month_key = ?", [month_key])
    )
    changed = [(month_key, day) for day in known if known[day] != found.get(day)]
    for table in ("figures_before_bill", "bill_days"):
        db.conn.executemany(f"delete from {table} where (month_key, day) = (?, ?)", changed)
    db.conn.executemany(
        "insert into bill_days (month_key, day, version, digest, is_kept) values (?, ?, ?, ?, 0)",
        [
            (month_key, day, version, digest)
            for day, digest in found.items()
            if digest != known.get(day)
        ],
    )


def _insert_lines(db: Database, callers: BillCallers, month_key: int, month: BillMonth) -> None:
    db.conn.executemany(
        f"insert into bill_lines ({', '.join(_LINE)}) values ({', '.join('?' * len(_LINE))})",
        (
            (month_key, key.day, key.payer, callers.key(key.caller), *key[3:], *sums)
            for key, sums in month.lines.items()
        ),
    )
    models = {key.model_id for key in month.lines if key.model_id is not None}
    db.conn.executemany(
        "insert into bill_models values (?, ?)", [(month_key, model) for model in sorted(models)]
    )
    # An export that names callers is preferred to one that does not.
    names_callers, others = set[tuple[str, str]](), set[tuple[str, str]]()
    accounts = {(key.payer, key.caller.account_id) for key in month.lines}
    for key in month.lines:
        account = key.payer, key.caller.account_id
        if key.caller.principal:
            names_callers.add(account)
        if key.currency != "USD":
            others.add(account)
    db.conn.executemany(
        "insert into bill_accounts (month_key, payer_account_id, account_id, rank, is_in_usd)"
        " values (?, ?, ?, ?, ?)",
        [
            (
                *(month_key, *account),
                FORMS.index(month.form) + 10 * (account not in names_callers),
                account not in others,
            )
            for account in sorted(accounts)
        ],
    )
