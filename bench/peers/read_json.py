"""The usual way with DuckDB: one statement from the log files to a table of Bedrock calls.

python read_json.py FOLDER DATABASE [--columns-only]

The columns are given, so nothing is sniffed, and ``records = true`` says that they are the keys of
the document. With ``columns`` alone, DuckDB takes ten times as long (``--columns-only``, measured
too because it is the obvious first attempt). These were tried too, and are not faster:
``read_json_objects`` with ``json_transform``, filtering the JSON before it is cast, and
``list_filter`` before ``unnest``. Threads, memory and ``maximum_object_size`` (16 MiB, five times a
file) are DuckDB's defaults. The table has no key, so it would accept an event twice.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

_RECORDS = """
    struct(
        eventTime timestamp, eventID varchar, requestID varchar, sharedEventID varchar,
        recipientAccountId varchar, awsRegion varchar, eventSource varchar, eventName varchar,
        requestParameters struct(modelId varchar),
        userIdentity struct(
            type varchar, arn varchar,
            sessionContext struct(sessionIssuer struct(userName varchar))
        ),
        userAgent varchar, errorCode varchar,
        additionalEventData struct(
            inferenceRegion varchar, inputTokens bigint, outputTokens bigint
        )
    )[]
"""

_SQL = """
    create table events as
    select
        event.eventTime as event_time,
        event.eventID as event_id,
        event.requestID as request_id,
        event.sharedEventID as shared_event_id,
        event.recipientAccountId as account_id,
        event.awsRegion as region,
        event.eventSource as event_source,
        event.eventName as event_name,
        event.requestParameters.modelId as model_id,
        event.userIdentity.arn as principal_arn,
        event.userIdentity.type as principal_type,
        split_part(event.userIdentity.arn, '/', -1) as session_name,
        event.userIdentity.sessionContext.sessionIssuer.userName as user_name,
        event.userAgent as user_agent,
        event.errorCode as error_code,
        event.additionalEventData.inferenceRegion as inference_region,
        event.additionalEventData.inputTokens as input_tokens,
        event.additionalEventData.outputTokens as output_tokens
    from (
        select unnest(Records) as event
        from read_json('{files}', columns = {{'Records': '{records}'}}{hints})
    )
    where event.eventSource = 'bedrock.amazonaws.com'
"""

_HINTS = ", format = 'unstructured', auto_detect = false, records = true"


def load(folder: Path, database: Path, *, columns_only: bool = False) -> None:
    """Write the calls in the folder's log files into the table ``events`` of a new database."""
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            _SQL.format(
                files=f"{folder}/**/*.json.gz",
                records=" ".join(_RECORDS.split()),
                hints="" if columns_only else _HINTS,
            )
        )


if __name__ == "__main__":
    load(Path(sys.argv[1]), Path(sys.argv[2]), columns_only="--columns-only" in sys.argv)
