"""CloudWatch Logs: groups with the events that Bedrock writes to them, and FilterLogEvents.

Oldest first, by timestamp, then by time of writing: an event's place in that order never changes,
and a token is such a place. So an event that is written between pages still appears if it belongs
further down, and is missed until the next query if it belongs further up.

Choices where AWS is silent: ``startTime`` and ``endTime`` are inclusive ("before", "later than"); a
named stream that does not exist is an error, but a prefix without streams is not; a token is valid
for the same query only. ``page_events`` replaces AWS's 10,000 events or 1 MB. Not simulated: filter
patterns, ``logGroupIdentifier`` and ``startFromHead``.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_left, insort
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from tests.aws.calls import AwsError, Call, Handler, Violation
from tests.aws.paging import REPEATED, make_token, position

GROUP = "/bedrock/invocations"
STREAM = "aws/bedrock/modelinvocations"
PAGE = 10_000

_NOT_PLAYED = ("filterPattern", "logGroupIdentifier", "startFromHead", "unmask")


class Event(NamedTuple):
    """One event; the first two fields are its place in the order, and unique."""

    milliseconds: int
    serial: int
    visible: datetime | None
    stream: str
    message: str

    def item(self) -> dict[str, Any]:
        return {
            "logStreamName": self.stream,
            "timestamp": self.milliseconds,
            "message": self.message,
            "ingestionTime": self.milliseconds + 3000,
            "eventId": event_id(self.serial),
        }


def event_id(serial: int) -> str:
    """Return the id of the ``serial``th event written to its group."""
    return f"{serial:056d}"


class LogGroup:
    """The events of one group, sorted oldest first. ``kept``: for how long, None: forever."""

    def __init__(self) -> None:
        self.kept: timedelta | None = None
        self.streams: set[str] = set()
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def write(
        self, message: str, moment: datetime, visible: datetime | None, stream: str = STREAM
    ) -> None:
        with self._lock:
            self.streams.add(stream)
            milliseconds = int(moment.timestamp() * 1000)
            insort(
                self._events,
                Event(milliseconds, len(self._events) + 1, visible, stream, message),
            )

    def look(self, query: Query, size: int) -> list[Event]:
        """Return up to ``size`` events behind the query's position, oldest first."""
        with self._lock:
            milliseconds, serial = query.position or (query.first, 0)
            start = bisect_left(self._events, (milliseconds, serial + 1))
            return list(islice(self._matching(query, start), size))

    def look_back(self, query: Query, size: int) -> list[Event]:
        """Return the last ``size`` events up to the query's position, oldest first."""
        with self._lock:
            found = self._matching(query, bisect_left(self._events, (query.first,)))
            at = query.position or (query.first, 0)
            return [event for event in found if event[:2] <= at][-size:]

    def _matching(self, query: Query, start: int) -> Iterator[Event]:
        for event in islice(self._events, start, None):
            if event.milliseconds > query.last:
                return
            is_kept = self.kept is None or event.milliseconds >= _ms(query.now - self.kept)
            is_there = event.visible is None or event.visible <= query.now
            if is_kept and is_there and event.stream in query.streams:
                yield event


class Query(NamedTuple):
    """One request's query: milliseconds from ``first`` to ``last``, both included."""

    first: int
    last: int
    now: datetime
    streams: frozenset[str]
    position: tuple[int, int] | None


class Logs:
    """The log groups of one account and region. ``page_events``: the most events per page."""

    def __init__(self) -> None:
        self.groups: dict[str, LogGroup] = {}
        self.page_events = PAGE

    def write(
        self, record: dict[str, Any] | str, moment: datetime, at: datetime | None, group: str
    ) -> None:
        text = record if isinstance(record, str) else json.dumps(record)
        self.groups.setdefault(group, LogGroup()).write(text, moment, at)


def filter_log_events(call: Call) -> dict[str, Any]:
    """Answer with one page."""
    for name in _NOT_PLAYED:
        if name in call.params:
            raise Violation(f"FilterLogEvents: {name} is not played by the fake AWS")
    group = call.place.logs.groups.get(call.params.get("logGroupName", ""))
    if group is None:
        raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
    query = _query(call, group)
    if call.twist == "empty-page":
        return {"events": [], "nextToken": make_token(call, query.position)}
    size = min(call.params.get("limit", PAGE), call.place.logs.page_events)
    found = group.look(query, size + 1)
    page = found[:size]
    if call.twist == "duplicates":
        page = group.look_back(query, REPEATED) + page
    answer: dict[str, Any] = {"events": [event.item() for event in page], "searchedLogStreams": []}
    if len(found) > size:
        answer["nextToken"] = make_token(call, page[-1][:2])
    return answer


OPERATIONS: dict[str, Handler] = {"FilterLogEvents": filter_log_events}


def _query(call: Call, group: LogGroup) -> Query:
    names, prefix = call.params.get("logStreamNames"), call.params.get("logStreamNamePrefix")
    if names is not None and prefix is not None:
        raise AwsError(
            "InvalidParameterException", "logStreamNamePrefix and logStreamNames exclude each other"
        )
    if names is not None and not group.streams.issuperset(names):
        raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
    wanted = set(names) if names is not None else group.streams
    streams = frozenset(name for name in wanted if name.startswith(prefix or ""))
    now = call.aws.clock.now()
    first, last = call.params.get("startTime", 0), call.params.get("endTime", _ms(now))
    if last < first:
        raise AwsError("InvalidParameterException", "endTime is before startTime")
    at = position(call)
    return Query(first, last, now, streams, tuple(at) if at else None)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
