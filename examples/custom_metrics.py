"""Publish an application's use of Amazon Bedrock as CloudWatch metrics, from the application.

One file to copy; it needs boto3 and nothing else.

    from custom_metrics import BedrockWithMetrics

    bedrock = BedrockWithMetrics("WebPortal")  # wraps boto3.client("bedrock-runtime")
    answer = bedrock.converse(modelId=..., messages=[...])

``invoke_model``, ``converse`` and their streams take the same arguments and return the same
answers as boto3's, and are measured. Everything else is passed to boto3 unchanged. The role needs
``cloudwatch:PutMetricData``. You can pass your own clients (``bedrock=``, ``cloudwatch=``); the
default Bedrock client sends the application's name in its user agent.

**What is published**, by Application and ModelId and never by anything else (a user or a session
as a dimension would cost $0.30 a month for each metric): ``Calls``, ``FailedCalls``,
``CallsWithUnknownTokens``, ``InputTokens``, ``OutputTokens``, ``CacheReadTokens``,
``CacheWriteTokens``. To publish fewer, set ``metrics=("Calls", "InputTokens")``. Each kind of
tokens excludes the others, as on the bill. A model id gets its own series once a call with it has
succeeded, so wrong ids create none; from the 51st in one process on, it is ``(other)``.

**Unknown is not zero.** The counts are those that Bedrock states: in the headers of
``invoke_model``, in the usage of ``converse``, at the end of a stream. If a model states none, or
a stream is not read to its end, unknown counts are not published, and ``CallsWithUnknownTokens``
counts the call. (The model may continue for a while after its stream is abandoned, and that output
is billed.)

**Minutes, not calls.** Counts are summed by the minute and sent by a thread, as one StatisticSet
per metric: use Sum; percentiles are not available. A call never waits for CloudWatch, and no error
of CloudWatch or of this file reaches it: each kind of problem is logged once and counted in
``bedrock.problems``. Values that CloudWatch refused are sent again with the next flush, for up to
a day and up to 10,000 values; the oldest are dropped first. A request with a lost answer may have
been stored, so it is not sent again: a gap is better than double cost. Call ``close()``, or use
``with``, to send the rest before the end; otherwise it is sent at exit. On AWS Lambda, where
threads sleep between invocations, call ``flush()`` at the end of the handler.

**Sampling** (``sample_rate=0.1``) is for processes that stream a lot. Tokens are read for a tenth
of the calls, and each of these counts for ten. So sums stay right on average, and processes with
different rates can share a metric; minimum and maximum are those of the sample. ``Calls`` and
``FailedCalls`` are always exact. Sampling saves no money: CloudWatch charges for metrics, not for
calls.

**Not in Custom/BedrockUsage.** ``bedrock-usage monitor publish`` fills that namespace with the
same calls, found in CloudTrail. In one namespace every call would count twice, on dashboards and
in alarms.
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import random
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

NAMESPACE = "Custom/BedrockApplications"
METRICS = (
    "Calls",
    "FailedCalls",
    "CallsWithUnknownTokens",
    "InputTokens",
    "OutputTokens",
    "CacheReadTokens",
    "CacheWriteTokens",
)

_TAKEN = "Custom/BedrockUsage"
_OTHER = "(other)"
_MOST_MODELS = 50
_MOST_WAITING_CALLS = 100_000
_MOST_WAITING_VALUES = 10_000
_KEEP_SECONDS = 24 * 3600
# PutMetricData accepts 1,000 metrics and 1 MB per request.
_BATCH = 500
# After these errors the values may have been stored.
_LOST_ANSWERS = (ReadTimeoutError, ConnectionClosedError)

_log = logging.getLogger(__name__)


class BedrockWithMetrics:
    """A bedrock-runtime client that publishes the usage of its calls; see above."""

    def __init__(
        self,
        application: str,
        *,
        bedrock: Any = None,
        cloudwatch: Any = None,
        namespace: str = NAMESPACE,
        metrics: tuple[str, ...] = METRICS,
        sample_rate: float = 1.0,
        flush_seconds: float = 60.0,
        flush_calls: int = 1000,
    ) -> None:
        if not 0 < sample_rate <= 1:
            raise ValueError("sample_rate must be more than 0 and at most 1")
        # CloudTrail then shows the same name in the user agent.
        named = Config(user_agent_appid=application)
        self._bedrock = bedrock or boto3.client("bedrock-runtime", config=named)
        self._sample_rate = sample_rate
        self._publisher = Publisher(
            application,
            cloudwatch=cloudwatch,
            region=self._bedrock.meta.region_name,
            namespace=namespace,
            metrics=metrics,
            flush_seconds=flush_seconds,
            flush_calls=flush_calls,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bedrock, name)

    def invoke_model(self, *args: Any, **params: Any) -> Any:
        """Call boto3's invoke_model; the body is not read."""
        return self._call("invoke_model", args, params, _Call.end_with_headers)

    def converse(self, *args: Any, **params: Any) -> Any:
        """Call boto3's converse."""
        return self._call("converse", args, params, _Call.end_with_usage)

    def invoke_model_with_response_stream(self, *args: Any, **params: Any) -> Any:
        """Call boto3's invoke_model_with_response_stream; chunks are passed on as they come."""
        return self._call("invoke_model_with_response_stream", args, params, _Call.watch_body)

    def converse_stream(self, *args: Any, **params: Any) -> Any:
        """Call boto3's converse_stream; events are passed on as they come."""
        return self._call("converse_stream", args, params, _Call.watch_stream)

    @property
    def problems(self) -> Counter[str]:
        """How often each problem with metrics occurred."""
        return self._publisher.problems

    def flush(self) -> None:
        """Send everything counted so far, and wait until it is sent."""
        self._publisher.flush()

    def close(self) -> None:
        """Send the rest and end the thread; later calls work but are not measured."""
        self._publisher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def _call(
        self,
        method: str,
        args: tuple[Any, ...],
        params: dict[str, Any],
        measure: Callable[[_Call, Any], None],
    ) -> Any:
        self._publisher.start()
        weight = 1 / self._sample_rate if random.random() < self._sample_rate else None
        call = _Call(self._publisher, str(params.get("modelId")), weight)
        try:
            answer = getattr(self._bedrock, method)(*args, **params)
        except Exception:
            call.end(failed=True)
            raise
        try:
            measure(call, answer)
        except Exception as error:  # an answer of an unforeseen form
            self._publisher.note(error)
            call.end()
        return answer


