"""Decode CloudTrail's log files without building what is not needed.

A file is cut into its records as raw bytes. A record that cannot be a Bedrock call is not even
parsed. One that can be is decoded into just the fields that count. ``etl.normalise.cloudtrail``
interprets its names for the first call that has them, and the result is remembered: other calls of
the same caller, model and operation differ only in ids, time and tokens. Callers and parameters are
interpreted once for many such combinations. Any unusual record goes whole to ``parse_event``, so
both paths always give the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter, itemgetter
from typing import Any

import msgspec

from etl.errors import RejectError
from etl.normalise.addresses import DEFAULT_DETAIL, AddressDetail, find_address
from etl.normalise.cloudtrail import CALLS, JOBS, name_call
from etl.normalise.fields import MAX_COUNT, mapping, text, utc_time
from etl.normalise.identity import is_temporary, parse_identity
from etl.normalise.packed import PackedCall, Shape, shape_of, stored_id
from etl.normalise.rows import RoleSession
from etl.normalise.teams import CHAINED_TYPES, STS, make_role_session
from etl.normalise.token_kinds import KINDS, counts_of
from etl.normalise.token_sources import EVENT_TOKENS, KEYS
from etl.sources.envelopes import is_textbook
from etl.sources.split import Raw

_NULL = msgspec.Raw(b"null")
# No JSON: an event without userIdentity may be a flattened one (userIdentity.arn), and is left to
# the slow path.
_ABSENT = msgspec.Raw(b"")


class _Named(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    user_name: str | None = None
    arn: str | None = None


class _Federation(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    federated_provider: str | None = None


class _Session(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    session_issuer: _Named | None = None
    source_identity: str | None = None
    web_id_federation_data: _Federation | None = None


class _Person(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    user_id: str | None = None


class _Identity(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    type: str | None = None
    principal_id: str | None = None
    arn: str | None = None
    account_id: str | None = None
    user_name: str | None = None
    invoked_by: str | None = None
    on_behalf_of: _Person | None = None
    session_context: _Session | None = None


class _Performance(msgspec.Struct, frozen=True, gc=False):
    latency: str | None = None


class _Parameters(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    model_id: str | None = None
    model: str | None = None
    performance_config: _Performance | None = None
    service_tier: str | None = None
    openai_service_tier: str | None = msgspec.field(default=None, name="service_tier")
    guardrail_identifier: str | None = None
    # Their content is left to the slow path.
    request_metadata: None = None
    metadata: None = None
    guardrail_config: None = None


class _Resource(msgspec.Struct, frozen=True, gc=False):
    arn: str | None = msgspec.field(default=None, name="ARN")


# The kinds that an event may report: one field each, under its newest name. The names of older
# forms are excluded.
_REPORTED = [kind for kind in KINDS if kind.cloudtrail]
_Counts: Any = msgspec.defstruct(
    "_Counts",
    [
        *((kind.name, int | None, None) for kind in _REPORTED),
        *((name, type(None), None) for kind in _REPORTED for name in kind.cloudtrail[1:]),
    ],
    rename={kind.name: kind.cloudtrail[0] for kind in _REPORTED},
    gc=False,
)


class _Extra(_Counts, gc=False, rename="camel"):  # type: ignore[call-arg, misc]
    """additionalEventData. The token counts are not names: each call has its own."""

    inference_region: str | None = None
    service_tier: str | None = None
    resolved_service_tier: str | None = None


class _EventRecord(msgspec.Struct, gc=False, rename="camel"):
    """A call. The caller and the parameters stay raw, as in the file."""

    event_id: str = msgspec.field(name="eventID")
    event_time: str
    event_source: str
    event_name: str
    aws_region: str | None = None
    user_identity: msgspec.Raw = _ABSENT
    user_agent: str | None = None
    request_parameters: msgspec.Raw = _NULL
    # An object here holds tokens in an older form.
    response_elements: None = None
    additional_event_data: _Extra | None = None
    resources: tuple[_Resource, ...] | None = None
    request_id: str | None = msgspec.field(default=None, name="requestID")
    shared_event_id: str | None = msgspec.field(default=None, name="sharedEventID")
    recipient_account_id: str | None = None
    source_address: str | None = msgspec.field(default=None, name="sourceIPAddress")
    error_code: str | None = None
    event_type: str | None = None
    event_category: str | None = None
    addendum: None = None


_decode_record = msgspec.json.Decoder(_EventRecord).decode
_decode_identity = msgspec.json.Decoder(_Identity | None).decode
_decode_parameters = msgspec.json.Decoder(_Parameters | None).decode

_PLAIN_CALLS = CALLS - JOBS.keys()
_NO_EXTRA = _Extra()

_counts = attrgetter(*(kind.name for kind in _REPORTED))
_NO_COUNTS, _NO_OTHERS = (None,) * len(_REPORTED), (None,) * len(_REPORTED[2:])
_UNKNOWN = (None,) * 3
_NONE = (None,)
# Brings them into the order of the stored counts. The last element stands for a missing one.
_in_order = itemgetter(
    *(
        -1 if place is None else place
        for place in counts_of({kind.name: number for number, kind in enumerate(_REPORTED)})
    )
)
_SOURCE_KEY = KEYS[EVENT_TOKENS]

_SECONDS = frozenset(f"{second:02}Z" for second in range(60))

# More distinct callers than one process meets in a busy day. Beyond it, all are interpreted again.
_MAX_KNOWN = 20_000
_MAX_LETTERS = 8 << 20


_our_source = re.compile(rb'"eventSource"\s*+:\s*+"\s*+(?:bedrock|(sts\.))').search
_other_source = re.compile(rb'"eventSource"\s*+:\s*+"[a-z0-9.-]++\.amazonaws\.com"').search
# Two patterns in sequence: each alone is found ten times as fast as both together.
_word, _hidden = re.compile(rb"bedrock").search, re.compile(rb"\\u").search

# A textbook event of STS that makes credentials, which may have tags.
SESSION = "session"

is_object = re.compile(rb"\{").match


def is_other_event(*, has_escapes: bool) -> Callable[[Raw], object]:
    """Return a test of records of a trail: true only for events of another service.

    The source decides: many events of other services mention the word bedrock. It is ``SESSION``
    for those that ``read_session`` is for.
    """
    # An escape may hide any letter.
    return _is_other_plainly if has_escapes else _is_other


def _is_other(record: Raw) -> object:
    if source := _our_source(record):
        if not source[1]:
            return False
        # In another order of fields it may be a caller's word: request metadata may have any key.
        is_sure = is_textbook(record) or not _word(record)
        if not _makes_session(record):
            return is_sure
        return SESSION if is_textbook(record) else False
    return is_textbook(record) or (not _word(record) and _other_source(record))


def _is_other_plainly(record: Raw) -> object:
    found = _is_other(record)
    return found and not _hidden(record) and found


# Credentials that may have tags: they are given some, or made by a session, which may pass some on.
# Plain words are found ten times as fast as patterns; the last ends tags, principalTags and
# incomingTransitiveTags.
_CREDENTIALS, _TAGS = b'"credentials"', b'ags"'
_CHAINED = tuple(f'"{kind}"'.encode() for kind in CHAINED_TYPES)
# The type of the caller is among these first bytes of a textbook event.
_HEAD = 200


def _makes_session(record: Raw) -> bool:
    written = bytes(record)
    head = written[:_HEAD] if is_textbook(written) else written
    may_have_tags = any(kind in head for kind in _CHAINED) or _TAGS in written
    return may_have_tags and _CREDENTIALS in written


def may_be_bedrock(record: Raw) -> object:
    """Return whether an event, whatever its form, may be Bedrock's."""
    return _word(record) or _hidden(record)


