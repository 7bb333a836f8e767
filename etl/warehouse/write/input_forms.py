"""Keep the calls counted by what is known of their input: whether cached tokens are part of it.

What each family's input contains is in ``sql/seeds/input_forms.csv``, loaded whenever the file
changes. ``model_input_forms`` has what it means for each model, as the rollups were computed. A
changed file, or a profile that turns out to stand for another model, changes it: then the calls of
the models concerned are counted again, all others stay as they are.

Calls that were dropped stay counted as they were.
"""

from __future__ import annotations

import csv
import hashlib

from sqlite_utils import Database

from etl import resources
from etl.warehouse.long_work import long_work
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.emptied import empty_temp_table
from etl.warehouse.write.rollup import (
    COUNTED_FROM,
    add_calls,
    hours_of_models,
    renew,
    subtract_calls,
)

_SEED = "input_forms.csv"
_COLUMNS = ("family", "token_source", "form", "source", "checked_on")


def ensure_input_forms(db: Database) -> None:
    """Load the bundled table of input forms, unless the warehouse already has it."""
    content = (resources.SQL / "seeds" / _SEED).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    stored = next(iter(db.execute("select sha256 from seeds where seed = ?", [_SEED])), None)
    if stored == (digest,):
        return
    rows = [
        [row[column] for column in _COLUMNS]
        for row in csv.DictReader(content.decode("utf-8").splitlines())
    ]
    with long_work(db, "counting input again", can_stop=True), db.atomic():
        db.execute("delete from input_forms")
        db.conn.executemany(
            f"insert into input_forms ({', '.join(_COLUMNS)}) values (?, ?, ?, ?, ?)", rows
        )
        db.execute("insert or replace into seeds values (?, ?)", [_SEED, digest])
        renew(db, Names(db), renew_input_forms(db))


def renew_input_forms(db: Database) -> set[str]:
    """Count the calls of models whose forms changed again, in the caller's transaction.

    Returns the hours (``YYYY-MM-DDTHH``) whose estimates and costs must be renewed.
    """
    # After a migration the table is loaded last: until then, no form has changed.
    if db.execute("select 1 from input_forms limit 1").fetchone() is None:
        return set()
    empty_temp_table(db, "changed_forms", "model_key integer primary key")
    db.execute(
        "insert into changed_forms"
        " select model_key from (select * from int_model_input_forms"
        " except select * from model_input_forms)"
        " union select model_key from (select * from model_input_forms"
        " except select * from int_model_input_forms)"
    )
    if db.execute("select 1 from changed_forms limit 1").fetchone() is None:
        return set()
    changed = "select model_key from changed_forms"
    hours = hours_of_models(db, changed)
    _find_calls(db)
    subtract_calls(db, "recounted_calls")
    db.execute(f"delete from model_input_forms where model_key in ({changed})")
    db.execute(
        "insert into model_input_forms"
        f" select * from int_model_input_forms where model_key in ({changed})"
    )
    add_calls(db, "recounted_calls")
    return hours


def _find_calls(db: Database) -> None:
    """Create the temporary table ``recounted_calls``; events have no index by model."""
    columns = "event_time text, event_id blob, primary key (event_time, event_id)"
    empty_temp_table(db, "recounted_calls", columns, "without rowid")
    db.execute(
        "insert into recounted_calls"
        " with used as materialized (select distinct substr(hour, 1, 13) as hour"
        " from usage_hourly join rate_keys using (rate_key)"
        " where model_key in (select model_key from changed_forms))"
        " select events.event_time, events.event_id from used"
        " cross join events on events.event_time between used.hour and used.hour || ':99'"
        " where events.model_key in (select model_key from changed_forms)"
        f" and events.event_time >= {COUNTED_FROM}"
    )
