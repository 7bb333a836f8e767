"""Whatever records are wrapped in, they give the same rows; what cannot serve is named."""

from __future__ import annotations

import copy
import gzip
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.cli import main
from etl.load.decoder.content import Decoder
from etl.sources import unzip
from etl.sources.envelopes import MAX_LEVELS, UNFIT
from etl.sources.files import TOO_MANY_LEVELS, TOO_MANY_PACKS, UNKNOWN
from tests.load.long_way import shown, the_long_way
from tests.load.poison import CANARY, nodes
from tests.load.wrapping import (
    ENVELOPES,
    EVENT_BRIDGE,
    PACKS,
    TABLES,
    athena_row,
    base64_of,
    file_of,
    fits,
    flat,
    in_columns,
    lines,
    ocsf,
    renamed,
    snake,
    tar_of,
    text_of,
    texts,
    zip_of,
)
from tests.rounds import rounds, some
from tests.support import HAIKU, call, logged, role_identity, service_event

ARN = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile"
RECORDS = [
    *(call(number, tokens=(number, 1), user=f"u{number}") for number in range(1, 4)),
    call(4, userIdentity=role_identity("Chat-BedrockRole"), userAgent="Größe/1.0 {x}"),
    *(logged(number, cache=(3, 4)) for number in (11, 12)),
    service_event(13, 1, {"inputTokens": 3}),
    call(20, eventSource="s3.amazonaws.com", eventName="GetObject"),
    call(21, eventName="ListFoundationModels"),
]
PARTS = ("events", "rows", "rejects", "read", "skipped")


def read(data: bytes) -> dict[str, Any]:
    found = shown(Decoder().decode(data))
    return {part: found[part] for part in PARTS}


PLAIN = read(file_of(RECORDS))


def rejects(data: bytes) -> list[tuple[str, str]]:
    return [(position, reason) for position, reason in read(data)["rejects"]]


def test_the_plain_records_are_understood() -> None:
    assert len(PLAIN["events"]) == 6
    # Rows: the service event, and the operation that is kept though it is no call.
    assert (len(PLAIN["rows"]), PLAIN["skipped"], PLAIN["rejects"]) == (2, 2, [])


@pytest.mark.parametrize("name", ENVELOPES)
def test_an_envelope_changes_nothing(name: str) -> None:
    assert read(file_of(ENVELOPES[name](RECORDS))) == PLAIN


PAIRS = [(outer, inner) for outer in ENVELOPES for inner in ENVELOPES]


@pytest.mark.parametrize("pairs", [PAIRS[part::9] for part in range(rounds(1, 9))])
def test_nor_does_an_envelope_in_an_envelope(pairs: list[tuple[str, str]]) -> None:
    for outer, inner in pairs:
        value = ENVELOPES[inner](RECORDS)
        if fits(outer, value):
            assert read(file_of(ENVELOPES[outer]([value]))) == PLAIN, f"{inner} in {outer}"


@settings(max_examples=rounds(12, 5000), deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(ENVELOPES)), min_size=1, max_size=4),
    share=st.integers(1, 8),
)
def test_any_chain_of_envelopes_around_some_records(names: list[str], share: int) -> None:
    value: Any = ENVELOPES["array"](RECORDS[:share])
    for name in names:
        if fits(name, value):
            value = ENVELOPES[name]([value])
    data = file_of(value)
    if not any(reason == TOO_MANY_LEVELS for _, reason in rejects(data)):
        assert read(data) == read(file_of(RECORDS[:share]))
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert shown(Decoder().decode(data)) == shown(the_long_way(data, monkeypatch))


def test_what_somebody_says_about_an_event_is_no_event() -> None:
    said = f"why was this denied, please? {json.dumps(call(1))}"
    for quoted in (
        {"level": "info", "text": said},
        {"level": "info", "question": json.dumps(call(1))},
        {"detail-type": "Chat", "source": "my.app", "detail": {"chat": json.dumps(call(1))}},
        {"detail-type": "Chat", "source": "my.app", "detail": {"chat": {"said": call(1)}}},
    ):
        assert read(file_of(quoted))["events"] == [], quoted
    assert read(said.encode())["events"] == []


