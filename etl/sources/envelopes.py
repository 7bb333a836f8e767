"""What deliveries wrap around records: one table of envelopes, and one of what cannot serve.

An envelope is recognised by the keys of a JSON object alone, in any case. Nothing is interpreted.
Prompts and responses are looked into nowhere: a record of an invocation log is recognised before
any envelope, and so is a body that has lost its record.

Sources (checked 2026-11-29): Amazon EventBridge user guide, "AWS service events"; CloudWatch Logs
user guide, "Log group-level subscription filters"; AWS Lambda developer guide, on SQS, SNS and
Kinesis events; CloudWatch Logs API reference, GetQueryResults; CloudTrail API reference,
GetQueryResults; Splunk, "Format events for HTTP Event Collector"; Elastic Common Schema, ``event``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec

from etl.sources.split import LIST_KEYS, Raw, load_value

MAX_LEVELS = 8

# What Bedrock and CloudWatch Logs write to check that they may.
CHECKS = ("Permissions are correctly set for Amazon Bedrock logs.", "CWL CONTROL MESSAGE:")

EVENT, LOGGED_CALL = "event", "logged call"

Fields = Mapping[str, msgspec.Raw]


class Envelope(NamedTuple):
    """``path``: the keys to the content, in lower case. ``name``: as people know it.

    ``is_list``: it holds a list of envelopes, and is none itself.
    """

    path: tuple[str, ...]
    name: str
    is_list: bool = False


def _named(*keys: str, is_list: bool = False) -> tuple[Envelope, ...]:
    return tuple(Envelope((key,), key, is_list) for key in keys)


_DETAIL = Envelope(("detail",), "detail of EventBridge")
# Of an event that a program sends: fields of its own are not guessed at.
OWN_DETAIL = Envelope(("detail",), "detail of a program's event")

# A field under a name of somebody's own, such as those that `--query` gives.
UNNAMED = Envelope((), "a field", is_list=True)

# A record in JSON, in a text or in base64. What is said to a model or by it is not looked into.
_may_hold_record = re.compile(
    rb'\s*+(?:[\[{]|"[^{\[]{0,400}+[{\[]|"(?=[A-Za-z0-9+/]{60}))'
    rb".*?(?:[eE]vent_?[sS]ource|EVENT_?SOURCE|ModelInvocationLog|[A-Za-z0-9+/]{60})",
    re.DOTALL,
).match
_WORDS = frozenset(
    {"prompt", "completion", "input", "output", "question", "answer", "query", "arguments"}
)

# The first whose content holds a record counts: one event may be in an object several times.
ENVELOPES = (
    Envelope(("event", "original"), "event.original of Elastic"),
    Envelope(("event.original",), "event.original of Elastic"),
    Envelope(("result", "_raw"), "result of Splunk"),
    Envelope(("_raw",), "_raw of Splunk"),
    Envelope(("@message",), "@message of CloudWatch Logs"),
    Envelope(("cloudtrailevent",), "CloudTrailEvent of LookupEvents"),
    Envelope(("eventjson",), "eventJson of CloudTrail Lake"),
    Envelope(("awslogs", "data"), "awslogs.data of CloudWatch Logs"),
    Envelope(("kinesis", "data"), "data of Kinesis"),
    Envelope(("sns", "message"), "Message of SNS"),
    _DETAIL,
    Envelope(("_source",), "_source of Elastic"),
    Envelope(("body", "stringvalue"), "body of OpenTelemetry"),
    Envelope(("hits", "hits"), "hits of Elastic", is_list=True),
    Envelope(("data", "result"), "result of Loki", is_list=True),
    *_named(
        *("logevents", "records", "events", "results", "queryresultrows", "messages", "entries"),
        *("resourcelogs", "scopelogs", "logrecords", "streams", "values", "rows", "logs", "items"),
        "inferenceprofilesummaries",
        is_list=True,
    ),
    *_named(
        *("event", "result", "message", "body", "data", "log", "line", "msg", "raw", "record"),
        *("payload", "value", "attributes", "content", "fields", "source", "response"),
        *("rawresponse", "requestpayload", "responsepayload", "jsonpayload", "textpayload"),
        *("record_content", "record_value", "raw_event", "rawevent", "raw_log", "rawlog"),
        *(
            "logrecord",
            "original",
            "src",
            "variant",
            "json",
            "text",
            "v",
            "document",
            "doc",
            "cloudtrail",
        ),
        "cloudtrail_event",
    ),
)

# These hold a whole event even next to some of its fields.
_WHOLE = frozenset({"_raw", "@message", "cloudtrailevent", "eventjson", "event.original"})
# An object with one of these is an envelope, whatever other keys it has.
_SURE = _WHOLE | {"detail", "_source", "logevents", "awslogs", "kinesis", "sns"}

_EMPTY_LIST = re.compile(rb"\[\s*+\]")

_BULK = frozenset({"index", "create"})

_KEYS_OF_EVENTS = ("eventID", "eventTime", "eventSource", "eventName", "eventVersion")
# Of an event under other names, at least one of these is there.
_ALSO_OF_EVENTS = (
    *("awsregion", "useridentity", "requestparameters", "recipientaccountid", "eventversion"),
    "eventtype",
)

# A record of a metric stream, which has all that an answer of ListMetrics has.
_OF_STREAM = frozenset({"metricstreamname", "metricname", "namespace"})

# As CloudTrail itself writes an event. No envelope begins like that.
is_textbook = re.compile(
    rb'\{\s*+"eventVersion"\s*+:\s*+"1\.[0-9]++"\s*+,\s*+"userIdentity"\s*+:'
).match

# A larger object is decoded only under the names of the tables, not under all it may have.
_ALL_BYTES = 1 << 20
_KEY_LETTERS = 64
# No record has more.
_MAX_FIELDS = 500

_all_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


# What is known but cannot serve.


class Unfit(NamedTuple):
    """A kind of data, what to do about it, and keys (folded): it has all of one of the sets."""

    name: str
    advice: str
    keys: tuple[frozenset[str], ...]

    @property
    def reason(self) -> str:
        return f"{self.name}: {self.advice}"


def _sets(*texts: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(text.split()) for text in texts)


_BODY = Unfit(
    "the body of a call (prompt or response), without its record",
    "it is not needed; the record has the counts",
    _sets(
        *("anthropicversion", "messages inferenceconfig", "messages maxtokens", "messages system"),
        *("messages schemaversion", "inputtext", "outputtext", "inputtexttokencount"),
        *("messagestart", "messagestop", "contentblockstart", "contentblockdelta"),
        *("contentblockstop", "stopreason usage", "generation prompttokencount", "role content"),
        *(
            "embedding",
            "embeddings",
            "choices",
            "prompt maxgenlen",
            "prompt maxtokens",
            "completion",
        ),
        *(
            "output usage metrics",
            "amazonbedrockinvocationmetrics",
            "tasktype",
            *("textgenerationconfig", "images", "artifacts"),
        ),
    ),
)
# What else to load.
_CALLS = "load CloudTrail's events or invocation logs"
_COSTS = f"it holds costs by day, not calls; {_CALLS}, and compare their sums with it"
_OWN_WORDS = f"it holds what a program reports of itself, without AWS's caller; {_CALLS}"

UNFIT = (
    _BODY,
    Unfit(
        "a digest of CloudTrail",
        "it proves that log files are unchanged and holds no events; load the folder CloudTrail/"
        " beside CloudTrail-Digest/",
        _sets("digeststarttime digests3bucket"),
    ),
    Unfit(
        "an event of CloudTrail Insights",
        "it reports unusual activity, not calls; load the trail's own log files",
        _sets("insightdetails"),
    ),
    Unfit(
        "a notification that a file was delivered",
        "load that file: its bucket and key are in the notification",
        _sets("s3 eventsource", "s3bucket s3objectkey", "bucket object requestid"),
    ),
    Unfit(
        "the table of the event history in CSV",
        "it lacks models and tokens; download the event history as JSON, or run `bedrock-usage"
        " sync`",
        _sets("eventname eventsource eventtime username resourcetype resourcename"),
    ),
    Unfit(
        "a record of a batch job",
        "it holds prompts and responses and no caller; load CloudTrail's events, and see the view"
        " uncounted_jobs",
        _sets("recordid modelinput", "recordid modeloutput"),
    ),
    Unfit(
        "a row of a cost and usage report (CUR)",
        _COSTS,
        _sets(
            *("lineitemusagetype", "lineitem/usagetype", "identitylineitemid"),
            *("identity/lineitemid", "lineitemlineitemtype"),
        ),
    ),
    Unfit(
        "the manifest of a cost and usage report (CUR)",
        _COSTS,
        _sets("reportkeys assemblyid", "datafiles exportarn", "datafiles executionid"),
    ),
    Unfit(
        "a row of a FOCUS export",
        _COSTS,
        _sets("billedcost chargecategory", "billedcost chargeperiodstart"),
    ),
    Unfit(
        "an answer of Cost Explorer",
        _COSTS,
        _sets(
            *("resultsbytime", "timeperiod groups", "timeperiod total estimated"),
            *("forecastresultsbytime", "totalcosts($)", "budgets"),
        ),
    ),
    Unfit(
        "an export of Langfuse",
        _OWN_WORDS,
        _sets(
            *("traceid usagedetails", "traceid costdetails", "traceid calculatedtotalcost"),
            *("traceid parentobservationid", "traceid prompttokens", "observations scores"),
            *("htmlpath observations", "traceid usage model", "traceid inputtokens outputtokens"),
        ),
    ),
    Unfit(
        "an export of ccusage",
        _OWN_WORDS,
        _sets(
            *("daily totals", "weekly totals", "monthly totals", "sessions totals"),
            *("modelbreakdowns", "cachecreationtokens cachereadtokens", "blocks"),
            "inputtokens outputtokens totalcost date",
        ),
    ),
    Unfit("a transcript of Claude Code", _OWN_WORDS, _sets("sessionid parentuuid")),
    Unfit(
        "an export of a gateway or of a tracing service",
        _OWN_WORDS,
        _sets(
            *("runtype traceid", "requestcreatedat prompttokens", "requestcreatedat responsebody"),
            *("generationid tokensprompt", "startingat results", "uncachedinputtokens model"),
        ),
    ),
    Unfit(
        "a spend log of LiteLLM",
        _OWN_WORDS,
        _sets("calltype spend", "calltype apikey totaltokens"),
    ),
    Unfit(
        "traces or metrics of OpenTelemetry",
        _OWN_WORDS,
        _sets("resourcespans", "resourcemetrics"),
    ),
    Unfit(
        "an answer of GetMetricStatistics",
        "it names neither account nor model; save an answer of GetMetricData",
        _sets("datapoints label"),
    ),
    Unfit(
        "an answer of ListMetrics",
        "it names metrics without values; save an answer of GetMetricData",
        _sets("metricname dimensions namespace"),
    ),
    Unfit(
        "a list of models",
        "it is no usage; `bedrock-usage sync --source catalogue` reads models",
        _sets("modelsummaries", "modelarn modelname providername"),
    ),
    Unfit(
        "the manifest of a batch job",
        "it has sums without a caller; load CloudTrail's events, and see the view uncounted_jobs",
        _sets("totalrecordcount processedrecordcount"),
    ),
    Unfit(
        "a snapshot of AWS Config",
        "it holds resources, not calls; load CloudTrail's log files",
        _sets("configurationitems"),
    ),
    Unfit(
        "a price list",
        "it is no usage; `bedrock-usage prices import` reads prices",
        _sets("formatversion offercode", "formatversion products"),
    ),
)
_UNFIT_BY_KEY: dict[str, list[tuple[frozenset[str], Unfit]]] = {}
for _one in UNFIT:
    for _keys in _one.keys:
        _UNFIT_BY_KEY.setdefault(min(_keys), []).append((_keys, _one))

# The types of the parts of a streamed response.
_PARTS = frozenset(
    f'"{name}"'.encode()
    for name in (
        *("message_start", "message_delta", "message_stop", "content_block_start", "ping"),
        *("content_block_delta", "content_block_stop"),
    )
)


def unfit(fields: Fields) -> Unfit | None:
    """Return what an object is known to be although it cannot serve; None if it is not known."""
    kind = fields.get("type")
    if kind is not None and (
        bytes(kind) in _PARTS or (bytes(kind) == b'"message"' and "role" in fields)
    ):
        return _BODY
    known = unfit_columns(fields)
    return None if known and any(key.lower() in _SURE for key in fields) else known


def unfit_columns(names: Collection[str]) -> Unfit | None:
    """Return what keys or columns are known to be although it cannot serve."""
    folded = {fold(name) for name in names}
    if folded >= _OF_STREAM:
        return None
    candidates = (pair for name in folded for pair in _UNFIT_BY_KEY.get(name, ()))
    return next((one for keys, one in candidates if keys <= folded), None)


# The keys of the tables as they are written most.
_KNOWN = (
    *(*LIST_KEYS, *_KEYS_OF_EVENTS, "schemaType", "MetricDataResults", "inferenceProfileArn"),
    *(
        "detail",
        "detail-type",
        "event",
        "event.original",
        "_raw",
        "@message",
        "CloudTrailEvent",
        "eventJson",
    ),
    *("awslogs", "messageType", "kinesis", "Sns", "_source", "message", "Message", "body", "Body"),
    *("Data", "log", "line", "raw", "record", "payload", "value", "attributes", "class_uid", "api"),
    *(
        "resourceLogs",
        "scopeLogs",
        "logRecords",
        "streams",
        "values",
        "ResultSet",
        "columns",
        "type",
    ),
    *("anthropic_version", "messages", "inferenceConfig", "max_tokens", "system", "inputText"),
    *("output", "usage", "metrics", "stopReason", "choices", "prompt", "images", "artifacts"),
    *("embedding", "content", "role", "taskType", "completion", "recordId", "modelInput"),
    *("modelOutput", "ResultsByTime", "daily", "totals", "resourceSpans", "formatVersion"),
    *("offerCode", "configurationItems"),
)
_Known = msgspec.defstruct(
    "_Known",
    [(f"field{n}", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for n in range(len(_KNOWN))],
    rename=dict(zip((f"field{n}" for n in range(len(_KNOWN))), _KNOWN, strict=True)),
    gc=False,
)
_decode_known = msgspec.json.Decoder(_Known).decode


def kind_of(fields: Fields) -> str | None:
    """Return the kind of record that an object is; None if it is none."""
    if any(key in fields for key in _KEYS_OF_EVENTS) and not _is_wrapped(fields):
        return EVENT
    if "MetricDataResults" in fields:
        return "metric answer"
    if "inferenceProfileArn" in fields:
        return "profile"
    folded = {fold(key): raw for key, raw in fields.items()}
    if folded.keys() >= _OF_STREAM:
        return "metric record"
    if bytes(folded.get("schematype", b"")) == b'"ModelInvocationLog"':
        return LOGGED_CALL
    if {"modelid", "requestid", "operation"} <= folded.keys() and _has_counts(folded):
        return LOGGED_CALL
    if "classuid" in folded and {"api", "metadata"} <= folded.keys():
        return EVENT
    is_event = (
        {"eventname", "eventsource"} <= folded.keys()
        and any(key.startswith(_ALSO_OF_EVENTS) for key in folded)
        and not _is_wrapped(fields)
    )
    return EVENT if is_event else None


def _has_counts(folded: Collection[str]) -> bool:
    """Say whether an object has the counts of an invocation log, which may be flattened."""
    return {"input", "output"} <= set(folded) or any(
        key.startswith("input") and key.endswith("tokencount") for key in folded
    )


def _is_wrapped(fields: Fields) -> bool:
    """Say whether an object with keys of an event is the envelope of another."""
    source = fields.get("eventSource", b"")
    return bytes(source).startswith(b'"aws:') or any(key.lower() in _WHOLE for key in fields)


def is_other(fields: Fields) -> bool:
    """Say whether an object that holds no record is an event of EventBridge's for others."""
    return "detail-type" in fields