@dataclass
class _Call:
    """A running call and what is known of its tokens. It ends once."""

    publisher: Publisher
    model_id: str
    # How many calls it counts for; None: it is not in the sample.
    weight: float | None
    tokens: dict[str, int] = field(default_factory=dict)
    is_complete: bool = False
    has_ended: bool = False
    failed: bool = False

    def end(self, *, failed: bool = False, wake: bool = True) -> None:
        """Hand the call over to the publisher."""
        if not self.has_ended:
            self.has_ended, self.failed = True, failed
            self.publisher.record(self, wake=wake)

    def end_with_headers(self, answer: Mapping[str, Any]) -> None:
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        self._learn({name: _whole(headers.get(key)) for key, name in _HEADERS.items()})
        self.is_complete = "InputTokens" in self.tokens
        self.end()

    def end_with_usage(self, answer: Mapping[str, Any]) -> None:
        self._learn_usage(answer.get("usage"))
        self.end()

    def watch_body(self, answer: dict[str, Any]) -> None:
        self._watch(answer, "body", self._see_chunk)

    def watch_stream(self, answer: dict[str, Any]) -> None:
        self._watch(answer, "stream", self._see_event)

    def _watch(self, answer: dict[str, Any], key: str, see: Callable[[Any], None]) -> None:
        answer[key] = _WatchedStream(answer[key], self, see)

    def _see_event(self, event: Mapping[str, Any]) -> None:
        if "metadata" in event:
            self._learn_usage(event["metadata"].get("usage"))

    def _see_chunk(self, event: Mapping[str, Any]) -> None:
        """Learn from the last chunk, and from Claude's first one, which states the input."""
        text = event.get("chunk", {}).get("bytes", b"")
        if _LAST_CHUNK.encode() in text or b"message_start" in text:
            chunk = json.loads(text)
            if chunk.get("type") == "message_start":
                usage = chunk["message"]["usage"]
                self._learn({name: usage.get(key) for key, name in _FIRST_CHUNK.items()})
            if _LAST_CHUNK in chunk:
                counts = chunk[_LAST_CHUNK]
                self._learn({name: counts.get(key) for key, name in _COUNTS.items()})
                self.is_complete = "InputTokens" in self.tokens

    def _learn_usage(self, usage: Any) -> None:
        if isinstance(usage, Mapping):
            self._learn({name: usage.get(key) for key, name in _USAGE.items()})
            self.is_complete = "InputTokens" in self.tokens

    def _learn(self, counts: Mapping[str, Any]) -> None:
        for name, count in counts.items():
            if type(count) is int and count >= 0:
                self.tokens[name] = count