@pytest.mark.parametrize("name", ["EventBridge", "subscription", "SQS", "Elastic", "text in text"])
def test_eight_levels_are_opened_and_a_ninth_is_named(name: str) -> None:
    value: Any = call(1, tokens=(5, 1))
    value = json.dumps(value) if name == "text in text" else value
    for level in range(1, MAX_LEVELS + 2):
        value = json.dumps(value) if name == "text in text" else ENVELOPES[name]([value])
        found = read(file_of(value))
        if level <= MAX_LEVELS:
            assert (len(found["events"]), found["rejects"]) == (1, [])
        else:
            assert (found["events"], found["skipped"]) == ([], 0)
            ((_, reason),) = found["rejects"]
            assert reason == TOO_MANY_LEVELS


# Compressed, archived.


@pytest.mark.parametrize("outer", PACKS)
@pytest.mark.parametrize("inner", PACKS)
def test_what_is_compressed_or_packed_twice(outer: str, inner: str) -> None:
    assert read(PACKS[outer](PACKS[inner](file_of(RECORDS)))) == PLAIN
    assert read(PACKS[outer](file_of(ENVELOPES["EventBridge's lines"](RECORDS)))) == PLAIN


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_each_member_of_an_archive_is_read(pack: Callable[..., bytes]) -> None:
    files = [gzip.compress(file_of(record)) for record in RECORDS]
    assert read(pack(*files)) == PLAIN
    damaged = [files[0], b"\x1f\x8b no gzip", b"words", *files[1:]]
    found = read(pack(*damaged))
    assert found["events"] == PLAIN["events"]
    assert [position for position, _ in found["rejects"]] == ["member 2", "member 3"]


@pytest.mark.parametrize("name", sorted(PACKS.keys() - {"base64"}))
def test_a_damaged_archive_keeps_what_came_before(name: str) -> None:
    data = PACKS[name](file_of(RECORDS * 5))
    for cut in (
        data[: len(data) // 2],
        data[: len(data) // 2] + b"\xff" * 64 + data[len(data) // 2 :],
    ):
        found = read(cut)
        assert found["rejects"] or (name == "tar" and found["events"])
        assert all(CANARY not in reason for _, reason in found["rejects"])


@pytest.mark.parametrize("name", ["xz", "zstd"])
def test_what_takes_too_much_memory_to_unpack_is_not_called_damaged(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unzip, "_XZ_BYTES", 1 << 20)
    data = PACKS[name](file_of(RECORDS))
    if name == "zstd":
        # A frame with a window of two gigabytes.
        data = b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"
    why = f"the {name} data takes too much memory to unpack here: unpack it first"
    assert rejects(data) == [("file", f"{why}; everything before that was read")]


def test_layers_are_counted() -> None:
    data = file_of(RECORDS)
    for _ in range(MAX_LEVELS):
        data = gzip.compress(data, mtime=0)
    assert read(data) == PLAIN
    assert rejects(gzip.compress(data)) == [("file", TOO_MANY_PACKS)]


def test_an_encrypted_member_is_named() -> None:
    data = bytearray(zip_of(b"{}"))
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + at] |= 1
    assert rejects(bytes(data)) == [("member 1", "encrypted: unpack it first")]


# Bombs.


def test_gzip_in_gzip_expands_no_more_than_gzip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unzip, "_FREE_BYTES", 1 << 16)
    data = file_of({"Records": RECORDS}) + b" " * 4_000_000
    for _ in range(2):
        data = gzip.compress(data)
    for text in (data, file_of({"message": base64_of(data)})):
        before = time.process_time()
        found = read(text)
        assert time.process_time() - before < 1
        assert any("expands to more than" in reason for _, reason in found["rejects"])


@pytest.mark.parametrize(
    "part",
    [
        '{"message":"', '{"event":{"original":', '{"detail":', '{"a":1,"body":{"result":{"_raw":',
        '[{"event":', '{"Records":[{"body":', '{"message":[{"log":1,"event":[',
    ],
)  # fmt: skip
def test_what_opens_ever_more_takes_linear_time(part: str) -> None:
    for size in (20_000, 160_000):
        before = time.process_time()
        chunk = Decoder().decode((part * size)[:size].encode())
        assert chunk.rejected
        assert time.process_time() - before < 1.5


def test_an_envelope_with_everything_at_every_level_takes_little_time() -> None:
    keys = ("detail", "event", "result", "message", "body", "data", "log", "value", "fields")
    value: Any = {"x": 1}
    for _ in range(rounds(3, 5)):
        value = dict.fromkeys(keys, value)
    before = time.process_time()
    assert rejects(file_of(value)) == [("file", UNKNOWN)]
    assert time.process_time() - before < 3


