"""CloudTrail's Event history of one account and region: the last 90 days of management events.

Newest first by whole second; within a second, the event delivered last comes first. An event's place
in that order never changes, and a token is such a place. So events that arrive between pages cannot
push an older one off a page. Those that belong further down still appear; those that belong higher
up are missed until the next query, as with AWS.

Delivered data events are not shown: those marked as such, and the operations that Bedrock logs as
data events only. ``StartTime`` and ``EndTime`` are inclusive whole seconds. Without
``LookupAttributes`` AWS returns every event, and so does this; more than one attribute is refused.
Events older than 90 days (less ``FakeAws.loses``) by AWS's own clock are left out, or refused with
``FakeAws.refuses_old``.

https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from tests.aws.calls import AwsError, Call, Handler
from tests.aws.paging import REPEATED, make_token, position

KEPT = timedelta(days=90)
PAGE = 50
DATA_EVENTS = frozenset(
    {
        "InvokeModelWithBidirectionalStream",
        "StartAsyncInvoke",
        "InvokeAgent",
        "InvokeInlineAgent",
        "InvokeFlow",
        "Retrieve",
        "RetrieveAndGenerate",
        "ApplyGuardrail",
        "CreateInference",
    }
)


class Event(NamedTuple):
    """One delivered event; the first two fields are its place in the order, and unique."""

    second: int
    serial: int
    visible: datetime | None
    item: dict[str, Any]


class EventHistory:
    """The events of one account and region, sorted oldest first."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._delivered = 0
        self._lock = threading.Lock()

    def deliver(self, record: dict[str, Any], at: datetime | None, text: str | None) -> None:
        """Add a raw event; a data event is dropped."""
        if not _is_management(record):
            return
        second = int(_event_time(record).timestamp())
        item = _item(record, second, text if text is not None else json.dumps(record))
        with self._lock:
            self._delivered += 1
            insort(self._events, Event(second, self._delivered, at, item))

    def look(self, query: Query, size: int) -> list[Event]:
        """Return up to ``size`` events behind the query's position, newest first."""
        with self._lock:
            behind = self._behind(query)
            events = (self._events[i] for i in range(behind - 1, -1, -1))
            return list(islice(query.matching(events), size))

    def look_back(self, query: Query, size: int) -> list[Event]:
        """Return the last ``size`` events before the query's position, newest first."""
        with self._lock:
            first = bisect_left(self._events, (query.last + 1,))
            events = (self._events[i] for i in range(self._behind(query), first))
            return list(islice(query.matching(events), size))[::-1]

    def _behind(self, query: Query) -> int:
        return bisect_left(self._events, query.position or (query.last + 1,))


class Query(NamedTuple):
    """One request's query: whole seconds from ``first`` to ``last``, both included."""

    first: int
    last: int
    now: datetime
    attribute: dict[str, str] | None
    position: tuple[int, int] | None

    def matching(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield visible events with the attribute; stop at the first that is too old."""
        for event in events:
            if event.second < self.first:
                return
            if (event.visible is None or event.visible <= self.now) and self._has(event.item):
                yield event

    def _has(self, item: dict[str, Any]) -> bool:
        if self.attribute is None:
            return True
        key, value = self.attribute["AttributeKey"], self.attribute["AttributeValue"]
        if key in ("ResourceType", "ResourceName"):
            return any(resource.get(key) == value for resource in item.get("Resources", ()))
        return item.get(key) == value


def lookup_events(call: Call) -> dict[str, Any]:
    """Answer with one page."""
    size = call.params.get("MaxResults", PAGE)
    if not 1 <= size <= PAGE:
        raise AwsError("InvalidMaxResultsException", f"MaxResults must be from 1 to {PAGE}.")
    query, history = _query(call), call.place.events
    if call.twist == "empty-page" or call.params.get("EventCategory") == "insight":
        token = make_token(call, query.position) if call.twist else None
        return {"Events": []} | ({"NextToken": token} if token else {})
    found = history.look(query, size + 1)
    if call.twist == "duplicates":
        found = history.look_back(query, min(REPEATED, size - 1)) + found
    page = found[:size]
    answer: dict[str, Any] = {"Events": [event.item for event in page]}
    if len(found) > size:
        answer["NextToken"] = make_token(call, page[-1][:2])
    return answer


OPERATIONS: dict[str, Handler] = {"LookupEvents": lookup_events}


def _query(call: Call) -> Query:
    now = call.aws.clock.now()
    kept_from = call.aws.now - (KEPT - call.aws.loses)
    attributes = call.params.get("LookupAttributes", [])
    if len(attributes) > 1:
        raise AwsError(
            "InvalidLookupAttributesException", "You can only look up by one attribute at a time."
        )
    start, end = call.params.get("StartTime", kept_from), call.params.get("EndTime", now)
    if end < start:
        raise AwsError(
            "InvalidTimeRangeException", "The start time must be earlier than the end time."
        )
    if call.aws.refuses_old and start < kept_from:
        raise AwsError("InvalidTimeRangeException", "The start time is too long ago.")
    first = int(max(start, kept_from).timestamp())
    at = position(call)
    attribute = attributes[0] if attributes else None
    return Query(first, int(end.timestamp()), now, attribute, tuple(at) if at else None)


def _is_management(record: dict[str, Any]) -> bool:
    return (
        record.get("eventCategory", "Management") == "Management"
        and record.get("managementEvent", True) is not False
        and record.get("eventName") not in DATA_EVENTS
    )


def _event_time(record: dict[str, Any]) -> datetime:
    time = datetime.fromisoformat(record["eventTime"])
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _item(record: dict[str, Any], second: int, text: str) -> dict[str, Any]:
    identity = record.get("userIdentity") or {}
    read_only = record.get("readOnly")
    item = {
        "EventId": record.get("eventID"),
        "EventName": record.get("eventName"),
        "ReadOnly": None if read_only is None else str(read_only).lower(),
        "AccessKeyId": identity.get("accessKeyId"),
        "EventTime": second,
        "EventSource": record.get("eventSource"),
        "Username": _username(identity),
        "Resources": [_resource(resource) for resource in record.get("resources") or ()],
        "CloudTrailEvent": text,
    }
    return {key: value for key, value in item.items() if value is not None}


def _username(identity: dict[str, Any]) -> str | None:
    if identity.get("type") == "AssumedRole":
        return str(identity.get("arn", "")).rpartition("/")[2] or None
    if identity.get("type") == "Root":
        return "root"
    return identity.get("userName")


def _resource(resource: dict[str, Any]) -> dict[str, str]:
    found = {"ResourceType": resource.get("type"), "ResourceName": resource.get("ARN")}
    return {key: value for key, value in found.items() if value is not None}
