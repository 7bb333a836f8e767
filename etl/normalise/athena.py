"""What the query for Athena returns (``sql/athena/usage.sql``), as the rows of a rollup.

A row of it has the fields of calls as AWS wrote them, and sums. Nothing of these fields is
interpreted in Athena: they are put together again as the event, and as the record of a log, that
the calls have in common, and read like any other. So names cannot differ from those of ``load``.

The query reads neither bodies, nor what events of other services tell of sessions: tags of
sessions, and counts that only bodies have, stay unknown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from sys import intern
from typing import Any, NamedTuple

from etl.errors import DataError
from etl.normalise.application import APPLICATION_KEY, KeyNames
from etl.normalise.cloudtrail import endpoint_of, parse_event
from etl.normalise.identity import user_of_log
from etl.normalise.invocation_logs import SCHEMA, parse_logged_call
from etl.normalise.merging import merge_reports
from etl.normalise.rollups import NAMED, Caller, Row, Value, kept_metadata
from etl.normalise.rows import CLOUDTRAIL, INVOCATION_LOG, Event
from etl.normalise.teams import TEAM_KEY
from etl.normalise.token_kinds import COUNT_COLUMNS, KINDS
from etl.normalise.token_sources import NAMES, NO_TOKENS

# The kinds that the query counts, by their columns. A cache write without a stated lifetime is
# stored as one that lasts for 5 minutes, as everywhere.
COUNTS = {f"{kind.name}_tokens": kind.counts[0].column for kind in KINDS if kind.cloudtrail}

_EVENT = {
    "event_source": "eventSource",
    "event_name": "eventName",
    "recipient_account_id": "recipientAccountId",
    "region": "awsRegion",
    "user_agent": "userAgent",
    "error_code": "errorCode",
    "identity_type": "userIdentity.type",
    "identity_principal_id": "userIdentity.principalId",
    "identity_arn": "userIdentity.arn",
    "identity_account_id": "userIdentity.accountId",
    "identity_user_name": "userIdentity.userName",
    "identity_invoked_by": "userIdentity.invokedBy",
    "identity_on_behalf_of": "userIdentity.onBehalfOf.userId",
    "issuer_arn": "userIdentity.sessionContext.sessionIssuer.arn",
    "issuer_user_name": "userIdentity.sessionContext.sessionIssuer.userName",
    "source_identity": "userIdentity.sessionContext.sourceIdentity",
    "federated_provider": "userIdentity.sessionContext.webIdFederationData.federatedProvider",
    "model_id": "requestParameters.modelId",
    "model": "requestParameters.model",
    "latency": "requestParameters.performanceConfig.latency",
    "service_tier": "additionalEventData.serviceTier",
    "guardrail": "requestParameters.guardrailIdentifier",
}
_EVENT_IN_JSON = {
    "guardrail_units": "responseElements.usage",
    "metadata": "requestParameters.requestMetadata",
}
_LOG = {
    "account_id": "accountId",
    "region": "region",
    "logged_arn": "identity.arn",
    "logged_model_id": "modelId",
    "logged_operation": "operation",
    "logged_error_code": "errorCode",
    "logged_latency": "performanceConfig.latency",
    "logged_service_tier": "serviceTier",
}
_LOG_IN_JSON = {"logged_metadata": "requestMetadata"}

_CALLED = (*_EVENT, *_EVENT_IN_JSON, "resource_arns", *_LOG, *_LOG_IN_JSON)

COLUMNS = frozenset(
    (
        *("hour", "minute", "is_in_trail", "is_in_log", "token_source_key", "min_input_tokens"),
        *("calls", *COUNTS, *_CALLED),
    )
)

# A row of the result, by column: texts of a CSV, or values.
ResultRow = Mapping[str, Any]

_SOURCES = {NO_TOKENS.key: NO_TOKENS.name, **NAMES}
_PLACE = {column: place for place, column in enumerate(COUNT_COLUMNS)}


class _Counted(NamedTuple):
    """The numbers of a row. ``tokens``: of the columns of COUNTS, None where they are unknown."""

    hour: str
    minute: int
    min_input_tokens: int
    token_source: str
    calls: int
    tokens: tuple[int | None, ...]


class AthenaResult:
    """Collects the rows of a result.

    ``metadata_key``, ``stored_keys``: as for events; callers are counted apart by the latter.
    ``other_events``: how many events of the rows are no calls; ``rejected``: how many calls have no
    readable time. ``metadata_keys``: those that the query read, None if no row has any.
    """

    def __init__(
        self,
        metadata_key: KeyNames = APPLICATION_KEY,
        stored_keys: Sequence[str] = (TEAM_KEY,),
    ) -> None:
        self._metadata_key, self._stored_keys = metadata_key, stored_keys
        self._events: dict[tuple[Any, ...], Event | None] = {}
        self._rows: dict[str, list[tuple[Event, _Counted]]] = {}
        self._callers: dict[Event, Caller] = {}
        self._users: dict[tuple[str, str, str], set[str]] = {}
        self.other_events = self.rejected = 0
        self.metadata_keys: frozenset[str] | None = None

    def add(self, row: ResultRow) -> None:
        """Add a row. Raises DataError if it is not one of the query's."""
        if not row["hour"]:
            self.rejected += _number(row, "calls")
            return
        called = tuple([row[name] or None for name in _CALLED])
        flags = _flag(row, "is_in_trail"), _flag(row, "is_in_log")
        key = (*called, *flags)
        if key not in self._events:
            self._events[key] = self._event(dict(zip(_CALLED, called, strict=True)), *flags)
        event, counted = self._events[key], _counted(row)
        if event is None:
            self.other_events += counted.calls
        else:
            self._rows.setdefault(counted.hour[:10], []).append((event, counted))

    def days(self) -> list[str]:
        """Return the days that have calls, once all rows are there."""
        return sorted(self._rows)

    def rows(self, day: str) -> Iterator[Row]:
        """Yield the rows of a rollup, of a day; rows with the same key are to be added up."""
        for event, counted in self._rows[day]:
            yield from _rows_of(event, self._caller_of(event), counted)

    def calls(self, day: str) -> int:
        """Return how many calls a day has, failed ones included."""
        return sum(counted.calls for _, counted in self._rows[day])

    def digest(self, day: str) -> str:
        """Return a hash of what a day has, in whatever order."""
        total = 0
        for event, counted in self._rows[day]:
            told = self._caller_of(event), event.service_tier, event.error_code is None
            text = json.dumps([*told, event.guardrail_use, counted])
            total += int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest())
        return f"{total % 2**64:016x}"

    def _event(self, called: Mapping[str, Any], in_trail: bool, in_log: bool) -> Event | None:
        """Return what the calls of a row have in common; None if they are no calls."""
        event = None
        if in_trail:
            record = _event_record(called)
            parsed = parse_event(
                record, metadata_key=self._metadata_key, stored_keys=self._stored_keys
            ).row
            if not isinstance(parsed, Event):
                return None
            event = parsed
            self._note_keys(called["metadata"])
        if in_log:
            logged = parse_logged_call(_log_record(called), metadata_key=self._metadata_key).row
            self._note_keys(called["logged_metadata"])
            if isinstance(logged, Event):
                event = merge_reports(event, logged) if event else logged
        if event is not None and event.reported_by & CLOUDTRAIL and event.session_name:
            self._users.setdefault(_session(event), set()).add(event.user_name)
        return event

    def _note_keys(self, metadata: str | None) -> None:
        if metadata:
            found = frozenset(json.loads(metadata))
            self.metadata_keys = found | (self.metadata_keys or frozenset())

    def _caller_of(self, event: Event) -> Caller:
        caller = self._callers.get(event)
        if caller is None:
            caller = self._callers[event] = self._caller(event)
        return caller

    def _caller(self, event: Event) -> Caller:
        if event.reported_by == INVOCATION_LOG and event.session_name:
            told = self._users.get(_session(event), ())
            user = user_of_log(event.principal_arn, event.session_name, told)
            event = event._replace(user_name=user or event.user_name)
        metadata = json.loads(event.request_metadata or "{}")
        return Caller(
            account_id=event.account_id,
            region=event.region,
            endpoint=endpoint_of(event.event_source),
            model_id=event.model_id,
            principal_arn=event.principal_arn,
            principal_type=event.principal_type,
            session_name=event.session_name,
            user_agent=event.user_agent,
            user_name=event.user_name,
            application=event.application,
            application_source=event.application_source,
            provider=event.provider,
            project=event.project,
            request_metadata=kept_metadata(metadata, self._stored_keys),
            session_tags=None,
        )