# Damage, and what holds nothing.


def test_a_damaged_line_costs_that_line() -> None:
    good = [json.dumps(EVENT_BRIDGE | {"detail": call(number)}) for number in range(4)]
    text = lines([good[0], good[1][:-40], json.dumps({"message": '{"eventID": oops'}), *good[2:]])
    found = read(text.encode())
    assert len(found["events"]) == 3
    assert [position for position, _ in found["rejects"]] == ["line 2", "line 3"]
    inner = file_of({"message": text})
    assert len(read(inner)["events"]) == 3
    assert [position for position, _ in rejects(inner)] == ["line 2", "line 3"]


def test_what_holds_no_event_is_no_event_of_another_service() -> None:
    sqs = {"messageId": "1", "body": "words", "eventSource": "aws:sqs"}
    assert read(file_of({"Records": [sqs]}))["rejects"] == [
        ("Records[0]", "body: not JSON (at character 0)")
    ]
    control = {
        "messageType": "CONTROL_MESSAGE",
        "logEvents": [{"message": "CWL CONTROL MESSAGE: x"}],
    }
    scheduled = EVENT_BRIDGE | {"detail-type": "Scheduled Event", "detail": {}}
    check = {"events": [{"message": "Permissions are correctly set for Amazon Bedrock logs."}]}
    found = read(lines([control, scheduled, check]).encode())
    assert (found["skipped"], found["rejects"]) == (3, [])


@pytest.mark.parametrize("unfit", UNFIT, ids=lambda unfit: unfit.name)
def test_what_cannot_serve_is_named_once_with_what_to_do(unfit: Any) -> None:
    for keys in unfit.keys:
        value = dict.fromkeys(keys, f"secret {CANARY}")
        forms = [file_of(value), file_of([value, value]), lines([value] * 3).encode()]
        forms += [file_of(ENVELOPES[name]([value])) for name in ("SQS", "Elastic", "subscription")]
        for data in forms:
            ((_, reason),) = rejects(data)
            assert reason == unfit.reason
            assert ": " in reason


@pytest.mark.parametrize(
    "chunks",
    [
        [{"type": "message_start", "message": {"usage": {"input_tokens": 1000}}}, {"type": "message_stop"}],
        [{"messageStart": {"role": "assistant"}}, {"contentBlockDelta": {"delta": {"text": CANARY}}}],
        [{"role": "user", "content": json.dumps(call(1))}],
        {"system": "x", "messages": [{"role": "user", "content": "y" * 1_100_000}]},
        {"images": ["eyJ" * 400_000]},
    ],
)  # fmt: skip
def test_a_body_without_its_record_gives_one_message_and_no_call(chunks: list[Any]) -> None:
    found = read(file_of(chunks))
    assert (found["events"], found["skipped"]) == ([], 0)
    ((position, reason),) = found["rejects"]
    assert position in ("file", "[0]")
    assert reason.startswith("the body of a call")


def test_an_envelope_is_opened_whatever_else_is_in_it() -> None:
    extra = {"choices": [], "completion": "x", "blocks": 1, "type": "log", "spend": 0}
    for name in ("EventBridge's lines", "Elastic, flattened"):
        wrapped = [json.loads(line) | extra for line in ENVELOPES[name](RECORDS).splitlines()]
        assert read(lines(wrapped).encode()) == PLAIN


RESOURCES = [{"ResourceType": "AWS::Bedrock::Model", "ResourceName": "arn:aws:bedrock:x"}]


@pytest.mark.parametrize("other", [[], {}, RESOURCES, RESOURCES[0], [RESOURCES], ["a", "b"]])
def test_a_row_may_have_lists_and_objects_next_to_its_record(other: Any) -> None:
    for row in (
        lambda value: ["0a1b", text_of(value), other],
        lambda value: [other, "0a1b", text_of(text_of(value))],
        lambda value: [value, other, None, other],
        lambda value: [text_of(value), other],
    ):
        rows = [row(value) for value in RECORDS]
        assert read(file_of(rows)) == read(file_of({"Events": rows})) == PLAIN


def test_a_list_of_records_is_no_row() -> None:
    good, other = call(1), {"words": "x"}
    for values in ([good, other], [text_of(good), text_of(other)], [text_of(good), "{oops"]):
        found = read(file_of(values))
        assert len(found["events"]) == 1
        assert [position for position, _ in found["rejects"]] == ["[1]"]
    assert len(read(file_of(["x", call(1), call(2)]))["events"]) == 2


