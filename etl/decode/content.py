"""What stands in a file's bytes, as rows.

The plain cases, a log file of CloudTrail and the lines of an invocation log, are read the short
way; anything else, and anything damaged, by ``etl.sources.files``, which names every place that it
cannot read. Both come to the same rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from etl.decode.trail import TrailDecoder, is_object, may_be_bedrock, split_records
from etl.errors import RejectError
from etl.normalise.application import APPLICATION_KEY
from etl.normalise.cloudtrail import Parsed, parse_event
from etl.normalise.cloudwatch import parse_csv_row, parse_results
from etl.normalise.invocation_log import parse_logged_call
from etl.normalise.packed import PackedCall, Shape, Shapes, next_range
from etl.normalise.profiles import parse_profile
from etl.normalise.rows import Event, InferenceProfile, Job, MetricValue, ServiceTokens
from etl.sources.files import Item, Unreadable, parse_items, unzip

# What `reader` says in the ledger of files: raise it when a file may give more than it did.
READER = 1

# An event is among them only if it is a correction.
OtherRow = Event | Job | ServiceTokens | MetricValue | InferenceProfile


@dataclass
class Decoded:
    """What a file holds. ``calls`` name their shapes by number, ``shapes`` are the new ones.

    ``rejects``: (position, reason). ``first_shape``: what has a lower number, of the same process,
    is not used any more; None for no change.
    """

    calls: list[PackedCall] = field(default_factory=list)
    shapes: list[tuple[int, Shape]] = field(default_factory=list)
    rows: list[OtherRow] = field(default_factory=list)
    rejects: list[tuple[str, str]] = field(default_factory=list)
    events_read: int = 0
    events_skipped: int = 0
    metrics_skipped: int = 0
    first_shape: int | None = None


@dataclass(frozen=True)
class Keys:
    """The keys that name an application: of an inference profile's tag, of a request's metadata."""

    application_tag: str = APPLICATION_KEY
    metadata: str = APPLICATION_KEY


class Decoder:
    """Reads one file after the other. ``first``: the number of its first shape, of a free range."""

    def __init__(self, keys: Keys | None = None, *, first: int | None = None) -> None:
        self._keys = keys or Keys()
        self._shapes = Shapes(next_range() if first is None else first)
        self._trail = TrailDecoder(self._shapes.number_of)

    def decode(self, data: bytes) -> Decoded:
        """Return what a file's bytes hold."""
        decoded = Decoded()
        if self._shapes.is_full:
            decoded.first_shape = self._shapes.forget()
            self._trail.forget()
        content, damage = unzip(data)
        if damage or not self._decode_plain(content, decoded):
            for item in parse_items(content, damage):
                self._add(item, decoded)
        decoded.shapes = self._shapes.take_new()
        return decoded

    def _decode_plain(self, content: bytes, decoded: Decoded) -> bool:
        """Read a file in one of the two usual forms; False, and nothing done, if it has neither."""
        records = split_records(content)
        if records is not None:
            self._decode_records(records, may_be_bedrock(content), decoded)
            return True
        lines = content.split(b"\n")
        if not all(b'"ModelInvocationLog"' in line for line in lines if line):
            return False
        return self._decode_log_lines(lines, decoded)

    def _decode_records(
        self,
        records: list[msgspec.Raw],
        may_be_bedrock: Callable[[msgspec.Raw], object],
        decoded: Decoded,
    ) -> None:
        pack, calls = self._trail.pack, decoded.calls
        decoded.events_read += len(records)
        skipped = 0
        for index, record in enumerate(records):
            if not may_be_bedrock(record) and is_object(record):
                skipped += 1
            elif call := pack(record):
                calls.append(call)
            else:
                self._add_record(bytes(record), f"Records[{index}]", decoded)
        decoded.events_skipped += skipped

    def _decode_log_lines(self, lines: Iterable[bytes], decoded: Decoded) -> bool:
        numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        for _, line in numbered:
            try:
                msgspec.json.decode(line, type=msgspec.Raw)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                return False
        for number, line in numbered:
            where = "file" if len(numbered) == 1 else f"line {number}"
            self._add_logged_call(line, where, decoded)
        return bool(numbered)

    def _add_record(self, record: bytes, position: str, decoded: Decoded) -> None:
        try:
            value = json.loads(record.decode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else "not JSON"
            decoded.rejects.append((position, reason))
            return
        self._add_event(Item(position, "event", value), decoded)

    def _add(self, item: Item | Unreadable, decoded: Decoded) -> None:
        """Turn one raw item into its rows; count what is skipped, keep what is refused."""
        if isinstance(item, Unreadable):
            decoded.rejects.append((item.position, item.reason))
        elif item.kind == "event":
            decoded.events_read += 1
            self._add_event(item, decoded)
        elif item.kind == "logged call":
            self._add_logged_call(json.dumps(item.value).encode(), item.position, decoded)
        else:
            self._add_other(item, decoded)

    def _add_event(self, item: Item, decoded: Decoded) -> None:
        try:
            parsed = parse_event(item.value, metadata_key=self._keys.metadata)
        except RejectError as error:
            decoded.rejects.append((item.position, str(error)))
            return
        self._add_parsed(parsed, item.position, decoded)

    def _add_logged_call(self, record: bytes, position: str, decoded: Decoded) -> None:
        decoded.events_read += 1
        try:
            parsed = parse_logged_call(record, metadata_key=self._keys.metadata)
        except RejectError as error:
            decoded.rejects.append((position, str(error)))
            return
        self._add_parsed(parsed, position, decoded)

    def _add_parsed(self, parsed: Parsed, position: str, decoded: Decoded) -> None:
        decoded.rejects += ((position, complaint) for complaint in parsed.complaints)
        if parsed.row is None:
            decoded.events_skipped += 1
            return
        if isinstance(parsed.row, Event) and not parsed.row.is_correction:
            decoded.calls.append(self._shapes.pack(parsed.row))
        else:
            decoded.rows.append(parsed.row)
        if parsed.job:
            decoded.rows.append(parsed.job)

    def _add_other(self, item: Item, decoded: Decoded) -> None:
        try:
            if item.kind == "profile":
                tag = self._keys.application_tag
                decoded.rows.append(parse_profile(item.value, application_key=tag))
            else:
                self._add_metrics(item, decoded)
        except RejectError as error:
            decoded.rejects.append((item.position, str(error)))

    def _add_metrics(self, item: Item, decoded: Decoded) -> None:
        for value in _metric_values(item):
            if isinstance(value, MetricValue):
                decoded.rows.append(value)
            elif value is None:
                decoded.metrics_skipped += 1
            else:
                decoded.rejects.append((item.position, str(value)))


def _metric_values(item: Item) -> Iterator[MetricValue | RejectError | None]:
    if item.kind == "metric answer":
        yield from parse_results(item.value)
    else:
        yield parse_csv_row(item.value)
