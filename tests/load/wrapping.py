"""What deliveries wrap around records: each envelope as a function from records to what people have.

An envelope takes values (records, or other envelopes) and returns a JSON value or a text.
"""

from __future__ import annotations

import base64
import bz2
import csv
import gzip
import io
import json
import lzma
import sys
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

from tests.support import ACCOUNT

Envelope = Callable[[list[Any]], Any]


def text_of(value: Any) -> str:
    """Return a value as the text that a field or a file holds."""
    return value if isinstance(value, str) else json.dumps(value)


def file_of(value: Any) -> bytes:
    return text_of(value).encode()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def lines(values: list[Any], before: str = "", after: str = "") -> str:
    return "".join(f"{before}{text_of(value).strip()}{after}\n" for value in values)


def subscription(values: list[Any]) -> dict[str, Any]:
    events = [{"id": str(n), "timestamp": 1, "message": text_of(v)} for n, v in enumerate(values)]
    return {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": "/aws/bedrock/invocations",
        "logStream": "aws/bedrock/modelinvocations",
        "subscriptionFilters": ["all"],
        "logEvents": events,
    }


def packed(values: list[Any]) -> str:
    return base64_of(gzip.compress(file_of(subscription(values)), mtime=0))


def sns(value: Any) -> dict[str, Any]:
    return {"Type": "Notification", "MessageId": "m", "TopicArn": "arn", "Message": text_of(value)}


def insights_row(value: Any) -> list[dict[str, str]]:
    fields = {"@timestamp": "2026-11-02 10:15:00.000", "@message": text_of(value), "@ptr": "Cp"}
    return [{"field": name, "value": written} for name, written in fields.items()]


def column(name: str, values: list[Any], dialect: str = "excel") -> str:
    written = io.StringIO()
    rows = csv.writer(written, dialect, quoting=csv.QUOTE_ALL)
    rows.writerow(["@timestamp", name])
    rows.writerows(["2026-11-02 10:15:00.000", text_of(value)] for value in values)
    return written.getvalue()


def each(wrap: Callable[[Any], Any]) -> Envelope:
    """Return the array of envelopes of one value each."""
    return lambda values: [wrap(value) for value in values]


def records(wrap: Callable[[Any], dict[str, Any]]) -> Envelope:
    """Return what a Lambda function gets."""
    return lambda values: {"Records": [wrap(value) for value in values]}


def hits(values: list[Any]) -> dict[str, Any]:
    found = [{"_index": "logs", "_id": str(n), "_source": v} for n, v in enumerate(values)]
    total = {"value": len(found), "relation": "eq"}
    return {"took": 1, "timed_out": False, "hits": {"total": total, "hits": found}}


def open_telemetry(values: list[Any]) -> dict[str, Any]:
    logged = [{"timeUnixNano": "1", "body": {"stringValue": text_of(value)}} for value in values]
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"logRecords": logged}]}]}


def loki(values: list[Any]) -> dict[str, Any]:
    stream = {
        "stream": {"job": "x"},
        "values": [["1789380307000000000", text_of(v)] for v in values],
    }
    return {"status": "success", "data": {"resultType": "streams", "result": [stream]}}


EVENT_BRIDGE = {
    "version": "0",
    "id": "1",
    "detail-type": "AWS API Call via CloudTrail",
    "source": "aws.bedrock",
    "account": "111122223333",
    "time": "2026-11-02T10:15:00Z",
    "resources": [],
}

