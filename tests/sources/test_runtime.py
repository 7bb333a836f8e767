"""Calls of the runtime, over the wire: every count that a response has, cached ones too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import boto3
import pytest

from etl.sources.runtime import OPERATIONS, Usage
from tests.aws import NOW, FakeAws, FakeClock
from tests.support import HAIKU
from tests.sync.support import environment

LONG, SHORT = "x" * 400, "And now?"


@pytest.fixture
def client() -> Iterator[Any]:
    with (
        FakeAws(FakeClock(NOW)) as aws,
        environment(aws.environment()),
        closing(boto3.client("bedrock-runtime")) as made,
    ):
        yield made


def cached_question(operation: str, ttl: str) -> dict[str, Any]:
    if operation.startswith("Invoke"):
        blocks: list[Any] = [
            {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": ttl}},
            {"type": "text", "text": SHORT},
        ]
        body = {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": blocks}],
        }
        return {"modelId": HAIKU, "body": json.dumps(body)}
    blocks = [{"text": LONG}, {"cachePoint": {"type": "default", "ttl": ttl}}, {"text": SHORT}]
    messages = [{"role": "user", "content": blocks}]
    return {"modelId": HAIKU, "messages": messages, "inferenceConfig": {"maxTokens": 9}}


METHODS = {
    "InvokeModel": "invoke_model",
    "InvokeModelWithResponseStream": "invoke_model_with_response_stream",
    "Converse": "converse",
    "ConverseStream": "converse_stream",
}


@pytest.mark.parametrize("ttl", ["5m", "1h"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_cached_tokens_are_counted_apart(client: Any, operation: str, ttl: str) -> None:
    ask, (_, read) = getattr(client, METHODS[operation]), OPERATIONS[operation]
    usages = [read(ask(**cached_question(operation, ttl))) for _ in range(2)]
    written = {"cache_write_1h_tokens" if ttl == "1h" else "cache_write_5m_tokens": 100}
    assert usages == [Usage(10, 9, **written), Usage(10, 9, cache_read_tokens=100)]
