"""A restricted visitor gets the same bytes whatever other users did."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from etl.config import Restriction, Serve
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.metadata_keys import apply_metadata_keys
from etl.web import pages as web_pages
from etl.web import queries
from tests.bill.exports import NOVA, usage, write_export
from tests.rounds import rounds
from tests.support import HAIKU, SONNET, call, load, uuid_of, write_log, write_metrics
from tests.web.visits import HTML, VARIABLES, Visitor, bearer, serving

RESTRICTED = Serve(
    host_names=("usage.example.com",),
    tokens=VARIABLES,
    restrictions=(Restriction(visitor="nightly", applications=("Ours", "Also-ours", "Unused")),),
)
OURS = [
    call(
        number, user=user, tokens=(number, 3), userAgent=f"app/{application}", eventTime=time,
        requestParameters={"modelId": HAIKU, "requestMetadata": {"team": team}},
    )
    for number, (user, application, time, team) in enumerate([
        ("alice", "Ours", "2026-10-30T23:59:59Z", "red"), ("bob", "Also-ours", "2026-11-02T10:00:00Z", "green"),
        ("alice", "Ours", "2026-11-02T10:00:00Z", "blue"), ("bob", "Ours", "2026-11-05T00:00:00Z", "blue"),
    ], start=1)
]  # fmt: skip

# Even of their own application, the bill is not for restricted visitors.
BILLED = "arn:aws:sts::111122223333:assumed-role/Ours-BedrockRole/job"

# What other users may have done, at any time, in any region, with any model.
REGIONS = ("us-east-1", "eu-west-1", "ap-south-1")
MODELS = (HAIKU, SONNET, "cohere.command-r-v1:0", "no.such-model")


def of_others(seed: int) -> list[dict[str, Any]]:
    """Return calls of other users; none for seed 0."""
    draw = random.Random(seed)
    return [
        call(
            1000 + number,
            user=draw.choice(("alice", "mallory", "zoe", "=cmd")),
            tokens=draw.choice((None, (draw.randrange(9999), 5))),
            userAgent=draw.choice(("app/Theirs", "app/Ours2", "curl/8", "app/'Ours'")),
            eventTime=f"{draw.choice(('2026-09-01', '2026-11-02', '2026-11-20'))}T10:{number:02}:00Z",
            awsRegion=draw.choice(REGIONS),
            requestParameters={
                "modelId": draw.choice(MODELS),
                "requestMetadata": {"team": draw.choice(("red", "green", "pink", "grey"))},
            },
            errorCode=draw.choice((None, None, "ThrottlingException")),
            eventID=uuid_of(draw.randrange(2, 1 << 24) + 5000 + number),
        )
        for number in range(draw.randrange(1, 40) if seed else 0)
    ]


def warehouse(folder: Path, seed: int) -> Path:
    folder.mkdir()
    records = [*of_others(seed), *OURS] if seed % 2 else [*OURS, *of_others(seed)]
    path = folder / "w.db"
    with open_warehouse(path, create=True) as db:
        apply_metadata_keys(db, ["team"], 2)
        load(db, write_log(folder / "log.json", records))
        if seed:
            # CloudWatch counts tokens that no call explains, in an hour without calls of ours.
            rows = [
                ("cohere.embed-english-v3", "InputTokenCount", seed, "2026-11-21T10:00:00Z", 3600)
            ]
            load(db, write_metrics(folder / "metrics.csv", rows))
            billed = [usage(NOVA, "input", seed, "2026-11-02", principal=BILLED)]
            load(db, write_export(folder, billed, form="csv.gz", month="2026-11"))
            db.execute(
                "insert into sync_state"
                " (source, account_id, region, stream, read_at, watermark, error) values"
                " ('event-history', '1', 'eu-west-1', '', '2026-11-22T00:00:00Z',"
                " '2026-11-21T01:00:00Z', 'x')"
            )
            db.execute(
                "insert into sync_gaps values"
                " ('', '2026-11-03T00:00:00Z', '2026-11-04T00:00:00Z', 'denied')"
            )
            db.conn.commit()
    return path


RANGES = ("", "range=90d", "range=last-month", "from=2026-09-01&to=2026-11-30&by=user", "range=x")
FILTERS = (
    *("", 'users=["mallory"]', 'applications=["Theirs"]', "by_day=1&by_user=1&top=1", "regions=x"),
    *("applications=Theirs,Ours", "users=mallory,%20alice"),
)
NAMES = {
    "application": ("Ours", "Theirs", "Unused", "nobody's"),
    "user": ("alice", "mallory", "nobody"),
    "model": (HAIKU, "cohere.command-r-v1:0", "none"),
}


def addresses() -> Iterator[str]:
    for range_ in RANGES:
        yield from (f"/?{range_}", f"/cost?{range_}", f"/bill?{range_}")
    for kind, names in NAMES.items():
        yield from (f"/{kind}?name={name}&range=90d" for name in names)
    for query in queries.names():
        for filter_ in FILTERS:
            yield f"/bedrock_usage/{query}.json?{filter_}"
        yield from (f"/bedrock_usage/{query}{form}?by_application=1" for form in ("", ".csv"))
    yield from (f"/bedrock_usage/metadata.json?metadata_key=team&{filter_}" for filter_ in FILTERS)
    yield from (f"/bedrock_usage/metadata{form}?metadata_key=team" for form in ("", ".csv"))
    yield from (f"/bedrock_usage/{table}.json" for table in ("billed_usage", "bill_lines"))
    for path in ("/bedrock_usage", "/bedrock_usage/calls", "/bedrock_usage/calls.json?_facet=x"):
        yield path
    for path in ("/-/refresh.json", "/-/databases.json", "/-/actor.json", "/x", "/-/logout"):
        yield path


def seen(visitor: Visitor, address: str) -> tuple[int, Any, str]:
    answer = visitor.get(address, headers=HTML)
    text = re.sub(r'"query_ms": [0-9.e-]+|Queries took [0-9.]+ms', "", answer.text)
    text = re.sub(r'name="csrftoken" value="[^"]*"', "", text)
    headers = {k: v for k, v in answer.headers.items() if k not in ("set-cookie", "content-length")}
    return answer.status_code, headers, text


def test_every_byte_is_the_same_whatever_others_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_pages, "_age", lambda moment: moment)
    seeds = (0, *random.sample(range(1, 1 << 20), rounds(1, 30)))
    with ExitStack() as stack:
        visitors = {
            seed: Visitor(
                stack.enter_context(serving(warehouse(tmp_path / str(seed), seed), RESTRICTED)),
                **bearer("nightly"),
            )
            for seed in seeds
        }
        found = []
        for address in addresses():
            answers = {seed: seen(visitor, address) for seed, visitor in visitors.items()}
            found.append(answers[0][0])
            for seed in seeds[1:]:
                assert answers[seed] == answers[0], (seed, address)
        assert found.count(200) > 40
        text = seen(visitors[0], "/?range=90d")[2]
        assert "Also-ours" in text
        assert "2026-11-05T00:00:00Z" in text
        values = seen(visitors[0], "/bedrock_usage/metadata.csv?metadata_key=team")[2].splitlines()
        assert [line.split(",")[0] for line in values] == ["value", "blue", "green", "(others)"]