def test_no_body_leaves_its_record() -> None:
    body = {"messages": [{"role": "user", "content": json.dumps({"detail": call(7)}) + CANARY}]}
    record = logged(1)
    record["input"]["inputBodyJson"] = record["output"]["outputBodyJson"] = body
    odd = record | {"timestamp": CANARY}
    for name, envelope in ENVELOPES.items():
        found = read(file_of(envelope([record, odd])))
        assert len(found["events"]) == 1, name
        assert CANARY not in repr(found)


# Other names.


EVENTS = [
    record for record in RECORDS if "eventID" in record and "serviceEventDetails" not in record
]
LOGS = [record for record in RECORDS if "schemaType" in record]


@pytest.mark.parametrize("name", TABLES)
def test_events_under_other_names(name: str) -> None:
    wanted, table = read(file_of(EVENTS)), [TABLES[name](event) for event in EVENTS]
    for data in (
        file_of(table),
        lines(table).encode(),
        file_of({"Records": table}),
        file_of(ENVELOPES["SQS"](table)),
    ):
        assert read(data) == wanted
    if not name.startswith(("OCSF", "upper case")):
        assert read(in_columns([texts(row) for row in table])) == wanted


def test_pages_of_profiles_and_answers_without_records() -> None:
    page = {"inferenceProfileSummaries": [{"inferenceProfileArn": f"{ARN}/{n}"} for n in (1, 2)]}
    assert len(read(file_of(page))["rows"]) == 2
    pages = [page, {"inferenceProfileSummaries": []}, {"Events": []}, {"results": []}]
    assert read(file_of(pages)) == read(file_of(page))
    assert rejects(file_of([page, {"other": []}])) == [("[1]", UNKNOWN)]


MINUTE = {
    "metric_stream_name": "all", "account_id": "111122223333", "region": "us-east-1",
    "namespace": "AWS/Bedrock", "metric_name": "InputTokenCount",
    "dimensions": {"ModelId": HAIKU}, "timestamp": 1793613600000,
    "value": {"max": 9.0, "min": 1.0, "sum": 10.0, "count": 2.0}, "unit": "Count",
}  # fmt: skip


def test_a_metric_stream() -> None:
    others = [MINUTE | {"namespace": "AWS/EC2"}, MINUTE | {"dimensions": {}}]
    found = shown(Decoder().decode(lines([MINUTE, *others]).encode()))
    assert (len(found["rows"]), found["rejects"]) == (1, [])


def test_rows_of_fields_and_values() -> None:
    wanted = read(file_of(EVENTS))
    rows = [[{key: value} for key, value in texts(event).items()] for event in EVENTS]
    assert read(file_of({"QueryStatus": "FINISHED", "QueryResultRows": rows})) == wanted
    fields = [[{"field": k, "value": str(v)} for k, v in flat(event).items()] for event in EVENTS]
    assert read(file_of({"results": fields, "status": "Complete"})) == wanted
    names = list(dict.fromkeys(key for event in EVENTS for key in event))
    cells = [[texts(event).get(name) for name in names] for event in EVENTS]
    head = [{"VarCharValue": name.lower()} for name in names]
    data = [{"Data": [{"VarCharValue": cell} if cell else {} for cell in row]} for row in cells]
    assert read(file_of({"ResultSet": {"Rows": [{"Data": head}, *data]}})) == wanted
    types = {"rowType": [{"name": name.upper()} for name in names]}
    assert read(file_of({"resultSetMetaData": types, "data": cells})) == wanted


