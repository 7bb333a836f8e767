"""Statistics over many events: what they are, where their tokens are, what is known of the calls.

Events are read one by one, and only counts are kept. Memory grows with the number of *kinds* of
calls (the same caller, model, operation and agent), up to ``MAX_KINDS``; calls of further kinds are
only counted. One call of each kind is then loaded into a trial warehouse, which shows what ``load``
makes of it: application, model, price.

A survey of a warehouse has no raw events. It reports the same about calls, but nothing about events
that are not calls, or about where in an event the tokens were.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.errors import RejectError
from etl.inspect.explain import SESSION
from etl.inspect.find import RawEvent, is_bedrock, is_session
from etl.inspect.unread import unread
from etl.load.decoder.content import Keys, read_event
from etl.normalise.boundary import attempt
from etl.normalise.cloudtrail import JOBS, canonical_metadata, classify, find_tokens
from etl.normalise.fields import mapping, text
from etl.normalise.identity import UNKNOWN as UNKNOWN_USER
from etl.normalise.invocation_logs import find_logged_tokens, parse_logged_call
from etl.normalise.packed import Shape, event_of, shape_of
from etl.normalise.rows import Event, OtherOperation, RoleSession, ServiceTokens, Tokens
from etl.normalise.rules import Glob, Rule, TeamRule, pairs_of, role_name_of
from etl.sources.envelopes import LOGGED_CALL
from etl.warehouse.read.inspect import call_kinds, trial_kinds
from etl.warehouse.write.attribution import stored_rules
from etl.warehouse.write.batch import Batch, Loader

MAX_KINDS = 20_000

STREAMS = frozenset(
    {
        *("InvokeModelWithResponseStream", "ConverseStream"),
        *("InvokeModelWithBidirectionalStream",),
    }
)

LOG = "a record of an invocation log"
REJECTED = "rejected: it cannot be read; after a load, see the table rejects"

# Every kind of token that may have a price, so that prices are looked up.
_ONE_OF_EACH = Tokens("additionalEventData", 1, 1, images=1, search_units=1, video_seconds=1)

_JOB_NAMES = frozenset(name for _, name in JOBS)


@dataclass
class CallTotals:
    """Calls and what is known about them. ``last_seen``: when the last one was made, UTC."""

    calls: int = 0
    with_tokens: int = 0
    failed: int = 0
    last_seen: str = ""

    def add(self, calls: int, with_tokens: int, failed: int, last_seen: str) -> None:
        """Add more calls to these."""
        self.calls += calls
        self.with_tokens += with_tokens
        self.failed += failed
        self.last_seen = max(self.last_seen, last_seen)

    @property
    def lacking(self) -> int:
        """How many should have tokens and have none: failed calls use none."""
        return max(0, self.calls - self.failed - self.with_tokens)


class SurveyedOperation(NamedTuple):
    """An operation of Bedrock, and whether it was a call."""

    name: str
    what: str


class Caller(NamedTuple):
    """Who calls, and with what: all that can identify an application."""

    role: str | None
    user: str
    user_agent: str | None


class Model(NamedTuple):
    """What a price is looked up by."""

    model_id: str
    raw_model_id: str
    region: str
    scope: str
    tier: str


class LookedAt(NamedTuple):
    """What the rules for users and applications look at that varies from call to call.

    All of it is part of a kind, and nothing else of a call's session and metadata.
    """

    sessions: bool = False
    tags: tuple[Glob, ...] = ()

    def session(self, name: str | None) -> str | None:
        """Return a session's name if rules look at any."""
        return name if self.sessions else None

    def metadata(self, metadata: str | None) -> str | None:
        """Return what rules match of a request's metadata."""
        if metadata is None or not self.tags:
            return None
        said = json.loads(metadata)
        return canonical_metadata(
            {
                key: said[key]
                for key, pair in zip(said, pairs_of(said), strict=True)
                if any(glob.captures(pair) is not None for glob in self.tags)
            }
        )


@dataclass
class Survey:
    """The counts. ``has_events``: they are of raw events, not of a warehouse's calls.

    ``paths``: (path of a count, operation) -> events; ``unread``: path that nothing reads ->
    events; ``ungrouped``: calls of kinds beyond ``MAX_KINDS``.
    """

    has_events: bool
    looked_at: LookedAt = field(default_factory=LookedAt)
    events: Counter[SurveyedOperation] = field(default_factory=Counter)
    paths: Counter[tuple[str, str]] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    operations: dict[str, CallTotals] = field(default_factory=dict)
    nameless: dict[Caller, CallTotals] = field(default_factory=dict)
    not_people: dict[tuple[str, str], CallTotals] = field(default_factory=dict)
    unpriced: dict[Model, CallTotals] = field(default_factory=dict)
    total: CallTotals = field(default_factory=CallTotals)
    regions: Counter[str] = field(default_factory=Counter)
    service_events: int = 0
    ungrouped: int = 0

    def add_kind(self, kind: Mapping[str, Any], calls: CallTotals) -> None:
        """Count the calls of a kind, a row of ``call_kinds``."""
        counts = (calls.calls, calls.with_tokens, calls.failed, calls.last_seen)
        self.total.add(*counts)
        self.regions[kind["region"]] += calls.calls
        self.operations.setdefault(kind["event_name"], CallTotals()).add(*counts)
        role = role_name_of(kind["principal_arn"])
        user = kind["raw_user_name"]
        if kind["application"] == "Unknown":
            caller = Caller(role, user, kind["user_agent"])
            self.nameless.setdefault(caller, CallTotals()).add(*counts)
        if kind["alias"] is None and (why := why_not_a_person(kind["principal_type"], role, user)):
            self.not_people.setdefault((user, why), CallTotals()).add(*counts)
        if not kind["is_priced"] and not kind["is_failed"]:
            model = Model(
                kind["model_id"],
                kind["raw_model_id"],
                kind["region"],
                kind["inference_scope"],
                kind["service_tier"] or "standard",
            )
            self.unpriced.setdefault(model, CallTotals()).add(*counts)


