"""Bedrock's model invocation logs: one record per call, with every count, and with bodies if body
logging is enabled.

Bodies are prompts and responses. The request body is decoded only for a reranker's number of
documents, for the size and quality of images, for the length of a video, for the id of a guardrail,
and for the service tier. The response body is decoded only for numbers that are found nowhere else
(how cache writes divide by lifetime, how many images there are, how long a video is, what
guardrails charge), for the service tier and for whether a guardrail intervened. Anything except a
number, the id of a guardrail or one of a few fixed words stays bytes of the record: no text of a
body leaves this module in a row, a complaint or an error.

A log identifies its caller only by ARN. A person whom CloudTrail identifies by something the ARN
lacks (the source identity, a federated session) appears as the role, until CloudTrail has told of
the session (``etl.warehouse.write.sessions``).

Source: Bedrock user guide, "Monitor model invocation using CloudWatch Logs and Amazon S3"; the
shapes of ``usage``: API reference, TokenUsage and CacheDetail, and Anthropic's Messages API
(checked 2026-11-25); OpenAI's Chat Completions and Responses APIs (checked 2026-11-29).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from etl.errors import RejectError
from etl.normalise.application import APPLICATION_KEY, KeyNames, find_application
from etl.normalise.cloudtrail import (
    BEDROCK,
    Complain,
    Parsed,
    TokenReading,
    canonical_metadata,
    service_tier,
)
from etl.normalise.fields import account, count, mapping, text, utc_time
from etl.normalise.guardrails import Units, guardrail_id, units_of_traces, use_of
from etl.normalise.identity import Identity, find_identity_of_arn
from etl.normalise.merging import PROMPT_ROUTER
from etl.normalise.plain_forms import plain_log
from etl.normalise.rows import INVOCATION_LOG, Event, Tokens
from etl.normalise.token_kinds import (
    IMAGE_SIZES,
    INPUT_KINDS,
    KINDS,
    VIDEO_VARIANTS,
    TokenKind,
    counts_of,
)
from etl.normalise.token_sources import (
    BODY_TOKENS,
    LOG_TOKENS,
    OPENAI_TOKENS,
    bit_of,
    if_mixed,
)

SCHEMA = "ModelInvocationLog"

INTERVENED = "INTERVENED"

# Bedrock's limits for requestMetadata.
_MAX_ITEMS = 16
_MAX_LETTERS = 256

# No valid number has more characters than this.
_MAX_DIGITS = 40

_NONE = msgspec.Raw(b"null")

# The ARN of a model or an inference profile, or a model id.
_MODEL = re.compile(
    r"(?:arn:aws[a-z-]*:bedrock:[a-z0-9-]*:[0-9]*:[a-z-]+/)?[a-z0-9-]{1,64}(?:[.:][A-Za-z0-9-]{1,64}){0,8}"
)

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

# Half of a surrogate pair, written by a client that cuts text in the middle of one. msgspec rejects
# it.
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


class _LogRecord(msgspec.Struct, gc=False, rename="camel"):
    """The fields that are read. The rest of a record is not decoded."""

    schema_type: Any = None
    timestamp: Any = None
    account_id: Any = None
    region: Any = None
    request_id: Any = None
    operation: Any = None
    model_id: Any = None
    identity: Any = None
    inference_region: Any = None
    error_code: Any = None
    request_metadata: Any = None
    performance_config: Any = None
    service_tier: Any = None
    input: msgspec.Raw = _NONE
    output: msgspec.Raw = _NONE


class _Body(msgspec.Struct, gc=False, rename="camel"):
    """A response body, a chunk of a streamed one, or an object nested in a chunk; the fields for
    the tier also stand in a request body."""

    usage: msgspec.Raw = _NONE
    message: msgspec.Raw = _NONE
    metadata: msgspec.Raw = _NONE
    response: msgspec.Raw = _NONE
    delta: msgspec.Raw = _NONE
    message_stop: msgspec.Raw = _NONE
    stop_reason: msgspec.Raw = _NONE
    anthropic_stop_reason: msgspec.Raw = msgspec.field(default=_NONE, name="stop_reason")
    images: msgspec.Raw = _NONE
    artifacts: msgspec.Raw = _NONE
    video: msgspec.Raw = msgspec.field(default=_NONE, name="outputVideoDurationSeconds")
    video_height: Any = msgspec.field(default=None, name="outputVideoHeight")
    video_width: Any = msgspec.field(default=None, name="outputVideoWidth")
    guardrail: msgspec.Raw = msgspec.field(default=_NONE, name="amazon-bedrock-guardrailAction")
    trace: msgspec.Raw = _NONE
    bedrock_trace: msgspec.Raw = msgspec.field(default=_NONE, name="amazon-bedrock-trace")
    metrics: msgspec.Raw = msgspec.field(default=_NONE, name="amazon-bedrock-invocationMetrics")
    service_tier: msgspec.Raw = _NONE
    openai_service_tier: msgspec.Raw = msgspec.field(default=_NONE, name="service_tier")
    performance_config: msgspec.Raw = _NONE


class _CacheDetail(msgspec.Struct, gc=False, rename="camel"):
    ttl: msgspec.Raw = _NONE
    input_tokens: msgspec.Raw = _NONE


class _RerankBody(msgspec.Struct, gc=False):
    """The request body of a reranker."""

    documents: msgspec.Raw = _NONE


class _ImageConfig(msgspec.Struct, gc=False):
    """What is asked of Nova Canvas or Titan Image Generator; standard is AWS's default."""

    width: int = 0
    height: int = 0
    quality: Literal["standard", "premium"] = "standard"


