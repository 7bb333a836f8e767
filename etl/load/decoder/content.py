"""The content of a file, as rows.

``etl.sources`` cuts a file into records and classifies each; here they become rows. CloudTrail's
calls take the fast path (``etl.load.decoder.fast_cloudtrail``), and anything it does not accept
takes the slow one. Both give the same rows.

Rows come in chunks, so memory is bounded whatever the file. Each record is parsed behind
``etl.normalise.boundary``: a record that cannot be parsed becomes a reject and affects no other.
The first ``MAX_REJECTS`` rejects of a file are kept, the others are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from etl.errors import RejectError, reason_of
from etl.load.decoder.fast_cloudtrail import (
    SESSION,
    TrailDecoder,
    is_object,
    is_other_event,
    may_be_ours,
    read_session,
)
from etl.normalise.addresses import DEFAULT_DETAIL, AddressDetail
from etl.normalise.application import APPLICATION_KEY, KeyNames, key_names
from etl.normalise.boundary import attempt
from etl.normalise.cloudtrail import Parsed, parse_event
from etl.normalise.cloudwatch import parse_csv_row, parse_results, parse_stream_record
from etl.normalise.invocation_logs import parse_logged_call
from etl.normalise.packed import PackedCall, Shape, Shapes, next_range
from etl.normalise.profiles import parse_profile
from etl.normalise.rows import (
    Event,
    InferenceProfile,
    MetricValue,
    OtherOperation,
    RoleSession,
    Row,
)
from etl.normalise.teams import TEAM_KEY
from etl.sources.envelopes import EVENT, LOGGED_CALL, is_textbook
from etl.sources.files import Events, Found, Item, parse_items, parse_text
from etl.sources.split import (
    HeavyError,
    Raw,
    Unreadable,
    is_rest_lost,
    json_problem,
    limit_of,
    load_value,
)

# The ledger's `reader`. Raise it when files may give more than they did.
READER = 2

# Enough to see what is wrong with a file.
MAX_REJECTS = 100

# The size of a chunk: about so many rows, or characters in names not sent before.
CHUNK_ROWS = 20_000
_CHUNK_LETTERS = 4 << 20

# No event and no envelope of one is smaller.
_SMALL_BYTES = 60

# A record above this is read by one process at a time.
HEAVY_BYTES = 1 << 20


@dataclass
class Decoded:
    """The content of a file. ``calls`` refer to shapes by number, ``shapes`` are the new ones.
    ``rows``: all else; an event is among them only if it is a correction.

    ``rejects``: (position, reason). ``rejected``: how many there are, not all of which are kept.
    ``first_shape``: lower numbers of the same process are no longer used; None for no change. A
    large file comes in several of these: ``is_first``, ``is_last``. ``is_read``: the file need not
    be read again. ``is_refused``, with the last: nothing of the file could be read, or not all of
    it because it is damaged.
    """

    calls: list[PackedCall] = field(default_factory=list)
    shapes: list[tuple[int, Shape]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    rejects: list[tuple[str, str]] = field(default_factory=list)
    events_read: int = 0
    events_skipped: int = 0
    metrics_skipped: int = 0
    rejected: int = 0
    first_shape: int | None = None
    is_first: bool = True
    is_last: bool = True
    is_read: bool = True
    is_refused: bool = False


@dataclass(frozen=True)
class Keys:
    """How to read: the keys that name an application, and what to keep of source addresses.

    ``application_tag``: in an inference profile's tags, ``metadata``: in request metadata; each is
    one key, or several in order. ``team``: of the team, in request metadata. ``others``: those by
    which usage is shown, and those that rules look at.
    """

    application_tag: KeyNames = APPLICATION_KEY
    metadata: KeyNames = APPLICATION_KEY
    addresses: AddressDetail = DEFAULT_DETAIL
    team: KeyNames = TEAM_KEY
    others: tuple[str, ...] = ()

    @property
    def stored(self) -> tuple[str, ...]:
        """The keys whose values in an event's request metadata are stored; of logs, all are."""
        return (*key_names(self.team), *self.others)


