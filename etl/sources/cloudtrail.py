"""CloudTrail's event history: LookupEvents, page by page, newest event first.

It holds the management events of the last 90 days of each region. A page token is bound to the
exact parameters of its query and may expire. So the parameters are frozen. When a token fails, the
rest of the window is requested again, from the oldest event seen downwards. The warehouse treats an
event that is read twice as the same event.

Source: CloudTrail API reference, LookupEvents (checked 2026-11-25).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from etl.errors import RetriableError, TokenError, TooOldError
from etl.sources.aws import Place
from etl.sources.limiter import lookup_limiter

RETENTION = timedelta(days=90)

# How far back a run starts: a little less than the retention, because clocks differ. And how far
# back it still asks once it has been running for some time.
# The limit itself is found by asking (DECISIONS 114).
REACH = RETENTION - timedelta(hours=1)
LAST_REACH = RETENTION - timedelta(minutes=15)

PAGE_EVENTS = 50

EDGE_STEP = timedelta(hours=1)

_SECOND = timedelta(seconds=1)

_BEDROCK = "bedrock.amazonaws.com"


class LookedUp(NamedTuple):
    """One event of a page. ``record``: what CloudTrail wrote, None if it is not JSON.

    ``text``: the same, unparsed. ``moment``: the event's time in UTC, None if it has none.
    """

    event_id: str
    record: Any
    text: str = ""
    moment: datetime | None = None


class EventPage(NamedTuple):
    """Events, newest first. ``oldest``, ``newest``: their times, None for an empty page.

    ``oldest`` is rounded up to a whole second, so asking again from there downwards misses nothing.
    """

    events: list[LookedUp]
    oldest: datetime | None
    newest: datetime | None
    is_last: bool


def lookup_events(
    place: Place, start: datetime, end: datetime, source: str = _BEDROCK
) -> Iterator[EventPage]:
    """Yield the pages of all events of a service from ``start`` to ``end``, both included.

    Ends only when CloudTrail reports no more pages. Raises the kinds of SourceError; TooOldError if
    CloudTrail does not go back that far.
    """
    # A second earlier, so that no event with fractional seconds falls between two windows.
    start -= _SECOND
    token, oldest = None, end
    query = _query(start, end, source)
    while True:
        try:
            answer = place.call(
                "cloudtrail",
                "LookupEvents",
                query | ({"NextToken": token} if token else {}),
                requires="Events",
                limiter=lookup_limiter(place.account_id, place.region),
            )
        except TokenError as error:
            if token is None or query == _query(start, oldest, source):
                # A retry from the same second would fail in the same place.
                raise RetriableError(f"{error}, repeatedly") from None
            token, query = None, _query(start, oldest, source)
            continue
        token = answer.get("NextToken")
        page = _page(answer["Events"], is_last=token is None)
        oldest = min(oldest, page.oldest or oldest)
        yield page
        if token is None:
            return


def find_edge(place: Place, start: datetime, end: datetime) -> datetime | None:
    """Return the time from which CloudTrail returns events, to within ``EDGE_STEP``, or None.

    ``start`` was rejected. Later times are tried, doubling the step each time, and then the
    interval is bisected. Raises the kinds of SourceError.
    """
    rejected, step = start, EDGE_STEP
    while not _is_accepted(place, accepted := min(rejected + step, end), end):
        rejected, step = accepted, step * 2
        if rejected >= end:
            return None
    while accepted - rejected > EDGE_STEP:
        middle = rejected + (accepted - rejected) / 2
        if _is_accepted(place, middle, end):
            accepted = middle
        else:
            rejected = middle
    return accepted.replace(microsecond=0) + _SECOND


def _is_accepted(place: Place, start: datetime, end: datetime) -> bool:
    query = _query(start.replace(microsecond=0), end) | {"MaxResults": 1}
    limiter = lookup_limiter(place.account_id, place.region)
    try:
        place.call("cloudtrail", "LookupEvents", query, requires="Events", limiter=limiter)
    except TooOldError:
        return False
    return True


def lookup_event(
    place: Place, event_id: str, span: tuple[datetime, datetime] | None = None
) -> list[LookedUp]:
    """Return the event with an id, as a list of one or none. Invalid JSON counts as none.

    ``span``: the time range to search, both ends included; None searches everything CloudTrail
    retains. Raises the kinds of SourceError.
    """
    query: dict[str, Any] = {
        "LookupAttributes": [{"AttributeKey": "EventId", "AttributeValue": event_id}],
        "MaxResults": PAGE_EVENTS,
    }
    if span:
        query |= {"StartTime": span[0], "EndTime": span[1]}
    found: list[LookedUp] = []
    while True:
        answer = place.call(
            "cloudtrail",
            "LookupEvents",
            query,
            requires="Events",
            limiter=lookup_limiter(place.account_id, place.region),
        )
        found += (_looked_up(item) for item in answer["Events"])
        if not answer.get("NextToken"):
            return [event for event in found if event.record is not None]
        query["NextToken"] = answer["NextToken"]


def _query(start: datetime, end: datetime, source: str = _BEDROCK) -> dict[str, Any]:
    return {
        "LookupAttributes": [{"AttributeKey": "EventSource", "AttributeValue": source}],
        "StartTime": start,
        "EndTime": end,
        "MaxResults": PAGE_EVENTS,
    }


def _page(items: list[Any], *, is_last: bool) -> EventPage:
    # An item that is not an event becomes an empty event, which is rejected like any other.
    events = [_looked_up(item if isinstance(item, Mapping) else {}) for item in items]
    times = [event.moment for event in events if event.moment]
    oldest = min(times, default=None)
    if oldest and oldest.microsecond:
        oldest = oldest.replace(microsecond=0) + _SECOND
    return EventPage(events, oldest, max(times, default=None), is_last)


def _looked_up(item: Mapping[str, Any]) -> LookedUp:
    text = item.get("CloudTrailEvent")
    text = text if isinstance(text, str) else ""
    try:
        moment = item["EventTime"].astimezone(UTC)
    except (KeyError, AttributeError, ValueError, OverflowError):
        moment = None  # missing, or not a valid date
    return LookedUp(str(item.get("EventId")), _record(text), text, moment)


def _record(text: str) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None