class _ImageBody(msgspec.Struct, gc=False, rename="camel"):
    """The request body of an image generator."""

    image_generation_config: _ImageConfig | None = None


class _VideoConfig(msgspec.Struct, gc=False, rename="camel"):
    """What is asked of Nova Reel."""

    duration_seconds: Any = None
    dimension: Any = None


class _VideoBody(msgspec.Struct, gc=False, rename="camel"):
    """The request body of a video generator: Nova Reel's, or Luma Ray's two fields."""

    video_generation_config: _VideoConfig | None = None
    duration: Any = None
    resolution: Any = None


class _AsyncBody(msgspec.Struct, gc=False, rename="camel"):
    """The same, as StartAsyncInvoke takes it."""

    model_input: msgspec.Raw = _NONE


class _GuardrailConfig(msgspec.Struct, gc=False, rename="camel"):
    guardrail_identifier: Any = None


class _Guarded(msgspec.Struct, gc=False, rename="camel"):
    """The request body of a Converse call with a guardrail."""

    guardrail_config: _GuardrailConfig | None = None


# A reranker is billed by the query of up to so many documents: 350 documents are four queries. A
# document of more than 500 tokens is billed as several, which no log shows. Source: Amazon Bedrock
# pricing, notes on Rerank models (checked 2026-11-29 in copies of the page).
_DOCUMENTS_A_QUERY = 100
_RERANKERS = re.compile(r"(?:^|[/.])(?:amazon|cohere)\.rerank")

# The models that are billed by the second of the video that they make. Others answer in words, or
# are billed by the second of what they are shown, which no log has.
_VIDEO_MAKERS = re.compile(r"(?:^|[/.])(?:amazon\.nova-reel|luma\.ray)")
_SECONDS = re.compile(r"([1-9][0-9]{0,3})s?")
_DIMENSION = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")

# A chunk without any of these tells nothing. Most chunks of a stream are such.
_MARKS = (b'"usage"', b'"amazon-bedrock-', b"guardrail_intervened", b'"promptRouter"')

# A request with none of these states no tier.
_TIER_MARKS = (b'"serviceTier"', b'"service_tier"', b'"performanceConfig"')
# AWS's words for tiers.
_TIERS = ("default", "auto", "standard", "flex", "priority", "reserved", "ultrafast")

_BLOCKED = (b'"INTERVENED"', b'"guardrail_intervened"')

# The path of each count in a record, whatever bodies it has.
COUNT_PATHS = {kind.name: kind.log for kind in KINDS if kind.log}

# A body's ``usage`` names them as Converse, Anthropic, Nova, OpenAI or a stream's metrics do.
_LOGGED = [kind for kind in KINDS if kind.log or kind.body]

_INPUT = INPUT_KINDS[0]

# Names in a ``usage`` that only OpenAI's Chat and Responses APIs write.
_OPENAI_ALONE = ("prompt_tokens", "prompt_tokens_details", "input_tokens_details")

_CREATED = {"ephemeral_5m_input_tokens": "5m", "ephemeral_1h_input_tokens": "1h"}
_TTLS = {b'"5m"': "5m", b'"1h"': "1h"}