def is_bulk_action(fields: Fields) -> bool:
    """Say whether an object is the line before a document in a bulk request to Elastic."""
    return len(fields) == 1 and not _BULK.isdisjoint(fields)


def is_empty_page(fields: Fields) -> bool:
    """Say whether an object is an answer without any records, such as an empty page."""
    return any(_EMPTY_LIST.fullmatch(bytes(fields[key])) for key in LIST_KEYS if key in fields)


def contents(fields: Fields) -> Iterator[tuple[Envelope, str, bytes]]:
    """Yield what an object may wrap, the likeliest first: the envelope, its key and content."""
    lower = {key.lower(): (key, raw) for key, raw in fields.items() if len(key) <= _KEY_LETTERS}
    taken: set[str] = set()
    for envelope in ENVELOPES:
        path = envelope.path
        if path[0] not in lower or path[0] in taken:
            continue
        key, raw = lower[path[0]]
        if len(path) > 1:
            inner = _inner(raw, path[1])
            if inner is None:
                continue
            key, raw = f"{key}.{inner[0]}", inner[1]
        content = bytes(raw)
        if content.startswith((b"{", b"[", b'"')):
            taken.add(path[0])
            yield OWN_DETAIL if envelope is _DETAIL and _is_own(fields) else envelope, key, content
    for name, (_, raw) in lower.items():
        # A field under any name, where something in it looks like a record.
        if name not in taken and name not in _WORDS and _may_hold_record(bytes(raw)):
            yield UNNAMED, UNNAMED.name, bytes(raw)


