"""The Bedrock calls of log files as flat JSON lines, for sqlite-utils to insert.

The columns are those of ``read_json.py``. Every contender's result is checked against the count
made here, because this reads the files in the simplest way.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson


class Calls(NamedTuple):
    """What a contender found: Bedrock calls, and the sum of their input tokens."""

    calls: int
    input_tokens: int


def write_flat(folder: Path, file: Path) -> Calls:
    """Write the calls under the folder as JSON lines; return the expected result."""
    calls = input_tokens = 0
    with file.open("wb") as lines:
        for record in bedrock_records(folder):
            row = _flatten(record)
            lines.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            calls += 1
            input_tokens += row["input_tokens"] or 0
    return Calls(calls, input_tokens)


def bedrock_records(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the events of Bedrock as CloudTrail wrote them."""
    for path in folder.rglob("*.json.gz"):
        for record in orjson.loads(gzip.decompress(path.read_bytes()))["Records"]:
            if is_bedrock(record):
                yield record


def is_bedrock(record: Mapping[str, Any]) -> bool:
    """Return whether the event is Bedrock's; in the workload all of these are calls."""
    return bool(record["eventSource"] == "bedrock.amazonaws.com")


def input_tokens_of(record: Mapping[str, Any]) -> int | None:
    """Return the input tokens that the event states."""
    tokens: int | None = (record.get("additionalEventData") or {}).get("inputTokens")
    return tokens


def _flatten(record: Mapping[str, Any]) -> dict[str, Any]:
    identity = record["userIdentity"]
    extra = record.get("additionalEventData") or {}
    return {
        "event_time": record["eventTime"],
        "event_id": record["eventID"],
        "request_id": record["requestID"],
        "shared_event_id": record.get("sharedEventID"),
        "account_id": record["recipientAccountId"],
        "region": record["awsRegion"],
        "event_source": record["eventSource"],
        "event_name": record["eventName"],
        "model_id": record["requestParameters"]["modelId"],
        "principal_arn": identity["arn"],
        "principal_type": identity["type"],
        "session_name": identity["arn"].rpartition("/")[2],
        "user_name": identity["sessionContext"]["sessionIssuer"]["userName"],
        "user_agent": record["userAgent"],
        "error_code": record.get("errorCode"),
        "inference_region": extra.get("inferenceRegion"),
        "input_tokens": input_tokens_of(record),
        "output_tokens": extra.get("outputTokens"),
    }