class Decoder:
    """Decodes one file after the other. ``first``: its first shape number, of a free range."""

    def __init__(self, keys: Keys | None = None, *, first: int | None = None) -> None:
        self._keys = keys or Keys()
        self._shapes = Shapes(next_range() if first is None else first)
        self._trail = TrailDecoder(self._shapes.number_of, self._keys.addresses)
        self._first_shape: int | None = None

    def decode(self, data: bytes) -> Decoded:
        """Return the content of a file's bytes, all at once."""
        whole, *others = self.chunks([data])
        for chunk in others:
            for part in ("calls", "shapes", "rows", "rejects"):
                getattr(whole, part).extend(getattr(chunk, part))
            for part in ("events_read", "events_skipped", "metrics_skipped", "rejected"):
                setattr(whole, part, getattr(whole, part) + getattr(chunk, part))
            whole.is_refused = chunk.is_refused
        return whole

    def decode_small(self, data: bytes) -> Decoded | None:
        """Return the content of a file's bytes; None if it is large enough to come in chunks."""
        try:
            decoded = next(self._chunks([data], heavy=HEAVY_BYTES))
        except HeavyError:
            decoded = None
        if decoded and decoded.is_last:
            return decoded
        # Its numbered shapes are not sent.
        self._shapes.take_new()
        self._forget()
        return None

    def chunks(self, pieces: Iterable[bytes]) -> Iterator[Decoded]:
        """Yield the content of a file, whose bytes come in pieces."""
        return self._chunks(pieces, heavy=None)

    def _chunks(self, pieces: Iterable[bytes], *, heavy: int | None) -> Iterator[Decoded]:
        reader = _Reader(self._keys, self._shapes, self._trail)
        is_first = True
        self._forget_if_full()
        for _ in reader.read(pieces, heavy):
            if reader.is_full:
                yield self._sent(reader.take(), is_first=is_first, is_last=False)
                is_first = False
                self._forget_if_full()
        yield self._sent(reader.take(is_last=True), is_first=is_first, is_last=True)

    def _sent(self, chunk: Decoded, *, is_first: bool, is_last: bool) -> Decoded:
        chunk.shapes = self._shapes.take_new()
        chunk.first_shape, self._first_shape = self._first_shape, None
        chunk.is_first, chunk.is_last = is_first, is_last
        return chunk

    def _forget_if_full(self) -> None:
        if self._shapes.is_full:
            self._forget()

    def _forget(self) -> None:
        self._trail.forget()
        self._first_shape = self._shapes.forget()


