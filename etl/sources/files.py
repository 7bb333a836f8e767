"""The raw content of a file: CloudTrail and invocation logs, CloudWatch totals and profiles, in
whatever wraps them.

The format is detected from the content, never from the name: compressed or packed
(``etl.sources.unzip``, ``etl.sources.archives``, ``etl.sources.parquet``), one JSON document or
several, whose values ``etl.sources.split`` cuts out, or CSV. This module looks at each value. One
that is an envelope (``etl.sources.envelopes``) is opened, up to ``MAX_LEVELS`` deep, until a record
is found. It interprets nothing: an item is the bytes of one record.

A text is content like a file's: JSON, lines of JSON, base64, gzip. So there is one way to read, and
memory is bounded on every level as it is for files.

What cannot be read is reported with its position. The message holds no text of the file.
"""

from __future__ import annotations

import binascii
import codecs
import csv
import io
import json
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from etl.errors import RejectError, reason_of
from etl.sources import archives
from etl.sources.envelopes import (
    CHECKS,
    EVENT,
    LOGGED_CALL,
    MAX_LEVELS,
    OWN_DETAIL,
    UNNAMED,
    Envelope,
    Fields,
    Unfit,
    contents,
    fields_of,
    fold,
    is_bulk_action,
    is_empty_page,
    is_other,
    is_textbook,
    kind_of,
    row_of,
    tables,
    unfit,
    unfit_columns,
)
from etl.sources.parquet import MAGIC as PARQUET
from etl.sources.parquet import read_rows
from etl.sources.split import (
    HeavyError,
    Raw,
    Splitter,
    Unreadable,
    Values,
    is_json,
    join,
    limit_of,
    load_value,
)
from etl.sources.unzip import Budget, Unzipped, is_compressed
from etl.totals_csv import CSV_COLUMNS

_HEAD_BYTES = 4096

# What is between the cells of a table; some write tabs or semicolons and call it CSV.
_DELIMITERS = ",\t;|"

# No real CSV line is as long. The longest field that csv accepts is half of it.
_LINE_LETTERS = 1 << 18

UNKNOWN = "neither Records, Events, MetricDataResults, inferenceProfileSummaries nor an event"
TOO_MANY_LEVELS = f"wrapped more than {MAX_LEVELS} times: unwrap it first"
TOO_MANY_PACKS = f"compressed or packed more than {MAX_LEVELS} times: unpack it first"

_LOGGED_CALL = b'{"schemaType":"ModelInvocationLog"'
# What the values of these lists must have.
_WANTED = {"Events": "CloudTrailEvent", "events": "message"}

# Nested lists are unpacked this deep: pages in an array, events in a page.
_MAX_LISTS = 8

# What a record in a list of fields begins with, and how many fields there may be.
_WHOLE_CELL = (b"{", b"[", b'"{', b'"[', b'"\\"')
_MAX_COLUMNS = 20

