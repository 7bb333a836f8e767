"""A restricted visitor gets the same bytes whatever other users did."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from etl.agents.tools import TOOLS
from etl.clock import Clock
from etl.config import Restriction, Serve
from etl.normalise.budgets import Budget
from etl.show.report import KINDS
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.budgets import apply_budgets
from etl.warehouse.write.metadata_keys import apply_metadata_keys
from etl.web import pages as web_pages
from etl.web import queries
from tests.aws import REGION
from tests.bill.exports import NOVA, usage, write_export
from tests.rounds import rounds
from tests.support import HAIKU, SONNET, call, load, uuid_of, write_log, write_metrics
from tests.web.agent_calls import ask, post
from tests.web.visits import HTML, VARIABLES, Visitor, bearer, serving

RESTRICTED = Serve(
    host_names=("usage.example.com",),
    tokens=VARIABLES,
    restrictions=(
        Restriction(visitor="nightly", applications=("Ours", "Also-ours", "Unused"), user="bob"),
    ),
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

BUDGETS = [
    Budget(name=name, amount=1, per=per, **keys)
    for name, per, keys in [
        ("of all", "month", {}), ("of a region", "day", {"region": REGION}),
        ("of others", "month", {"application": ("Ours", "Theirs")}),
        ("of mallory", "90d", {"user": "mallory"}), ("of a team", "90d", {"team": "blue"}),
        ("seen by each", "90d", {"each": "application"}), ("seen in whole", "366d", {"application": "Ours"}),
        ("seen by user", "366d", {"application": ("Ours", "Unused"), "each": "user"}),
        ("seen, own", "366d", {"each": "user"}),
    ]
]  # fmt: skip

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
        apply_budgets(db, BUDGETS)
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
                "insert into quotas values ('111122223333', 'us-east-1', 'L-1', 'x', 'tokens', 'minute',"
                " 'on-demand', ?, 0, ?, 0, 1, '2026-11-22T00:00:00Z')",
                ["cohere.embed-english-v3", seed],
            )
            db.execute(
                "insert into sync_gaps values"
                " ('', '2026-11-03T00:00:00Z', '2026-11-04T00:00:00Z', 'denied')"
            )
            db.execute(
                "insert into sync_state (source, account_id, region, stream, read_at, error)"
                " values ('event-history', '1', 'eu-west-1', '', '2026-11-22T00:00:00Z', 'x')"
            )
            db.execute(
                "insert into sync_state (source, account_id, region, stream, read_at, watermark,"
                " covered_from) values ('cloudtrail', '1', 'eu-west-1', 'c', '2026-11-22T00:00:00Z',"
                " '2026-11-22T00:00:00Z', '2026-11-21T00:00:00Z')"
            )
            db.conn.commit()
    return path


RANGES = ("", "range=90d", "range=last-month", "from=2026-09-01&to=2026-11-30&by=user", "range=x")
FILTERS = (
    *("", 'users=["mallory"]', 'applications=["Theirs"]', "by_day=1&by_user=1&top=1", "regions=x"),
    *("applications=Theirs,Ours", "users=mallory,%20alice"),
)
QUESTIONS: tuple[dict[str, Any], ...] = (
    *(
        {},
        {"users": ["mallory"]},
        {"applications": ["Theirs", "Ours"]},
        {"models": ["no.such-model"]},
    ),
    *({"since": "2026-09-01", "until": "2026-11-20"}, {"regions": ["ap-south-1"], "top": 1}),
)
ARGUMENTS = {
    "costs_by_metadata": {"key": "team"},
    "explain_call": {"event_id": uuid_of(1)},
    "query": {"sql": "select 1"},
}
NAMES = {
    "application": ("Ours", "Theirs", "Unused", "nobody's"),
    "user": ("alice", "mallory", "nobody"),
    "model": (HAIKU, "cohere.command-r-v1:0", "none"),
}


def addresses() -> Iterator[str]:
    for range_ in RANGES:
        for page in ("", "cost", "bill", "me", "savings", "errors", "models"):
            yield f"/{page}?{range_}"
    for kind, names in NAMES.items():
        yield from (f"/{kind}?name={name}&range=90d" for name in names)
    for query in queries.names():
        for filter_ in FILTERS:
            yield f"/bedrock_usage/{query}.json?{filter_}"
        yield from (f"/bedrock_usage/{query}{form}?by_application=1" for form in ("", ".csv"))
    yield from (f"/bedrock_usage/metadata.json?metadata_key=team&{filter_}" for filter_ in FILTERS)
    yield from (f"/bedrock_usage/metadata{form}?metadata_key=team" for form in ("", ".csv"))
    yield from (f"/search?q={text}" for text in ("e", "Theirs", "mallory", uuid_of(1), uuid_of(7)))
    yield from (f"/hour?hour={day}T10" for day in ("2026-11-02", "2026-11-20"))
    yield from ("/budgets", "/bedrock_usage/budgets.csv?now=2026-11-22T00:00:00Z")
    others = (
        "budget_status",
        "budgets",
        "budget_crossings",
        "messages",
        "billed_usage",
        "bill_lines",
    )
    yield from (f"/bedrock_usage/{table}.json?_shape=array" for table in others)
    yield from (f"/bedrock_usage/movers.json?until=2026-11-05&{filter_}" for filter_ in FILTERS)
    for path in ("/bedrock_usage", "/bedrock_usage/calls", "/bedrock_usage/calls.json?_facet=x"):
        yield path
    for path in ("/-/refresh.json", "/-/databases.json", "/-/actor.json", "/x", "/-/logout"):
        yield path


def questions() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every tool of agents, with filters that name others and without."""
    for tool in TOOLS:
        arguments = {one.name for one in tool.arguments}
        for more in QUESTIONS:
            if tool.name == "costs_by":
                kinds = ["breakdown"] if more else [kind for kind in KINDS if kind != "coverage"]
                yield from ((tool.name, {"by": kind, **more}) for kind in kinds)
            elif set(more) <= arguments:
                yield tool.name, {**ARGUMENTS.get(tool.name, {}), **more}


def seen(visitor: Visitor, address: str) -> tuple[int, Any, str]:
    answer = visitor.get(address, headers=HTML)
    text = re.sub(r'"query_ms": [0-9.e-]+|Queries took [0-9.]+ms', "", answer.text)
    text = re.sub(r'name="csrftoken" value="[^"]*"', "", text)
    headers = {k: v for k, v in answer.headers.items() if k not in ("set-cookie", "content-length")}
    return answer.status_code, headers, text


def test_every_byte_is_the_same_whatever_others_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_pages, "age_of", lambda moment: moment)
    monkeypatch.setattr(Clock, "now", lambda _: datetime(2026, 11, 30, tzinfo=UTC))
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
        for tool, given in questions():
            told = {seed: post(visitor, tool, **given) for seed, visitor in visitors.items()}
            for seed in seeds[1:]:
                assert told[seed].text == told[0].text, (seed, tool, given)
        named = ask(visitors[0], "list_names")["rows"]
        assert {"kind": "application", "name": "Also-ours"} in named
        text = seen(visitors[0], "/?range=90d")[2]
        assert "Also-ours" in text
        assert "2026-11-05T00:00:00Z" in text
        text = seen(visitors[0], "/budgets")[2]
        for budget in BUDGETS:
            assert (budget.name in text) == budget.name.startswith("seen"), budget.name
        assert "mallory" not in text
        values = seen(visitors[0], "/bedrock_usage/metadata.csv?metadata_key=team")[2].splitlines()
        assert [line.split(",")[0] for line in values] == ["value", "blue", "green", "(others)"]
