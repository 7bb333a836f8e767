"""An unforeseen response from AWS costs only that event, or that source."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import cycle, product
from typing import Any

import pytest

from etl.errors import AccessError, RetriableError, StoppedError
from etl.sources.aws import Place
from etl.sync.run import _guard
from tests.aws.logs import GROUP
from tests.support import call, logged, uuid_of
from tests.sync.support import HOUR, World, utc

ODD = (None, 7, -1, 1e308, 10**30, "", "a\ud800", "CaNaRy", [], [[]], {}, {"CaNaRy": ["CaNaRy"]})
FIELDS = (
    *("userIdentity", "eventName", "requestParameters", "additionalEventData", "resources"),
    *("userAgent", "requestID", "awsRegion", "addendum", "responseElements", "eventTime"),
)


def test_malformed_events_of_a_page_do_not_affect_good_ones(world: World) -> None:
    world.deliver(1, HOUR * 3, tokens=(1, 2))
    moment = world.clock.now() - HOUR * 3
    for number, (field, value) in enumerate(product(FIELDS, ODD), 100):
        record = call(number, eventTime=utc(moment))
        world.place.deliver(record, moment, text=json.dumps(record | {field: value}))
    world.deliver(2, HOUR * 3, tokens=(1, 2))
    outcome = world.sync()
    assert outcome.problems == []
    assert {uuid_of(1), uuid_of(2)} <= set(world.event_ids())
    for position, reason in world.rows("select position, reason from rejects"):
        assert position
        assert "canary" not in reason.lower()


def raising(error: BaseException) -> Callable[[], None]:
    def read() -> None:
        raise error

    return read


@pytest.mark.parametrize("kind", [KeyError, IndexError, TypeError, ValueError, OverflowError])
def test_an_unforeseen_response_is_an_error_of_its_source(kind: type[Exception]) -> None:
    with pytest.raises(RetriableError, match="the other sources continue") as caught:
        _guard(raising(kind("CaNaRy")))
    assert "CaNaRy" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("error", [AccessError("x"), StoppedError("x"), KeyboardInterrupt()])
def test_what_was_foreseen_stays_what_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)):
        _guard(raising(error))


ANSWERS = (
    "GetMetricData",
    "ListMetrics",
    "ListInferenceProfiles",
    "ListFoundationModels",
    "ListProvisionedModelThroughputs",
)


@pytest.mark.parametrize("operation", ANSWERS)
def test_malformed_responses_of_one_source_do_not_affect_the_others(
    operation: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part of a response in turn is something else."""
    real, odd = Place.call, cycle(ODD)

    def call_oddly(self: Place, service: str, asked: str, *args: Any, **options: Any) -> Any:
        answer = real(self, service, asked, *args, **options)
        if asked == operation:
            key = options["requires"]
            answer[key] = [*answer[key], *(next(odd) for _ in range(5)), {"Id": next(odd)}]
        return answer

    monkeypatch.setattr(Place, "call", call_oddly)
    world.deliver(1, HOUR * 3, tokens=(1, 2))
    for _ in range(3):
        outcome = world.sync(sources=("cloudtrail", "cloudwatch", "catalogue"))
        assert world.event_ids() == [uuid_of(1)]
        assert all("canary" not in str(problem).lower() for problem in outcome.problems)


def answer_oddly(monkeypatch: pytest.MonkeyPatch, operation: str, key: str) -> None:
    """Add to each page invalid entries, and entries in which one part is something else."""
    real = Place.call

    def call_oddly(self: Place, service: str, asked: str, *args: Any, **options: Any) -> Any:
        answer = real(self, service, asked, *args, **options)
        if asked == operation and answer[key]:
            first, last = answer[key][0], answer[key][-1]
            parts = [first | {part: odd} for part, odd in product(first, ODD)]
            answer[key] = [first, *ODD, *parts, last]
        return answer

    monkeypatch.setattr(Place, "call", call_oddly)


@pytest.mark.parametrize(
    ("operation", "key", "sources"),
    [
        ("LookupEvents", "Events", {}),
        ("FilterLogEvents", "events", {"sources": ("invocation_logs",), "log_group": GROUP}),
    ],
)
def test_malformed_entries_of_a_page_do_not_affect_good_ones(
    operation: str, key: str, sources: dict[str, Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.place.log_group()
    for number in (1, 2):
        world.deliver(number, HOUR * 3, tokens=(1, 2))
        moment = utc(world.clock.now() - HOUR * 3)
        world.place.log_invocation(logged(number, timestamp=moment), None)
    answer_oddly(monkeypatch, operation, key)
    for _ in range(2):
        assert world.sync(**sources).problems == []
    good = {"LookupEvents": (1, 2), "FilterLogEvents": (1_000_001, 1_000_002)}[operation]
    stored = {one for row in world.rows("select event_id, request_id from calls") for one in row}
    assert {uuid_of(number) for number in good} <= stored
    for position, reason in world.rows("select position, reason from rejects"):
        assert position
        assert "canary" not in reason.lower()