_USAGE = {
    "inputTokens": "InputTokens",
    "outputTokens": "OutputTokens",
    "cacheReadInputTokens": "CacheReadTokens",
    "cacheWriteInputTokens": "CacheWriteTokens",
}
_LAST_CHUNK = "amazon-bedrock-invocationMetrics"
_COUNTS = {
    "inputTokenCount": "InputTokens",
    "outputTokenCount": "OutputTokens",
    "cacheReadInputTokenCount": "CacheReadTokens",
    "cacheWriteInputTokenCount": "CacheWriteTokens",
}
# The first chunk's output_tokens count only the first chunk.
_FIRST_CHUNK = {
    "input_tokens": "InputTokens",
    "cache_read_input_tokens": "CacheReadTokens",
    "cache_creation_input_tokens": "CacheWriteTokens",
}
_HEADERS = {
    "x-amzn-bedrock-input-token-count": "InputTokens",
    "x-amzn-bedrock-output-token-count": "OutputTokens",
    "x-amzn-bedrock-cache-read-input-token-count": "CacheReadTokens",
    "x-amzn-bedrock-cache-write-input-token-count": "CacheWriteTokens",
}


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


class _WatchedStream:
    """Boto3's event stream, which shows its events to a call and reports when it is over.

    It is over at its end, after an error, after ``close()``, or when nothing refers to it any
    more; not at the end of one ``for``, because another may continue.
    """

    def __init__(self, stream: Any, call: _Call, see: Callable[[Any], None]) -> None:
        self._stream, self._watching, self._see = stream, call, see

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            for event in self._stream:
                self._look(event)
                yield event
        except Exception:
            self._watching.end(failed=True)
            raise
        self._watching.end()

    def close(self) -> None:
        self._watching.end()
        self._stream.close()

    def __del__(self) -> None:
        # Do not wake the thread: this may interrupt code that holds the same lock.
        self._watching.end(wake=False)

    def _look(self, event: Any) -> None:
        try:
            if self._watching.weight is not None:
                self._see(event)
        except Exception as error:  # an event of an unforeseen form
            self._watching.publisher.note(error)


@dataclass
class _Statistics:
    count: float = 0.0
    total: float = 0.0
    smallest: float = math.inf
    largest: float = -math.inf

    def add(self, value: int, weight: float) -> None:
        self.count += weight
        self.total += value * weight
        self.smallest, self.largest = min(self.smallest, value), max(self.largest, value)

    def as_statistic_set(self) -> dict[str, float]:
        return {
            "SampleCount": self.count,
            "Sum": self.total,
            "Minimum": self.smallest,
            "Maximum": self.largest,
        }


