"""The example that publishes metrics from an application, over the real wire.

What it published is read from what the fake AWS was asked, with the parameters that its protocol
carried. Streams, their early end and cardinality come from Bedrock's own answers; what those cannot
say (a model without counts) from a client of three lines.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from examples import custom_metrics
from examples.custom_metrics import BedrockWithMetrics
from tests.aws import FakeAws, Fault, cloudwatch
from tests.rounds import long
from tests.support import HAIKU, SONNET
from tests.sync.support import environment

EXAMPLE = Path(custom_metrics.__file__)
QUESTION = [{"role": "user", "content": [{"text": "How many applications are there?"}]}]
BODY = json.dumps(
    {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "How many applications are there?"}],
    }
)
CALLS: dict[str, dict[str, Any]] = {
    "invoke_model": {"modelId": HAIKU, "body": BODY},
    "converse": {"modelId": HAIKU, "messages": QUESTION},
    "invoke_model_with_response_stream": {"modelId": HAIKU, "body": BODY},
    "converse_stream": {"modelId": HAIKU, "messages": QUESTION},
}
STREAMS = {"invoke_model_with_response_stream": "body", "converse_stream": "stream"}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    # Only the requests are examined: statistic sets, some of them at made-up times.
    monkeypatch.setitem(cloudwatch.OPERATIONS, "PutMetricData", lambda _: {})
    more = {"AWS_DISABLE_REQUEST_COMPRESSION": "true"}
    with FakeAws() as fake, environment(fake.environment() | more):
        yield fake


@pytest.fixture
def measured(aws: FakeAws) -> Iterator[Callable[..., BedrockWithMetrics]]:
    """Make clients of the application WebPortal that flush only on request."""
    made = []

    def make(**options: Any) -> BedrockWithMetrics:
        client = BedrockWithMetrics("WebPortal", **({"flush_seconds": 3600} | options))
        made.append(client)
        return client

    yield make
    aws.faults.clear()
    for client in made:
        client.close()


def puts(aws: FakeAws) -> list[dict[str, Any]]:
    return [
        request.params
        for request in aws.requests
        if request.operation == "PutMetricData" and request.outcome == "ok"
    ]


def published(aws: FakeAws) -> dict[tuple[str, str], float]:
    """Return the sum of each metric and model that CloudWatch received."""
    sums: dict[tuple[str, str], float] = {}
    for put in puts(aws):
        for datum in put["MetricData"]:
            key = datum["MetricName"], datum["Dimensions"][1]["Value"]
            sums[key] = sums.get(key, 0) + datum["StatisticValues"]["Sum"]
    return sums


def of_haiku(aws: FakeAws) -> dict[str, float]:
    return {metric: total for (metric, model), total in published(aws).items() if model == HAIKU}


def consume(method: str, answer: dict[str, Any]) -> Any:
    """Read an answer to its end and return it without the fields that differ in every call."""
    answer.pop("ResponseMetadata")
    if method in STREAMS:
        key = STREAMS[method]
        return answer | {key: _without_ids(list(answer[key]))}
    if method == "invoke_model":
        return answer | {"body": _without_ids([json.loads(answer["body"].read())])}
    return answer


def _without_ids(events: list[Any]) -> list[Any]:
    for event in events:
        if "chunk" in event:
            event["chunk"] = json.loads(event["chunk"]["bytes"])
            event["chunk"].get("message", {}).pop("id", None)
        event.pop("id", None)
    return events


@pytest.mark.parametrize("method", CALLS)
def test_arguments_and_answers_are_those_of_boto3(
    method: str, measured: Callable[..., BedrockWithMetrics]
) -> None:
    plain = boto3.client("bedrock-runtime")
    expected = consume(method, getattr(plain, method)(**CALLS[method]))
    assert consume(method, getattr(measured(), method)(**CALLS[method])) == expected
    with pytest.raises(TypeError, match="keyword arguments"):
        getattr(measured(), method)(HAIKU)


@pytest.mark.parametrize("method", CALLS)
def test_what_bedrock_states_is_published(
    method: str, aws: FakeAws, measured: Callable[..., BedrockWithMetrics]
) -> None:
    usage = boto3.client("bedrock-runtime").converse(**CALLS["converse"])["usage"]
    bedrock = measured()
    for _ in range(3):
        consume(method, getattr(bedrock, method)(**CALLS[method]))
    bedrock.flush()
    found = of_haiku(aws)
    cache = {found.pop("CacheReadTokens", 0), found.pop("CacheWriteTokens", 0)}
    assert cache == {0}
    assert found == {
        "Calls": 3,
        "InputTokens": 3 * usage["inputTokens"],
        "OutputTokens": 3 * usage["outputTokens"],
    }


@pytest.mark.parametrize("method", CALLS)
def test_tokens_of_the_cache_are_published_apart(
    method: str, aws: FakeAws, measured: Callable[..., BedrockWithMetrics]
) -> None:
    block = {"type": "text", "text": "a long text" * 99, "cache_control": {"type": "ephemeral"}}
    body = json.loads(BODY) | {"system": [block]}
    system = [{"text": "a long text" * 99}, {"cachePoint": {"type": "default"}}]
    more = {"body": json.dumps(body)} if "body" in CALLS[method] else {"system": system}
    bedrock = measured()
    consume(method, getattr(bedrock, method)(**CALLS[method] | more))
    bedrock.flush()
    first = of_haiku(aws)
    consume(method, getattr(bedrock, method)(**CALLS[method] | more))
    bedrock.flush()
    assert first["CacheWriteTokens"] > 250 > first["InputTokens"]
    assert of_haiku(aws)["CacheReadTokens"] == first["CacheWriteTokens"]


def test_a_value_is_a_minutes_statistics_of_one_application_and_model(
    aws: FakeAws, measured: Callable[..., BedrockWithMetrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custom_metrics.time, "time", lambda: 1_795_000_079.5)
    bedrock = measured(metrics=("OutputTokens",))
    metadata = {"user": "alice", "session": "1234"}
    outputs = []
    for text in ("Hello", "Hello again"):
        question = [{"role": "user", "content": [{"text": text}]}]
        answer = bedrock.converse(modelId=HAIKU, messages=question, requestMetadata=metadata)
        outputs.append(answer["usage"]["outputTokens"])
    bedrock.flush()
    (put,) = puts(aws)
    (datum,) = put["MetricData"]
    assert put["Namespace"] == "Custom/BedrockApplications"
    assert datum.pop("Timestamp").timestamp() == 1_795_000_079 // 60 * 60
    assert datum == {
        "MetricName": "OutputTokens",
        "Dimensions": [
            {"Name": "Application", "Value": "WebPortal"},
            {"Name": "ModelId", "Value": HAIKU},
        ],
        "StatisticValues": {
            "SampleCount": 2,
            "Sum": sum(outputs),
            "Minimum": min(outputs),
            "Maximum": max(outputs),
        },
        "Unit": "Count",
    }
    assert min(outputs) < max(outputs)


def test_a_stream_is_passed_on_event_by_event(aws: FakeAws) -> None:
    produced = []

    def events() -> Iterator[dict[str, Any]]:
        for event in ({"messageStart": {}}, {"metadata": {"usage": {"inputTokens": 1}}}):
            produced.append(event)
            yield event

    client = SimpleNamespace(
        meta=SimpleNamespace(region_name="us-east-1"),
        converse_stream=lambda **_: {"stream": events()},
    )
    with BedrockWithMetrics("WebPortal", bedrock=client) as bedrock:
        stream = iter(bedrock.converse_stream(modelId=HAIKU)["stream"])
        next(stream)
        assert len(produced) == 1
        assert len(list(stream)) == 1


@pytest.mark.parametrize("way", ["left", "closed"])
@pytest.mark.parametrize(
    ("method", "known"),
    [("converse_stream", set()), ("invoke_model_with_response_stream", {"InputTokens"})],
)
def test_what_a_stream_left_early_did_not_tell_is_unknown_and_not_zero(
    method: str,
    known: set[str],
    way: str,
    aws: FakeAws,
    measured: Callable[..., BedrockWithMetrics],
) -> None:
    bedrock = measured(metrics=("Calls", "CallsWithUnknownTokens", "InputTokens", "OutputTokens"))
    stream = getattr(bedrock, method)(**CALLS[method])[STREAMS[method]]
    for _ in stream:
        break
    if way == "closed":
        stream.close()
    del stream
    bedrock.flush()
    found = of_haiku(aws)
    assert found.keys() == {"Calls", "CallsWithUnknownTokens"} | known
    assert (found["Calls"], found["CallsWithUnknownTokens"]) == (1, 1)


def test_a_stream_that_is_read_in_two_goes_is_one_complete_call(
    aws: FakeAws, measured: Callable[..., BedrockWithMetrics]
) -> None:
    bedrock = measured()
    stream = bedrock.converse_stream(**CALLS["converse_stream"])["stream"]
    for _ in stream:
        break
    bedrock.flush()
    assert of_haiku(aws) == {}
    assert list(stream)
    stream.close()
    bedrock.flush()
    found = of_haiku(aws)
    assert found["Calls"] == 1
    assert found["OutputTokens"] > 0
    assert "CallsWithUnknownTokens" not in found


def test_a_stream_that_breaks_is_a_failed_call_and_raises_boto3s_error(
    aws: FakeAws, measured: Callable[..., BedrockWithMetrics]
) -> None:
    bedrock = measured()
    consume("converse", bedrock.converse(**CALLS["converse"]))
    aws.faults.append(Fault("stream-error", "ConverseStream"))
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        list(bedrock.converse_stream(**CALLS["converse_stream"])["stream"])
    bedrock.flush()
    assert (of_haiku(aws)["Calls"], of_haiku(aws)["FailedCalls"]) == (1, 1)


def test_a_failed_call_raises_boto3s_error_and_its_model_id_makes_no_metric(
    aws: FakeAws, measured: Callable[..., BedrockWithMetrics]
) -> None:
    bedrock = measured()
    aws.recording.gone.add("whatever-a-user-typed")
    with pytest.raises(bedrock.exceptions.ValidationException):
        bedrock.converse(modelId="whatever-a-user-typed", messages=QUESTION)
    aws.faults.append(Fault("throttle", "Converse", times=None))
    with pytest.raises(ClientError, match="Throttling"):
        bedrock.converse(modelId=SONNET, messages=QUESTION)
    bedrock.flush()
    assert published(aws) == {("FailedCalls", "(other)"): 2}


def test_a_model_without_counts_has_unknown_tokens(aws: FakeAws) -> None:
    client = SimpleNamespace(
        meta=SimpleNamespace(region_name="us-east-1"),
        invoke_model=lambda **_: {"ResponseMetadata": {"HTTPHeaders": {}}},
    )
    with BedrockWithMetrics("WebPortal", bedrock=client) as bedrock:
        bedrock.invoke_model(modelId="stability.stable-image-core-v1:1", body="{}")
    model = "stability.stable-image-core-v1:1"
    assert published(aws) == {("Calls", model): 1, ("CallsWithUnknownTokens", model): 1}


def test_models_beyond_fifty_share_a_metric_and_an_arn_is_its_tail(
    aws: FakeAws, measured: Callable[..., BedrockWithMetrics]
) -> None:
    bedrock = measured(metrics=("Calls",))
    arn = f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"
    for model in (HAIKU, arn, *(f"custom.model-{number}" for number in range(52))):
        bedrock.converse(modelId=model, messages=QUESTION)
    bedrock.flush()
    found = published(aws)
    assert len(found) == 51
    assert found["Calls", HAIKU] == 2
    assert found["Calls", "(other)"] == 3


def test_a_sample_stands_for_all_calls(
    aws: FakeAws, measured: Callable[..., BedrockWithMetrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = iter([0.0, 0.25, 0.5, 0.1, 0.2, 0.9, 0.99, 0.3])
    monkeypatch.setattr(custom_metrics.random, "random", lambda: next(draws))
    bedrock = measured(sample_rate=0.25)
    for _ in range(4):
        tokens = bedrock.converse(**CALLS["converse"])["usage"]["inputTokens"]
        list(bedrock.converse_stream(**CALLS["converse_stream"])["stream"])
    bedrock.flush()
    data = {datum["MetricName"]: datum["StatisticValues"] for datum in puts(aws)[0]["MetricData"]}
    assert data["Calls"]["Sum"] == 8
    assert "CallsWithUnknownTokens" not in data
    assert data["InputTokens"] == {
        "SampleCount": 3 * 4,
        "Sum": 3 * 4 * tokens,
        "Minimum": tokens,
        "Maximum": tokens,
    }


def test_what_cloudwatch_refuses_is_sent_later_once_and_logged_once(
    aws: FakeAws,
    measured: Callable[..., BedrockWithMetrics],
    caplog: pytest.LogCaptureFixture,
) -> None:
    bedrock = measured(metrics=("Calls",))
    aws.faults.append(Fault("denied", "PutMetricData", times=3))
    for _ in range(5):
        assert bedrock.converse(**CALLS["converse"])["usage"]
        bedrock.flush()
    assert of_haiku(aws) == {"Calls": 5}
    bedrock.flush()
    assert of_haiku(aws) == {"Calls": 5}
    ((kind, times),) = bedrock.problems.items()
    assert kind.startswith("PutMetricData: AccessDenied")
    assert times == 3
    assert len(caplog.records) == 1
    assert "WebPortal" in caplog.text


def test_what_may_have_been_stored_is_not_sent_again(
    aws: FakeAws, measured: Callable[..., BedrockWithMetrics]
) -> None:
    impatient = boto3.client(
        "cloudwatch", config=Config(read_timeout=0.2, retries={"total_max_attempts": 1})
    )
    bedrock = measured(metrics=("Calls",), cloudwatch=impatient)
    for kind in ("hang", "reset"):
        aws.faults.append(Fault(kind, "PutMetricData"))
        bedrock.converse(**CALLS["converse"])
        bedrock.flush()
        bedrock.flush()
    assert published(aws) == {}
    assert set(bedrock.problems) == {"ReadTimeoutError", "ConnectionClosedError"}
    impatient.close()


def test_no_call_waits_for_cloudwatch(
    aws: FakeAws, measured: Callable[..., BedrockWithMetrics]
) -> None:
    aws.faults.append(Fault("slow", "PutMetricData", seconds=1.5))
    bedrock = measured(flush_calls=1)
    bedrock.converse(**CALLS["converse"])
    wait_for(lambda: aws.faults[0].seen == 1)
    began = time.monotonic()
    for _ in range(5):
        bedrock.converse(**CALLS["converse"])
    assert puts(aws) == []
    assert time.monotonic() - began < 1


def test_memory_is_bounded_while_cloudwatch_is_down(
    aws: FakeAws, measured: Callable[..., BedrockWithMetrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custom_metrics, "_MOST_WAITING_VALUES", 5)
    monkeypatch.setattr(custom_metrics, "_MOST_WAITING_CALLS", 3)
    now = [1_795_000_000.0]
    monkeypatch.setattr(custom_metrics.time, "time", lambda: now[0])
    aws.faults.append(Fault("503", "PutMetricData", times=8))
    bedrock = measured(metrics=("Calls",))
    for _ in range(8):
        now[0] += 60
        bedrock.converse(**CALLS["converse"])
        bedrock.flush()
    for _ in range(4):
        bedrock.converse(**CALLS["converse"])
    bedrock.flush()
    minutes = [datum["Timestamp"].timestamp() for datum in puts(aws)[0]["MetricData"]]
    assert minutes == [1_795_000_000 // 60 * 60 + 60 * minute for minute in range(4, 9)]
    assert of_haiku(aws) == {"Calls": 5 + 3}
    assert bedrock.problems["calls that were not measured"] == 1
    assert bedrock.problems["values that could not be sent in time"] == 3


def test_a_day_later_nobody_waits_for_a_value_any_more(
    aws: FakeAws, measured: Callable[..., BedrockWithMetrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_795_000_000.0]
    monkeypatch.setattr(custom_metrics.time, "time", lambda: now[0])
    aws.faults.append(Fault("503", "PutMetricData"))
    bedrock = measured(metrics=("Calls",))
    bedrock.converse(**CALLS["converse"])
    bedrock.flush()
    now[0] += 25 * 3600
    bedrock.flush()
    assert published(aws) == {}
    assert bedrock.problems["values that could not be sent in time"] == 1


def test_an_answer_that_nobody_foresaw_reaches_the_caller(
    aws: FakeAws, measured: Callable[..., BedrockWithMetrics]
) -> None:
    strange = {"stream": [{"metadata": None}], "usage": "much", "ResponseMetadata": None}
    client = SimpleNamespace(
        meta=SimpleNamespace(region_name="us-east-1"),
        converse=lambda **_: strange,
        invoke_model=lambda **_: strange,
        converse_stream=lambda **_: dict(strange),
        invoke_model_with_response_stream=lambda **_: {},
    )
    bedrock = measured(bedrock=client)
    assert bedrock.converse(modelId=HAIKU) is strange
    assert bedrock.invoke_model(modelId=HAIKU) is strange
    assert list(bedrock.converse_stream(modelId=HAIKU)["stream"]) == [{"metadata": None}]
    assert bedrock.invoke_model_with_response_stream(modelId=HAIKU) == {}
    bedrock.flush()
    assert of_haiku(aws) == {"Calls": 4, "CallsWithUnknownTokens": 4}
    assert set(bedrock.problems) == {"TypeError", "AttributeError", "KeyError"}


def test_a_thread_flushes_now_and_then(
    aws: FakeAws, measured: Callable[..., BedrockWithMetrics]
) -> None:
    measured(flush_seconds=0.05).converse(**CALLS["converse"])
    wait_for(lambda: of_haiku(aws).get("Calls") == 1)


def test_a_thread_flushes_when_there_are_many_calls(
    aws: FakeAws, measured: Callable[..., BedrockWithMetrics]
) -> None:
    bedrock = measured(flush_calls=3)
    for _ in range(2):
        bedrock.converse(**CALLS["converse"])
    time.sleep(0.2)
    assert puts(aws) == []
    bedrock.converse(**CALLS["converse"])
    wait_for(lambda: of_haiku(aws).get("Calls") == 3)


def test_after_the_with_all_is_sent_and_no_thread_is_left(aws: FakeAws) -> None:
    with BedrockWithMetrics("WebPortal") as bedrock:
        bedrock.converse(**CALLS["converse"])
        assert "bedrock-metrics" in {thread.name for thread in threading.enumerate()}
    assert of_haiku(aws)["Calls"] == 1
    wait_for(lambda: "bedrock-metrics" not in {thread.name for thread in threading.enumerate()})
    assert bedrock.converse(**CALLS["converse"])["usage"]
    assert bedrock.problems == {"calls that were not measured": 1}


AT_EXIT = """
import os, sys
from custom_metrics import BedrockWithMetrics

