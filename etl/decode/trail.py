"""CloudTrail's log files, without building what is not needed.

A file is cut into its records as raw bytes. One that cannot be a Bedrock call is not even parsed;
one that can is decoded into just the fields that count. What its names mean is worked out by
``etl.normalise.cloudtrail`` for the first call that has them, and remembered: the other calls of
the same caller, model and operation differ in ids, time and tokens only. Who called, and with which
parameters, is understood once for many such names. A record in any way unusual goes to
``parse_event`` whole, so that both ways always come to the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from etl.errors import RejectError
from etl.normalise.cloudtrail import CALLS, JOBS, name_call
from etl.normalise.fields import MAX_COUNT, mapping, utc_time
from etl.normalise.identity import parse_identity
from etl.normalise.packed import (
    PLAIN_SOURCE,
    PackedCall,
    Shape,
    plain_counts,
    shape_of,
    stored_id,
)

Raw = bytes | msgspec.Raw

_NULL = msgspec.Raw(b"null")


class _Named(msgspec.Struct, frozen=True, gc=False):
    userName: str | None = None  # noqa: N815
    arn: str | None = None


class _Federation(msgspec.Struct, frozen=True, gc=False):
    federatedProvider: str | None = None  # noqa: N815


class _Session(msgspec.Struct, frozen=True, gc=False):
    sessionIssuer: _Named | None = None  # noqa: N815
    sourceIdentity: str | None = None  # noqa: N815
    webIdFederationData: _Federation | None = None  # noqa: N815


class _Person(msgspec.Struct, frozen=True, gc=False):
    userId: str | None = None  # noqa: N815


class _Identity(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None
    principalId: str | None = None  # noqa: N815
    arn: str | None = None
    accountId: str | None = None  # noqa: N815
    userName: str | None = None  # noqa: N815
    invokedBy: str | None = None  # noqa: N815
    onBehalfOf: _Person | None = None  # noqa: N815
    sessionContext: _Session | None = None  # noqa: N815


class _Performance(msgspec.Struct, frozen=True, gc=False):
    latency: str | None = None


class _Parameters(msgspec.Struct, frozen=True, gc=False):
    modelId: str | None = None  # noqa: N815
    model: str | None = None
    performanceConfig: _Performance | None = None  # noqa: N815
    serviceTier: str | None = None  # noqa: N815
    service_tier: str | None = None
    # What is in them is for the slow way.
    requestMetadata: None = None  # noqa: N815
    metadata: None = None


class _Resource(msgspec.Struct, frozen=True, gc=False):
    ARN: str | None = None


class _Extra(msgspec.Struct, gc=False):
    """additionalEventData; the token counts are no names, and each call has its own."""

    inferenceRegion: str | None = None  # noqa: N815
    serviceTier: str | None = None  # noqa: N815
    resolvedServiceTier: str | None = None  # noqa: N815
    inputTokens: int | None = None  # noqa: N815
    outputTokens: int | None = None  # noqa: N815
    cacheReadInputTokens: int | None = None  # noqa: N815
    cacheWriteInputTokens: int | None = None  # noqa: N815
    # Names of the older forms, which have no place here.
    inputTokenCount: None = None  # noqa: N815
    outputTokenCount: None = None  # noqa: N815
    cacheReadInputTokenCount: None = None  # noqa: N815
    cacheWriteInputTokenCount: None = None  # noqa: N815


class _Record(msgspec.Struct, gc=False):
    """A call; who made it and with which parameters stays as it is in the file."""

    eventID: str  # noqa: N815
    eventTime: str  # noqa: N815
    eventSource: str  # noqa: N815
    eventName: str  # noqa: N815
    awsRegion: str | None = None  # noqa: N815
    userIdentity: msgspec.Raw = _NULL  # noqa: N815
    userAgent: str | None = None  # noqa: N815
    requestParameters: msgspec.Raw = _NULL  # noqa: N815
    # An object here has tokens in an older form.
    responseElements: None = None  # noqa: N815
    additionalEventData: _Extra | None = None  # noqa: N815
    resources: tuple[_Resource, ...] | None = None
    requestID: str | None = None  # noqa: N815
    sharedEventID: str | None = None  # noqa: N815
    recipientAccountId: str | None = None  # noqa: N815
    errorCode: str | None = None  # noqa: N815
    eventType: str | None = None  # noqa: N815
    eventCategory: str | None = None  # noqa: N815
    addendum: None = None


_decode_record = msgspec.json.Decoder(_Record).decode
_decode_identity = msgspec.json.Decoder(_Identity | None).decode
_decode_parameters = msgspec.json.Decoder(_Parameters | None).decode

_PLAIN_CALLS = CALLS - JOBS.keys()
_NO_EXTRA = _Extra()
_NO_COUNTS, _NO_CACHE, _UNKNOWN = (None,) * 4, (None,) * 2, (None,)
_SECONDS = frozenset(f"{second:02}Z" for second in range(60))

# More distinct callers than one process meets in a busy day; beyond it, all are looked at anew.
_MAX_KNOWN = 20_000
_MAX_LETTERS = 8 << 20


# One after the other: for either alone, memory is searched ten times as fast as for both.
_ours, _hidden = re.compile(rb"bedrock").search, re.compile(rb"\\u").search

is_object = re.compile(rb"\{").match


def may_be_bedrock(*, has_escapes: bool) -> Callable[[Raw], object]:
    """Return a test of records: false only for what is an event of another service."""
    # An escape may hide any letter.
    return _ours_or_hidden if has_escapes else _ours


def _ours_or_hidden(record: Raw) -> object:
    return _ours(record) or _hidden(record)


class TrailDecoder:
    """Packs the plain calls among records. ``number_of`` gives the number of a shape."""

    def __init__(self, number_of: Callable[[Shape], int]) -> None:
        self._number_of = number_of
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._letters = 0
        self._identities = _Parts(_decode_identity, parse_identity)
        self._parameters = _Parts(_decode_parameters, mapping)
        self._minutes: set[str] = set()

    def forget(self) -> None:
        """Drop the numbers of shapes that are remembered."""
        self._numbers.clear()
        self._letters = 0

    def pack(self, record: Raw) -> PackedCall | None:
        """Return the packed call; None for whatever is not plain, which ``parse_event`` reads."""
        try:
            event = _decode_record(record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        extra = event.additionalEventData or _NO_EXTRA
        tokens = _tokens(extra)
        if tokens is None or not _is_plain(event) or not self._is_time(event.eventTime):
            return None
        try:
            event_id, request_id = _uuid(event.eventID), _uuid(event.requestID)
            shared_event_id = _uuid(event.sharedEventID) if event.sharedEventID else None
            number = self._number(event, extra)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return None
        return (event.eventTime, event_id, request_id, shared_event_id, number, *tokens)

    def _is_time(self, text: str) -> bool:
        """Return whether a time is ``YYYY-MM-DDTHH:MM:SSZ``; each minute is looked at once."""
        minute = text[:16]
        if len(text) != 20 or text[16] != ":" or text[17:] not in _SECONDS:
            return False
        if minute in self._minutes:
            return True
        try:
            is_minute = utc_time(f"{minute}:00Z", "eventTime")[:16] == minute
        except RejectError:
            return False
        if len(self._minutes) >= _MAX_KNOWN:
            self._minutes.clear()
        if is_minute:
            self._minutes.add(minute)
        return is_minute

    def _number(self, event: _Record, extra: _Extra) -> int:
        """Return the number of the call's shape: the names it is made of, understood once."""
        identity = self._identities.of(event.userIdentity)
        parameters = self._parameters.of(event.requestParameters)
        key = (
            identity,
            event.eventName,
            event.awsRegion,
            event.userAgent,
            parameters,
            event.resources,
            event.recipientAccountId,
            event.errorCode,
            extra.inferenceRegion,
            extra.serviceTier,
            extra.resolvedServiceTier,
            event.eventSource,
        )
        number = self._numbers.get(key)
        if number is None:
            number = self._number_of(_shape(event, extra, identity, parameters))
            self._letters += sum(len(part) for part in key if isinstance(part, str))
            if len(self._numbers) >= _MAX_KNOWN or self._letters > _MAX_LETTERS:
                self.forget()
            self._numbers[key] = number
        return number