# The fields of an object, not yet decoded.
Fields = Mapping[str, msgspec.Raw]

_Wanted = TypeVar("_Wanted")


def parse_logged_call(
    record: bytes | memoryview, *, metadata_key: KeyNames = APPLICATION_KEY
) -> Parsed:
    """Read one record, a JSON object as Bedrock wrote it or as tables keep it.

    ``metadata_key``: the key, or the keys in order, in the request metadata that names the
    application. Raises RejectError if it is not an invocation log, or lacks what identifies a call.
    """
    record = plain_log(bytes(record))
    logged = _decode_as(record, _LogRecord) or _decode_as(
        _replace_lone_surrogates(record), _LogRecord
    )
    # Raised outside the handler, because a handled error would keep the record alive.
    if logged is None:
        raise RejectError("not a readable JSON object")
    if logged.schema_type not in (SCHEMA, None):
        raise RejectError(f"not an invocation log: its schemaType is not {SCHEMA}")
    request_id = text(logged.request_id)
    if request_id is None:
        raise RejectError(
            "no requestId: it cannot be matched with the calls that CloudTrail reports"
        )
    account_id = text(account(logged.account_id))
    if account_id is None:
        raise RejectError("no accountId")
    utc = utc_time(logged.timestamp, "timestamp", is_utc=True)
    complaints: list[str] = []
    event = _event(logged, request_id, account_id, utc, metadata_key, complaints.append)
    return Parsed(event, tuple(complaints))


def _replace_lone_surrogates(record: bytes | memoryview) -> bytes:
    return _LONE_SURROGATE.sub(rb"\\ufffd", bytes(record))


def event_id_of(account_id: str, region: str, request_id: str) -> str:
    """Return the event id of a call that CloudTrail has not reported: always the same for a call.

    A request id alone is unique only within an account and region.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{account_id}/{region}/{request_id}"))


def _event(
    logged: _LogRecord,
    request_id: str,
    account_id: str,
    utc: str,
    metadata_key: KeyNames,
    complain: Complain,
) -> Event:
    identity = identity_of(logged.identity)
    region = text(logged.region) or "unknown"
    metadata = _metadata(logged.request_metadata, complain)
    application, application_source = find_application(
        role_name=identity.role_name,
        request_parameters={"requestMetadata": metadata},
        user_agent=None,
        metadata_key=metadata_key,
    )
    parts = _parts(logged)
    bodies = list(_bodies(parts["output"]))
    return Event(
        event_time=utc,
        event_id=event_id_of(account_id, region, request_id),
        request_id=request_id,
        shared_event_id=None,
        account_id=account_id,
        region=region,
        event_source=BEDROCK,
        event_name=text(logged.operation) or "unknown",
        model_id=find_answering_model(text(logged.model_id), bodies),
        principal_arn=identity.principal_arn,
        principal_type=identity.principal_type,
        session_name=identity.session_name,
        user_agent=None,
        user_name=identity.user_name,
        application=application,
        application_source=application_source,
        error_code=text(logged.error_code),
        inference_region=text(logged.inference_region),
        service_tier=_service_tier(logged, parts["input"], bodies),
        is_home_copy=True,
        is_correction=False,
        request_metadata=canonical_metadata(metadata),
        guardrail_action=INTERVENED if any(map(_is_blocked, bodies)) else None,
        guardrail_use=_guardrail_use(parts["input"], bodies, complain),
        reported_by=INVOCATION_LOG,
        tokens=_tokens(logged, parts, bodies, complain),
    )


def identity_of(identity: object) -> Identity:
    """Return the caller in a record's ``identity``, read as for CloudTrail from the ARN alone.

    Queries name the column after the object: ``identity.arn as identity``.
    """
    is_arn = isinstance(identity, str) and identity.startswith("arn:")
    return find_identity_of_arn(text(identity if is_arn else mapping(identity).get("arn")) or "")[0]


def _metadata(value: object, complain: Complain) -> dict[str, Any]:
    """Return ``requestMetadata``, cut to Bedrock's limits."""
    if value is None:
        return {}
    given = mapping(value)
    cut = {
        key[:_MAX_LETTERS]: item[:_MAX_LETTERS] if isinstance(item, str) else item
        for key, item in sorted(given.items())
        if isinstance(item, str) or (isinstance(item, (int, float)) and abs(item) < 2**63)
    }
    kept = dict(list(cut.items())[:_MAX_ITEMS])
    if kept != value:
        complain("requestMetadata is malformed or exceeds Bedrock's limits; the rest is dropped")
    return kept