def may_be_ours(record: Raw) -> object:
    """Return whether an event, whatever its form, may be Bedrock's, or may make a session."""
    return may_be_bedrock(record) or (_sts(record) and _session_words(record))


_sts = re.compile(rb"sts\.amazonaws\.com").search
# As tables write it: the response may be a text of its own.
_session_words = re.compile(rb"(?i)access_?key_?id").search


class _Caller(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    type: str | None = None
    access_key_id: str | None = None


class _Key(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    access_key_id: str | None = None


class _Made(msgspec.Struct, frozen=True, gc=False):
    credentials: _Key | None = None


class _Passed(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    tags: Any = None
    principal_tags: Any = None
    incoming_transitive_tags: Any = None
    transitive_tag_keys: Any = None


class _SessionRecord(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """An event of STS, as far as it tells of a session."""

    event_time: str | None = None
    event_source: str | None = None
    user_identity: _Caller | None = None
    request_parameters: _Passed | None = None
    response_elements: _Made | None = None


_decode_caller = msgspec.json.Decoder(_Caller | None).decode
_decode_session = msgspec.json.Decoder(_SessionRecord).decode
_NOTHING_PASSED, _NOBODY = _Passed(), _Caller()


def read_session(record: Raw) -> RoleSession | None:
    """Return the session that a textbook event of STS makes; None if it makes none with tags.

    Raises msgspec.MsgspecError, UnicodeDecodeError or RecursionError if it is unusual.
    """
    event = _decode_session(record)
    passed, made = event.request_parameters or _NOTHING_PASSED, event.response_elements
    caller = event.user_identity or _NOBODY
    if text(event.event_source) != STS or made is None or made.credentials is None:
        return None
    return make_role_session(
        text(event.event_time),
        text(made.credentials.access_key_id),
        text(caller.access_key_id) if caller.type in CHAINED_TYPES else None,
        [passed.incoming_transitive_tags, passed.principal_tags, passed.tags],
        passed.transitive_tag_keys,
    )


# Names are understood once, by the careful parser (DECISIONS 36).
class TrailDecoder:
    """Packs the plain calls among records. ``number_of`` returns the number of a shape."""

    def __init__(
        self, number_of: Callable[[Shape], int], addresses: AddressDetail = DEFAULT_DETAIL
    ) -> None:
        self._number_of = number_of
        self._addresses = addresses
        self._kept_of: dict[str | None, str | None] = {None: None}
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._letters = 0
        self._identities = _Parts(_decode_identity, parse_identity, _credential)
        self._parameters = _Parts(_decode_parameters, mapping)
        self._minutes: set[str] = set()

    def forget(self) -> None:
        """Forget the numbers of shapes."""
        self._numbers.clear()
        self._letters = 0

    def pack(self, record: Raw) -> PackedCall | None:
        """Return the packed call; None for anything unusual, which ``parse_event`` reads."""
        try:
            event = _decode_record(record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        extra = event.additional_event_data or _NO_EXTRA
        tokens = _tokens(extra)
        if tokens is None or not _is_plain(event) or not self._is_time(event.event_time):
            return None
        try:
            event_id, request_id = _uuid(event.event_id), _uuid(event.request_id)
            shared_event_id = _uuid(event.shared_event_id) if event.shared_event_id else None
            identity, credential = self._identities.of(event.user_identity)
            number = self._number(event, extra, identity)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return None
        return (
            event.event_time,
            event_id,
            request_id,
            shared_event_id,
            number,
            credential,
            *tokens,
        )

    def _is_time(self, text: str) -> bool:
        """Return whether a time is ``YYYY-MM-DDTHH:MM:SSZ``. Each minute is checked once."""
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

    def _keep(self, address: str | None) -> str | None:
        """Return what is kept of an address, and remember it."""
        if len(self._kept_of) >= _MAX_KNOWN:
            self._kept_of = {None: None}
        kept = self._kept_of[address] = find_address(address, self._addresses)
        return kept

    def _number(self, event: _EventRecord, extra: _Extra, identity: _Part) -> int:
        """Return the number of the call's shape, whose names are interpreted only once."""
        parameters = self._parameters.of(event.request_parameters)[0]
        key = (
            identity,
            event.event_name,
            event.aws_region,
            event.user_agent,
            parameters,
            event.resources,
            event.recipient_account_id,
            event.error_code,
            extra.inference_region,
            extra.service_tier,
            extra.resolved_service_tier,
            event.event_source,
            self._kept_of[event.source_address]
            if event.source_address in self._kept_of
            else self._keep(event.source_address),
        )
        number = self._numbers.get(key)
        if number is None:
            shape = _shape(event, extra, identity, parameters, key[-1])
            number = self._number_of(shape)
            self._letters += sum(len(part) for part in key if isinstance(part, str))
            if len(self._numbers) >= _MAX_KNOWN or self._letters > _MAX_LETTERS:
                self.forget()
            self._numbers[key] = number
        return number


class _Part:
    """The interpreted part of a record. Compares by identity, which is fast."""

    __slots__ = ("meaning",)

    def __init__(self, meaning: Any) -> None:
        self.meaning = meaning


class _Parts:
    """Interprets a part of records once for all with the same relevant content.

    A session's times change all the time and are not needed. ``decode`` extracts just what counts,
    ``interpret`` gets the whole part as a dict.
    """

    def __init__(
        self,
        decode: Callable[[bytes], Any],
        interpret: Callable[[object], object],
        credential_of: Callable[[bytes], str | None] = lambda written: None,
    ) -> None:
        self._credential_of = credential_of
        self._decode, self._interpret = decode, interpret
        self._by_bytes: dict[bytes, tuple[_Part, str | None]] = {}
        self._letters = 0
        self._by_value: dict[Any, _Part] = {}

    def of(self, raw: msgspec.Raw) -> tuple[_Part, str | None]:
        """Return the part, and a session's access key in it.

        Raises msgspec.MsgspecError if it is unusual.
        """
        written = bytes(raw)
        part = self._by_bytes.get(written)
        if part is None:
            part = self._part(self._decode(written), written), self._credential_of(written)
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
            part = _Part(self._interpret(msgspec.json.decode(written)))
            if len(self._by_value) >= _MAX_KNOWN:
                self._by_value.clear()
            self._by_value[value] = part
        return part


def _credential(written: bytes) -> str | None:
    """Return the access key of a session in a ``userIdentity``, as ``parse_identity`` does."""
    caller = _decode_caller(written)
    found = text(caller.access_key_id) if caller else None
    return found if found and is_temporary(found) else None


def _shape(
    event: _EventRecord,
    extra: _Extra,
    identity: _Part,
    parameters: _Part,
    source_address: str | None,
) -> Shape:
    record = {
        "eventSource": event.event_source,
        "eventName": event.event_name,
        "awsRegion": event.aws_region,
        "userAgent": event.user_agent,
        "requestParameters": parameters.meaning,
        "resources": [{"ARN": resource.arn} for resource in event.resources or ()],
        "recipientAccountId": event.recipient_account_id,
        "errorCode": event.error_code,
        "additionalEventData": {
            "inferenceRegion": extra.inference_region,
            "serviceTier": extra.service_tier,
            "resolvedServiceTier": extra.resolved_service_tier,
        },
    }
    call = name_call(record, identity.meaning)
    return shape_of(call._replace(source_address=source_address))


def _is_plain(event: _EventRecord) -> bool:
    return (
        (event.event_source, event.event_name) in _PLAIN_CALLS
        and event.event_type == "AwsApiCall"
        and event.event_category != "NetworkActivity"
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
    """Return the end of a packed call: its tokens; None if one is not a valid count."""
    counts = _counts(extra)
    if counts == _NO_COUNTS:
        return _UNKNOWN
    if not all(count is None or 0 <= count <= MAX_COUNT for count in counts):
        return None
    if counts[2:] == _NO_OTHERS:
        return (_SOURCE_KEY, counts[0], counts[1])
    return (_SOURCE_KEY, *_in_order(counts + _NONE), None, None, None)