bedrock = BedrockWithMetrics("WebPortal")
question = [{"role": "user", "content": [{"text": "How many?"}]}]
bedrock.converse(modelId=sys.argv[1], messages=question)
child = os.fork() if sys.argv[2] == "fork" else None
if child == 0:
    bedrock.converse(modelId=sys.argv[1], messages=question)
elif child:
    os.waitpid(child, 0)
"""


@long
@pytest.mark.parametrize(("how", "calls"), [("alone", 1), ("fork", 2)])
def test_the_rest_is_sent_at_exit_and_a_fork_sends_its_own(
    aws: FakeAws, how: str, calls: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT, HAIKU, how],
        env=os.environ | {"PYTHONPATH": str(EXAMPLE.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert of_haiku(aws)["Calls"] == calls


@pytest.mark.parametrize(
    ("application", "options", "words"),
    [
        ("WebPortal", {"namespace": "Custom/BedrockUsage"}, "count twice"),
        ("WebPortal", {"namespace": "AWS/Bedrock"}, "count twice"),
        ("WebPortal", {"sample_rate": 0}, "sample_rate"),
        ("WebPortal", {"sample_rate": 1.5}, "sample_rate"),
        ("WebPortal", {"metrics": ("Calls", "Users")}, "Users"),
        (" ", {}, "application"),
        ("Büro", {}, "application"),
        ("Web\nPortal", {}, "application"),
        (":WebPortal", {}, "colon"),
    ],
)
def test_a_wrong_setting_is_refused_at_the_start(
    aws: FakeAws, application: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        BedrockWithMetrics(application, **options)


def test_the_file_can_be_copied() -> None:
    names = set()
    for node in ast.walk(ast.parse(EXAMPLE.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).partition(".")[0])
    assert names - sys.stdlib_module_names == {"boto3", "botocore"}


def wait_for(holds: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