def _parts(logged: _LogRecord) -> Mapping[str, Fields]:
    return {
        "input": _opened(_fields(logged.input), "inputBodyJson"),
        "output": _opened(_fields(logged.output), "outputBodyJson"),
    }


def _opened(part: Fields, name: str) -> Fields:
    """Return a part of the record whose body is JSON, and not its text, as tables keep it."""
    raw = part.get(name, _NONE)
    if memoryview(raw)[:1].tobytes() != b'"':
        return part
    written = _decode_as(raw, str) or ""
    is_json = written.lstrip()[:1] in ("{", "[")
    return {**part, name: msgspec.Raw(written.encode())} if is_json else part


class _Found(NamedTuple):
    """A count, and which of ``LOG_SOURCES`` it is from."""

    reading: TokenReading
    source: str


def _tokens(
    logged: _LogRecord, parts: Mapping[str, Fields], bodies: list[_Body], complain: Complain
) -> Tokens | None:
    """Return the counts of the record and of the body's usage, the more useful of each."""
    found = _find_counts(parts, bodies, complain)
    values: dict[str, int | None] = {kind: one.reading.value for kind, one in found.items()}
    written = values.get("cache_write")
    values["cache_write"], values["cache_write_1h"] = _divide(written, _usage(bodies), complain)
    values["image"], values["search"] = _images(bodies), _search_units(logged, parts["input"])
    source, sources = _sources(found)
    variant = _variant(parts["input"]) if values["image"] else None
    values["video"], resolution = _video(logged, parts, bodies)
    variant = variant or resolution
    tokens = Tokens._make((source, *counts_of(values), None, sources, variant))
    return None if all(value is None for value in tokens.counts) else tokens


def _sources(found: Mapping[str, _Found]) -> tuple[str, int | None]:
    """Return the source of the input, and all of its and the cache's, if there are several."""
    one = found.get(_INPUT) or next(iter(found.values()), None)
    source = one.source if one else LOG_TOKENS
    bits = 0
    for kind in INPUT_KINDS:
        if kind in found and (found[kind].reading.value or kind == _INPUT):
            bits |= bit_of(found[kind].source)
    return source, if_mixed(source, bits)


def find_logged_tokens(record: bytes) -> dict[str, TokenReading]:
    """Return each token count of a record by its kind, with its path."""
    logged = (
        _decode_as(record, _LogRecord)
        or _decode_as(_replace_lone_surrogates(record), _LogRecord)
        or _LogRecord()
    )
    parts = _parts(logged)
    found = _find_counts(parts, list(_bodies(parts["output"])), lambda complaint: None)
    return {kind: one.reading for kind, one in found.items()}


# The response's input says what it contains, the record's own does not.
def _find_counts(
    parts: Mapping[str, Fields], bodies: list[_Body], complain: Complain
) -> dict[str, _Found]:
    """Return each count by its kind: the record's own, else the body's.

    But the body's input is used, together with its cache counts, wherever it is the record's own,
    or that with the cache's in it; and always if an API of OpenAI's wrote it.
    """
    own = _readings(lambda kind: _record_count(parts, kind, complain))
    if not bodies:
        return {kind: _Found(reading, LOG_TOKENS) for kind, reading in own.items()}
    usage, metrics = _usage(bodies), _metrics(bodies)
    is_openai = any(name in usage for name in _OPENAI_ALONE)
    source = OPENAI_TOKENS if is_openai else BODY_TOKENS

    def complain_of(kind: TokenKind) -> Complain:
        # What the record has itself may be anything in the body.
        return complain if kind.name not in own else lambda complaint: None

    of_body = _readings(
        lambda kind: _usage_count(usage, kind.openai if is_openai else kind.body, complain_of(kind))
    )
    by_aws = _readings(lambda kind: _usage_count(metrics, kind.body, complain_of(kind)))
    is_whole = _is_whole(own, of_body, is_openai=is_openai)
    found = {}
    for kind in (kind.name for kind in _LOGGED):
        candidates = [(own, LOG_TOKENS), (of_body, source), (by_aws, LOG_TOKENS)]
        if kind in INPUT_KINDS and is_whole:
            candidates = [(of_body, source), (own, LOG_TOKENS)]
        elif kind in INPUT_KINDS and is_openai and _INPUT in own:
            candidates.pop(1)
        for readings, its_source in candidates:
            if kind in readings:
                found[kind] = _Found(readings[kind], its_source)
                break
    return found