ENVELOPES: dict[str, Envelope] = {
    "array": list,
    "array of texts": each(text_of),
    "text in text": each(lambda value: text_of(json.dumps(text_of(value)))),
    "EventBridge": each(lambda value: EVENT_BRIDGE | {"detail": value}),
    "EventBridge's lines": lambda values: lines([EVENT_BRIDGE | {"detail": v} for v in values]),
    "subscription": subscription,
    "awslogs.data": lambda values: {"awslogs": {"data": packed(values)}},
    "filter-log-events": lambda values: {
        "events": [
            {"logStreamName": "s", "timestamp": 1, "message": text_of(v), "eventId": "1"}
            for v in values
        ],
        "searchedLogStreams": [],
    },
    "lookup-events": lambda values: {
        "Events": [
            {"EventId": "e", "EventName": "n", "EventSource": "s", "CloudTrailEvent": text_of(v)}
            for v in values
        ]
    },
    "lookup pages, one of them empty": lambda values: [
        {"Events": [], "NextToken": "t"},
        {"Events": [{"EventId": "e", "CloudTrailEvent": text_of(v)} for v in values]},
    ],
    "Lake's eventJson with columns": lambda values: {
        "QueryStatus": "FINISHED",
        "QueryResultRows": [
            [
                {"eventID": "00000000-0000-4000-8000-000000000001"},
                {"eventTime": "2026-11-02 10:15:00.000"},
                {"eventName": "Converse"},
                {"eventJson": text_of(value)},
            ]
            for value in values
        ],
    },
    "get-query-results": lambda values: {
        "results": [insights_row(value) for value in values],
        "statistics": {"recordsMatched": 1.0},
        "status": "Complete",
    },
    "Insights in CSV": lambda values: column("@message", values),
    "Splunk in CSV": lambda values: column("_raw", values),
    "export task": lambda values: lines(values, "2026-11-02T10:15:00.000Z "),
    "logs tail": lambda values: lines(values, "2026-11-02T10:15:00.123000+00:00 aws/bedrock/x "),
    "coloured": lambda values: lines(
        values, "\x1b[32m2026-11-02T10:15:00+00:00\x1b[0m \x1b[36ms\x1b[0m "
    ),
    "text output": lambda values: lines(
        values, "EVENTS\t1\t1789380307000\tstream\t", "\t1789380307"
    ),
    "syslog": lambda values: lines(values, "<134>1 2026-11-02T10:15:00Z host app - - - "),
    "old syslog": lambda values: lines(values, "Nov  2 10:15:00 host app[1]: "),
    "container's log": lambda values: lines(values, "2026-11-02T10:15:00.123456789Z stdout F "),
    "indented after a time": lambda values: "".join(
        f"2026-11-02T10:15:00 s {json.dumps(v, indent=2)}\n" for v in values
    ),
    "lines of texts": lambda values: lines([json.dumps(text_of(value)) for value in values]),
    "lines of base64": lambda values: lines([base64_of(file_of(value)) for value in values]),
    "base64 in lines": lambda values: base64.encodebytes(file_of(values)).decode(),
    "SQS": records(
        lambda value: {
            "messageId": "1",
            "body": text_of(value),
            "eventSource": "aws:sqs",
            "awsRegion": "us-east-1",
        }
    ),
    "SQS received": lambda values: {
        "Messages": [{"MessageId": "1", "ReceiptHandle": "h", "Body": text_of(v)} for v in values]
    },
    "SNS": records(
        lambda value: {"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": sns(value)}
    ),
    "SNS in SQS": records(
        lambda value: {"body": json.dumps(sns(value)), "eventSource": "aws:sqs", "messageId": "1"}
    ),
    "Kinesis": records(
        lambda value: {
            "kinesis": {"partitionKey": "p", "data": base64_of(file_of(value))},
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": "shardId-000000000006:1",
            "eventName": "aws:kinesis:record",
            "awsRegion": "us-east-1",
        }
    ),
    "subscription in Kinesis": records(
        lambda value: {"kinesis": {"data": packed([value])}, "eventSource": "aws:kinesis"}
    ),
    "get-records": lambda values: {
        "Records": [{"SequenceNumber": "1", "Data": base64_of(file_of(v))} for v in values],
        "NextShardIterator": "x",
    },
    "Firehose": lambda values: {
        "invocationId": "i",
        "deliveryStreamArn": "arn",
        "records": [{"recordId": str(n), "data": packed([v])} for n, v in enumerate(values)],
    },
    "Splunk HEC": lambda values: "".join(
        json.dumps({"time": 1, "host": "h", "sourcetype": "aws:cloudtrail", "event": v})
        for v in values
    ),
    "Splunk export": lambda values: lines(
        [
            {"preview": False, "offset": 1, "result": {"_raw": text_of(v), "host": "h"}}
            for v in values
        ]
    ),
    "Splunk results": lambda values: {
        "preview": False,
        "fields": [{"name": "_raw"}],
        "results": [
            {"_raw": text_of(v), "eventName": "Converse", "eventSource": "x"} for v in values
        ],
    },
    "Elastic": hits,
    "Elastic, original": lambda values: hits(
        [
            {
                "@timestamp": "t",
                "event": {"action": "x", "original": text_of(v)},
                "message": "words",
            }
            for v in values
        ]
    ),
    "Elastic, flattened": lambda values: lines(
        [{"_source": {"event.original": text_of(v), "tags": ["x"]}} for v in values]
    ),
    "Logstash": lambda values: lines(
        [{"@timestamp": "t", "@version": "1", "message": text_of(v), "event": {}} for v in values]
    ),
    "Fluent Bit": lambda values: lines(
        [{"log": text_of(v) + "\n", "stream": "stdout"} for v in values]
    ),
    "Fluentd": each(lambda value: ["tag", 1789380307.5, {"message": text_of(value)}]),
    "Loki": loki,
    "Datadog": lambda values: {
        "data": [
            {"id": "a", "type": "log", "attributes": {"message": text_of(v), "tags": []}}
            for v in values
        ],
        "meta": {"page": {}},
    },
    "OpenTelemetry": open_telemetry,
    "columns and rows": lambda values: {
        "columns": [{"name": "time"}, {"name": "MESSAGE"}],
        "rows": [["t", text_of(v)] for v in values],
    },
    "Snowflake's variant": lambda values: lines([{"RECORD_CONTENT": v} for v in values]),
    "any name": each(lambda value: {"id": 1, "what": value}),
    "a text under any name": each(lambda value: {"id": "1", "found": {"it": text_of(value)}}),
    "any names": lambda values: {f"n{number}": value for number, value in enumerate(values)},
    "id, text": each(lambda value: ["0a1b", None, text_of(value)]),
    "time, text": each(lambda value: [1789380307000, text_of(value)]),
    "text, number": each(lambda value: [text_of(value), 7]),
    "Wazuh": each(lambda value: {"rule": {"id": "1"}, "data": {"integration": "x", "aws": value}}),
    "Graylog": lambda values: lines(
        [{"short_message": "x", "full_message": text_of(v), "version": "1.1"} for v in values]
    ),
    "Sumo": lambda values: {"messages": [{"map": {"_raw": text_of(v), "n": "1"}} for v in values]},
    "CloudEvents": each(
        lambda value: {
            "specversion": "1.0",
            "source": "s",
            "data_base64": base64_of(file_of(value)),
        }
    ),
    "Kafka": lambda values: {
        "eventSource": "aws:kafka",
        "records": {"t-0": [{"topic": "t", "value": base64_of(file_of(v))} for v in values]},
    },
    "DynamoDB": lambda values: {"Items": [{"at": {"S": text_of(value)}} for value in values]},
    "DynamoDB's stream": records(
        lambda value: {
            "eventID": "1",
            "eventName": "INSERT",
            "eventSource": "aws:dynamodb",
            "dynamodb": {"NewImage": {"doc": {"S": text_of(value)}}},
        }
    ),
    "Azure's tables": lambda values: {
        "tables": [{"columns": [{"name": "Words"}], "rows": [[text_of(v)] for v in values]}]
    },
    "a bulk request": lambda values: lines(
        [part for v in values for part in ({"index": {"_index": "x"}}, v)]
    ),
    "containers": lambda values: lines(values, "app-1  | "),
    "pods": lambda values: lines(values, "[pod/x-1/main] "),
    "files that were searched": lambda values: lines(values, "logs/2026.json:"),
    "a level": lambda values: lines(values, "INFO: "),
    "lines with commas": lambda values: lines(values, "", ","),
    "tabs": lambda values: column("@message", values, "excel-tab"),
    "Lambda's destination": each(
        lambda value: {"version": "1.0", "requestContext": {}, "requestPayload": value}
    ),
}