def why_not_a_person(principal_type: str, role: str | None, user: str) -> str | None:
    """Return why a user is not a particular person; None for one who may be."""
    if user == UNKNOWN_USER:
        return "the event names no one"
    if role == user:
        return "a role"
    if user.startswith("BedrockAPIKey-"):
        return "an API key"
    others = {"AWSService": "an AWS service", "Root": "the root user", "AWSAccount": "an account"}
    return others.get(principal_type)


def survey_warehouse(db: Database) -> Survey:
    """Count over all calls that a warehouse holds."""
    found = Survey(has_events=False)
    for kind in call_kinds(db):
        calls, failed = kind["calls"], kind["calls"] if kind["is_failed"] else 0
        found.add_kind(
            kind, CallTotals(calls, kind["calls_with_tokens"], failed, kind["last_seen"])
        )
    return found


def survey_events(events: Iterable[RawEvent], trial: Database, keys: Keys) -> Survey:
    """Count over raw events without joining them: a call that is in two files counts twice."""
    found = Survey(has_events=True, looked_at=_looked_at(stored_rules(trial)))
    shapes: dict[Shape, CallTotals] = {}
    for event in events:
        try:
            attempt(_count, event, found, shapes, keys)
        except RejectError:
            # Unforeseen content in one event must not affect the others.
            _tally(found.events, SurveyedOperation("(none)", REJECTED))
    for kind, calls in _understood(shapes, trial):
        found.add_kind(kind, calls)
    return found


def _looked_at(rules: Iterable[Rule]) -> LookedAt:
    """Return what rules look at, besides those of teams, which a survey does not show."""
    shown = [rule for rule in rules if not isinstance(rule, TeamRule)]
    return LookedAt(
        sessions=any(rule.session for rule in shown),
        tags=tuple(Glob(rule.tag) for rule in shown if rule.tag),
    )


def _count(event: RawEvent, found: Survey, shapes: dict[Shape, CallTotals], keys: Keys) -> None:
    record = mapping(event.record)
    is_log = event.kind == LOGGED_CALL
    if is_session(event):
        _tally(found.events, SurveyedOperation(text(record.get("eventName")) or "(none)", SESSION))
        return
    if not is_bedrock(event):
        return
    name = text(record.get("operation" if is_log else "eventName")) or "(none)"
    what = LOG if is_log else str(classify(record).value)
    try:
        row = attempt(_row, event, keys)
    except RejectError:
        _tally(found.events, SurveyedOperation(name, REJECTED))
        return
    _tally(found.events, SurveyedOperation(name, what))
    if row is None:
        return
    readings = (
        find_logged_tokens(json.dumps(event.record).encode()) if is_log else find_tokens(record)[1]
    )
    for reading in readings.values():
        _tally(found.paths, (reading.path, name))
    for line in unread(record, event):
        _tally(found.unread, line.field)
    if isinstance(row, ServiceTokens):
        found.service_events += 1
    elif row.event_name not in _JOB_NAMES:
        _add_call(row, found, shapes)


def _row(event: RawEvent, keys: Keys) -> Event | ServiceTokens | None:
    if event.kind == LOGGED_CALL:
        record = json.dumps(event.record).encode()
        logged = parse_logged_call(record, metadata_key=keys.metadata).row
        return logged if isinstance(logged, Event) else None
    row = read_event(event.record, keys).row
    return None if isinstance(row, OtherOperation | RoleSession) else row


def _add_call(row: Event, found: Survey, shapes: dict[Shape, CallTotals]) -> None:
    shape = shape_of(_bare(row, found.looked_at))
    if shape not in shapes and len(shapes) >= MAX_KINDS:
        found.ungrouped += 1
        return
    failed = 1 if row.error_code else 0
    shapes.setdefault(shape, CallTotals()).add(1, 1 if row.tokens else 0, failed, row.event_time)


def _bare(row: Event, looked_at: LookedAt) -> Event:
    """Return a call without the fields that vary from call to call and affect no count."""
    return row._replace(
        session_name=looked_at.session(row.session_name),
        error_code="failed" if row.error_code else None,
        inference_region=None,
        request_metadata=looked_at.metadata(row.request_metadata),
        guardrail_action=None,
        guardrail_use=None,
        source_address=None,
        is_home_copy=True,
        is_correction=False,
    )


def _tally(counter: Counter[Any], key: object) -> None:
    """Count, but limit the number of different keys to more than real events ever have."""
    if key in counter or len(counter) < MAX_KINDS:
        counter[key] += 1


def _understood(
    shapes: Mapping[Shape, CallTotals], trial: Database
) -> Iterator[tuple[Mapping[str, Any], CallTotals]]:
    """Load one call of each kind; yield the stored result with the calls of the kind."""
    by_id = {f"kind-{number}": shape for number, shape in enumerate(shapes)}
    calls = [
        event_of(shape)._replace(
            event_time=shapes[shape].last_seen,
            event_id=event_id,
            tokens=_ONE_OF_EACH,
        )
        for event_id, shape in by_id.items()
    ]
    Loader(trial).write(Batch(events=calls))
    for kind in trial_kinds(trial):
        yield kind, shapes[by_id[kind["event_id"]]]