_Readings = Mapping[str, TokenReading]


def _readings(find: Callable[[TokenKind], TokenReading | None]) -> _Readings:
    found = {kind.name: find(kind) for kind in _LOGGED}
    return {kind: reading for kind, reading in found.items() if reading is not None}


def _is_whole(own: _Readings, of_body: _Readings, *, is_openai: bool) -> bool:
    """Return whether the body's input and cache counts stand for the record's own."""
    if _INPUT not in of_body:
        return False
    cached = {kind: own[kind].value for kind in INPUT_KINDS[1:] if kind in own}
    if any(number and kind not in of_body for kind, number in cached.items()):
        return False
    if is_openai or _INPUT not in own:
        return True
    number = of_body[_INPUT].value
    if number == own[_INPUT].value:
        return all(of_body[k].value == n for k, n in cached.items() if k in of_body)
    return number == own[_INPUT].value + sum(cached.values())


def _record_count(
    parts: Mapping[str, Fields], kind: TokenKind, complain: Complain
) -> TokenReading | None:
    if kind.log is None:
        return None
    part, name = kind.log.split(".")
    value = _count(parts[part].get(name, _NONE), kind.log, complain)
    return None if value is None else TokenReading(kind.log, value)


def _count(raw: msgspec.Raw, name: str, complain: Complain) -> int | None:
    try:
        return _number(raw)
    except ValueError as error:
        complain(f"{name} is {error}; the call is kept without it")
        return None


def _number(raw: msgspec.Raw) -> int | None:
    """Return a count, None for null. Raises ValueError with a message free of the record's text."""
    written = bytes(raw)
    if written == b"null":
        return None
    number = _decode_as(written, Any) if len(written) <= _MAX_DIGITS else None
    return count("" if number is None else number)


def _usage_count(usage: Fields, names: tuple[str, ...], complain: Complain) -> TokenReading | None:
    for name in names:
        path = f"output.outputBodyJson usage.{name}"
        outer, _, inner = name.partition(".")
        raw = usage.get(outer, _NONE)
        value = _count(_fields(raw).get(inner, _NONE) if inner else raw, path, complain)
        if value is not None:
            return TokenReading(path, value)
    return None


def _divide(
    written: int | None, usage: Fields, complain: Complain
) -> tuple[int | None, int | None]:
    """Return the cache writes that last for 5 minutes and for 1 hour, where the body says."""
    parts = _lifetimes(usage) if usage else []
    if not parts:
        return written, None
    try:
        numbers = [(lifetime, _number(raw) or 0) for lifetime, raw in parts]
    except ValueError:
        numbers = [("unreadable", -1)]
    five, hour = (sum(n for lifetime, n in numbers if lifetime == own) for own in ("5m", "1h"))
    total = sum(number for _, number in numbers) if written is None else written
    if five + hour == total:
        return five, hour
    complain(
        "the cache writes by lifetime in output.outputBodyJson do not add up to"
        " input.cacheWriteInputTokenCount; all of them count as written for 5 minutes"
    )
    return written, None


def _lifetimes(usage: Fields) -> list[tuple[str, msgspec.Raw]]:
    """Return the parts of the cache writes with their lifetimes; "other" for an unknown one."""
    created = _fields(usage.get("cache_creation", _NONE))
    parts = [(_CREATED[name], raw) for name, raw in created.items() if name in _CREATED]
    details = _decode_as(usage.get("cacheDetails", _NONE), list[_CacheDetail]) or []
    return parts or [(_TTLS.get(bytes(one.ttl), "other"), one.input_tokens) for one in details]


def _usage(bodies: list[_Body]) -> Fields:
    """Return the numbers of all usages by name. A stream counts up: the last value is the total."""
    found: dict[str, msgspec.Raw] = {}
    for body in bodies:
        nested = (body.message, body.metadata, body.response)
        inner = (_decode_as(part, _Body) for part in nested)
        for raw in (*(part.usage for part in inner if part), body.usage):
            _add_numbers(found, raw)
    return found