# Each value is a document on one line, or indented.
ONE_LINE = frozenset({"text output", "indented after a time"})
AFTER_A_TIME = frozenset(
    {"export task", "logs tail", "coloured", "syslog", "old syslog", "container's log"}
)
# Each value is JSON, on one line.
_JSON = frozenset(
    {
        *("id, text", "text, number", "containers", "pods", "files that were searched", "a level"),
        *("lines with commas", "a bulk request"),
    }
)


def fits(name: str, value: Any) -> bool:
    """Return whether an envelope can hold a value: some hold no text of several lines."""
    if not isinstance(value, str):
        return True
    if name in _JSON:
        return "\n" not in value and value.startswith(("{", "["))
    if name in ONE_LINE:
        return False
    return name not in AFTER_A_TIME or "\n" not in value.strip() or value.startswith("{")


# Compressed, archived.


def tar_of(*files: bytes) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number, data in enumerate(files):
            for name in (f"{number}.json", f"folder/._{number}.json"):
                info = tarfile.TarInfo(name)
                info.size, info.pax_headers = len(data), {"comment": "ü" * 300}
                archive.addfile(info, io.BytesIO(data if name[7:8] != "." else bytes(len(data))))
    return written.getvalue()


def zip_of(*files: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive:
        for number, data in enumerate(files):
            archive.writestr(f"folder/{number}.json", data)
            archive.writestr(f"__MACOSX/folder/._{number}.json", b"\0\5\26\7")
    return written.getvalue()


def zstd_of(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd.compress(data)
    from backports import zstd

    return zstd.compress(data)


PACKS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd_of,
    "tar": tar_of,
    "zip": zip_of,
    "zip, not compressed": lambda data: zip_of(data, method=zipfile.ZIP_STORED),
    "two members of gzip": lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:]),
    "base64": lambda data: base64.b64encode(data),
}