def _is_own(fields: Fields) -> bool:
    """Say whether an event of EventBridge's is a program's, not AWS's."""
    return not bytes(fields.get("source", b'"aws.')).startswith(b'"aws.')


def _inner(raw: Raw, wanted: str) -> tuple[str, msgspec.Raw] | None:
    if not bytes(raw).startswith(b"{"):
        return None
    fields = fields_of(raw)
    return next(((key, one) for key, one in fields.items() if key.lower() == wanted), None)


# Rows of fields and values.


def row_of(raws: Collection[Raw]) -> bytes | None:
    """Return the object that a list of fields and values is; None for any other list.

    Logs Insights writes a row as ``[{"field": f, "value": v}, ...]``, CloudTrail Lake as
    ``[{f: v}, ...]``, each value a text.
    """
    if not 2 <= len(raws) <= _MAX_FIELDS or not all(bytes(raw).startswith(b"{") for raw in raws):
        return None
    merged: dict[str, Raw] = {}
    for raw in raws:
        fields = fields_of(raw)
        if fields.keys() == {"field", "value"}:
            merged[str(load_value(bytes(fields["field"])))] = fields["value"]
        elif len(fields) == 1 and not _is_nested(*fields.values()):
            merged |= fields
        else:
            return None
    return object_of(merged) if len(merged) > 1 else None