class _Reader:
    """Reads one file. The current rows are always a ``Decoded``."""

    def __init__(self, keys: Keys, shapes: Shapes, trail: TrailDecoder) -> None:
        self._keys, self._shapes, self._trail = keys, shapes, trail
        self._decoded = Decoded()
        self._kept = self._left_out = 0
        self._has_any = self._is_damaged = False

    @property
    def is_full(self) -> bool:
        decoded = self._decoded
        rows = len(decoded.calls) + len(decoded.rows)
        return rows >= CHUNK_ROWS or self._shapes.new_letters >= _CHUNK_LETTERS

    def take(self, *, is_last: bool = False) -> Decoded:
        """Return the current rows, and start again."""
        decoded, self._decoded = self._decoded, Decoded()
        skipped = decoded.events_skipped + decoded.metrics_skipped
        self._has_any = self._has_any or bool(decoded.calls or decoded.rows or skipped)
        if is_last:
            has_rejects = bool(self._kept or self._left_out)
            decoded.is_refused = has_rejects and (self._is_damaged or not self._has_any)
        if is_last and self._left_out:
            decoded.rejects.append(("file", f"and {self._left_out:,} more that cannot be read"))
        return decoded

    def read(self, pieces: Iterable[bytes], heavy: int | None) -> Iterator[None]:
        """Read a file. Yields wherever a chunk may be taken."""
        try:
            for found in parse_items(pieces, heavy=heavy):
                if isinstance(found, Events):
                    yield from self._add_events(found, heavy)
                else:
                    yield from self._add_found(found)
                yield
        except HeavyError:
            raise
        except RejectError as error:
            # Its bytes are no longer available.
            self._refuse("file", str(error))
            self._decoded.is_read = False
        except Exception as error:
            self._is_damaged = True
            self._refuse("file", f"{reason_of(error)}; everything before it was read")

    def _refuse(self, position: str, reason: str, number: int = 1) -> None:
        self._decoded.rejected += number
        if self._kept < MAX_REJECTS:
            self._kept += 1
            self._decoded.rejects.append((position, reason))
            number -= 1
        self._left_out += number

    def _add_events(self, found: Events, heavy: int | None) -> Iterator[None]:
        values, pack, decoded = found.values, self._trail.pack, self._decoded
        is_other = is_other_event(has_escapes=values.has_escapes)
        decoded.events_read += len(values.raws)
        calls, skipped = decoded.calls, 0
        for index, record in enumerate(values.raws):
            if other := is_other(record):
                if other is SESSION:
                    self._add_session(record, values.position(index))
                else:
                    skipped += 1
            elif call := pack(record):
                calls.append(call)
            elif len(bytes(record)) < _SMALL_BYTES:
                if is_object(record):
                    skipped += 1
                else:
                    self._refuse_value(record, values.position(index))
            else:
                yield from self._open(found, index, heavy)
                # It may have been taken.
                calls = self._decoded.calls
        self._decoded.events_skipped += skipped

    def _add_session(self, record: Raw, position: str) -> None:
        try:
            session = read_session(record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._parse(_parse_event, bytes(record), position)
            return
        self._decoded.events_skipped += 1
        if session:
            self._decoded.rows.append(session)

    def _open(self, found: Events, index: int, heavy: int | None) -> Iterator[None]:
        """Add what a value among events is: an event that is not plain, or an envelope."""
        record, is_envelope = bytes(found.values.raws[index]), False
        if heavy and len(record) > heavy:
            raise HeavyError
        for inner in () if is_textbook(record) else found.opened(index):
            if not is_envelope:
                is_envelope = True
                self._decoded.events_read -= 1
            if isinstance(inner, Events):
                yield from self._add_events(inner, heavy)
            else:
                yield from self._add_found(inner)
            yield
        if not is_envelope:
            self._parse(_parse_event, record, found.values.position(index))

    def _refuse_value(self, record: Raw, position: str) -> None:
        """Refuse what is no object. There may be very many of them."""
        if self._kept >= MAX_REJECTS:
            self._refuse("", "")
        else:
            self._parse(_parse_event, bytes(record), position)

    def _add_found(self, found: Item | Unreadable) -> Iterator[None]:
        if isinstance(found, Unreadable):
            self._is_damaged = self._is_damaged or is_rest_lost(found)
            self._refuse(*found)
        elif found.kind in ("metric answer", "metric record", "metric row"):
            yield from self._add_metrics(found)
        elif found.kind == "profile":
            self._add_profile(found)
        elif found.kind != "repeat":
            self._add(found)

    def _add(self, item: Item) -> None:
        self._decoded.events_read += 1
        if item.kind == LOGGED_CALL:
            self._parse(_parse_log, item.value, item.position)
        elif item.kind == "other" or (is_object(item.value) and not may_be_ours(item.value)):
            self._decoded.events_skipped += 1
        elif call := self._trail.pack(item.value):
            self._decoded.calls.append(call)
        else:
            self._parse(_parse_event, item.value, item.position)

    def _parse(self, parse: Callable[..., Parsed], record: bytes, position: str) -> None:
        try:
            parsed = attempt(parse, record, self._keys)
        except RejectError as error:
            self._refuse(position, str(error))
            return
        for complaint in parsed.complaints:
            self._refuse(position, complaint)
        if parsed.row is None or isinstance(parsed.row, OtherOperation | RoleSession):
            self._decoded.events_skipped += 1
        if parsed.skipped:
            self._decoded.rows.append(parsed.skipped)
        if parsed.row is None:
            return
        if isinstance(parsed.row, Event) and not parsed.row.is_correction:
            self._decoded.calls.append(self._shapes.pack(parsed.row))
        else:
            self._decoded.rows.append(parsed.row)
        if parsed.job:
            self._decoded.rows.append(parsed.job)

    def _add_profile(self, item: Item) -> None:
        try:
            tag = self._keys.application_tag
            self._decoded.rows.append(attempt(_parse_profile, item.value, tag))
        except RejectError as error:
            self._refuse(item.position, str(error))

    def _add_metrics(self, item: Item) -> Iterator[None]:
        """Add the totals of a response, which may be many."""
        for value in _metric_values(item):
            if isinstance(value, MetricValue):
                self._decoded.rows.append(value)
            elif value is None:
                self._decoded.metrics_skipped += 1
            else:
                self._refuse(item.position, str(value))
            yield


def parse_message(message: str, keys: Keys) -> Iterator[Parsed]:
    """Yield the records in a text, such as the message of an event in a log group.

    Raises RejectError, after those that can be read, if any cannot.
    """
    problems: list[str] = []
    for kind, record in _records_of(parse_text(message), problems):
        parse = _parse_log if kind == LOGGED_CALL else _parse_event
        try:
            yield attempt(parse, record, keys)
        except RejectError as error:
            problems.append(str(error))
    if problems:
        raise RejectError(problems[0])


def _records_of(found: Iterable[Found], problems: list[str]) -> Iterator[tuple[str, bytes]]:
    for one in found:
        if isinstance(one, Unreadable):
            problems.append(one.reason)
        elif isinstance(one, Item):
            if one.kind in (EVENT, LOGGED_CALL):
                yield one.kind, one.value
        else:
            yield from _records_among(one, problems)


def _records_among(events: Events, problems: list[str]) -> Iterator[tuple[str, bytes]]:
    for index, raw in enumerate(events.values.raws):
        is_envelope = False
        for inner in _records_of(events.opened(index), problems):
            is_envelope = True
            yield inner
        if not is_envelope:
            yield EVENT, bytes(raw)


def read_event(record: object, keys: Keys) -> Parsed:
    """Read one event. See ``etl.normalise.cloudtrail.parse_event``."""
    return parse_event(
        record,
        metadata_key=keys.metadata,
        stored_keys=keys.stored,
        addresses=keys.addresses,
    )


def _parse_event(record: bytes, keys: Keys) -> Parsed:
    return read_event(load_record(record), keys)


def _parse_log(record: bytes, keys: Keys) -> Parsed:
    return parse_logged_call(record, metadata_key=keys.metadata)


def _parse_profile(record: bytes, application_key: KeyNames) -> InferenceProfile:
    return parse_profile(load_record(record), application_key=application_key)


def load_record(record: bytes) -> Any:
    """Decode a complete record. Raises RejectError if it is not JSON, or too large."""
    reason = limit_of(record) or ""
    if not reason:
        try:
            return load_value(record)
        except (ValueError, msgspec.MsgspecError):
            reason = json_problem(record) or "not JSON"
    # Raised outside the handler, because a handled error would keep the record alive.
    raise RejectError(reason)


def _metric_values(item: Item) -> Iterator[MetricValue | RejectError | None]:
    """Yield what ``parse_results`` does. Any error becomes a RejectError and ends it."""
    try:
        if item.kind == "metric row":
            yield attempt(parse_csv_row, item.value)
        elif item.kind == "metric record":
            yield attempt(parse_stream_record, load_record(item.value))
        else:
            yield from parse_results(load_record(item.value))
    except Exception as error:
        yield RejectError(reason_of(error))