def find_answering_model(sent: str | None, bodies: list[_Body]) -> str | None:
    """Return the model of a call; for a prompt router the one that answered, if a body says so."""
    if sent is None or PROMPT_ROUTER not in sent:
        return sent
    for body in bodies:
        metadata = _decode_as(body.metadata, _Body)
        for trace in (body.trace, metadata.trace if metadata else _NONE):
            router = _fields(_fields(trace).get("promptRouter", _NONE))
            model = _decode_as(router.get("invokedModelId", _NONE), str) or ""
            # Nothing else of a body may be stored.
            if _MODEL.fullmatch(model):
                return model
    return sent


def _metrics(bodies: list[_Body]) -> Fields:
    """Return the numbers that Bedrock itself adds to the end of a stream."""
    found: dict[str, msgspec.Raw] = {}
    for body in bodies:
        _add_numbers(found, body.metrics)
    return found


def _add_numbers(found: dict[str, msgspec.Raw], raw: msgspec.Raw) -> None:
    found |= {name: number for name, number in _fields(raw).items() if bytes(number) != b"null"}


def _images(bodies: list[_Body]) -> int | None:
    for body in bodies:
        for raw in (body.images, body.artifacts):
            images = _decode_as(raw, list[msgspec.Raw])
            if images is not None:
                return len(images)
    return None


def _variant(request: Fields) -> str | None:
    """Return the variant of images by the request: the smallest size that holds them, quality.

    None where the request does not say it, or where it depends on whether AWS compares sides or
    areas, which it does not say.
    """
    body = _decode_as(request.get("inputBodyJson", _NONE), _ImageBody)
    config = body.image_generation_config if body else None
    if config is None or min(config.width, config.height) < 1:
        return None
    side, area = max(config.width, config.height), config.width * config.height
    sizes = {
        next((size for size in IMAGE_SIZES if side <= size), None),
        next((size for size in IMAGE_SIZES if area <= size * size), None),
    }
    size = sizes.pop()
    return None if sizes or size is None else f"{size}x{size}_{config.quality}"


def _service_tier(logged: _LogRecord, request: Fields, bodies: list[_Body]) -> str | None:
    """Return the tier that the record states, else the response, else the request.

    None for the default one. What is asked for may be refused, so the response comes first.
    """
    stated = {"performanceConfig": logged.performance_config, "serviceTier": logged.service_tier}
    written = bytes(request.get("inputBodyJson", _NONE))
    # Most requests have none, and may be long.
    asked = _decode_as(written, _Body) if any(mark in written for mark in _TIER_MARKS) else None
    for body in (*bodies, asked):
        for part in (body, _decode_as(body.metadata, _Body) if body else None):
            for name, value in _tier_fields(part).items() if part else ():
                if stated.get(name) is None:
                    stated[name] = value
    return service_tier(stated, {})


def _tier_fields(body: _Body) -> dict[str, Any]:
    """Return what a body says of the tier. Only AWS's own words count: others may be anything."""
    written = (_fields(body.service_tier).get("type", _NONE), body.service_tier)
    words = (_decode_as(raw, str) for raw in (*written, body.openai_service_tier))
    word = next(filter(None, words), "")
    latency = _decode_as(_fields(body.performance_config).get("latency", _NONE), str)
    fields: dict[str, Any] = {"serviceTier": word} if word.lower() in _TIERS else {}
    if latency in ("standard", "optimized"):
        fields["performanceConfig"] = {"latency": latency}
    return fields


