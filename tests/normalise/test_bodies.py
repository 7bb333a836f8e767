"""No prompt or response is passed on, as text or number; what is parsed stays the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from etl.inspect.redact import without_texts
from etl.normalise.bodies import HIDDEN, STRIPPED, without_bodies
from etl.normalise.cloudtrail import parse_event
from tests.rounds import rounds
from tests.support import HAIKU, call

# Of a salary, an account, a diagnosis: nothing else in an event has these digits.
SECRET = 918273645
secrets = st.sampled_from([SECRET, str(SECRET), f"{SECRET}.5", float(SECRET), f"I earn {SECRET}", [SECRET], {"x": SECRET}, {str(SECRET): 1}, -SECRET])  # fmt: skip

# Names of bodies, unknown names, and parts of known names.
names = st.sampled_from(
    ["prompt", "messages", "inputText", "body", "text", "input", "promptSessionAttributes", "retrievalQuery",
     "somethingNew", "amount", "Prompt", "max", "tokens", "value", "sessionState", "stopSequences"]
)  # fmt: skip
bodies = st.recursive(secrets, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2), max_leaves=4)  # fmt: skip
known = st.fixed_dictionaries(
    {},
    optional={
        "modelId": st.sampled_from([HAIKU, "a model", 5, None, ["x"]]),
        "serviceTier": st.sampled_from(["flex", {"type": "priority"}, 5]),
        "performanceConfig": st.just({"latency": "optimized"}),
        "requestMetadata": st.just({"application": "Search", "note": "a b"}),
        "inferenceConfig": st.just({"maxTokens": 100, "temperature": 0.5}),
        "system": st.just(HIDDEN),
    },
)
usage = st.fixed_dictionaries({}, optional={"usage": st.sampled_from([{"inputTokens": 5, "outputTokens": "7"}, [5], {"inputTokens": "x"}]), "inputTokenCount": st.just(3), "jobArn": st.just("arn:x")})  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    said = st.dictionaries(names, bodies, max_size=3)
    parameters, answer = draw(known) | draw(said), draw(usage) | draw(said)
    extra: dict[str, Any] = {"requestParameters": parameters, "responseElements": answer}
    if draw(st.booleans()):
        extra["errorCode"] = "ValidationException"
        extra["errorMessage"] = f"malformed: {SECRET}"
    if draw(st.booleans()):
        extra["additionalEventData"] = {"inputTokens": 9, "prompt": draw(bodies)}
    return call(1, **extra)


def has_secret(value: object) -> bool:
    return str(SECRET) in json.dumps(value)


@settings(max_examples=rounds(90, 5000))
@given(record=events())
def test_nothing_that_was_said_is_kept_or_shown(record: dict[str, Any]) -> None:
    # A field name may be anything too, where removed fields may be.
    text = json.dumps(record)
    kept = without_bodies(text, record)
    assert str(SECRET) not in kept
    assert not has_secret(without_texts(record, "application"))
    again = parse_event(json.loads(kept))
    first = parse_event(record)
    assert (again.row, again.job) == (first.row, first.job)
    assert len(again.complaints) == len(first.complaints)
    assert without_bodies(kept, json.loads(kept)) == kept


def test_an_event_without_bodies_is_kept_byte_for_byte() -> None:
    record = call(
        1, tokens=(1, 2), requestParameters={"modelId": HAIKU, "messages": HIDDEN}, new={"x": 1.50}
    )
    text = json.dumps(record, indent=3)
    assert without_bodies(text, record) is text


def test_what_is_deep_or_no_event_keeps_nothing() -> None:
    deep: Any = SECRET
    for _ in range(400):
        deep = {"a": deep}
    assert str(SECRET) not in without_bodies(
        "", {"additionalEventData": deep, "requestParameters": deep}
    )
    assert json.loads(without_bodies("[5]", [5])) == STRIPPED


def test_counts_and_settings_are_shown_as_they_are() -> None:
    shown = without_texts(
        call(1, tokens=(7, 8), requestParameters={"inferenceConfig": {"maxTokens": 5, "secret": 6}, "amount": "7"}),
        "application",
    )  # fmt: skip
    assert shown["requestParameters"]["inferenceConfig"] == {
        "maxTokens": 5,
        "secret": "(not shown: a number)",
    }
    assert shown["requestParameters"]["amount"] == "(not shown: 1 characters)"
    assert shown["additionalEventData"]["inputTokens"] == 7