class _Part:
    """What a part of a record comes to. Equal to itself alone, which is quickly told."""

    __slots__ = ("meaning",)

    def __init__(self, meaning: Any) -> None:
        self.meaning = meaning


class _Parts:
    """Understands a part of records once: alike where it says the same, whatever else it has.

    A session's keys and times change all the time, and nobody wants them. ``decode`` takes just
    what counts, ``understand`` the whole as a dict.
    """

    def __init__(
        self, decode: Callable[[bytes], Any], understand: Callable[[object], object]
    ) -> None:
        self._decode, self._understand = decode, understand
        self._by_bytes: dict[bytes, _Part] = {}
        self._letters = 0
        self._by_value: dict[Any, _Part] = {}

    def of(self, raw: msgspec.Raw) -> _Part:
        """Return the part; raise msgspec.MsgspecError if it is not as usual."""
        written = bytes(raw)
        part = self._by_bytes.get(written)
        if part is None:
            part = self._part(self._decode(written), written)
            self._letters += len(written)
            if len(self._by_bytes) >= _MAX_KNOWN or self._letters > _MAX_LETTERS:
                self._by_bytes.clear()
                self._by_value.clear()
                self._letters = 0
            self._by_bytes[written] = part
        return part

    def _part(self, value: Any, written: bytes) -> _Part:
        part = self._by_value.get(value)
        if part is None:
            part = _Part(self._understand(msgspec.json.decode(written)))
            if len(self._by_value) >= _MAX_KNOWN:
                self._by_value.clear()
            self._by_value[value] = part
        return part


