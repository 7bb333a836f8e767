"""What may be shown of an event: nothing that anyone said, and everything else."""

from __future__ import annotations

import json
from typing import Any

from etl.inspect.redact import without_texts
from tests.cases import cases
from tests.rounds import crossed
from tests.support import HAIKU, call, logged, role_identity

CANARY = "canary prompt"
WORD = "canaryword"


def shown(record: dict[str, Any], key: str = "application") -> dict[str, Any]:
    return without_texts(record, key)


@cases(
    ("canary", "fields"),
    crossed(
        [CANARY, WORD, CANARY * 100, f"{CANARY}\n"],
        [
            {"requestParameters": {"modelId": HAIKU, "messages": ["?"]}},
            {"requestParameters": {"modelId": HAIKU, "body": "?"}},
            {"requestParameters": {"anything": {"nested": ["?"]}}},
            {"requestParameters": {"inferenceConfig": {"stopSequences": ["?"]}}},
            {"requestParameters": {"requestMetadata": {"note": "?"}}},
            {"requestParameters": "?"},
            {"responseElements": {"output": "?", "usage": {"inputTokens": 1, "text": "?"}}},
            {"responseElements": {"completion": "?"}},
            {"errorMessage": "?"},
            {"errorMessage": "?", "errorCode": "ValidationException"},
            {"additionalEventData": {"prompt": "?", "content": [{"text": "?"}]}},
            {"additionalEventData": {"somethingNew": "?", "more": {"x": ["?"]}}},
            {"additionalEventData": {"additionalEntries": [{"key": "a", "value": "?"}]}},
            {"userIdentity": {"type": "Root", "prompt": "?", "content": ["?"]}},
            {"somethingNew": "?"},
            {"somethingNew": {"inferenceRegion": {"x": "?"}}},
            {"prompt": "?"},
            {"serviceEventDetails": {"messages": {"x": "?"}}},
            {"requestMetadata": {"note": "?"}},
        ],
    ),
)
def test_no_text_of_a_caller_is_shown(fields: dict[str, Any], canary: str) -> None:
    planted = json.loads(json.dumps(fields).replace('"?"', json.dumps(canary)))
    out = json.dumps(shown(call(1, **planted)))
    assert "canary" not in out
    assert HAIKU in out or "modelId" not in json.dumps(fields)


def test_a_long_text_is_shown_nowhere_but_for_its_length() -> None:
    long = "x" * 5000
    record = call(1, additionalEventData={"vpce": long}, unexpected=long, userAgent=long)
    out = json.dumps(shown(record))
    assert "xx" not in out
    assert out.count("(not shown: 5,000 characters)") == 3


def test_names_of_fields_that_are_none_are_not_shown() -> None:
    record = call(1, requestParameters={CANARY: 1, "modelId": HAIKU}, **{CANARY: 2})
    out = shown(record)
    assert "canary" not in json.dumps(out)
    assert out["requestParameters"] == {"modelId": HAIKU, "(fields not shown)": 1}


def test_everything_else_is_shown_as_it_is() -> None:
    record = call(
        1,
        userIdentity=role_identity("app"),
        tokens=(1, 2),
        requestParameters={"modelId": HAIKU, "inferenceConfig": {"maxTokens": 5}},
        errorCode="AccessDeniedException",
        errorMessage="You don't have access to the model with the specified model ID.",
        resources=[{"type": "AWS::Bedrock::Model", "ARN": "arn:aws:bedrock:us-east-1::x/y"}],
    )
    assert shown(record) == record


def test_the_metadata_that_names_the_application_is_shown_and_the_rest_counted() -> None:
    record = call(1, requestParameters={"requestMetadata": {"team": "Search", "a": "b", "c": "d"}})
    assert shown(record, "team")["requestParameters"] == {
        "requestMetadata": {"team": "Search", "(other keys, not shown)": 2}
    }


def test_a_log_s_record_without_its_bodies() -> None:
    record = logged(1, requestMetadata={"application": "Search", "note": CANARY})
    record["input"] |= {"inputBodyJson": {"messages": [CANARY]}, "inputBodyS3Path": "s3://b/k"}
    record["output"] |= {"outputBodyJson": [{"chunk": CANARY}, {"usage": {"inputTokens": 5}}]}
    out = shown(record)
    assert "canary" not in json.dumps(out)
    assert out["input"]["inputTokenCount"] == 100
    assert out["input"]["inputBodyJson"] == "(not shown: 1 fields)"
    assert out["input"]["inputBodyS3Path"] == "s3://b/k"
    assert out["output"]["outputBodyJson"] == "(not shown: 2 items)"
    assert out["requestMetadata"]["application"] == "Search"


def test_depth_has_an_end() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = {"a": deep}
    assert "not shown" in json.dumps(shown({"additionalEventData": deep}))


def test_what_cloudtrail_hid_is_shown_as_hidden() -> None:
    hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"
    record = call(1, requestParameters={"messages": hidden, "system": hidden})
    assert shown(record)["requestParameters"] == {"messages": hidden, "system": hidden}
