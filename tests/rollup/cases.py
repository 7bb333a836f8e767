"""Input in which something may go wrong when calls are counted in several places."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from etl.demo import DATA
from tests.load.wrapping import ENVELOPES, PACKS, TABLES, file_of, fits, text_of
from tests.support import (
    ACCOUNT,
    HAIKU,
    call,
    logged,
    role_identity,
    service_event,
    user_identity,
    uuid_of,
    write_metrics,
)
from tests.team_evidence import PROFILE, assumed, profile, session_call, tags

OTHER_ACCOUNT = "444455556666"
OIDC = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"

CONFIG = """
team_metadata_key = "team"
[user_aliases]
"u1" = "One, Inc."
[[user_rules]]
user = "ruled-{who}"
session = "{who}-agent"
[[application_rules]]
application = "nightly"
user = "u2"
[[team_rules]]
team = "by a tag"
tag = "costcenter=42"
[metadata]
keys = ["tenant"]
"""


def records(first: int) -> list[dict[str, Any]]:
    """Return records of every kind; their ids begin with a number."""
    return [
        *(call(first + n, tokens=(n, 1), user=f"u{n}") for n in range(1, 4)),
        call(first + 4, userIdentity=role_identity("Chat-BedrockRole"), userAgent="Größe/1.0 {x}"),
        *(logged(first + n, cache=(3, 4)) for n in (11, 12)),
        service_event(first + 13, first + 1, {"inputTokens": 3}),
        call(first + 20, eventSource="s3.amazonaws.com", eventName="GetObject"),
        call(first + 21, eventName="ListFoundationModels"),
    ]


def write_cases(folder: Path) -> None:
    """Write all of it, in many small files."""
    shutil.copytree(DATA, folder / "demo")
    _write_wrapped(folder / "wrapped")
    for name, parts in (
        ("copies", copies()),
        ("corrections", corrections()),
        ("joined", joined()),
        ("sessions", sessions()),
        ("odd", odd()),
        ("midnight", midnight()),
    ):
        _write_each(folder / name, parts)
    _write_others(folder / "others")


def _write_each(folder: Path, parts: Iterable[Any]) -> None:
    """Write each part to a file of its own, so that what belongs together is read apart."""
    folder.mkdir(parents=True)
    for number, part in enumerate(parts):
        listed = part if isinstance(part, list) else [part]
        data = json.dumps({"Records": listed}).encode()
        (folder / f"{number:03}.json.gz").write_bytes(gzip.compress(data, mtime=0))


def _write_wrapped(folder: Path) -> None:
    folder.mkdir(parents=True)
    first = 10_000
    for number, wrap in enumerate(ENVELOPES.values()):
        values: list[Any] = records(first)
        (folder / f"envelope-{number:02}").write_text(text_of(wrap(values)), "utf-8")
        first += 100
        inner = wrap(records(first))
        outer = list(ENVELOPES)[(number * 7 + 3) % len(ENVELOPES)]
        if fits(outer, inner):
            (folder / f"both-{number:02}").write_text(text_of(ENVELOPES[outer]([inner])), "utf-8")
        first += 100
    for number, pack in enumerate(PACKS.values()):
        (folder / f"packed-{number:02}").write_bytes(pack(file_of(records(first))))
        first += 100
    for number, rename in enumerate(TABLES.values()):
        plain = [one for one in records(first) if "serviceEventDetails" not in one]
        rows = [rename(one) for one in plain if "eventID" in one]
        (folder / f"table-{number:02}").write_bytes(file_of(rows))
        first += 100
    assert first < 900_000


def copies() -> list[Any]:
    """Copies of one call: the same ones, and such that differ in any field."""
    one = call(2001, tokens=(10, 2))
    differing = [
        one,
        call(2001, user="bob"),
        call(2001, userAgent="Other/1.0 (x)"),
        call(2001, tokens=(12, 1), requestID=uuid_of(77)),
        call(2001, errorCode="ThrottlingException"),
        call(2001, requestID=None, tokens=(3, 9)),
        call(2001, awsRegion="eu-west-1"),
    ]
    shared = [
        call(
            2100 + n,
            eventTime="2026-11-02T10:15:00Z",
            sharedEventID=uuid_of(555),
            requestID=uuid_of(5550 + n),
            recipientAccountId=account,
            tokens=(n, n),
        )
        for n, account in enumerate((OTHER_ACCOUNT, ACCOUNT, "777788889999"), 1)
    ]
    # Three copies, no two of which share more than one id.
    chain = [
        call(2201, requestID=uuid_of(91)),
        call(2201, requestID=uuid_of(92), sharedEventID=uuid_of(93), tokens=(1, 1)),
        call(2202, requestID=uuid_of(94), sharedEventID=uuid_of(93), recipientAccountId=OTHER_ACCOUNT),
    ]  # fmt: skip
    return [*differing, *differing[::-1], *shared, *chain, [one, one, call(2002)], call(2002)]


def corrections() -> list[Any]:
    def corrects(number: int, original: int, time: str, **fields: Any) -> dict[str, Any]:
        return call(
            number,
            **{
                "eventTime": time,
                "user": f"corrected-{number}",
                "requestID": uuid_of(900_000 + number),
                "addendum": {
                    "reason": "UPDATED_DATA",
                    "originalEventID": uuid_of(original),
                    "originalRequestID": uuid_of(1_000_000 + original),
                },
            }
            | fields,
        )

    return [
        corrects(3011, 3001, "2026-11-03T09:00:00Z", tokens=(1, 1)),
        call(3001, tokens=(50, 5)),
        corrects(3012, 3001, "2026-11-02T12:00:00Z"),
        # Its original is never seen.
        corrects(3013, 3999, "2026-11-04T00:00:01Z", tokens=(7, 7)),
        call(3002, eventTime="2026-11-02T23:59:59Z"),
        service_event(3020, 3002, {"inputTokens": 30, "outputTokens": 3}, eventTime="2026-11-03T00:00:09Z"),
        service_event(
            3021, 3002, {"inputTokens": 20}, eventTime="2026-11-03T00:00:10Z",
            addendum={"originalEventID": uuid_of(3020)},
        ),
        # It names another request than its original.
        corrects(3014, 3002, "2026-11-05T10:00:00Z", user="late",
                 addendum={"originalEventID": uuid_of(3002)}),
    ]  # fmt: skip


def joined() -> list[Any]:
    """Logs and service events before and after their calls, and without them."""
    stream = {"eventName": "ConverseStream"}
    return [
        service_event(4011, 4001, {"inputTokens": 8, "outputTokens": 2}, **stream),
        logged(4002, cache=(5, 6)),
        call(4001, **stream),
        call(4002, tokens=(100, 10)),
        logged(4003, requestMetadata={"team": "red", "tenant": "t1", "secret": "no"}),
        call(4004),
        logged(4004, user="bob"),
        service_event(4012, 4999, {"inputTokens": 8}),
        # Another account and another region have the same request id.
        logged(4001, accountId=OTHER_ACCOUNT),
        logged(4001, region="eu-west-1"),
        call(
            4005,
            eventName="CreateModelInvocationJob",
            responseElements={"jobArn": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:model-invocation-job/x"},
        ),
        call(4006, requestParameters={"modelId": HAIKU, "guardrailIdentifier": "g1"}),
        logged(4007, modelId=PROFILE),
    ]  # fmt: skip


def sessions() -> list[Any]:
    """Sessions that only other events explain: tags, chains of them, people behind a web identity."""
    web = role_identity(
        "ci", "build-7", webIdFederationData={"federatedProvider": OIDC}, sourceIdentity="carol"
    )
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/build-7"
    shared = role_identity("shared", "dana@corp.example")
    return [
        session_call(5001, "ASIACHILD"),
        session_call(5002, "ASIAPARENT"),
        session_call(5003, "ASIAOTHER"),
        assumed(1, "ASIACHILD", by="ASIAPARENT", tags=tags(costcenter="42")),
        assumed(2, "ASIAPARENT", tags=tags(team="blue"), transitiveTagKeys=["team"]),
        assumed(3, "ASIAOTHER", tags=tags(team="green")),
        # A copy that says less, and one that says something else.
        assumed(3, "ASIAOTHER"),
        assumed(3, "ASIAOTHER", tags=tags(team="azure")),
        call(5004, userIdentity=web),
        logged(5005, identity={"arn": arn}),
        logged(5006, identity={"arn": arn}),
        # Two people behind one session name.
        call(5007, userIdentity=shared),
        call(5008, userIdentity=role_identity("shared", "dana@corp.example", sourceIdentity="eve")),
        logged(5009, identity={"arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/shared/dana@corp.example"}),
        call(5010, userIdentity=role_identity("bots", "sweep-agent")),
    ]  # fmt: skip


def odd() -> list[Any]:
    """What no tool should write."""
    return [
        call(6001, user=""),
        call(6002, userIdentity=user_identity("trailing\n")),
        call(6003, userIdentity=user_identity("nul\0in a name")),
        call(6004, userIdentity=user_identity("half \ud800 a letter")),
        call(6005, userIdentity=None),
        call(6006, userIdentity="alice"),
        call(6007, requestParameters=[1, 2]),
        call(6008, requestParameters={"modelId": ""}),
        call(6009, requestParameters={"modelId": 7}, additionalEventData={"inputTokens": "12"}),
        call(6010, additionalEventData={"inputTokens": -1, "outputTokens": 2.5}),
        call(6011, additionalEventData={"inputTokens": 10**30}),
        call(6012, eventTime=1793614500000),
        call(6013, eventTime="never"),
        call(6014, eventID=None),
        call(6015, eventID="", requestID=""),
        call(6016, requestID="no uuid\0\n"),
        call(6017, awsRegion=None),
        call(6018, userAgent="a" * 4000),
        call(6019, userIdentity=role_identity("r", "a/b c\td")),
        call(6020, recipientAccountId=12),
        logged(6021, requestMetadata={"team": ["x"], "tenant": "\0"}),
        logged(6022, requestId=""),
        logged(6023, timestamp="2026-11-02"),
        call(6024, eventName="InvokeSomethingNew"),
        [7, None, "text", {}, [], {"eventName": "InvokeModel"}],
    ]


def midnight() -> list[Any]:
    """Calls near midnight, in files of either day."""
    times = ["2026-11-05T23:59:59Z", "2026-11-06T00:00:00Z", "2026-11-05T22:00:00Z"]
    return [
        [call(7000 + n, eventTime=time, tokens=(n, 1)) for n, time in enumerate(times, 1)],
        [logged(7000 + n, timestamp=time) for n, time in enumerate(times[::-1], 1)],
        service_event(7010, 7001, {"inputTokens": 99}, eventTime="2026-11-06T01:00:00Z"),
    ]


def _write_others(folder: Path) -> None:
    """Write what is no call: profiles, totals, and files of which little or nothing can be read."""
    folder.mkdir(parents=True)
    (folder / "profiles.json").write_text(
        json.dumps({"inferenceProfileSummaries": [profile(team="violet", application="Chat")]})
    )
    write_metrics(
        folder / "totals.csv", [(HAIKU, "InputTokenCount", 900), (HAIKU, "Invocations", 9)]
    )
    write_metrics(folder / "totals-again.csv", [(HAIKU, "InputTokenCount", 850)])
    (folder / "empty.json").write_bytes(b"")
    (folder / "damaged.json.gz").write_bytes(gzip.compress(file_of(records(950_000)))[:-40])
    (folder / "not json").write_text('{"Records": [{"eventName"')
    (folder / "lines.jsonl").write_text(
        "\n".join(json.dumps(one) for one in records(960_000)) + '\n{"a": \n'
    )
