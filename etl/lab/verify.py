"""Compare the warehouse with the ledger, call by call.

Each call that was answered must be in the warehouse once, with its user, application, model,
operation, tokens and cost. Only what the call itself reported is compared; estimates do not count.

**What is not a difference.** A stream's tokens are in CloudTrail only if AWS sends their service
event, and it does not always. A stream without tokens is reported, but is a difference only with
``streams_need_tokens``. Any other call must have them. Cache tokens are not in CloudTrail at all:
if the ledger has some and the warehouse does not, that is a difference, because the cost is then
too low. A call that AWS refused must not be among the successful ones, and need not be there. A
call with an unknown outcome is only reported as such.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.lab.proof import DIFFERS, MATCHES, NOT_FOUND, REFUSED, UNKNOWN, ComparedCall, Difference
from etl.lab.rates import Place, cost_picodollars, is_priceable
from etl.lab.sent_calls import CACHED, KINDS, Entry
from etl.normalise.discounts import Discount
from etl.show.numbers import Row
from etl.times import utc_text
from etl.warehouse.prices import rates
from etl.warehouse.read.reports import run_report
from etl.warehouse.write.discounts import stored_discounts

# A call's event carries the time of its end; clocks differ by less than this.
_MARGIN = timedelta(hours=2)


class _Book(NamedTuple):
    """What prices a call."""

    rates: Sequence[Row]
    discounts: Sequence[Discount]


def check_run(
    db: Database, entries: Sequence[Entry], *, streams_need_tokens: bool = False
) -> list[ComparedCall]:
    """Compare the attempts of a run with the warehouse."""
    found: dict[str, list[Row]] = {}
    for row in _find(db, entries):
        found.setdefault(row["request_id"], []).append(row)
    book = _Book(rates(db), stored_discounts(db))
    return [
        _check(entry, found.get(entry.request_id or "", []), book, streams_need_tokens)
        for entry in entries
    ]


def _find(db: Database, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    times = [datetime.fromisoformat(entry.time) for entry in entries]
    requests = [entry.request_id for entry in entries if entry.request_id]
    return run_report(
        db,
        "calls_by_request",
        {
            "first": utc_text(min(times) - _MARGIN),
            "last": utc_text(max(times) + _MARGIN),
            "request_ids": json.dumps(requests),
        },
    )


def _check(
    entry: Entry, rows: Sequence[Row], book: _Book, streams_need_tokens: bool
) -> ComparedCall:
    if entry.status in ("sent", "unknown"):
        why = "there was no clear answer: AWS may or may not have made the call"
        return ComparedCall(entry, UNKNOWN, notes=(why,))
    if entry.status in ("failed", "throttled"):
        return _check_refused(entry, rows)
    if not rows:
        return ComparedCall(entry, NOT_FOUND)
    row = rows[0]
    differences = list(_compare_names(entry, row))
    if len(rows) > 1:
        differences.append(Difference("calls", 1, len(rows)))
    if entry.usage is None:
        notes = ["the answer was cut off: its tokens are unknown"]
        return _result(entry, differences, notes)
    missing = _missing(entry.usage, row)
    usage = _as_counted(entry.usage, row)
    differences += _compare_tokens(usage, row)
    if missing:
        if not entry.is_stream or streams_need_tokens:
            differences += [Difference(kind, entry.usage[kind], None) for kind in missing]
        notes = [f"no {', '.join(missing)} in CloudTrail: {_remedy(entry)}"]
        return _result(entry, differences, notes, lacks_tokens=True)
    return _compare_cost(entry, usage, row, book, differences)


def _check_refused(entry: Entry, rows: Sequence[Row]) -> ComparedCall:
    counted = [row for row in rows if row["error_code"] is None]
    differences = tuple(Difference("error_code", entry.error_code, None) for _ in counted)
    return ComparedCall(entry, DIFFERS if differences else REFUSED, differences)


def _compare_names(entry: Entry, row: Row) -> Iterable[Difference]:
    wanted = {
        "account_id": entry.account_id,
        "region": entry.region,
        "event_name": entry.operation,
        "raw_model_id": entry.model_id,
        "raw_user_name": entry.user_name,
        "application": entry.application,
        "error_code": None,
    }
    for field, expected in wanted.items():
        if row[field] != expected:
            found = row[field]
            # The user's own rule may have given it another application: worth showing.
            by = f" (by {row['application_source']})" if field == "application" else ""
            yield Difference(field, expected, f"{found}{by}")


def _missing(usage: dict[str, int], row: Row) -> list[str]:
    """Return the kinds that the warehouse does not know; cache kinds only if they were used."""
    always = ("input_tokens", "output_tokens")
    return [k for k in KINDS if row[k] is None and (usage.get(k, 0) or k in always)]


def _as_counted(usage: dict[str, int], row: Row) -> dict[str, int]:
    """Return what the warehouse should count, given what is known of the input's form.

    Where a model's input may contain its cached tokens, the answer and the report may differ by
    these; ``etl.lab.forms`` says what that shows.
    """
    said, cached = usage.get("input_tokens", 0), sum(usage.get(kind, 0) for kind in CACHED)
    reported, form = row["reported_input_tokens"], row["input_form"]
    if form in (None, "net") or reported not in (said, said - cached, said + cached):
        return usage
    is_within = form == "gross" and cached <= reported
    return usage | {"input_tokens": reported - cached if is_within else reported}


def _compare_tokens(usage: dict[str, int], row: Row) -> list[Difference]:
    return [
        Difference(kind, usage.get(kind, 0), row[kind])
        for kind in KINDS
        if row[kind] is not None and row[kind] != usage.get(kind, 0)
    ]


def _remedy(entry: Entry) -> str:
    if entry.is_stream:
        return (
            "AWS does not always report a stream's tokens; invocation logs have them"
            " (docs/troubleshooting.md#no-tokens)"
        )
    return "invocation logs have them (docs/troubleshooting.md#no-tokens)"


def _compare_cost(
    entry: Entry,
    usage: dict[str, int],
    row: Row,
    book: _Book,
    differences: list[Difference],
) -> ComparedCall:
    if not is_priceable(entry.model_id):
        notes = ["the cost is not compared: the id does not name the model behind the profile"]
        return _result(entry, differences, notes)
    place = Place(entry.model_id, entry.region, entry.account_id, str(row["event_time"])[:10])
    cost = cost_picodollars(book.rates, place, usage, book.discounts)
    if cost != row["cost_picodollars"]:
        differences.append(Difference("cost_picodollars", cost, row["cost_picodollars"]))
    return _result(entry, differences, [] if cost is not None else ["the model has no price"])


def _result(
    entry: Entry,
    differences: Sequence[Difference],
    notes: Sequence[str] = (),
    *,
    lacks_tokens: bool = False,
) -> ComparedCall:
    status = DIFFERS if differences else MATCHES
    return ComparedCall(entry, status, tuple(differences), tuple(notes), lacks_tokens)
