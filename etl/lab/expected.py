"""The most that planned calls will cost, by the warehouse's own prices.

The planned calls are loaded as events into a trial warehouse with the prices and profiles of the
real one, and read from the view ``calls``. So the rules that estimate their price are the ones that
will price the real calls. If any kind of token lacks a price, the cost is None: there is no upper
limit then.

The tokens are an upper estimate: one per three bytes of the prompt (one per Chinese character), and
the maximum for the answer.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.lab.scenarios import Scenario
from etl.lab.traffic import PlannedCall
from etl.load.run import load_files
from etl.times import utc_text
from etl.warehouse.database import open_unchanged, refuse_foreign
from etl.warehouse.paths import is_there
from etl.warehouse.read.reports import run_report
from etl.warehouse.scratch import open_trial

_FRAME_TOKENS = 12
_BYTES_A_TOKEN = 3


class Expected(NamedTuple):
    """A scenario's share of the plan; ``cost_usd`` None where there is no price."""

    scenario: Scenario
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None


def expected(calls: Sequence[PlannedCall], now: datetime, warehouse: Path | None) -> list[Expected]:
    """Return the most that each scenario will use, at the prices of a warehouse if there is one.

    Raises WarehouseError for a file that is not a warehouse.
    """
    costs = _costs(calls, now, warehouse)
    return [
        _sum(scenario, [call for call in calls if call.scenario is scenario], costs)
        for scenario in dict.fromkeys(call.scenario for call in calls)
    ]


def total(parts: Iterable[Expected]) -> tuple[Decimal, int]:
    """Return the sum of the known costs, and the number of calls without one."""
    known = list(parts)
    cost = sum((part.cost_usd for part in known if part.cost_usd is not None), Decimal(0))
    return cost, sum(part.calls for part in known if part.cost_usd is None)


def at_most(cost_usd: Decimal) -> str:
    """Return US dollars to six places, rounded up."""
    return f"${cost_usd.quantize(Decimal('0.000001'), ROUND_UP)}"


def _sum(scenario: Scenario, calls: list[PlannedCall], costs: dict[str, int | None]) -> Expected:
    each = [costs.get(_id(call)) for call in calls]
    known = [cost for cost in each if cost is not None]
    cost = Decimal(sum(known)) / 10**12 if len(known) == len(calls) else None
    tokens = [_tokens(call) for call in calls]
    return Expected(
        scenario, len(calls), sum(i for i, _ in tokens), sum(o for _, o in tokens), cost
    )


def _costs(
    calls: Sequence[PlannedCall], now: datetime, warehouse: Path | None
) -> dict[str, int | None]:
    """Return each call's cost in pico-dollars by request id; None if it is only a lower bound."""
    moment = utc_text(now)
    parameters = {
        "first": moment,
        "last": moment,
        "request_ids": json.dumps([_id(call) for call in calls]),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        _opened(warehouse) as real,
        open_trial(real) as trial,
    ):
        log = Path(folder) / "planned.json"
        log.write_text(json.dumps({"Records": [_event(call, now) for call in calls]}))
        load_files(trial, [log])
        found = run_report(trial, "calls_by_request", parameters)
    return {
        row["request_id"]: None if row["unpriced_tokens"] else row["cost_picodollars"]
        for row in found
    }


@contextmanager
def _opened(path: Path | None) -> Iterator[Database | None]:
    """Open a warehouse for reading, if there is one."""
    if path is None or not is_there(path):
        yield None
        return
    with open_unchanged(path) as db:
        refuse_foreign(db, path)
        yield db


def _event(call: PlannedCall, now: datetime) -> dict[str, Any]:
    scenario = call.scenario
    input_tokens, output_tokens = _tokens(call)
    return {
        "eventTime": utc_text(now),
        "eventID": _id(call),
        "requestID": _id(call),
        "eventSource": "bedrock.amazonaws.com",
        "eventName": scenario.operation,
        "eventType": "AwsApiCall",
        "eventCategory": "Management",
        "awsRegion": scenario.region,
        "recipientAccountId": "000000000000",
        "userIdentity": {"type": "Root", "accountId": "000000000000"},
        "requestParameters": {"modelId": scenario.model},
        "additionalEventData": {"inputTokens": input_tokens, "outputTokens": output_tokens},
    }


def _id(call: PlannedCall) -> str:
    return f"planned-{call.number}"


def _tokens(call: PlannedCall) -> tuple[int, int]:
    asked = -(-len(call.prompt.encode()) // _BYTES_A_TOKEN) + _FRAME_TOKENS
    return asked, call.scenario.max_tokens
