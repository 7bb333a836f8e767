"""Bedrock runtime calls that cost money: one question, and the tokens it took.

A call is made once; the caller decides whether to repeat it. The model's response is read to its
end, because a stream reports its tokens last, and then dropped. Only counts leave this module.

**The counts.** Input, cache read, cache write and output are disjoint. InvokeModel returns them in
the body's ``usage``. Its stream has them in ``amazon-bedrock-invocationMetrics`` of the last chunk,
and the lifetime of cache writes in the first. Converse has them in ``usage``, its stream in the
event ``metadata``. A broken stream may end without an error. It then has no counts, which is not
the same as zero.

Sources: API reference of InvokeModel, Converse and their streams; Anthropic Claude Messages API in
the user guide (checked 2026-11-26).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Any, NamedTuple

from etl.sources.aws import Place
from etl.sources.boto import botocore, urllib3

_VERSION = "bedrock-2023-05-31"


class Usage(NamedTuple):
    """The tokens of one call. ``input_tokens`` excludes cached tokens."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0


class ModelAnswer(NamedTuple):
    """The result of a call. ``usage`` None: the response broke off, and ``problem`` says how."""

    request_id: str
    usage: Usage | None
    problem: str | None = None


class Question(NamedTuple):
    """What a model is asked."""

    model_id: str
    prompt: str
    max_tokens: int


def ask(place: Place, operation: str, question: Question) -> ModelAnswer:
    """Ask a model with one of ``OPERATIONS``. Raises the kinds of SourceError.

    After a RetriableError without a ``code`` it is unknown whether the model ran.
    """
    call, read = OPERATIONS[operation]
    answer = call(place, question)
    request_id = answer.get("ResponseMetadata", {}).get("RequestId", "")
    try:
        usage = read(answer)
    except _broken_off() as error:
        # The type only, because the message may quote the response.
        return ModelAnswer(request_id, None, f"the response broke off ({type(error).__name__})")
    problem = None if usage else "the response ended before its token counts"
    return ModelAnswer(request_id, usage, problem)


def _broken_off() -> tuple[type[Exception], ...]:
    """Return the errors that reading a response may raise.

    botocore does not translate urllib3's errors in a stream.
    """
    errors = botocore.exceptions
    return (
        *(errors.BotoCoreError, errors.ClientError, botocore.eventstream.ParserError),
        *(botocore.parsers.ResponseParserError, urllib3.exceptions.HTTPError, OSError),
        *(ValueError, KeyError, TypeError, AttributeError),
    )


def _invoke(place: Place, question: Question) -> dict[str, Any]:
    return place.call("bedrock-runtime", "InvokeModel", _messages(question), requires="body")


def _invoke_stream(place: Place, question: Question) -> dict[str, Any]:
    return place.call(
        "bedrock-runtime", "InvokeModelWithResponseStream", _messages(question), requires="body"
    )


def _converse(place: Place, question: Question) -> dict[str, Any]:
    return place.call("bedrock-runtime", "Converse", _conversation(question), requires="usage")


def _converse_stream(place: Place, question: Question) -> dict[str, Any]:
    return place.call(
        "bedrock-runtime", "ConverseStream", _conversation(question), requires="stream"
    )


def _messages(question: Question) -> dict[str, Any]:
    body = {
        "anthropic_version": _VERSION,
        "max_tokens": question.max_tokens,
        "messages": [{"role": "user", "content": question.prompt}],
    }
    return {
        "modelId": question.model_id,
        "contentType": "application/json",
        "accept": "application/json",
        "body": json.dumps(body),
    }


def _conversation(question: Question) -> dict[str, Any]:
    return {
        "modelId": question.model_id,
        "messages": [{"role": "user", "content": [{"text": question.prompt}]}],
        "inferenceConfig": {"maxTokens": question.max_tokens},
    }


def _read_body(answer: Mapping[str, Any]) -> Usage | None:
    with closing(answer["body"]) as body:
        return _anthropic_usage(json.loads(body.read())["usage"])


def _read_chunks(answer: Mapping[str, Any]) -> Usage | None:
    """Read the counts that Bedrock adds. The split of cache writes is in Anthropic's own."""
    first: Mapping[str, Any] = {}
    metrics: Mapping[str, Any] | None = None
    for event in _events(answer["body"]):
        chunk = json.loads(event["chunk"]["bytes"])
        if chunk.get("type") == "message_start":
            first = chunk["message"]["usage"]
        metrics = chunk.get("amazon-bedrock-invocationMetrics", metrics)
    if metrics is None:
        return None
    written = metrics.get("cacheWriteInputTokenCount") or 0
    return Usage(
        metrics["inputTokenCount"],
        metrics["outputTokenCount"],
        metrics.get("cacheReadInputTokenCount") or 0,
        *_split(written, first.get("cache_creation", {}).get("ephemeral_1h_input_tokens") or 0),
    )


def _read_usage(answer: Mapping[str, Any]) -> Usage | None:
    return _converse_usage(answer["usage"])


def _read_metadata(answer: Mapping[str, Any]) -> Usage | None:
    usages = [e["metadata"]["usage"] for e in _events(answer["stream"]) if "metadata" in e]
    return _converse_usage(usages[-1]) if usages else None


def _events(stream: Any) -> Iterable[Any]:
    """Yield the events of a stream, and always release its connection."""
    with closing(stream):
        yield from stream


def _anthropic_usage(usage: Mapping[str, Any]) -> Usage:
    written = usage.get("cache_creation_input_tokens") or 0
    for_an_hour = (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0
    return Usage(
        usage["input_tokens"],
        usage["output_tokens"],
        usage.get("cache_read_input_tokens") or 0,
        *_split(written, for_an_hour),
    )


def _converse_usage(usage: Mapping[str, Any]) -> Usage:
    details = usage.get("cacheDetails") or ()
    for_an_hour = sum(detail["inputTokens"] for detail in details if detail["ttl"] == "1h")
    return Usage(
        usage["inputTokens"],
        usage["outputTokens"],
        usage.get("cacheReadInputTokens") or 0,
        *_split(usage.get("cacheWriteInputTokens") or 0, for_an_hour),
    )


def _split(written: int, for_an_hour: int) -> tuple[int, int]:
    return written - for_an_hour, for_an_hour


_Call = Callable[[Place, Question], dict[str, Any]]
_ReadUsage = Callable[[Mapping[str, Any]], "Usage | None"]

# How each operation is called, and how its counts are read.
OPERATIONS: dict[str, tuple[_Call, _ReadUsage]] = {
    "InvokeModel": (_invoke, _read_body),
    "InvokeModelWithResponseStream": (_invoke_stream, _read_chunks),
    "Converse": (_converse, _read_usage),
    "ConverseStream": (_converse_stream, _read_metadata),
}