def _search_units(logged: _LogRecord, request: Fields) -> int | None:
    """Return how many queries a reranker is billed for; None for other models, or without a body.

    A lower bound: see ``_DOCUMENTS_A_QUERY``. A failed call is billed for none.
    """
    model = text(logged.model_id) or ""
    if _RERANKERS.search(model) is None or text(logged.error_code) is not None:
        return None
    body = _decode_as(request.get("inputBodyJson", _NONE), _RerankBody)
    documents = _decode_as(body.documents, list[msgspec.Raw]) if body else None
    return -(-len(documents) // _DOCUMENTS_A_QUERY) if documents else None


def _video(
    logged: _LogRecord, parts: Mapping[str, Fields], bodies: list[_Body]
) -> tuple[int | None, str | None]:
    """Return the seconds of a generated video, and its resolution; None where unknown.

    A failed call made none. What the response says comes first if it is a whole number: a file may
    be a frame longer than what was asked for and is billed. The request names the resolution.
    """
    model = text(logged.model_id) or ""
    if _VIDEO_MAKERS.search(model) is None or text(logged.error_code) is not None:
        return None, None
    body = parts["input"].get("inputBodyJson", _NONE)
    outer = _decode_as(body, _AsyncBody)
    inner = outer.model_input if outer and bytes(outer.model_input) != b"null" else body
    asked = _decode_as(inner, _VideoBody) or _VideoBody()
    of_record = _decode_as(logged.output, _Body)
    made = [*bodies, *([of_record] if of_record else [])]
    config = asked.video_generation_config or _VideoConfig()
    seconds = [*(_seconds(one.video) for one in made), _seconds(config.duration_seconds)]
    seconds.append(_seconds(asked.duration))
    sizes = [asked.resolution, _side(config.dimension)]
    sizes += [_side(f"{one.video_width}x{one.video_height}") for one in made]
    known = (size for size in sizes if isinstance(size, str) and size in VIDEO_VARIANTS)
    found = next(filter(None, seconds), None)
    return found, next(known, None) if found else None


def _seconds(value: object) -> int | None:
    """Return a whole number of seconds, as Nova Reel (6) or Luma Ray ("6s") writes it."""
    if isinstance(value, msgspec.Raw):
        value = bytes(value).decode(errors="replace")
    written = str(value)
    found = _SECONDS.fullmatch(written.removesuffix(".0"))
    return int(found[1]) if found else None


def _side(dimension: object) -> str | None:
    """Return the resolution of "1280x720", by the shorter side: 720p."""
    found = _DIMENSION.fullmatch(dimension) if isinstance(dimension, str) else None
    return f"{min(map(int, found.groups()))}p" if found else None


def _is_blocked(body: _Body) -> bool:
    inner = (_decode_as(part, _Body) for part in (body.delta, body.message_stop))
    words = [body.guardrail]
    for part in (body, *filter(None, inner)):
        words += (part.stop_reason, part.anthropic_stop_reason)
    return any(bytes(word) in _BLOCKED for word in words)


def _guardrail_use(request: Fields, bodies: list[_Body], complain: Complain) -> str | None:
    """Return what guardrails did; unknown units where no trace says how many."""
    traces = [trace for body in bodies for trace in _traces(body)]
    units: Mapping[str, Units] = {}
    try:
        units = units_of_traces(traces)
    except (*_UNREADABLE, ValueError):
        complain("the trace of a guardrail cannot be read; the call is kept without its units")
    if units:
        return use_of(units)
    body = request.get("inputBodyJson", _NONE)
    # Most requests have none, and may be long.
    named = _decode_as(body, _Guarded) if b'"guardrailConfig"' in bytes(body) else None
    config = named.guardrail_config if named else None
    acted = any(bytes(one.guardrail) != b"null" or _is_blocked(one) for one in bodies)
    if not (traces or config or acted):
        return None
    return use_of({guardrail_id(config.guardrail_identifier if config else None): None})


def _traces(body: _Body) -> Iterator[bytes]:
    for raw in (body.trace, body.bedrock_trace, _fields(body.metadata).get("trace", _NONE)):
        guardrail = _fields(raw).get("guardrail", _NONE)
        if bytes(guardrail) != b"null":
            yield bytes(guardrail)


def _bodies(output: Fields) -> Iterator[_Body]:
    """Yield the response body, or those chunks of a streamed one that may have counts."""
    raw = output.get("outputBodyJson", _NONE)
    if raw is _NONE:
        return
    chunks = _decode_as(raw, list[msgspec.Raw])
    for chunk in [raw] if chunks is None else chunks:
        written = bytes(chunk)
        if chunks is None or any(mark in written for mark in _MARKS):
            body = _decode_as(written, _Body)
            if body is not None:
                yield body


def _fields(raw: msgspec.Raw) -> Fields:
    """Return the fields of an object; none for anything else."""
    return _decode_as(raw, dict[str, msgspec.Raw]) or {}


def _decode_as(written: bytes | memoryview | msgspec.Raw, kind: type[_Wanted]) -> _Wanted | None:
    """Return a part of the record as the expected type; None for any other."""
    try:
        return msgspec.json.decode(written, type=kind)
    except _UNREADABLE:
        return None
