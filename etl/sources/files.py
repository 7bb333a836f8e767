"""What stands in a file, raw: CloudTrail and invocation logs, saved ``lookup-events`` and
``filter-log-events`` pages, CloudWatch totals, profiles.

The format is told from the content, never from the name: gzip or plain, one JSON document, several
one after another (JSON lines), or the CSV of ``etl.normalise.cloudwatch``. A damaged file gives all
the complete records that stand before the damage, and one ``Unreadable`` that says where it is; no
text of the file goes into that message.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

from etl.normalise.cloudwatch import CSV_COLUMNS

MAX_FILE_BYTES = 1 << 30

_CHUNK_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_ARRAY_OF_EVENTS = re.compile(r'"(Records|Events)"\s*:\s*\[')
_SPACE = re.compile(r"\s*")
_BETWEEN_ELEMENTS = re.compile(r"[\s,]*")
_EVENT_KEYS = frozenset({"eventID", "eventTime", "eventSource", "eventName", "eventVersion"})
_DECODER = json.JSONDecoder()


class Item(NamedTuple):
    """One raw thing in a file.

    ``kind`` is event, logged call, metric answer, metric row or profile.
    """

    position: str
    kind: str
    value: Any


class Unreadable(NamedTuple):
    """A place in a file that could not be read, and why."""

    position: str
    reason: str


def read_bounded(file: BinaryIO) -> bytes:
    """Return what an open file holds, but at most one byte more than ``MAX_FILE_BYTES``.

    Piece by piece: to ask for so much at once would take the memory for it.
    """
    parts: list[bytes] = []
    left = MAX_FILE_BYTES + 1
    while left and (part := file.read(min(left, _CHUNK_BYTES))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def parse_items(content: bytes, damage: str | None = None) -> Iterator[Item | Unreadable]:
    """Yield the raw items of a file's content; ``damage`` says what is wrong with its end."""
    text = content.decode(json.detect_encoding(content), "replace").lstrip("\ufeff")
    if not text.strip():
        yield Unreadable("file", damage or "empty")
        return
    if "\0" in text[:1024]:
        yield Unreadable("file", "not text")
        return
    yield from _parse_csv(text) if _is_csv(text) else _parse_json(text)
    if damage:
        yield Unreadable("file", damage)


def unzip(data: bytes) -> tuple[bytes, str | None]:
    """Return a file's content and what is wrong with it (None if nothing is).

    Data that are not gzip are the content. Of damaged data, what stands before the damage is given.
    """
    if not data.startswith(_GZIP_MAGIC):
        return _bounded(data)
    member = zlib.decompressobj(wbits=31)
    with contextlib.suppress(zlib.error):
        content = member.decompress(data, MAX_FILE_BYTES + 1)
        if member.eof and not member.unused_data and len(content) <= MAX_FILE_BYTES:
            return content, None
    return _unzip_what_is_there(io.BytesIO(data))


def _bounded(content: bytes) -> tuple[bytes, str | None]:
    if len(content) <= MAX_FILE_BYTES:
        return content, None
    return content[
        :MAX_FILE_BYTES
    ], f"only its first {MAX_FILE_BYTES >> 20} MiB were read: split it"


def _unzip_what_is_there(file: io.BytesIO) -> tuple[bytes, str | None]:
    # By hand, because gzip.open gives nothing of a member that is cut off.
    parts: list[bytes] = []
    size, member = 0, zlib.decompressobj(wbits=31)
    while chunk := file.read(_CHUNK_BYTES):
        while chunk:
            before = member.copy()
            try:
                part = member.decompress(chunk, MAX_FILE_BYTES + 1 - size)
            except zlib.error:
                parts.append(_until_damage(before, chunk))
                return b"".join(parts), "the gzip data are damaged; what stood before was read"
            parts.append(part)
            size += len(part)
            if size > MAX_FILE_BYTES:
                return _bounded(b"".join(parts))
            chunk = member.unused_data if member.eof else member.unconsumed_tail
            if member.eof and chunk.strip(b"\0"):
                member = zlib.decompressobj(wbits=31)
            elif member.eof:
                break
    is_whole = member.eof
    return b"".join(
        parts
    ), None if is_whole else "the gzip data are cut off; what is there was read"


def _until_damage(member: zlib._Decompress, chunk: bytes) -> bytes:
    """Unzip byte by byte, because an error gives nothing of the chunk it is in."""
    parts = []
    for byte in range(len(chunk)):
        try:
            parts.append(member.decompress(chunk[byte : byte + 1]))
        except zlib.error:
            break
    return b"".join(parts)


def _is_csv(text: str) -> bool:
    header = text.split("\n", 1)[0].lower()
    return "{" not in header and "account_id" in header and "," in header