# Other names.


def snake(name: str) -> str:
    words = name.replace("ID", "Id").replace("ARN", "arn").replace("IPA", "IpA")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in words)


def renamed(value: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {rename(key): renamed(inner, rename) for key, inner in value.items()}
    return [renamed(item, rename) for item in value] if isinstance(value, list) else value


def texts(record: dict[str, Any]) -> dict[str, Any]:
    return {k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in record.items()}


def flat(value: Any, before: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {before: value}
    fields: dict[str, Any] = {}
    for key, inner in value.items():
        fields |= flat(inner, f"{before}.{key}" if before else key)
    return fields


def athena_row(value: Any) -> Any:
    if isinstance(value, list):
        return f"[{', '.join(map(athena_row, value))}]"
    if not isinstance(value, dict):
        return value
    return (
        "{" + ", ".join(f"{key.lower()}={athena_row(inner)}" for key, inner in value.items()) + "}"
    )


def in_columns(records: list[dict[str, Any]]) -> bytes:
    written = io.StringIO()
    rows = csv.DictWriter(written, list(dict.fromkeys(key for one in records for key in one)))
    rows.writeheader()
    rows.writerows(records)
    return written.getvalue().encode()


def ocsf(event: dict[str, Any]) -> dict[str, Any]:
    identity = event["userIdentity"]
    session = identity.get("sessionContext", {}).get("sessionIssuer", {})
    return {
        "class_uid": 6003,
        "class_name": "API Activity",
        "time": 1793614500000,
        "metadata": {
            "uid": event["eventID"],
            "product": {"version": "1.11"},
            "event_code": "AwsApiCall",
        },
        "api": {
            "operation": event["eventName"],
            "service": {"name": event["eventSource"]},
            "request": {
                "uid": event.get("requestID"),
                "data": json.dumps(event.get("requestParameters")),
            },
            "response": {"error": event.get("errorCode")},
        },
        "actor": {
            "user": {
                "type": identity["type"],
                "uid": identity["arn"],
                "uid_alt": identity.get("principalId"),
                "name": identity.get("userName"),
                "account": {"uid": identity["accountId"]},
            },
            "session": {"issuer": session.get("arn")},
        },
        "cloud": {"region": event["awsRegion"], "account": {"uid": ACCOUNT}},
        "http_request": {"user_agent": event["userAgent"]},
        "unmapped": {
            f"additionalEventData.{key}": str(value)
            for key, value in event.get("additionalEventData", {}).items()
        }
        | {"eventType": "AwsApiCall", "eventCategory": "Management"},
    }


def maps_as(event: dict[str, Any], pair: Callable[[str, Any], Any]) -> dict[str, Any]:
    written = ocsf(event)
    return written | {"unmapped": [pair(key, one) for key, one in written["unmapped"].items()]}


TABLES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "lower case": lambda event: renamed(event, str.lower),
    "upper case": lambda event: {key.upper(): value for key, value in event.items()},
    "snake case": lambda event: renamed(event, snake),
    "nested texts": texts,
    "lower case, nested texts": lambda event: renamed(texts(event), str.lower),
    "flattened": flat,
    "flattened, all text": lambda event: {key: str(value) for key, value in flat(event).items()},
    "a time without a zone": lambda e: e | {"eventTime": "2026-11-02 10:15:00.000000000"},
    "a time with a blank": lambda e: e | {"eventTime": "2026-11-02 10:15:00.000 UTC"},
    "a time in milliseconds": lambda e: e | {"eventTime": 1793614500000},
    "Athena's rows": lambda e: {
        key.lower(): athena_row(v)
        if key == "userIdentity"
        else json.dumps(v)
        if isinstance(v, dict)
        else v
        for key, v in e.items()
    },
    "Sentinel": lambda e: (
        {
            f"{'Aws' if key in ('eventID', 'requestID') else ''}{key[0].upper()}{key[1:]}": value
            for key, value in texts(e).items()
            if key not in ("userIdentity", "eventTime")
        }
        | {"TimeGenerated": e["eventTime"]}
        | {f"UserIdentity{key[0].upper()}{key[1:]}": v for key, v in e["userIdentity"].items()}
    ),
    "OCSF": ocsf,
    "OCSF, maps as lists": lambda e: maps_as(e, lambda key, value: [key, value]),
    "OCSF, maps as lists of objects": lambda e: maps_as(e, lambda k, v: {"key": k, "value": v}),
}