def _session(event: Event) -> tuple[str, str, str]:
    return event.principal_arn, event.principal_type, event.session_name or ""


def _rows_of(event: Event, caller: Caller, counted: _Counted) -> Iterator[Row]:
    hour, day, calls = counted.hour, counted.hour[:10], counted.calls
    tokens: list[int | None] = [None] * len(COUNT_COLUMNS)
    for column, number in zip(COUNTS.values(), counted.tokens, strict=True):
        tokens[_PLACE[column]] = number
    caller_id = caller.caller_id
    rate = (event.service_tier or "standard", counted.min_input_tokens, "")
    is_failed = event.error_code is not None
    by_kind = {kind: [tokens[_PLACE[count.column]] for count in kind.counts] for kind in KINDS}
    unknown = [all(number is None for number in by_kind[kind]) for kind in KINDS]
    yield "callers", day, (caller_id, *caller, *(None for _ in NAMED)), ()
    yield (
        "usage",
        day,
        (hour, caller_id, *rate, counted.token_source),
        (
            *((0, calls) if is_failed else (calls, 0)),
            *(number or 0 for number in tokens),
            *(calls * (lacks and not is_failed) for lacks in unknown),
            # Only a response's own count of its input may contain the cached tokens.
            0,
        ),
    )
    if event.guardrail_use is not None:
        yield "guardrails", day, (caller_id, event.guardrail_use), (calls,)
    if is_failed:
        return
    kinds = sum(lacks << bit for bit, lacks in enumerate(unknown))
    key = (hour, caller_id, *rate, kinds, counted.minute)
    yield "call_minutes", day, key, (calls, tokens[0] or 0)
    series: tuple[Value, ...] = (hour, *caller[:4], *rate)
    for kind, numbers in by_kind.items():
        known = sum(number or 0 for number in numbers)
        if known:
            yield "known_minutes", day, (*series, kind.name, counted.minute), (known,)


