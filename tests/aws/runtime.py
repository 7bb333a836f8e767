"""Bedrock's runtime: InvokeModel, Converse and their streams, with usage as a model counts it.

There is no model here. A token is four characters. The answer depends on the question's length, so
different questions get different answers and the same question the same one; ``max_tokens`` cuts it.
A block of text with ``cache_control`` (``cachePoint`` for Converse) is written to the cache with
everything before it, and read from there the next time in the same account and region: forever, and
however short it is.

InvokeModel accepts Anthropic's Messages bodies only. A malformed body or a model that does not exist
(those in ``gone``) is a ValidationException; the wording may differ from AWS's. The session of a
role that IAM made needs the permission in the role's inline policy.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-response.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.aws import moto_route
from tests.aws.calls import AwsError, Call, Handler
from tests.aws.invocations import Usage, record_success

STREAMS = ("InvokeModelWithResponseStream", "ConverseStream")
_VERSION = "bedrock-2023-05-31"
_LATENCY = 321
_PIECE = 24


class _Part(NamedTuple):
    """A piece of the question; ``ttl`` if the cached part ends after it."""

    text: str
    ttl: str | None = None


class _Answer(NamedTuple):
    text: str
    usage: Usage
    is_cut: bool


def invoke_model(call: Call) -> dict[str, Any]:
    """Answer a Messages body; the token counts are in headers too."""
    answer = _think(call, *_read_body(call))
    usage = answer.usage
    call.headers |= {
        "X-Amzn-Bedrock-Input-Token-Count": str(usage.input),
        "X-Amzn-Bedrock-Output-Token-Count": str(usage.output),
        "X-Amzn-Bedrock-Invocation-Latency": str(_LATENCY),
    }
    if usage.cache_read or usage.cache_write:
        call.headers |= {
            "X-Amzn-Bedrock-Cache-Read-Input-Token-Count": str(usage.cache_read),
            "X-Amzn-Bedrock-Cache-Write-Input-Token-Count": str(usage.cache_write),
        }
    message = _message(call, usage, usage.output)
    message |= {
        "content": [{"type": "text", "text": answer.text}],
        "stop_reason": "max_tokens" if answer.is_cut else "end_turn",
    }
    return {"body": json.dumps(message).encode(), "contentType": "application/json"}


def invoke_model_with_response_stream(call: Call) -> dict[str, Any]:
    """Answer with Anthropic's events; the last chunk also has Bedrock's own metrics."""
    answer = _think(call, *_read_body(call))
    events = [
        {"chunk": {"bytes": json.dumps(event).encode()}}
        for event in _anthropic_events(call, answer)
    ]
    return {"body": _broken(call, events), "contentType": "application/json"}


def converse(call: Call) -> dict[str, Any]:
    """Answer with the usage in the body."""
    answer = _think(call, *_read_converse(call))
    message = {"role": "assistant", "content": [{"text": answer.text}]}
    return {
        "output": {"message": message},
        "stopReason": "max_tokens" if answer.is_cut else "end_turn",
        "usage": _converse_usage(answer.usage),
        "metrics": {"latencyMs": _LATENCY},
    }


def converse_stream(call: Call) -> dict[str, Any]:
    """Answer with the events of a message; the last one has the usage."""
    answer = _think(call, *_read_converse(call))
    deltas = [
        {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}
        for piece in _pieces(answer.text)
    ]
    stop = "max_tokens" if answer.is_cut else "end_turn"
    events: list[dict[str, Any]] = [
        {"messageStart": {"role": "assistant"}},
        *deltas,
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": stop}},
        {
            "metadata": {
                "usage": _converse_usage(answer.usage),
                "metrics": {"latencyMs": _LATENCY},
            }
        },
    ]
    return {"stream": _broken(call, events)}


OPERATIONS: dict[str, Handler] = {
    "InvokeModel": invoke_model,
    "InvokeModelWithResponseStream": invoke_model_with_response_stream,
    "Converse": converse,
    "ConverseStream": converse_stream,
}


def _broken(call: Call, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events, or half of them and then an error."""
    if call.twist != "stream-error":
        return events
    error = {"message": "The model ended unexpectedly.", "originalStatusCode": 500}
    return [*events[: len(events) // 2], {"modelStreamErrorException": error}]


def _think(call: Call, parts: list[_Part], most: int) -> _Answer:
    """Return the answer to a question, and add AWS's records of it."""
    _check_allowed(call)
    if call.params["modelId"] in call.aws.recording.gone:
        raise _refusal("The provided model identifier is invalid.")
    if not any(part.text for part in parts):
        raise _refusal("messages: at least one message is required")
    wanted = 12 + sum(len(part.text) for part in parts) % 29
    output = min(wanted, most)
    usage = _count(call, parts, output)
    record_success(call, usage)
    return _Answer("word" * output, usage, wanted > most)


def _check_allowed(call: Call) -> None:
    """Refuse the session of a role that IAM made without this permission."""
    key = call.aws.accounts.find(call.access_key)
    action = action_of(call)
    resources = _resources(call)
    if key and key.role_arn and not moto_route.allows(key.role_arn, action, resources):
        text = f"User: {key.arn} is not authorized to perform: {action} on resource: {resources[0]}"
        raise AwsError("AccessDeniedException", text, 403)


def _resources(call: Call) -> list[str]:
    """Return the resources to check; a profile needs its model in every region it routes to."""
    model_id = call.params["modelId"]
    if model_id.startswith("arn:"):
        return [model_id]
    geo, _, rest = model_id.partition(".")
    if "." not in rest or len(geo) > len("us-gov"):
        return [f"arn:aws:bedrock:{call.region}::foundation-model/{model_id}"]
    # A global profile needs its model without a region too.
    regions = (call.region, "") if geo == "global" else ("us-east-2", "x")
    return [
        f"arn:aws:bedrock:{call.region}:{call.account}:inference-profile/{model_id}",
        *(f"arn:aws:bedrock:{region}::foundation-model/{rest}" for region in regions),
    ]


def action_of(call: Call) -> str:
    """Return the permission that a call needs; Converse needs InvokeModel's."""
    service = call.operation.service_model.service_name.removesuffix("-runtime")
    name = call.name.replace("ConverseStream", "InvokeModelWithResponseStream")
    return f"{service}:{name.replace('Converse', 'InvokeModel')}"


def _count(call: Call, parts: list[_Part], output: int) -> Usage:
    last = max((i for i, part in enumerate(parts) if part.ttl), default=-1)
    cached, rest = parts[: last + 1], parts[last + 1 :]
    plain = 8 + _tokens(rest)
    if not cached:
        return Usage(plain, output)
    key = (call.account, call.region, "".join(part.text for part in cached))
    if key in call.aws.recording.cached:
        return Usage(plain, output, cache_read=_tokens(cached))
    call.aws.recording.cached.add(key)
    kind = "cache_write_1h" if cached[-1].ttl == "1h" else "cache_write_5m"
    return Usage(plain, output, **{kind: _tokens(cached)})


def _tokens(parts: list[_Part]) -> int:
    return -(-sum(len(part.text) for part in parts) // 4)


def _read_body(call: Call) -> tuple[list[_Part], int]:
    try:
        body = json.loads(call.params.get("body", b""))
        if body["anthropic_version"] != _VERSION:
            raise _refusal(f'anthropic_version: "{_VERSION}" is required')
        most = int(body["max_tokens"])
        contents = [body.get("system", ""), *(message["content"] for message in body["messages"])]
    except (ValueError, KeyError, TypeError):
        raise _refusal(
            "Malformed input request, please reformat your input and try again."
        ) from None
    return [part for content in contents for part in _anthropic_parts(content)], most


def _anthropic_parts(content: Any) -> Iterator[_Part]:
    if isinstance(content, str):
        yield _Part(content)
        return
    for block in content:
        control = block.get("cache_control")
        yield _Part(block.get("text", ""), control.get("ttl", "5m") if control else None)


def _read_converse(call: Call) -> tuple[list[_Part], int]:
    params = call.params
    lists = [params.get("system", []), *(one["content"] for one in params.get("messages", []))]
    parts: list[_Part] = []
    for block in (block for blocks in lists for block in blocks):
        if "cachePoint" in block:
            parts.append(_Part("", block["cachePoint"].get("ttl", "5m")))
        else:
            parts.append(_Part(block.get("text", "")))
    return parts, params.get("inferenceConfig", {}).get("maxTokens", 4096)


def _message(call: Call, usage: Usage, output: int) -> dict[str, Any]:
    return {
        "id": f"msg_bdrk_{call.request_id.replace('-', '')[:24]}",
        "type": "message",
        "role": "assistant",
        "model": call.params["modelId"].rpartition("/")[2].rpartition("anthropic.")[2],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": usage.input,
            "cache_creation_input_tokens": usage.cache_write,
            "cache_read_input_tokens": usage.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": usage.cache_write_5m,
                "ephemeral_1h_input_tokens": usage.cache_write_1h,
            },
            "output_tokens": output,
        },
    }


def _anthropic_events(call: Call, answer: _Answer) -> Iterator[dict[str, Any]]:
    usage = answer.usage
    # The first event counts the output so far; only message_delta has the whole output.
    yield {"type": "message_start", "message": _message(call, usage, 1)}
    block = {"type": "text", "text": ""}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    for piece in _pieces(answer.text):
        delta = {"type": "text_delta", "text": piece}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    stop = {"stop_reason": "max_tokens" if answer.is_cut else "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": usage.output}}
    metrics = {
        "inputTokenCount": usage.input,
        "outputTokenCount": usage.output,
        "invocationLatency": _LATENCY,
        "firstByteLatency": 123,
    }
    if usage.cache_read or usage.cache_write:
        metrics |= {
            "cacheReadInputTokenCount": usage.cache_read,
            "cacheWriteInputTokenCount": usage.cache_write,
        }
    yield {"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}


def _converse_usage(usage: Usage) -> dict[str, Any]:
    total = usage.input + usage.output + usage.cache_read + usage.cache_write
    writes = {"1h": usage.cache_write_1h, "5m": usage.cache_write_5m}
    details = [{"ttl": ttl, "inputTokens": tokens} for ttl, tokens in writes.items() if tokens]
    return {
        "inputTokens": usage.input,
        "outputTokens": usage.output,
        "totalTokens": total,
        "cacheReadInputTokens": usage.cache_read,
        "cacheWriteInputTokens": usage.cache_write,
    } | ({"cacheDetails": details} if details else {})


def _pieces(text: str) -> list[str]:
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


def _refusal(message: str) -> AwsError:
    return AwsError("ValidationException", message)
