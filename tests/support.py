"""Raw events and warehouses for the tests. Ids are made from a number, so tests can name them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from etl.load.run import LoadResult, load_files
from etl.warehouse.database import open_warehouse
from etl.warehouse.demo import mark_demo
from etl.warehouse.price_file import parse_prices
from etl.warehouse.prices import store_overrides
from etl.warehouse.read.reports import Filters, movers

ACCOUNT = "111122223333"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
HOUR = "2026-11-02T10:00:00Z"


def uuid_of(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-{number:012x}"


def role_identity(
    role: str, session: str = "i-0123456789abcdef0", **context: Any
) -> dict[str, Any]:
    return {
        "type": "AssumedRole",
        "principalId": f"AROAEXAMPLE:{session}",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}",
        "accountId": ACCOUNT,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "arn": f"arn:aws:iam::{ACCOUNT}:role/service/{role}",
                "accountId": ACCOUNT,
                "userName": role,
            },
            **context,
        },
    }


def user_identity(name: str) -> dict[str, Any]:
    return {
        "type": "IAMUser",
        "arn": f"arn:aws:iam::{ACCOUNT}:user/{name}",
        "accountId": ACCOUNT,
        "userName": name,
    }


def call(
    number: int = 1, *, user: str = "alice", tokens: tuple[int, int] | None = None, **fields: Any
) -> dict[str, Any]:
    """Return a raw call; ``fields`` replace or add top-level ones, None removes one."""
    record: dict[str, Any] = {
        "eventVersion": "1.11",
        "userIdentity": user_identity(user),
        "eventTime": "2026-11-02T10:15:00Z",
        "eventSource": "bedrock.amazonaws.com",
        "eventName": "InvokeModel",
        "awsRegion": "us-east-1",
        "userAgent": "Boto3/1.42.97 md/Botocore#1.42.97 ua/2.1 os/linux#6.1 lang/python#3.12.1",
        "requestParameters": {"modelId": HAIKU},
        "responseElements": None,
        "requestID": uuid_of(1_000_000 + number),
        "eventID": uuid_of(number),
        "eventType": "AwsApiCall",
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }
    if tokens is not None:
        record["additionalEventData"] = {"inputTokens": tokens[0], "outputTokens": tokens[1]}
    record |= fields
    return {key: value for key, value in record.items() if value is not None}


def service_event(number: int, parent: int, entries: Any, **fields: Any) -> dict[str, Any]:
    """Return the service event that carries the tokens of the call ``parent``."""
    return call(
        number,
        eventType="AwsServiceEvent",
        requestParameters=None,
        requestID=None,
        serviceEventDetails={
            "parentRequestId": uuid_of(1_000_000 + parent),
            "AdditionalEventData": {"additionalEntries": entries},
        },
        **fields,
    )


def logged(
    number: int = 1,
    *,
    user: str = "alice",
    tokens: tuple[int, int] | None = (100, 10),
    cache: tuple[int, int] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Return the invocation log's record of the call ``number``; ``fields`` as in ``call``."""
    request: dict[str, Any] = {"inputContentType": "application/json"}
    response: dict[str, Any] = {"outputContentType": "application/json"}
    if tokens is not None:
        request["inputTokenCount"], response["outputTokenCount"] = tokens
    if cache is not None:
        request["cacheReadInputTokenCount"], request["cacheWriteInputTokenCount"] = cache
    record: dict[str, Any] = {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": "2026-11-02T10:14:58Z",
        "accountId": ACCOUNT,
        "identity": {"arn": f"arn:aws:iam::{ACCOUNT}:user/{user}"},
        "region": "us-east-1",
        "requestId": uuid_of(1_000_000 + number),
        "operation": "InvokeModel",
        "modelId": HAIKU,
        "input": request,
        "output": response,
    }
    record |= fields
    return {key: value for key, value in record.items() if value is not None}


def write_invocation_log(path: Path, records: Iterable[object]) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def write_log(path: Path, records: Iterable[object]) -> Path:
    path.write_text(json.dumps({"Records": list(records)}))
    return path


def write_metrics(path: Path, rows: Iterable[tuple[Any, ...]]) -> Path:
    """Write a CSV of CloudWatch totals; a row is model, metric, value and optionally the period."""
    lines = ["account_id,region,model_id,period_start,period_seconds,metric,value"]
    for model, metric, value, *rest in rows:
        start, seconds = rest or (HOUR, 3600)
        lines.append(f"{ACCOUNT},us-east-1,{model},{start},{seconds},{metric},{value}")
    path.write_text("\n".join(lines) + "\n")
    return path


def load(db: Database, *paths: Path, reread: bool = True, **options: Any) -> LoadResult:
    """Load files, including those read before: tests check their content."""
    return load_files(db, paths, reread=reread, **options)


def marked_demo(path: Path, day: str = "2026-11-02") -> Path:
    """Make an empty warehouse that says that it holds the demo: what is refused asks no more."""
    with open_warehouse(path, create=True) as db:
        mark_demo(db, day)
    return path


def import_any_price(db: Database, file: Path) -> int:
    """Import unrealistic rates: tests check how they are chosen."""
    rates = list(parse_prices(file.read_text()))
    store_overrides(db, rates)
    return len(rates)


def rows(db: Database, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
    return db.conn.execute(sql, parameters).fetchall()


# Tables that differ between two warehouses with the same content: applied_at is clock time.
_NOT_CONTENT = ("_sqlite_migrations", "sqlite_sequence")

# Commands renew these after a load; ``load`` here does not.
RENEWED = (
    *("forecasts", "unwatched_days", "agents", "first_uses"),
    *("failed_hours", "failed_days", "cost_hours"),
)


def dump(path: Path, *, without: Iterable[str] = RENEWED) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, sorted: what "the same database" means."""
    connection = sqlite3.connect(path)
    try:
        tables = [
            n for (n,) in connection.execute("select name from sqlite_master where type = 'table'")
        ]
        return {
            table: sorted(connection.execute(f"select * from {table}").fetchall(), key=repr)
            for table in tables
            if table not in {*_NOT_CONTENT, *without}
        }
    finally:
        connection.close()


def query(database: Path, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
    """Return the rows of a statement; the file is not opened as a warehouse, which takes longer."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


# Views that depend on how AWS was read, not only on what: also which days are over.
OF_THE_READING = ("forecast_month", "sync_status")


def answer_of(db: Database, mart: str) -> list[tuple[Any, ...]]:
    """Return the rows of a mart, in order, as they follow from what was read alone.

    The view movers compares the last days that are over. Here it is the last week with usage.
    """
    if mart == "movers":
        ((last,),) = rows(db, "select coalesce(max(day), '2026-01-01') from usage_daily")
        since = date.fromisoformat(last) - timedelta(days=6)
        period = Filters(since=since.isoformat(), until=last)
        return sorted((tuple(row.values()) for row in movers(db, period)), key=repr)
    return sorted(rows(db, f"select * from {mart}"), key=repr)