@pytest.mark.parametrize(
    "table",
    [texts, lambda log: renamed(log, str.lower), lambda log: renamed(log, snake), lambda log: log | {"input": json.dumps(log["input"])}],
)  # fmt: skip
def test_logs_under_other_names(table: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    data = [table(log | {"requestMetadata": {"Team_Name": "x"}}) for log in LOGS]
    if "requestmetadata" in data[0] or "request_metadata" in data[0]:
        key = "requestmetadata" if "requestmetadata" in data[0] else "request_metadata"
        data = [one | {key: {"Team_Name": "x"}} for one in data]
    wanted = read(file_of([log | {"requestMetadata": {"Team_Name": "x"}} for log in LOGS]))
    assert read(file_of(data)) == wanted
    assert read(lines(data).encode()) == wanted


def test_athenas_rows_in_csv() -> None:
    models = [{"ARN": f"{ARN}/{n}", "accountId": None, "type": "T"} for n in (1, 2)]
    named = call(7, requestParameters=None, resources=models, additionalEventData={})
    named["userIdentity"] = role_identity("chat", "x", attributes={"mfa": "false"})
    row = {key.lower(): athena_row(value) for key, value in named.items() if value is not None}
    assert read(in_columns([row])) == read(file_of([named]))
    for broken in ("[{arn=x}", "[{arn=x},{arn=y}]", "[{arn=x}, 7]", "[{}]", "[{arn=[{arn=x}}]"):
        (event,) = read(in_columns([row | {"resources": broken}]))["events"]
        assert event != read(file_of([named]))["events"][0]
    logs = [log | {"requestMetadata": {"Team_Name": "x"}} for log in LOGS]
    cells = [
        {key.lower(): athena_row(value) for key, value in log.items()}
        | {"requestmetadata": "{Team_Name=x}"}
        for log in logs
    ]
    assert read(in_columns(cells)) == read(file_of(logs))


@pytest.mark.parametrize("between", [".", "_"])
def test_logs_with_flattened_fields(between: str) -> None:
    for number, log in enumerate(copy.deepcopy(LOGS)):
        log["input"]["inputTokenCount"], log["output"]["outputTokenCount"] = 12_345 * number, 678
        numbers = {key.replace(".", between): value for key, value in flat(log).items()}
        fields = {key: str(value) for key, value in numbers.items()}
        wanted = read(file_of([log]))
        assert read(file_of([numbers])) == read(file_of([fields])) == wanted
        assert read(in_columns([fields])) == wanted
        # pandas, where other rows have no count.
        floats = {k: float(v) if isinstance(v, int) else v for k, v in numbers.items()}
        assert read(in_columns([floats])) == wanted
        chosen = {key: value for key, value in fields.items() if not key.startswith("schema")}
        row = [{"field": key, "value": value} for key, value in chosen.items()]
        assert read(file_of({"results": [row]})) == wanted


NESTED = {
    "requestParameters": {
        "modelId": HAIKU,
        "serviceTier": {"type": "flex"},
        "performanceConfig": {"latency": "standard"},
        "requestMetadata": {"application": "Shop_A", "Cost_Center-x": "7"},
    },
    "resources": {"0": {"ARN": f"{ARN}/1", "type": "T"}},
    "userIdentity": role_identity(
        "chat",
        "carol",
        webIdFederationData={"federatedProvider": "login.microsoftonline.com/t"},
    ),
}


@pytest.mark.parametrize("between", [".", "_", "__"])
def test_flattened_names_lead_to_any_depth(between: str) -> None:
    named = call(7, **NESTED)
    named["userIdentity"].pop("accessKeyId", None)
    fields = {key.replace(".", between): value for key, value in flat(named).items()}
    in_file = named | {"resources": list(named["resources"].values())}
    wanted = read(file_of([in_file]))
    assert wanted["events"][0].service_tier == "flex"
    assert wanted["events"][0].user_name == "carol"
    assert read(file_of([fields])) == read(in_columns([fields])) == wanted
    served = {"onBehalfOf": {"userId": "u-1"}}
    for identity in (served, {"sessionContext": {"sourceIdentity": "bob"}}):
        one = call(8, userIdentity=named["userIdentity"] | identity)
        fields = {key.replace(".", between): value for key, value in flat(one).items()}
        assert read(file_of([fields])) == read(file_of([one]))
    log = logged(9, serviceTier={"type": "flex"}, requestMetadata={"Cost_Center-x": "7"})
    fields = {key.replace(".", between): value for key, value in flat(log).items()}
    assert read(file_of([fields])) == read(in_columns([fields])) == read(file_of([log]))


@pytest.mark.parametrize("account_id", ["111122223333", "000122223333"])
def test_account_ids_as_numbers(account_id: str) -> None:
    caller = role_identity("chat") | {"accountId": account_id}
    event = call(7, userIdentity=caller, recipientAccountId=account_id)
    log = logged(9, accountId=account_id)
    numbers = event | {"recipientAccountId": int(account_id)}
    numbers["userIdentity"] = caller | {"accountId": int(account_id)}
    assert read(file_of([numbers])) == read(file_of([event]))
    assert read(file_of([log | {"accountId": int(account_id)}])) == read(file_of([log]))


@pytest.mark.parametrize("pair", [lambda k, v: [k, v], lambda k, v: {"key": k, "value": v}])
def test_a_map_of_a_logs_table(pair: Callable[[str, str], Any]) -> None:
    metadata = {"application": "Shop", "cost": "7"}
    log = renamed(logged(9), str.lower) | {"requestmetadata": [pair(*i) for i in metadata.items()]}
    assert read(file_of([log])) == read(file_of([logged(9, requestMetadata=metadata)]))
    for broken in ([{}], [7], [[1]], [[[], 2]], [pair("a", "b"), None]):
        found = read(file_of([log | {"requestmetadata": broken}]))
        assert len(found["events"]) == 1


def test_the_fields_of_elastics_hits() -> None:
    def hits(records: list[dict[str, Any]]) -> bytes:
        found = [{key: [value] for key, value in flat(record).items()} for record in records]
        return file_of({"hits": {"hits": [{"_index": "i", "fields": fields} for fields in found]}})

    assert read(hits(EVENTS)) == read(file_of(EVENTS))
    assert read(hits(LOGS)) == read(file_of(LOGS))


def test_an_event_may_have_anything_under_other_names() -> None:
    for path in some(nodes(renamed(EVENTS[3], snake)), 12):
        for value in (None, 7, "x", [], {}, "{", "{a=1", [1, {"b": 2}], {"\ud800": 1}):
            event = renamed(json.loads(json.dumps(EVENTS[3])), snake)
            part = event
            for key in path[:-1]:
                part = part[key]
            part[path[-1]] = value
            for position, reason in rejects(file_of([event])):
                assert "cannot be understood" not in reason, (path, value, position)


def test_rows_of_parquet() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    wanted = read(file_of(EVENTS))
    for table in (
        EVENTS,
        [TABLES["snake case"](texts(event)) for event in EVENTS],
        list(map(ocsf, EVENTS)),
    ):
        written = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(table), written, compression="zstd")
        assert read(written.getvalue()) == wanted
        assert read(gzip.compress(written.getvalue())) == wanted
    assert rejects(written.getvalue()[:200]) == [
        ("file", "the Parquet data is damaged or truncated")
    ]
    stream = io.BytesIO()
    dimensions = pyarrow.map_(pyarrow.string(), pyarrow.string())
    columns = {key: [value] for key, value in MINUTE.items() if key != "dimensions"}
    columns["dimensions"] = pyarrow.array([[("ModelId", HAIKU)]], dimensions)
    parquet.write_table(pyarrow.table(columns), stream)
    assert len(shown(Decoder().decode(stream.getvalue()))["rows"]) == 1
    bill = io.BytesIO()
    parquet.write_table(pyarrow.table({"line_item_usage_type": ["x"]}), bill)
    ((_, reason),) = rejects(bill.getvalue())
    assert reason.startswith("a row of a cost and usage report (CUR): ")


