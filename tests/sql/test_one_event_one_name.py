"""Every view names a user, application, model and region as ``calls`` does.

Each warehouse has one event, so every name in every view, page and report must be the name in
``calls``. Aliases, rules, roles and tagged inference profiles all affect the names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.normalise.rules import ApplicationRule
from etl.sql_files import sql_names, sql_text
from etl.warehouse.database import view_sql
from etl.warehouse.write.attribution import apply_config
from etl.warehouse.write.watch import renew_watch
from etl.web.queries import DIMENSIONS, FILTERS, NOW, TOP
from tests.support import (
    ACCOUNT,
    HAIKU,
    call,
    load,
    logged,
    role_identity,
    rows,
    write_invocation_log,
    write_log,
    write_metrics,
)

NAMES = ("user_name", "application", "team", "model_id", "region")
UNATTRIBUTED = "(unattributed)"
# In int_models, model_id is the id as sent. Capacity, shares and quotas are no event's; the names in
# a bill are tested in tests/bill. The events' model has no price in another scope; tier_what_if
# takes its names from the same text.
VIEWS = sorted(
    {view for view in view_sql() if "bill" not in view}
    - {"int_models", "capacity_hours", "int_team_shares"}
    - {"stg_quotas", "quota_usage", "scope_what_if"}
)
# Views with more names than the event's, with a condition for its rows.
OF_THE_EVENT = {
    "stg_users": "user_key in (select user_key from events)",
    "int_applications": "(model_key, application_key) in (select model_key, application_key from events)",
    "int_names": "(rate_key, application_key) in (select rate_key, application_key from usage_hourly)",
}
# Name prices, which may be for every region.
PRICES = {"reports/inspect_prices", "reports/price_history"}
# Its application is the team.
BY_TEAM = "monitor_periods_by_team"
FILES = [
    f"{folder}/{name}"
    for folder in ("pages", "reports")
    for name in sql_names(folder)
    if name != BY_TEAM
]

ARN = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/a1b2c3d4e5f6"
PROFILE = {
    "inferenceProfileArn": ARN,
    "inferenceProfileName": "Tagged",
    "type": "APPLICATION",
    "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"}],
}
JOB = {"eventName": "CreateModelInvocationJob", "responseElements": {"jobArn": "arn:aws:x:job/1"}}

# Events: their fields, and other sources that report them.
EVENTS: dict[str, dict[str, Any]] = {
    "a call with tokens": {"tokens": (1000, 10)},
    "a call that CloudWatch estimates": {},
    # GovCloud has no price of this model's cache writes.
    "a call of which a kind has no price": {"awsRegion": "us-gov-west-1", "additionalEventData": {"inputTokens": 5, "outputTokens": 0, "cacheWriteInputTokens": 9}},
    "a call that two sources report": {"tokens": (100, 10)},
    "a job": JOB,
    "a failed call": {"errorCode": "ThrottlingException"},
}  # fmt: skip
# Callers and model ids, and the evidence for the application.
MAKERS: dict[str, tuple[dict[str, Any], str]] = {
    "a profile before the agent": ({"userAgent": "Agent/1.0", "requestParameters": {"modelId": ARN}}, "Tagged"),
    "a role before a profile": ({"userIdentity": role_identity("Chat-BedrockRole"), "requestParameters": {"modelId": ARN}}, "Chat"),
    "a rule before a profile": ({"user": "ruled", "requestParameters": {"modelId": ARN}}, "Ruled"),
    "an agent": ({"userAgent": "Agent/1.0", "requestParameters": {"modelId": f"us.{HAIKU}"}}, "Agent"),
    "nothing": ({"awsRegion": "eu-west-1"}, "Unknown"),
}  # fmt: skip
RULES = [ApplicationRule(application="Ruled", user="ruled")]
ALIASES = {"alice": "Alice A.", "ruled": "Someone"}

Found = tuple[str, str, Any]


def named_by(db: Database) -> dict[str, list[str]]:
    """Return the names that each view has, of views that have any."""
    columns = {view: {row[1] for row in rows(db, f"pragma table_info({view})")} for view in VIEWS}
    return {view: sorted(columns[view] & {*NAMES}) for view in VIEWS if columns[view] & {*NAMES}}


def names_in(db: Database, named_by: dict[str, list[str]]) -> Iterator[Found]:
    """Yield every name in every view, page and report: where, of what, and the name."""
    for view, named in named_by.items():
        of = OF_THE_EVENT.get(view, "true")
        for values in rows(db, f"select {', '.join(named)} from {view} where {of}"):
            yield from ((view, *one) for one in zip(named, values, strict=True))
    for file in {*FILES} - PRICES:
        for row in db.query(sql_text(file), parameters_of(db)):
            if file == "pages/choices":
                column = {"user": "user_name", "model": "model_id"}.get(row["kind"], row["kind"])
                yield file, column, row["name"]
            else:
                yield from ((file, name, row[name]) for name in NAMES if name in row)


def parameters_of(db: Database) -> dict[str, Any]:
    """Return parameters with which every page and report answers with the event."""
    ((time, key, request),) = rows(db, "select event_time, event_id, request_id from calls")
    ((stored,),) = rows(db, "select event_id from events")
    visitor = ("_visitor_applications", "_visitor_teams", "_visitor_user")
    filters = (*FILTERS, *DIMENSIONS, NOW, TOP, *visitor)
    return {
        **dict.fromkeys((*filters, "token_kind", "metadata_key", "by", "against", "against_until")),
        **dict.fromkeys(DIMENSIONS, True),
        **{"event_time": time, "event_id": key, "event_key": stored, "number": 1},
        **{"hour": time[:13], "id": key},
        **{"first": time, "last": time, "request_ids": json.dumps([request])},
        **{
            "since": "2026",
            "until": "2027",
            "estimates_until": "2027",
            "application": None,
            "months": None,
        },
    }


def write(db: Database, folder: Path, event: str, maker: dict[str, Any]) -> None:
    (folder / "profiles.json").write_text(json.dumps({"inferenceProfileSummaries": [PROFILE]}))
    apply_config(db, RULES, ALIASES)
    fields = {**EVENTS[event], **maker}
    if also := {"a job": {"jobName": "x"}, "a call with tokens": {"guardrailIdentifier": "x"}}.get(
        event
    ):
        fields["requestParameters"] = {**maker.get("requestParameters", {"modelId": HAIKU}), **also}
    record = call(1, **fields)
    files = [folder / "profiles.json", write_log(folder / "log.json", [record])]
    if event == "a call that two sources report":
        log = {"modelId": record["requestParameters"]["modelId"], "region": record["awsRegion"],
               "identity": {"arn": record["userIdentity"]["arn"]}}  # fmt: skip
        files.append(write_invocation_log(folder / "l.json", [logged(1, tokens=(90, 10), **log)]))
    if event == "a call that CloudWatch estimates" and record["awsRegion"] == "us-east-1":
        hours = ("2026-11-02T10:00:00Z", "2026-11-02T12:00:00Z")  # no call in the second
        model = record["requestParameters"]["modelId"]
        files.append(write_metrics(folder / "m.csv", [(model, "InputTokenCount", 9, hour, 3600) for hour in hours]))  # fmt: skip
    load(db, *files)
    renew_watch(db)


OTHERS = (
    *("int_other_operations", "operations_not_known", "other_operations", "security_events"),
    *("new_principals", "suspicious_errors"),
)


def test_every_view_names_an_event_as_calls_does(
    new_warehouse: Callable[[], AbstractContextManager[Database]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    seen: set[tuple[str, str]] = set()
    wrong: list[tuple[object, ...]] = []
    with new_warehouse() as db:
        named = named_by(db)
    profile, *others = MAKERS.items()
    for number, event in enumerate(EVENTS):
        for maker, (fields, application) in (profile, others[number % len(others)]):
            with new_warehouse() as db:
                write(db, tmp_path_factory.mktemp("event"), event, fields)
                ((*names,),) = rows(db, f"select {', '.join(NAMES)} from calls")
                truth = dict(zip(NAMES, names, strict=True))
                assert (truth["application"], truth["model_id"]) == (application, HAIKU)
                found = [one for one in names_in(db, named) if one[2] != UNATTRIBUTED]
            seen |= {(where, name) for where, name, _ in found}
            wrong += [(event, maker, *one) for one in found if truth[one[1]] != one[2]]
    assert wrong == []
    # Every view had names of some event. These are of events that are no calls, or unusual.
    every = {(view, name) for view in named for name in named[view]}
    others = {(view, name) for view, name in every if view in OTHERS}
    assert every - seen == {("sync_status", "region")} | others