def _shape(event: _Record, extra: _Extra, identity: _Part, parameters: _Part) -> Shape:
    record = {
        "eventSource": event.eventSource,
        "eventName": event.eventName,
        "awsRegion": event.awsRegion,
        "userAgent": event.userAgent,
        "requestParameters": parameters.meaning,
        "resources": [{"ARN": resource.ARN} for resource in event.resources or ()],
        "recipientAccountId": event.recipientAccountId,
        "errorCode": event.errorCode,
        "additionalEventData": {
            "inferenceRegion": extra.inferenceRegion,
            "serviceTier": extra.serviceTier,
            "resolvedServiceTier": extra.resolvedServiceTier,
        },
    }
    return shape_of(name_call(record, identity.meaning))


def _is_plain(event: _Record) -> bool:
    return (
        (event.eventSource, event.eventName) in _PLAIN_CALLS
        and event.eventType == "AwsApiCall"
        and event.eventCategory != "NetworkActivity"
    )


def _uuid(text: str | None) -> bytes | None:
    """Return a UUID as it is stored. Raises ValueError for any other id."""
    if text is None:
        return None
    stored = stored_id(text)
    if stored is text:
        raise ValueError
    return stored  # type: ignore[return-value]


def _tokens(extra: _Extra) -> tuple[Any, ...] | None:
    """Return the end of a packed call: its counts; None if one is none."""
    counts = (
        extra.inputTokens,
        extra.outputTokens,
        extra.cacheReadInputTokens,
        extra.cacheWriteInputTokens,
    )
    if counts == _NO_COUNTS:
        return _UNKNOWN
    if not all(count is None or 0 <= count <= MAX_COUNT for count in counts):
        return None
    if counts[2:] == _NO_CACHE and counts[0] is not None and counts[1] is not None:
        plain = plain_counts(counts[0], counts[1])
        if plain is not None:
            return (plain,)
    return (PLAIN_SOURCE, *counts, None, None, None)
