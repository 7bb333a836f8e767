"""CloudTrail's event history: LookupEvents, page by page, the newest event first.

It holds the management events of the last 90 days, region by region. A page's token is bound to
the query's exact parameters and may expire. The parameters are therefore frozen; when a token
fails, the rest of the window is asked for anew, down from the oldest event seen: what is read twice
is the same event to the warehouse.

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

# How far back a reading begins: less than events are kept, because clocks differ. And how far back
# is still asked for when it has taken its time.
REACH = RETENTION - timedelta(hours=1)
LAST_REACH = RETENTION - timedelta(minutes=15)

PAGE_EVENTS = 50

EDGE_STEP = timedelta(hours=1)

_SECOND = timedelta(seconds=1)

_BEDROCK = [{"AttributeKey": "EventSource", "AttributeValue": "bedrock.amazonaws.com"}]


class LookedUp(NamedTuple):
    """One event of a page; ``record`` is what CloudTrail wrote, None if that is no JSON.

    ``text`` is the same as it came; ``moment``: the event's time, UTC, None where none is given.
    """

    event_id: str
    record: Any
    text: str = ""
    moment: datetime | None = None


class EventPage(NamedTuple):
    """Events, newest first. ``oldest``, ``newest``: their times, None where the page is empty.

    ``oldest`` is a whole second, rounded up, so that asking down from it leaves nothing out.
    """

    events: list[LookedUp]
    oldest: datetime | None
    newest: datetime | None
    is_last: bool


def lookup_events(place: Place, start: datetime, end: datetime) -> Iterator[EventPage]:
    """Yield the pages of all Bedrock events from ``start`` to ``end``, both included.

    Ends only when CloudTrail said that there is no more. Raises the kinds of SourceError;
    TooOldError if CloudTrail refuses to go back as far.
    """
    # A second earlier, so that an event with fractions of one does not fall between two stretches.
    start -= _SECOND
    token, oldest = None, end
    query = _query(start, end)
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
            if token is None or query == _query(start, oldest):
                # Asked again from the same second it would end here again.
                raise RetriableError(f"{error}, again and again") from None
            token, query = None, _query(start, oldest)
            continue
        token = answer.get("NextToken")
        page = _page(answer["Events"], is_last=token is None)
        oldest = min(oldest, page.oldest or oldest)
        yield page
        if token is None:
            return


def find_edge(place: Place, start: datetime, end: datetime) -> datetime | None:
    """Return from when on CloudTrail gives events, to within ``EDGE_STEP``; None if it never does.

    It has refused ``start``. So a later one is tried, twice as far each time, and then what lies
    between is halved. Raises the kinds of SourceError.
    """
    refused, step = start, EDGE_STEP
    while not _is_given(place, given := min(refused + step, end), end):
        refused, step = given, step * 2
        if refused >= end:
            return None
    while given - refused > EDGE_STEP:
        middle = refused + (given - refused) / 2
        refused, given = (refused, middle) if _is_given(place, middle, end) else (middle, given)
    return given.replace(microsecond=0) + _SECOND


def _is_given(place: Place, start: datetime, end: datetime) -> bool:
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
    """Return the event with an id, as a list of one or none; what is no JSON is none.

    ``span``: when it was, both ends included; without it all that is kept is asked for. Raises the
    kinds of SourceError.
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


def _query(start: datetime, end: datetime) -> dict[str, Any]:
    return {
        "LookupAttributes": _BEDROCK,
        "StartTime": start,
        "EndTime": end,
        "MaxResults": PAGE_EVENTS,
    }


def _page(items: list[Any], *, is_last: bool) -> EventPage:
    # What is no event becomes one without anything, which is rejected like any other.
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
        moment = None  # none, or one that no calendar has
    return LookedUp(str(item.get("EventId")), _record(text), text, moment)


def _record(text: str) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None