def _number(row: ResultRow, column: str) -> int:
    try:
        return int(row[column])
    except (ValueError, TypeError):
        raise DataError(f"{column} is no number") from None


def _counted(row: ResultRow) -> _Counted:
    tokens = [None if row[name] in (None, "") else _number(row, name) for name in COUNTS]
    try:
        return _Counted(
            intern(str(row["hour"])),
            _number(row, "minute"),
            _number(row, "min_input_tokens"),
            _SOURCES[_number(row, "token_source_key")],
            _number(row, "calls"),
            tuple(tokens),
        )
    except KeyError:
        raise DataError("its token_source_key is not known: upgrade bedrock-usage") from None


def _flag(row: ResultRow, column: str) -> bool:
    return str(row[column]).lower() == "true"


def _event_record(called: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event that the calls have in common."""
    # Neither is that of a call; both must be there.
    record: dict[str, Any] = {"eventID": "none", "eventTime": "2000-01-01T00:00:00Z"}
    for column, path in _EVENT.items():
        _put(record, path, called[column])
    for column, path in _EVENT_IN_JSON.items():
        _put(record, path, _json(called[column]))
    record["resources"] = [{"ARN": arn} for arn in (called["resource_arns"] or "").split()]
    record.setdefault("userIdentity", {})
    return record


def _log_record(called: Mapping[str, Any]) -> bytes:
    """Return the record of a log that the calls have in common."""
    record: dict[str, Any] = {
        "schemaType": SCHEMA,
        "requestId": "none",
        "timestamp": "2000-01-01T00:00:00Z",
    }
    for column, path in _LOG.items():
        _put(record, path, called[column])
    for column, path in _LOG_IN_JSON.items():
        _put(record, path, _json(called[column]))
    return json.dumps(record).encode()


def _put(record: dict[str, Any], path: str, value: Any) -> None:
    if value is None:
        return
    *outer, last = path.split(".")
    for name in outer:
        record = record.setdefault(name, {})
    record[last] = value


def _json(text: str | None) -> Any:
    """Return an object without what is null: a key of metadata that the calls lack."""
    try:
        found = json.loads(text) if text else None
    except ValueError:
        raise DataError("a row has no JSON where the query returns JSON") from None
    if not isinstance(found, dict):
        return None
    return {name: value for name, value in found.items() if value is not None}