def test_without_a_reader_of_parquet_the_message_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("pyarrow", "pyarrow.parquet", "duckdb"):
        monkeypatch.setitem(sys.modules, module, None)
    assert rejects(b"PAR1" + bytes(40) + b"PAR1") == [
        ("file", 'Parquet: to read it, pip install "bedrock-usage[parquet]"')
    ]


def test_inspect_says_what_was_opened(tmp_path: Path) -> None:
    value = ENVELOPES["SQS"]([ENVELOPES["get-query-results"]([call(1)])])
    (tmp_path / "file").write_bytes(gzip.compress(file_of(value)))
    words = ["inspect", str(tmp_path / "file"), "--db", str(tmp_path / "w.db")]
    told = "gzip, then body, then row of fields and values, then @message of CloudWatch Logs"
    assert (
        f"Unwrapped from {told}" in CliRunner().invoke(main, words, env={"COLUMNS": "200"}).output
    )
    found = json.loads(CliRunner().invoke(main, [*words, "--format", "json"]).output)
    assert found["events"][0]["unwrapped_from"] == told.split(", then ")


def test_what_people_save_of_the_console() -> None:
    header = "Event name,Event time,User name,Event source,Resource type,Resource name"
    ((_, reason),) = rejects(f"{header}\nConverse,x,alice,bedrock.amazonaws.com,,\n".encode())
    assert reason.startswith("the table of the event history in CSV: ")
    assert HAIKU
