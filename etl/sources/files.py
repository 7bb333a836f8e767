"""The raw content of a file: CloudTrail and invocation logs, saved ``lookup-events`` and
``filter-log-events`` pages, CloudWatch totals, profiles.

The format is detected from the content, never from the name: gzip or plain (``etl.sources.unzip``),
one JSON document or several, whose values ``etl.sources.split`` cuts out, or the CSV of
``etl.totals_csv``. This module classifies each value. It interprets nothing: an item is the bytes
of one record.

What cannot be read is reported with its position. The message holds no text of the file.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from etl.errors import reason_of
from etl.sources.split import (
    LIST_KEYS,
    Raw,
    Splitter,
    Unreadable,
    Values,
    json_problem,
    load_value,
)
from etl.sources.unzip import Unzipped
from etl.totals_csv import CSV_COLUMNS

_HEAD_BYTES = 4096

# No real CSV line is as long. The longest field that csv accepts is half of it.
_LINE_LETTERS = 1 << 18

UNKNOWN = "neither Records, Events, MetricDataResults, inferenceProfileSummaries nor an event"

_KEYS_OF_EVENTS = ("eventID", "eventTime", "eventSource", "eventName", "eventVersion")
_LOGGED_CALL = b'{"schemaType":"ModelInvocationLog"'


class Item(NamedTuple):
    """One raw record in a file.

    ``kind`` is event, logged call, metric answer, metric row or profile. ``value`` is its JSON as
    bytes; for a metric row, the fields by name.
    """

    position: str
    kind: str
    value: Any


class Events(NamedTuple):
    """Events of one list: all in one stretch of the file. ``values`` knows their positions."""

    values: Values


class _Head(msgspec.Struct, gc=False):
    """The keys that identify a document."""

    eventID: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    eventTime: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    eventSource: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    eventName: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    eventVersion: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    schemaType: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    inferenceProfileArn: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    MetricDataResults: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    Records: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    Events: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    events: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inferenceProfileSummaries: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

# What LookupEvents and FilterLogEvents return as a string inside their own event.
_WRAPPERS = {"Events": ("CloudTrailEvent", "event"), "events": ("message", "logged call")}

# Nested lists are unpacked this deep: pages in an array, events in a page.
_MAX_LISTS = 8


def parse_items(
    pieces: Iterable[bytes], *, heavy: int | None = None
) -> Iterator[Item | Events | Unreadable]:
    """Yield the raw items of a file, whose bytes come in pieces, gzip or not.

    ``heavy``: the record size in bytes above which HeavyError is raised.
    """
    unzipped = Unzipped(pieces)
    content = iter(unzipped)
    head = b""
    while len(head) < _HEAD_BYTES and (piece := next(content, b"")):
        head += piece
    yield from _parse_content(head, content, unzipped, heavy)
    if unzipped.damage:
        yield Unreadable("file", unzipped.damage)


def _parse_content(
    head: bytes, rest: Iterator[bytes], unzipped: Unzipped, heavy: int | None
) -> Iterator[Item | Events | Unreadable]:
    encoding = json.detect_encoding(head)
    text = head[:_HEAD_BYTES].decode(encoding, "replace").lstrip("\ufeff")
    if not head:
        if not unzipped.damage:
            yield Unreadable("file", "empty")
        return
    if "\0" in text[:1024]:
        yield Unreadable("file", "not text")
        return
    content = chain([head], rest)
    if _is_csv(text):
        yield from _parse_csv(_lines(content, encoding))
        return
    is_empty = True
    for found in Splitter(_as_utf8(content, encoding), heavy=heavy):
        is_empty = False
        yield from classify(found)
    if is_empty and not unzipped.damage:
        yield Unreadable("file", "empty")


def _as_utf8(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    if not encoding.startswith("utf-8"):
        texts = codecs.iterdecode(pieces, encoding, "replace")
        pieces = (text.encode("utf-8", "replace") for text in texts)
    is_first = True
    for piece in pieces:
        yield piece.removeprefix(codecs.BOM_UTF8) if is_first else piece
        is_first = False


def classify(found: Values | Unreadable, depth: int = 0) -> Iterator[Item | Events | Unreadable]:
    """Classify values, and unpack those that hold others."""
    if isinstance(found, Unreadable):
        yield found
    elif found.key == "Records":
        yield Events(found)
    else:
        for index, raw in enumerate(found.raws):
            if raw or found.key is not None:
                yield from _classify_one(bytes(raw), found.position(index), found.key, depth)


def _classify_one(
    raw: bytes, place: str, key: str | None, depth: int
) -> Sequence[Item | Events | Unreadable]:
    try:
        if key in _WRAPPERS:
            return [_unwrap(raw, place, *_WRAPPERS[key])]
        if key == "inferenceProfileSummaries":
            return [Item(place, "profile", raw)]
        return list(_classify_document(raw, place, depth))
    except Exception as error:
        return [Unreadable(place, reason_of(error))]


def _classify_document(raw: bytes, place: str, depth: int) -> Iterator[Item | Events | Unreadable]:
    where = "" if place == "file" else place
    if raw.startswith(_LOGGED_CALL):
        yield Item(place, "logged call", raw)
    elif raw.startswith(b"["):
        yield from _take_list(raw, where, "", depth)
    elif not raw.startswith(b"{"):
        yield Item(place, "event", raw)
    else:
        head = _head(raw)
        key = next((key for key in LIST_KEYS if _is_list(getattr(head, key))), None)
        if kind := _kind(head):
            yield Item(place, kind, raw)
        elif key:
            yield from _take_list(getattr(head, key), where, key, depth)
        else:
            yield Unreadable(place, UNKNOWN)


def _head(raw: bytes) -> _Head:
    try:
        return _decode_head(raw)
    except _NO_JSON:
        # Python accepts this JSON, msgspec does not: it has NaN, or half of a surrogate pair.
        # Written again, both accept it.
        return _head_of(load_value(raw))


def _head_of(document: Mapping[str, Any]) -> _Head:
    return _Head(
        **{
            key: msgspec.Raw(json.dumps(document[key]).encode())
            for key in _Head.__struct_fields__
            if key in document
        }
    )


def _kind(head: _Head) -> str | None:
    if any(getattr(head, key) is not msgspec.UNSET for key in _KEYS_OF_EVENTS):
        return "event"
    if head.MetricDataResults is not msgspec.UNSET:
        return "metric answer"
    if head.inferenceProfileArn is not msgspec.UNSET:
        return "profile"
    is_log = head.schemaType is not msgspec.UNSET and (
        bytes(head.schemaType) == b'"ModelInvocationLog"'
    )
    return "logged call" if is_log else None


def _is_list(raw: msgspec.Raw | msgspec.UnsetType) -> bool:
    return raw is not msgspec.UNSET and bytes(raw).startswith(b"[")


def _take_list(raw: Raw, where: str, key: str, depth: int) -> Iterator[Item | Events | Unreadable]:
    if depth >= _MAX_LISTS:
        yield Unreadable(where or "file", "lists are nested too deeply")
        return
    try:
        raws = _decode_list(raw)
    except _NO_JSON:
        values = load_value(bytes(raw))
        raws = [msgspec.Raw(json.dumps(value).encode()) for value in values]
    yield from classify(Values(where, key, 0, raws), depth + 1)


def _unwrap(raw: bytes, position: str, key: str, kind: str) -> Item | Unreadable:
    """Return the event that is stored as text under a key of another."""
    value = load_value(raw)
    wrapped = value.get(key) if isinstance(value, dict) else None
    if not isinstance(wrapped, str):
        return Unreadable(position, f"no {key}")
    # Half of a surrogate pair has no encoding.
    inner = wrapped.encode("utf-8", "replace")
    problem = json_problem(inner)
    return Unreadable(position, f"{key}: {problem}") if problem else Item(position, kind, inner)


# Tables.


def _is_csv(text: str) -> bool:
    header = text.lstrip().splitlines()[0].lower() if text.strip() else ""
    return "{" not in header and "account_id" in header and "," in header


def _lines(pieces: Iterable[bytes], encoding: str) -> Iterator[str | None]:
    """Yield the lines of a text, whatever the line ending; None for one that is too long."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    newlines = io.IncrementalNewlineDecoder(decoder, translate=True)
    rest, is_too_long = "", False
    for piece in chain(pieces, [b""]):
        *whole, rest = (rest + newlines.decode(piece, final=not piece)).split("\n")
        for line in whole:
            yield None if is_too_long or len(line) > _LINE_LETTERS else f"{line}\n"
            is_too_long = False
        if len(rest) > _LINE_LETTERS:
            rest, is_too_long = "", True
    if rest or is_too_long:
        yield None if is_too_long else rest


def _parse_csv(lines: Iterable[str | None]) -> Iterator[Item | Unreadable]:
    """Parse each line separately, so that an unclosed quote affects no other line."""
    header: list[str] = []
    for number, line in enumerate(lines, 1):
        place = f"line {number}"
        try:
            fields = _fields(line)
        except csv.Error:
            yield Unreadable(place, "not CSV, or a field or the line is too long")
            if not header:
                return
            continue
        if not header:
            header = fields
            if missing := [name for name in CSV_COLUMNS if name not in header]:
                yield Unreadable(place, f"the CSV has no column {', '.join(missing)}")
                return
        elif len(fields) > len(header):
            yield Unreadable(place, "more fields than the header names")
        elif fields:
            row = dict.fromkeys(header) | dict(zip(header, fields, strict=False))
            yield Item(place, "metric row", row)


def _fields(line: str | None) -> list[str]:
    if line is None:
        raise csv.Error
    return next(csv.reader([line.lstrip("\ufeff")], strict=True), [])
