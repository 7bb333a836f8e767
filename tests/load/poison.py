"""Files that have anything where something else belongs."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.support import ACCOUNT, HAIKU, call, logged, role_identity, service_event

# No message may repeat these.
CANARY = "CaNaRy"
NUMBER = 987654321987

PROFILE = {
    "inferenceProfileArn": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/abc",
    "inferenceProfileName": "Chat",
    "type": "APPLICATION",
    "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"}],
    "tags": [{"key": "application", "value": "Chat"}],
}
TOTALS = {
    "MetricDataQueries": [
        {
            "Id": "q0",
            "AccountId": ACCOUNT,
            "Region": "us-east-1",
            "MetricStat": {
                "Metric": {
                    "MetricName": "InputTokenCount",
                    "Dimensions": [{"Name": "ModelId", "Value": HAIKU}],
                },
                "Period": 300,
            },
        }
    ],
    "MetricDataResults": [
        {"Id": "q0", "Timestamps": ["2026-11-02T10:00:00Z"], "Values": [12.0]},
    ],
}
DOCUMENTS: tuple[Any, ...] = (
    {"Records": [call(11, tokens=(10, 5), userIdentity=role_identity("Chat-BedrockRole"))]},
    {"Records": [service_event(12, 7, {"inputTokens": 3})]},
    call(13, tokens=(1, 2)),
    logged(14, cache=(3, 4)),
    {"Events": [{"EventId": "x", "CloudTrailEvent": json.dumps(call(15))}]},
    {"events": [{"message": json.dumps(logged(16))}]},
    {"inferenceProfileSummaries": [PROFILE]},
    TOTALS,
)
VALUES = st.one_of(
    st.sampled_from(
        [
            *(None, True, False, 0, -1, 1.5, 10**30, -(2**63), 2**64, 1e308, float("nan")),
            *(float("inf"), "", " ", CANARY, f"\ud800{CANARY}", f"{CANARY}\0", "9" * 400, [], {}),
            *([[]], [1, 2], [CANARY], {CANARY: CANARY}, {"\ud800": 1}, "0001-01-01T00:00:00+23:59"),
            *("9999-12-31T23:59:59-23:59", "2026-02-30T00:00:00Z", NUMBER, "x" * 5000, "1e999"),
        ]
    ),
    st.integers(),
    st.floats(),
)


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, (dict, list)):
        for key, child in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield from nodes(child, (*path, key))


@st.composite
def poison(draw: st.DrawFn) -> bytes:
    """Draw a document with something else in some of its places."""
    document = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    for _ in range(draw(st.integers(1, 3))):
        paths = list(nodes(document))
        if not paths:
            break
        path, part = draw(st.sampled_from(paths)), document
        for key in path[:-1]:
            part = part[key]
        if draw(st.booleans()):
            # A copy: what is put into a list of the table would stay in it.
            part[path[-1]] = copy.deepcopy(draw(VALUES))
        elif draw(st.booleans()):
            part[path[-1]] = "DEEP"
        else:
            del part[path[-1]]
    text = json.dumps(document).replace('"DEEP"', "[" * 3000 + "]" * 3000)
    text = text.replace("Infinity", "1e999")
    content = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=4)) + content[at + 1 :]
    return gzip.compress(content) if draw(st.booleans()) else content
