"""The queries of ``inspect`` on a warehouse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.normalise.packed import stored_id
from etl.warehouse.read.reports import run_report


class Located(NamedTuple):
    """A call by its key, and where it was made."""

    event_time: str
    event_id: str
    account_id: str
    region: str


def locate_call(db: Database, name: str) -> Located | None:
    """Return the call with this event id, else the newest with this request id, else None.

    The id of a correction leads to the call that it corrected. This scans all calls: an index of
    ids would be the largest part of the database.
    """
    for table, column, value in (
        ("events", "event_id", stored_id(name)),
        ("corrections", "correction_id", name),
        ("events", "request_id", stored_id(name)),
    ):
        keys = db.conn.execute(
            f"select event_time, event_id from {table} where {column} = ?"
            " order by event_time desc limit 1",
            [value],
        ).fetchone()
        if keys:
            rows = run_report(db, "inspect_located", {"event_time": keys[0], "event_key": keys[1]})
            return Located(**rows[0])
    return None


def latest_calls(db: Database, number: int) -> list[Located]:
    """Return the newest calls, the newest first."""
    return [Located(**row) for row in run_report(db, "inspect_latest", {"number": number})]


def read_call(db: Database, event_time: str, event_id: str) -> dict[str, Any] | None:
    """Return a call's row of the view ``calls``; None if there is none."""
    key = {"event_time": event_time, "event_id": event_id}
    return next(iter(run_report(db, "inspect_call", key)), None)


def read_corrections(db: Database, event_time: str, event_id: str) -> list[tuple[str, str]]:
    """Return the time and the event id of each correction of a call, the latest first."""
    return db.conn.execute(
        "select correction_time, correction_id from corrections"
        " where event_id = ?2 and event_time = ?1 order by 1 desc, 2 desc",
        [event_time, stored_id(event_id)],
    ).fetchall()


def read_call_prices(db: Database, event_time: str, event_id: str) -> list[dict[str, Any]]:
    """Return the price of each kind of token that a call used; ``price_id`` None if unpriced."""
    return run_report(db, "inspect_prices", {"event_time": event_time, "event_id": event_id})


def read_estimates(db: Database, event_time: str, event_id: str) -> list[dict[str, Any]]:
    """Return how each kind of token was estimated that a call lacks and CloudWatch counts."""
    return run_report(
        db, "inspect_estimate", {"event_time": event_time, "event_id": stored_id(event_id)}
    )


def near_price(db: Database, row: Mapping[str, Any], token_kind: str) -> dict[str, Any] | None:
    """Return the price that a kind of token without one nearly matched; None if there is none.

    ``row``: the call's row of the view ``calls``.
    """
    key = {"event_time": row["event_time"], "event_key": stored_id(row["event_id"])}
    key["token_kind"] = token_kind
    return next(iter(run_report(db, "inspect_near_price", key)), None)


def read_input_forms(db: Database, event_time: str, event_id: str) -> list[dict[str, Any]]:
    """Return the row of ``input_forms`` for each source of a call's input and cached tokens."""
    key = {"event_time": event_time, "event_key": stored_id(event_id)}
    return run_report(db, "inspect_input_form", key)


def ids_with_prices(db: Database, raw_model_id: str) -> list[str]:
    """Return the ids under which a model's price is looked up, in that order."""
    rows = db.conn.execute(
        "select distinct price_model_id from int_models"
        " join model_price_ids on model_price_ids.model_key = int_models.price_model_key"
        " where int_models.model_id = ? order by match_rank",
        [raw_model_id],
    )
    return [model_id for (model_id,) in rows]


def profile_arn_of(db: Database, raw_model_id: str) -> str | None:
    """Return the ARN of the application inference profile named by a model id, None if unknown."""
    row = db.conn.execute(
        "select profile_arn from models join inference_profiles on profile_id = model_tail"
        " where model_id = ? and inference_profiles.application is not null"
        " order by profile_arn",
        [raw_model_id],
    ).fetchone()
    return row[0] if row else None


def trial_kinds(db: Database) -> Iterator[dict[str, Any]]:
    """Yield each call of a trial in the form of ``call_kinds``, with its ``event_id``.

    The calls must have tokens of every kind that can have a price; ``calls`` is 1.
    """
    yield from db.query(
        "select event_id, event_name, raw_model_id, model_id, inference_scope, region,"
        " service_tier, principal_arn, principal_type, raw_user_name,"
        " nullif(user_name, raw_user_name) as alias, user_agent, application,"
        " error_code is not null as is_failed,"
        " coalesce(input_price_id, output_price_id, image_price_id, search_unit_price_id,"
        " video_second_price_id)"
        " is not null as is_priced,"
        " event_time as last_seen, 1 as calls, 0 as calls_with_tokens from calls"
    )


def call_kinds(db: Database) -> Iterator[dict[str, Any]]:
    """Yield the kinds of calls in a warehouse; see ``sql/reports/survey_calls.sql``."""
    yield from run_report(db, "survey_calls", {})


def rollup_in(db: Database) -> str | None:
    """Return where the rollup is of which the warehouse has days; None without."""
    row = db.execute("select uri from rolled_up_days order by day desc limit 1").fetchone()
    return row[0] if row else None