class Publisher:
    """Sums calls by minute, model and metric, and sends the sums.

    A call only appends to a deque. A flush does everything else, one flush at a time.
    """

    def __init__(
        self,
        application: str,
        *,
        cloudwatch: Any = None,
        region: str | None = None,
        namespace: str = NAMESPACE,
        metrics: tuple[str, ...] = METRICS,
        flush_seconds: float = 60.0,
        flush_calls: int = 1000,
    ) -> None:
        is_printable = application.isascii() and application.isprintable()
        if not (application.strip() and is_printable and len(application) <= 255):
            raise ValueError("application must have 1 to 255 printable ASCII characters")
        if application.startswith(":"):
            raise ValueError("application must not begin with a colon: CloudWatch refuses it")
        if namespace == _TAKEN or namespace.startswith("AWS/"):
            raise ValueError(f"choose another namespace than {namespace}: calls would count twice")
        if unknown := set(metrics) - set(METRICS):
            raise ValueError(f"unknown metrics: {', '.join(sorted(unknown))}")
        self._application, self._given, self._region = application, cloudwatch, region
        self._namespace, self._metrics = namespace, frozenset(metrics)
        self._flush_seconds, self._flush_calls = flush_seconds, flush_calls
        self._begin()
        _publishers.add(self)
        atexit.register(self.close)

    def _begin(self) -> None:
        """Start empty, also in a fork: the parent sends what the parent counted."""
        self.problems: Counter[str] = Counter()
        self._cloudwatch = self._given
        self._noting = threading.RLock()
        self._flushing = threading.Lock()
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._calls: deque[tuple[int, _Call]] = deque()
        self._sums: dict[tuple[int, str, str], _Statistics] = {}
        self._models: set[str] = set()

    def start(self) -> None:
        """Start the sending thread unless it is running. Never raises."""
        if self._thread is None and not self._is_closed:
            try:
                with self._starting:
                    if self._thread is None:
                        self._thread = threading.Thread(
                            target=self._run, name="bedrock-metrics", daemon=True
                        )
                        self._thread.start()
            except Exception as error:
                self.note(error)

    def record(self, call: _Call, *, wake: bool) -> None:
        """Take a call that has ended. Never raises, never waits."""
        try:
            waiting = len(self._calls)
            if self._is_closed or waiting >= _MOST_WAITING_CALLS:
                self.note("calls that were not measured")
                return
            self._calls.append((int(time.time()) // 60 * 60, call))
            if wake and waiting + 1 >= self._flush_calls:
                self._wake.set()
        except Exception as error:
            self.note(error)

    def note(self, problem: str | Exception, times: int = 1) -> None:
        """Count a problem, and log the first of its kind."""
        kind = problem if isinstance(problem, str) else _kind(problem)
        with self._noting:
            self.problems[kind] += times
            is_first = self.problems[kind] == times
        if is_first:
            _log.warning("Bedrock metrics of %s: %s (logged once)", self._application, kind)

    def flush(self) -> None:
        """Send everything counted so far, and wait until it is sent. Never raises."""
        try:
            with self._flushing:
                for _ in range(len(self._calls)):
                    self._sum_up(*self._calls.popleft())
                self._give_up_old(int(time.time()) - _KEEP_SECONDS)
                self._send()
        except Exception as error:
            self.note(error)

    def close(self) -> None:
        """Send the rest and end the thread."""
        self._is_closed = True
        self._wake.set()
        self.flush()
        atexit.unregister(self.close)

    def _run(self) -> None:
        while not self._is_closed:
            self._wake.wait(self._flush_seconds)
            self._wake.clear()
            if not self._is_closed:
                self.flush()

    def _sum_up(self, minute: int, call: _Call) -> None:
        model = self._model(call)
        self._add(minute, model, "FailedCalls" if call.failed else "Calls", 1, 1.0)
        if call.weight is None:
            return
        for metric, count in call.tokens.items():
            self._add(minute, model, metric, count, call.weight)
        if not call.is_complete and not call.failed:
            self._add(minute, model, "CallsWithUnknownTokens", 1, call.weight)

    def _model(self, call: _Call) -> str:
        """Return the model's id as in CloudWatch's own metrics: without the rest of its ARN."""
        name = call.model_id.rpartition("/")[2]
        if not call.failed and len(self._models) < _MOST_MODELS:
            self._models.add(name)
        return name if name in self._models else _OTHER

    def _add(self, minute: int, model: str, metric: str, value: int, weight: float) -> None:
        if metric in self._metrics:
            self._sums.setdefault((minute, model, metric), _Statistics()).add(value, weight)

    def _give_up_old(self, oldest: int) -> None:
        """Drop values that are too old or too many; the oldest come first."""
        too_many = len(self._sums) - _MOST_WAITING_VALUES
        old = [key for place, key in enumerate(self._sums) if place < too_many or key[0] < oldest]
        for key in old:
            del self._sums[key]
        if old:
            self.note("values that could not be sent in time", len(old))

    def _send(self) -> None:
        while batch := list(islice(self._sums.items(), _BATCH)):
            data = [self._datum(*key, statistics) for key, statistics in batch]
            try:
                self._client().put_metric_data(Namespace=self._namespace, MetricData=data)
            except _LOST_ANSWERS as error:
                self.note(error)
            except Exception as error:
                self.note(error)
                return
            for key, _ in batch:
                del self._sums[key]

    def _client(self) -> Any:
        """Return a client that gives up soon: the next flush tries again, and closing waits.

        It is created here, in the process and the thread that use it.
        """
        if self._cloudwatch is None:
            config = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1})
            session = boto3.session.Session(region_name=self._region)
            self._cloudwatch = session.client("cloudwatch", config=config)
        return self._cloudwatch

    def _datum(
        self, minute: int, model: str, metric: str, statistics: _Statistics
    ) -> dict[str, Any]:
        return {
            "MetricName": metric,
            "Dimensions": [
                {"Name": "Application", "Value": self._application},
                {"Name": "ModelId", "Value": model},
            ],
            "Timestamp": datetime.fromtimestamp(minute, UTC),
            "StatisticValues": statistics.as_statistic_set(),
            "Unit": "Count",
        }


def _kind(error: Exception) -> str:
    """Name an error by its kind only: its text may quote a request."""
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {error.response.get('Error', {}).get('Code')}"
    return type(error).__name__


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()


def _restart_all() -> None:
    for publisher in list(_publishers):
        publisher._begin()


# When a server forks its workers, they inherit a client but not its thread.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart_all)