def _is_nested(raw: Raw) -> bool:
    return bytes(raw).startswith((b"[", b"{"))


def tables(fields: Fields) -> Iterator[tuple[str, bytes]]:
    """Yield the rows of an object that is a table, as objects, each with its position."""
    names: list[str] = []
    for index, row in enumerate(_rows(fields)):
        if index == 0 and "columns" not in fields and "resultSetMetaData" not in fields:
            names = [str(cell) for cell in row]
            continue
        names = names or _columns(fields)
        cells = dict(zip(names, row, strict=False))
        yield f"rows[{index}]", json.dumps(cells).encode()


def _rows(fields: Fields) -> Iterator[list[object]]:
    """Yield the cells of each row: of Athena's answer, of Snowflake's, or of any with columns."""
    if "ResultSet" in fields:
        answer = load_value(bytes(fields["ResultSet"]))
        for row in answer.get("Rows", ()):
            yield [cell.get("VarCharValue") for cell in row.get("Data", ())]
    elif "columns" in fields or "resultSetMetaData" in fields:
        rows = fields.get("rows") or fields.get("data") or fields.get("values") or b"[]"
        yield from (row for row in load_value(bytes(rows)) if isinstance(row, list))


def _columns(fields: Fields) -> list[str]:
    if "columns" in fields:
        columns = load_value(bytes(fields["columns"]))
    else:
        columns = load_value(bytes(fields["resultSetMetaData"])).get("rowType", [])
    return [str(c.get("name")) if isinstance(c, dict) else str(c) for c in columns]


def object_of(fields: Mapping[str, Raw]) -> bytes:
    """Write an object of raw values."""
    parts = (json.dumps(key).encode() + b":" + bytes(raw) for key, raw in fields.items())
    return b"{" + b",".join(parts) + b"}"


# Names in other spellings.


def fold(name: str) -> str:
    """Return a name as all its spellings have it: eventName, event_name, EVENTNAME."""
    return _fold(name) if len(name) <= _KEY_LETTERS else name


@lru_cache(4096)
def _fold(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def fields_of(raw: Raw) -> Fields:
    """Return the fields of an object. Raises ValueError, RecursionError for what is none."""
    written = bytes(raw)
    try:
        if len(written) <= _ALL_BYTES:
            return _all_fields(written)
        known = zip(_KNOWN, msgspec.structs.astuple(_decode_known(written)), strict=True)
        return {key: raw for key, raw in known if raw is not msgspec.UNSET}
    except _NO_JSON:
        # Python accepts this JSON, msgspec does not: it has NaN, or half of a surrogate pair.
        # Written again, both accept it.
        value = load_value(written)
        if not isinstance(value, dict):
            raise ValueError from None
        return {key: msgspec.Raw(json.dumps(field).encode()) for key, field in value.items()}