def _parse_csv(text: str) -> Iterator[Item | Unreadable]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    missing = [name for name in CSV_COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        yield Unreadable("line 1", f"the CSV has no column {', '.join(missing)}")
        return
    try:
        for row in reader:
            if None in row:
                yield Unreadable(f"line {reader.line_num}", "more fields than the header names")
            else:
                yield Item(f"line {reader.line_num}", "metric row", row)
    except csv.Error as error:
        yield Unreadable(f"line {reader.line_num}", f"not CSV: {error}")


def _parse_json(text: str) -> Iterator[Item | Unreadable]:
    """Parse one document or several; go on at the next line that starts one after a bad one."""
    end, line_number, is_first = 0, 1, True
    while (start := _skip(_SPACE, text, end)) < len(text):
        line_number += text.count("\n", end, start)
        try:
            document, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = _next_document(text, start)
            yield from _salvage(text[start:end], "" if is_first else f"line {line_number}")
        else:
            is_alone = is_first and _skip(_SPACE, text, end) == len(text)
            yield from _classify(document, "" if is_alone else f"line {line_number}")
        line_number += text.count("\n", start, end)
        is_first = False


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


def _next_document(text: str, position: int) -> int:
    starts = [start + 1 for mark in ("\n{", "\n[") if (start := text.find(mark, position)) >= 0]
    return min(starts, default=len(text))


def _salvage(text: str, line: str) -> Iterator[Item | Unreadable]:
    """Read the complete records of a log document that is cut off or damaged within."""
    array = _ARRAY_OF_EVENTS.search(text, 0, 4096)
    if not array:
        yield Unreadable(line or "file", _json_problem(text))
        return
    name, index, at = array[1], 0, array.end()
    while True:
        at = _skip(_BETWEEN_ELEMENTS, text, at)
        try:
            element, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            problem = f"{_json_problem(text)}; {index} records before it were read"
            yield Unreadable(_join(line, f"{name}[{index}]"), problem)
            return
        yield from _take_apart({name: [element]}, line, index)
        index += 1


def _json_problem(text: str) -> str:
    """Say why a text that does not start with a JSON document does not."""
    try:
        _DECODER.raw_decode(text)
    except RecursionError:
        return "nested too deeply"
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        return "the JSON is cut off" if is_cut else f"not JSON (at character {error.pos})"
    except ValueError:
        return "not JSON: a number is too long"
    return "not JSON"


def _classify(document: Any, where: str) -> Iterator[Item | Unreadable]:
    """Say what a JSON document is, and take it apart into items."""
    if isinstance(document, list):
        for index, element in enumerate(document):
            yield from _classify(element, _join(where, f"[{index}]"))
    elif not isinstance(document, dict) or _EVENT_KEYS & document.keys():
        yield Item(where or "file", "event", document)
    elif "MetricDataResults" in document:
        yield Item(where or "file", "metric answer", document)
    elif "inferenceProfileArn" in document:
        yield Item(where or "file", "profile", document)
    elif document.get("schemaType") == "ModelInvocationLog":
        yield Item(where or "file", "logged call", document)
    else:
        yield from _take_apart(document, where)


def _take_apart(
    document: Mapping[str, Any], where: str, first_index: int = 0
) -> Iterator[Item | Unreadable]:
    for key, kind in (
        ("Records", "event"),
        ("Events", "lookup event"),
        ("events", "log event"),
        ("inferenceProfileSummaries", "profile"),
    ):
        elements = document.get(key)
        if isinstance(elements, list):
            for index, element in enumerate(elements, first_index):
                position = _join(where, f"{key}[{index}]")
                wrapper = _WRAPPERS.get(kind)
                yield (
                    _unwrap(element, position, *wrapper)
                    if wrapper
                    else Item(position, kind, element)
                )
            return
    yield Unreadable(
        where or "file",
        "neither Records, Events, MetricDataResults, inferenceProfileSummaries nor an event",
    )


# What LookupEvents, and FilterLogEvents, give as a string inside of their own event.
_WRAPPERS = {
    "lookup event": ("CloudTrailEvent", "event"),
    "log event": ("message", "logged call"),
}


def _unwrap(element: Any, position: str, key: str, kind: str) -> Item | Unreadable:
    wrapped = element.get(key) if isinstance(element, dict) else None
    if not isinstance(wrapped, str):
        return Unreadable(position, f"no {key}")
    try:
        return Item(position, kind, json.loads(wrapped))
    except (ValueError, RecursionError):
        return Unreadable(position, f"{key}: {_json_problem(wrapped)}")


def _join(where: str, place: str) -> str:
    return f"{where} {place}" if where else place
