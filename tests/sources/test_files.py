"""The content of a file: every form, and every kind of damage."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from etl.errors import BedrockUsageError
from etl.sources.files import Events, Item, parse_items
from etl.sources.split import Unreadable
from etl.sources.stores import LocalStore, StoredFile
from tests.cases import cases
from tests.rounds import crossed
from tests.support import call, uuid_of, write_metrics

EVENTS = [call(n) for n in range(5)]
LOG = json.dumps({"Records": EVENTS}).encode()


def read(path: Path, content: bytes) -> list[Item | Unreadable]:
    path.write_bytes(content)
    return read_items(path)


def read_items(path: Path) -> list[Item | Unreadable]:
    file = LocalStore().find(str(path))
    assert isinstance(file, StoredFile)
    return list(each_item(LocalStore().read(file).pieces()))


def each_item(pieces: Iterable[bytes]) -> Iterator[Item | Unreadable]:
    """Yield the items with their values built, those of a log one by one."""
    for found in parse_items(pieces):
        if isinstance(found, Events):
            for index, raw in enumerate(found.values.raws):
                position = found.values.position(index)
                yield Item(position, "event", json.loads(bytes(raw)))
        elif isinstance(found, Item) and isinstance(found.value, bytes):
            yield found._replace(value=json.loads(found.value))
        else:
            yield found


def ids(items: list[Item | Unreadable]) -> list[str]:
    return [item.value["eventID"] for item in items if isinstance(item, Item)]


def problems(items: list[Item | Unreadable]) -> list[tuple[str, str]]:
    return [(item.position, item.reason) for item in items if isinstance(item, Unreadable)]


ALL = [uuid_of(n) for n in range(5)]


@pytest.mark.parametrize(
    ("content", "pack"),
    crossed(
        [
            LOG,
            json.dumps({"Records": EVENTS}, indent=2).encode(),
            b"\xef\xbb\xbf" + LOG,
            json.dumps({"Records": EVENTS}).encode("utf-16"),
            "\n".join(map(json.dumps, EVENTS)).encode(),
            "\r\n\r\n".join(map(json.dumps, EVENTS)).encode(),
            "".join(json.dumps(event, indent=1) for event in EVENTS).encode(),
            json.dumps(EVENTS).encode(),
            json.dumps(
                {
                    "NextToken": "x",
                    "Events": [{"EventId": "e", "CloudTrailEvent": json.dumps(e)} for e in EVENTS],
                }
            ).encode(),
            json.dumps([{"Events": [{"CloudTrailEvent": json.dumps(e)}]} for e in EVENTS]).encode(),
            b"\n".join(json.dumps({"Records": [e]}).encode() for e in EVENTS),
        ],
        [bytes, gzip.compress],
    ),
)
def test_every_form_is_detected_from_its_content(
    tmp_path: Path, content: bytes, pack: type
) -> None:
    # The name is uninformative or wrong.
    items = read(tmp_path / "events.txt", pack(content))
    assert ids(items) == ALL
    assert not problems(items)


def test_a_bare_event(tmp_path: Path) -> None:
    assert read(tmp_path / "one", json.dumps(EVENTS[0]).encode()) == [
        Item("file", "event", EVENTS[0])
    ]


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    packed = b"".join(gzip.compress(json.dumps(event).encode() + b"\n") for event in EVENTS)
    assert ids(read(tmp_path / "log.gz", packed)) == ALL


def test_a_log_that_is_cut_off_gives_its_complete_records(tmp_path: Path) -> None:
    items = read(tmp_path / "cut.json", LOG[: LOG.index(uuid_of(3).encode()) + 5])
    assert ids(items) == ALL[:3]
    assert problems(items) == [
        ("Records[3]", "the JSON is truncated; 3 records before it were read")
    ]


def test_a_log_damaged_inside_yields_everything_before_the_damage(tmp_path: Path) -> None:
    at = LOG.index(uuid_of(2).encode())
    items = read(tmp_path / "bad.json", LOG[:at] + b'"\x00{' + LOG[at:])
    assert ids(items) == ALL[:2]
    ((position, reason),) = problems(items)
    assert position == "Records[2]"
    assert reason.startswith("not JSON (at character")


def test_a_lookup_page_that_is_cut_off_gives_its_complete_events(tmp_path: Path) -> None:
    page = json.dumps({"Events": [{"CloudTrailEvent": json.dumps(e)} for e in EVENTS]})
    items = read(tmp_path / "cut.json", page[: page.index(uuid_of(4))].encode())
    assert ids(items) == ALL[:4]


def test_gzip_that_is_cut_off_gives_what_it_holds(tmp_path: Path) -> None:
    lines = "\n".join(map(json.dumps, EVENTS * 200)).encode()
    packed = gzip.compress(lines)
    items = read(tmp_path / "cut.gz", packed[: len(packed) // 2])
    assert len(ids(items)) > 100
    assert problems(items)[-1] == (
        "file",
        "the gzip data is truncated; everything before that was read",
    )


def test_gzip_that_is_damaged_says_so(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(LOG))
    packed[-6] ^= 0xFF  # the checksum
    items = read(tmp_path / "bad.gz", bytes(packed))
    assert ids(items) == ALL
    assert problems(items) == [
        ("file", "the gzip data is damaged; everything before that was read")
    ]


@pytest.mark.parametrize(
    ("content", "position", "reason"),
    [
        (b"", "file", "empty"),
        (b" \n ", "file", "empty"),
        (b"hello", "file", "not JSON (at character 0)"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "file", "not text"),
        (b'{"Records": [', "Records[0]", "the JSON is truncated; 0 records before it were read"),
        (b'{"eventID": "x', "file", "the JSON is truncated"),
        (b"[" * 100_000, "[0]", "nested too deeply; 0 records before it were read"),
        (b"{}", "file", "neither Records, Events, MetricDataResults, inferenceProfileSummaries nor an event"),
        (b'{"Records": {}}', "file", "neither Records, Events, MetricDataResults, inferenceProfileSummaries nor an event"),
        (b'{"events": [{}]}', "events[0]", "no message"),
        (b'{"events": [{"message": "{"}]}', "events[0]", "message: the JSON is truncated"),
        (b'{"Events": [{}]}', "Events[0]", "no CloudTrailEvent"),
        (b'{"Events": [{"CloudTrailEvent": "{"}]}', "Events[0]", "CloudTrailEvent: the JSON is truncated"),
        (b"account_id,region,value\n1,2,3\n", "line 1", "the CSV has no column model_id, period_start, period_seconds, metric"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_reported_with_its_position(
    tmp_path: Path, content: bytes, position: str, reason: str
) -> None:
    assert problems(read(tmp_path / "file", content)) == [(position, reason)]


@cases("content", [b'{"Records":[]}', b"[]", b' {"Events": [ ]}\n', b'{"events": []}', b"[[]]"])
def test_a_quiet_day_is_no_problem(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path / "file", content) == []


def test_a_bad_line_does_not_cost_the_others(tmp_path: Path) -> None:
    lines = [json.dumps(EVENTS[0]), '{"eventID": oops', json.dumps(EVENTS[1])]
    items = read(tmp_path / "events.jsonl", "\n".join(lines).encode())
    assert ids(items) == ALL[:2]
    assert problems(items) == [("line 2", "not JSON (at character 12)")]


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name, reason in (("folder", "Is a directory"), ("gone", "no longer there")):
        with pytest.raises(BedrockUsageError, match=reason):
            LocalStore().read(StoredFile(f"{tmp_path}/", name, "", 0))


def test_a_metrics_csv_gives_a_row_a_line(tmp_path: Path) -> None:
    file = write_metrics(
        tmp_path / "m.csv", [("m", "InputTokenCount", 1), ("m", "OutputTokenCount", 2)]
    )
    items = read_items(file)
    assert [(i.position, i.kind, i.value["value"]) for i in items if isinstance(i, Item)] == [
        ("line 2", "metric row", "1"),
        ("line 3", "metric row", "2"),
    ]
    file.write_text(file.read_text() + "1,2,3,4,5,6,7,8\n")
    assert problems(read_items(file)) == [("line 4", "more fields than the header names")]


def test_folders_are_walked_by_name_without_what_holds_no_events(tmp_path: Path) -> None:
    for name in (
        "b/2.json",
        "b/1.json",
        "a.json",
        "CloudTrail-Digest/d.json",
        ".hidden",
        ".git/x",
        "c.json",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    root = f"{tmp_path}/"
    walked = [file.uri.removeprefix(root) for file in LocalStore().files_below(root)]
    assert walked == ["a.json", "b/1.json", "b/2.json", "c.json"]