# A content that holds no record leaves so many problems; the others are counted.
_MAX_PROBLEMS = 100

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_MOMENT = re.compile(
    rb'"?(?:[0-9]{10,19}(?:\.[0-9]+)?|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.Z+]+)"?\Z'
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
# No text has others of the control characters.
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")

# The columns of a table that hold whole records.
_WHOLE_COLUMNS = frozenset(
    {"@message", "_raw", "message", "cloudtrailevent", "eventjson", "raw", "event"}
)


class Item(NamedTuple):
    """One raw record in a file.

    ``kind``: event, logged call, metric answer, metric record (of a stream), metric row (of a CSV)
    or profile; other for what deliveries send besides; repeat for what was named before. ``value``
    is its JSON as bytes; for a metric row, the fields by name. ``peeled``: what was around it, from
    outside.
    """

    position: str
    kind: str
    value: Any
    peeled: tuple[str, ...] = ()


class UnfitItem(Unreadable):
    """Something known that cannot serve. Its reason says what to do."""

    __slots__ = ()


class At(NamedTuple):
    """A place in a file. ``key``: of the text at that position, "" if it is not in another.

    ``peeled``: what is around it, from outside. ``packs`` counts the compressions and archives
    among these, ``levels`` the envelopes, ``lists`` the lists within the innermost of them.
    """

    where: str = ""
    key: str = ""
    peeled: tuple[str, ...] = ()
    packs: int = 0
    levels: int = 0
    lists: int = 0

    def within(self, position: str) -> At:
        """Return a place by its position relative to this one."""
        return self if position == "file" else self._replace(where=join(self.where, position))

    def as_row(self, of: str) -> At:
        """Return the place of a row that is put together to an object."""
        return self._replace(peeled=(*self.peeled, f"row of {of}"))

    def item(self, kind: str, value: Any) -> Item:
        """Return a record at this place."""
        return Item(self.where or "file", kind, value, self.peeled)

    def problem(self, reason: str, number: int = 1) -> Unreadable:
        """Return why there is no record at this place."""
        why = f"{self.key}: {reason}" if self.key else reason
        return Unreadable(self.where or "file", why, number)

    def problem_of(self, found: Unreadable) -> Unreadable:
        """Return a problem that was found at a position relative to this one."""
        return self.within(found.position).problem(found.reason, found.number)


class Events(NamedTuple):
    """Events of one list: all in one stretch of the file. ``values`` knows their positions.

    One that is no event may be an envelope: ``opened`` looks into it.
    """

    values: Values
    at: At
    peeler: Peeler

    @property
    def peeled(self) -> tuple[str, ...]:
        return self.at.peeled

    def opened(self, index: int) -> Iterator[Found]:
        """Yield what an envelope holds; nothing if the value of that index is none."""
        at = self.at._replace(where=self.values.position(index))
        return self.peeler.opened(bytes(self.values.raws[index]), at)


Found = Item | Events | Unreadable


def parse_items(pieces: Iterable[bytes], *, heavy: int | None = None) -> Iterator[Found]:
    """Yield the raw items of a file, whose bytes come in pieces, whatever they are wrapped in.

    ``heavy``: the record size in bytes above which HeavyError is raised.
    """
    budget = Budget()
    return Peeler(budget, heavy).content(budget.reading(pieces), At())


def parse_text(text: str) -> Iterator[Found]:
    """Yield the raw items of a text, such as the message of an event in a log group."""
    return Peeler(Budget()).text(text, At())


class Peeler:
    """Finds the records of one file. Each method yields those in one form of content."""

    def __init__(self, budget: Budget, heavy: int | None = None) -> None:
        self._budget, self._heavy = budget, heavy
        self._named: set[Unfit] = set()

    # Bytes.

    def content(self, pieces: Iterable[bytes], at: At) -> Iterator[Found]:
        """Yield the records in bytes, which may be compressed, an archive or text."""
        unzipped = Unzipped(pieces, self._budget)
        content = iter(unzipped)
        head = b""
        while len(head) < _HEAD_BYTES and (piece := next(content, b"")):
            head += piece
        kind = archives.format_of(head) or (PARQUET.decode() if head.startswith(PARQUET) else None)
        if packs := [name for name in (unzipped.name, kind) if name]:
            at = at._replace(peeled=(*at.peeled, *packs), packs=at.packs + len(packs))
        everything = chain([head], content)
        if at.packs > MAX_LEVELS:
            yield at.problem(TOO_MANY_PACKS)
            return
        if kind:
            yield from self._packed(kind, everything, at)
        elif unzipped.name and is_compressed(head):
            yield from self.content(everything, at)
        elif head:
            yield from self._plain(head, everything, at, unzipped)
        elif not unzipped.damage:
            yield at.problem("empty")
        if unzipped.damage:
            yield at.problem(unzipped.damage)

    def _packed(self, kind: str, content: Iterable[bytes], at: At) -> Iterator[Found]:
        if kind == PARQUET.decode():
            yield from self._parquet(content, at)
            return
        for found in archives.members(kind, content):
            if isinstance(found, Unreadable):
                yield at.problem_of(found)
            else:
                yield from self.content(found.content, at.within(found.position))

    def _plain(
        self, head: bytes, content: Iterable[bytes], at: At, unzipped: Unzipped
    ) -> Iterator[Found]:
        encoding = json.detect_encoding(head)
        text = head[:_HEAD_BYTES].decode(encoding, "replace").lstrip("\ufeff")
        if "\0" in text[:1024]:
            yield at.problem("not text")
            return
        if table := _csv_header(text):
            yield from self._csv(*table, _lines(content, encoding), at)
            return
        splitter = Splitter(_as_utf8(content, encoding), heavy=self._heavy)
        for found in splitter:
            yield from self._values(found, at)
        if splitter.is_blank and not unzipped.damage:
            yield at.problem("empty")

    # Values.

    def _values(self, found: Values | Unreadable, at: At) -> Iterator[Found]:
        """Yield the records in consecutive values, whose positions are relative to the place."""
        if isinstance(found, Unreadable):
            yield at.problem_of(found)
        elif found.key == "Records":
            yield Events(found._replace(where=join(at.where, found.where)), at, self)
        elif found.key == "" and (row := _row_of(found.raws)):
            inner = at.within(found.where or "file")
            yield from self._value(row, inner.as_row("fields and values"), None)
        else:
            for index, raw in enumerate(found.raws):
                if raw or found.key is not None:
                    yield from self._value(bytes(raw), at.within(found.position(index)), found.key)

    def _value(self, raw: bytes, at: At, key: str | None) -> Iterator[Found]:
        """Yield the records in one value. ``key``: of the list that it is in."""
        try:
            yield from self._any(raw, at, key)
        except (HeavyError, RejectError):
            raise
        except Exception as error:
            yield at.problem(reason_of(error))

    def _any(self, raw: bytes, at: At, key: str | None) -> Iterator[Found]:
        if key == "inferenceProfileSummaries":
            yield at.item("profile", raw)
        elif raw.startswith(_LOGGED_CALL):
            yield at.item(LOGGED_CALL, raw)
        elif is_textbook(raw):
            yield at.item(EVENT, raw)
        elif raw.startswith(b"{"):
            yield from self._object(raw, at, key)
        elif raw.startswith(b"["):
            yield from self._list(raw, at, "")
        elif raw.startswith(b'"'):
            yield from self._level(raw, at, "", "text")
        elif key in _WANTED:
            yield at.problem(f"no {_WANTED[key]}")
        else:
            yield at.item(EVENT, raw)

    def _list(self, raw: Raw, at: At, key: str) -> Iterator[Found]:
        if at.lists >= _MAX_LISTS:
            yield at.problem("lists are nested too deeply")
            return
        raws = _raws_of(raw)
        at = at._replace(lists=at.lists + 1)
        if (line := _line_of(raws) or (None if key else _record_of(raws))) is not None:
            yield from self._value(line, at, None)
        else:
            yield from self._values(Values("", key, 0, raws), at)

    def _object(self, raw: bytes, at: At, key: str | None) -> Iterator[Found]:
        fields = fields_of(raw)
        if kind := kind_of(fields):
            yield at.item(kind, raw)
        elif known := unfit(fields):
            yield self._unfit(known, at)
        else:
            problems: list[Unreadable] = []
            has_any = yield from self._within(fields, at, problems)
            if has_any:
                return
            if is_bulk_action(fields):
                yield at.item("repeat", b"")
            elif is_other(fields) and all(one.reason == UNKNOWN for one in problems):
                yield at.item("other", raw)
            elif key in _WANTED and not problems:
                yield at.problem(f"no {_WANTED[key]}")
            elif is_empty_page(fields) and not problems:
                yield at.item("repeat", b"")
            else:
                yield from problems or [at._replace(key="").problem(UNKNOWN)]

    def _within(
        self, fields: Fields, at: At, problems: list[Unreadable]
    ) -> Generator[Found, None, bool]:
        """Yield the records of the first content of an object that has any. Return whether one has.

        Of fields under names of somebody's own, each may have another record.
        If none has, ``problems`` says why the first has none.
        """
        has_any = False
        for position, row in tables(fields):
            has_any = True
            yield from self._value(row, at.within(position).as_row("a table"), None)
        for envelope, key, raw in () if has_any else contents(fields):
            if envelope is UNNAMED and OWN_DETAIL.name in at.peeled[-1:]:
                break
            own: list[Unreadable] = []
            has_any |= yield from _good(self._envelope(envelope, raw, at, key), own)
            if has_any and envelope is not UNNAMED:
                break
            if not problems:
                problems += own
        return has_any

    def opened(self, raw: bytes, at: At) -> Iterator[Found]:
        """Yield what a value among events holds; nothing if it holds nothing, or is an event."""
        if not raw.startswith(b"{"):
            yield from self._value(raw, at, None)
            return
        try:
            fields = fields_of(raw)
            kind = kind_of(fields)
            if kind == EVENT:
                return
            if kind:
                yield at.item(kind, raw)
            elif known := unfit(fields):
                yield self._unfit(known, at)
            else:
                problems: list[Unreadable] = []
                yield from self._within(fields, at, problems)
                yield from problems
        except (HeavyError, RejectError):
            raise
        except Exception as error:
            yield at.problem(reason_of(error))

    def _unfit(self, known: Unfit, at: At) -> Item | UnfitItem:
        """Name what cannot serve, once in a file."""
        if known in self._named:
            return at.item("repeat", b"")
        self._named.add(known)
        return UnfitItem(*at._replace(key="").problem(known.reason))

    # Envelopes.

    def _envelope(self, envelope: Envelope, raw: bytes, at: At, key: str) -> Iterator[Found]:
        if envelope.is_list and raw.startswith(b"["):
            yield from self._list(raw, at, key)
        else:
            yield from self._level(raw, at, key, envelope.name)

    def _level(self, raw: bytes, at: At, key: str, name: str) -> Iterator[Found]:
        """Yield the records in the content of an envelope, one level deeper."""
        if at.levels >= MAX_LEVELS:
            yield at._replace(key="").problem(TOO_MANY_LEVELS)
            return
        around, levels = (*at.peeled, name), at.levels + 1
        inner = at._replace(key=key, peeled=around, levels=levels, lists=0)
        if raw.startswith(b'"'):
            yield from self.text(load_value(raw), inner)
        elif raw.startswith(b"["):
            yield from self._list(raw, inner, key)
        else:
            yield from self._value(raw, inner, None)

    def text(self, text: str, at: At) -> Iterator[Found]:
        """Yield the records in a text."""
        # Half of a surrogate pair has no encoding.
        written = text.strip().encode("utf-8", "replace")
        if text.lstrip().startswith(CHECKS):
            yield at.item("other", written)
        elif reason := limit_of(written):
            yield at.problem(reason)
        elif written.startswith(b"{") and is_json(written):
            yield from self._value(written, at, None)
        elif (encoded := _encoded(written)) is None:
            yield from self.content([written], at)
        elif decoded := _decoded(encoded):
            yield from self.content([decoded], at)
        else:
            yield at.problem("not JSON (at character 0)")

    def _parquet(self, content: Iterable[bytes], at: At) -> Iterator[Found]:
        with archives.spooled(content) as file:
            for number, row in enumerate(read_rows(file)):
                if isinstance(row, str):
                    yield at.problem(row)
                elif number == 0 and (known := unfit_columns(row.keys())):
                    yield self._unfit(known, at)
                    return
                else:
                    raw = json.dumps(row, default=str).encode()
                    yield from self._value(raw, at.within(f"row {number + 1}"), None)

    def _csv(
        self, header: Sequence[str], delimiter: str, lines: Iterable[str | None], at: At
    ) -> Iterator[Found]:
        if known := unfit_columns(header):
            yield self._unfit(known, at)
            return
        is_metrics = _is_metrics(header)
        rows = lines if is_metrics else _whole_rows(lines, len(header), delimiter)
        for found in _parse_csv(rows, delimiter, CSV_COLUMNS if is_metrics else ()):
            if isinstance(found, Unreadable):
                yield at.problem_of(found)
            elif is_metrics:
                yield at.within(found.position).item(found.kind, found.value)
            else:
                row = {name: cell for name, cell in found.value.items() if cell}
                yield from self._value(json.dumps(row).encode(), at.within(found.position), None)


def _good(found: Iterator[Found], problems: list[Unreadable]) -> Generator[Found, None, bool]:
    """Yield what was found if there is any record in it. Return whether there is."""
    has_any = False
    for one in found:
        if not has_any and isinstance(one, Unreadable) and not isinstance(one, UnfitItem):
            if len(problems) < _MAX_PROBLEMS:
                problems.append(one)
            else:
                last = problems.pop()
                problems.append(last._replace(number=last.number + one.number))
            continue
        if not has_any:
            yield from problems
            has_any = True
        yield one
    return has_any


def _row_of(raws: Sequence[Raw]) -> bytes | None:
    try:
        return row_of(raws)
    except (ValueError, RecursionError):
        return None


def _line_of(raws: Sequence[Raw]) -> bytes | None:
    """Return the line of a list with its time, as Loki and Fluentd write it; None for any other."""
    for index in range(min(len(raws) - 1, 2)):
        if len(raws) <= 3 and _MOMENT.match(bytes(raws[index])):
            return bytes(raws[index + 1])
    return None


def _record_of(raws: Sequence[Raw]) -> bytes | None:
    """Return the record that a list has next to other fields; None for any other list.

    `--query 'Events[].[EventId,CloudTrailEvent,Resources]'` writes such lists.
    """
    if not 2 <= len(raws) <= _MAX_COLUMNS:
        return None
    wholes = [written for raw in raws if (written := bytes(raw)).startswith(_WHOLE_CELL)]
    if len(wholes) == 1:
        return wholes[0]
    texts = [whole for whole in wholes if whole.startswith(b'"')]
    # Without plain fields it may as well be a list of records, one of which cannot be read.
    is_row = len(wholes) < len(raws) or len(texts) == 1
    records = [whole for whole in wholes if _is_record(whole)] if is_row else []
    return records[0] if len(records) == 1 else None


def _is_record(written: bytes) -> bool:
    """Return whether a cell is a record, or the text of one."""
    try:
        while written.startswith(b'"'):
            written = load_value(written).encode()
        return written.startswith(b"{") and kind_of(fields_of(written)) is not None
    except (ValueError, RecursionError):
        return False


def _raws_of(raw: Raw) -> Sequence[Raw]:
    try:
        return _decode_list(raw)
    except _NO_JSON:
        return [json.dumps(value).encode() for value in load_value(bytes(raw))]


def _encoded(text: bytes) -> bytes | None:
    """Return a text in base64, on one line; None for any other."""
    if b"\n" in text[:100]:
        text = b"".join(text.split())
    return text if _BASE64.fullmatch(text) else None


def _decoded(text: bytes) -> bytes | None:
    """Return what a text in base64 is: compressed, an archive or text; None for anything else."""
    text = text.translate(_URL_SAFE).rstrip(b"=")
    try:
        decoded = binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None
    head = decoded[:_HEAD_BYTES]
    is_content = is_compressed(head) or archives.format_of(head) or head.startswith(PARQUET)
    return decoded if is_content or not _NO_TEXT.search(head) else None


def _as_utf8(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    if not encoding.startswith("utf-8"):
        texts = codecs.iterdecode(pieces, encoding, "replace")
        pieces = (text.encode("utf-8", "replace") for text in texts)
    is_first = True
    for piece in pieces:
        yield piece.removeprefix(codecs.BOM_UTF8) if is_first else piece
        is_first = False


# Tables.


def _csv_header(text: str) -> tuple[list[str], str] | None:
    """Return the columns of a table, and what is between them; None for any other text."""
    line = text.lstrip().splitlines()[0] if text.strip() else ""
    if not line or line[0] in "{[" or "{" in line:
        return None
    for delimiter in _DELIMITERS:
        try:
            header = _fields(line, delimiter)
        except csv.Error:
            continue
        if _is_table(header):
            return header, delimiter
    return (["account_id"], ",") if "account_id" in line.lower() else None


def _is_table(header: Sequence[str]) -> bool:
    folded = {fold(name) for name in header}
    is_events = {"eventname", "eventsource"} <= folded or {"modelid", "requestid"} <= folded
    is_whole = any(name.lower() in _WHOLE_COLUMNS for name in header)
    is_known = len(header) > 1 and unfit_columns(header)
    return bool(_is_metrics(header) or is_events or is_whole or is_known)


def _is_metrics(header: Sequence[str]) -> bool:
    return len(header) > 1 and any(name.strip().lower() == "account_id" for name in header)


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


def _parse_csv(
    lines: Iterable[str | None], delimiter: str, wanted: Iterable[str]
) -> Iterator[Item | Unreadable]:
    """Parse each line separately, so that an unclosed quote affects no other line."""
    header: list[str] = []
    for number, line in enumerate(lines, 1):
        place = f"line {number}"
        try:
            fields = _fields(line, delimiter)
        except csv.Error:
            yield Unreadable(place, "not CSV, or a field or the line is too long")
            if not header:
                return
            continue
        if not header:
            header = fields
            if missing := [name for name in wanted if name not in header]:
                yield Unreadable(place, f"the CSV has no column {', '.join(missing)}")
                return
        elif len(fields) > len(header):
            yield Unreadable(place, "more fields than the header names")
        elif fields:
            row = dict.fromkeys(header) | dict(zip(header, fields, strict=False))
            yield Item(place, "metric row", row)


def _whole_rows(lines: Iterable[str | None], columns: int, delimiter: str) -> Iterator[str | None]:
    """Yield lines; those that are one row together, because a cell has line ends, as one."""
    following, waiting = iter(lines), deque[str | None]()
    while waiting or (line := next(following, "")) != "":
        line = waiting.popleft() if waiting else line
        row, taken = line or "", list[str | None]()
        while row.count('"') % 2 and len(row) <= _LINE_LETTERS and (more := next(following, None)):
            taken.append(more)
            row += more
        if taken and not _is_row(row, columns, delimiter):
            waiting.extend(taken)
            row = line or ""
        yield row if line is not None else None


def _is_row(line: str, columns: int, delimiter: str) -> bool:
    try:
        return len(_fields(line, delimiter)) == columns
    except csv.Error:
        return False


def _fields(line: str | None, delimiter: str) -> list[str]:
    if line is None:
        raise csv.Error
    text = io.StringIO(line.lstrip("\ufeff"), newline="")
    return next(csv.reader(text, delimiter=delimiter, strict=True), [])
