"""CloudWatch Logs: the events of a log group that Bedrock writes its invocation logs to.

FilterLogEvents gives the oldest event first. A page may be empty and not the last; only one without
a token is. A token is good for 24 hours; when one fails, the rest of the time is asked for anew, up
from the newest event seen: what is read twice is the same call to the warehouse.

Bedrock writes all calls of an account and region to one stream. It is asked for by its name as a
prefix, because a stream that nobody has written to yet is an error by name and nothing by prefix.

Source: CloudWatch Logs API reference, FilterLogEvents; Bedrock user guide, "Monitor model
invocation using CloudWatch Logs and Amazon S3" (checked 2026-11-25).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from etl.errors import AccessError, RetriableError, TokenError
from etl.sources.aws import NotFoundError, Place
from etl.sources.limiter import logs_limiter

STREAM = "aws/bedrock/modelinvocations"

# Bedrock writes this when the logging is switched on, to see whether it may.
PERMISSION_CHECK = "Permissions are correctly set for Amazon Bedrock logs."

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)


class LogEvent(NamedTuple):
    """One event; ``message`` is what was written, None if there is none."""

    event_id: str
    message: str | None


class LogPage(NamedTuple):
    """Events, oldest first. ``oldest``, ``newest``: their times, None where the page is empty.

    Times are whole seconds, rounded down, so that asking up from one leaves nothing out.
    """

    events: list[LogEvent]
    oldest: datetime | None
    newest: datetime | None
    is_last: bool


def filter_events(
    place: Place, log_group: str, start: datetime, end: datetime
) -> Iterator[LogPage]:
    """Yield the pages of all invocation logs from ``start`` to ``end``, both seconds included.

    Ends only when CloudWatch Logs said that there is no more. Raises the kinds of SourceError; a
    NotFoundError if there is no such group.
    """
    token, newest, asked_from = None, start, start
    while True:
        try:
            answer = _ask(place, _query(log_group, asked_from, end, token))
        except (AccessError, TokenError) as error:
            if token is None or not _is_bad_token(error):
                raise
            if newest == asked_from:
                # Asked again from the same second it would end here again.
                raise RetriableError(f"{error}, again and again") from None
            token, asked_from = None, newest
            continue
        token = answer.get("nextToken")
        page = _page(answer["events"], is_last=token is None)
        newest = max(newest, page.newest or newest)
        yield page
        if token is None:
            return


def last_hour(log_group: str, now: datetime) -> dict[str, Any]:
    """Return the parameters of the cheapest request there is."""
    return _query(log_group, now - timedelta(hours=1), now, None) | {"limit": 1}


def _query(log_group: str, start: datetime, end: datetime, token: str | None) -> dict[str, Any]:
    query = {
        "logGroupName": log_group,
        "logStreamNamePrefix": STREAM,
        "startTime": _milliseconds(start),
        "endTime": _milliseconds(end + _SECOND) - 1,
    }
    return query | ({"nextToken": token} if token else {})


def _ask(place: Place, query: Mapping[str, Any]) -> dict[str, Any]:
    limiter = logs_limiter(place.account_id, place.region)
    try:
        return place.call("logs", "FilterLogEvents", query, requires="events", limiter=limiter)
    except NotFoundError:
        raise NotFoundError(
            f"logs:FilterLogEvents {place}: there is no log group {query['logGroupName']}; switch"
            " Bedrock's invocation logging on, or name its group as log_group under"
            " [sources.invocation_logs] (`bedrock-usage doctor` tells which it is)"
        ) from None


def _is_bad_token(error: AccessError | TokenError) -> bool:
    # CloudWatch Logs has no error of its own for it, and the rest of the request was right before.
    return isinstance(error, TokenError) or error.code == "InvalidParameterException"


def _page(answered: list[Any], *, is_last: bool) -> LogPage:
    # What is no entry becomes one without anything, which is rejected like any other.
    items = [item if isinstance(item, Mapping) else {} for item in answered]
    times = [moment for item in items if (moment := _second(item.get("timestamp")))]
    events = [LogEvent(str(item.get("eventId")), _text(item.get("message"))) for item in items]
    return LogPage(events, min(times, default=None), max(times, default=None), is_last)


def _text(message: Any) -> str | None:
    return message if isinstance(message, str) else None


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _second(milliseconds: int | None) -> datetime | None:
    """Return a time in whole seconds; None for none, or one that no calendar has."""
    if not isinstance(milliseconds, int):
        return None
    try:
        return _EPOCH + timedelta(seconds=milliseconds // 1000)
    except OverflowError:
        return None
